"""How well attention points at the true match, measured where disparity is known."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.stats import mannwhitneyu
from torch import Tensor

from ndic_core.data.street import StreetPair
from ndic_core.models.aligned import SHRINK, AlignedNDIC


@dataclass(frozen=True)
class Alignment:
    """One layer's alignment, over all positions of all scenes.

    A position of x's features is a square of `shrink` × `shrink` pixels. It counts as visible where y shows all of
    them, as occluded where it shows none; what is neither is left out.

    Attributes:
        shrink: how much smaller than the image the layer is.
        hit: share of the visible positions whose largest weight (mean of the heads) lies within one feature pixel of
            the true match, in row and column.
        same_place: the same share for an attention that always looks at its own place.
        one_shift: the same for the one shift that hits most often: it knows the answers' average, not the picture.
        occlusion_auc: chance that an occluded position gives "nothing matches" more weight than a visible one; 0.5
            where the weight tells nothing, or where the attention has no such slot.
    """

    shrink: int
    hit: float
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
        NDICError: a scene has a size that the model does not take.
    """
    offsets: list[list[Tensor]] = [[] for _ in SHRINK]
    truths: list[list[Tensor]] = [[] for _ in SHRINK]
    nothing: list[list[Tensor]] = [[] for _ in SHRINK]
    hidden: list[list[Tensor]] = [[] for _ in SHRINK]
    for pair in pairs:
        maps = model.attention_maps(model.fit(pair.x[None]), model.fit(pair.y[None]), lmbda)
        for layer, (weights, shrink) in enumerate(zip(maps, SHRINK, strict=True)):
            truth, occluded = true_match(pair.disparity, pair.occluded, shrink)
            found, slot = best_match(weights, truth.shape)
            visible = truth.isfinite()
            offsets[layer].append(found[:, visible])
            truths[layer].append(truth[visible])
            nothing[layer].append(torch.cat([slot[occluded], slot[visible]]))
            hidden[layer].append(torch.arange(len(nothing[layer][-1])) < occluded.sum())
    return [
        _judge(shrink, *(torch.cat(parts, -1) for parts in layer))
        for shrink, *layer in zip(SHRINK, offsets, truths, nothing, hidden, strict=True)
    ]


def true_match(disparity: Tensor, occluded: Tensor, shrink: int) -> tuple[Tensor, Tensor]:
    """Where y shows what each position of x's features stands for.

    Args:
        disparity: (H, W), or (B, H, W) of several pairs, pixels; x at column u is y at column u − disparity.
        occluded: bool, in the same shape.
        shrink: the features are this much smaller.

    Returns:
        The column offset from x's position to y's, (h, w) or (B, h, w), in feature pixels, 0 or negative (of a mirrored
        pair positive), NaN where y does not show all of the position; and bool in the same shape, whether it shows none
        of it.

    Example:
        >>> disparity, occluded = torch.full((4, 8), 3.0), torch.arange(8).expand(4, 8) < 4
        >>> true_match(disparity, occluded, 2)[0][0]
        tensor([    nan,     nan, -1.5000, -1.5000])
    """
    offset = -F.avg_pool2d(disparity[None], shrink)[0] / shrink
    share = F.avg_pool2d(occluded[None].to(disparity), shrink)[0]
    return offset.masked_fill(share > 0, torch.nan), share == 1


def best_match(weights: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where each position of x's features looks most, and how much it believes that nothing matches.

    Args:
        weights: one layer of `attention_maps` of one pair, of either kind of attention.
        size: height and width of the features.

    Returns:
        Row and column offsets, (2, h, w), in feature pixels, and the weight of "nothing matches", (h, w), on the CPU.
        Where `cross_attention` looks from patch to patch, each position looks as far as its patch does.
    """
    weights = weights[0].mean(0).cpu().float()
    rows, columns = weights.shape[-2:]
    best = weights.flatten(2).argmax(-1)
    best = torch.stack([best // columns, best % columns])
    if tuple(weights.shape[:2]) == tuple(size):
        return best - torch.tensor([rows // 2, columns // 2])[:, None, None], 1 - weights.sum((-2, -1))
    patch = [side // number for side, number in zip(size, (rows, columns), strict=True)]
    here = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    offset = (best - here) * torch.tensor(patch)[:, None, None]
    offset = offset.repeat_interleave(patch[0], -2).repeat_interleave(patch[1], -1)
    return offset, torch.zeros(size)  # patches have no way to say that nothing matches


def _judge(shrink: int, offsets: Tensor, truth: Tensor, nothing: Tensor, hidden: Tensor) -> Alignment:
    hit = (offsets[0].abs() <= 1) & ((offsets[1] - truth).abs() <= 1)
    shifts = torch.arange(int(truth.min()) - 1, 1)
    nothing, hidden = nothing.double().numpy(), hidden.numpy()
    auc = mannwhitneyu(nothing[hidden], nothing[~hidden]).statistic / (hidden.sum() * (~hidden).sum())
    return Alignment(
        shrink,
        hit=hit.double().mean().item(),
        same_place=(truth.abs() <= 1).double().mean().item(),
        one_shift=max(((shift - truth).abs() <= 1).double().mean().item() for shift in shifts),
        occlusion_auc=float(auc),
    )
