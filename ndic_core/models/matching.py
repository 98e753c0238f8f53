"""Stereo matching of features by attention: a search along the row, then refinement scale by scale."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndic_core.models.bands import reach
from ndic_core.models.transforms import conv, sequence
from ndic_core.models.warping import channels_begin, channels_end, mirrored, read_at, shifted

SHARE = 3 / 16  # fraction of the image's width that is searched, where that is more than `search_range`
BACKWARD = 3  # the search to the right covers the range to the left divided by this
REACH = 2  # columns to either side of the coarser offset that the finer scales compare
OUTSIDE = -1e4  # logit of a position outside y
FAR = 1e6  # offset of a position outside x


class Match(NamedTuple):
    """The match in y of each position of x's features, at one scale, in positions of that scale and float32.

    Attributes:
        offset: (B, 2, h, w), rows and columns from a position of x to its match.
        places: (B or 1, K, 2, h or 1, w or 1), the candidate offsets.
        weights: (B, K + 1, h, w), attention weights of the candidates and, last, of the no-match token; they add up
            to 1.
    """

    offset: Tensor
    places: Tensor
    weights: Tensor

    @classmethod
    def none(cls, like: Tensor) -> "Match":
        """No match anywhere for features such as `like`, (B, N, h, w)."""
        b, _, h, w = like.shape
        zero = torch.zeros(b, 2, h, w, dtype=torch.float32, device=like.device)
        return cls(zero, zero[:, None], torch.stack([zero[:, 0], zero[:, 0] + 1], 1))

    @property
    def confidence(self) -> Tensor:
        """1 minus the weight of the no-match token, (B, h, w)."""
        return 1 - self.weights[:, -1]

    def finer(self) -> tuple[Tensor, Tensor]:
        """At the next scale, twice as fine: the offset, (B, 2, 2h, 2w), and the confidence's logit, (B, 2h, 2w)."""
        both = torch.cat([2 * self.offset, self.confidence.logit(1e-4)[:, None]], 1)
        both = F.interpolate(both, scale_factor=2, mode="bilinear", align_corners=False)
        return both[:, :2], both[:, 2]

    def mirrored(self, which: Tensor | bool) -> "Match":
        """The same, mirrored left for right in all images, in none, or in those where `which` (B,) is true."""
        if which is False:
            return self
        offset, places, weights = (mirrored(part, which) for part in self)
        side = 1 - 2 * torch.as_tensor(which).to(offset).reshape(-1, 1, 1)
        turn = torch.stack([torch.ones_like(side), side], 2)[..., None]  # (1 or B, 1, 2, 1, 1)
        return Match(offset * turn[:, 0], places * turn, weights)

    def rows(self, rows: slice) -> "Match":
        """The matches of some rows."""
        places = self.places if self.places.shape[-2] == 1 else self.places[..., rows, :]
        return Match(self.offset[..., rows, :], places, self.weights[..., rows, :])

    def brief(self) -> "Match":
        """The offset and the confidence, which the next scale starts from, without the candidates."""
        weights = torch.stack([self.confidence, self.weights[:, -1]], 1)
        return Match(self.offset, self.offset[:, None], weights)

    def of(self, images: Tensor) -> "Match":
        """The matches of some images of the batch, by index."""
        places = self.places.expand(len(self.offset), *self.places.shape[1:])
        return Match(self.offset[images], places[images], self.weights[images])

    def window(self, rows: int, columns: int) -> Tensor:
        """The weights distributed to the nearest integer offsets: (B, 1, h, w, 2·rows + 1, 2·columns + 1).

        Weights of offsets beyond `rows` and `columns` are left out.
        """
        weights = self.weights[:, :-1]
        b, _, h, w = weights.shape
        row, column = (self.places[:, :, i].expand_as(weights) for i in (0, 1))
        grid = weights.new_zeros(b, (2 * rows + 1) * (2 * columns + 1), h, w)
        for down in (0, 1):
            for right in (0, 1):
                i, j = row.floor() + down, column.floor() + right
                share = weights * (1 - (row - i).abs()) * (1 - (column - j).abs())
                share = share.where((i.abs() <= rows) & (j.abs() <= columns), 0)
                at = (i + rows).clamp(0, 2 * rows) * (2 * columns + 1) + (j + columns).clamp(0, 2 * columns)
                grid = grid.scatter_add(1, at.long(), share)
        return grid.permute(0, 2, 3, 1).reshape(b, 1, h, w, 2 * rows + 1, 2 * columns + 1)


