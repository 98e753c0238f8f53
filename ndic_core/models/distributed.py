"""Codecs with side information at the decoder only: common information, and its alignment by cross-attention."""

import math

import torch
from torch import Tensor, nn

from ndic_core.errors import NDICError
from ndic_core.models.attention import CrossAttentionModule
from ndic_core.models.codec import DOWNSAMPLING, Codec, Lambda, evaluating
from ndic_core.models.gain import scaled
from ndic_core.models.layout import Layout
from ndic_core.models.priors import FactorizedPrior, ScaleHyperprior
from ndic_core.models.transforms import analysis_4, channels_last, synthesis_4

W_NOISE = 0.001**0.5  # standard deviation of what is added to w in training


class NDIC(Codec):
    """Neural distributed image compression with common information (Mital et al. 2022, arXiv 2106.11723, figure 2).

        sender     x ── analysis_x ── h_x ── prior_x ── ĥ_x ─┬─ synthesis_x ── x̂
        receiver   y ── analysis_w ── w ─────────────────────┤
                   y ── analysis_y ── h_y ───────────────────┴─ synthesis_y ── ŷ

    Both syntheses take their latent with w appended. Only ĥ_x is sent; `prior_y` and `prior_w` judge the
    likelihoods of h_y and w for the loss.
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
        """Both reconstructions and all likelihoods, for images (B, 3, H, W) in [0, 1].

        Args:
            x: the images to send.
            y: the side images, one for each.
            lmbda: of variable-rate weights: one for all images, or (B,) of them; the middle rate where None.
            side: also what no receiver needs: `y_hat` and the likelihoods of y and w. Training for x alone
                (alpha = beta = 0) leaves them out.

        Returns:
            `x_hat` and `y_hat` (B, 3, H, W), not clipped, and `likelihoods` with keys "x" ("z"), "y"
            ("z_y") and "w". Only those named in `transmitted` cost bits on the channel.

        Raises:
            NDICError: `y` is missing, `x` or `y` has a shape or size that the model does not take, or `lmbda` is
                not offered.
        """
        self.check(x, y)
        gain, inverse = self.gains(lmbda, len(x))
        h_x, of_x = self.prior_x(self.analyse(x, gain), gain)
        likelihoods = dict(zip(self.transmitted, of_x, strict=True))
        if not side:
            return {"x_hat": self.reconstruct(h_x, y, inverse), "likelihoods": likelihoods}
        y = channels_last(y)
        h_y, of_y = self.prior_y(self.analysis_y(y))
        w = self.common_information(y)
        _, of_w = self.prior_w(w)
        x_hat, y_hat = self.synthesise(scaled(h_x, inverse), h_y, w)
        likelihoods.update(zip(("y", "z_y"), of_y, strict=False), w=of_w[0])
        return {"x_hat": x_hat, "y_hat": y_hat, "likelihoods": likelihoods}

    def common_information(self, y: Tensor) -> Tensor:
        """w, (B, N, H/16, W/16), drawn from the side image alone; with a little noise in training."""
        w = self.analysis_w(y)
        return w + W_NOISE * torch.randn_like(w) if self.training else w

    def synthesise(self, h_x: Tensor, h_y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Both images from their latents and the common information."""
        return self.synthesis_x(_join(h_x, w)), self.synthesis_y(_join(h_y, w))

    def reconstruct(self, h_x: Tensor, y: Tensor, inverse: Tensor | None = None) -> Tensor:
        w = self.common_information(channels_last(y))
        return self.synthesis_x(_join(scaled(h_x, inverse), w))


