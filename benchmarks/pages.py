"""Write every generated part of the documents from files of the repository; nothing is measured.

    python benchmarks/pages.py

Tables of results come from `benchmarks/results/*.csv`, the table of keys from the fields of `Config`, the table of
models from the catalogue, model cards from the weights. Run it after new measurements, new weights, or a change of
`Config`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import equal_steps
import gpu_merge
import memory
import optimizers
import replication
import replication_report
from cards import card, card_file
from pydantic.fields import FieldInfo
from readme import known, markdown, write_between
from results import BENCHMARKS, REPORTS, RESULTS, reported, summary, tables

from ndic_core.catalogue import CATALOGUE, MODELS
from ndic_core.config import Config
from ndic_core.config_file import read_yaml
from ndic_core.files import write_whole
from ndic_core.models.factory import build_model

ROOT = BENCHMARKS.parent


@dataclass(frozen=True)
class Part:
    """A generated part of a document.

    Attributes:
        file: the document.
        begin, end: the marks around the part.
        text: returns its Markdown.
    """

    file: Path
    begin: str
    end: str
    text: Callable[[], str]


def _part(file: str, name: str, text: Callable[[], str]) -> Part:
    return Part(ROOT / file, f"<!-- {name}: written by benchmarks/pages.py -->", f"<!-- end of {name} -->", text)


def models_table() -> str:
    """The models of the catalogue, with the parameters that they have at the published 192 filters."""
    rows = []
    for name, info in CATALOGUE.items():
        source = re.sub(r"(.*), arXiv (\d{4}\.\d{5})", r"[\1](https://arxiv.org/abs/\2)", info.source)
        parameters = sum(parameter.numel() for parameter in build_model(name).parameters())
        sides = f"{info.multiple_of} · n" + (", one size" if info.fixed_size else "")
        used = "yes" if info.side_info else "no"
        rows.append([f"`{name}`", f"{info.title} ({source})", used, sides, f"{parameters / 1e6:.1f} M"])
    return markdown(["model", "design", "uses y", "image sides", "parameters (192 filters)"], rows)


def keys_tables() -> str:
    """Every key of a configuration: default, meaning and accepted values, from the fields of `Config`."""
    fields = {field.alias or name: field for name, field in Config.model_fields.items()}
    published = list(read_yaml("config"))
    of_model = {key: name for name, info in CATALOGUE.items() for key in info.own_keys}
    further = [key for key in fields if key not in published and key not in of_model]
    head = ["key", "default", "meaning", "accepted values"]
    return f"""### Published keys

{markdown(head, [_key_row(key, fields[key]) for key in published])}

### Further keys

{markdown(head, [_key_row(key, fields[key]) for key in further])}

### Keys of one model

{markdown(["model", *head], [[f"`{name}`", *_key_row(key, fields[key])] for key, name in of_model.items()])}"""


def _key_row(key: str, field: FieldInfo) -> list[str]:
    default = "none" if field.default in (None, "") else f"`{field.default}`"
    return [f"`{key}`", default, field.description, field.json_schema_extra["accepts"]]


def throughput_table() -> str:
    """Training throughput on two CPU cores at the shipped size."""
    kinds = [(batch, precision) for batch in (1, 8) for precision in ("float32", "bf16")]
    rows = known(RESULTS / "training_cpu.csv")
    lines = []
    for name in MODELS:
        found = {
            (row["batch"], row["precision"]): f"{row['images_per_second']:.1f}; {row['activation_mb']:.0f} MB"
            for row in rows
            if row["model"] == name
        }
        lines.append([f"`{name}`", *(found.get(kind, "") for kind in kinds)])
    return markdown(["model", *(f"{precision}, batch {batch}" for batch, precision in kinds)], lines)


PARTS = {
    "summary": _part("README.md", "results", lambda: summary(RESULTS)),
    "models": _part("README.md", "models", models_table),
    "keys": _part("docs/training.md", "keys", keys_tables),
    "throughput": _part("benchmarks/README.md", "throughput", throughput_table),
    **{
        metric: Part(
            BENCHMARKS / "README.md",
            report.begin,
            report.end,
            lambda metric=metric, report=report: tables(reported(RESULTS, metric), report),
        )
        for metric, report in REPORTS.items()
    },
    **{
        module.__name__: Part(
            BENCHMARKS / "README.md", module.BEGIN, module.END, lambda module=module: module.table(known(module.TABLE))
        )
        for module in (equal_steps, optimizers)
    },
    "replication": _part(
        "benchmarks/README.md", "replication", lambda: replication_report.table(known(replication.TABLE))
    ),
    "memory": _part("benchmarks/README.md", "memory", lambda: memory.table(known(memory.TABLE))),
    "gpu": Part(BENCHMARKS / "README.md", gpu_merge.BEGIN, gpu_merge.END, lambda: gpu_merge.tables(RESULTS)),
}


def main() -> None:
    for part in PARTS.values():
        write_between(part.file, part.begin, part.end, part.text())
    for name in MODELS:
        write_whole(card_file(name), card(name).encode())


if __name__ == "__main__":
    main()
