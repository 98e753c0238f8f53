"""Build the web book from the committed notebooks and documents: no cell is executed, nothing is downloaded.

    python docs/book/book.py            # writes build/book
    python docs/book/book.py FOLDER     # writes into another folder

The pages keep the paths that they have in the repository, so that their links hold; links to other files lead to the
repository. `stage` prepares the pages: buttons that open a notebook elsewhere, figures as files, a citation beside
every link to a paper of `references.bib`, the glossary as terms, and a page for each package.
"""

import argparse
import re
import shutil
import sys
import tempfile
from base64 import b64decode
from hashlib import sha256
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from textwrap import indent
from urllib.parse import quote, unquote

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
from build import LESSONS, repository, thumbnail_figure  # noqa: E402

ADDRESS = f"https://github.com/{repository()}"
FIGURES = "_figures"  # copied to the top of the site
DOCUMENTS = ("docs/*.md", "benchmarks/README.md", "ndic_core/weights/*.md", "CONTRIBUTING.md", "notebooks/EXERCISES.md")
PACKAGES = {
    "models": "Networks",
    "models/coding": "Coding to bytes",
    "checkpoints": "Weights",
    "data": "Data sets",
    "data/street": "The generated street",
    "training": "Training",
    "evaluation": "Evaluation",
    "theory": "Theory",
    "plots": "Figures",
    "notebook": "Notebooks",
}

_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?(?=\))")
_PAPER = re.compile(r"\[[^\]]+\]\((https?://[^)\s]+)\)")
_ENTRY = re.compile(r"^@\w+\{(\w+),.*?^  url = \{(.+?)\},$", re.MULTILINE | re.DOTALL)
_BADGE = re.compile(r"^\[!\[Open in Colab\].*$", re.MULTILINE)
_INLINE = re.compile(r'src="data:image/png;base64,([\w+/=]+)"')
_EXPLORER = re.compile(r"\[explorer of (.+): run to move it\]")
_TERM = re.compile(r"\*\*([^*]+)\*\*: (.+)")


def papers() -> dict[str, str]:
    """Key of each entry of the bibliography by its address."""
    return {url: key for key, url in _ENTRY.findall((HERE / "references.bib").read_text(encoding="utf-8"))}


class Stage:
    """The pages of the book, written into an empty folder.

    Args:
        folder: created if needed.
    """

    def __init__(self, folder: Path):
        self.folder, self.papers = folder, papers()
        solutions = (ROOT / "notebooks" / "solutions").glob("[0-9]*.ipynb")
        documents = [path for pattern in DOCUMENTS for path in ROOT.glob(pattern)]
        self.pages = {path.relative_to(ROOT).as_posix() for path in (*LESSONS, *solutions, *documents)}

    def write(self) -> None:
        for page in sorted(self.pages):
            if page.endswith(".ipynb"):
                notebook = nbformat.read(ROOT / page, as_version=4)
                self._save(page, nbformat.writes(self.notebook(notebook, page)))
            else:
                text = self.text((ROOT / page).read_text(encoding="utf-8"), page)
                self._save(page, glossary(text) if page == "docs/glossary.md" else text)
        for package, title in PACKAGES.items():
            self._save(f"api/{package.replace('/', '_')}.rst", package_page(package, title))
        for page in HERE.glob("*.md"):
            shutil.copy(page, self.folder / page.name)
        figure = thumbnail_figure(nbformat.read(LESSONS[0], as_version=4))
        self._save(f"{FIGURES}/landing.png", figure)

    def notebook(self, notebook: NotebookNode, page: str) -> NotebookNode:
        """A notebook as a page: buttons in place of the badge, figures as files, explorers as a sentence."""
        cells, number = [], PurePosixPath(page).stem.partition("_")[0]
        notebook.cells[0].source = notebook.cells[0].source.replace("# ", f"# {number} · ", 1)
        for cell in notebook.cells:
            if cell.cell_type != "code":
                cell.source = self.text(_BADGE.sub(lambda _: buttons(page), cell.source), page)
            elif "google.colab" in cell.source:
                cell.source = cell.source[cell.source.index("from ndic_core") :]
            cells.append(cell)
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "text/html" in data:
                    data["text/html"] = _INLINE.sub(lambda match: self._figure(match[1], page), data["text/html"])
                if controls := _EXPLORER.search(data.get("text/plain", "")):
                    cell.outputs = []
                    words = f"Run the notebook to move {controls[1]}; the figure above shows some settings."
                    cells.append(nbformat.v4.new_markdown_cell(f":::{{tip}}\n{words}\n:::", id=f"{cell.id}-static"))
        return NotebookNode(notebook, cells=cells)

    def text(self, text: str, page: str) -> str:
        """Markdown with links that hold in the book, and a citation beside each link to a known paper."""
        text = _LINK.sub(lambda match: self._target(match[1], page) + slug(match[2]), text)
        return _PAPER.sub(lambda match: match[0] + self._citation(match[1]), text)

    def _citation(self, url: str) -> str:
        return f" {{cite:p}}`{self.papers[url]}`" if url in self.papers else ""

    def _target(self, link: str, page: str) -> str:
        """A link of a page: as it is to another page, to a copy of an image, and to the repository otherwise."""
        if not link:  # to a heading of the same page
            return link
        target = normpath(str(PurePosixPath(page).parent / link))
        if target in self.pages:
            return link
        if target.endswith(".png"):
            self._save(target, (ROOT / target).read_bytes())
            return link
        return f"{ADDRESS}/blob/main/{quote(target)}"

    def _figure(self, png: str, page: str) -> str:
        """The `src` of a figure's file."""
        data = b64decode(png)
        file = f"figures/{sha256(data).hexdigest()[:16]}.png"
        self._save(f"{FIGURES}/{file}", data)
        return f'loading="lazy" src="{relpath(file, PurePosixPath(page).parent)}"'

    def _save(self, page: str, content: str | bytes) -> None:
        file = self.folder / page
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def slug(anchor: str | None) -> str:
    """The anchor of a heading in the book, for one of JupyterLab or GitHub."""
    return "#" + re.sub(r"[^\w-]", "", unquote(anchor).lower()) if anchor else ""


