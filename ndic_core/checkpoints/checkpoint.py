"""Saving and loading of checkpoints: this package's, the authors' released ones, and the shipped weights.

Files of this package are safetensors with the model's configuration and the weights' fingerprint in their metadata.
Nothing that is loaded here can run code.
"""

import json
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


def save_checkpoint(model: Codec, path: str | os.PathLike, half: bool = False) -> None:
    """Write a model's configuration and weights to a `.safetensors` file, whole or not at all.

    Args:
        model: any of `ndic_core.MODELS`.
        path: of the file; an existing one is replaced.
        half: store 16-bit floats: half the size, rates and quality change by less than 0.1 %. These are other weights
            with another fingerprint: encode and decode with the same file.

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
    """Read a checkpoint: a file of this package (`.safetensors`) or a published one (`.pt`), recognised by its content.

    Args:
        path: of the file.
        image_size: height and width, only for a published `cross_attention` checkpoint whose size is not 128 × 256:
            such a file determines only the area of its images.

    Returns:
        The model on the CPU, in evaluation mode, ready to code.

    Raises:
        NDICError: the file is missing, damaged or of an unknown format, or needs an `image_size`.
    """
    path = Path(path)
    if not path.is_file():
        raise NDICError(f"{path} is a folder, not a checkpoint" if path.is_dir() else f"there is no checkpoint {path}")
    with path.open("rb") as file:
        start = file.read(9)
    model = _load_ours(path) if start[8:] == b"{" else _load_published(path, image_size)
    fits = model.config.get("image_size")
    if image_size is not None and fits is not None and tuple(image_size) != fits:
        raise NDICError(f"{path} has weights for images of {fits[0]} × {fits[1]}, not {tuple(image_size)}")
    return model.eval()


def load_weights(model: Codec, path: str | os.PathLike) -> Codec:
    """Initialise a model with the weights of a checkpoint, of this package or a published one.

    Single-rate weights fit a model of another rate, and a variable-rate model, whose gains are not changed.
    Variable-rate weights fit another range of rates: the gains of the lowest lambda are those of the new lowest, the
    gains of the highest those of the new highest. Some models also start from simpler ones: see `warm_start`.

    Returns:
        The model in the checkpoint.

    Raises:
        NDICError: the checkpoint is missing or damaged, of a model or size that this one cannot start from, or has
            variable-rate weights and the model a single rate.
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
        raise NDICError(f"{path} has variable-rate weights: set lambda: [{low:g}, {high:g}], or another range")
    if simpler:
        start_from(model, given)
    else:
        model.load_state_dict(given.state_dict(), strict=given.gain is not None or model.gain is None)
    return given


def load_pretrained(name: str, metric: str = "MS-SSIM") -> Codec:
    """A model with the weights that ship with the package, in evaluation mode, ready to code.

    Args:
        name: one of `MODELS`.
        metric: the distortion that they were trained for, "MS-SSIM" or "MSE" (for PSNR), in upper or lower case.

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
    """The shipped weights that encoded a stream; the default ones if none of them did, whose `decode` raises an error.

    Raises:
        NDICError: the stream is damaged, or its model has no shipped weights.
    """
    header, _ = unpack(stream)
    for metric in METRICS:
        model = load_pretrained(header.model, metric)
        if model.coding(header.level).fingerprint == header.fingerprint:
            return model
    return load_pretrained(header.model)


def stored_fingerprint(path: str | os.PathLike) -> str:
    """The fingerprint in a checkpoint of this package, 64 hexadecimal digits, without loading its weights.

    Raises:
        NDICError: the file is damaged or not of this package.
    """
    try:
        with safe_open(path, "pt") as file:
            return str(json.loads(file.metadata()["ndic"])["fingerprint"])
    except Exception as error:
        raise NDICError(f"{path} is truncated, damaged or not a checkpoint of this package") from error


def _load_ours(path: Path) -> Codec:
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads(file.metadata()["ndic"])
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        config, digest = dict(metadata["config"]), metadata["fingerprint"]
    except Exception as error:  # hostile bytes fail in many ways, none of which runs code
        raise NDICError(f"{path} is truncated, damaged or not a checkpoint of this package") from error
    if fingerprint(config, tensors) != digest:
        raise NDICError(f"{path} is damaged: its weights do not match their fingerprint; get the file again")
    try:
        arguments = {("name" if key == "model" else key): value for key, value in config.items()}
        # A small file must not make a giant model: it has the layers whose sizes determine all others.
        for key, shape in model_info(config["model"]).load_class().key_shapes(config).items():
            if tuple(tensors[key].shape) != shape:
                raise ValueError(key)
        model = build_model(**arguments)
    except Exception as error:
        raise NDICError(f"{path} describes a model that cannot be built: {str(config)[:300]}") from error
    return _fill(model, tensors, path)


def _load_published(path: Path, image_size: tuple[int, int] | None) -> Codec:
    tensors = published.modern_names(_read_published(path))
    name = published.recognise(tensors)
    if name is None:
        raise NDICError(f"{path} is a checkpoint of another network: its layers are not those of a published model")
    try:
        model = build_model(name, **published.options(name, tensors, image_size))
        ours = {}
        for key, _ in model.named_parameters():
            theirs, take = published.source_of(name, key)
            ours[key] = take(tensors[theirs]).float()
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise NDICError(
            f"{path} looks like a published {name} checkpoint, but layers are missing or have other shapes: {error}"
        ) from error
    return _fill(model, ours, path)


def _read_published(path: Path) -> dict[str, Tensor]:
    """The tensors in `model_state_dict`; all are dense, real and no larger than the file."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that torch then rejects
            if zipfile.is_zipfile(file):  # torch does not compress; a compressed file may unpack to any size
                unpacked = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
                if unpacked > path.stat().st_size:
                    raise ValueError("compressed")
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes fail in many ways, none of which runs code
        raise NDICError(
            f"{path} is not a checkpoint: neither a .safetensors file of this package nor a published .pt file"
        ) from error
    if isinstance(content, dict) and "progress" in content:
        raise NDICError(f"{path} is the state for resuming a training: use the .safetensors file beside it")
    tensors = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(_is_plain(*item) for item in tensors.items()):
        raise NDICError(f"{path} is not a published checkpoint: it has no 'model_state_dict' with tensors")
    return tensors


def _is_plain(key, value) -> bool:
    """Whether an entry of a state dict is a name and a real tensor with memory for each of its elements."""
    if not isinstance(key, str) or not isinstance(value, Tensor):
        return False
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_complex():
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _fill(model: Codec, tensors: dict[str, Tensor], path: Path) -> Codec:
    """Copy weights into a model, after a check of all names and shapes."""
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
