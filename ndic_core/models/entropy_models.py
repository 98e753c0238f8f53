"""Entropy models and their coding tables.

A prior that is `transmitted` quantises its latent (uniform noise in training, rounding in evaluation) and can
write and read it. Another evaluates the likelihood of the unquantised latent: y's own latent and the common
information are not sent.
"""

import copy
import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndic_core.models._compressai import EntropyBottleneck, GaussianConditional, pmf_to_quantized_cdf
from ndic_core.models.coding.integer import FRACTION_BITS, IntegerSynthesis
from ndic_core.models.coding.rans import PRECISION, SymbolDecoder, SymbolEncoder, Tables
from ndic_core.models.transforms import conv, deconv, sequence

TAIL_MASS = 1e-9  # probability left outside a coding table
TABLE_RADIUS = 1024  # values farther out are coded in plain bits
SCALE_LEVELS = 64
SMALLEST_SCALE, LARGEST_SCALE = 0.11, 256.0


def quantise(values: Tensor, training: bool) -> Tensor:
    """Uniform noise in [-0.5, 0.5) in training (Ballé et al. 2017, section 2), rounding otherwise."""
    return values + torch.rand_like(values) - 0.5 if training else values.round()


def no_autocast(values: Tensor) -> torch.autocast:
    """Disables autocast: bf16 has too few digits for the logarithm of a likelihood and for latents beyond 256."""
    return torch.autocast("cpu" if values.is_meta else values.device.type, enabled=False)  # none for meta


