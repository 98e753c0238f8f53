"""Weights on disk: saving and loading our own, importing published ones, and those that ship with the package.

Our files are safetensors with the model's configuration and the weights' fingerprint in their metadata. Nothing that is
loaded here can run code.
"""

import json
import math
import os
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ndic_core.catalogue import METRICS, model_info
from ndic_core.checkpoints import authors_release as published
from ndic_core.checkpoints.warm_start import start_from
from ndic_core.errors import NDICError
from ndic_core.io import shipped_weights, write_whole
from ndic_core.models.codec import Codec
from ndic_core.models.coding.container import unpack
from ndic_core.models.coding.state import fingerprint
from ndic_core.models.factory import build_model
from ndic_core.models.matching import BACK


def save_checkpoint(model: Codec, path: str | os.PathLike, half: bool = False) -> None:
    """Write a model's configuration and weights to a `.safetensors` file, whole or not at all.

    Args:
        model: any of ours.
        path: of the file; an existing one is replaced.
        half: store 16-bit floats. Half the size; rates and pictures stay within 0.1 %. These are then other
            weights, with another fingerprint: encode and decode with the same file.

    Raises:
        NDICError: the folder cannot be written, or a weight is too large for 16 bits.
    """
    dtype = torch.float16 if half else torch.float32
    stored = {k: p.detach().to("cpu", dtype).contiguous() for k, p in model.named_parameters()}
    if not all(bool(tensor.isfinite().all()) for tensor in stored.values()):
        raise NDICError(f"{path} was not written: a weight is not finite{' in 16 bits' if half else ''}")
    digest = fingerprint(model.config, stored)
    metadata = {"ndic": json.dumps({"config": model.config, "fingerprint": digest})}
    write_whole(path, save(stored, metadata))


def load_checkpoint(path: str | os.PathLike, image_size: tuple[int, int] | None = None) -> Codec:
    """Read a checkpoint: one of ours (`.safetensors`) or a published one (`.pt`), told apart by content.

    Args:
        path: of the file.
        image_size: height and width, only for a published `cross_attention` checkpoint whose size is not 128 × 256:
            such a file fixes no more than the area of its images.

    Returns:
        The model on the CPU, in evaluation mode, ready to code.

    Raises:
        NDICError: the file is missing, damaged or of no known kind, or needs an `image_size`.
    """
    path = Path(path)
    if not path.is_file():
        raise NDICError(f"{path} is a folder, not a checkpoint" if path.is_dir() else f"there is no checkpoint {path}")
    with path.open("rb") as file:
        start = file.read(9)
    model = _load_ours(path) if start[8:] == b"{" else _load_published(path, image_size)
    fits = model.config.get("image_size")
    if image_size is not None and fits is not None and tuple(image_size) != fits:
        raise NDICError(f"{path} holds weights for images of {fits[0]} × {fits[1]}, not {tuple(image_size)}")
    return model.eval()


def load_weights(model: Codec, path: str | os.PathLike) -> None:
    """Fill a model with the weights of a checkpoint, ours or a published one, to train it on.

    Weights of one rate fit another rate, and a variable-rate model, whose gains stay as they are; those of a range of
    rates fit another range, as another distortion needs: its lowest lambda starts with the gains of their lowest, its
    highest with those of their highest. Some models also start from simpler ones: see `warm_start`.

    Args:
        model: to be filled.
        path: of the file.

    Raises:
        NDICError: the checkpoint is missing or damaged, of a model or size that this one cannot start from, or of a
            range of rates where this one has a single one.
    """
    given = load_checkpoint(path, model.config.get("image_size"))
    simpler = given.name in model.info.warm_starts
    trained_for = ("lmbda", "dropout")
    for key, wanted in model.config.items():
        may_differ = key in trained_for or (simpler and key != "num_filters")
        if not may_differ and given.config.get(key) != wanted:
            raise NDICError(f"{path} has {key} {given.config.get(key)}, the configuration says {wanted}: change one")
    if given.gain is not None and model.gain is None:
        low, high = given.lambdas
        raise NDICError(f"{path} holds variable-rate weights: set lambda: [{low:g}, {high:g}], or another range")
    if simpler:
        start_from(model, given)
    else:
        model.load_state_dict(given.state_dict(), strict=given.gain is not None or model.gain is None)


def load_pretrained(name: str, metric: str = "MS-SSIM") -> Codec:
    """Weights that ship with the package, in evaluation mode, ready to code.

    Args:
        name: one of `MODELS`.
        metric: what they were trained for, "MS-SSIM" or "MSE" (the mean squared error, for PSNR), in any case.

    Raises:
        NDICError: an unknown model or metric, or one without shipped weights.

    Example:
        >>> load_pretrained("bls17").lambdas, load_pretrained("bls17", metric="mse").lambdas
        ((4e-06, 0.0006), (0.0001, 0.005))
    """
    model_info(name)
    if not isinstance(metric, str) or metric.upper() not in METRICS:
        raise NDICError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
    file = shipped_weights(name, metric.upper())
    if file is None:
        raise NDICError(
            f"no weights ship for {name} trained for {metric.upper()}: load a checkpoint of your own (--weights FILE), "
            f"or try the format with untrained ones (--untrained)"
        )
    return load_checkpoint(file)


