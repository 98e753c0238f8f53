"""YAML files of experiments: presets, files that extend others, and changes from a command line; not validated."""

import os
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from ruamel.yaml import YAML, YAMLError

from ndic_core.errors import NDICError
from ndic_core.files import expand_path, read_text


def presets() -> dict[str, Path]:
    """Configurations that ship with the package, by name."""
    folder = Path(str(resources.files("ndic_core"))) / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_yaml(path: str | os.PathLike) -> dict:
    """The keys of an experiment's YAML file and of the file that it `extends`, not checked.

    `extends: NAME` names a preset, or a file by its path from the one that extends it; what a file says itself counts
    more. `exclude: FILE` is replaced by the names that a list file beside the YAML holds: one a line, `#` begins a
    comment at the start of a line or after a space.

    Args:
        path: of the file, or the name of a preset.

    Raises:
        NDICError: a file is missing, no YAML, or extends itself.
    """
    known, content, seen = presets(), {}, []
    file = known.get(str(path)) or expand_path(path)
    while file not in seen:
        seen.append(file)
        found = _yaml(file, ", ".join(known))
        if isinstance(found.get("exclude"), str):
            list_file = file.parent / expand_path(found["exclude"])
            lines = read_text(list_file, f"there is no list file {list_file}").splitlines()
            names = (re.split(r"(?:^|\s)#", line)[0].strip() for line in lines)
            found["exclude"] = [name for name in names if name]
        content = found | content
        extended = content.pop("extends", None)
        if extended is None:
            return content
        file = known.get(str(extended)) or file.parent / expand_path(str(extended))
    raise NDICError(f"{path} extends itself, by way of {' and '.join(map(str, seen))}: let one of them extend nothing")


def _yaml(file: Path, known: str) -> dict:
    """One file as it is."""
    text = read_text(file, f"there is no configuration {file}: give a file, or one of the presets {known}")
    try:
        content = _parsed(text)
    except ValueError as error:
        raise NDICError(f"{file} is not valid YAML{error}") from error
    if content is not None and not isinstance(content, dict):
        raise NDICError(f"{file} is no configuration: it must hold lines of the form key: value")
    return content or {}


def parse_changes(changes: Iterable[str]) -> dict:
    """Keys and values of a command line's `KEY=VALUE`, values as in YAML.

    Raises:
        ValueError: one is of another form, in a sentence.

    Example:
        >>> parse_changes(["lr=1e-2", "lambda=[0.001, 0.02]"])
        {'lr': 0.01, 'lambda': [0.001, 0.02]}
    """
    given = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"{change!r} is not KEY=VALUE")
        try:
            given[key.strip()] = _parsed(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no YAML value") from error
    return given


def _parsed(text: str) -> object:
    """YAML 1.2, in which 3e-05 is a number; `ValueError` with the place and the reason, one line."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, LookupError, TypeError, RecursionError) as error:  # ruamel lets Python's own through
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ValueError(f"{f' in line {mark.line + 1}' if mark else ''}: {reason}") from error
