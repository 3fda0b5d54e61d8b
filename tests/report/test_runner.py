"""The series: what runs, what a failure leaves, what the index lists, what the command line says."""

import os
import re

import pytest
from bs4 import BeautifulSoup
from tiny_notebooks import code, notebook, save, text

from shoptoolkit.report import run_series, write_index
from shoptoolkit.report.cli import main
from shoptoolkit.report.series import plan_series

SHOW = "from shoptoolkit.report import answer\nanswer(sentence=f'{shop} is {within_days} <days>')"


@pytest.fixture
def folder(tmp_path):
    notebooks = tmp_path / "notebooks"
    defaults = code("within_days = 90\nshop = 'mine'", "parameters")
    save(
        notebook(text("# Good?"), defaults, code(SHOW), code("import os; print('pid', os.getpid())")),
        notebooks / "10_good.ipynb",
    )
    cells = [code("within_days = 1", "parameters"), text("## Estimate"), code("import os\n1 / 0"), code("never = 1")]
    save(notebook(text("# Bad?"), *cells), notebooks / "20_bad.ipynb")
    save(notebook(text("# Late?"), code("import time; time.sleep(60)")), notebooks / "70_late.ipynb")
    return notebooks


def test_a_series_goes_on_after_a_failure_and_leaves_pages_and_an_index(folder, tmp_path, capsys):
    out = tmp_path / "reports"
    out.mkdir()
    (out / "20_bad.html").write_text("stale")
    (out / "10_good.FAILED.html").write_text("stale")
    (out / "foreign.html").write_text("<p>not ours</p>")
    words = ["--notebooks", str(folder), "--out", str(out), "--jobs", "2", "-p", "within_days=7", "-p", "shop='; 1/0 #"]
    assert main(["report", *words]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("ok      10_good ")
    assert said[1].startswith("failed  20_bad ")
    assert said[2].strip() == 'cell 4, under "Estimate": ZeroDivisionError: division by zero'
    assert said[3].strip() == "> 1 / 0"
    pages = sorted(path.name for path in out.iterdir())
    assert pages == ["10_good.html", "20_bad.FAILED.html", "foreign.html", "index.html"]
    good = (out / "10_good.html").read_text(encoding="utf-8")
    assert "'; 1/0 # is 7 &lt;days&gt;" in good
    assert "Values used in this run" in good
    with pytest.raises(ProcessLookupError):  # no kernel is left behind
        os.kill(int(re.search(r"pid (\d+)", good)[1]), 0)
    bad = BeautifulSoup((out / "20_bad.FAILED.html").read_text(encoding="utf-8"), "html.parser")
    assert "stopped in cell 4" in bad.select_one(".banner").get_text()

    index = BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [a["href"] for a in index.select(".item a")] == ["10_good.html", "20_bad.FAILED.html"]
    assert [a.get_text() for a in index.select(".item a")] == ["Good?", "Bad?"]
    assert [c.get_text() for c in index.select(".item .chip")] == ["Answered", "Did not finish"]
    assert "'; 1/0 # is 7 <days>" in index.select_one(".item p").get_text()
    assert index.select_one("input#find")
    assert "shoptoolkit report" in index.select_one("pre").get_text()
    assert not index.select("link, [src]")


def test_a_notebook_that_takes_too_long_is_stopped(folder, tmp_path):
    (result,) = run_series(["70"], notebooks=folder, out=tmp_path / "r", time_limit=3)
    assert result.status == "failed"
    assert result.seconds < 30
    assert result.failure.name == "TimeLimit"
    assert result.failure.cell == 2
    assert result.path.name == "70_late.FAILED.html"


def test_the_default_series_is_00_to_69_in_order(folder):
    assert [job.name for job in plan_series(notebooks=folder).work] == ["10_good", "20_bad"]
    assert [job.name for job in plan_series(["70", "10_good.ipynb"], notebooks=folder).work] == ["70_late", "10_good"]
    assert plan_series([folder / "10_good.ipynb"], notebooks="elsewhere").work[0].name == "10_good"


def test_a_parameter_goes_to_the_notebooks_that_know_it(folder):
    plan = plan_series(notebooks=folder, parameters={"shop": "x", "within_days": 3})
    assert [dict(job.values) for job in plan.work] == [{"shop": "x", "within_days": 3}, {"within_days": 3}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["99"]}, "'99' is not a notebook in .*Known: 10_good, 20_bad, 70_late"),
        ({"parameters": {"wihtin": "3"}}, "wihtin unknown to 10_good, 20_bad. Known: shop, within_days"),
        ({"parameters": {"within_days": "x"}}, "within_days='x' does not fit; it must be a whole number"),
        ({"jobs": 0}, "jobs is 0; it must be a whole number of at least 1"),
        ({"time_limit": -1}, "time_limit is -1; it must be seconds above 0"),
        ({"time_limit": float("nan")}, "time_limit is nan"),
        ({"notebooks": "nowhere"}, "notebooks='nowhere' is not a folder"),
    ],
)
def test_mistakes_are_found_before_anything_runs(folder, options, message):
    with pytest.raises(ValueError, match=message):
        plan_series(**({"notebooks": folder} | options))


def test_ambiguous_empty_and_broken_notebooks_are_named(folder, tmp_path):
    (folder / "10_other.ipynb").write_text("{")
    with pytest.raises(ValueError, match="'10' fits 10_good and 10_other; say which"):
        plan_series(["10"], notebooks=folder)
    with pytest.raises(ValueError, match=r"10_other.ipynb cannot be read as a notebook"):
        plan_series(["10_other"], notebooks=folder)
    save(notebook(), tmp_path / "b" / "10_good.ipynb")
    with pytest.raises(ValueError, match="10_good stands for two files"):
        plan_series(["10_good", tmp_path / "b" / "10_good.ipynb"], notebooks=folder)
    save(notebook(), tmp_path / "c" / "other.ipynb")
    with pytest.raises(ValueError, match="holds no notebook numbered 00 to 69"):
        plan_series(notebooks=tmp_path / "c")
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match=r"holds no \*.ipynb"):
        plan_series(notebooks=tmp_path / "d")


def test_the_index_needs_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is not a folder; run `shoptoolkit report --out"):
        write_index(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "-p", "novalue"], "-p 'novalue' is not KEY=VALUE"),
        (["report", "-p", "a=1", "-p", "a=2"], "-p a is given twice"),
        (["report", "--jobs", "many"], "invalid int value: 'many'"),
        (["report", "--jobs", "0"], "jobs is 0"),
        (["report", "nosuch"], "notebooks='notebooks' is not a folder"),
        (["nosuch"], "invalid choice: 'nosuch'"),
        ([], "required: COMMAND"),
    ],
)
def test_a_wrong_command_exits_with_2_and_says_why(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("shoptoolkit ")
