"""Plain nbconvert and our runner make the same page of a notebook, but for the clock."""

import re
import subprocess
import sys
from difflib import unified_diff

import nbformat
from bs4 import BeautifulSoup
from tiny_notebooks import code, notebook, save, text

from shoptoolkit.report import ShopReportExporter, run_series

CELLS = [
    text("# Do they come back?\n\n## In short"),
    code("import warnings, sys\nimport polars as pl\nfrom shoptoolkit import report\nSEED = 7", "hide-input"),
    code("level = 0.95", "parameters"),
    text("## Data\n\nBefore $t$:\n\n\\begin{align} a &= b \\\\ c &= d \\end{align}"),
    code("frame = pl.DataFrame({'who': ['a', None], 'n': [1, 2]})\nframe"),
    code("print(level)\nwarnings.warn('few rows')\nprint('50%\\rdone', file=sys.stderr)"),
    code("from tqdm.auto import tqdm\nfor n in tqdm(range(3)): pass"),
    code("report.table(frame, title='Rows', note='all')"),
    code("import matplotlib\nmatplotlib.use('agg')\nfrom matplotlib.figure import Figure\nfig = Figure((7.6, 3))"),
    code("fig.add_subplot().plot([1, 2])\nreport.figure(fig, title='It rises', alt='A line')"),
    code("report.callout('Mind', 'it')\n"),
    code("facts = {'Z': 'A', 'B': 'C'}\nreport.answer(sentence='Yes.', seed=SEED, data=frame, facts=facts)"),
]
# What may differ, and nothing else: when the run began, and how long it took.
CLOCK = [
    (r'<meta content="[^"]*" name="shoptoolkit-(started|seconds)"', r'<meta name="shoptoolkit-\1"'),
    (r"<dt>Run</dt><dd>[^<]*</dd>", "<dt>Run</dt>"),
]


def without_clock(html):
    for pattern, plain in CLOCK:
        html, count = re.subn(pattern, plain, html)
        assert count == 2, "the clock stands in the head, under the title and at the foot"
    return html


def difference(one, other):
    pages = [without_clock(html).splitlines() for html in (one, other)]
    return [line[:300] for line in unified_diff(*pages, lineterm="", n=0)]


def test_plain_nbconvert_and_the_runner_make_the_same_page(tmp_path):
    path = save(notebook(*CELLS), tmp_path / "notebooks" / "20_q.ipynb")
    (result,) = run_series(notebooks=path.parent, out=tmp_path / "reports")
    ours = result.path.read_text(encoding="utf-8")
    assert result.status == "ok", result.failure

    nbconvert = [sys.executable, "-m", "nbconvert"]
    ways = {
        "run and made into a page": ["--execute", "--to", "shopreport", "--output-dir", str(tmp_path / "one")],
        "only run": ["--execute", "--to", "notebook", "--output-dir", str(tmp_path / "two")],
    }
    for words in ways.values():
        done = subprocess.run([*nbconvert, *words, str(path)], capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
    assert difference(ours, (tmp_path / "one" / "20_q.html").read_text(encoding="utf-8")) == []

    later, _ = ShopReportExporter().from_filename(str(tmp_path / "two" / "20_q.ipynb"))
    assert difference(ours, later) == []

    nb = nbformat.read(tmp_path / "two" / "20_q.ipynb", 4)
    for cell in nb.cells:
        cell.metadata.pop("execution", None)  # as JupyterLab saves it, which keeps no time
    in_lab, _ = ShopReportExporter().from_notebook_node(nb, resources={"metadata": {"name": "20_q"}})
    assert difference(ours, in_lab) == [], "the answer tells when it was given"


def test_what_a_run_leaves_behind_is_no_rubbish(tmp_path):
    path = save(notebook(*CELLS), tmp_path / "notebooks" / "20_q.ipynb")
    (result,) = run_series(notebooks=path.parent, out=tmp_path / "reports")
    soup = BeautifulSoup(result.path.read_text(encoding="utf-8"), "html.parser")
    outputs = " ".join(str(out) for out in soup.select(".out"))
    assert "UserWarning: few rows\ndone" in outputs
    assert "Messages while running, 2 lines<" in outputs
    for rubbish in ("ipykernel_", "/tmp/", "warnings.warn", "0%", "it/s", "HBox", "model_id", "Line2D"):
        assert rubbish not in re.sub('base64,[^"]*', "", outputs), rubbish
