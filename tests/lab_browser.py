"""JupyterLab in a browser, as a reader uses it: opens a notebook, runs all cells, moves the controls.

notebook ─▶ jupyter lab ─▶ headless Chromium ─▶ run all ─▶ press a key on a slider ─▶ wait for another image

Every explorer must fit the screen of a laptop, and each of its controls must have an accessible name.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import nbformat
from playwright.sync_api import Locator, Page, Playwright, Route, TimeoutError

START = MOVE = 600_000  # ms to wait for a server, page, kernel or figure: only a failure takes as long
RUN = 1_200_000  # for all cells of a notebook
LAPTOP = {"width": 1366, "height": 768}
TALLEST = 645  # pixels, of an explorer: JupyterLab's bars leave no more of a laptop's screen

# Read from JupyterLab itself: the page shows only a part of a notebook.
_LAB = """
const panel = window.jupyterapp?.shell.currentWidget;
const kernel = panel?.context?.sessionContext?.session?.kernel;
const cells = [...(panel?.content?.model?.cells ?? [])].filter(cell => cell.type === "code")
    .map(cell => ({count: cell.executionCount, outputs: cell.outputs.toJSON()}));
const failed = cells.some(cell => cell.outputs.some(output => output.output_type === "error"));
"""
_READY = f"() => {{ {_LAB} return cells.length && kernel?.status === 'idle' }}"
_FINISHED = f"() => {{ {_LAB} return kernel?.status === 'idle' && (failed || cells.every(cell => cell.count)) }}"
_CELLS = f"() => {{ {_LAB} return cells }}"
_SHUT_DOWN = f"() => {{ {_LAB} return panel?.context?.sessionContext?.shutdown() }}"

SLIDER = ".noUi-handle"
_SHOWN = ".widget-output"  # the figure of an explorer
_NAMELESS = """explorer => [...explorer.querySelectorAll(".noUi-handle, .widget-readout, select, input")]
    .filter(control => !control.ariaLabel && !control.labels?.[0]?.textContent.trim()).map(control => control.className)