class _Alignment(nn.Module):
    """Base of both alignment modules: the no-match token, the norms and the queries."""

    def __init__(self, channels: tuple[int, int], out: int, groups: int, group_width: int, kernel: int):
        super().__init__()
        of_x, of_y = channels
        self.groups = groups
        self.no_match = zeroed(nn.Linear(of_x, 1))
        self.no_match_value = nn.Parameter(torch.zeros(out))
        self.norm_x, self.norm_y = nn.LayerNorm(of_x), nn.LayerNorm(of_y)
        self.to_q = conv(of_x, groups * group_width, kernel, 1)

    def without(self, t: Tensor) -> tuple[Tensor, Match]:
        """The result of `forward` if no position of y matched."""
        b, _, h, w = t.shape
        return self.no_match_value[:, None, None].expand(b, -1, h, w), Match.none(t)


class RowSearch(_Alignment):
    """Searches the match of every position in a wide window along the row of y, at the coarsest scale.

        t ─ norm ─ to_q ─ q ─┐
                             ├─ q·k, group by group ─ cost volume ─ + refine(·) ─ softmax ─ weights ─┐
        u ─ norm ─ to_k ─ k ─┘                                                                       ├─ aligned
        u ─ norm ─ to_v ─ v ─────────────────────────────────────────────────────────────────────────┘

    In repeated structures the products of one position are ambiguous. Convolutions of the cost volume over offset, row
    and column use the neighbours too (Kendall et al., ICCV 2017, arXiv 1703.04309, section 3.3; products in groups of
    channels: Guo et al., CVPR 2019, arXiv 1903.04025, section 3.2). The weights are a softmax over the offsets and a
    no-match token, whose logit is computed from t: parallax attention (Wang et al., CVPR 2019, arXiv 1903.05784,
    section 3.2).

    Args:
        channels: of the features of x and of y.
        reach: rows up and down, and columns to the left, that are searched at least; with wide features `SHARE` of
            their width is searched. The range to the right is that to the left divided by `BACKWARD`.
        out: channels of the aligned features.
        groups, group_width: of the products.
    """

    def __init__(
        self, channels: tuple[int, int], reach: tuple[int, int], out: int, groups: int = 4, group_width: int = 8
    ):
        super().__init__(channels, out, groups, group_width, kernel=3)
        self.reach = reach
        self.to_k = conv(channels[1], groups * group_width, 3, 1)
        self.to_v = conv(channels[1], out, 1, 1)
        self.refine = _convolutions(nn.Conv3d(groups, 8, 3, padding=1), nn.Conv3d(8, 1, 3, padding=1))
        columns = reach[1] + math.ceil(reach[1] / BACKWARD) + 1
        self.bias = nn.Parameter(torch.zeros(2 * reach[0] + 1, columns))  # a learned prior of each offset

    def forward(self, t: Tensor, u: Tensor, before: None = None) -> tuple[Tensor, Match]:
        """Aligned features of y, (B, out, h, w), and the match, from t (B, N, h, w) of x and u (B, M, h, w) of y."""
        rows, left, right = self.window(t.shape[-1])
        t, u = self.norm_x(channels_end(t)), self.norm_y(channels_end(u))
        q, k, v = (channels_end(to(channels_begin(f))) for to, f in ((self.to_q, t), (self.to_k, u), (self.to_v, u)))
        volume = _products(q, shifted(k, rows, left, right), self.groups)
        places = _grid(rows, left, right, t.device)
        logits = volume.sum(1).float() + _refined(self.refine, volume, 2 * rows + 1)
        logits = logits + self._bias(left, right)[:, None, None]
        weights, logits = _attention(logits, places, self.no_match(t))
        match = Match(_peak(logits, places), places, weights)
        return _weighted(weights, shifted(v, rows, left, right), self.no_match_value), match

    def window(self, width: int) -> tuple[int, int, int]:
        """Rows up and down, columns to the left and to the right that are searched in features of this width."""
        rows, columns = self.reach
        left = min(max(columns, math.ceil(SHARE * width)), width - 1)
        return rows, left, math.ceil(left / BACKWARD)

    def _bias(self, left: int, right: int) -> Tensor:
        """(K,); offsets outside the range of the learned biases have the bias of the nearest."""
        furthest = self.reach[1]
        columns = torch.arange(-left, right + 1, device=self.bias.device)
        columns = columns.clamp(-furthest, self.bias.shape[1] - 1 - furthest) + furthest
        return self.bias[:, columns].flatten().float()


