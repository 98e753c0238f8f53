"""JupyterLab in a browser, as a reader has it: open a notebook, run all its cells, move what can be moved.

notebooks ─▶ jupyter lab ─▶ headless Chromium ─▶ run all ─▶ a key on a slider ─▶ another picture?
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

START = 180_000  # ms to wait for a server, a page, a kernel; a machine may be busy with other things
RUN = 900_000  # for all the cells of a notebook
MOVE = 120_000  # for a figure to be drawn anew

# JupyterLab itself is asked: it knows more of a notebook than its page shows.
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
_SHOWN = ".widget-output"  # where an explorer shows what it draws
_FAILED = f"{_SHOWN} [data-mime-type='application/vnd.jupyter.stderr']"  # exceptions, too
_DRAWN = f"""([explorer, before]) => {{
    const picture = explorer.querySelector("{_SHOWN} img");
    return explorer.querySelector("{_FAILED}") || (picture?.complete && picture.naturalWidth && picture.src !== before)
}}"""


def find_browser(playwright: Playwright) -> str | None:
    """A Chromium of the system, or else the one that `playwright install chromium` brings."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    own = playwright.chromium.executable_path
    return found or (own if Path(own).exists() else None)


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """Serve a folder with nobody's settings; yields the address of a notebook, without its workspace and name."""
    home = folder / ".jupyter"
    places = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {f"JUPYTERLAB_{kind}_DIR": str(home / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    options = {
        "ServerApp.root_dir": folder,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,  # any that is free
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "LabApp.expose_app_in_browser": True,
        "LabApp.check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "LabApp.news_url": None,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{option}={value}" for option, value in options.items())]
    home.mkdir()
    with (home / "log").open("w", encoding="utf-8") as log:
        # Other tests run beside it: two threads that wait for each other on one core are many times as slow as one.
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
    told = home / "runtime" / f"jpserver-{server.pid}.json"
    end = time.monotonic() + START / 1000
    while time.monotonic() < end and server.poll() is None:
        try:
            info = json.loads(told.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
            time.sleep(0.1)
        else:
            return f"{info['url']}lab/workspaces/{{}}/tree/{{}}?token={info['token']}"
    raise RuntimeError(f"JupyterLab did not start:\n{(home / 'log').read_text(encoding='utf-8')}")


def copy_without_outputs(path: Path, folder: Path) -> str:
    """What the reader of a notebook sees must be what running it shows."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, folder / path.name)
    return path.name


@contextmanager
def opened(page: Page, address: str, name: str) -> Iterator[list[str]]:
    """A notebook whose cells have all been run from the menu; yields what JupyterLab complains of, as it comes."""
    complaints = []
    here = address.partition("/lab/")[0]

    def outside(route: Route) -> None:
        """The tests need no network, so the badges of Colab are drawn here. Nothing else is let out."""
        if route.request.url.startswith("https://colab.research.google.com/assets/"):
            route.fulfill(content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>")
        else:
            complaints.append(f"asks for {route.request.url}")
            route.abort()

    page.on("console", lambda said: said.type == "error" and complaints.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: complaints.append(f"console: {error}"))
    page.route(lambda address: not address.startswith(here), outside)
    # A workspace of its own, or JupyterLab would open what the last one had open.
    page.goto(address.format(uuid4().hex, name), timeout=START)
    try:
        page.wait_for_function(_READY, timeout=START)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_function(_FINISHED, timeout=RUN)
        yield complaints
    finally:
        page.evaluate(_SHUT_DOWN)


def problems_in(page: Page, complaints: list[str], patience: int = MOVE) -> list[str]:
    """Move a control of each explorer in an opened notebook by keyboard; tell all that isn't as it should be."""
    cells = page.evaluate(_CELLS)
    problems = [
        # Not by its execution count, which an answer of the kernel brings that may come after the outputs.
        f"code cell {number}: {output.get('evalue') or ''.join(output['text']).strip()}"
        for number, cell in enumerate(cells, start=1)
        for output in cell["outputs"]
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
    texts = [output["data"].get("text/plain", "") for cell in cells for output in cell["outputs"] if "data" in output]
    expected = sum("".join(text).startswith("[explorer of ") for text in texts)
    explorers = page.locator(".jp-Notebook .widget-interact")
    for index in range(expected):
        problem = _move(explorers.nth(index), patience)
        problems += [f"explorer {index + 1} of {expected}: {problem}"] if problem else []
    return problems + complaints


def _move(explorer: Locator, patience: int) -> str | None:
    try:
        before = wait_for_picture(explorer, None, patience)
        sliders, others = explorer.locator(SLIDER), explorer.locator("select, input[type=checkbox]")
        controls = sliders if sliders.count() else others
        if not controls.count():
            return "nothing that a key moves"
        press(controls.first)
        after = wait_for_picture(explorer, before, patience)
    except TimeoutError as error:
        return f"no new picture: {error.message}"
    return None if before and after else explorer.locator(_FAILED).inner_text().splitlines()[-1]


def wait_for_picture(explorer: Locator, before: str | None, patience: int = MOVE) -> str | None:
    """The picture that an explorer shows once it is another than before; None where there is an error in its place."""
    explorer.scroll_into_view_if_needed(timeout=patience)
    explorer.page.wait_for_function(_DRAWN, arg=[explorer.element_handle(), before], timeout=patience)
    if explorer.locator(_FAILED).count():
        return None
    return explorer.locator(f"{_SHOWN} img").get_attribute("src")


def press(control: Locator) -> None:
    """Move a control by one step with the key that a reader would press."""
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
