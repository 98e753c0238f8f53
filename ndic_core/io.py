"""Files in and out: images as tensors, and writing that leaves either the whole file or the old one."""

import os
import tempfile
import warnings
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import MAX_PIXELS

if TYPE_CHECKING:
    from torch import Tensor


_FORMATS = {
    ".png": "PNG",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a file.

    Raises:
        NDICError: it is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NDICError(f"{path} cannot be read: {error.strerror}; check its name") from error


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file under a temporary name, then rename it, so that no half-written file is ever seen.

    Raises:
        NDICError: the folder is missing, full or cannot be written.
    """
    path = Path(path).resolve()  # a link is followed, not replaced
    if path.exists() and not path.is_file():
        raise NDICError(f"{path} cannot be written: it is no ordinary file")
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise NDICError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder, with those above it, if it isn't there.

    Raises:
        NDICError: it cannot be made, or not be written to.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NDICError(f"the folder {path} cannot be made or written to: {reason}") from error


def read_image(path: str | os.PathLike) -> "Tensor":
    """A picture as float tensor (3, H, W) in [0, 1], turned upright; grey becomes RGB, transparency is dropped.

    Raises:
        NDICError: the file is missing, no picture, truncated, too large, or has more than 8 bits a channel.
    """
    import numpy as np
    import torch

    content = read_bytes(path)
    if content.startswith(b"\x89PNG") and content[24:25] == b"\x10":  # Pillow would drop the lower byte in silence
        raise NDICError(f"{path} has more than 8 bits a channel: convert it to 8-bit RGB")
    try:
        with warnings.catch_warnings(), Image.open(BytesIO(content)) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            if image.width * image.height > MAX_PIXELS:
                raise NDICError(f"{path} has {image.width * image.height} pixels; at most {MAX_PIXELS} can be coded")
            if image.mode.startswith(("I", "F")):
                raise NDICError(f"{path} has more than 8 bits a channel (mode {image.mode}): convert it to 8-bit RGB")
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError as error:
        raise NDICError(f"{path} is no picture that Pillow can read: give a PNG, JPEG or the like") from error
    except Image.DecompressionBombError as error:
        raise NDICError(f"{path} has too many pixels; at most {MAX_PIXELS} can be coded") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise NDICError(f"{path} is a truncated or damaged picture") from error
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def write_image(image: "Tensor", path: str | os.PathLike) -> None:
    """Save a tensor (3, H, W) in [0, 1] as an 8-bit picture; the format follows the file's ending.

    Raises:
        NDICError: the ending names no format, or the folder cannot be written.
    """
    kind = picture_format(path)
    pixels = (image.cpu() * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    buffer = BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, kind)
    except (OSError, ValueError) as error:
        raise NDICError(f"{path}: this picture cannot be saved as {kind} ({error}); use .png") from error
    write_whole(path, buffer.getvalue())


def picture_format(path: str | os.PathLike) -> str:
    """Pillow's name of the format that a file's ending stands for.

    Raises:
        NDICError: no format that pictures are saved in here.
    """
    ending = Path(path).suffix.lower()
    if ending not in _FORMATS:
        raise NDICError(f"{path}: pictures cannot be saved as {ending or 'a file without ending'}; use .png")
    return _FORMATS[ending]


def weights_file(name: str, metric: str = "MS-SSIM") -> Path:
    """Where a model's weights for one of `METRICS` ship."""
    ending = {"MS-SSIM": "", "MSE": "_mse"}[metric]
    return Path(str(resources.files("ndic_core"))) / "weights" / f"{name}{ending}.safetensors"


def shipped_weights(name: str, metric: str = "MS-SSIM") -> Path | None:
    """The file with a model's shipped weights for one of `METRICS`, if there is one."""
    file = weights_file(name, metric)
    return file if file.is_file() else None