class NDICBls17(NDIC):
    """NDIC with factorised priors on all three latents (the published "NDIC on Balle2017").

    Args:
        num_filters: channels of every layer and of each latent.
        lmbda: the lambda the weights are trained for; a pair (lowest, highest) makes one model for all between.

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

    Args:
        num_filters: channels of every layer, of each latent and hyper-latent.
        lmbda: the lambda the weights are trained for; a pair (lowest, highest) makes one model for all between.

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


class CrossAttention(NDIC):
    """NDIC whose two decoders run in step, y's features aligned with x's after each of the first three stages
    (Mital et al. 2022, "... with Cross-Attention Feature Alignment", arXiv 2207.08489, figure 2).

        [ĥ_x, w] ── stage1 ──┬── [·, ·] ── stage2 ──┬── [·, ·] ── stage3 ──┬── [·, ·] ── stage4 ── x̂
                           CAM 1                  CAM 2                  CAM 3
        [h_y, w] ── stage1 ──┴──────────── stage2 ──┴──────────── stage3 ──┴──────────── stage4 ── ŷ

    The CAMs see patches of a fixed size, so the weights fit images of one size; `encode` and `decode`
    work in tiles of it.

    Args:
        num_filters: channels of every layer and of each latent.
        lmbda: the lambda the weights are trained for; a pair (lowest, highest) makes one model for all between.
        image_size: height and width of the images, multiples of 16 and of 8 * `patch_grid`.
        attention_width, heads, head_width, patch_grid, dropout: see `CrossAttentionModule`.

    Raises:
        NDICError: `image_size` does not divide into patches.

    Example:
        >>> import torch
        >>> model = CrossAttention(num_filters=8, image_size=(32, 64), attention_width=16, heads=2).eval()
        >>> x, y = torch.rand(2, 1, 3, 32, 64)
        >>> model(x, y)["x_hat"].shape
        torch.Size([1, 3, 32, 64])
        >>> [tuple(layer.shape) for layer in model.attention_maps(x, y)]
        [(1, 2, 4, 4, 4, 4), (1, 2, 4, 4, 4, 4), (1, 2, 4, 4, 4, 4)]
    """

    name = "cross_attention"

    def __init__(
        self,
        num_filters: int = 192,
        lmbda: Lambda = 3e-5,
        image_size: tuple[int, int] = (128, 256),
        attention_width: int = 256,
        heads: int = 8,
        head_width: int | None = None,
        patch_grid: int = 4,
        dropout: float = 0.1,
    ):
        head_width = head_width or attention_width
        attention = dict(
            attention_width=attention_width,
            heads=heads,
            head_width=head_width,
            patch_grid=patch_grid,
            dropout=dropout,
        )
        super().__init__(num_filters, lmbda, image_size=tuple(image_size), **attention)
        step = math.lcm(DOWNSAMPLING, 8 * patch_grid)
        if any(side < step or side % step for side in image_size):
            raise NDICError(
                f"cross_attention needs an image_size of two multiples of {step} (height, width) with a patch grid "
                f"of {patch_grid}; got {tuple(image_size)}"
            )
        self.prior_x = FactorizedPrior(num_filters)
        self.prior_y = FactorizedPrior(num_filters, transmitted=False)
        self.synthesis_x = synthesis_4(2 * num_filters, num_filters, widened=2)
        self.cams = nn.ModuleList(
            CrossAttentionModule(
                (image_size[0] // shrink, image_size[1] // shrink),
                attention_width,
                heads,
                head_width,
                patch_grid,
                dropout,
            )
            for shrink in (8, 4, 2)
        )

    def synthesise(self, h_x: Tensor, h_y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        t, u = self._in_step(h_x, h_y, w)
        return self.synthesis_x.stage4(t), self.synthesis_y.stage4(u)

    def reconstruct(self, h_x: Tensor, y: Tensor, inverse: Tensor | None = None) -> Tensor:
        y = channels_last(y)
        t, _ = self._in_step(scaled(h_x, inverse), self.analysis_y(y), self.common_information(y))
        return self.synthesis_x.stage4(t)

    @torch.no_grad()
    def attention_maps(self, x: Tensor, y: Tensor, lmbda: float | Tensor | None = None) -> list[Tensor]:
        """Where each patch of x looks in y, per layer; computed only here, never in `forward`.

        Args:
            x, y: images, (B, 3, *image_size) in [0, 1].
            lmbda: as in `forward`.

        Returns:
            Three tensors (at 1/8, 1/4 and 1/2 of the image size), each (B, heads, P, P, P, P): head, patch row
            and column in x, patch row and column in y. Averaged over x's channels and summed over y's, so that each map
            over y adds up to 1.

        Raises:
            NDICError: `x` or `y` has a shape or size that the model does not take.
        """
        self.check(x, y)
        maps: list[Tensor] = []
        with evaluating(self):
            gain, inverse = self.gains(lmbda, len(x))
            h_x, _ = self.prior_x(self.analyse(x, gain), gain)
            y = channels_last(y)
            self._in_step(scaled(h_x, inverse), self.analysis_y(y), self.common_information(y), maps)
        return maps

    def layout(self, height: int, width: int) -> Layout:
        return Layout(height, width, self.config["image_size"])

    def _in_step(self, h_x: Tensor, h_y: Tensor, w: Tensor, maps: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Features of both decoders after three stages; each CAM's attention is appended to `maps`, where given."""
        t, u = _join(h_x, w), _join(h_y, w)
        for stage_x, stage_y, cam in zip(self.synthesis_x, self.synthesis_y, self.cams, strict=False):
            t, u = stage_x(t), stage_y(u)
            if maps is not None:
                maps.append(cam.attention(t, u))
            t = _join(t, cam(t, u))
        return t, u

    def _sizes_allowed(self) -> str:
        height, width = self.config["image_size"]
        return f"with these weights takes images of exactly {height} × {width}"


def _join(features: Tensor, others: Tensor) -> Tensor:
    """Side by side along channels, in the layout that convolutions are fastest in."""
    return channels_last(torch.cat([features, others], dim=1))
