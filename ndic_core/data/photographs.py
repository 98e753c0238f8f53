"""A real stereo pair without a download: the Middlebury motorcycle that scikit-image contains."""

import torch
from PIL import Image

from ndic_core.errors import NDICError
from ndic_core.io import image_to_tensor


def embedded_pair(width: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """Left and right view of a motorcycle, (3, width / 2, width) in [0, 1].

    Middlebury Stereo 2014 (Scharstein et al., GCPR 2014), reduced by scikit-image to 500 × 741, here cropped to 2:1
    and resized. The disparities grow with the width: up to some 22 pixels at 256.

    Args:
        width: of the images, pixels: even, 2 or more.

    Raises:
        NDICError: another width, or scikit-image is not installed.

    Example:
        >>> [view.shape for view in embedded_pair(128)]
        [torch.Size([3, 64, 128]), torch.Size([3, 64, 128])]
    """
    if width < 2 or width % 2:
        raise NDICError(f"the photographs are twice as wide as high: choose an even width of 2 or more, not {width}")
    try:
        from skimage.data import stereo_motorcycle
    except ImportError as error:
        raise NDICError("the photographs come with scikit-image: pip install scikit-image") from error
    left, right, _ = stereo_motorcycle()
    stored_height, stored_width = left.shape[:2]
    top = (stored_height - stored_width // 2) // 2
    box = (0, top, stored_width, top + stored_width // 2)
    size = (width, width // 2)  # Pillow's order
    x, y = (Image.fromarray(view).resize(size, Image.Resampling.LANCZOS, box) for view in (left, right))
    return image_to_tensor(x), image_to_tensor(y)
