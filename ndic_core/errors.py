"""The error that this package raises on bad input, and pydantic's findings as one sentence."""

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class NDICError(Exception):
    """Bad input: one sentence that names what is wrong and the remedy.

    Every error that a user can provoke (a missing file, a truncated stream, the wrong model, an image of a
    wrong size, a wrong key in a YAML file) is raised as this class or a subclass of it.
    """


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