class FactorizedPrior(EntropyBottleneck):
    """One learned density per channel (Ballé et al. 2018, appendix 6.1), with hidden widths (3, 3, 3).

    CompressAI's density, with two changes: latents are rounded to integers without a median (as the published
    checkpoints expect), and the likelihood is evaluated in the left tail, where the sigmoid keeps its precision. The
    quantiles that bound the coding tables are solved for when the tables are computed, so there is no auxiliary loss.

    Args:
        channels: of the latent.
        transmitted: whether the latent is sent, hence quantised.
    """

    def __init__(self, channels: int, transmitted: bool = True):
        super().__init__(channels, filters=(3, 3, 3), tail_mass=TAIL_MASS)
        self.transmitted = transmitted
        del self.quantiles
        self.register_buffer("quantiles", torch.zeros(channels, 1, 3), persistent=False)

    def forward(self, h: Tensor, gain: Tensor | None = None) -> tuple[Tensor, tuple[Tensor]]:
        """`h` (B, C, H, W) as the decoder receives it, and its likelihoods (at least 1e-9) in the same shape.

        The density is that of the latent without its `gain` (B, C), which acts as the quantiser's step size: one
        density serves all rates.
        """
        with no_autocast(h):
            h = h.float() if h.dtype == torch.bfloat16 else h
            h_hat = quantise(h, self.training) if self.transmitted else h
            return h_hat, (self._probabilities(h_hat, gain),)

    def _probabilities(self, h: Tensor, gain: Tensor | None) -> Tensor:
        lower, upper = (self._by_channel(h + edge, gain) for edge in (-0.5, 0.5))
        # The difference of two sigmoids near 1 is rounding noise; mirrored to the left tail it is precise.
        sign = torch.where(lower + upper > 0, -1.0, 1.0)
        p = self.likelihood_lower_bound((torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs())
        return _by_image(p, h.shape)

    def _by_channel(self, values: Tensor, gain: Tensor | None) -> Tensor:
        """Logits of the cumulative density, (C, 1, B·H·W)."""
        values = values if gain is None else values / gain[:, :, None, None]
        return self._logits_cumulative(values.transpose(0, 1).reshape(self.channels, 1, -1), stop_gradient=False)

    @torch.no_grad()
    def cumulative(self, h: Tensor, gain: Tensor | None = None) -> Tensor:
        """Probability that a latent, before rounding, is at most h: each channel's learned distribution function.

        Args:
            h: (B, C, H, W).
            gain: (B, C), of the rates of variable-rate weights.

        Returns:
            In the shape of `h`. Near 1 it has fewer digits than the likelihoods of `forward`.
        """
        return _by_image(torch.sigmoid(self._by_channel(h, gain)), h.shape)

    @torch.no_grad()
    def probabilities(self, values: Tensor, gain: Tensor | None = None) -> Tensor:
        """Probability of the interval of length 1 around each value, by every channel's learned density.

        At an integer this is the probability of that rounded latent; as a function of all real values it is the density
        of the latent with uniform noise added (Ballé et al. 2017, arXiv 1611.01704, section 3).

        Args:
            values: (n,).
            gain: (C,), of one rate of variable-rate weights.

        Returns:
            (C, n), at least 1e-9, on the CPU.
        """
        h = values.to(next(self.parameters()).device, torch.float32).expand(1, self.channels, 1, -1)
        return self._probabilities(h, None if gain is None else gain.reshape(1, -1))[0, :, 0].cpu()

    @torch.no_grad()
    def tables(self, gain: Tensor | None = None, dtype: torch.dtype = torch.float64) -> Tables:
        """Coding tables of all channels at a `gain` (C,), in float64 for the same rounding on every machine.

        Another `dtype` gives the tables of a coder that computes with it, for comparison; files need float64.
        """
        exact = copy.deepcopy(self).to("cpu", dtype)
        # Not the model's own target, which has other values in 16 bits: the tables are the same in any precision.
        tail = torch.tensor(math.log(2 / TAIL_MASS - 1), dtype=torch.float32)
        exact.target = torch.stack([-tail, 0 * tail, tail]).to(dtype)
        if gain is not None:  # F(v / gain): the first layer's slope, kept positive by a softplus, takes the factor
            slope = F.softplus(exact.matrices[0]) / gain.to("cpu", dtype)[:, None, None]
            exact.matrices[0].copy_(slope + torch.log(-torch.expm1(-slope)))
        exact.quantiles.zero_()  # the medians stay 0
        radius = torch.full((self.channels, 1, 1), float(TABLE_RADIUS), dtype=dtype)
        for i in (0, 2):
            solved = self._search_target(
                lambda v: exact._logits_cumulative(v, stop_gradient=True), exact.target[i], -radius, radius
            )
            exact.quantiles[:, :, i] = solved[:, :, 0]
        exact.update(force=True)
        rows = zip(exact._quantized_cdf.tolist(), exact._cdf_length.tolist(), strict=True)
        return Tables([row[:size] for row, size in rows], exact._offset.tolist())

    def coding_tables(self, gain: Tensor | None = None) -> "FactorizedTables":
        """Tables that write and read this latent, at a rate's gain (C,)."""
        return FactorizedTables(self, gain)


def _by_image(values: Tensor, shape: torch.Size) -> Tensor:
    """(C, 1, B·H·W) → (B, C, H, W)."""
    b, c, height, width = shape
    return values.reshape(c, b, height, width).transpose(0, 1)


class FactorizedTables:
    """Writes and reads a latent with a `FactorizedPrior`."""

    def __init__(self, prior: FactorizedPrior, gain: Tensor | None = None):
        self.parts = (prior.tables(gain),)
        self._bits_per_position = float(self.parts[0].cheapest_bits().sum())

    def _indexes(self, shape: torch.Size) -> Tensor:
        return torch.arange(shape[1], dtype=torch.int32).reshape(1, -1, 1, 1).expand(shape)

    def symbols(self, shape: torch.Size) -> int:
        """Number of symbols in a latent of `shape`."""
        return math.prod(shape)

    def fewest_bits(self, shape: torch.Size) -> float:
        """Lower bound of the bits of any latent of `shape`."""
        return self._bits_per_position * shape[0] * shape[2] * shape[3]

    def write(self, encoder: SymbolEncoder, h: Tensor) -> None:
        encoder.put(h.round(), self._indexes(h.shape), self.parts[0])

    def read(self, decoder: SymbolDecoder, shape: torch.Size) -> Tensor:
        return decoder.take(self._indexes(shape), self.parts[0])


class ScaleHyperprior(nn.Module):
    """A zero-mean Gaussian per latent whose scale is sent as hyper-latent z (Ballé et al. 2018, section 3).

        h ──|·|── hyper_analysis ── z ── quantise ── ẑ ── hyper_synthesis ── sigma
        h ─────── quantise ── ĥ ~ N(0, max(sigma, 0.11)²) over unit bins

    The hyper-analysis follows the published release of NDIC-CAM (Mital et al. 2022, arXiv 2207.08489), not Ballé et al.
    2018 (figure 4): it has no ReLU between its first two convolutions, and its third convolution has no bias.

    Args:
        channels: of the latent; its sides must be multiples of 4.
        transmitted: whether the latent is sent, hence quantised.
    """

    def __init__(self, channels: int, transmitted: bool = True):
        super().__init__()
        n = channels
        self.transmitted = transmitted
        self.hyper_analysis = sequence(
            conv1=conv(n, n, 3, 1), conv2=conv(n, n, 5, 2), relu=nn.ReLU(), conv3=conv(n, n, 5, 2, False)
        )
        self.hyper_synthesis = sequence(
            deconv1=deconv(n, n, 5, 2),
            relu1=nn.ReLU(),
            deconv2=deconv(n, n, 5, 2),
            relu2=nn.ReLU(),
            deconv3=deconv(n, n, 3, 1),
        )
        self.prior_z = FactorizedPrior(n, transmitted)
        self.gaussian = GaussianConditional(None, scale_bound=SMALLEST_SCALE)

    def forward(self, h: Tensor, gain: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`h` (B, C, H, W) as the decoder receives it, its likelihoods, and those of z (B, C, H/4, W/4).

        `gain` is not used: z is computed from the scaled latent and determines its scales.
        """
        z_hat, (p_z,) = self.prior_z(self.hyper_analysis(h.abs()))
        sigma = self.hyper_synthesis(z_hat)
        with no_autocast(h):
            h, sigma = (v.float() if v.dtype == torch.bfloat16 else v for v in (h, sigma))
            h_hat = quantise(h, self.training) if self.transmitted else h
            p = self.likelihood(h_hat, sigma)
        return h_hat, (p, p_z)

    def likelihood(self, h_hat: Tensor, sigma: Tensor) -> Tensor:
        """Probabilities of latents (B, C, H, W) under the scales given for them, in the same shape; 1e-9 at least."""
        return self.gaussian.likelihood_lower_bound(self.gaussian._likelihood(h_hat, sigma))

    def coding_tables(self, gain: Tensor | None = None) -> "HyperpriorTables":
        """Tables that write and read this latent; the same at every gain."""
        return HyperpriorTables(self)


class HyperpriorTables:
    """Writes and reads a latent with a `ScaleHyperprior`: first z, then h with the scales computed from z."""

    def __init__(self, prior: ScaleHyperprior):
        self._hyper_analysis = prior.hyper_analysis
        self._z = prior.prior_z.coding_tables()
        self._gaussian = gaussian_tables()
        self._integer_synthesis = IntegerSynthesis(prior.hyper_synthesis)
        middles = [math.sqrt(a * b) for a, b in pairwise(scale_table())]  # between two scales of the table
        self._thresholds = torch.tensor([round(m * 2**FRACTION_BITS) for m in middles], dtype=torch.float64)
        self._bits_per_symbol = float(self._gaussian.cheapest_bits().min())
        self.parts = (*self._z.parts, self._gaussian)

    def scale_indexes(self, z_hat: Tensor) -> Tensor:
        """Row of the Gaussian table for each latent, (B, C, h, w) → (B, C, 4h, 4w), the same on every machine."""
        return torch.bucketize(self._integer_synthesis(z_hat).contiguous(), self._thresholds)

    def _z_shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size((*shape[:2], shape[2] // 4, shape[3] // 4))

    def symbols(self, shape: torch.Size) -> int:
        """Number of symbols in a latent of `shape`, with those of z."""
        return math.prod(shape) + self._z.symbols(self._z_shape(shape))

    def fewest_bits(self, shape: torch.Size) -> float:
        """Lower bound of the bits of any latent of `shape`."""
        return self._bits_per_symbol * math.prod(shape) + self._z.fewest_bits(self._z_shape(shape))

    def write(self, encoder: SymbolEncoder, h: Tensor) -> None:
        z_hat = self._hyper_analysis(h.abs()).round()
        self._z.write(encoder, z_hat)
        encoder.put(h.round(), self.scale_indexes(z_hat), self._gaussian)

    def read(self, decoder: SymbolDecoder, shape: torch.Size) -> Tensor:
        z_hat = self._z.read(decoder, self._z_shape(shape))
        return decoder.take(self.scale_indexes(z_hat), self._gaussian)


def scale_table() -> list[float]:
    """Scales with a coding table, in equal ratios from 0.11 to 256."""
    ratio = LARGEST_SCALE / SMALLEST_SCALE
    return [SMALLEST_SCALE * ratio ** (i / (SCALE_LEVELS - 1)) for i in range(SCALE_LEVELS)]


def gaussian_tables() -> Tables:
    """A coding table per scale, in float64 for the same rounding on every machine."""
    cdfs, offsets = [], []
    for scale in scale_table():
        radius = math.ceil(-scale * torch.special.ndtri(torch.tensor(TAIL_MASS / 2, dtype=torch.float64)).item())
        edges = (torch.arange(-radius, radius + 2, dtype=torch.float64) - 0.5) / scale
        below = torch.special.ndtr(-edges.abs())  # precise in the tail
        pmf = torch.where(edges[1:] <= 0, below.diff(), -below.diff())
        straddle = (edges[:-1] < 0) & (edges[1:] > 0)
        pmf[straddle] = 1 - below[:-1][straddle] - below[1:][straddle]
        cdfs.append(pmf_to_quantized_cdf(torch.cat([pmf, 2 * below[:1]]), PRECISION).tolist())
        offsets.append(-radius)
    return Tables(cdfs, offsets)
