"""Whether a side image seems to show the scene that was decoded: a check without knowledge of the sender's image."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models.codec import check_image

_PIXELS = 8192  # of the reduced images: fine detail is lost at low rates
_BLOCK = 8  # side of a block of the reduced image, pixels
_TEXTURE = 1e-4  # variance of a block that is compared
_FEWEST = 32  # blocks; with fewer the averages are too uncertain
_UNLIKE, _EXCESS = 0.7, 0.05  # chosen on KITTI pairs so that no matching y was reported at any rate of any model


def seems_unrelated(x_hat: Tensor, y: Tensor) -> bool:
    """Whether y matches a decoded image hardly better than its own mirror image does.

    Each block of x̂ is searched in y along the row, as `RowSearch` does, and in the mirrored y, which has the same
    statistics but another content. The score of a block is its largest correlation coefficient with a place in y.

    Args:
        x_hat: (3, H, W) in [0, 1], decoded with y or without.
        y: likewise.

    Returns:
        True for most images of another scene, and for views that cannot be compared along the row (turned, much later,
        not rectified). False also where nothing can be said: small images, too little texture.

    Raises:
        NDICError: they are not two images of one size.

    Example:
        >>> x = torch.rand(3, 64, 128)
        >>> seems_unrelated(x, x.roll(8, 2)), seems_unrelated(x, x.flip(1))
        (False, True)
    """
    for image, name in ((x_hat, "x_hat"), (y, "y")):
        check_image(image, name)
    if x_hat.shape != y.shape:
        raise NDICError(f"x_hat and y must have one shape; x_hat is {tuple(x_hat.shape)}, y is {tuple(y.shape)}")
    x_hat, y = _details(x_hat), _details(y)
    if min(x_hat.shape[-2:]) < _BLOCK:
        return False
    of_y, of_mirror = _scores(x_hat, y), _scores(x_hat, y.flip(-1))
    if len(of_y) < _FEWEST:
        return False
    return bool(of_y.mean() < _UNLIKE and (of_y - of_mirror).mean() < _EXCESS)


def _details(image: Tensor) -> Tensor:
    """The luminance of an image, reduced in size, less its mean over the surroundings: (1, 1, h, w)."""
    scale = min(1, math.sqrt(_PIXELS / image[0].numel()))
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    grey = F.interpolate(image.cpu().float().mean(0)[None, None], size, mode="area")
    return grey - F.avg_pool2d(grey, 9, 1, padding=4, count_include_pad=False)


def _scores(x: Tensor, y: Tensor) -> Tensor:
    """The score of each block of x that has texture."""
    height, width = x.shape[-2:]
    reach = width // 4
    padded = F.pad(y, (reach, reach, 1, 1))
    variance = F.avg_pool2d(x * x, _BLOCK)
    best = torch.full_like(variance, -1)
    for row in range(3):
        for column in range(2 * reach + 1):
            moved = padded[..., row : row + height, column : column + width]
            product, of_moved = (F.avg_pool2d(image * moved, _BLOCK) for image in (x, moved))
            best = best.maximum(product / (variance * of_moved + _TEXTURE**2).sqrt())
    return best[variance > _TEXTURE]
