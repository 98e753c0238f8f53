"""Reading and writing of files: paths that users write, text, whole files, the location of shipped weights."""

import codecs
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path

from ndic_core.errors import NDICError

_BYTE_ORDER_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Windows does not replace a file that a program has open, such as a virus scanner for a moment: seconds between tries.
_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6) if os.name == "nt" else ()


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
            replace_file(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)  # it exists only after an error
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError
        raise NDICError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def replace_file(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """`os.replace`; on Windows a file that another program has open is tried again for three seconds.

    Raises:
        OSError: it cannot be replaced.
        NDICError: on Windows, another program keeps it open.
    """
    for wait in _WAITS:
        with suppress(PermissionError):
            return os.replace(source, target)
        time.sleep(wait)
    try:
        os.replace(source, target)
    except PermissionError as error:
        if not _WAITS:
            raise
        raise NDICError(
            f"{target} cannot be written: {error.strerror}; if another program has it open, close that, or choose "
            f"another name"
        ) from error


def check_writable(path: Path) -> None:
    """Raise `NDICError` unless `write_whole` could write a file of this path now."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise NDICError(f"{path} cannot be written: it is a folder; choose another name")
        if target.exists() and not target.is_file():
            raise NDICError(f"{path} cannot be written: it is not an ordinary file; choose another name")
        folder = target.parent if path.is_symlink() else path.parent
        if not folder.is_dir():
            raise NDICError(f"{path} cannot be written: there is no folder {folder}; create it first")
        if target.exists() and not os.access(target, os.W_OK):
            raise NDICError(f"{path} cannot be written: it is write-protected; choose another name")
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
            pass
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle; ValueError: NUL
        reason = getattr(error, "strerror", None) or error
        raise NDICError(f"{path} cannot be written: {reason}; choose another name or folder") from error


def make_folder(path: str | os.PathLike) -> None:
    """Create a folder and its parents unless they exist; raises `NDICError` if it cannot be written to."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NDICError(f"the folder {path} cannot be made or written to: {reason}") from error


def weights_file(name: str, metric: str = "MS-SSIM") -> Path:
    """The path of a model's shipped weights for one of `METRICS`; the file need not exist."""
    ending = {"MS-SSIM": "", "MSE": "_mse"}[metric]
    return Path(str(resources.files("ndic_core"))) / "weights" / f"{name}{ending}.safetensors"


def shipped_weights(name: str, metric: str = "MS-SSIM") -> Path | None:
    """The file with a model's shipped weights for one of `METRICS`, if there is one."""
    file = weights_file(name, metric)
    return file if file.is_file() else None
