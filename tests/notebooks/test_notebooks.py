"""Every notebook runs from first cell to last: on the simulated shop, on public data, on a shop's own file."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from shoptoolkit.report import run_series
from shoptoolkit.simulate import shop

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 3_000_000


def run(names: list[str], out: Path, **parameters: str) -> dict[str, str]:
    """The pages of notebooks, by name; a failure tells the cell."""
    results = run_series(names, notebooks=ROOT / "notebooks", out=out, parameters=parameters, time_limit=300)
    assert [(result.name, result.status, result.failure) for result in results if result.status != "ok"] == []
    assert all(result.answer and result.size < MOST_BYTES for result in results)
    return {result.name: result.path.read_text(encoding="utf-8") for result in results}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run([], tmp_path_factory.mktemp("reports"))


def test_the_default_series_runs_on_the_simulated_shop(series):
    assert {"00_start_here", "20_repurchase_retention"} <= set(series)


def test_the_simulated_report_lays_truth_beside_the_estimate(series):
    assert "3 of 3 intervals cover it" in series["20_repurchase_retention"]
    assert "Known truth" in series["00_start_here"]


@pytest.mark.reference
def test_the_online_retail_report_holds_the_reconciliation(public_data, tmp_path):
    public_data("online_retail/online_retail.parquet")
    pages = run(["20_repurchase_retention", "00"], tmp_path, dataset="online_retail")
    plain = re.sub(r"[\s\u2009\u202f,]|&#8239;|&thinsp;", "", pages["20_repurchase_retention"])
    for number in (
        "541909",
        "25900",
        "9747747.93",
        "135080",
        "406829",
        "22190",
        "8300065.81",
        "18536",
        "18532",
        "4338",
        "5268",
    ):
        assert number in plain, number


@pytest.mark.reference
def test_cdnow_is_a_log_with_known_history(public_data, tmp_path):
    public_data("cdnow/master.parquet")
    page = run(["20_repurchase_retention"], tmp_path, dataset="cdnow")["20_repurchase_retention"]
    assert "first orders ever" in page


def test_a_shop_reports_on_its_own_file_by_parameters_alone(tmp_path):
    world = shop(n_customers=600, days=200, rng=4)
    theirs = world.events.rename({"customer_id": "user", "at": "ts"}).drop("source", "category")
    path = tmp_path / "log.csv"
    pl.concat([theirs, theirs.head(1).with_columns(pl.lit(None, pl.Int64).alias("user"))]).write_csv(path)
    columns = '{"user": "customer_id", "ts": "at"}'
    pages = run([], tmp_path / "out", dataset=str(path), columns=columns, as_of=str(world.as_of), horizon_days="60")
    assert "1 in quarantine" in pages["00_start_here"]
    assert "small basket" in pages["20_repurchase_retention"]


def test_a_log_without_as_of_says_what_is_missing(tmp_path):
    path = tmp_path / "log.parquet"
    shop(n_customers=50, days=60, rng=4).events.write_parquet(path)
    results = run_series(["00"], notebooks=ROOT / "notebooks", out=tmp_path / "out", parameters={"dataset": str(path)})
    assert results[0].status == "failed"
    assert "as_of is None; give the first day not to look at" in results[0].failure.message


def log_of(path: Path, *customers: list[int], price: float = 10.0) -> str:
    """A log of purchases: for each customer the days of its orders."""
    rows = [(who, datetime(2025, 1, 1, 12) + timedelta(days=day)) for who, days in enumerate(customers) for day in days]
    frame = pl.DataFrame(rows, schema=["customer_id", "at"], orient="row")
    frame.with_columns(event=pl.lit("purchase"), price=pl.lit(price)).write_parquet(path)
    return str(path)


AWKWARD = {
    "thirty customers, one price": [[n % 60, n % 60 + 20 + n] for n in range(30)],
    "everybody back on one day": [[n, n + 10] for n in range(40)],
    "a single customer": [[0, 30, 60]],
    "no order in the second half": [[n % 20, n % 20 + 15] if n % 3 else [n % 20] for n in range(60)],
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_shops_get_a_report_too(name, tmp_path):
    path = log_of(tmp_path / "log.parquet", *AWKWARD[name])
    run([], tmp_path / "out", dataset=path, as_of="2025-12-31", horizon_days="20")


def failure_of(tmp_path: Path, path: str, **parameters: str) -> str:
    results = run_series(["20"], notebooks=ROOT / "notebooks", out=tmp_path, parameters={"dataset": path, **parameters})
    assert results[0].status == "failed"
    return results[0].failure.message


def test_what_cannot_be_answered_is_told_in_the_words_of_the_parameters(tmp_path):
    path = log_of(tmp_path / "log.parquet", *[[n % 60, n % 60 + 20 + n] for n in range(30)])
    options = {"as_of": "2025-06-01", "horizon_days": "60"}
    assert "by is 'country'; the log has customer_id, at, event, price" in failure_of(
        tmp_path, path, by="country", **options
    )
    too_far = failure_of(tmp_path, path, **options | {"horizon_days": "1000"})
    assert "horizon_days is 1000; nobody was watched longer than" in too_far
    never = log_of(tmp_path / "never.parquet", *[[n] for n in range(30)])
    assert "none of 30 ended in a repurchase" in failure_of(tmp_path, never, **options | {"horizon_days": "20"})


def test_a_log_that_ends_before_as_of_says_so(tmp_path):
    path = log_of(tmp_path / "log.parquet", *[[n % 60, n % 60 + 20 + n] for n in range(30)])
    pages = run([], tmp_path / "out", dataset=path, as_of="2026-06-01", horizon_days="30")
    assert all("days without an event before it" in page for page in pages.values())
    assert all('End of the log <em class="warn">' in page for page in pages.values())
