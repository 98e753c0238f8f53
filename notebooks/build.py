"""Execute notebooks and save them for committing; write thumbnails, the index of exercises and the badges' addresses.

python notebooks/build.py run [NOTEBOOK ...]      all notebooks by default
python notebooks/build.py pages                   thumbnails and index of exercises, from the saved notebooks
python notebooks/build.py badges OWNER/NAME
"""

import argparse
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from ndic_core.files import write_whole

HERE = Path(__file__).resolve().parent
NOTEBOOKS = sorted([*HERE.glob("[0-9_]*.ipynb"), *(HERE / "solutions").glob("[0-9]*.ipynb")])
LESSONS = sorted(HERE.glob("[0-9]*.ipynb"))
EXERCISES = HERE / "EXERCISES.md"

THUMBNAIL = "thumbnail"  # tag of the cell whose figure the README shows
_THUMBNAIL_SIZE = (320, 200)  # at most, in pixels; shown at half that
_SOURCE = "Source"  # PNG text field of a thumbnail: hash of the original figure

_KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_WIDGETS = "application/vnd.jupyter.widget-state+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"

_UNWANTED = {
    "an absolute path": re.compile(r"(?<![\w:/.<])(?:/[\w.~-]+){2,}|\b[A-Z]:\\\w"),
    "a warning": re.compile(r"\b\w*Warning\b"),
    "a traceback": re.compile(r"Traceback \(most recent call last\)"),
    "a memory address": re.compile(r"\bat 0x[0-9a-f]{6,}"),
}
_INLINE = re.compile(r"(?<=data:image/png;base64,)[\w+/=]+")  # of `ndic_core.notebook.figures.show`
_BAR = re.compile(r"\[\d\d:\d\d[<,].*\]")  # tqdm's clock: progress bars are not saved
_KEY = re.compile(r'^repository = "(.+)"$', re.MULTILINE)
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_EXERCISE = re.compile(r"^(?=\d+\. \*\*)", re.MULTILINE)  # start of an exercise
_SENTENCE = re.compile(r".+?\*\*.+?(?<!e\.g)(?<!i\.e)[.?](?=\s|$)", re.DOTALL)  # its name and first sentence


class _RecordingOutput(OutputWidget):
    """Keeps everything ever shown inside an output widget, and never sends it back to the kernel.

    A message sent while the client waits for a cell's reply can make it miss that reply and wait forever
    (https://github.com/jupyter/nbclient/issues/312). Nothing is cleared: an error in a callback must be found even if
    the next call of the callback succeeds.
    """

    def sync_state(self) -> None:
        pass

    def clear_output(self, *args) -> None:
        pass


def client(notebook: NotebookNode, folder: Path, **options) -> NotebookClient:
    """A client that executes a notebook in a folder, without a time limit."""
    made = NotebookClient(
        notebook, timeout=None, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}, **options
    )
    made.widget_registry["@jupyter-widgets/output"]["OutputModel"] = _RecordingOutput
    return made


def execute(notebook: NotebookNode, folder: Path) -> list[str]:
    """Execute a notebook in a folder, in place; returns what must not be committed, also from inside its widgets.

    Raises:
        CellExecutionError: a cell failed.
    """
    client(notebook, folder).execute()
    state = notebook.metadata.pop("widgets", {}).get(_WIDGETS, {}).get("state", {})
    hidden = [NotebookNode(output) for widget in state.values() for output in widget["state"].get("outputs", [])]
    return [*unwanted(notebook), *_unwanted_in(hidden, "a widget")]


