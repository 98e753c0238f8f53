"""The parallax-attention codec: features of y, and y itself, are aligned with x along the image row."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndic_core.catalogue import DOWNSAMPLING, STRIDES
from ndic_core.models.bands import Rows, bands, rows_of
from ndic_core.models.codec import Codec, Lambda, evaluating
from ndic_core.models.entropy_models import FactorizedPrior
from ndic_core.models.gain import scaled
from ndic_core.models.matching import BACKWARD, REACH, Match, RowRefinement, RowSearch, inside, zeroed
from ndic_core.models.ndic import join
from ndic_core.models.parallax_bands import reconstruct_in_bands
from ndic_core.models.transforms import analysis_4, channels_last, conv, sequence, synthesis_4
from ndic_core.models.warping import channels_begin, channels_end, chosen, mirrored, read_at


class ScaleFeatures(NamedTuple):
    """Features and match at one scale, 1/8, 1/4 or 1/2 of the image's size.

    Attributes:
        t: features of x, (B, N, h, w).
        u: features of y, (B, M, h, w).
        aligned: features of y aligned with x, (B, N/2, h, w).
        match: the match of x in y.
    """

    t: Tensor
    u: Tensor
    aligned: Tensor
    match: Match


class Pyramid(nn.Module):
    """Features of y at 1/2, 1/4 and 1/8 of its size; smaller than an analysis, as nothing is to be compressed.

    Args:
        channels: of the features at 1/2, 1/4 and 1/8.
    """

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        half, quarter, eighth = channels
        self.conv1 = conv(3, half, 5, 2)
        self.conv2 = conv(half, quarter, 3, 2)
        self.conv3 = conv(quarter, eighth, 3, 2)

    def forward(self, y: Tensor) -> list[Tensor]:
        """The features of y (B, 3, H, W), the coarsest first."""
        found = []
        for layer in (self.conv1, self.conv2, self.conv3):
            y = _leaky(layer(y))
            found.insert(0, y)
        return found

    def rows(self, y: Tensor, scale: int, rows: Rows) -> Tensor:
        """Some rows of the features at a scale: 0 is the coarsest, as in the list of `forward`."""
        layers = (self.conv1, _leaky, self.conv2, _leaky, self.conv3, _leaky)
        return rows_of(layers[: 2 * (3 - scale)], y, rows)


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.1)


class Retouch(nn.Module):
    """Refines x̂ at full resolution with y, warped to x by the match.

    The input of the convolutions is x̂, the confidence, and the difference between the warped y and x̂ times the
    confidence: where this is 0, y has no effect.

    Args:
        vertical: whether matches may be located in other rows.
    """

    def __init__(self, vertical: bool):
        super().__init__()
        self.vertical = vertical
        self.layers = sequence(
            conv1=conv(7, 16, 3, 1),
            relu1=nn.LeakyReLU(0.1),
            conv2=conv(16, 16, 3, 1),
            relu2=nn.LeakyReLU(0.1),
            conv3=zeroed(conv(16, 3, 3, 1)),
        )

    def forward(self, x_hat: Tensor, y: Tensor | None, match: Match) -> Tensor:
        """x̂ (B, 3, H, W), refined with y and the match at half its size; y may be None."""
        inputs = [channels_end(x_hat)]
        if y is None:
            b, _, h, w = x_hat.shape
            inputs.append(x_hat.new_zeros(b, h, w, 4))
        else:
            offset, logit = match.finer()
            confidence = (logit.sigmoid() * inside(offset[:, None], offset)[:, 0])[..., None]
            difference = confidence * (read_at(channels_end(y), offset, self.vertical) - inputs[0])
            inputs += [part.to(x_hat) for part in (difference, confidence)]
        return x_hat + self.layers(channels_begin(torch.cat(inputs, -1)))


class ParallaxAttention(Codec):
    """Alignment by attention along the image row, where the second camera of a stereo pair shows the same point; an
    architecture of this project, after parallax attention (Wang et al. 2019, arXiv 1903.05784).

        sender     x ── analysis_x ── h_x ── prior_x ── ĥ_x
        receiver   ĥ_x ── stage1 ─┬──────── stage2 ─┬──────────── stage3 ─┬──────────── stage4 ─── retouch ── x̂
                             RowSearch 1/8 ── RowRefinement 1/4 ── RowRefinement 1/2 ────────────────┤
                   y ── pyramid_y ───┴─────────────────┴──────────────────────┴──────────────────────┘

    y is used only through the alignment, without a bottleneck. The alignment searches mainly to the left: where the
    right camera took x, features are mirrored before it, and aligned features are mirrored back.

    Accepts images whose sides are multiples of 16.

    Args:
        num_filters, lmbda: as of `Codec`.
        search_range: pixels that a match may be located to the left in y (to the right, where the right camera took x),
            at least: images wider than 16/3 of it are searched over 3/16 of their width. A third as far is searched in
            the other direction.
        search_rows: pixels that it may be located up or down: 0 for rectified, synchronised cameras, a few otherwise;
            rounded up at each scale.
        robust: whether it is trained with mismatched and missing y too; then y may be None.

    Example:
        >>> import torch
        >>> model = ParallaxAttention(num_filters=8, search_range=16).eval()
        >>> x, y = torch.rand(2, 1, 3, 32, 64)
        >>> model(x, y)["x_hat"].shape
        torch.Size([1, 3, 32, 64])
        >>> [tuple(layer.shape) for layer in model.attention_maps(x, y)]
        [(1, 1, 4, 8, 1, 5), (1, 1, 8, 16, 1, 13), (1, 1, 16, 32, 1, 29)]
    """

    name = "parallax_attention"
    takes_camera = True
    band_bytes = Codec.band_bytes | {"decode": 10}

    def __init__(
        self,
        num_filters: int = 192,
        lmbda: Lambda = 3e-5,
        search_range: int = 96,
        search_rows: int = 0,
        robust: bool = False,
    ):
        super().__init__(num_filters, lmbda, search_range=search_range, search_rows=search_rows, robust=robust)
        n = num_filters
        out = max(1, n // 2)
        self.analysis_x = analysis_4(n)
        self.prior_x = FactorizedPrior(n)
        self.pyramid_y = Pyramid((out, n, n))
        self.cams = nn.ModuleList(
            [
                RowSearch((n, n), (-(-search_rows // STRIDES[0]), -(-search_range // STRIDES[0])), out),
                RowRefinement((n, n), int(search_rows > 0), out, kernel=3),
                RowRefinement((n, out), int(search_rows > 0), out, groups=2),
            ]
        )
        self.synthesis_x = synthesis_4(n, n, joined=out)
        self.retouch = Retouch(vertical=search_rows > 0)
        self._recorded: list[ScaleFeatures] | None = None  # by `watched`

    @classmethod
    def key_shapes(cls, config: dict) -> dict[str, tuple[int, ...]]:
        rows, left = (-(-config[key] // STRIDES[0]) for key in ("search_rows", "search_range"))
        bias = (2 * rows + 1, left + math.ceil(left / BACKWARD) + 1)
        return super().key_shapes(config) | {"cams.0.bias": bias}

    @property
    def y_optional(self) -> bool:
        return self.config["robust"]

    def forward(
        self,
        x: Tensor,
        y: Tensor | None = None,
        lmbda: float | Tensor | None = None,
        side: bool = True,
        right: bool | Tensor | None = None,
    ) -> dict:
        """As of `Codec`; `y` may be None for a robust model.

        Args:
            x, y, lmbda, side: as there; `side` has no effect.
            right: whether the right camera took all x, so that matches are located further right in y, or (B,) of
                these. With None, as in decoding, both directions are tried, and for each image the one with the sharper
                attention is used.
        """
        h_x, likelihoods, inverse = self._sent(x, y, lmbda)
        return {"x_hat": self.reconstruct(h_x, y, inverse, right), "likelihoods": likelihoods}

    def reconstruct(
        self, h_x: Tensor, y: Tensor | None, inverse: Tensor | None = None, right: bool | Tensor | None = None
    ) -> Tensor:
        """The decoder's transforms, see `Codec`; `right` as in `forward`."""
        parts = bands(*(DOWNSAMPLING * side for side in h_x.shape[-2:]))
        if len(parts) > 1 and self._recorded is None:
            right = right if isinstance(right, Tensor) else [right] * len(h_x)
            images = zip(
                scaled(h_x, inverse).split(1), [None] * len(h_x) if y is None else y.split(1), right, strict=True
            )
            return torch.cat([reconstruct_in_bands(self, *image, parts) for image in images])
        *stages, last = self.synthesis_x
        t, match, turn = scaled(h_x, inverse), None, right
        y = y if y is None else channels_last(y)
        features = [None] * 3 if y is None else self.pyramid_y(y)
        for stage, cam, u in zip(stages, self.cams, features, strict=True):
            t = stage(t)
            if u is None:
                (aligned, match), turn = cam.without(t), False
            elif turn is None:
                turn, aligned, match = self._either_way(t, u)
            else:
                aligned, match = cam(mirrored(t, turn), mirrored(u, turn), match)
            aligned = mirrored(aligned, turn).to(t)
            if self._recorded is not None:
                self._recorded.append(ScaleFeatures(t, u, aligned, match.mirrored(turn)))
            t = join(t, aligned)
        return self.retouch(last(t), y, match.mirrored(turn))

    def _either_way(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Match]:
        """Which images of a batch are to be mirrored, their aligned features, so mirrored, and the match."""
        found = []
        for pair in ((t, u), (t.flip(-1), u.flip(-1))):
            aligned, match = self.cams[0](*pair)
            found.append((aligned, *match))
        # Entropy, not the no-match token's weight: the wrong direction was never trained. Without matches it is high.
        entropy = [torch.special.entr(weights).sum(1).mean((1, 2)) for *_, weights in found]
        turn = entropy[1] < entropy[0]
        aligned, *match = (chosen(turn, *both) for both in zip(*found, strict=True))
        return turn, aligned, Match(*match)

    @torch.no_grad()
    def attention_maps(self, x: Tensor, y: Tensor, lmbda: float | Tensor | None = None) -> list[Tensor]:
        """The attention weights of each layer, for images (B, 3, H, W) in [0, 1]; arguments and errors as of `forward`.

        Returns:
            Three tensors, at 1/8, 1/4 and 1/2 of the image size, (B, 1, h, w, rows, columns): row and column in x, and
            integer offsets from there to y, [0, 0] the furthest up and left. Weights are in [0, 1] and add up to 1
            together with the weight of the no-match token.
        """
        with evaluating(self), self.watched() as recorded:
            self(x, y, lmbda=lmbda)
        rows, left, _ = self.cams[0].window(recorded[0].t.shape[-1])
        maps = []
        for one in recorded:
            maps.append(one.match.window(rows, left))
            rows, left = 2 * rows + self.cams[1].rows, 2 * left + REACH
        return maps

    @contextmanager
    def watched(self) -> Iterator[list[ScaleFeatures]]:
        """Within the block, `forward` appends the features and the match of each scale, with gradients, to the list."""
        self._recorded = []
        try:
            yield self._recorded
        finally:
            self._recorded = None
