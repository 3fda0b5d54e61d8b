"""The series: what runs, what a failure leaves, what the index lists, what the command line says."""

import io
import os
import re
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from tiny_notebooks import code, notebook, save, shown, text

from shoptoolkit.report import ShopReportExporter, answer, run_series, write_index
from shoptoolkit.report.cli import main
from shoptoolkit.report.series import plan_series

OURS = '<head><meta name="shoptoolkit-name" content="gone"></head>'
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
    (out / "20_bad.html").write_text(OURS)
    (out / "20_bad.SKIPPED.html").write_text(OURS)
    (out / "10_good.FAILED.html").write_text(OURS)
    (out / "10_good.SKIPPED.html").write_text("<p>not ours</p>")
    (out / "90_gone.html").write_text(OURS)
    (out / "foreign.html").write_text("<p>not ours</p>")
    words = ["--notebooks", str(folder), "--out", str(out), "-p", "within_days=7", "-p", "shop='; 1/0 #"]
    assert main(["report", *words]) == 1
    printed = capsys.readouterr()
    said = printed.out.splitlines()
    assert said[0].startswith("ok       10_good ")
    assert said[1].startswith("failed   20_bad ")
    assert said[2].strip() == "in cell 4, under “Estimate”: ZeroDivisionError: division by zero"
    assert said[3].strip() == "> 1 / 0"
    assert said[4] == "1 of 2 failed: 20_bad"
    assert printed.err.splitlines() == ["running 10_good, 4 cells", "running 20_bad, 5 cells"]
    pages = sorted(path.name for path in out.iterdir())
    kept = ["10_good.SKIPPED.html", "90_gone.html", "foreign.html"]  # not ours, or of no notebook that ran
    assert pages == sorted(["10_good.html", "20_bad.FAILED.html", "index.html", *kept])
    good = (out / "10_good.html").read_text(encoding="utf-8")
    assert "'; 1/0 # is 7 &lt;days&gt;" in good
    assert "Values used in this run" in good
    with pytest.raises(ProcessLookupError):  # no kernel is left behind
        os.kill(int(re.search(r"pid (\d+)", good)[1]), 0)
    bad = BeautifulSoup((out / "20_bad.FAILED.html").read_text(encoding="utf-8"), "html.parser")
    assert "stopped in cell 4" in bad.select_one(".banner").get_text()

    index = BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [a["href"] for a in index.select(".item a")] == ["10_good.html", "20_bad.FAILED.html", "90_gone.html"]
    assert [a.get_text() for a in index.select(".item a")] == ["Good?", "Bad?", "gone"]
    assert [c.get_text() for c in index.select(".item .chip")] == ["Answered", "Did not finish", "No answer"]
    assert [s.get_text().endswith("earlier run") for s in index.select(".side")] == [False, False, True]
    facts = {div.dt.get_text(): div.dd.get_text() for div in index.select(".facts div")}
    assert list(facts) == ["Started", "Took", "In this run", "Made with"]
    assert facts["In this run"] == "2 of 3 reports"
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


