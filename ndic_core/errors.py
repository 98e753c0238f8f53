"""The error that this package raises on bad input, checks of arguments, and pydantic's findings as one sentence."""

import difflib
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class NDICError(Exception):
    """Bad input: one sentence that names what is wrong and the remedy.

    Every error that a user can provoke (a missing file, a truncated stream, the wrong model, an image of a
    wrong size, a wrong key in a YAML file) is raised as this class or a subclass of it.
    """


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, Pillow, NumPy or PyTorch means that memory has run out.

    Example:
        >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("CUDA out of memory")), out_of_memory(ValueError())
        (True, True, False)
    """
    words = ("allocate", "bad_alloc", "out of memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def listing(items: Iterable[object], separator: str = ", ", limit: int = 10) -> str:
    """Items of a message in their order: the first `limit`, and the number of the others.

    Example:
        >>> listing(range(14))
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4 more'
    """
    texts = [str(item).replace("\n", "\\n") for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return separator.join(texts[:limit]) + more


def brief(given: object) -> str:
    """A value as a message shows it: one line of 80 characters at most.

    Example:
        >>> len(brief("a" * 999))
        80
    """
    line = " ".join(repr(given).split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def whole_number(given: object, name: str, low: int | None = 1, high: int | None = None) -> int:
    """An argument that is a whole number (also one of NumPy or PyTorch) in a range.

    Args:
        given: what the user gave.
        name: of the argument, for the message.
        low, high: the smallest and the largest accepted number, if any; `high` is used with `low`.

    Raises:
        NDICError: it is no such number.

    Example:
        >>> whole_number(3, "columns")
        3
    """
    try:
        number = operator.index(given)
    except TypeError:
        number = None
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        accepted = f" from {low} to {high}" if high is not None else f" of {low} or more" if low is not None else ""
        raise NDICError(f"{name}={brief(given)} must be a whole number{accepted}")
    return number


def height_and_width(given: object, name: str, low: int = 1) -> tuple[int, int]:
    """An argument with two whole numbers of `low` or more.

    Raises:
        NDICError: it is no such pair.

    Example:
        >>> height_and_width([32, 64], "size")
        (32, 64)
    """
    try:
        height, width = given
        return whole_number(height, name, low), whole_number(width, name, low)
    except (TypeError, ValueError, NDICError) as error:
        expected = f"(height, width), whole numbers of {low} or more"
        raise NDICError(f"{name}={brief(given)} must be {expected}") from error


def choice(given: str, name: str, options: Iterable[str]) -> str:
    """An argument that is one of a few words; raises `NDICError` if it is another."""
    if given not in (options := list(options)):
        raise NDICError(f"{name} is {brief(given)}: choose from {', '.join(options)}")
    return given


def some(given: Iterable, what: str = "row") -> list:
    """An argument with one item at least, as a list; raises `NDICError` if it has none."""
    if not (found := list(given)):
        raise NDICError(f"there is no {what}: give one at least")
    return found


def explain(error: "ValidationError", schema: "type[BaseModel]") -> str:
    """What is wrong with each value: its key, what was given, what is accepted.

    Args:
        error: raised by `schema`.
        schema: its fields have the accepted values in words, `json_schema_extra={"accepts": ...}`.
    """
    fields = {field.alias or name: field for name, field in schema.model_fields.items()}

    def sentence(problem: dict) -> str:
        if not problem["loc"]:
            return problem["msg"].removeprefix("Value error, ")
        key = str(problem["loc"][0])
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(fields)}"
            return f"unknown key {key!r}: {hint}"
        return f"{key}: got {problem['input']!r}; accepted is {fields[key].json_schema_extra['accepts']}"

    return "; ".join(dict.fromkeys(sentence(problem) for problem in error.errors()))