def run(path: Path) -> None:
    """Execute a notebook in a new kernel and save it with its outputs, without metadata that changes between runs.

    Raises:
        SystemExit: a cell failed or shows what must not be committed; the file is unchanged.
    """
    notebook = nbformat.read(path, as_version=4)
    try:
        found = execute(notebook, path.parent)
    except CellExecutionError as error:
        raise SystemExit(f"{path.name}: {error}") from None
    if found:
        raise SystemExit("\n".join(f"{path.name}: {line}" for line in found))

    notebook.metadata = NotebookNode(_KERNEL)
    for cell in notebook.cells:
        cell.metadata = NotebookNode({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _BAR.search(text_of(output))]
            for output in cell.outputs:
                data = output.get("data", {})
                data.pop(_WIDGET, None)  # refers to this kernel; the text beside it stays
                if "image/png" in data:
                    data["image/png"] = _lighter(data["image/png"])
    nbformat.write(notebook, path)


def _lighter(png: str) -> str:
    """The same pixels in 10 % fewer bytes: drops matplotlib's alpha channel where it is opaque."""
    with Image.open(BytesIO(b64decode(png))) as image:
        opaque = image.mode == "RGBA" and image.getextrema()[3] == (255, 255)
        buffer = BytesIO()
        (image.convert("RGB") if opaque else image).save(buffer, "PNG", optimize=True)
    return b64encode(buffer.getvalue()).decode("ascii")


def unwanted(notebook: NotebookNode) -> Iterator[str]:
    """What must not be committed in the outputs: errors, stderr, warnings, absolute paths and memory addresses."""
    for cell in notebook.cells:
        yield from _unwanted_in(cell.get("outputs", []), f"cell {cell.get('execution_count')}")


def _unwanted_in(outputs: list[NotebookNode], place: str) -> Iterator[str]:
    for output in outputs:
        if output.output_type == "error":
            yield f"{place} ends in {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"{place} prints to stderr: {output.text.strip()}"
        for what, pattern in _UNWANTED.items():
            if match := pattern.search(text_of(output)):
                yield f"{place} shows {what}: {match[0]}"


def text_of(output: NotebookNode) -> str:
    """All text of an output, without images inside it."""
    texts = [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return _INLINE.sub("", "\n".join([*texts, output.get("text", "")]))


def figures_of(cell: NotebookNode) -> list[bytes]:
    """The PNG files that a cell shows."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        found += [data["image/png"]] if "image/png" in data else _INLINE.findall(data.get("text/html", ""))
    return [b64decode(png) for png in found]


def thumbnail_path(path: Path) -> Path:
    """File of a lesson's thumbnail."""
    return path.parent / "thumbnails" / f"{path.stem}.png"


def thumbnail_figure(notebook: NotebookNode) -> bytes | None:
    """PNG of the one figure tagged as thumbnail; None where there is none or more than one."""
    tagged = [cell for cell in notebook.cells if THUMBNAIL in cell.metadata.get("tags", [])]
    figures = [figure for cell in tagged for figure in figures_of(cell)]
    return figures[0] if len(tagged) == len(figures) == 1 else None


def write_thumbnail(path: Path) -> None:
    """Write a lesson's thumbnail for the README unless it is current.

    Raises:
        SystemExit: no figure or more than one is tagged.
    """
    figure = thumbnail_figure(nbformat.read(path, as_version=4))
    if figure is None:
        raise SystemExit(f"{path.name}: tag one cell with one figure as {THUMBNAIL!r}")
    target, source = thumbnail_path(path), sha256(figure).hexdigest()
    if thumbnail_source(target) == source:
        return
    note, buffer = PngInfo(), BytesIO()
    note.add_text(_SOURCE, source)
    with Image.open(BytesIO(figure)) as image:
        small = ImageOps.contain(image.convert("RGB"), _THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
    small.quantize(128).save(buffer, "PNG", optimize=True, pnginfo=note)
    target.parent.mkdir(exist_ok=True)
    write_whole(target, buffer.getvalue())


def thumbnail_source(path: Path) -> str | None:
    """Hash of the figure that a thumbnail was made from; None without a thumbnail."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        return image.info.get(_SOURCE)


def exercise_index(lessons: Iterable[Path]) -> str:
    """Markdown page that lists every exercise with links to its notebook and solution."""
    lines = ["# The exercises", "", "Each has a check in its notebook, and a solution beside it.", ""]
    for path in lessons:
        cells = nbformat.read(path, as_version=4).cells
        words = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        title = words.partition("\n")[0].lstrip("# ")
        section = words.partition("## Exercises")[2].partition("## Summary")[0]
        lines += [f"## {path.stem.partition('_')[0]}: {title}", ""]
        for exercise in _EXERCISE.split(section)[1:]:
            sentence = _SENTENCE.match(exercise)
            lines.append(" ".join((sentence[0] if sentence else exercise).split()))
        lines += ["", f"[The notebook]({path.name}) · [the solutions](solutions/{path.name})", ""]
    return "\n".join(lines)


def write_pages() -> None:
    """Write the index of exercises and all thumbnails."""
    write_whole(EXERCISES, exercise_index(LESSONS).encode())
    for path in LESSONS:
        write_thumbnail(path)


def repository() -> str:
    """GitHub repository of the project, "owner/name", from pyproject.toml."""
    return _KEY.search((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))[1]


def set_repository(new: str, root: Path = HERE.parent) -> None:
    """Replace the repository in pyproject.toml, the README and every notebook.

    Raises:
        SystemExit: not of the form owner/name.
    """
    if not _NAME.fullmatch(new):
        raise SystemExit(f"give the repository as owner/name: make badges REPO=owner/name (not {new!r})")
    project = root / "pyproject.toml"
    old = _KEY.search(project.read_text(encoding="utf-8"))[1]
    address = re.compile(rf"(\bgithub(?:\.com)?/){re.escape(old)}(?![\w-])")
    for path in [project, root / "README.md", *root.glob("notebooks/**/*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        text = _KEY.sub(f'repository = "{new}"', text) if path == project else text
        path.write_text(address.sub(rf"\g<1>{new}", text), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run").add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS)
    commands.add_parser("pages")
    commands.add_parser("badges").add_argument("repository", nargs="?", default="")
    arguments = parser.parse_args()
    if arguments.command == "badges":
        set_repository(arguments.repository)
        return
    for path in getattr(arguments, "notebooks", ()):
        print(path.name, flush=True)
        run(path)
    write_pages()


if __name__ == "__main__":
    sys.exit(main())
