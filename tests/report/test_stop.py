"""A run that is stopped: no half page, no kernel left, an index that agrees with the pages."""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_notebooks import code, notebook, save, text

from shoptoolkit.report.files import sweep
from shoptoolkit.report.kernel import execute

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
SLOW = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(120)"


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    ("number", "code_of", "jobs"),
    [(signal.SIGINT, 130, "1"), (signal.SIGTERM, 143, "2"), (signal.SIGKILL, -9, "1")],
)
def test_a_stopped_run_leaves_whole_pages_and_no_kernel(number, code_of, jobs, tmp_path):
    out, pid = tmp_path / "reports", tmp_path / "notebooks" / "pid"
    save(notebook(text("# Quick?"), code("1 + 1")), tmp_path / "notebooks" / "10_quick.ipynb")
    save(notebook(text("# Slow?"), code(SLOW)), tmp_path / "notebooks" / "20_slow.ipynb")
    save(notebook(text("# Never?"), code("import time; time.sleep(120)")), tmp_path / "notebooks" / "30_never.ipynb")
    words = [sys.executable, "-m", "shoptoolkit", "report", "--jobs", jobs]
    run = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert wait_for(lambda: pid.exists() and pid.read_text() and (out / "index.html").exists())
    run.send_signal(number)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == code_of
    assert "Traceback" not in said
    assert ("reports already written are whole" in said) == (number != signal.SIGKILL)
    assert wait_for(lambda: not is_alive(int(pid.read_text())), seconds=10), "the kernel ends by itself or is killed"
    assert sorted(path.name for path in out.iterdir()) == ["10_quick.html", "index.html"]
    assert all(path.read_text(encoding="utf-8").rstrip().endswith("</html>") for path in out.iterdir())
    assert re.findall(r'<a href="(\w+.html)"', (out / "index.html").read_text(encoding="utf-8")) == ["10_quick.html"]


def test_a_kernel_that_is_slow_to_end_leaves_no_watcher_behind(tmp_path, monkeypatch, caplog):
    from nbclient import NotebookClient

    clean = NotebookClient._async_cleanup_kernel

    async def slowly(client):
        await clean(client)
        await asyncio.sleep(1.5)  # nbclient looks each second whether the kernel lives, and now there is none

    monkeypatch.setattr(NotebookClient, "_async_cleanup_kernel", slowly)
    stop = threading.Event()
    nb = notebook(text("# Slow?"), code(SLOW))
    threading.Thread(target=lambda: wait_for((tmp_path / "pid").exists) and stop.set()).start()
    execute(nb, tmp_path, threads=1, stop=stop, on_cell=lambda _: None)
    gc.collect()  # what nobody asked for is complained of here
    assert not [record for record in caplog.records if record.name == "asyncio"]
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    for name in (".10_a.html.k3j2.part", ".10_b.html.x8.part", ".mine.part", "10_c.html"):
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / ".10_a.html.k3j2.part", (1, 1))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".10_b.html.x8.part", ".mine.part", "10_c.html"]
