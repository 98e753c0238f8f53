"""Image files: decoding, encoding, and the size in the header."""

import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from ndic_core.errors import NDICError, out_of_memory
from ndic_core.files import expand_path, write_whole
from ndic_core.image_checks import PNG_SIGNATURE, file_problem, tensor_problem, upright_size, without_metadata
from ndic_core.models.coding.container import MAX_PIXELS

if TYPE_CHECKING:
    from torch import Tensor


_FORMATS = {f".{kind.lower()}": kind for kind in ("PNG", "BMP", "PPM", "TIFF", "WEBP", "JPEG")}
_FORMATS |= {".tif": "TIFF", ".jpg": "JPEG"}
_READ_WHOLE = (PNG_SIGNATURE, b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")  # those and AVIF, for `file_problem`
_MANY_PIXELS = 2**26  # fewer than Pillow warns of
_WARNING_FILTERS = threading.Lock()  # `warnings.catch_warnings` changes them for all threads


def decode_image(source: bytes | str | os.PathLike, **accepted) -> Image.Image:
    """Decode an image file to RGB, turned upright by its EXIF or XMP orientation.

    Transparency and colour profiles are ignored. Fewer than 8 bits per channel are scaled to 8.

    Arguments and errors are those of `open_image`.
    """
    with open_image(source, **accepted) as image:
        # Pillow warns of damaged TIFF metadata and of many pixels also here: such images are decoded one at a time.
        warns = image.format == "TIFF" or image.width * image.height > _MANY_PIXELS
        with quiet() if warns else nullcontext():
            image.load()
        image.info.clear()  # transparency, of which Pillow warns, and metadata that it might fail to write
        ImageOps.exif_transpose(image, in_place=True)
        return image.convert("RGB")


def image_size(source: bytes | str | os.PathLike, **accepted) -> tuple[int, int]:
    """Height and width of the image that `decode_image` returns, from the file's header alone."""
    with open_image(source, **accepted) as image:
        return upright_size(image)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of libraries within the block; only one thread at a time can be in such a block."""
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def open_image(
    source: bytes | str | os.PathLike,
    name: str | None = None,
    modes: Collection[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    read_header: Callable[[BinaryIO], Image.Image] = Image.open,
    kind: str = "an image that Pillow can read",
) -> Iterator[Image.Image]:
    """An open image file with an accepted header.

    Args:
        source: path or content of the file.
        name: of the image in error messages; the path where None.
        modes: Pillow modes to accept, all that can be converted to RGB where None.
        max_pixels: largest product of height and width.
        read_header: opens a stream as a Pillow image.
        kind: what `read_header` accepts, for error messages.

    Raises:
        NDICError: the file cannot be read, is not an image, is truncated, has too many pixels, more than 8 bits per
            channel, several frames or another mode, or there is not enough memory.
    """
    name = name or str(source)
    image = None
    try:
        if not isinstance(source, bytes) and Path(source).is_fifo():  # would wait for someone to write into it
            raise NDICError(f"{name} is a pipe, not a file: save the image in a file first")
        with BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            start = stream.read(12)
            stream.seek(0)
            content = stream.read() if start.startswith(_READ_WHOLE) or start[4:8] == b"ftyp" else start
            if start.startswith(PNG_SIGNATURE):
                stream = BytesIO(without_metadata(content))
            stream.seek(0)
            with quiet():  # `max_pixels` is the limit, not Pillow's
                image = read_header(stream)
                with suppress(Exception):  # damaged metadata states no orientation; Pillow keeps what it has read
                    upright_size(image)
            with image:
                if problem := file_problem(image, content, modes, max_pixels):
                    raise NDICError(f"{name} {problem}")
                yield image
    except NDICError:
        raise
    except UnidentifiedImageError as error:
        raise NDICError(f"{name} is not {kind}: choose another file, or convert it") from error
    except Image.DecompressionBombError as error:
        raise NDICError(f"{name} has more than {max_pixels} pixels: reduce its size") from error
    except Exception as error:  # Pillow raises many kinds on damaged files
        if out_of_memory(error):
            raise NDICError(_no_memory(name, image)) from error
        if isinstance(error, OSError) and error.errno:
            raise NDICError(f"{name} cannot be read: {error.strerror}; check its name") from error
        if "MAX_TEXT" in str(error):  # of a text that may state the orientation
            raise NDICError(f"{name} has a text of more than 1 MB: save it without metadata") from error
        raise NDICError(f"{name} is truncated or damaged ({error}): restore it from its source") from error


def _no_memory(name: str, image: Image.Image | None) -> str:
    need = f" ({20 * image.height * image.width / 1e6:.0f} MB)" if image else ""
    return f"there is not enough memory{need} to read {name}: close other programs, or reduce its size"


def image_to_tensor(image: Image.Image) -> "Tensor":
    """An RGB image as a float tensor (3, H, W) in [0, 1]."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)


def read_image(path: str | os.PathLike) -> "Tensor":
    """An image file as a float tensor (3, H, W) in [0, 1]; see `decode_image`.

    Args:
        path: of the file; `~` and environment variables are replaced.

    Raises:
        NDICError: the file is missing or not an 8-bit image of at most 2**24 pixels, it is damaged, or there is not
            enough memory.
    """
    image = decode_image(path := expand_path(path))
    try:
        return image_to_tensor(image)
    except (MemoryError, RuntimeError) as error:  # NumPy's, PyTorch's
        if out_of_memory(error):
            raise NDICError(_no_memory(str(path), image)) from error
        raise


def write_image(image: "Tensor", path: str | os.PathLike) -> None:
    """Save a tensor as an 8-bit image; the file's extension selects the format (JPEG and WebP are lossy).

    Args:
        image: floats (3, H, W) in [0, 1]. Values up to 0.5 outside, as decoders return them, are clipped.
        path: of the file; `~` and environment variables are replaced.

    Raises:
        NDICError: the tensor is not such an image, the extension is not that of a format, or the folder cannot be
            written.
    """
    path = expand_path(path)
    kind = image_format(path)
    if problem := tensor_problem(image):
        raise NDICError(f"{path}: an image is a float tensor (3, H, W) with values in [0, 1], this is {problem}")
    image = image.detach().cpu()
    image = image if image.dtype.itemsize >= 4 else image.float()  # 255 levels need more than half precision
    pixels = (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    buffer = BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, kind)
    except (OSError, ValueError) as error:
        raise NDICError(f"{path}: this image cannot be saved as {kind} ({error}); use .png") from error
    write_whole(path, buffer.getvalue())


def image_format(path: str | os.PathLike) -> str:
    """Pillow's name of the format of a file extension; raises `NDICError` if there is none."""
    ending = Path(path).suffix.lower()
    if ending not in _FORMATS:
        raise NDICError(f"{path}: images cannot be saved as {ending or 'a file without extension'}; use .png")
    return _FORMATS[ending]
