"""Saving and loading of checkpoints: this package's, the authors' released ones, and the shipped weights.

Files of this package are safetensors with the model's configuration and the weights' fingerprint in their metadata.
Nothing that is loaded here can run code.
"""

import json
import operator
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ndic_core.catalogue import METRICS, model_info
from ndic_core.checkpoints import authors_release as published
from ndic_core.checkpoints.architecture import build, described, difference
from ndic_core.checkpoints.torch_files import read_state_dicts, the_weights
from ndic_core.checkpoints.warm_start import start_from
from ndic_core.errors import NDICError
from ndic_core.files import expand_path, shipped_weights, write_whole
from ndic_core.models.codec import Codec, evaluating, unwrap
from ndic_core.models.coding.container import unpack
from ndic_core.models.coding.state import fingerprint
from ndic_core.models.wrappers import plain_name, plain_weights


def save_checkpoint(model: Codec, path: str | os.PathLike, half: bool = False) -> None:
    """Write a model's configuration and weights to a `.safetensors` file, whole or not at all.

    Args:
        model: any of `ndic_core.MODELS`, also inside `torch.compile`, Lightning Fabric, `DataParallel`,
            `DistributedDataParallel` or `AveragedModel`. Pruned, weight- and spectral-normed layers are stored with the
            weights that they compute with, shared ones as often as they are used. Hooks are not stored.
        path: of the file; an existing one is replaced.
        half: store 16-bit floats: half the size, rates and quality change by less than 0.1 %. These are other weights
            with another fingerprint: encode and decode with the same file.

    Raises:
        NDICError: `model` is something else, or was changed so that its configuration does not describe it; a weight is
            not finite, or too large for 16 bits; the file cannot be written, or is not read back as it was written.
    """
    path = _path(path, "save_checkpoint(model, path)")
    model = unwrap(model)
    with evaluating(model):
        weights = plain_weights(model)
    try:
        wanted = described(json.dumps(model.config))
    except (NDICError, TypeError, ValueError, AttributeError) as error:
        raise NDICError(f"{path} was not written: model.config describes no model ({error}): restore it") from error
    if found := difference(model, weights, wanted):
        raise NDICError(
            f"{path} was not written: this is not the {model.name} of its configuration, as {found}: save the model "
            f"from before layers were replaced, added or quantised, or write its state_dict yourself"
        )
    dtype = torch.float16 if half else torch.float32
    stored = {}
    for name in wanted.shapes:
        # a copy, as shared weights cannot be stored
        stored[name] = weights[name].detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)
        if not bool(stored[name].isfinite().all()):
            too_large = bool(weights[name].isfinite().all())
            reason = f" in {torch.finfo(dtype).bits} bits" if too_large else ": load an earlier checkpoint"
            raise NDICError(f"{path} was not written: the weight {name} is not finite{reason}")
    digest = fingerprint(model.config, stored)
    metadata = {"ndic": json.dumps({"config": model.config, "fingerprint": digest})}

    def read_back(file: str) -> None:
        try:
            with safe_open(file, "pt") as written:
                found = {key: tuple(written.get_slice(key).get_shape()) for key in written.keys()}  # noqa: SIM118
                intact = found == wanted.shapes and written.metadata() == metadata
        except Exception as error:  # damaged bytes fail in many ways
            raise NDICError(f"{path} was not written: it cannot be read back; check the disk") from error
        if not intact:
            raise NDICError(f"{path} was not written: what is read back differs; check the disk")

    write_whole(path, save(stored, metadata), read_back)


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
    path = _path(path, "load_checkpoint(path)")
    image_size = _size(image_size)
    try:
        if not path.is_file():
            raise NDICError(
                f"{path} is a folder, not a checkpoint" if path.is_dir() else f"there is no checkpoint {path}"
            )
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise NDICError(f"{path} cannot be read: {error.strerror}") from error
    model = _load_ours(path) if start[8:] == b"{" else _load_published(path, image_size)
    fits = model.config.get("image_size")
    if image_size is not None and fits is not None and image_size != fits:
        raise NDICError(f"{path} has weights for images of {fits[0]} × {fits[1]}, not {image_size}")
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


def _path(path: str | os.PathLike, call: str) -> Path:
    """The path that a user gave to a function; raises `NDICError` if it is something else."""
    if not isinstance(path, (str, os.PathLike)):
        given = (
            "the model: the arguments are in the wrong order" if isinstance(path, nn.Module) else type(path).__name__
        )
        raise NDICError(f"path must be that of a file, {call}; got {given}")
    return expand_path(path)


def _size(image_size: tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    try:
        height, width = map(operator.index, image_size)  # NumPy's integers too
    except (TypeError, ValueError):
        raise NDICError(f"image_size must be (height, width) in pixels; got {image_size!r}") from None
    return height, width


def _load_ours(path: Path) -> Codec:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if "ndic" not in metadata:
                raise NDICError(
                    f"{path} is a .safetensors file, but not a checkpoint of this package: load its weights into a "
                    f"model (build_model, load_state_dict) and write it with save_checkpoint"
                )
            metadata = json.loads(metadata["ndic"])
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        config, digest = dict(metadata["config"]), metadata["fingerprint"]
    except NDICError:
        raise
    except Exception as error:  # hostile bytes fail in many ways, none of which runs code
        raise NDICError(f"{path} is truncated, damaged or not a checkpoint of this package") from error
    if fingerprint(config, tensors) != digest:
        raise NDICError(f"{path} is damaged: its weights do not match their fingerprint; get the file again")
    # Earlier versions wrote the names of wrappers too.
    plain = {plain_name(key): tensor for key, tensor in tensors.items()}
    tensors = plain if len(plain) == len(tensors) else tensors
    try:
        # A small file must not make a giant model: it has the layers whose sizes determine all others.
        for key, shape in model_info(config["model"]).load_class().key_shapes(config).items():
            if tuple(tensors[key].shape) != shape:
                raise ValueError(key)
        model = build(config)
    except Exception as error:
        raise NDICError(f"{path} describes a model that cannot be built: {str(config)[:300]}") from error
    return _fill(model, tensors, path)


def _load_published(path: Path, image_size: tuple[int, int] | None) -> Codec:
    state_dicts = [(where, published.modern_names(tensors)) for where, tensors in read_state_dicts(path)]
    models = [(where, tensors) for where, tensors in state_dicts if published.recognise(tensors)]
    if not models:
        if any("analysis_x.conv2.weight" in tensors for _, tensors in state_dicts):
            raise NDICError(
                f"{path} holds weights of this package without their configuration: load them into the model "
                f"(build_model, load_state_dict) and write it with save_checkpoint"
            )
        raise NDICError(f"{path} is a checkpoint of another network: its layers are not those of a published model")
    tensors = the_weights(models, path)
    name = published.recognise(tensors)
    try:
        model = build({"model": name, **published.options(name, tensors, image_size)})
        ours = {}
        for key, _ in model.named_parameters():
            theirs, take = published.source_of(name, key)
            dtype = tensors[theirs].dtype
            if not dtype.is_floating_point or dtype.itemsize < 2:
                raise NDICError(f"{path} holds quantised weights ({theirs} is of {dtype}): load those from before")
            ours[key] = take(tensors[theirs]).float()
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise NDICError(
            f"{path} looks like a published {name} checkpoint, but layers are missing or have other shapes: {error}"
        ) from error
    return _fill(model, ours, path)


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
