"""The base class of all codecs: rates, accepted image sizes, and the state for entropy coding."""

import os
import threading
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ndic_core.catalogue import CATALOGUE, ModelInfo
from ndic_core.errors import NDICError
from ndic_core.models.bands import analysed
from ndic_core.models.coding.state import Coding, CodingCache
from ndic_core.models.coding.tiling import Tiling
from ndic_core.models.gain import GainUnits, VariableRate, scaled
from ndic_core.models.wrappers import WRAPPED_AS

_MODES = threading.Lock()
_EVALUATED: dict[nn.Module, tuple[int, list[nn.Module]]] = {}  # blocks of `evaluating`, modules to restore

Lambda = float | tuple[float, float]  # of single-rate weights, or the lowest and highest of variable-rate ones
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # those in which layers compute


class Codec(VariableRate, nn.Module):
    """A learned codec: an analysis and a prior at the sender, a synthesis at the receiver.

    Subclasses set `name` and build `analysis_x`, `prior_x` and what `reconstruct` needs.

    Args:
        num_filters: channels of every layer and of the latent.
        lmbda: the lambda that the weights are trained for; a pair (lowest, highest) makes a variable-rate model.
        options: further arguments of the subclass, kept for checkpoints.
    """

    name: str
    takes_camera = False  # whether `forward` has the argument `right`, the camera that took x
    band_bytes = {"encode": 4, "decode": 7}  # peak memory per pixel of a band and channel, measured
    analysis_x: nn.Module
    prior_x: nn.Module

    def __init__(self, num_filters: int, lmbda: Lambda, **options):
        super().__init__()
        self.config = {"model": self.name, "num_filters": num_filters, "lmbda": lmbda, **options}
        self.gain = GainUnits(num_filters, lmbda) if isinstance(lmbda, tuple) else None
        self._codings = CodingCache()

    @property
    def info(self) -> ModelInfo:
        """The model's entry in the catalogue."""
        return CATALOGUE[self.name]

    @property
    def transmitted(self) -> tuple[str, ...]:
        """Keys of `likelihoods` whose latents are sent: ("x",) or ("x", "z")."""
        return self.info.transmitted

    @property
    def y_optional(self) -> bool:
        """Whether the model also decodes without a side image."""
        return not self.info.side_info

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def to_model(self, values: Tensor) -> Tensor:
        """`values` on the device and in the precision of the weights."""
        weight = next(self.parameters())
        return values.to(weight.device, weight.dtype)

    def analyse(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        """The latent before quantisation: (B, 3, H, W) → (B, N, H/16, W/16)."""
        return scaled(analysed(self.analysis_x, x), gain)

    def forward(
        self, x: Tensor, y: Tensor | None = None, lmbda: float | Tensor | None = None, side: bool = True
    ) -> dict:
        """The reconstruction and the likelihoods, for images (B, 3, H, W) in [0, 1].

        Args:
            x: the images to send.
            y: the side images, one for each; models without side information ignore them.
            lmbda: of variable-rate weights: one for all images, or (B,) of them; the middle rate where None.
            side: whether to compute, where the model has them, `y_hat` and the likelihoods of y and w too, which the
                loss needs unless alpha = beta = 0, and decoding does not.

        Returns:
            `x_hat` (B, 3, H, W), not clipped, and `likelihoods`, a dict with the keys in `transmitted`.

        Raises:
            NDICError: `y` is missing, `x` or `y` has a shape or size that the model does not accept, or `lmbda` is
                outside its range.
        """
        h_x, likelihoods, inverse = self._sent(x, y, lmbda)
        return {"x_hat": self.reconstruct(h_x, y, inverse), "likelihoods": likelihoods}

    def _sent(
        self, x: Tensor, y: Tensor | None, lmbda: float | Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """The latent as the decoder receives it, its likelihoods and the inverse gain."""
        self.check(x, y)
        gain, inverse = self.gains(lmbda, len(x))
        h_x, likelihoods = self.prior_x(self.analyse(x, gain), gain)
        return h_x, dict(zip(self.transmitted, likelihoods, strict=True)), inverse

    def reconstruct(self, h_x: Tensor, y: Tensor | None, inverse: Tensor | None = None) -> Tensor:
        """The decoder's transforms: quantised latent and side image → (B, 3, H, W), not clipped."""
        raise NotImplementedError

    def tiling(self, height: int, width: int) -> Tiling:
        """How an image of any size is padded or divided into tiles that this model accepts."""
        step = self.info.multiple_of
        return Tiling(height, width, (-(-height // step) * step, -(-width // step) * step))

    def coding(self, level: int | None = None) -> Coding:
        """Tables, gains and fingerprint at a rate level; computed once for given weights."""
        return self._codings.get(self, level)

    @classmethod
    def key_shapes(cls, config: dict) -> dict[str, tuple[int, ...]]:
        """Shapes of some parameters, by name, from which those of all others follow.

        A file must hold these before a model is built from its configuration, which may ask for any size.
        """
        n = config["num_filters"]
        return {"analysis_x.conv2.weight": (n, n, 5, 5)}

    def check(self, x: Tensor, y: Tensor | None) -> None:
        """Raise `NDICError` unless `x` (and `y`, where it is used) is a batch of images that this model accepts."""
        check_tensor(x, "x", "(B, 3, H, W)")
        height, width = x.shape[-2:]
        tile = self.tiling(height, width).tile
        if tile != (height, width):
            raise NDICError(
                f"{self.name} {self._sizes_allowed()}; this image is {height} × {width} (height × width); "
                f"resize it, or use encode and decode, which accept any size"
            )
        if y is None and not self.y_optional:
            raise NDICError(f"{self.name} needs y, the side image: call model(x, y)")
        if y is not None and self.info.side_info:
            check_tensor(y, "y", "(B, 3, H, W)")
            if y.shape != x.shape:
                raise NDICError(f"x and y must have the same shape; x is {tuple(x.shape)}, y is {tuple(y.shape)}")

    def _sizes_allowed(self) -> str:
        return f"accepts images whose sides are multiples of {self.info.multiple_of}"


def check_tensor(image: Tensor, name: str, shape: str) -> None:
    """Raise `NDICError` unless `image` is a float tensor of a shape such as "(3, H, W)"; values are not read."""
    dimensions = shape.count(",") + 1
    if not isinstance(image, Tensor):
        given = type(image).__name__
    elif image.is_nested or image.layout is not torch.strided:
        given = f"a {'nested' if image.is_nested else str(image.layout).removeprefix('torch.')} tensor"
    elif image.ndim == dimensions and image.shape[-3] == 3 and image.dtype in _FLOATS:
        if 0 not in image.shape[-2:]:
            return
        raise NDICError(f"{name} is an empty image, {image.shape[-2]} × {image.shape[-1]} (height × width)")
    else:
        given = f"{tuple(image.shape)}, {image.dtype}"
    raise NDICError(f"{name} must be a float tensor of shape {shape} with values in [0, 1]; got {given}")


def check_image(image: Tensor, name: str) -> None:
    """Raise `NDICError` unless `image` is one image (3, H, W) with values in [0, 1], which are read."""
    check_tensor(image, name, "(3, H, W)")
    if image.is_meta:
        raise NDICError(f"{name} is on the meta device, where tensors have no values")
    low, high = image.aminmax()
    if not (low >= 0 and high <= 1):  # NaN fails the comparison too
        raise NDICError(
            f"{name} must have values in [0, 1]; divide 8-bit values by 255 first (these are from {low:g} to {high:g})"
        )


def check_device() -> None:
    """Raise `NDICError` within `torch.device("meta")`, where new tensors have no values."""
    if torch.get_default_device().type == "meta":
        raise NDICError('new tensors are on the meta device, where they have no values: leave torch.device("meta")')


def unwrap(model: nn.Module, with_values: bool = True) -> Codec:
    """The codec in `torch.compile`, Lightning Fabric, `DataParallel`, `DistributedDataParallel`, `AveragedModel`.

    Args:
        model: a codec, as it is or in wrappers.
        with_values: refuse one on the meta device.

    Raises:
        NDICError: there is none, or its weights have no values or are not floats.
    """
    given = type(model).__name__
    while not isinstance(model, Codec):
        inside = (getattr(model, name, None) for name in WRAPPED_AS) if isinstance(model, nn.Module) else ()
        inner = next((module for module in inside if isinstance(module, nn.Module)), None)
        if inner is None:
            remedy = ""
            if isinstance(model, dict):
                remedy = ": load a state dict into a model (load_state_dict) and pass the model"
            elif isinstance(model, (str, os.PathLike)):
                remedy = ": load a file with load_checkpoint, shipped weights with load_pretrained"
            elif isinstance(model, nn.Module):
                remedy = ": pass the codec that it contains"
            raise NDICError(f"model must be one that build_model or load_checkpoint returns; got {given}{remedy}")
        model = inner
    if not with_values:
        return model
    check_device()
    if any(weight.is_meta for weight in model.parameters()):
        raise NDICError(f"this {model.name} is on the meta device, where weights have no values: load weights first")
    for name, weight in model.named_parameters():
        if weight.dtype not in _FLOATS:
            reason = f"{name} is a Parameter of {weight.dtype}, not a dense tensor of floats"
            raise NDICError(f"this {model.name} cannot compute: {reason}; load the weights again")
    return model


@contextmanager
def evaluating(model: nn.Module):
    """Evaluation mode within the block: dropout or noise at one end only would corrupt the image.

    The mode is restored when the last of several blocks ends, since threads share a model.
    """
    with _MODES:
        blocks, training = _EVALUATED.get(model, (0, None))
        if not blocks:
            training = [module for module in model.modules() if module.training]
            model.eval()
        _EVALUATED[model] = blocks + 1, training
    try:
        yield
    finally:
        with _MODES:
            blocks, training = _EVALUATED.pop(model)
            if blocks > 1:
                _EVALUATED[model] = blocks - 1, training
            else:
                for module in training:
                    module.training = True
