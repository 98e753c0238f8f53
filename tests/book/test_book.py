"""The web book: it builds without a warning and without a network, its links hold, and a visitor can use it."""

import functools
import os
import re
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import nbformat
import pytest
from build import HERE, LESSONS
from filelock import FileLock
from lab_browser import LAPTOP, START, find_browser
from playwright.sync_api import expect, sync_playwright

pytest.importorskip("furo", reason="the book's packages are missing: pip install -e '.[book]'")
bs4 = pytest.importorskip("bs4")
import book  # noqa: E402

LARGEST = 3_000_000  # bytes of a page
PAIRS = {"article p": 4.5, "article h1": 3, "article p a": 4.5, ".sidebar-tree a": 4.5}  # contrast, as in WCAG 2.2 AA
_CONTRAST = """selector => {
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = colour => {
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const element = document.querySelector(selector);
    const ground = element => getComputedStyle(element).backgroundColor;
    let behind = element;
    while (behind !== document.body && /(, 0\\)|transparent)$/.test(ground(behind))) behind = behind.parentElement;
    const pair = [getComputedStyle(element).color, ground(behind)].map(light);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The built book, one for all processes of the tests."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    with FileLock(shared / "book.lock"):
        if not (shared / "book" / "built").exists():
            command = [sys.executable, book.HERE / "book.py", shared / "book"]
            offline = os.environ | {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
            run = subprocess.run(command, env=offline, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            (shared / "book" / "built").touch()
    return shared / "book"


@functools.cache
def soup(page: Path):
    return bs4.BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def broken(page: Path, site: Path) -> list[str]:
    """References of a page that lead to no file, or to no element of it; those to other sites that it would load."""
    found = []
    for tag, key in {"a": "href", "img": "src", "script": "src", "link": "href"}.items():
        for link in (element[key] for element in soup(page).find_all(tag, **{key: True})):
            address, anchor = urldefrag(urljoin(page.as_uri(), link))
            if not address.startswith("file:"):
                found += [link] if tag != "a" else []
                continue
            target = Path(unquote(address.removeprefix("file://")).partition("?")[0])
            page_of_anchor = anchor and target.suffix == ".html"
            if not target.is_file() or (page_of_anchor and not soup(target).find(id=unquote(anchor))):
                found.append(link)
    return found


@pytest.mark.slow
def test_every_page_is_sound(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        assert page.stat().st_size < LARGEST, page.name
        content = soup(page)
        assert len(content.find_all("h1")) == 1, page.name
        assert content.html["lang"].startswith("en"), page.name
        assert content.title.text.strip(), page.name
        assert content.find("meta", attrs={"name": "viewport"}), page.name
        assert [image for image in content.find_all("img") if not image.get("alt", "").strip()] == [], page.name
        assert broken(page, site) == [], page.name


def test_broken_references_are_found(tmp_path):
    (tmp_path / "other.html").write_text('<p id="here"></p>')
    page = tmp_path / "page.html"
    links = ("other.html#here", "other.html#there", "none.html", "https://example.org")
    page.write_text("".join(f'<a href="{link}"></a>' for link in links) + '<script src="https://example.org/x.js">')
    assert broken(page, tmp_path) == ["other.html#there", "none.html", "https://example.org/x.js"]


@pytest.mark.slow
def test_every_notebook_is_a_page_with_its_figures_and_buttons(site):
    for lesson in LESSONS:
        content = soup(site / "notebooks" / f"{lesson.stem}.html")
        outputs = [cell.get("outputs", []) for cell in nbformat.read(lesson, as_version=4).cells]
        figures = sum("<img" in output.get("data", {}).get("text/html", "") for found in outputs for output in found)
        assert len(content.article.find_all("img")) == figures
        places = [link.text for link in content.select(".launch a")]
        assert places == ["Open in Colab", "Open in Kaggle", "Open in Binder", "source"]
        assert "run to move it" not in content.text


def test_every_linked_paper_has_an_entry():
    """A paper that a notebook's references link to is cited in the book, so it is in the bibliography."""
    for lesson in LESSONS:
        cells = nbformat.read(lesson, as_version=4).cells
        words = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        links = re.findall(r"\]\((https://(?:arxiv\.org|doi\.org)[^)]+)\)", words)
        assert set(links) <= set(book.papers()), lesson.name


def test_links_to_headings_and_files_hold_in_the_book(tmp_path):
    stage = book.Stage(tmp_path)
    text = "[a](05_common_information.ipynb#What-does-w-contain%3F) [b](#Appendix-B:-it) [c](../pyproject.toml)"
    assert stage.text(text, "notebooks/01_distributed_source_coding.ipynb") == (
        "[a](05_common_information.ipynb#what-does-w-contain) [b](#appendix-b-it) "
        f"[c]({book.ADDRESS}/blob/main/pyproject.toml)"
    )
    cited = stage.text("[SOAP](https://arxiv.org/abs/2409.11321) and [more](https://arxiv.org/abs/1)", "docs/data.md")
    assert cited == "[SOAP](https://arxiv.org/abs/2409.11321) {cite:p}`vyas2024` and [more](https://arxiv.org/abs/1)"


def test_every_document_and_package_is_in_the_book():
    listed = "".join(page.read_text(encoding="utf-8") for page in book.HERE.glob("*.md"))
    names = [path.relative_to(book.ROOT).with_suffix("") for path in (*LESSONS, *(book.ROOT / "docs").glob("*.md"))]
    names += [Path("api") / package.replace("/", "_") for package in book.PACKAGES]
    assert [name for name in names if f"\n{name.as_posix()}\n" not in listed] == []
    folders = {
        path.parent.relative_to(book.ROOT / "ndic_core").as_posix() for path in HERE.parent.glob("ndic_core/*/**/*.py")
    }
    assert folders == set(book.PACKAGES)


@pytest.mark.slow
def test_a_visitor_searches_reads_and_needs_no_other_site(site):
    handler = functools.partial(SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *args: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = find_browser(playwright)
        if path is None:
            server.shutdown()
            (pytest.fail if os.environ.get("NDIC_BROWSER") == "required" else pytest.skip)("no browser found")
        with playwright.chromium.launch(executable_path=path) as browser:
            try:
                visit(browser.new_page(viewport=LAPTOP), f"http://127.0.0.1:{server.server_port}")
            finally:
                server.shutdown()


def visit(page, address):
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))

    page.set_default_timeout(START)
    page.goto(f"{address}/index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('a[href]')")  # the keyboard enters at a link
    page.get_by_placeholder("Search").first.fill("syndrome")
    page.keyboard.press("Enter")
    expect(page.locator("#search-results")).to_contain_text("Distributed source coding", timeout=START)
    page.locator("#search-results a").filter(has_text="Distributed source coding").first.click()
    expect(page.locator("h1")).to_contain_text("Distributed source coding", timeout=START)

    formula = page.locator("math").first
    assert formula.bounding_box()["height"] > 5
    figure = page.locator("article img").first
    figure.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=figure.element_handle())
    assert figure.bounding_box()["width"] <= page.locator("article").bounding_box()["width"] + 1

    for theme in ("light", "dark"):
        page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
        page.wait_for_timeout(0)
        for selector, least in PAIRS.items():
            assert page.evaluate(_CONTRAST, selector) >= least, (theme, selector)
        assert (
            page.evaluate("getComputedStyle(document.querySelector('article img')).backgroundColor")
            == "rgb(255, 255, 255)"
        )

    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert errors == [], errors
