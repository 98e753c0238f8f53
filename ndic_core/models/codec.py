"""What all models share: the shape of an answer, the sizes and rates they take, and what real coding needs of them."""

import math
import zlib
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ndic_core.catalogue import CATALOGUE, ModelInfo
from ndic_core.errors import NDICError
from ndic_core.models.coding.state import LEVELS, Coding, weight_bytes
from ndic_core.models.coding.tiling import Tiling
from ndic_core.models.gain import GainUnits, scaled
from ndic_core.models.transforms import channels_last

LEVELS_KEPT = 8  # rate levels whose tables a model remembers; each may take 20 MB
Lambda = float | tuple[float, float]  # of one rate, or the lowest and highest of many


class Codec(nn.Module):
    """A learned codec: an analysis and a prior at the sender, a synthesis at the receiver.

    Subclasses set `name` and build `analysis_x`, `prior_x` and what `reconstruct` needs.

    Args:
        num_filters: channels of every layer and of the latent.
        lmbda: the lambda the weights are trained for; a pair (lowest, highest) makes one model for all between.
        options: further arguments of the subclass, kept for checkpoints.
    """

    name: str
    takes_camera = False  # whether `forward` can be told which camera took x
    analysis_x: nn.Module
    prior_x: nn.Module

    def __init__(self, num_filters: int, lmbda: Lambda, **options):
        super().__init__()
        self.config = {"model": self.name, "num_filters": num_filters, "lmbda": lmbda, **options}
        self.gain = GainUnits(num_filters, lmbda) if isinstance(lmbda, tuple) else None
        self._coding: dict[int | None, Coding] = {}

    @property
    def info(self) -> ModelInfo:
        """The model's line in the catalogue."""
        return CATALOGUE[self.name]

    @property
    def transmitted(self) -> tuple[str, ...]:
        """Keys of `likelihoods` whose latents are sent: ("x",) or ("x", "z")."""
        return self.info.transmitted

    @property
    def y_optional(self) -> bool:
        """Whether the model decodes without a side image: it has none, or was trained so."""
        return not self.info.side_info

    @property
    def multiple_of(self) -> int:
        """Image sides must be multiples of this."""
        return self.info.multiple_of

    @property
    def lambdas(self) -> tuple[float, float]:
        """Lowest and highest lambda; the same twice for weights of one rate."""
        lmbda = self.config["lmbda"]
        return lmbda if isinstance(lmbda, tuple) else (lmbda, lmbda)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def to_model(self, values: Tensor) -> Tensor:
        """`values` on the device and in the precision of the weights."""
        weight = next(self.parameters())
        return values.to(weight.device, weight.dtype)

    def gains(self, lmbda: float | Tensor | None, batch: int) -> tuple[Tensor | None, Tensor | None]:
        """Gain and inverse gain at `lmbda`, (batch, N) each; None twice for weights of one rate.

        Args:
            lmbda: one for all, or a tensor (batch,), best on the CPU: to check one on a GPU is to wait for it. None is
                the middle rate (the geometric mean of `lambdas`).
            batch: number of images.

        Raises:
            NDICError: these weights do not offer `lmbda`.
        """
        low, high = self.lambdas
        if lmbda is not None:
            numbers = isinstance(lmbda, (int, float, Tensor))
            wanted = torch.as_tensor(lmbda if numbers else math.nan, dtype=torch.float64)
            # The ends of the range may come back from float32.
            if not bool(((wanted > low * (1 - 1e-6)) & (wanted < high * (1 + 1e-6))).all()):
                offer = f"one rate, lambda = {low:g}" if self.gain is None else f"lambdas from {low:g} to {high:g}"
                raise NDICError(f"these weights have {offer}; lmbda = {lmbda} is not offered")
        if self.gain is None:
            return None, None
        if lmbda is None:
            position = torch.full((batch,), 0.5)
        else:
            position = ((wanted / low).log() / math.log(high / low)).clamp(0, 1).expand(batch)
        return self.gain(position.to(self.device, non_blocking=True))

    def level(self, lmbda: float | None) -> int | None:
        """The rate level, 0 to 255, that an `.ndic` file names for `lmbda`; None for weights of one rate."""
        if self.gain is None:
            return None
        low, high = self.lambdas
        position = 0.5 if lmbda is None else math.log(lmbda / low) / math.log(high / low)
        return round(LEVELS * min(max(position, 0), 1))

    def lmbda_at(self, level: int | None) -> float:
        """The lambda that a rate level stands for, the only one of weights of one rate."""
        low, high = self.lambdas
        return low if level is None else low * (high / low) ** (level / LEVELS)

    def analyse(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        """The latent to send, before quantisation: (B, 3, H, W) → (B, N, H/16, W/16)."""
        return scaled(self.analysis_x(channels_last(x)), gain)

    def reconstruct(self, h_x: Tensor, y: Tensor | None, inverse: Tensor | None = None) -> Tensor:
        """The receiver's work: quantised latent and side image → (B, 3, H, W), not clipped."""
        raise NotImplementedError

    def tiling(self, height: int, width: int) -> Tiling:
        """How an image of any size is padded (or tiled) to one that this model takes."""
        step = self.multiple_of
        return Tiling(height, width, (-(-height // step) * step, -(-width // step) * step))

    def coding(self, level: int | None = None) -> "Coding":
        """What real coding at a rate level needs, computed when first needed and again when weights change or move."""
        # By content: not every way of changing a weight in place leaves a trace on the tensor.
        checksum = tuple((zlib.crc32(weight_bytes(p)), str(p.device), str(p.dtype)) for p in self.parameters())
        if level not in self._coding or self._coding[level].checksum != checksum:
            while len(self._coding) >= LEVELS_KEPT:
                del self._coding[next(iter(self._coding))]
            self._coding[level] = Coding.build(self, checksum, level)
        return self._coding[level]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_coding": {}}  # made again when needed

    def check(self, x: Tensor, y: Tensor | None) -> None:
        """Raise `NDICError` unless `x` (and `y`, where it is used) is a batch of images this model takes."""
        check_tensor(x, "x", "(B, 3, H, W)")
        height, width = x.shape[-2:]
        tile = self.tiling(height, width).tile
        if tile != (height, width):
            raise NDICError(
                f"{self.name} {self._sizes_allowed()}; this image is {height} × {width} (height × width). "
                f"Resize it, or use encode and decode, which take any size"
            )
        if y is None and not self.y_optional:
            raise NDICError(f"{self.name} needs y, the side image: pass model(x, y)")
        if y is not None and self.info.side_info:
            check_tensor(y, "y", "(B, 3, H, W)")
            if y.shape != x.shape:
                raise NDICError(f"x and y must have one shape; x is {tuple(x.shape)}, y is {tuple(y.shape)}")

    def _sizes_allowed(self) -> str:
        return f"takes images whose sides are multiples of {self.multiple_of}"


def check_tensor(image: Tensor, name: str, shape: str) -> None:
    """Raise `NDICError` unless `image` is a float tensor of a shape such as "(3, H, W)"."""
    dimensions = shape.count(",") + 1
    if not isinstance(image, Tensor):
        given = type(image).__name__
    elif image.ndim == dimensions and image.shape[-3] == 3 and image.is_floating_point():
        return
    else:
        given = f"{tuple(image.shape)}, {image.dtype}"
    raise NDICError(f"{name} must be a float tensor of shape {shape} with values in [0, 1]; got {given}")


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