class RowRefinement(_Alignment):
    """Refines a match at the next finer scale: compares a few offsets around the upsampled one.

    y's features are read at the upsampled offsets by bilinear interpolation, and each position of x is compared with
    those read for its neighbours within ± `REACH` columns. The new offset is the weighted mean of the candidates.
    Convolutions use the neighbours' products, as in `RowSearch`; the few offsets are channels here. The logit of the
    no-match token starts from the confidence at the coarser scale.

    Args:
        channels: of the features of x and of y.
        rows: up and down that are compared.
        out: channels of the aligned features.
        kernel: of the projections to queries, keys and values.
        groups, group_width: of the products.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        rows: int,
        out: int,
        kernel: int = 1,
        groups: int = 4,
        group_width: int = 8,
    ):
        super().__init__(channels, out, groups, group_width, kernel)
        self.rows = rows
        places = (2 * rows + 1) * (2 * REACH + 1)
        self.to_kv = conv(channels[1], groups * group_width + out, kernel, 1)
        self.refine = _convolutions(conv(groups * places + 1, 16, 3, 1), conv(16, places + 1, 3, 1))
        self.bias = nn.Parameter(torch.zeros(places))
        self.belief = nn.Parameter(torch.ones(()))  # weight of the coarser scale's confidence

    def forward(self, t: Tensor, u: Tensor, before: Match) -> tuple[Tensor, Match]:
        """As of `RowSearch`; `before` is the match at the coarser scale."""
        offset, belief = before.finer()
        t, u = self.norm_x(channels_end(t)), self.norm_y(channels_end(u))
        q, kv = (channels_end(to(channels_begin(f))) for to, f in ((self.to_q, t), (self.to_kv, u)))
        no_match = self.no_match(t).float()
        del t, u  # copies of all features
        width = q.shape[-1]
        k, v = read_at(kv, offset, self.rows > 0).to(kv.dtype).split([width, kv.shape[-1] - width], -1)
        moved = torch.stack(shifted(channels_end(offset), self.rows, REACH, REACH, FAR), 1)  # offsets of the neighbours
        places = moved.movedim(-1, 2) + _grid(self.rows, REACH, REACH, offset.device)
        volume = _products(q, shifted(k, self.rows, REACH, REACH), self.groups)
        seen = torch.cat([volume.movedim(1, -1).movedim(1, -2).flatten(3), belief[..., None].to(volume)], -1)
        refined = self.refine(channels_begin(seen)).float()
        logits = volume.sum(1).float() + refined[:, :-1] + self.bias.float()[:, None, None]
        no_match = no_match + channels_end(refined[:, -1:]) - self.belief * belief[..., None]
        weights, logits = _attention(logits, places, no_match + math.log(len(self.bias)))
        known = logits > OUTSIDE
        mean = (logits.softmax(1)[:, :, None] * places.where(known[:, :, None], 0)).sum(1)
        match = Match(mean.where(known.any(1)[:, None], offset), places, weights)
        return _weighted(weights, shifted(v, self.rows, REACH, REACH), self.no_match_value), match


def _convolutions(first: nn.Module, second: nn.Module) -> nn.Sequential:
    return sequence(conv1=first, relu=nn.ReLU(), conv2=zeroed(second))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with all weights set to 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _refined(convolutions: nn.Module, volume: Tensor, rows: int) -> Tensor:
    """The cost volume (B, G, K, h, w) after convolutions over column offset, row and column: (B, K, h, w), float32."""
    volume = volume.unflatten(2, (rows, -1)).transpose(1, 2).flatten(0, 1)
    columns = volume.shape[2]
    half = math.ceil(columns / 2) + reach(convolutions)  # with what it depends on; the same reach along all axes
    if len(volume) > 1 or half >= columns:
        refined = convolutions(volume)[:, 0]
    else:  # as a batch of two halves of the offsets: for a single volume, PyTorch may choose a slow algorithm on a CPU
        first, second = convolutions(torch.cat([volume[:, :, :half], volume[:, :, -half:]]))[:, 0].chunk(2)
        refined = torch.cat([first[:, : columns // 2], second[:, columns // 2 - columns :]], 1)
    return refined.unflatten(0, (-1, rows)).flatten(1, 2).float()


def _products(q: Tensor, keys: Sequence[Tensor], groups: int) -> Tensor:
    """Scaled products of queries and each key, in groups of channels: (B, groups, K, h, w)."""
    q = q * (q.shape[-1] / groups) ** -0.5
    return torch.stack([(q * k).unflatten(-1, (groups, -1)).sum(-1) for k in keys], 1).movedim(-1, 1)


def _attention(logits: Tensor, places: Tensor, no_match: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, K + 1, h, w) from logits of the places (B, K, h, w) and the token (B, h, w, 1); and masked logits."""
    logits = logits.where(inside(places, logits), OUTSIDE)
    return torch.cat([logits, no_match.float().movedim(-1, 1)], 1).softmax(1), logits


