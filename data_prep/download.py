"""Download of large files over HTTP: resumed after an interruption, renamed when complete."""

import re
import time
import zipfile
from pathlib import Path

import requests
from tqdm import tqdm

from data_prep.common import need_space
from ndic_core.errors import NDICError
from ndic_core.files import replace_file

ATTEMPTS = 5  # in a row without new bytes
PAUSE = 5.0  # seconds between attempts
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
CHUNK = 2**16  # bytes; an incomplete chunk is dropped


def fetch_zip(url: str, target: Path) -> None:
    """Download a zip archive to `target`; resumes from `target.part`, which an interrupted download leaves.

    An existing `target` is complete, since the file is renamed last.

    Raises:
        NDICError: the server does not answer, refuses, or sends less than announced; the content is not a zip archive;
            or the disk has too little space.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    failures = 0
    while True:
        before = _length(part)
        try:
            if _attempt(url, part, target.name):
                break
            problem = f"ended after {tqdm.format_sizeof(_length(part), 'B')}"
        except ValueError as error:  # raised by requests for an invalid address
            raise NDICError(f"{url} cannot be downloaded: {error}") from error
        except requests.RequestException as error:
            problem = f"broke off after {tqdm.format_sizeof(_length(part), 'B')} ({type(error).__name__})"
        except OSError as error:
            raise NDICError(
                f"{part} cannot be written: {error.strerror}; run the same command again to continue"
            ) from error
        failures = 0 if _length(part) > before else failures + 1
        if failures == ATTEMPTS:
            raise NDICError(f"the download of {url} {problem}: run the same command again to continue")
        time.sleep(PAUSE)
    if not zipfile.is_zipfile(part):
        part.unlink()
        raise NDICError(f"{url} is not a zip archive: download it by hand, then give the file instead of --download")
    replace_file(part, target)


def _attempt(url: str, part: Path, title: str) -> bool:
    """One request for the missing bytes; returns whether the file is complete after it."""
    have = _length(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        stated = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", answer.headers.get("Content-Range", ""))
        if answer.status_code == 416 and stated and int(stated[2]) == have:
            return True
        if answer.status_code == 416 or (answer.status_code == 206 and (not stated or stated[1] != str(have))):
            part.unlink(missing_ok=True)  # of another file: start from the beginning
            return False
        if answer.status_code >= 500 or answer.status_code == 429:
            raise requests.ConnectionError(f"status {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise NDICError(f"{url} answers {answer.status_code} ({answer.reason}): download it by hand")
        if answer.status_code == 200:
            have, total = 0, int(answer.headers.get("Content-Length", 0))
        else:
            total = int(stated[2])
        need_space(part.parent, max(0, total - have))
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=total or None, initial=have, unit="B", unit_scale=True, desc=title, disable=None) as bar,
        ):
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return _length(part) == total if total else True


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
