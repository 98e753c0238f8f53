"""How well attention points at the true match, measured where disparity is known."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from ndic_core.catalogue import STRIDES
from ndic_core.data.ground_truth import true_match
from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError
from ndic_core.models.aligned import AlignedNDIC


@dataclass(frozen=True)
class Alignment:
    """One layer's alignment, over the positions of all scenes.

    A position of x's features is a square of `stride` × `stride` pixels. It counts as visible where y shows all of
    them, as hidden where y shows none though their places lie within its borders. What is neither is left out: depth
    edges, and what lies outside y's frame, which every attention can tell by the border alone.

    Attributes:
        shrink: how much smaller than the image the layer is.
        hit: share of the visible positions whose largest weight in y (mean of the heads, however large that of "nothing
            matches") lies within one feature pixel of the true match, in row and column.
        reachable: the same share if every position took the best of the places offered to it: those of its window, or,
            for `cross_attention`, whole patches away.
        same_place: the same share for an attention that always looks at its own place.
        one_shift: the same for the one shift that hits most often: it knows the answers' average, not the picture.
        occlusion_auc: chance that a hidden position gives "nothing matches" more weight than a visible one; 0.5 where
            the weight tells nothing, or where the attention has no such token; NaN where no position is hidden.
    """

    stride: int
    accuracy_1px: float
    reachable: float
    same_place: float
    one_shift: float
    occlusion_auc: float


def measure_alignment(model: AlignedNDIC, pairs: Iterable[StreetPair], lmbda: float | None = None) -> list[Alignment]:
    """Attention maps of a model against the true disparity.

    Args:
        model: `cross_attention` or `parallax_attention`, trained.
        pairs: rectified scenes with their disparity, of a size that the model takes.
        lmbda: the rate, of variable-rate weights.

    Returns:
        One entry for each of the three layers.

    Raises:
        NDICError: the model aligns nothing, a scene has a size that it does not take, or no position is visible.
    """
    if not hasattr(model, "attention_maps"):
        raise NDICError(f"{model.name} has no attention to measure: take cross_attention or parallax_attention")
    layers = [_Layer(stride, [], [], [], [], []) for stride in STRIDES]
    for pair in pairs:
        maps = model.attention_maps(model.to_model(pair.x[None]), model.to_model(pair.y[None]), lmbda)
        for layer, weights in zip(layers, maps, strict=True):
            layer.add(pair, weights)
    return [layer.judge() for layer in layers]


@dataclass(frozen=True)
class _Layer:
    """What is gathered of one layer, scene by scene."""

    stride: int
    offset: list[Tensor]  # found, (2, visible positions)
    truth: list[Tensor]
    reachable: list[Tensor]
    nothing_visible: list[Tensor]
    nothing_hidden: list[Tensor]

    def add(self, pair: StreetPair, weights: Tensor) -> None:
        truth, hidden = true_match(pair.disparity, pair.occluded, self.stride)
        visible = truth.isfinite()
        columns = torch.arange(pair.disparity.shape[1])
        beyond, _ = true_match(pair.disparity, columns - pair.disparity < 0, self.stride)
        offset, nothing = best_match(weights, tuple(truth.shape))
        self.offset.append(offset[:, visible])
        self.truth.append(truth[visible])
        step = truth.shape[1] // weights.shape[-1] if _is_of_patches(weights) else 1
        furthest = truth.shape[1] if step > 1 else weights.shape[-1] // 2
        nearest = (step * (self.truth[-1] / step).round()).clamp(-furthest, furthest)
        self.reachable.append((nearest - self.truth[-1]).abs() <= 1)
        self.nothing_visible.append(nothing[visible])
        self.nothing_hidden.append(nothing[hidden & beyond.isfinite()])

    def judge(self) -> Alignment:
        truth = torch.cat(self.truth) if self.truth else torch.empty(0)
        if not len(truth):
            raise NDICError("there is no visible position to measure alignment on: give pairs that share a view")
        offset = torch.cat(self.offset, dim=1)
        accuracy_1px = (offset[0].abs() <= 1) & ((offset[1] - truth).abs() <= 1)
        shifts = torch.arange(int(truth.min()) - 1, int(truth.max()) + 2)
        visible, hidden = (torch.cat(part).double().numpy() for part in (self.nothing_visible, self.nothing_hidden))
        auc = float(mannwhitneyu(hidden, visible).statistic) / (hidden.size * visible.size) if hidden.size else math.nan
        return Alignment(
            self.stride,
            accuracy_1px=accuracy_1px.double().mean().item(),
            reachable=torch.cat(self.reachable).double().mean().item(),
            same_place=(truth.abs() <= 1).double().mean().item(),
            one_shift=max(((shift - truth).abs() <= 1).double().mean().item() for shift in shifts),
            occlusion_auc=auc,
        )


def best_match(weights: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where each position of x's features looks most, and how much it believes that nothing matches.

    Args:
        weights: one layer of `attention_maps` of one pair, of either kind of attention.
        size: height and width of the features.

    Returns:
        Row and column offsets, (2, h, w), in feature pixels, and the weight of "nothing matches", (h, w), on the CPU.
        Where `cross_attention` looks from patch to patch, each position looks as far as its patch does.
    """
    of_patches = _is_of_patches(weights)
    weights = weights[0].mean(0).cpu().float()
    rows, columns = weights.shape[-2:]
    best = weights.flatten(2).argmax(-1)
    best = torch.stack([best // columns, best % columns])
    if not of_patches:
        return best - torch.tensor([rows // 2, columns // 2])[:, None, None], 1 - weights.sum((-2, -1))
    patch = [side // number for side, number in zip(size, (rows, columns), strict=True)]
    here = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    offset = (best - here) * torch.tensor(patch)[:, None, None]
    offset = offset.repeat_interleave(patch[0], -2).repeat_interleave(patch[1], -1)
    return offset, torch.zeros(size)  # patches have no way to say that nothing matches


def patch_hit(weights: Tensor, shares: Tensor) -> float:
    """Share of x's patches whose largest weight (mean of the heads) lies where most of the patch truly is.

    Chance reaches one over the number of patches. A patch that lies in two of y's patches to equal parts may look at
    either; one that y doesn't show is left out.

    Args:
        weights: of attention between patches, (B, heads, P, P, P, P).
        shares: the truth, from `patch_shares`, (P, P, P, P).

    Raises:
        NDICError: these are not weights between patches, or y shows no patch of x.

    Example:
        >>> weights = torch.eye(4).reshape(1, 1, 2, 2, 2, 2)  # each patch looks at its own place
        >>> patch_hit(weights, torch.eye(4).reshape(2, 2, 2, 2))
        1.0
    """
    if weights.ndim != 6 or weights.shape[2:] != shares.shape:
        raise NDICError(
            f"weights between the patches of this truth have shape (B, heads, {', '.join(map(str, shares.shape))}), "
            f"not {tuple(weights.shape)}"
        )
    shares, seen = shares.flatten(2), shares.isfinite().all(-1).all(-1)
    if not seen.any():
        raise NDICError("y shows no patch of x: there is nothing to find")
    best = weights.mean(1).flatten(3).argmax(-1).cpu()
    there = shares.expand(len(best), -1, -1, -1).gather(-1, best[..., None])[..., 0]
    return (there >= shares.amax(-1) - 1e-6)[:, seen].double().mean().item()


def _is_of_patches(weights: Tensor) -> bool:
    """Whether a layer's map leads from patches to patches (a window of offsets has odd sides, features even ones)."""
    return weights.shape[2:4] == weights.shape[4:6]
