"""A task small enough to watch a cross-attention module learn on: find where the patches of a texture have gone."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.data.ground_truth import patch_shares
from ndic_core.errors import NDICError
from ndic_core.evaluation.matching_accuracy import patch_hit
from ndic_core.models.cross_attention import CrossAttentionModule


@dataclass(frozen=True)
class Found:
    """How a module fares at one shift.

    Attributes:
        accuracy: share of the patches whose largest weight points at where most of the patch lies.
        error: mean squared error of what it gives back, of the texture's variance: 0 perfect, 1 a guess of the mean.
        error_other: the same when u is another texture, of which nothing is in t.
    """

    accuracy: float
    error: float
    error_other: float


def textures(count: int, channels: int, size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Random pictures whose neighbouring pixels are alike as in photographs: amplitude falls with frequency as 1/f.

    Their borders fit together, left to right and top to bottom, so that they may be rolled without a seam.

    Args:
        count: how many.
        channels: of each, independent of each other.
        size: height and width.
        device: where they are made.

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


def as_feature(picture: Tensor, stride: int = 4) -> Tensor:
    """A picture as a texture for the task: grey, `stride` times smaller, mean 0, standard deviation 1.

    Args:
        picture: (3, H, W), sides multiples of `stride`.
        shrink: 4 gives what the module in the middle of `cross_attention` has to align.

    Returns:
        (1, 1, H/shrink, W/shrink).
    """
    small = F.avg_pool2d(picture.mean(0)[None, None], stride)
    return (small - small.mean()) / small.std()


def moved(t: Tensor, step: tuple[int, int]) -> Tensor:
    """Each texture rolled by a random number of steps, down and to the right.

    Args:
        t: (B, N, h, w).
        step: rows and columns of a step, that divide h and w.
    """
    steps = [[int(torch.randint(side // s, ())) for side, s in zip(t.shape[-2:], step, strict=True)] for _ in t]
    return torch.stack([one.roll((i * step[0], j * step[1]), (-2, -1)) for one, (i, j) in zip(t, steps, strict=True)])


def match_of_roll(size: tuple[int, int], shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Disparity and drop, (height, width) each, of a picture that was rolled by `shift` rows and columns.

    As `patch_shares` and `warp` want them: what the picture has at (row, column), the rolled one has at
    (row + drop, column − disparity).
    """
    row, column = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    return (column - (column + shift[1]) % size[1]).float(), ((row + shift[0]) % size[0] - row).float()


def learn_to_find(
    cam: CrossAttentionModule,
    step: tuple[int, int],
    steps: int = 300,
    channels: int = 1,
    batch: int = 32,
    noise: float = 1.0,
    lr: float = 4e-3,
) -> list[float]:
    """Train a module to give back a texture t from its rolled copy u; t itself only asks, and with noise on it.

    Args:
        cam: the module; trained in place, left in evaluation mode.
        step: rows and columns by whose multiples textures are rolled.
        steps: of training.
        channels: of a texture.
        batch: textures a step; each is new.
        noise: standard deviation, on t as it asks.
        lr: highest learning rate of the cycle.

    Returns:
        The loss of every step: mean squared error, of the texture's variance.

    Raises:
        NDICError: `step` does not divide the module's features.
    """
    size, device = feature_size(cam), next(cam.parameters()).device
    if size[0] % step[0] or size[1] % step[1]:
        raise NDICError(f"steps of {step} do not divide features of {size[0]} × {size[1]}")
    optimiser = torch.optim.Adam(cam.train().parameters())
    lr_scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    losses = []
    for _ in range(steps):
        t = textures(batch, channels, size, device)
        aligned = cam(t + noise * torch.randn_like(t), moved(t, step))
        loss = F.mse_loss(aligned, t)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        lr_scheduler.step()
        losses.append(loss.item())
    cam.eval()
    return losses


@torch.no_grad()
def search_score(cam: CrossAttentionModule, shift: tuple[int, int], channels: int = 1, count: int = 64) -> Found:
    """How often a module points at the right patch, and how well it gives t back, when u is t rolled by `shift`.

    Args:
        cam: in evaluation mode.
        shift: rows and columns.
        channels: of a texture.
        count: textures to measure on, 2 or more.
    """
    t = textures(count, channels, feature_size(cam), next(cam.parameters()).device)
    u = t.roll(shift, (-2, -1))
    disparity, drop = match_of_roll(feature_size(cam), shift)
    shares = patch_shares(disparity, patch_grid=cam.patch_grid, drop=drop)
    return Found(
        accuracy=patch_hit(cam.attention(t, u), shares),
        error=F.mse_loss(cam(t, u), t).item(),
        error_other=F.mse_loss(cam(t, u.roll(1, 0)), t).item(),
    )


def feature_size(cam: CrossAttentionModule) -> tuple[int, int]:
    """Height and width of the features that a module takes."""
    return cam.patch_grid * cam.patch_size[0], cam.patch_grid * cam.patch_size[1]
