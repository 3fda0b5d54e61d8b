"""Pages for the browser tests, made once a session by the runner, and a Chromium to open them in.

Without Chromium or axe-core these tests skip and say how to get them; in CI they fail.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "report")]

from torture import broken, torture  # noqa: E402
from visits import FLAGS, PAGES, Visit  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (  # where the installers of other systems put it
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
MEASURED: dict[str, str] = {}


def lacking(what: str) -> NoReturn:
    """Skip a test for want of a tool, or fail it in CI, which has them all."""
    pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)


def find_chromium() -> str | None:
    found = [shutil.which(name) for name in NAMES] + [place for place in PLACES if Path(place).is_file()]
    return next(filter(None, found), None)


@pytest.fixture(scope="module")  # not the session: a running Playwright is a running event loop, which others meet
def chromium() -> Iterator[object]:
    path = find_chromium()
    if path is None:
        lacking("needs Chromium or Chrome: on Debian `apt-get install chromium`; elsewhere install Chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("needs Playwright: pip install -e '.[dev]' (it need not fetch a browser)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Visit]]:
    """Open a page. Whatever a test does there: no request may leave, no error may be told on the console."""
    visits: list[Visit] = []

    def open_page(path: Path, **options: object) -> Visit:
        visits.append(Visit(chromium, path, **options))
        return visits[-1]

    yield open_page
    for opened in visits:
        opened.context.close()
    assert [opened.requests for opened in visits if opened.requests] == []
    assert [opened.complaints for opened in visits if opened.complaints] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    if not AXE.is_file():
        lacking("needs axe-core: run `make browser` (with npm)")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of reports: two notebooks of the series, one with everything in it, one that fails, and the index."""
    folder = tmp_path_factory.mktemp("browser")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    for name in ("00_start_here", "20_repurchase_retention"):
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", notebooks)
    torture(notebooks / "65_torture.ipynb")
    broken(notebooks / "66_broken.ipynb")
    command = "from shoptoolkit.report.cli import main; raise SystemExit(main())"
    words = ["report", "--notebooks", str(notebooks), "--out", str(folder / "out"), "--jobs", "2"]
    done = subprocess.run([sys.executable, "-c", command, *words], capture_output=True, text=True, timeout=300)
    made = sorted(path.stem for path in (folder / "out").glob("*.html"))
    assert (done.returncode, made) == (1, PAGES), done.stdout + done.stderr
    return folder / "out"


@pytest.fixture(scope="session")
def measured() -> dict[str, str]:
    """Numbers to print when all is done."""
    return MEASURED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("pages in the browser")
        for name, said in sorted(MEASURED.items()):
            terminalreporter.write_line(f"{name:<40} {said}")
