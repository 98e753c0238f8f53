"""Matching accuracy of attention against the true disparity of rectified scenes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from ndic_core.catalogue import STRIDES
from ndic_core.data.disparity import true_offsets
from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError
from ndic_core.models.aligned import AlignedNDIC


@dataclass(frozen=True)
class Alignment:
    """Matching accuracy of one layer, over the positions of all scenes.

    A position of x's features covers `stride` × `stride` pixels. It is visible where y shows all of them, and hidden
    where y shows none although they are within its borders. All others are left out: depth discontinuities, and
    positions outside y's frame, which the border alone gives away.

    Attributes:
        stride: of the layer, in pixels.
        accuracy_1px: share of the visible positions whose largest weight in y (mean over heads, whatever the weight of
            no match) is within one feature pixel of the true match, in row and column.
        accuracy_upper_bound: the share for the best choice among the candidates of each position: those of its window,
            or, for `cross_attention`, whole patches.
        accuracy_zero_shift: the share for a match at the same position.
        accuracy_constant_shift: the share for the best single shift of all positions (constant-shift baseline).
        occlusion_auc: area under the ROC curve of the no-match weight as a detector of hidden positions; 0.5 where the
            attention has no such token; NaN where no position is hidden.
    """

    stride: int
    accuracy_1px: float
    accuracy_upper_bound: float
    accuracy_zero_shift: float
    accuracy_constant_shift: float
    occlusion_auc: float


def measure_alignment(model: AlignedNDIC, pairs: Iterable[StreetPair]) -> list[Alignment]:
    """Compare the attention maps of a model, at the middle rate of variable-rate weights, with the true disparity.

    Args:
        model: `cross_attention` or `parallax_attention`, trained.
        pairs: rectified scenes with their disparity, of a size that the model accepts.

    Returns:
        One entry for each of the three layers.

    Raises:
        NDICError: the model has no attention, a scene has another size, or no position is visible.
    """
    if not hasattr(model, "attention_maps"):
        raise NDICError(f"{model.name} has no attention to measure: use cross_attention or parallax_attention")
    layers = [_Positions(stride) for stride in STRIDES]
    for pair in pairs:
        maps = model.attention_maps(model.to_model(pair.x[None]), model.to_model(pair.y[None]))
        for layer, weights in zip(layers, maps, strict=True):
            layer.add(pair, weights)
    return [layer.summary() for layer in layers]


class _Positions:
    """The positions of one layer over all scenes so far."""

    def __init__(self, stride: int):
        self.stride = stride
        self.offset, self.truth, self.reachable, self.no_match_visible, self.no_match_hidden = ([] for _ in range(5))

    def add(self, pair: StreetPair, weights: Tensor) -> None:
        truth, hidden = true_offsets(pair.disparity, pair.occluded, self.stride)
        visible = truth.isfinite()
        columns = torch.arange(pair.disparity.shape[1])
        inside, _ = true_offsets(pair.disparity, columns - pair.disparity < 0, self.stride)  # y's frame
        offset, no_match = best_match(weights, tuple(truth.shape))
        self.offset.append(offset[:, visible])
        self.truth.append(truth[visible])
        step = truth.shape[1] // weights.shape[-1] if _between_patches(weights) else 1
        furthest = truth.shape[1] if step > 1 else weights.shape[-1] // 2
        nearest = (step * (self.truth[-1] / step).round()).clamp(-furthest, furthest)
        self.reachable.append((nearest - self.truth[-1]).abs() <= 1)
        self.no_match_visible.append(no_match[visible])
        self.no_match_hidden.append(no_match[hidden & inside.isfinite()])

    def summary(self) -> Alignment:
        truth = torch.cat(self.truth) if self.truth else torch.empty(0)
        if not len(truth):
            raise NDICError("there is no visible position to measure alignment on: give pairs that share a view")
        offset = torch.cat(self.offset, dim=1)
        shifts = torch.arange(int(truth.min()) - 1, int(truth.max()) + 2)
        visible, hidden = (torch.cat(part).double().numpy() for part in (self.no_match_visible, self.no_match_hidden))
        auc = float(mannwhitneyu(hidden, visible).statistic) / (hidden.size * visible.size) if hidden.size else math.nan

        def share(hits: Tensor) -> float:
            return hits.double().mean().item()

        return Alignment(
            self.stride,
            accuracy_1px=share((offset[0].abs() <= 1) & ((offset[1] - truth).abs() <= 1)),
            accuracy_upper_bound=share(torch.cat(self.reachable)),
            accuracy_zero_shift=share(truth.abs() <= 1),
            accuracy_constant_shift=max(share((shift - truth).abs() <= 1) for shift in shifts),
            occlusion_auc=auc,
        )


def best_match(weights: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The offset with the largest attention weight of each position of x's features, and the weight of no match.

    Args:
        weights: one layer of `attention_maps` of one pair, of either attention.
        size: height and width of the features.

    Returns:
        Row and column offsets, (2, h, w), in feature pixels, and the weight of no match, (h, w), on the CPU. With
        attention between patches (`cross_attention`) each position has the offset of its patch.
    """
    between_patches = _between_patches(weights)
    weights = weights[0].mean(0).cpu().float()
    rows, columns = weights.shape[-2:]
    best = weights.flatten(2).argmax(-1)
    best = torch.stack([best // columns, best % columns])
    if not between_patches:
        return best - torch.tensor([rows // 2, columns // 2])[:, None, None], 1 - weights.sum((-2, -1))
    patch = [side // number for side, number in zip(size, (rows, columns), strict=True)]
    here = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    offset = (best - here) * torch.tensor(patch)[:, None, None]
    offset = offset.repeat_interleave(patch[0], -2).repeat_interleave(patch[1], -1)
    return offset, torch.zeros(size)  # attention between patches has no no-match token


def patch_accuracy(weights: Tensor, shares: Tensor) -> float:
    """Share of x's patches whose largest weight (mean over heads) is at the patch of y that shows most of it.

    Chance level is one over the number of patches. Where two patches of y show equal parts, either counts; a patch that
    y doesn't show is left out.

    Args:
        weights: of attention between patches, (B, heads, P, P, P, P).
        shares: the true shares, from `patch_shares`, (P, P, P, P).

    Raises:
        NDICError: the weights are not between these patches, or y shows no patch of x.
    """
    if weights.ndim != 6 or weights.shape[2:] != shares.shape:
        raise NDICError(
            f"weights between the patches of this truth have shape (B, heads, {', '.join(map(str, shares.shape))}), "
            f"not {tuple(weights.shape)}"
        )
    shares, seen = shares.flatten(2), shares.isfinite().all(-1).all(-1)
    if not seen.any():
        raise NDICError("y shows no patch of x: there is no match to measure")
    best = weights.mean(1).flatten(3).argmax(-1).cpu()
    there = shares.expand(len(best), -1, -1, -1).gather(-1, best[..., None])[..., 0]
    return (there >= shares.amax(-1) - 1e-6)[:, seen].double().mean().item()


def _between_patches(weights: Tensor) -> bool:
    """Whether attention is between patches (a window of offsets has odd sides, features even ones)."""
    return weights.shape[2:4] == weights.shape[4:6]