def _weighted(weights: Tensor, values: Sequence[Tensor], of_token: Tensor) -> Tensor:
    """Values (B, h, w, C) each, and the token's (C,), summed by weight: (B, C, h, w)."""
    parts = weights.to(values[0].dtype)[..., None].unbind(1)
    total = parts[-1] * of_token.to(values[0].dtype)
    for part, value in zip(parts, values, strict=False):
        total = total + part * value
    return channels_begin(total)


def _peak(logits: Tensor, places: Tensor) -> Tensor:
    """The mean of the places around the best one, (B, 2, h, w); the mean of all would be between two matches."""
    near = places - places[0, :, :, 0, 0][logits.detach().argmax(1)].movedim(-1, 1)[:, None]
    near = (near[:, :, 0].abs() <= 1) & (near[:, :, 1].abs() <= REACH)
    return (logits.where(near, OUTSIDE).softmax(1)[:, :, None] * places).sum(1)


def _grid(rows: int, left: int, right: int, device: torch.device) -> Tensor:
    """Integer offsets, row by row: (1, K, 2, 1, 1)."""
    exact = dict(dtype=torch.float32, device=device)  # whatever the default is
    steps = (torch.arange(-first, last + 1, **exact) for first, last in ((rows, rows), (left, right)))
    return torch.stack(torch.meshgrid(*steps, indexing="ij"), -1).reshape(1, -1, 2, 1, 1)


def inside(places: Tensor, like: Tensor) -> Tensor:
    """Whether the places (B, K, 2, h, w) of each position are within y, of the same size as `like`: (B, K, h, w)."""
    h, w = like.shape[-2:]
    row = torch.arange(h, device=like.device)[:, None] + places[:, :, 0]
    column = torch.arange(w, device=like.device) + places[:, :, 1]
    return (row >= -0.5) & (row <= h - 0.5) & (column >= -0.5) & (column <= w - 0.5)