"""
_FAILED = f"{_SHOWN} [data-mime-type='application/vnd.jupyter.stderr']"  # also exceptions
_DRAWN = f"""([explorer, before]) => {{
    const image = explorer.querySelector("{_SHOWN} img");
    return explorer.querySelector("{_FAILED}") || (image?.complete && image.naturalWidth && image.src !== before)
}}"""


def find_browser(playwright: Playwright) -> str | None:
    """Path of a system Chromium, or of the one from `playwright install chromium`."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    own = playwright.chromium.executable_path
    return found or (own if Path(own).exists() else None)


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """Serve a folder with default settings; yields the URL of a notebook, with placeholders for workspace and name."""
    home = folder / ".jupyter"
    places = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {f"JUPYTERLAB_{kind}_DIR": str(home / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    options = {
        "ServerApp.root_dir": folder,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,  # any free port
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "LabApp.expose_app_in_browser": True,
        "LabApp.check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "LabApp.news_url": None,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{option}={value}" for option, value in options.items())]
    home.mkdir()
    with (home / "log").open("w", encoding="utf-8") as log:
        # Another test process runs at the same time: more threads than free cores are slow.
        environment = os.environ | places | {"IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "1"}
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield _address(server, home)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address(server: subprocess.Popen, home: Path) -> str:
    info_file = home / "runtime" / f"jpserver-{server.pid}.json"
    end = time.monotonic() + START / 1000
    while time.monotonic() < end and server.poll() is None:
        try:
            info = json.loads(info_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # not yet written, or half written
            time.sleep(0.1)
        else:
            return f"{info['url']}lab/workspaces/{{}}/tree/{{}}?token={info['token']}"
    raise RuntimeError(f"JupyterLab did not start:\n{(home / 'log').read_text(encoding='utf-8')}")


def copy_without_outputs(path: Path, folder: Path) -> str:
    """Copy a notebook without its outputs, so that only new outputs are checked."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, folder / path.name)
    return path.name


@contextmanager
def opened(page: Page, address: str, name: str) -> Iterator[list[str]]:
    """Open a notebook and run all cells from the menu; yields a list that collects console errors and requests."""
    complaints = []
    here = address.partition("/lab/")[0]

    def outside(route: Route) -> None:
        """Answer the Colab badge, report and block every other request: the tests need no network."""
        if route.request.url.startswith("https://colab.research.google.com/assets/"):
            route.fulfill(content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>")
        else:
            complaints.append(f"asks for {route.request.url}")
            route.abort()

    page.on("console", lambda line: line.type == "error" and complaints.append(f"console: {line.text}"))
    page.on("pageerror", lambda error: complaints.append(f"console: {error}"))
    page.route(lambda address: not address.startswith(here), outside)
    # A new workspace: JupyterLab would reopen the notebooks of the last one.
    page.goto(address.format(uuid4().hex, name), timeout=START)
    try:
        page.wait_for_function(_READY, timeout=START)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_function(_FINISHED, timeout=RUN)
        yield complaints
    finally:
        page.evaluate(_SHUT_DOWN)


def problems_in(page: Page, complaints: list[str]) -> list[str]:
    """Move a control of each explorer in an opened notebook by keyboard; returns everything that is wrong."""
    cells = page.evaluate(_CELLS)
    problems = [
        # Numbered by position: the execution count may arrive after the outputs.
        f"code cell {number}: {output.get('evalue') or ''.join(output['text']).strip()}"
        for number, cell in enumerate(cells, start=1)
        for output in cell["outputs"]
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
    texts = [output["data"].get("text/plain", "") for cell in cells for output in cell["outputs"] if "data" in output]
    expected = sum("".join(text).startswith("[explorer of ") for text in texts)
    explorers = page.locator(".jp-Notebook .widget-interact")
    for index in range(expected):
        found = [_move(explorers.nth(index)), *_misfits(explorers.nth(index))]
        problems += [f"explorer {index + 1} of {expected}: {problem}" for problem in found if problem]
    return problems + complaints


def _misfits(explorer: Locator) -> Iterator[str]:
    tall = explorer.bounding_box()["height"]
    if tall > TALLEST:
        yield f"{tall:.0f} pixels tall, more than {TALLEST}"
    for control in explorer.evaluate(_NAMELESS):
        yield f"no accessible name: {control}"


def _move(explorer: Locator) -> str | None:
    try:
        before = wait_for_image(explorer, None)
        sliders, others = explorer.locator(SLIDER), explorer.locator("select, input[type=checkbox]")
        controls = sliders if sliders.count() else others
        if not controls.count():
            return "nothing that a key moves"
        press(controls.first)
        after = wait_for_image(explorer, before)
    except TimeoutError as error:
        return f"no new image: {error.message}"
    return None if before and after else explorer.locator(_FAILED).inner_text().splitlines()[-1]


def wait_for_image(explorer: Locator, before: str | None) -> str | None:
    """Wait until an explorer shows an image other than `before`; returns its source, or None after an error."""
    explorer.scroll_into_view_if_needed(timeout=MOVE)
    explorer.page.wait_for_function(_DRAWN, arg=[explorer.element_handle(), before], timeout=MOVE)
    if explorer.locator(_FAILED).count():
        return None
    return explorer.locator(f"{_SHOWN} img").get_attribute("src")


def press(control: Locator) -> None:
    """Move a control by one step with a key."""
    control.focus()
    if control.get_attribute("role") == "slider":
        at_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        control.press("ArrowLeft" if at_end else "ArrowRight")
    elif control.evaluate("control => control.tagName") == "SELECT":
        at_end = control.evaluate("control => control.selectedIndex === control.length - 1")
        for key in ("Enter", "ArrowUp" if at_end else "ArrowDown", "Enter"):  # a closed list's arrows move the cells
            control.press(key)
    else:
        control.press("Space")
