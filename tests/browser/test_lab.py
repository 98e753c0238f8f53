"""JupyterLab in headless Chromium: one lesson, and small notebooks with every kind of widget, by keyboard and click."""

import os
import re

import nbformat
import pytest
from build import HERE
from lab_browser import (
    LAPTOP,
    MOVE,
    SLIDER,
    copy_without_outputs,
    find_browser,
    jupyter_lab,
    opened,
    press,
    problems_in,
    wait_for_image,
)
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect, sync_playwright

NO_BROWSER = "no browser found: `apt install chromium` or `.venv/bin/playwright install chromium`"


# Browser and server start once, and stop with this module: playwright's event loop would disturb other tests.
@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            (pytest.fail if os.environ.get("NDIC_BROWSER") == "required" else pytest.skip)(NO_BROWSER)
        with playwright.chromium.launch(executable_path=path) as browser:
            yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def address(chromium, folder):
    with jupyter_lab(folder) as address:
        yield address


@pytest.fixture
def page(chromium):
    with chromium.new_page(viewport=LAPTOP) as page:
        yield page


SETUP = """
import sys
from IPython.display import Javascript
from matplotlib.figure import Figure
from ndic_core.notebook.setup import start
from ndic_core.notebook.widgets import ClickImage, explore

def titled(title):
    figure = Figure((2, 1))
    figure.subplots().set_title(title)
    return figure

start()
"""


@pytest.fixture
def small(folder):
    """Write a notebook with these code cells."""

    def small(*cells):
        notebook = new_notebook(cells=[new_code_cell(source) for source in (SETUP, *cells)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / "small.ipynb")
        return "small.ipynb"

    return small


def test_every_explorer_of_a_lesson_moves(folder, address, page):
    """The template: the shortest lesson with sliders and an image to click on."""
    with opened(page, address, copy_without_outputs(HERE / "_template.ipynb", folder)) as complaints:
        assert problems_in(page, complaints) == []


def test_a_click_on_an_image_moves_two_sliders_and_the_figure(small, address, page):
    image = "ClickImage([[[0.5] * 100] * 50] * 3, row=10, column=20, description='grey')"
    with opened(page, address, small(f"explore(lambda place: titled(str(place)), place={image})")) as complaints:
        explorer = page.locator(".widget-interact")
        readouts = explorer.locator(".widget-readout")
        first = wait_for_image(explorer, None)
        expect(readouts).to_have_text(["10", "20"], timeout=MOVE)

        grey = explorer.get_by_alt_text("grey")
        box = grey.bounding_box()
        grey.click(position={"x": 0.755 * box["width"], "y": 0.51 * box["height"]})
        second = wait_for_image(explorer, first)
        expect(readouts).to_have_text(["25", "75"], timeout=MOVE)

        press(explorer.locator(SLIDER).first)
        assert wait_for_image(explorer, second) not in (None, first)
        expect(readouts).to_have_text(["26", "75"], timeout=MOVE)
        mark = explorer.locator("img + div").evaluate("mark => [mark.style.top, mark.style.left]")
        assert mark == ["53%", "75.5%"]
        assert complaints == []


def test_the_old_figure_is_dimmed_while_the_next_is_computed(small, folder, address, page):
    wait = "while n == 2 and not Path('go').exists(): time.sleep(0.05)"
    cell = f"""
import time
from pathlib import Path

def slow(n=1):
    {wait}
    return titled(n)

explore(slow, {{"n": "number, 1–3"}}, n=(1, 3))
"""
    with opened(page, address, small(cell)) as complaints:
        explorer = page.locator(".widget-interact")
        first = wait_for_image(explorer, None)
        expect(explorer).to_have_attribute("aria-busy", "false", timeout=MOVE)
        slider = explorer.get_by_role("slider", name="number, 1–3")
        press(slider)
        expect(slider).to_have_attribute("aria-valuetext", "2", timeout=MOVE)  # the number that is shown, not 2.00
        expect(explorer).to_have_attribute("aria-busy", "true", timeout=MOVE)
        expect(explorer.locator(".widget-output")).to_have_css("opacity", "0.35", timeout=MOVE)
        assert explorer.locator("img").get_attribute("src") == first
        (folder / "go").touch()
        wait_for_image(explorer, first)
        expect(explorer).to_have_attribute("aria-busy", "false", timeout=MOVE)
        expect(explorer.locator(".widget-output")).to_have_css("opacity", "1", timeout=MOVE)
        assert complaints == []


def test_explorers_that_do_not_fit_or_have_no_names_are_reported(small, address, page):
    cells = small(
        "def tall(n):\n    (figure := titled(n)).set_size_inches(2, 9)\n    return figure\nexplore(tall, n=(1, 3))",
        "from ipywidgets import Checkbox; explore(lambda n: titled(n), n=Checkbox(description=' '))",
    )
    with opened(page, address, cells) as complaints:
        found = problems_in(page, complaints)
    assert [re.sub(r"\d+ pixels tall", "N pixels tall", problem) for problem in found] == [
        "explorer 1 of 2: N pixels tall, more than 645",
        "explorer 2 of 2: no accessible name: ",
    ]


def test_every_kind_of_control_is_moved_and_every_problem_is_reported(small, address, page):
    cells = small(
        "explore(lambda n: titled(1 / (3 - n)), n=(1, 3))",
        "explore(lambda: titled('nothing to move'))",
        "explore(lambda all_right=True: titled(all_right), all_right=['a list', True])",
        "explore(lambda all_right=True: titled(all_right))",
        "explore(lambda text='a', all_right=3: titled(all_right), all_right=(1, 3))",
        "print('careful', file=sys.stderr)",
        'Javascript(\'console.error("logged"); setTimeout(() => { throw Error("thrown") })\')',
        "Javascript('fetch(\"https://example.org/\").catch(() => null)')",
        "{}['key']",
        "'never run'",
    )
    with opened(page, address, cells) as complaints:
        found = sorted(problems_in(page, complaints))
    expected = [
        "asks for https://example.org/",
        "code cell 10: 'key'",
        "code cell 7: careful",
        "console: Failed to load resource",
        "console: logged",
        "console: thrown",
        "explorer 1 of 5: ZeroDivisionError: division by zero",
        "explorer 2 of 5: nothing that a key moves",
    ]
    assert [problem[: len(start)] for problem, start in zip(found, expected, strict=True)] == expected
