"""Weights in the `.pt` files of others: state dicts, alone or among other content. No code from a file is executed."""

import codecs
import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ndic_core.errors import NDICError, listing
from ndic_core.models.wrappers import plain_name

_DEPTH = 4  # of containers in a file, and of modules around a model
_USUAL = ("", "model_state_dict", "state_dict", "model", "net", "module")  # names of the weights to use
_STARTS = {  # first bytes of what is often found under the name of a checkpoint
    b"<": "it is a web page, so the download failed: download it again",
    b"version https://git-lfs": "it is a pointer of Git LFS: run git lfs pull",
    b"PK": "it is truncated: download it again",  # an intact archive is not looked for here
}
_NUMPY = (f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct"))
_BESIDE_WEIGHTS = (  # classes of values that trainings store beside the weights
    *_NUMPY,
    *("numpy.dtype", "numpy.ndarray", "argparse.Namespace", "types.SimpleNamespace"),
    *(f"{module}.{kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")),
)


class _Skipped:
    """Takes the place of a value beside the weights: the class that a file names is neither imported nor called."""

    def __new__(cls, *args):
        return super().__new__(cls)

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


def _stand_in(name: str) -> type[_Skipped]:
    module, _, name = name.rpartition(".")
    return type(name, (_Skipped,), {"__module__": module, "__qualname__": name})  # by which torch.load knows it


_STAND_INS = [_stand_in(name) for name in _BESIDE_WEIGHTS]


def read_state_dicts(path: Path) -> list[tuple[str, dict[str, Tensor]]]:
    """The state dicts in a `.pt` file, with the names that layers have without wrappers, and where each was found.

    They are looked for in containers of any name ("model_state_dict", "state_dict", "model") and in modules ("model."
    in the names of a Lightning checkpoint). All tensors are dense, real and no larger than the file.

    Raises:
        NDICError: the file is not such a file, holds other objects than weights, or no state dict.
    """
    content = _read(path)
    if isinstance(content, dict) and content.keys() >= {"identity", "progress"}:
        raise NDICError(f"{path} is the state for resuming a training: use the .safetensors file beside it")
    found: list[tuple[str, dict[str, Tensor]]] = []
    level, seen = [("", content)], set()
    for _ in range(_DEPTH):
        level = [(name, part) for name, part in level if isinstance(part, dict) and id(part) not in seen]
        seen |= {id(part) for _, part in level}
        found += [(name, tensors) for name, part in level if (tensors := _state_dict(part, path))]
        level = [(f"{outer}.{name}".lstrip("."), value) for outer, part in level for name, value in part.items()]
    if not found:
        raise NDICError(f"{path} is not a published checkpoint: it has no 'model_state_dict' with tensors")
    modules = [(name, *item) for name, tensors in found for item in _modules(tensors).items()]
    return found + [(f"{name}.{module}".lstrip("."), tensors) for name, module, tensors in modules]


def the_weights(found: list[tuple[str, dict[str, Tensor]]], path: Path) -> dict[str, Tensor]:
    """The state dict to use of several of whole models.

    Those with a usual name come first, averages ("ema" in their name) last.

    Args:
        found: as from `read_state_dicts`; at least one.
        path: of the file, for messages.

    Raises:
        NDICError: several with different weights come first.
    """

    def rank(name: str) -> int:
        return 2 if "ema" in name.lower() else int(name.rpartition(".")[2] not in _USUAL)

    best = min(rank(name) for name, _ in found)
    found = [(name, tensors) for name, tensors in found if rank(name) == best]
    weights = found[0][1]
    if not all(_same(weights, others) for _, others in found):
        names = listing(name or "the outermost" for name, _ in found)
        raise NDICError(
            f"{path} holds several sets of weights ({names}): keep one, "
            f"torch.save({{'model_state_dict': weights}}, path)"
        )
    return weights


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two state dicts are the same in the precision in which they are loaded."""
    return one.keys() == other.keys() and all(torch.equal(one[key].float(), other[key].float()) for key in one)


def _state_dict(part: dict, path: Path) -> dict[str, Tensor] | None:
    """The tensors in a dict, other values left out; None if one of them is not plain."""
    tensors = {key: value for key, value in part.items() if isinstance(value, Tensor)}
    if not all(_is_plain(*item) for item in tensors.items()):
        return None
    plain = {plain_name(key): value for key, value in tensors.items()}
    if len(plain) < len(tensors):
        raise NDICError(f"{path} holds two sets of weights that differ only in prefixes such as 'module.': keep one")
    return plain


def _modules(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The state dicts of the outer modules of a state dict."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parts = key.split(".", _DEPTH)
        for depth in range(1, len(parts)):
            modules.setdefault(".".join(parts[:depth]), {})[".".join(parts[depth:])] = value
    return modules


def _read(path: Path):
    """The content of a file of `torch.save`."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that torch then rejects
            start = file.read(100).removeprefix(codecs.BOM_UTF8).lstrip()
            if zipfile.is_zipfile(file):  # torch does not compress; a compressed file may unpack to any size
                unpacked = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
                if unpacked > path.stat().st_size:
                    raise ValueError("compressed")
                start = b""
            file.seek(0)
            with torch.serialization.safe_globals(_STAND_INS):
                return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes fail in many ways, none of which runs code
        for first, reason in _STARTS.items():
            if start.startswith(first):
                raise NDICError(f"{path} is not a checkpoint: {reason}") from error
        if "TorchScript" in str(error):
            raise NDICError(f"{path} is not a checkpoint: it is a TorchScript program; save a state dict") from error
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            raise NDICError(
                f"{path} is not a checkpoint that can be read safely: it holds a Python object ({named[1]}); save "
                f"only the weights, torch.save({{'model_state_dict': model.state_dict()}}, path)"
            ) from error
        raise NDICError(
            f"{path} is not a checkpoint: neither a .safetensors file of this package nor a published .pt file"
        ) from error


def _is_plain(key, value: Tensor) -> bool:
    """Whether an entry of a state dict is a name and a real tensor with memory for each of its elements."""
    if not isinstance(key, str) or value.layout != torch.strided or value.device.type != "cpu" or value.is_complex():
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()
