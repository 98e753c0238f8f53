"""What a scale hyperprior is for: neighbouring magnitudes, the content that channels respond to, and the bits saved."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError, some, whole_number
from ndic_core.models.codec import Codec, check_tensor, evaluating, unwrap
from ndic_core.models.entropy_models import LARGEST_SCALE, ScaleHyperprior

_SCALES = 256  # tried for each channel by `best_scale_bits`
_SMALLEST_TRIED = 0.03  # below the smallest scale of the models


def neighbour_correlation(values: Tensor, rows: int = 0, columns: int = 1) -> float:
    """Correlation coefficient of values that are some rows and columns apart, averaged over the channels.

    Args:
        values: (B, C, h, w), such as the magnitudes of a latent. All positions of all images count.
        rows, columns: the offset, 0 or more.

    Returns:
        From -1 to 1. Channels that are constant are left out.

    Raises:
        NDICError: the values have another shape, the offset does not fit them, or all channels are constant.

    Example:
        >>> board = (torch.arange(8) % 2).float().expand(1, 1, 4, 8)  # columns of 0, 1, 0, 1, ...
        >>> round(neighbour_correlation(board), 3), round(neighbour_correlation(board, rows=1, columns=0), 3)
        (-1.0, 1.0)
    """
    if values.ndim != 4:
        raise NDICError(f"values have shape (B, C, h, w), not {tuple(values.shape)}: give a batch of latents")
    rows = whole_number(rows, "rows", 0, values.shape[2] - 1)
    columns = whole_number(columns, "columns", 0, values.shape[3] - 1)
    height, width = values.shape[2] - rows, values.shape[3] - columns
    first, second = values[..., :height, :width], values[..., rows:, columns:]
    found = _correlation(*(part.transpose(0, 1).flatten(1) for part in (first, second)))
    if bool(found.isnan().all()):
        raise NDICError("every channel is constant: a correlation needs values that vary")
    return found.nanmean().item()


def image_content(x: Tensor) -> dict[str, Tensor]:
    """Simple content of images, pixel by pixel, which channels of a latent may respond to.

    Args:
        x: (B, 3, H, W) in [0, 1].

    Returns:
        Maps (B, H, W), 0 or more: "vertical edges" (the difference between neighbouring columns of the grey image),
        "horizontal edges" (between neighbouring rows), and "colour" (the mean deviation of the channels from grey).

    Raises:
        NDICError: `x` is no batch of images.
    """
    check_tensor(x, "x", "(B, 3, H, W)")
    grey = x.mean(1, keepdim=True)
    return {
        "vertical edges": F.pad(grey.diff(dim=3).abs(), (0, 1))[:, 0],
        "horizontal edges": F.pad(grey.diff(dim=2).abs(), (0, 0, 0, 1))[:, 0],
        "colour": (x - grey).abs().mean(1),
    }


def channels_for(content: Mapping[str, Tensor], magnitudes: Tensor) -> dict[str, tuple[int, float]]:
    """For each kind of content, the channel that responds to it rather than to the others.

    It has the largest difference between its correlation with this content and the larger one of those with the others.
    Correlations are over all positions of all images; the content is averaged over the pixels of a position.

    Args:
        content: maps (B, H, W) by name, such as those of `image_content`.
        magnitudes: of a latent, (B, C, h, w).

    Returns:
        Channel and correlation coefficient, by the same names; a channel is chosen once.

    Raises:
        NDICError: there is no content, or fewer channels that vary than kinds of content.
    """
    names, channels = some(content, "content"), magnitudes.transpose(0, 1).flatten(1)
    size = magnitudes.shape[-2:]
    pooled = [F.adaptive_avg_pool2d(content[name][:, None], size).flatten() for name in names]
    found = torch.stack([_correlation(channels, one.expand_as(channels)) for one in pooled])
    varying = ~found.isnan().any(0)
    if int(varying.sum()) < len(names):
        raise NDICError(f"{int(varying.sum())} channels vary, too few for {len(names)} kinds of content: use more bits")
    chosen: dict[str, tuple[int, float]] = {}
    for i, name in enumerate(names):
        others = torch.cat([found[:i], found[i + 1 :], torch.full_like(found[:1], -1.0)]).amax(0)
        margin = (found[i] - others).where(varying, torch.tensor(-torch.inf))
        margin[[channel for channel, _ in chosen.values()]] = -torch.inf
        channel = int(margin.argmax())
        chosen[name] = channel, found[i, channel].item()
    return chosen


def frequency_bits(h_hat: Tensor) -> Tensor:
    """Bits of each latent under the best code that ignores positions: one code per channel, of its own frequencies.

    Args:
        h_hat: integers (B, C, h, w).

    Returns:
        (B, C, h, w): -log2 of the share that this integer has in its channel. They sum to the entropies of the
        channels; no factorised prior needs fewer bits for these integers.

    Example:
        >>> frequency_bits(torch.tensor([0.0, 0, 3, 5]).reshape(1, 1, 1, 4)).flatten().tolist()
        [1.0, 1.0, 2.0, 2.0]
    """
    found = torch.empty_like(h_hat)
    for i, channel in enumerate(h_hat.transpose(0, 1)):
        _, places, counts = channel.unique(return_inverse=True, return_counts=True)
        found[:, i] = -(counts / counts.sum()).log2()[places]
    return found


@torch.no_grad()
def best_scale_bits(prior: ScaleHyperprior, h_hat: Tensor) -> Tensor:
    """Bits of each channel with one Gaussian scale at all positions, the best one for these integers.

    Args:
        prior: its `likelihood` is used.
        h_hat: integers (B, C, h, w).

    Returns:
        (C,), in bits for all images together.
    """
    steps = torch.arange(_SCALES, device=h_hat.device) / (_SCALES - 1)
    scales = _SMALLEST_TRIED * (LARGEST_SCALE / _SMALLEST_TRIED) ** steps
    found = []
    for channel in h_hat.transpose(0, 1):
        values, counts = channel.unique(return_counts=True)
        p = prior.likelihood(values.expand(_SCALES, -1), scales[:, None].expand(-1, len(values)))
        found.append((-p.double().log2() @ counts.double()).min())
    return torch.stack(found)


@torch.no_grad()
def hyperprior_bits(model: Codec, x: Tensor, lmbda: float | None = None) -> dict[str, float]:
    """The bits of an image with a scale hyperprior, and with codes of the same latent that ignore positions.

    Args:
        model: with a scale hyperprior, such as `bmshj18`.
        x: images (B, 3, H, W) in [0, 1].
        lmbda: of variable-rate weights; the middle rate where None.

    Returns:
        Estimated bits per image: `entropy` (of h, see `frequency_bits`), `one_scale` (of h, see `best_scale_bits`), `h`
        (given z) and `z`; and `zeros_z`, the share of zeros in the rounded z.

    Raises:
        NDICError: the model has no hyperprior, or does not accept `x` or `lmbda`.
    """
    model = unwrap(model)
    prior = model.prior_x
    if not isinstance(prior, ScaleHyperprior):
        raise NDICError(f"{model.name} has no hyperprior: give bmshj18 or ndic_bmshj18")
    with evaluating(model):
        model.check(x, None if model.y_optional else x)
        h = model.analyse(x, model.gains(lmbda, len(x))[0])
        h_hat, (p, p_z) = prior(h)
        z_hat = prior.hyper_analysis(h.abs()).round()
        found = {
            "entropy": frequency_bits(h_hat).sum(),
            "one_scale": best_scale_bits(prior, h_hat).sum(),
            "h": -p.log2().sum(),
            "z": -p_z.log2().sum(),
        }
    per_image = {name: bits.item() / len(x) for name, bits in found.items()}
    return per_image | {"zeros_z": (z_hat == 0).float().mean().item()}


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation coefficients of the rows of two matrices; NaN where a row is constant."""
    constant = torch.stack([part.amin(1) == part.amax(1) for part in (first, second)]).any(0)
    first, second = (part.double() - part.double().mean(1, keepdim=True) for part in (first, second))
    found = (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))
    return found.masked_fill(constant, torch.nan)
