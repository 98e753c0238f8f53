"""From an image to bytes at the sender, and back at the receiver, who has the side image."""

from contextlib import contextmanager

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.errors import NDICError
from ndic_core.models.codec import Codec, check_tensor, evaluating
from ndic_core.models.coding.container import Header, check_size, pack, unpack
from ndic_core.models.coding.rans import SymbolDecoder, SymbolEncoder, fewest_bytes
from ndic_core.models.coding.tiling import Tiling
from ndic_core.models.entropy_models import FactorizedTables, HyperpriorTables


@torch.no_grad()
def encode(model: Codec, x: Tensor, lmbda: float | None = None, progress: bool = False) -> bytes:
    """Compress one image. The side image is not needed and never seen: that is distributed coding.

    Args:
        model: any of `ndic_core.MODELS`, with the weights that the receiver has too.
        x: (3, H, W) in [0, 1], of any size. Sides are padded as the model needs; a model bound to one size
            (`cross_attention`) codes the image in tiles of that size.
        lmbda: the rate of variable-rate weights, within `model.lambdas`: larger, more bits. The file names one of 256
            rates in equal ratios, the nearest is taken. None is the middle one, or the only one of other weights.
        progress: show a bar on stderr.

    Returns:
        The bytes of an `.ndic` file (see `ndic_core.models.coding.container`).

    Raises:
        NDICError: `x` is no such image or has more than 16.8 megapixels, `lmbda` is not offered, or memory runs out.

    Example:
        >>> import torch
        >>> import ndic_core as ndic
        >>> model = ndic.build_model("ndic_bls17", num_filters=8)
        >>> x, y = torch.rand(2, 3, 50, 70)
        >>> stream = ndic.encode(model, x)
        >>> ndic.decode(model, stream, y).shape
        torch.Size([3, 50, 70])
    """
    _check_model(model)
    _check_image(x, "x")
    model.gains(lmbda, 1)  # refuses a lambda that is not offered
    level = model.level(lmbda)
    height, width = x.shape[-2:]
    tiling = padded_layout(model, height, width)
    with _coding_conditions(model, height, width):
        tiles = tiling.split(model.to_model(x))
        coding = model.coding(level)
        latents = [model.analyse(tile, coding.gain) for tile in _bar(tiles.split(1), "encode", progress)]
        encoder = SymbolEncoder()
        coding.tables.write(encoder, torch.cat(latents))
    return pack(Header(model.name, coding.fingerprint, height, width, level), encoder.finish())


@torch.no_grad()
def decode(model: Codec, stream: bytes, y: Tensor | None = None, progress: bool = False) -> Tensor:
    """Decompress one image with the help of the side image.

    Args:
        model: the model, with the weights, that made the stream.
        stream: bytes from `encode`, or from anywhere.
        y: (3, H, W) in [0, 1], of the size of the image sent; models without side information ignore it, and a
            `parallax_attention` that was trained so (`robust`) decodes without it, too.
        progress: show a bar on stderr.

    Returns:
        (3, H, W) in [0, 1], on the model's device; bit for bit what the sender's own `reconstruct` gives on the same
        machine.

    Raises:
        NDICError: the stream is damaged, was made by another model or other weights, `y` is missing or has another
            size, or memory runs out.
    """
    _check_model(model)
    if not isinstance(stream, (bytes, bytearray, memoryview)):
        raise NDICError(f"a stream is bytes, as encode returns them; got {type(stream).__name__}")
    header, payload = unpack(bytes(stream))
    if header.model != model.name:
        raise NDICError(f"this stream was made by {header.model}, not {model.name}: decode it with {header.model}")
    if (header.level is None) != (model.gain is None):
        kinds = ["variable-rate weights", "weights of one rate"]
        made, given = kinds if model.gain is None else kinds[::-1]
        raise NDICError(f"this stream was made by {made}, these are {given} of {model.name}: load what encoded it")
    if y is None and not model.y_optional:
        raise NDICError(f"{model.name} decodes with a side image: pass y, the correlated picture at the receiver")
    if y is not None and model.info.side_info:
        _check_image(y, "y")
        if y.shape[-2:] != (header.height, header.width):
            raise NDICError(
                f"the side image y must have the size of the image sent, {header.height} × {header.width} "
                f"(height × width); it is {y.shape[-2]} × {y.shape[-1]}"
            )
    tiling = padded_layout(model, header.height, header.width)
    with _coding_conditions(model, header.height, header.width):
        coding = model.coding(header.level)
        if header.fingerprint != coding.fingerprint:
            raise NDICError(
                f"this stream was made with other weights of {model.name} (fingerprint {header.fingerprint.hex()}; "
                f"these have {coding.fingerprint.hex()}): load the weights that encoded it"
            )
        latents = model.to_model(_read_latents(coding.tables, payload, _latent_shape(model, tiling)))
        used = y is not None and model.info.side_info
        sides = tiling.split(model.to_model(y)).split(1) if used else [None] * len(latents)
        pairs = zip(latents.split(1), sides, strict=True)
        tiles = [model.reconstruct(*pair, coding.inverse) for pair in _bar(pairs, "decode", progress, len(latents))]
        x_hat = tiling.join(torch.cat(tiles)).float()
        if not bool(x_hat.isfinite().all()):
            raise NDICError("this stream decodes to a picture that is not finite: it was not made by an encoder")
        return x_hat.clamp(0, 1)


def padded_layout(model: Codec, height: int, width: int) -> Tiling:
    """How an image is padded or tiled; `NDICError` if that makes more pixels than can be coded."""
    tiling = model.tiling(height, width)
    padded = tiling.rows * tiling.tile[0], tiling.columns * tiling.tile[1]
    check_size(*padded, f"an image of {height} × {width}, padded for {model.name},")
    return tiling


def _latent_shape(model: Codec, tiling: Tiling) -> torch.Size:
    height, width = (side // DOWNSAMPLING for side in tiling.tile)
    return torch.Size((tiling.rows * tiling.columns, model.config["num_filters"], height, width))


def _read_latents(tables: FactorizedTables | HyperpriorTables, payload: bytes, shape: torch.Size) -> Tensor:
    if len(payload) < fewest_bytes(tables.fewest_bits(shape)):
        raise NDICError("this stream is too short for an image of the size it announces")
    return tables.read(SymbolDecoder(payload, tables.symbols(shape)), shape)


def _check_model(model: Codec) -> None:
    if not isinstance(model, Codec):
        raise NDICError(f"model must be a model, as build_model or load_checkpoint return; got {type(model).__name__}")


def _check_image(image: Tensor, name: str) -> None:
    check_tensor(image, name, "(3, H, W)")
    if 0 in image.shape:
        raise NDICError(f"{name} is an empty image, {image.shape[1]} × {image.shape[2]} (height × width)")
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise NDICError(f"{name} must have values in [0, 1]; divide 8-bit values by 255 first")


@contextmanager
def _coding_conditions(model: Codec, height: int, width: int):
    """The same arithmetic at sender and receiver, whatever surrounds the call; and a word when memory runs out."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False)  # a GPU's convolutions
    try:
        with evaluating(model), torch.autocast(model.device.type, enabled=False), exact:
            yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate" in str(error):
            raise NDICError(f"there is not enough memory to code an image of {height} × {width}") from error
        raise


def _bar(items, what: str, progress: bool, total: int | None = None):
    return tqdm(items, what, total, unit="tile", disable=None if progress else True, leave=False)