def test_a_notebook_that_lacks_something_is_skipped_and_says_what(folder, tmp_path, capsys):
    need = "from shoptoolkit import report\nraise report.Skip(\"needs <Spark>: pip install 'shoptoolkit[spark]'\")"
    save(notebook(text("# Does it *scale*?"), code("x = 1"), code(need)), folder / "20_bad.ipynb")
    out = tmp_path / "r"
    out.mkdir()
    (out / "20_bad.html").write_text(OURS)
    assert main(["report", "20", "--notebooks", str(folder), "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("skipped  20_bad ")
    assert said[1] == "         needs <Spark>: pip install 'shoptoolkit[spark]'"
    assert sorted(path.name for path in out.iterdir()) == ["20_bad.SKIPPED.html", "index.html"]
    page = BeautifulSoup((out / "20_bad.SKIPPED.html").read_text(encoding="utf-8"), "html.parser")
    assert page.h1.get_text() == "Does it scale?"
    assert "needs <Spark>" in page.main.get_text()
    write_index(out)  # a later run, of other notebooks
    index = BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [c.get_text() for c in index.select(".item .chip")] == ["Skipped"]
    assert index.select_one(".item p").get_text() == "needs <Spark>: pip install 'shoptoolkit[spark]'"
    assert [" ".join(li.get_text().split()) for li in index.select(".tally li")] == ["1 skipped"]


def test_a_page_that_cannot_be_written_is_a_failure_and_the_rest_go_on(folder, tmp_path):
    (tmp_path / "r" / "10_good.html").mkdir(parents=True)
    bad, late = run_series(["10", "20"], notebooks=folder, out=tmp_path / "r")
    assert (bad.status, bad.size, bad.failure.where) == ("failed", 0, "while its page was written")
    assert late.path.exists()


def test_notebooks_share_the_cores(tmp_path, monkeypatch):
    for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shoptoolkit.report.runner.usable_cores", lambda: 2)
    ask = "import polars, xgboost\nfrom threadpoolctl import threadpool_info\n"
    ask += "polars.thread_pool_size(), {pool['num_threads'] for pool in threadpool_info()}"
    save(notebook(code(ask)), tmp_path / "10_a.ipynb")
    (result,) = run_series(notebooks=tmp_path, out=tmp_path / "r", jobs=2)
    page = BeautifulSoup(result.path.read_text(encoding="utf-8"), "html.parser")
    assert page.select_one("pre.plain").get_text() == "(1, {1})"


def test_a_path_means_what_it_means_where_the_user_stands(tmp_path, monkeypatch):
    save(notebook(code("dataset = 'x'\nlogs = None\nnote = ''", "parameters")), tmp_path / "n" / "10_a.ipynb")
    (tmp_path / "log.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    given = {"dataset": "log.csv", "logs": "./*.csv", "note": "a. no file"}
    (job,) = plan_series(notebooks="n", parameters=given).work
    assert job.values == {"dataset": str(tmp_path / "log.csv"), "logs": str(tmp_path / "*.csv"), "note": "a. no file"}


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
        ({"at_most": 3}, "at_most is 3; of what\\? Name a column"),
        ({"at_most": 0, "for_each": "x"}, "at_most is 0; it must be a whole number"),
        (
            {"for_each": "x"},
            "for_each is 'x'; none of 10_good, 20_bad has the parameters `dataset` and `only`. Add `only",
        ),
        ({"time_limit": -1}, "time_limit is -1; it must be seconds above 0"),
        ({"time_limit": float("nan")}, "time_limit is nan"),
        ({"notebooks": "nowhere"}, "notebooks='nowhere' is not a folder"),
    ],
)
def test_mistakes_are_found_before_anything_runs(folder, options, message):
    with pytest.raises(ValueError, match=message):
        plan_series(**({"notebooks": folder} | options))


@pytest.mark.parametrize("content", ["{", "{}", "[]", "3", "", "\udcff"])
def test_what_is_no_notebook_is_said_on_its_page(content, tmp_path):
    (tmp_path / "10_odd.ipynb").write_bytes(content.encode("utf-8", "surrogateescape"))
    (result,) = run_series(notebooks=tmp_path, out=tmp_path / "out")
    assert (result.status, result.path.name) == ("failed", "10_odd.FAILED.html")
    page = BeautifulSoup(result.path.read_text(encoding="utf-8"), "html.parser")
    said = page.select_one(".banner").get_text()
    assert said.startswith("This run stopped while its file was read: ValueError: ")
    assert "10_odd.ipynb cannot be read as a notebook" in said


def test_one_bad_notebook_does_not_stop_the_series(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("POLARS_MAX_THREADS", "3")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    raised = "raise ContractError(f'events: {as_of!r} is missing;\\nhas: ts ' + 300 * 'é' + '\\n  mend: columns')"
    contract = code(f"from shoptoolkit.contract import ContractError\n{raised}")
    env = "import os\n[os.environ[name] for name in ('POLARS_MAX_THREADS', 'NUMBA_NUM_THREADS')]"
    save(notebook(text("# A\n![x](attachment:gone.png)"), code("1")), tmp_path / "n" / "10_picture.ipynb")
    (tmp_path / "n" / "20_broken.ipynb").write_text("{")
    save(notebook(code("as_of = None", "parameters"), contract), tmp_path / "n" / "30_contract.ipynb")
    save(notebook(text("![x](attachment:gone.png)"), code("1 / 0")), tmp_path / "n" / "40_both.ipynb")
    save(notebook(text("# Good?"), code(env)), tmp_path / "n" / "50_good.ipynb")
    out, cores = tmp_path / "out", len(os.sched_getaffinity(0))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")  # it knows no é
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        assert main(["report", "--notebooks", str(tmp_path / "n"), "--out", str(out), "-p", "as_of=20111209"]) == 1
    pages = {path.name: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in out.iterdir()}
    bad = [f"{name}.FAILED.html" for name in ("10_picture", "20_broken", "30_contract", "40_both")]
    assert sorted(pages) == [*bad, "50_good.html", "index.html"]
    banners = [pages[name].select_one(".banner").get_text() for name in bad]
    assert banners[0].startswith("This run stopped while its page was made: InvalidNotebook: missing attachment: gone")
    assert "20_broken.ipynb cannot be read as a notebook" in banners[1]
    message = f"events: '20111209' is missing;\nhas: ts {300 * 'é'}\n  mend: columns"
    assert banners[2] == f"This run stopped in cell 2: ContractError: {message}"
    assert "ZeroDivisionError: division by zero\nIts page could not be made: InvalidNotebook" in banners[3]
    assert pages["50_good.html"].select_one("pre.plain").get_text() == f"['3', '{cores}']"
    assert [chip.get_text() for chip in pages["index.html"].select(".item .chip")] == [
        *["Did not finish"] * 4,
        "No answer",
    ]
    terminal.seek(0)
    said = terminal.read()
    for line in ("in cell 2: ContractError: events: '20111209' is missing;", f"has: ts {300 * '?'}", "  mend: columns"):
        assert f"         {line}\n" in said
    assert "> raise ContractError" in said


def test_ambiguous_empty_and_broken_notebooks_are_named(folder, tmp_path):
    (folder / "10_other.ipynb").write_text("{")
    with pytest.raises(ValueError, match="'10' fits 10_good and 10_other; say which"):
        plan_series(["10"], notebooks=folder)
    with pytest.raises(ValueError, match=r"wihtin unknown to 10_good, 10_other \(which cannot be read\)"):
        plan_series(["10_good", "10_other"], notebooks=folder, parameters={"wihtin": 3})
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


def page_file(path, *cells):
    nb = notebook(*cells)
    html, _ = ShopReportExporter().from_notebook_node(nb, resources={"metadata": {"name": path.stem}})
    path.write_text(html, encoding="utf-8")


def test_quotes_in_title_and_answer_come_through_to_the_index(tmp_path):
    for n, sentence in enumerate(
        ['Yes, "very" good.', """It's "so" & <so>.""", 'A content="pass" name="shoptoolkit-status"']
    ):
        said = shown(answer(sentence=sentence, checks=[("Placebo", "stop", "no")]))
        page_file(tmp_path / f"{n}0_q.html", text('# Who is "loyal"?'), code("x", count=1, outputs=[said]))
    index = BeautifulSoup(write_index(tmp_path).read_text(encoding="utf-8"), "html.parser")
    assert {a.get_text() for a in index.select(".item a")} == {'Who is "loyal"?'}
    assert [p.get_text() for p in index.select(".item p")] == [
        'Yes, "very" good.',
        """It's "so" & <so>.""",
        'A content="pass" name="shoptoolkit-status"',
    ]
    assert {chip.get_text() for chip in index.select(".item .chip")} == {"A check stops"}


def test_the_index_tells_the_interval_beside_the_answer_and_the_data_it_is_about(tmp_path):
    told = {"sentence": "Yes.", "number": "36 %", "interval": "of <customers>, 35 to 37 %"}
    said = shown(answer(**told, facts={"Data": "a <simulated> shop"}))
    page_file(tmp_path / "10_a.html", code("x", count=1, outputs=[said]))
    item = BeautifulSoup(write_index(tmp_path).read_text(encoding="utf-8"), "html.parser").select_one(".item")
    assert item.p.get_text(" ") == "Yes. 36 % of <customers>, 35 to 37 %"
    assert "a <simulated> shop" in item.select_one(".side").get_text()


def test_the_index_calls_nothing_answered_that_is_not(tmp_path):
    page_file(tmp_path / "10_a.html", code("x", count=1, outputs=[shown(answer(sentence="Yes."))]))
    page_file(tmp_path / "20_b.html", text("# Words only"))
    page_file(tmp_path / "30_c.html", code("never"))
    head = '<meta content="40_d" name="shoptoolkit-name"><meta name=shoptoolkit-status content=splendid>'
    foot = (
        '</head><body><meta name="shoptoolkit-status" content="pass"><meta name="shoptoolkit-seconds" content="soon">'
    )
    (tmp_path / "40_d.html").write_text(head + foot)
    (tmp_path / "50_e.html").write_text(head.replace("shoptoolkit-status", "shoptoolkit-seconds") + foot)
    (tmp_path / "60_f.html").mkdir()
    index = BeautifulSoup(write_index(tmp_path).read_text(encoding="utf-8"), "html.parser")
    chips = [chip.get_text() for chip in index.select(".item .chip")]
    assert chips == ["Answered", "No answer", "Did not finish", "No answer", "No answer"]
    assert [" ".join(li.get_text().split()) for li in index.select(".tally li")] == [
        "1 answered without a warning",
        "3 without an answer in one line",
        "1 did not finish",
    ]
    assert index.select(".item .chip")[1]["class"] == ["chip", "info"]
    assert index.select(".item p")[2].get_text().startswith("1 code cell did not run")


def test_help_tells_how_a_parameter_without_a_type_is_read(capsys):
    assert main(["report", "--help"]) == 0
    said = capsys.readouterr().out
    assert "-p history_known=true" in said
    assert "20111209" in said


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


def test_a_reader_who_leaves_early_gets_no_traceback(tmp_path):
    save(notebook(text("# Q"), code("1 + 1")), tmp_path / "notebooks" / "00_a.ipynb")
    ours = "import sys; from shoptoolkit.report.cli import main; sys.exit(main(['report']))"
    words = ["bash", "-c", f'{sys.executable} -c "{ours}" | true']
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (tmp_path / "reports" / "index.html").exists()
    assert "Traceback" not in told.stderr
