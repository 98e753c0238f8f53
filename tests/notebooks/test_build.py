"""Files that `make notebooks` and `make badges` write."""

from base64 import b64decode, b64encode
from io import BytesIO

import nbformat
import pytest
from build import exercise_index, run, set_repository, thumbnail_path, thumbnail_source, write_thumbnail
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

LINKS = "https://colab.research.google.com/github/a.b/c/blob/main/x https://github.com/a.b/c ndic"
KERNEL = {"name": "python3", "display_name": "My own (3.11)", "language": "python"}


@pytest.fixture
def save(tmp_path):
    """Save a notebook of these code cells."""

    def save(*sources):
        notebook = new_notebook(cells=[new_markdown_cell("# Title"), *map(new_code_cell, sources)])
        notebook.metadata.kernelspec = KERNEL
        notebook.cells[1].metadata = {"tags": ["nbval-check-output"], "collapsed": False}
        nbformat.write(notebook, tmp_path / "small.ipynb")
        return tmp_path / "small.ipynb"

    return save


@pytest.mark.slow
def test_a_notebook_is_saved_without_metadata_and_reproducibly(save):
    path = save("from ipywidgets import IntSlider", "print(6 * 7)", "IntSlider()")
    run(path)
    first = path.read_text()
    run(path)
    assert path.read_text() == first

    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.display_name == "Python 3"
    assert [dict(cell.metadata) for cell in notebook.cells[1:]] == [{"tags": ["nbval-check-output"]}, {}, {}]
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3]
    assert notebook.cells[2].outputs[0].text == "42\n"
    assert list(notebook.cells[3].outputs[0].data) == ["text/plain"]


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "mode"), [(255, "RGB"), (200, "RGBA")])
def test_images_become_smaller_and_keep_every_pixel(save, alpha, mode):
    original = Image.effect_noise((90, 60), 40).convert("RGBA")
    original.putalpha(alpha)
    given = BytesIO()
    original.save(given, "PNG")
    path = save("from IPython.display import Image", f"Image({given.getvalue()!r})")
    run(path)
    kept = b64decode(nbformat.read(path, as_version=4).cells[2].outputs[0].data["image/png"])
    assert len(kept) <= len(given.getvalue())
    with Image.open(BytesIO(kept)) as image:
        assert image.mode == mode
        assert image.convert("RGBA").tobytes() == original.tobytes()


@pytest.mark.slow
def test_unwanted_outputs_are_refused(save):
    fails_inside = "interactive(lambda n: 1 / 0, n=3)"
    path = save("import sys; from ipywidgets import interactive", "print('oh', file=sys.stderr)", fails_inside)
    before = path.read_text()
    with pytest.raises(SystemExit) as refusal:
        run(path)
    lines = str(refusal.value).splitlines()
    assert lines[0] == "small.ipynb: cell 2 prints to stderr: oh"
    assert lines[1] == "small.ipynb: a widget ends in ZeroDivisionError: division by zero"
    assert path.read_text() == before


@pytest.mark.slow
def test_a_failing_cell_is_reported(save):
    path = save("assert 6 * 7 == 41")
    before = path.read_text()
    with pytest.raises(SystemExit, match="assert 6"):
        run(path)
    assert path.read_text() == before


@pytest.mark.slow
def test_progress_bars_are_not_saved_and_the_kernel_gets_no_messages(save):
    widget = "from ipywidgets import interactive; shown = interactive(lambda n: print(n), n=3)"
    bar = "from tqdm.auto import tqdm\nfor i in tqdm([1, 2], 'training'): pass\nfor i in tqdm(iter([])): pass"
    path = save(widget, f"{bar}\nprint(shown.out.outputs)")
    run(path)
    outputs = nbformat.read(path, as_version=4).cells[2].outputs
    assert [output.text for output in outputs] == ["()\n"]


@pytest.fixture
def drawn(tmp_path):
    """Save a notebook with one figure of each colour, one per cell; the first cell is tagged."""

    def drawn(*colours):
        cells = []
        for colour in colours:
            given = BytesIO()
            Image.new("RGB", (800, 400), colour).save(given, "PNG")
            data = {"image/png": b64encode(given.getvalue()).decode()}
            cells.append(new_code_cell("draw()", outputs=[new_output("display_data", data=data)]))
        cells[0].metadata.tags = ["thumbnail"]
        nbformat.write(new_notebook(cells=cells), tmp_path / "01_topic.ipynb")
        return tmp_path / "01_topic.ipynb"

    return drawn


def test_a_thumbnail_shows_the_tagged_figure_small(drawn):
    path = drawn("red", "blue")
    write_thumbnail(path)
    with Image.open(thumbnail_path(path)) as small:
        assert small.size == (320, 160)
        assert small.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_a_thumbnail_is_written_only_for_a_new_figure(drawn):
    path = drawn("red")
    write_thumbnail(path)
    target = thumbnail_path(path)
    first, written = thumbnail_source(target), target.stat().st_mtime_ns
    write_thumbnail(path)
    assert target.stat().st_mtime_ns == written
    write_thumbnail(drawn("blue"))
    assert thumbnail_source(target) not in (None, first)


def test_a_lesson_without_a_tagged_figure_is_refused(save):
    with pytest.raises(SystemExit, match=r"small\.ipynb: tag one cell with one figure as 'thumbnail'"):
        write_thumbnail(save("1"))


def test_the_index_has_one_sentence_per_exercise(tmp_path):
    cells = [
        new_markdown_cell("# A topic\n\nSome words."),
        new_markdown_cell("1. **Not this.** It is no exercise."),
        new_markdown_cell("## Exercises\n\n1. **How\n   many?** Count 0.5 of them, e.g. here:\n   all. Then go on."),
        new_code_cell("answer = None"),
        new_markdown_cell("2. **Without end.** Do this:"),
        new_markdown_cell("3. **Again.** Why?\n\n## Summary\n\n4. **Nor this.** It comes later."),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "07_topic.ipynb")
    page = exercise_index([tmp_path / "07_topic.ipynb"])
    assert page.splitlines()[4:] == [
        "## 07: A topic",
        "",
        "1. **How many?** Count 0.5 of them, e.g. here: all.",
        "2. **Without end.** Do this:",
        "3. **Again.** Why?",
        "",
        "[The notebook](07_topic.ipynb) · [the solutions](solutions/07_topic.ipynb)",
    ]


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.ndic]\nrepository = "a.b/c"\n')
    others = "https://github.com/a.b/cd https://github.com/axb/c https://github.com/InterDigitalInc/CompressAI\n"
    for name in ("README.md", "notebooks/01_x.ipynb", "notebooks/solutions/01_x.ipynb"):
        (tmp_path / name).write_text(f"{LINKS}\n{others}")
    return tmp_path


def test_the_repository_is_replaced_everywhere(checkout):
    set_repository("new/place", checkout)
    assert (checkout / "pyproject.toml").read_text() == '[tool.ndic]\nrepository = "new/place"\n'
    for name in ("README.md", "notebooks/01_x.ipynb", "notebooks/solutions/01_x.ipynb"):
        changed, others = (checkout / name).read_text().splitlines()
        assert changed == LINKS.replace("a.b/c", "new/place")
        assert "a.b/cd" in others
        assert "axb/c" in others
        assert "InterDigitalInc/CompressAI" in others


@pytest.mark.parametrize("name", ["", "name", "https://github.com/owner/name", "owner/name/more"])
def test_a_malformed_repository_is_refused(checkout, name):
    with pytest.raises(SystemExit, match="owner/name"):
        set_repository(name, checkout)