def buttons(page: str) -> str:
    """Links that open a notebook of the repository elsewhere."""
    source = f"github.com/{repository()}/blob/main/{page}"
    places = {
        "Colab": f"https://colab.research.google.com/github/{repository()}/blob/main/{page}",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://{source}",
        "Binder": f"https://mybinder.org/v2/gh/{repository()}/main?labpath={quote(page, safe='')}",
        "source": f"https://{source}",
    }
    links = (
        f'<a href="{address}">{"" if name == "source" else "Open in "}{name}</a>' for name, address in places.items()
    )
    return f'<p class="launch">{" ".join(links)}</p>'


def glossary(text: str) -> str:
    """The terms of the glossary as definitions, which the search finds and other pages can name."""
    head, _, terms = text.partition("\n## Terms\n")
    lines = []
    for entry in terms.strip().split("\n\n"):
        name, words = _TERM.fullmatch(" ".join(entry.split())).groups()
        lines.append(f"{name}\n    {words}\n")
    body = indent("\n".join(lines), "    ")
    return f"{head}\n## Terms\n\n```{{eval-rst}}\n.. glossary::\n\n{body}\n```\n"


def package_page(package: str, title: str) -> str:
    """The documentation of the modules of a package, from their docstrings."""
    folder = ROOT / "ndic_core" / package
    modules = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    parts = [f"{title}\n{'=' * len(title)}\n"]
    for name in (f"ndic_core.{package.replace('/', '.')}.{module}" for module in modules):
        parts.append(f"{name}\n{'-' * len(name)}\n\n.. automodule:: {name}\n   :members:\n")
    return "\n".join(parts)


def build(folder: Path) -> int:
    """Build the site; a warning is an error.

    Returns:
        Exit status of Sphinx.
    """
    with tempfile.TemporaryDirectory() as temporary:
        pages = Path(temporary) / "pages"
        pages.mkdir()
        Stage(pages).write()
        options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(Path(temporary) / "doctrees")]
        options += ["-D", f"html_extra_path={pages / FIGURES}"]
        return build_main([*options, "-c", str(HERE), str(pages), str(folder)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "book")
    sys.exit(build(parser.parse_args().folder.absolute()))


if __name__ == "__main__":
    main()
