"""Variable rate: lambdas, rate levels, and gain units that scale the latent before and after quantisation."""

import math
from numbers import Real

import torch
from torch import Tensor, nn

from ndic_core.catalogue import in_words
from ndic_core.errors import NDICError
from ndic_core.models.coding.state import LEVELS

ANCHORS = 8  # rates with learned gains; between them logarithms are interpolated


class GainUnits(nn.Module):
    """A gain and an inverse gain per channel for every rate from 0 to 1 (Cui et al. 2021, "Asymmetric Gained Deep Image
    Compression With Continuous Rate Adaptation", CVPR, arXiv 2003.02057, sections 3.2 and 3.3).

        h ── × gain ── quantise, code ── × inverse ── ĥ

    A larger gain means finer steps, more bits and a better image. Gain and inverse gain are learned separately, as
    there. They are initialised as reciprocals, the gain proportional to the square root of lambda, as the optimal step
    of a uniform quantiser requires at high rate.

    Args:
        channels: of the latent.
        lambdas: lowest and highest lambda, at positions 0 and 1.

    Example:
        >>> gain, inverse = GainUnits(4, (0.01, 0.16))(torch.tensor([0.0, 1.0]))
        >>> gain.shape, gain[:, 0].tolist(), inverse[:, 0].tolist()
        (torch.Size([2, 4]), [0.25, 1.0], [4.0, 1.0])
    """

    def __init__(self, channels: int, lambdas: tuple[float, float]):
        super().__init__()
        lowest = -math.log(lambdas[1] / lambdas[0]) / 2
        start = torch.linspace(lowest, 0, ANCHORS)[:, None].expand(ANCHORS, channels)
        self.log_gain = nn.Parameter(start.clone())
        self.log_inverse = nn.Parameter(-start)

    def forward(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Gains and inverse gains, (B, channels) each, at positions (B,) in [0, 1] between the two lambdas."""
        anchor = position.to(self.log_gain.dtype) * (ANCHORS - 1)
        below = anchor.detach().floor().clamp(0, ANCHORS - 2).long()
        weight = (anchor - below)[:, None]
        return tuple(logs[below].lerp(logs[below + 1], weight).exp() for logs in (self.log_gain, self.log_inverse))


class VariableRate:
    """The rates of a `Codec`: one lambda, or a range of lambdas that gain units cover and files name by levels."""

    gain: GainUnits | None

    @property
    def lambdas(self) -> tuple[float, float]:
        """Lowest and highest lambda; one value twice for single-rate weights."""
        lmbda = self.config["lmbda"]
        return lmbda if isinstance(lmbda, tuple) else (lmbda, lmbda)

    def gains(self, lmbda: float | Tensor | None, batch: int) -> tuple[Tensor | None, Tensor | None]:
        """Gain and inverse gain at `lmbda`, (batch, N) each; None twice for single-rate weights.

        Args:
            lmbda: one for all images, or a tensor (batch,), preferably on the CPU: checking one on a GPU waits for the
                GPU. None is the middle rate (the geometric mean of `lambdas`).
            batch: number of images.

        Raises:
            NDICError: `lmbda` is outside the range of these weights, or neither a number nor such a tensor.
        """
        low, high = self.lambdas
        if lmbda is not None:
            if problem := _type_problem(lmbda, batch):
                raise NDICError(f"these weights have {in_words(low, high)}; lmbda = {problem}")
            wanted = torch.as_tensor(lmbda if isinstance(lmbda, Tensor) else float(lmbda), dtype=torch.float64)
            # Rounding to float32 may move the ends of the range.
            if not bool(((wanted > low * (1 - 1e-6)) & (wanted < high * (1 + 1e-6))).all()):
                # `str`: a format turns NumPy's 5e-05 into 4.999999873689376e-05
                raise NDICError(f"these weights have {in_words(low, high)}; lmbda = {lmbda!s} is not offered")
        if self.gain is None:
            return None, None
        if lmbda is None:
            position = torch.full((batch,), 0.5)
        else:
            position = ((wanted / low).log() / math.log(high / low)).clamp(0, 1).expand(batch)
        return self.gain(position.to(self.device, non_blocking=True))

    def level(self, lmbda: float | None) -> int | None:
        """The rate level, 0 to 255, of `lmbda` in an `.ndic` file; None for single-rate weights."""
        if self.gain is None:
            return None
        low, high = self.lambdas
        position = 0.5 if lmbda is None else math.log(float(lmbda) / low) / math.log(high / low)
        return round(LEVELS * min(max(position, 0), 1))

    def lmbda_at(self, level: int | None) -> float:
        """The lambda of a rate level; the only lambda of single-rate weights."""
        low, high = self.lambdas
        return low if level is None else low * (high / low) ** (level / LEVELS)


def _type_problem(lmbda: object, batch: int) -> str | None:
    """Why an argument is neither a number nor a tensor of numbers, one for each image; None where it is."""
    if isinstance(lmbda, Tensor):
        if tuple(lmbda.shape) in ((), (1,), (batch,)) and not lmbda.is_complex() and not lmbda.is_meta:
            return None
        given = f"a tensor {tuple(lmbda.shape)} of {lmbda.dtype} on {lmbda.device}"
        return f"{given} is not offered: it must be a number{f', or ({batch},) of them' if batch > 1 else ''}"
    if isinstance(lmbda, Real):  # NumPy's numbers are real too
        return None
    return f"{lmbda!s} is not offered: it must be a number, not {type(lmbda).__name__}"


def scaled(latent: Tensor, gain: Tensor | None) -> Tensor:
    """`latent` (B, C, h, w) times `gain` (B, C); unchanged without a gain (single-rate weights)."""
    return latent if gain is None else latent * gain[:, :, None, None]
