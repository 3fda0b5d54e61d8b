"""One report per value of a column of the log."""

import io
from datetime import datetime, timedelta

import polars as pl
import pytest
from bs4 import BeautifulSoup
from tiny_notebooks import code, notebook, save, text

from shoptoolkit.report.cli import main
from shoptoolkit.report.each import file_words, values_of
from shoptoolkit.report.progress import Terminal
from shoptoolkit.report.runner import RunResult
from shoptoolkit.report.series import plan_series

SHOW = "from shoptoolkit.report import answer\nanswer(sentence=f'of {only}')"
AS_OF = "2024-03-01"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A log with four countries, one of them seen only after `as_of`, and two notebooks, one of which can choose."""
    countries = ["GB"] * 5 + ["a/b"] * 3 + ["A_B"] * 2 + [None] + ["late"]
    days = [datetime(2024, 2, 1) + timedelta(days=day if day < 11 else 60) for day in range(len(countries))]
    log = {"customer_id": range(12), "at": days, "event": "purchase", "price": 1.0, "country": countries}
    pl.DataFrame(log).write_parquet(tmp_path / "log.parquet")
    defaults = f"dataset = 'log.parquet'\nas_of = '{AS_OF}'\nonly = {{}}"
    save(notebook(text("# Which?"), code(defaults, "parameters"), code(SHOW)), tmp_path / "notebooks" / "10_some.ipynb")
    save(notebook(text("# All?"), code("1 + 1")), tmp_path / "notebooks" / "20_all.ipynb")
    monkeypatch.chdir(tmp_path)
    return {"parameters": {"dataset": "log.parquet"}}


def test_a_notebook_that_can_choose_is_dealt_out_most_frequent_first(shop):
    plan = plan_series(for_each="country", **shop)
    assert [(job.path.stem, dict(job.only)) for job in plan.work] == [
        *[("10_some", {"country": value}) for value in ("GB", "a/b", "A_B")],
        ("20_all", {}),
    ]
    assert plan.notes == ("1 of 11 rows are in no report by country: they have no country.",)
    names = [job.name for job in plan.work]
    assert names[0] == "10_some.country=GB"
    assert [name.partition("~")[0] for name in names[1:3]] == ["10_some.country=a_b", "10_some.country=A_B"]
    assert len({name.casefold() for name in names}) == 4


def test_the_few_most_frequent_will_do(shop):
    plan = plan_series(["10"], for_each="country", at_most=1, **shop)
    assert [job.name for job in plan.work] == ["10_some.country=GB"]
    why = "only the most frequent 1 of 3 values have one."
    assert plan.notes == (f"6 of 11 rows are in no report by country: {why}",)


def test_a_choice_made_by_hand_holds_for_every_report(shop):
    shop["parameters"]["only"] = {"country": "GB"}
    (job,) = plan_series(["10"], for_each="customer_id", at_most=1, **shop).work
    assert dict(job.only) == {"country": "GB", "customer_id": "0"}
    assert job.name == "10_some.country=GB.customer_id=0"


def test_a_log_beside_the_notebook_is_found_from_there(shop, tmp_path):
    (tmp_path / "log.parquet").rename(tmp_path / "notebooks" / "log.parquet")
    assert len(plan_series(["10"], for_each="country").work) == 3


@pytest.mark.parametrize(
    ("column", "more", "message"),
    [
        ("land", {}, "for_each is 'land'; the log has the columns customer_id, at, event, price, country"),
        ("customer_id", {"n": 60}, r"'customer_id', which has 60 values; there must be 1 to 50. Take .*--at-most 50"),
        ("note", {"n": 2}, "'note', which has 0 values"),
    ],
)
def test_a_column_that_will_not_do_is_refused(shop, column, more, message):
    rows = more.get("n", 2)
    log = {"customer_id": range(rows), "at": datetime(2024, 1, 1), "event": "purchase", "price": 1.0, "country": "GB"}
    note = {"note": pl.lit(None, dtype=pl.String)} if column == "note" else {}
    pl.DataFrame(log).with_columns(**note).write_parquet("other.parquet")
    with pytest.raises(ValueError, match=message):
        values_of(column, {"dataset": "other.parquet", "as_of": AS_OF})


def test_a_log_that_cannot_be_opened_is_told_before_anything_runs(shop, capsys):
    assert main(["report", "10", "--for-each", "country", "-p", "dataset=nosuch"]) == 2
    assert "source is 'nosuch': no public set" in capsys.readouterr().err


def test_the_simulated_shop_has_values_too(monkeypatch):
    from shoptoolkit import simulate

    small = simulate.shop(n_customers=30, days=40, rng=1)
    monkeypatch.setattr("shoptoolkit.simulate.shop", lambda rng: small)
    found = values_of("event", {"dataset": "simulated", "as_of": None, "only": {}, "columns": {}})
    assert "purchase" in found.values
    assert found.note == ""


def test_a_file_name_holds_nothing_that_a_shell_or_a_disk_would_mind():
    assert file_words({"land": "Côte d'Ivoire"}) == ".land=Côte_d_Ivoire"
    assert file_words({"a": "../x.FAILED", "b": "y" * 300}) == f".a=_x_FAILED.b={'y' * 60}"


def test_reports_by_value_stand_together_and_old_values_go(shop, tmp_path, capsys):
    out = tmp_path / "reports"
    assert main(["report", "10", "-p", "dataset=log.parquet", "--for-each", "country", "--jobs", "2"]) == 0
    assert "1 of 11 rows are in no report by country" in capsys.readouterr().out
    assert len(list(out.glob("10_some.country=*.html"))) == 3
    assert main(["report", "10", "-p", "dataset=log.parquet", "-p", "only={'country': 'by hand'}"]) == 0
    (out / "10_some.country=mine.html").write_text("not ours")
    again = ["report", "--for-each", "country", "--at-most", "1", "-p", "dataset=log.parquet", "--jobs", "2"]
    assert main(again) == 0
    kept = ["10_some.country=GB.html", "10_some.country=mine.html", "20_all.html", "index.html"]
    assert sorted(path.name for path in out.iterdir()) == kept
    index = BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert index.h1.get_text() == "Two questions about shoppers"
    assert [a.get_text() for a in index.select(".item a")] == ["country GB", "All?"]
    assert index.select_one(".group > h2").get_text() == "Which?"
    assert index.select_one(".group .item p").get_text() == "of {'country': 'GB'}"
    assert "--for-each country" in index.select_one("pre").get_text()
    page = (out / "10_some.country=GB.html").read_text(encoding="utf-8")
    assert "only={" in page, "how to make it again"


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_terminal_shows_which_notebook_is_at_which_cell(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", screen := Screen())
    plan = plan_series()
    some, everything = plan.work
    with Terminal(plan) as shown:
        shown.cell(some, 2)
        shown.cell(everything, 1)
        shown.tick()
        assert "20%" in screen.getvalue()
        assert "10_some cell 2 of 3; 20_all cell 1 of 2" in screen.getvalue()
        told = {"seconds": 1.0, "path": tmp_path, "size": 1, "title": "", "answer": ""}
        shown.result(RunResult(name="10_some", status="failed", **told))
        with shown.aside():
            screen.truncate(0)
        assert "60%" in screen.getvalue()
        assert "10_some" not in screen.getvalue()