def pretrained_for(stream: bytes) -> Codec:
    """The shipped weights that a stream was made with; if by none of them, the default ones, which will refuse it.

    Raises:
        NDICError: the stream is damaged, or made by a model without shipped weights.
    """
    header, _ = unpack(stream)
    for metric in METRICS:
        model = load_pretrained(header.model, metric)
        if model.coding(header.level).fingerprint == header.fingerprint:
            return model
    return load_pretrained(header.model)


def stored_fingerprint(path: str | os.PathLike) -> str:
    """The fingerprint that a checkpoint of ours carries, 64 hexadecimal digits, without loading its weights.

    Raises:
        NDICError: the file is damaged or none of ours.
    """
    try:
        with safe_open(path, "pt") as file:
            return str(_about(file)["fingerprint"])
    except Exception as error:
        raise NDICError(f"{path} is truncated, damaged or no checkpoint of this package") from error


def _about(file) -> dict:
    """What an open checkpoint of ours says of itself: configuration and fingerprint."""
    return json.loads((file.metadata() or {})["ndic"])


def _load_ours(path: Path) -> Codec:
    try:
        with safe_open(path, "pt") as file:
            about = _about(file)
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        config, digest = dict(about["config"]), about["fingerprint"]
    except Exception as error:  # hostile bytes fail in many ways, none of which runs code
        raise NDICError(f"{path} is truncated, damaged or no checkpoint of this package") from error
    if fingerprint(config, tensors) != digest:
        raise NDICError(f"{path} is damaged: its weights do not match their fingerprint; get the file again")
    try:
        # A small file must not make a giant model: it has to hold the layers whose sizes all others follow from.
        for key, shape in _telling_shapes(config).items():
            if tuple(tensors[key].shape) != shape:
                raise ValueError(key)
        model = build_model(**_arguments(config))
    except Exception as error:
        raise NDICError(f"{path} describes a model that cannot be built: {str(config)[:300]}") from error
    return _fill(model, tensors, path)


def _telling_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Parameters, by name, whose shapes together fix those of all others."""
    n = config["num_filters"]
    shapes = {"analysis_x.conv2.weight": (n, n, 5, 5)}
    if config["model"] == "cross_attention":
        width, grid = config["embed_dim"], config["patch_grid"]
        for i, stride in enumerate((8, 4, 2)):
            values = [side // stride // grid for side in config["image_size"]]
            shapes[f"cams.{i}.embed_x.weight"] = (width, values[0] * values[1])
            shapes[f"cams.{i}.to_q.weight"] = (config["heads"] * config["head_dim"], width)
    if config["model"] == "parallax_attention":
        rows, columns = (-(-config[r] // 8) for r in ("search_rows", "search_range"))
        shapes["cams.0.bias"] = (2 * rows + 1, columns + math.ceil(columns / BACK) + 1)
    return shapes


def _load_published(path: Path, image_size: tuple[int, int] | None) -> Codec:
    tensors = published.modern_names(_read_published(path))
    name = published.recognise(tensors)
    if name is None:
        raise NDICError(f"{path} is a checkpoint of some other network: its layers are none of the published ones")
    try:
        model = build_model(name, **published.options(name, tensors, image_size))
        ours = {}
        for key, _ in model.named_parameters():
            theirs, take = published.source_of(name, key)
            ours[key] = take(tensors[theirs]).float()
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise NDICError(
            f"{path} looks like a published {name} checkpoint but lacks or bends layers: {error}"
        ) from error
    return _fill(model, ours, path)


def _read_published(path: Path) -> dict[str, Tensor]:
    """The tensors under `model_state_dict`, all of them dense, real and no larger than the file."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that torch then refuses
            if zipfile.is_zipfile(file):  # torch stores plainly; a compressed file may unpack to any size
                unpacked = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
                if unpacked > path.stat().st_size:
                    raise ValueError("compressed")
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes fail in many ways, none of which runs code
        raise NDICError(
            f"{path} is no known checkpoint: neither a .safetensors file of this package nor a published .pt file"
        ) from error
    if isinstance(content, dict) and "progress" in content:
        raise NDICError(f"{path} is for resuming a training: give the .safetensors file beside it")
    tensors = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(_is_plain(*item) for item in tensors.items()):
        raise NDICError(f"{path} is no published checkpoint: it has no 'model_state_dict' with tensors")
    return tensors


def _is_plain(key, value) -> bool:
    """Whether a state dict's entry is a name and a tensor that holds each of its numbers in memory."""
    if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    if value.device.type != "cpu" or value.is_complex():
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _fill(model: Codec, tensors: dict[str, Tensor], path: Path) -> Codec:
    """Copy weights into a model after comparing all names and shapes."""
    wanted = {key: tuple(p.shape) for key, p in model.named_parameters()}
    given = {key: tuple(t.shape) for key, t in tensors.items()}
    wrong = sorted(k for k in wanted.keys() | given.keys() if wanted.get(k) != given.get(k))
    if wrong:
        raise NDICError(
            f"{path} does not fit a {model.name}: parameter {wrong[0]} has shape {given.get(wrong[0])}, "
            f"not {wanted.get(wrong[0])}"
        )
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(tensors[key])
    return model


def _arguments(config: dict) -> dict:
    """A stored configuration as arguments of `build_model`."""
    return {("name" if key == "model" else key): value for key, value in config.items()}
