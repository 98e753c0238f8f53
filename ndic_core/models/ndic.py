"""Codecs with side information at the decoder: common information w is extracted from y alone."""

import torch
from torch import Tensor, nn

from ndic_core.models.bands import analysed, synthesised
from ndic_core.models.codec import Codec, Lambda
from ndic_core.models.entropy_models import FactorizedPrior, ScaleHyperprior
from ndic_core.models.gain import scaled
from ndic_core.models.transforms import analysis_4, channels_last, synthesis_4

W_NOISE = 0.001**0.5  # standard deviation of the noise that is added to w in training


class NDIC(Codec):
    """Neural distributed image compression with common information (Mital et al. 2022, arXiv 2106.11723, figure 2).

        sender     x ── analysis_x ── h_x ── prior_x ── ĥ_x ─┬─ synthesis_x ── x̂
        receiver   y ── analysis_w ── w ─────────────────────┤
                   y ── analysis_y ── h_y ───────────────────┴─ synthesis_y ── ŷ

    Both syntheses take their latent with w appended. Only ĥ_x is sent; `prior_y` and `prior_w`
    estimate the rates of h_y and w for the loss.
    """

    prior_y: nn.Module

    def __init__(self, num_filters: int, lmbda: Lambda, **options):
        super().__init__(num_filters, lmbda, **options)
        self.analysis_x = analysis_4(num_filters)
        self.analysis_y = analysis_4(num_filters)
        self.analysis_w = analysis_4(num_filters)
        self.prior_w = FactorizedPrior(num_filters, transmitted=False)
        self.synthesis_x = synthesis_4(2 * num_filters, num_filters)
        self.synthesis_y = synthesis_4(2 * num_filters, num_filters)

    def forward(
        self, x: Tensor, y: Tensor | None = None, lmbda: float | Tensor | None = None, side: bool = True
    ) -> dict:
        """As of `Codec`; with `side` also `y_hat` (B, 3, H, W) and the likelihoods "y" ("z_y") and "w", not sent."""
        if not side:
            return super().forward(x, y, lmbda)
        h_x, likelihoods, inverse = self._sent(x, y, lmbda)
        y = channels_last(y)
        h_y, of_y = self.prior_y(self.analysis_y(y))
        w = self.common_information(y)
        _, of_w = self.prior_w(w)
        x_hat, y_hat = self.synthesise(scaled(h_x, inverse), h_y, w)
        likelihoods.update(zip(("y", "z_y"), of_y, strict=False), w=of_w[0])
        return {"x_hat": x_hat, "y_hat": y_hat, "likelihoods": likelihoods}

    def common_information(self, y: Tensor) -> Tensor:
        """w, (B, N, H/16, W/16), computed from the side image alone; with noise in training."""
        w = analysed(self.analysis_w, y)
        return w + W_NOISE * torch.randn_like(w) if self.training else w

    def synthesise(self, h_x: Tensor, h_y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Both images from their latents and the common information."""
        return self.synthesis_x(join(h_x, w)), self.synthesis_y(join(h_y, w))

    def reconstruct(self, h_x: Tensor, y: Tensor, inverse: Tensor | None = None) -> Tensor:
        return synthesised(self.synthesis_x, join(scaled(h_x, inverse), self.common_information(y)))


class NDICBls17(NDIC):
    """NDIC with factorised priors on all three latents (the published "NDIC on Balle2017").

    Example:
        >>> import torch
        >>> out = NDICBls17(num_filters=8).eval()(*torch.rand(2, 1, 3, 32, 48))
        >>> sorted(out["likelihoods"])
        ['w', 'x', 'y']
    """

    name = "ndic_bls17"

    def __init__(self, num_filters: int = 192, lmbda: Lambda = 3e-5):
        super().__init__(num_filters, lmbda)
        self.prior_x = FactorizedPrior(num_filters)
        self.prior_y = FactorizedPrior(num_filters, transmitted=False)


class NDICBmshj18(NDIC):
    """NDIC with scale hyperpriors on the latents of x and y, a factorised prior on w.

    Example:
        >>> import torch
        >>> out = NDICBmshj18(num_filters=8).eval()(*torch.rand(2, 1, 3, 64, 128))
        >>> sorted(out["likelihoods"])
        ['w', 'x', 'y', 'z', 'z_y']
    """

    name = "ndic_bmshj18"

    def __init__(self, num_filters: int = 192, lmbda: Lambda = 3e-5):
        super().__init__(num_filters, lmbda)
        self.prior_x = ScaleHyperprior(num_filters)
        self.prior_y = ScaleHyperprior(num_filters, transmitted=False)


def join(features: Tensor, others: Tensor) -> Tensor:
    """Concatenation along channels, in the memory format that convolutions are fastest in."""
    return channels_last(torch.cat([features, others], dim=1))
