"""Reading and writing of files: paths, text, image decoding and encoding, atomic writes, shipped weights."""

import codecs
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ndic_core.errors import NDICError, out_of_memory
from ndic_core.models.coding.container import MAX_PIXELS

if TYPE_CHECKING:
    from torch import Tensor


_FORMATS = {f".{kind.lower()}": kind for kind in ("PNG", "BMP", "PPM", "TIFF", "WEBP", "JPEG")}
_FORMATS |= {".tif": "TIFF", ".jpg": "JPEG"}
_WARNING_FILTERS = threading.Lock()  # `warnings.catch_warnings` changes them for all threads
_BYTE_ORDER_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def expand_path(path: str | os.PathLike) -> Path:
    """A path that a user wrote, with `~`, `~user`, `$NAME` and `${NAME}` replaced.

    Every path from a command line, a configuration, an environment variable or a public function passes through it
    once; names that were found in a folder do not. A path with a `$` that exists as it is written is left as it is.

    Raises:
        NDICError: an environment variable is not set, or the path contains a NUL character.

    Example:
        >>> os.environ["NDIC_EXAMPLE"] = "data"
        >>> expand_path("$NDIC_EXAMPLE/left").as_posix()
        'data/left'
    """
    text = os.fspath(path)
    if "\0" in text:
        raise NDICError(f"{text!r} cannot be a path: it contains a NUL character")
    home = Path(os.path.expanduser(text))
    if "$" not in text or os.path.lexists(home):
        return home
    for name in (name.strip("{}") for name in re.findall(r"\$(\w+|\{[^}]*\})", text)):
        if name not in os.environ:  # `os.path.expandvars` leaves it
            raise NDICError(f"{text}: the environment variable {name} is not set: set it, or write the whole path")
    return Path(os.path.expandvars(home))


def read_text(path: str | os.PathLike, missing: str | None = None) -> str:
    """The content of a text file that people edit: YAML, CSV, lists.

    UTF-8 is read with or without a byte-order mark, UTF-16 and UTF-32 with one. Line ends become `\\n`.

    Args:
        path: of the file, as it is (see `expand_path`).
        missing: the message where there is no file; None for that of all other reasons.

    Raises:
        NDICError: the file cannot be read or has another encoding: one sentence with the remedy.
    """
    if missing is not None and not os.path.lexists(path):
        raise NDICError(missing)
    content = read_bytes(path)
    mark, encoding = next(
        ((mark, name) for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), (b"", "utf-8")
    )
    content = content.removeprefix(mark)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if mark:
            raise NDICError(f"{path} begins as {encoding.upper()} but is damaged: save it as UTF-8 text") from error
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} in line {line}, perhaps Latin-1 or Windows-1252"
        raise NDICError(f"{path} is not UTF-8 text ({found}): save it as UTF-8") from error
    if "\0" in text:
        raise NDICError(f"{path} is not UTF-8 text (NUL characters, perhaps UTF-16 or no text): save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a file; raises `NDICError` if it is missing or cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NDICError(f"{path} cannot be read: {error.strerror}; check its name") from error


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file under a temporary name, then rename it; raises `NDICError` if its folder cannot be written to."""
    path = Path(path).resolve()  # a link is followed, not replaced
    if path.exists() and not path.is_file():
        raise NDICError(f"{path} cannot be written: it is not an ordinary file")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)  # it exists only after an error
    except OSError as error:
        raise NDICError(f"{path} cannot be written: {error.strerror}") from error


def make_folder(path: str | os.PathLike) -> None:
    """Create a folder and its parents unless they exist; raises `NDICError` if it cannot be written to."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NDICError(f"the folder {path} cannot be made or written to: {reason}") from error


def decode_image(source: bytes | str | os.PathLike, **accepted) -> Image.Image:
    """Decode an image file to RGB, turned upright by its EXIF orientation; transparency is dropped.

    Arguments and errors are those of `open_image`.
    """
    with open_image(source, **accepted) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def image_size(source: bytes | str | os.PathLike, **accepted) -> tuple[int, int]:
    """Height and width of the image that `decode_image` returns, from the file's header alone."""
    with open_image(source, **accepted) as image:
        # Pillow itself swaps the sides of TIFF images.
        turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


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
        modes: Pillow modes to accept, all where None.
        max_pixels: largest product of height and width.
        read_header: opens a stream as a Pillow image.
        kind: what `read_header` accepts, for error messages.

    Raises:
        NDICError: the file cannot be read, is not an image, is truncated, has too many pixels, more than 8 bits per
            channel or another mode.
    """
    name = name or str(source)
    try:
        with BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            start = stream.read(25)
            stream.seek(0)
            with _WARNING_FILTERS, warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `max_pixels` is the limit
                image = read_header(stream)
            with image:
                if image.width * image.height > max_pixels:
                    raise NDICError(f"{name} has more than {max_pixels} pixels: reduce its size")
                # Pillow decodes 16-bit RGB in PNG files to 8 bits without a warning.
                if (start.startswith(b"\x89PNG") and start[24:] == b"\x10") or image.mode.startswith(("I", "F")):
                    raise NDICError(f"{name} has more than 8 bits per channel: convert it to 8-bit RGB")
                if modes is not None and image.mode not in modes:
                    raise NDICError(f"{name} has mode {image.mode}, not {' or '.join(modes)}: convert it to 8-bit RGB")
                yield image
    except UnidentifiedImageError as error:
        raise NDICError(f"{name} is not {kind}: choose another file, or convert it") from error
    except Image.DecompressionBombError as error:
        raise NDICError(f"{name} has more than {max_pixels} pixels: reduce its size") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise NDICError(f"{name} cannot be read: {error.strerror}; check its name") from error
        raise NDICError(f"{name} is truncated or damaged ({error}): restore it from its source") from error


def image_to_tensor(image: Image.Image) -> "Tensor":
    """An RGB image as a float tensor (3, H, W) in [0, 1]."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def read_image(path: str | os.PathLike) -> "Tensor":
    """An image file as a float tensor (3, H, W) in [0, 1]; see `decode_image`.

    Raises:
        NDICError: the file is missing or not an 8-bit image of at most 2**24 pixels, or it is damaged, or there is not
            enough memory.
    """
    try:
        return image_to_tensor(decode_image(path))
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise NDICError(
                f"there is not enough memory to read {path}: close other programs, or make the image smaller"
            ) from error
        raise


def write_image(image: "Tensor", path: str | os.PathLike) -> None:
    """Save a tensor (3, H, W) in [0, 1] as an 8-bit image; the file's extension selects the format.

    Raises:
        NDICError: the extension is not that of a format, or the folder cannot be written.
    """
    kind = image_format(path)
    pixels = (image.cpu() * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
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


def weights_file(name: str, metric: str = "MS-SSIM") -> Path:
    """The path of a model's shipped weights for one of `METRICS`; the file need not exist."""
    ending = {"MS-SSIM": "", "MSE": "_mse"}[metric]
    return Path(str(resources.files("ndic_core"))) / "weights" / f"{name}{ending}.safetensors"


def shipped_weights(name: str, metric: str = "MS-SSIM") -> Path | None:
    """The file with a model's shipped weights for one of `METRICS`, if there is one."""
    file = weights_file(name, metric)
    return file if file.is_file() else None
