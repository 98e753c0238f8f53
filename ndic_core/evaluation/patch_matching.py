"""Patch matching: a toy task on which a cross-attention module learns to find the patches of a rolled texture."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.data.disparity import patch_shares
from ndic_core.errors import NDICError
from ndic_core.evaluation.matching_accuracy import patch_accuracy
from ndic_core.models.cross_attention import CrossAttentionModule


@dataclass(frozen=True)
class MatchingScore:
    """Result of a module at one shift.

    Attributes:
        accuracy: share of the patches whose largest weight is at the patch that shows most of it.
        error: mean squared error of the output, relative to the texture's variance: 0 is perfect, 1 is the mean.
        error_other: the same where u is another, unrelated texture.
    """

    accuracy: float
    error: float
    error_other: float


def textures(count: int, channels: int, size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Random periodic images with a 1/f amplitude spectrum, like that of photographs.

    Args:
        count, channels, size: of the result; channels are independent of each other.

    Returns:
        (count, channels, height, width), mean 0, standard deviation 1.
    """
    height, width = size
    down, across = torch.fft.fftfreq(height, device=device), torch.fft.rfftfreq(width, device=device)
    frequency = (down[:, None] ** 2 + across**2).sqrt()
    frequency[0, 0] = torch.inf  # no mean
    noise = torch.fft.rfft2(torch.randn(count, channels, height, width, device=device))
    t = torch.fft.irfft2(noise / frequency, s=size)
    return t / t.std((1, 2, 3), keepdim=True)


def as_feature(image: Tensor) -> Tensor:
    """An image (3, H, W) as a texture (1, 1, H/4, W/4): grey, mean 0, standard deviation 1.

    4 is the stride of the middle module of `cross_attention`.
    """
    small = F.avg_pool2d(image.mean(0)[None, None], 4)
    return (small - small.mean()) / small.std()


def randomly_rolled(t: Tensor, step: tuple[int, int]) -> Tensor:
    """Each texture rolled by a random number of steps in both directions.

    Args:
        t: (B, N, h, w).
        step: rows and columns per step; they divide h and w.
    """
    steps = [[int(torch.randint(side // s, ())) for side, s in zip(t.shape[-2:], step, strict=True)] for _ in t]
    return torch.stack([one.roll((i * step[0], j * step[1]), (-2, -1)) for one, (i, j) in zip(t, steps, strict=True)])


def match_of_roll(size: tuple[int, int], shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Disparity and drop, (height, width) each, of an image rolled by `shift` rows and columns.

    As in `patch_shares` and `warp`: the content of the image at (row, column) is in the rolled image at
    (row + drop, column − disparity).
    """
    row, column = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    return (column - (column + shift[1]) % size[1]).float(), ((row + shift[0]) % size[0] - row).float()


def train_patch_matching(
    cam: CrossAttentionModule, step: tuple[int, int], steps: int = 300, channels: int = 1, batch: int = 32
) -> list[float]:
    """Train a module to reconstruct a texture t from its rolled copy u, with t and as much noise as the query.

    Args:
        cam: the module; trained in place, left in evaluation mode.
        step: textures are rolled by multiples of these rows and columns.
        steps: number of training steps.
        channels: of a texture.
        batch: new textures per step.

    Returns:
        The loss of every step: mean squared error, relative to the texture's variance.

    Raises:
        NDICError: `step` does not divide the size of the module's features.
    """
    size, device = feature_size(cam), next(cam.parameters()).device
    if size[0] % step[0] or size[1] % step[1]:
        raise NDICError(f"steps of {step} do not divide features of {size[0]} × {size[1]}")
    optimizer = torch.optim.Adam(cam.train().parameters())
    lr_scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    losses = []
    for _ in range(steps):
        t = textures(batch, channels, size, device)
        aligned = cam(t + torch.randn_like(t), randomly_rolled(t, step))
        loss = F.mse_loss(aligned, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lr_scheduler.step()
        losses.append(loss.item())
    cam.eval()
    return losses


@torch.no_grad()
def patch_matching_score(
    cam: CrossAttentionModule, shift: tuple[int, int], channels: int = 1, count: int = 64
) -> MatchingScore:
    """Matching accuracy and reconstruction error of a module where u is t rolled by `shift`.

    Args:
        cam: in evaluation mode.
        shift: rows and columns.
        channels: of a texture.
        count: number of textures, 2 or more.
    """
    t = textures(count, channels, feature_size(cam), next(cam.parameters()).device)
    u = t.roll(shift, (-2, -1))
    disparity, drop = match_of_roll(feature_size(cam), shift)
    shares = patch_shares(disparity, patch_grid=cam.patch_grid, drop=drop)
    return MatchingScore(
        accuracy=patch_accuracy(cam.attention(t, u), shares),
        error=F.mse_loss(cam(t, u), t).item(),
        error_other=F.mse_loss(cam(t, u.roll(1, 0)), t).item(),
    )


def feature_size(cam: CrossAttentionModule) -> tuple[int, int]:
    """Height and width of the features of a module."""
    return cam.patch_grid * cam.patch_size[0], cam.patch_grid * cam.patch_size[1]
