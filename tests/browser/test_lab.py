"""The first notebook in a real JupyterLab: all cells run, it is saved, and Lab offers our export."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "00_start_here.ipynb"
TOKEN = secrets.token_hex(16)
QUIET = [  # loopback only, and nothing that asks the network
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    f"--IdentityProvider.token={TOKEN}",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
]
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")


def address(server: subprocess.Popen, log: Path) -> str:
    """Where the server listens, as soon as it says so."""
    for _ in range(600):
        said = log.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"http://127\.0\.0\.1:\d+/", said):
            return found[0]
        assert server.poll() is None, said
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Serve a folder that holds a copy of the first notebook."""
    folder = tmp_path_factory.mktemp("lab")
    served = folder / "notebooks"
    served.mkdir()
    shutil.copy(ROOT / "notebooks" / NAME, served)
    log = folder / "log.txt"
    homes = {name: str(folder / name.lower()) for name in FOLDERS}
    words = [sys.executable, "-m", "jupyterlab", *QUIET, f"--ServerApp.root_dir={served}"]
    with log.open("wb") as file:
        server = subprocess.Popen(words, stdout=file, stderr=file, env=os.environ | homes, cwd=served)
    try:
        yield address(server, log), served / NAME
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="module")
def page(lab, chromium):
    """JupyterLab with the notebook open; whatever it asks for elsewhere is noted in `strangers`."""
    url, _ = lab
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.strangers = []
    inside = (url, url.replace("http:", "ws:"), "data:", "blob:")
    context.on("request", lambda r: None if r.url.startswith(inside) else page.strangers.append(r.url))
    page.goto(f"{url}lab/tree/{NAME}?token={TOKEN}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before that, Run would ask which kernel
    yield page
    context.close()


def choose(page, *path: str) -> None:
    """Walk down the menus."""
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{path[0]}$")).click()
    for label in path[1:]:
        page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{label}$")).last.click()


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def saved(lab, page, measured) -> list[dict]:
    """The code cells of the file after Run All Cells and Ctrl+S."""
    _, path = lab
    count, began = len(code_cells(path)), time.monotonic()
    choose(page, "Run", "Run All Cells")
    page.locator(".jp-Notebook .jp-CodeCell").last.scroll_into_view_if_needed()
    page.locator(".jp-Notebook .jp-InputPrompt", has_text=f"[{count}]:").wait_for(timeout=180_000)
    measured["JupyterLab: 00_start_here ran in"] = f"{time.monotonic() - began:.0f} s"
    page.locator(".jp-Notebook .jp-CodeCell").last.locator(".shop-piece .answer").wait_for()
    page.keyboard.press("Control+s")
    for _ in range(200):
        if all(cell["execution_count"] for cell in code_cells(path)):
            break
        page.wait_for_timeout(100)
    return code_cells(path)


def test_all_cells_run_and_the_notebook_is_saved(saved):
    assert [cell["execution_count"] for cell in saved] == list(range(1, len(saved) + 1))
    outputs = [output for cell in saved for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert any("application/vnd.shoptoolkit.answer+json" in output.get("data", {}) for output in outputs)


def test_the_export_menu_offers_the_shop_report_and_makes_it(lab, page, saved):
    url, _ = lab
    choose(page, "File", "Save and Export Notebook As")
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Shop ?report")).wait_for()
    page.keyboard.press("Escape")
    with urllib.request.urlopen(f"{url}nbconvert/shopreport/{NAME}?token={TOKEN}", timeout=60) as answer:
        html = answer.read().decode("utf-8")
    assert re.search('<meta [^>]*name="shoptoolkit-status"[^>]*>', html)[0].count('"pass"') == 1
    assert 'class="banner"' not in html
    assert page.strangers == []
