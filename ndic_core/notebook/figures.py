"""What a notebook's cells show: figures with alt text, and sentences with computed numbers."""

from base64 import b64encode
from html import escape
from io import BytesIO
from string import Formatter

from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from ndic_core.errors import NDICError, brief


class Described:
    """A figure with alt text, as a notebook shows it.

    JupyterLab and nbconvert ignore alt text in the metadata of an image, so the output is HTML.

    Args:
        figure: anything that matplotlib draws on.
        alt: the description that a screen reader reads in place of the image.

    Raises:
        NDICError: it is no figure, or the description is empty.
    """

    def __init__(self, figure: Figure, alt: str):
        if not isinstance(figure, Figure):
            raise NDICError(f"{brief(figure)} is no figure: give what a function of ndic_core.plots returns")
        if not isinstance(alt, str) or not alt.strip():
            raise NDICError("alt is empty: describe what the figure shows")
        self.figure, self.alt = figure, " ".join(alt.split())

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        buffer = BytesIO()
        self.figure.savefig(buffer, format="png")
        with Image.open(buffer) as image:
            width, shown = image.width, BytesIO()
            image.convert("RGB").save(shown, "PNG", optimize=True)  # smaller files: these are committed
        source = b64encode(shown.getvalue()).decode("ascii")
        look = f'width="{width}" style="max-width: 100%; height: auto"'
        html = f'<img {look} alt="{escape(self.alt)}" src="data:image/png;base64,{source}">'
        return {"text/html": html, "text/plain": self.alt}

    def __repr__(self) -> str:
        return self.alt


class _Sentence(str):
    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/markdown": str(self), "text/plain": str(self)}

    __repr__ = str.__str__


def show(figure: Figure, alt: str) -> None:
    """Show a figure below the cell, with alt text.

    Args:
        figure: from `ndic_core.plots`, or one's own.
        alt: what the figure shows, for readers who cannot see it. Line breaks become spaces.

    Raises:
        NDICError: it is no figure, or `alt` is empty.
    """
    display(Described(figure, alt))


def note(text: str, **values) -> None:
    """Show a sentence in Markdown whose numbers are computed, so that it is true with any weights.

    Args:
        text: with fields of `str.format`, such as "{saving:.0%} fewer bytes"; braces of formulas are doubled.
        values: of the fields, by name.

    Raises:
        NDICError: a field has no value, a value has no field, or a value does not fit its field's format.

    Example:
        >>> note("{saving:.0%} fewer bytes", saving=0.25)
        25% fewer bytes
    """
    used = {name.partition(".")[0].partition("[")[0] for _, name, _, _ in Formatter().parse(text) if name is not None}
    if missing := sorted(used - values.keys()):
        raise NDICError(f"note: no value for {', '.join(missing)}: give it by name, and double the braces of formulas")
    if unused := sorted(values.keys() - used):
        raise NDICError(f"note: the text does not show {', '.join(unused)}: name it in braces")
    try:
        words = text.format(**values)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise NDICError(f"note: a value does not fit its field: {error}") from error
    display(_Sentence(words))
