"""Reading and writing of files: paths, text, image decoding and encoding, atomic writes, shipped weights."""

import codecs
import os
import re
import stat
import tempfile
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from ndic_core.errors import NDICError, out_of_memory
from ndic_core.image_checks import PNG_SIGNATURE, file_problem, tensor_problem, upright_size, without_metadata
from ndic_core.models.coding.container import MAX_PIXELS

if TYPE_CHECKING:
    from torch import Tensor


_FORMATS = {f".{kind.lower()}": kind for kind in ("PNG", "BMP", "PPM", "TIFF", "WEBP", "JPEG")}
_FORMATS |= {".tif": "TIFF", ".jpg": "JPEG"}
_READ_WHOLE = (PNG_SIGNATURE, b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")  # those and AVIF, for `file_problem`
_MANY_PIXELS = 2**26  # fewer than Pillow warns of
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
    once; names that were found in a folder do not. A path whose parts with a `$` exist as they are written is left as
    it is.

    Raises:
        NDICError: an environment variable is not set or empty, there is no such user, or the path is empty, contains a
            NUL character or is none.

    Example:
        >>> os.environ["NDIC_EXAMPLE"] = "data"
        >>> expand_path("$NDIC_EXAMPLE/left").as_posix()
        'data/left'
    """
    try:
        text = os.fsdecode(path)
        os.fsencode(text)
    except TypeError as error:
        raise NDICError(f"a path must be a string or a Path; got {type(path).__name__}") from error
    except UnicodeEncodeError as error:
        raise NDICError(f"{text!r} cannot be a path: {text[error.start]!r} is no character of a file name") from error
    if not text:
        raise NDICError("a path is empty: write . for the current folder")
    if "\0" in text:
        raise NDICError(f"{text!r} cannot be a path: it contains a NUL character")
    home = Path(os.path.expanduser(text))
    if re.match(r"~[\w.-]+[/\\]", text) and home == Path(text) and not os.path.lexists(home.parts[0]):
        raise NDICError(f"{text}: there is no user {home.parts[0][1:]}; write ./{text} for a folder of that name")
    parts = home.parts
    last = max((number for number, part in enumerate(parts, 1) if "$" in part), default=0)
    if "$" not in text or os.path.lexists(Path(*parts[:last])):
        return home
    for name in (name.strip("{}") for name in re.findall(r"\$(\w+|\{[^}]*\})", text)):
        if not os.environ.get(name):  # `os.path.expandvars` leaves it, or makes another path of the rest
            state = "empty" if name in os.environ else "not set"
            raise NDICError(f"{text}: the environment variable {name} is {state}: set it, or write the whole path")
    return Path(os.path.expandvars(home))


def is_utf8(name: str) -> bool:
    """Whether a file's name can be written into a text file, which needs more than the file system does."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    except MemoryError as error:
        raise NDICError(f"{path} is larger than the memory: check its name") from error


def write_whole(path: str | os.PathLike, content: bytes, check: Callable[[str], None] = lambda file: None) -> None:
    """Write a file under a temporary name, then rename it; raises `NDICError` if its folder cannot be written to.

    An existing file is replaced, with its permissions.

    Args:
        check: called with the temporary name; raises an error if the file must not be renamed.
    """
    try:
        path = Path(path).resolve()  # a link is followed, not replaced
        if path.exists() and not path.is_file():
            raise NDICError(f"{path} cannot be written: it is not an ordinary file")
        if path.exists() and not os.access(path, os.W_OK):
            raise NDICError(f"{path} cannot be written: it is write-protected; choose another name")
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.")  # a name may have 255 bytes
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            check(temporary)
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)  # it exists only after an error
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError
        raise NDICError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


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


def weights_file(name: str, metric: str = "MS-SSIM") -> Path:
    """The path of a model's shipped weights for one of `METRICS`; the file need not exist."""
    ending = {"MS-SSIM": "", "MSE": "_mse"}[metric]
    return Path(str(resources.files("ndic_core"))) / "weights" / f"{name}{ending}.safetensors"


def shipped_weights(name: str, metric: str = "MS-SSIM") -> Path | None:
    """The file with a model's shipped weights for one of `METRICS`, if there is one."""
    file = weights_file(name, metric)
    return file if file.is_file() else None
