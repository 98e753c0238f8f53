"""`encode` and `decode`: from an image to the bytes of an `.ndic` file, and back with the side image."""

from contextlib import contextmanager

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.errors import NDICError, out_of_memory
from ndic_core.models.codec import Codec, check_image, evaluating, unwrap
from ndic_core.models.coding.container import Header, check_size, pack, unpack
from ndic_core.models.coding.memory import check_memory
from ndic_core.models.coding.rans import SymbolDecoder, SymbolEncoder, fewest_bytes
from ndic_core.models.coding.tiling import Tiling


@torch.no_grad()
def encode(model: Codec, x: Tensor, lmbda: float | None = None, progress: bool = False) -> bytes:
    """Compress one image. The side image is not needed: the model only has it at the decoder.

    Args:
        model: any of `ndic_core.MODELS`, with the weights that the receiver uses too; in a wrapper such as
            `torch.compile` or `DataParallel` too.
        x: (3, H, W) in [0, 1], of any size. Sides are padded as the model requires; a model of a fixed image size
            (`cross_attention`) codes the image in tiles of that size.
        lmbda: the rate of variable-rate weights, within `model.lambdas`: the larger, the more bits. The nearest of 256
            rates in equal ratios is used. None is the middle rate, or the only rate of single-rate weights.
        progress: show a bar on stderr.

    Returns:
        The bytes of an `.ndic` file (see `ndic_core.models.coding.container`).

    Raises:
        NDICError: `x` is no such image or has more than 16.8 megapixels, `lmbda` is outside `model.lambdas`, or there
            is not enough memory (on Linux stated before the work begins).

    Example:
        >>> import torch
        >>> import ndic_core as ndic
        >>> model = ndic.build_model("ndic_bls17", num_filters=8)
        >>> x, y = torch.rand(2, 3, 50, 70)
        >>> stream = ndic.encode(model, x)
        >>> ndic.decode(model, stream, y).shape
        torch.Size([3, 50, 70])
    """
    model = unwrap(model)
    check_image(x, "x")
    model.gains(lmbda, 1)  # raises for a lambda outside the range
    level = model.level(lmbda)
    height, width = x.shape[-2:]
    tiling = padded_layout(model, height, width)
    with _coding_conditions(model, height, width):
        check_memory(model, tiling, "encode")
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
        model: the model, with the weights, that encoded the stream.
        stream: bytes from `encode`, or from anywhere.
        y: (3, H, W) in [0, 1], of the size of the image sent. Models without side information ignore it
            (`model.info.side_info` is False), and a `parallax_attention` trained with `robust` also decodes without it.
            The stream does not identify the right y: that of another scene gives a worse image without an error
            (`ndic_core.evaluation.likeness.seems_unrelated` finds most of them).
        progress: show a bar on stderr.

    Returns:
        (3, H, W) in [0, 1], on the model's device; on the same machine bit-exact with `reconstruct` at the sender.

    Raises:
        NDICError: the stream is damaged or was encoded by another model or other weights, `y` is missing or has another
            size, or there is not enough memory.
    """
    model = unwrap(model)
    if not isinstance(stream, (bytes, bytearray, memoryview)):
        raise NDICError(f"a stream must be bytes as encode returns them; got {type(stream).__name__}")
    header, payload = unpack(bytes(stream))
    if header.model != model.name:
        raise NDICError(f"this stream was made by {header.model}, not {model.name}: decode it with {header.model}")
    if (header.level is None) != (model.gain is None):
        kinds = ["variable-rate weights", "single-rate weights"]
        used, given = kinds if model.gain is None else kinds[::-1]
        raise NDICError(
            f"this stream was made with {used}, these are {given} of {model.name}: load the weights that encoded it"
        )
    if y is None and not model.y_optional:
        raise NDICError(f"{model.name} decodes with a side image: pass y, the correlated image at the receiver")
    if y is not None and model.info.side_info:
        check_image(y, "y")
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
        size = (side // DOWNSAMPLING for side in tiling.tile)
        shape = torch.Size((tiling.rows * tiling.columns, model.config["num_filters"], *size))
        if len(payload) < fewest_bytes(coding.tables.fewest_bits(shape)):
            raise NDICError("this stream is too short for an image of the size in its header")
        check_memory(model, tiling, "decode")
        decoder = SymbolDecoder(payload, coding.tables.symbols(shape))
        latents = model.to_model(coding.tables.read(decoder, shape))
        del decoder, payload  # its buffer is far larger than the latents
        has_side = y is not None and model.info.side_info
        sides = tiling.split(model.to_model(y)).split(1) if has_side else [None] * len(latents)
        pairs = zip(latents.split(1), sides, strict=True)
        tiles = [model.reconstruct(*pair, coding.inverse) for pair in _bar(pairs, "decode", progress, len(latents))]
        x_hat = tiling.join(torch.cat(tiles)).float()
        if not bool(x_hat.isfinite().all()):
            raise NDICError("this stream decodes to an image that is not finite: it was not made by an encoder")
        return x_hat.clamp(0, 1)


def padded_layout(model: Codec, height: int, width: int) -> Tiling:
    """How an image is padded or divided into tiles; `NDICError` if that makes more pixels than can be coded."""
    tiling = model.tiling(height, width)
    padded = tiling.rows * tiling.tile[0], tiling.columns * tiling.tile[1]
    check_size(*padded, f"an image of {height} × {width}, padded for {model.name},")
    return tiling


@contextmanager
def _coding_conditions(model: Codec, height: int, width: int):
    """The same arithmetic at sender and receiver, also within autocast; `NDICError` when there is not enough memory."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False)  # a GPU's convolutions
    try:
        with evaluating(model), torch.autocast(model.device.type, enabled=False), exact:
            yield
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise NDICError(
                f"there is not enough memory to code an image of {height} × {width}: close other programs, or make "
                f"the image smaller"
            ) from error
        raise


def _bar(items, what: str, progress: bool, total: int | None = None):
    return tqdm(items, what, total, unit="tile", disable=None if progress else True, leave=False)
