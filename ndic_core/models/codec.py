"""What all models share: the shape of an answer, sizes, and the way from an image to bytes and back."""

import hashlib
import json
import zlib
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ndic_core.bitstream import FINGERPRINT_BYTES, Header, check_size, pack, unpack
from ndic_core.errors import NDICError
from ndic_core.models.catalogue import CATALOGUE, ModelInfo
from ndic_core.models.entropy_coding import SymbolDecoder, SymbolEncoder, fewest_bytes
from ndic_core.models.layout import Layout
from ndic_core.models.priors import FactorizedTables, HyperpriorTables
from ndic_core.models.transforms import channels_last

DOWNSAMPLING = 16  # an analysis divides the image's sides by this


class Codec(nn.Module):
    """A learned codec: an analysis and a prior at the sender, a synthesis at the receiver.

    Subclasses set `name` and build `analysis_x`, `prior_x` and what `reconstruct` needs.

    Args:
        num_filters: channels of every layer and of the latent.
        lmbda: the lambda the weights are trained for.
        options: further arguments of the subclass, kept for checkpoints.
    """

    name: str
    analysis_x: nn.Module
    prior_x: nn.Module

    def __init__(self, num_filters: int, lmbda: float, **options):
        super().__init__()
        self.config = {"model": self.name, "num_filters": num_filters, "lmbda": lmbda, **options}
        self._coding: Coding | None = None

    @property
    def info(self) -> ModelInfo:
        """The model's line in the catalogue."""
        return CATALOGUE[self.name]

    @property
    def transmitted(self) -> tuple[str, ...]:
        """Keys of `likelihoods` whose latents are sent: ("x",) or ("x", "z")."""
        return self.info.transmitted

    @property
    def lambdas(self) -> tuple[float, float]:
        """Lowest and highest lambda; the same twice for weights of one rate."""
        return self.config["lmbda"], self.config["lmbda"]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def fit(self, values: Tensor) -> Tensor:
        """`values` on the device and in the precision of the weights."""
        weight = next(self.parameters())
        return values.to(weight.device, weight.dtype)

    def analyse(self, x: Tensor) -> Tensor:
        """The latent to send, before quantisation: (B, 3, H, W) → (B, N, H/16, W/16)."""
        return self.analysis_x(channels_last(x))

    def reconstruct(self, h_x: Tensor, y: Tensor | None) -> Tensor:
        """The receiver's work: quantised latent and side image → (B, 3, H, W), not clipped."""
        raise NotImplementedError

    def layout(self, height: int, width: int) -> Layout:
        """How an image of any size is padded (or tiled) to one that this model takes."""
        step = self.info.multiple_of
        return Layout(height, width, (-(-height // step) * step, -(-width // step) * step))

    def coding(self) -> "Coding":
        """Tables and fingerprint for real coding, computed when first needed and again when weights change."""
        # By content: not every way of changing a weight in place leaves a trace on the tensor.
        checksum = tuple(zlib.crc32(_bytes(p)) for p in self.parameters())
        if self._coding is None or self._coding.checksum != checksum:
            self._coding = Coding.build(self, checksum)
        return self._coding

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_coding": None}  # made again when needed

    def check(self, x: Tensor, y: Tensor | None) -> None:
        """Raise `NDICError` unless `x` (and `y`, where it is used) is a batch of images this model takes."""
        _check_tensor(x, "x", "(B, 3, H, W)")
        height, width = x.shape[-2:]
        tile = self.layout(height, width).tile
        if tile != (height, width):
            raise NDICError(
                f"{self.name} {self._sizes_allowed()}; this image is {height} × {width} (height × width). "
                f"Resize it, or use encode and decode, which take any size"
            )
        if self.info.side_info:
            if y is None:
                raise NDICError(f"{self.name} needs y, the side image: pass model(x, y)")
            _check_tensor(y, "y", "(B, 3, H, W)")
            if y.shape != x.shape:
                raise NDICError(f"x and y must have one shape; x is {tuple(x.shape)}, y is {tuple(y.shape)}")

    def _sizes_allowed(self) -> str:
        return f"takes images whose sides are multiples of {self.info.multiple_of}"


@dataclass(frozen=True)
class Coding:
    """What `encode` and `decode` need of given weights.

    Attributes:
        checksum: tells these weights from changed ones.
        tables: writes and reads the latent.
        fingerprint: first bytes of the SHA-256 of weights and tables, as a stream carries it.
    """

    checksum: tuple[int, ...]
    tables: FactorizedTables | HyperpriorTables
    fingerprint: bytes

    @classmethod
    def build(cls, model: Codec, checksum: tuple[int, ...]) -> "Coding":
        if not all(bool(p.isfinite().all()) for p in model.parameters()):
            raise NDICError(f"the weights of this {model.name} hold NaN or infinity; they cannot code an image")
        tables = model.prior_x.coding_tables()
        # lambda and dropout shape the training, not the stream
        architecture = {key: value for key, value in model.config.items() if key not in ("lmbda", "dropout")}
        digest = hashlib.sha256(fingerprint(architecture, dict(model.named_parameters())).encode())
        for part in tables.parts:
            digest.update(json.dumps([part.cdfs, part.offsets]).encode())
        return cls(checksum, tables, digest.digest()[:FINGERPRINT_BYTES])


def fingerprint(config: dict, weights: dict[str, Tensor]) -> str:
    """SHA-256 of a configuration and its weights, 64 hexadecimal digits, the same on every machine."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(_bytes(weights[name]))
    return digest.hexdigest()


def _bytes(weight: Tensor):
    """A weight's values as little-endian 32-bit floats."""
    return weight.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4", copy=False)


@torch.no_grad()
def encode(model: Codec, x: Tensor, lmbda: float | None = None, progress: bool = False) -> bytes:
    """Compress one image. The side image is not needed and never seen: that is distributed coding.

    Args:
        model: any of `ndic_core.MODELS`, with the weights that the receiver has too.
        x: (3, H, W) in [0, 1], of any size. Sides are padded as the model needs; a model bound to one size
            (`cross_attention`) codes the image in tiles of that size.
        lmbda: one that `model.lambdas` offers, or None.
        progress: show a bar on stderr.

    Returns:
        The bytes of an `.ndic` file (see `ndic_core.bitstream`).

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
    if lmbda is not None and lmbda not in model.lambdas:
        raise NDICError(f"these weights have one rate, lambda = {model.lambdas[0]:g}; lmbda = {lmbda} is not offered")
    height, width = x.shape[-2:]
    layout = _layout(model, height, width)
    with _coding_conditions(model, height, width):
        tiles = layout.split(model.fit(x))
        coding = model.coding()
        latents = [model.analyse(tile) for tile in _bar(tiles.split(1), "encode", progress)]
        encoder = SymbolEncoder()
        coding.tables.write(encoder, torch.cat(latents))
    return pack(Header(model.name, coding.fingerprint, height, width), encoder.finish())


@torch.no_grad()
def decode(model: Codec, stream: bytes, y: Tensor | None = None, progress: bool = False) -> Tensor:
    """Decompress one image with the help of the side image.

    Args:
        model: the model, with the weights, that made the stream.
        stream: bytes from `encode`, or from anywhere.
        y: (3, H, W) in [0, 1], of the size of the image sent; models without side information ignore it.
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
    if header.level is not None:
        raise NDICError(f"this stream was made by variable-rate weights; these {model.name} weights have one rate")
    if model.info.side_info:
        if y is None:
            raise NDICError(f"{model.name} decodes with a side image: pass y, the correlated picture at the receiver")
        _check_image(y, "y")
        if y.shape[-2:] != (header.height, header.width):
            raise NDICError(
                f"the side image y must have the size of the image sent, {header.height} × {header.width} "
                f"(height × width); it is {y.shape[-2]} × {y.shape[-1]}"
            )
    layout = _layout(model, header.height, header.width)
    with _coding_conditions(model, header.height, header.width):
        coding = model.coding()
        if header.fingerprint != coding.fingerprint:
            raise NDICError(
                f"this stream was made with other weights of {model.name} (fingerprint {header.fingerprint.hex()}; "
                f"these have {coding.fingerprint.hex()}): load the weights that encoded it"
            )
        latents = model.fit(_read_latents(coding.tables, payload, _latent_shape(model, layout)))
        sides = layout.split(model.fit(y)).split(1) if model.info.side_info else [None] * len(latents)
        pairs = zip(latents.split(1), sides, strict=True)
        tiles = [model.reconstruct(*pair) for pair in _bar(pairs, "decode", progress, len(latents))]
        x_hat = layout.join(torch.cat(tiles)).float()
        if not bool(x_hat.isfinite().all()):
            raise NDICError("this stream decodes to a picture that is not finite: it was not made by an encoder")
        return x_hat.clamp(0, 1)


def _layout(model: Codec, height: int, width: int) -> Layout:
    layout = model.layout(height, width)
    padded = layout.rows * layout.tile[0], layout.columns * layout.tile[1]
    check_size(*padded, f"an image of {height} × {width}, padded for {model.name},")
    return layout


def _latent_shape(model: Codec, layout: Layout) -> torch.Size:
    height, width = (side // DOWNSAMPLING for side in layout.tile)
    return torch.Size((layout.rows * layout.columns, model.config["num_filters"], height, width))


def _read_latents(tables: FactorizedTables | HyperpriorTables, payload: bytes, shape: torch.Size) -> Tensor:
    if len(payload) < fewest_bytes(tables.fewest_bits(shape)):
        raise NDICError("this stream is too short for an image of the size it announces")
    return tables.read(SymbolDecoder(payload, tables.symbols(shape)), shape)


def _check_model(model: Codec) -> None:
    if not isinstance(model, Codec):
        raise NDICError(f"model must be a model, as build_model or load_checkpoint return; got {type(model).__name__}")


def _check_tensor(image: Tensor, name: str, shape: str) -> None:
    dimensions = shape.count(",") + 1
    if not isinstance(image, Tensor):
        given = type(image).__name__
    elif image.ndim == dimensions and image.shape[-3] == 3 and image.is_floating_point():
        return
    else:
        given = f"{tuple(image.shape)}, {image.dtype}"
    raise NDICError(f"{name} must be a float tensor of shape {shape} with values in [0, 1]; got {given}")


def _check_image(image: Tensor, name: str) -> None:
    _check_tensor(image, name, "(3, H, W)")
    if 0 in image.shape:
        raise NDICError(f"{name} is an empty image, {image.shape[1]} × {image.shape[2]} (height × width)")
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise NDICError(f"{name} must have values in [0, 1]; divide 8-bit values by 255 first")


@contextmanager
def evaluating(model: nn.Module):
    """Evaluation mode for a while: dropout or noise on one side only would ruin the picture."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _coding_conditions(model: Codec, height: int, width: int):
    """The same arithmetic at sender and receiver, whatever surrounds the call; and a word when memory runs out."""
    try:
        with evaluating(model), torch.autocast(model.device.type, enabled=False):
            yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate" in str(error):
            raise NDICError(f"there is not enough memory to code an image of {height} × {width}") from error
        raise


def _bar(items, what: str, progress: bool, total: int | None = None):
    return tqdm(items, what, total, unit="tile", disable=None if progress else True, leave=False)
