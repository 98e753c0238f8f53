"""Configuration of Sphinx for the book; `book.py` beside it prepares the pages and calls Sphinx."""

import sys
from pathlib import Path

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from book import ADDRESS  # noqa: E402

import ndic_core  # noqa: E402

project = "Neural distributed image compression"
author = "the authors of ndic-core"
copyright = author
release = version = ndic_core.__version__
language = "en-GB"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.bibtex",
    "sphinx_copybutton",
]
myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the committed outputs are the ones to show
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}  # nothing is loaded from another site
bibtex_bibfiles = [str(HERE / "references.bib")]
bibtex_reference_style = "author_year"
default_role = "literal"  # docstrings have single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature has them
napoleon_use_ivar = True  # attributes of dataclasses are described once
napoleon_use_rtype = False
# A cell may begin with any level of heading; solutions are only linked; attributes of one name are no link targets.
suppress_warnings = ["myst.header", "toc.not_included", "ref.python"]

html_theme = "furo"
html_title = project
templates_path = [str(HERE / "templates")]
html_static_path = [str(HERE / "static")]
html_favicon = str(HERE / "static" / "icon.svg")
html_css_files = ["book.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"source_repository": ADDRESS, "source_branch": "main", "top_of_page_buttons": []}


def _mathml(latex: str, display: str) -> str:
    return latex2mathml.converter.convert(latex, display=display)


def inline_math(self, node: nodes.math) -> None:
    """Formulas are MathML, which browsers draw themselves: no script, no font from another site."""
    self.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block_math(self, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math") + _mathml(node.astext(), "block") + "</div>")
    raise nodes.SkipNode


def literal_drawings(app, what, name, obj, options, lines: list[str]) -> None:
    """Mark drawings and Markdown tables of a docstring as literal blocks, which reStructuredText would reflow."""
    paragraphs = "\n".join(lines).split("\n\n")
    for i, paragraph in enumerate(paragraphs):
        if any(mark in paragraph for mark in ("──", "─▶", "══", "|---")):
            paragraphs[i] = "::\n\n" + "\n".join(f"    {line}" for line in paragraph.split("\n"))
    lines[:] = "\n\n".join(paragraphs).split("\n")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", literal_drawings, priority=900)  # after napoleon
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
