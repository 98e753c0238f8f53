"""The documents: generated parts are current, links lead somewhere, examples run, the README stays short."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

import ndic_core as ndic
from ndic_core import cli
from ndic_core.data.street import Street

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "ndic_core" / "weights"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "notebooks/EXERCISES.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(WEIGHTS.glob("*.md")),
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/*.ipynb"))

_LINK = re.compile(r"\]\(([^()\s]+)\)|<img src=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield import_module("pages")


def text_of(path: Path) -> str:
    """The Markdown of a document or notebook, without code."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(text_of(path)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        repeated = sum(
            known == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", known) is not None for known in found
        )
        found.add(f"{anchor}-{repeated}" if repeated else anchor)
    return found


def broken_links(path: Path) -> list[str]:
    """Relative links of a document that lead to no file, or to no heading of it."""
    broken = []
    for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "", text_of(path))):
        link = match[1] or match[2]
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = path.parent / unquote(place) if place else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", [*DOCUMENTS, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(path):
    assert broken_links(path) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('# A `b` (c)\n[a](page.md#a-b-c) [b](none.md) [c](#none) <img src="x.png"> ![d](https://x.org/y)\n')
    assert broken_links(page) == ["none.md", "#none", "x.png"]


def unknown_sections(path: Path) -> list[str]:
    """Italics of a document that are no heading of the notebook linked before them."""
    headings, unknown = [], []
    for notebook, section in re.findall(r"\]\(([^()\s]+\.ipynb)\)|(?<!\*)\*([^*\n]+)\*(?!\*)", text_of(path)):
        if notebook:
            headings = _HEADING.findall(text_of(path.parent / notebook))
        elif section not in headings:
            unknown.append(section)
    return unknown


def test_the_teaching_plans_name_sections_of_the_notebooks():
    assert unknown_sections(ROOT / "docs" / "teaching.md") == []


def test_unknown_sections_are_found(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("## Some thing")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    (tmp_path / "page.md").write_text("*Before* [a](a.ipynb) *Some thing*, **bold**, *Some* [b](c.md) *Other*\n")
    assert unknown_sections(tmp_path / "page.md") == ["Before", "Some", "Other"]


def test_the_readme_fits_on_three_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_generated_parts_are_current(pages):
    """`python benchmarks/pages.py` brings them up to date."""
    for name, part in pages.PARTS.items():
        assert f"{part.begin}\n{part.text()}\n{part.end}" in part.file.read_text(encoding="utf-8"), name


@pytest.mark.parametrize("name", ndic.MODELS)
def test_model_cards_are_current(name, pages):
    """They follow the weights, `trainings.csv` and the measured curves."""
    assert pages.card_file(name).read_text(encoding="utf-8") == pages.card(name)


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair = Street().pair(0)
    ndic.write_image(pair.x, "left.png")
    ndic.write_image(pair.y, "right.png")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "path",
    [path for path in DOCUMENTS if blocks(path, "python")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_python_examples_run(path, photographs):
    for block in blocks(path, "python"):
        exec(compile(block, path.name, "exec"), {})


def test_the_yaml_of_the_training_page_is_accepted(tmp_path):
    for block in blocks(ROOT / "docs" / "training.md", "yaml"):
        (tmp_path / "block.yaml").write_text(block, encoding="utf-8")
        ndic.load_config(tmp_path / "block.yaml")


def test_make_lab_opens_the_first_notebook():
    opened = re.search(r"jupyter lab .* (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert ROOT / opened == NOTEBOOKS[0]


def test_the_readmes_commands_run(photographs):
    lines = [line for block in blocks(ROOT / "README.md", "bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("ndic ")]
    assert [command[1] for command in commands] == ["encode", "decode"]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            cli.main(command[1:])
        assert ended.value.code == 0
    assert ndic.read_image("out.png").shape == ndic.read_image("left.png").shape
