"""Hillstrom's e-mail test: Outcomes, the same from every form of its file."""

import hashlib
import re

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract import Outcomes, require
from shoptoolkit.datasets import about, load, open_log, tidy

PARQUET = "hillstrom/email_test.parquet"


@pytest.fixture(scope="module")
def customers(public_data):
    return load("hillstrom", folder=public_data(PARQUET).parent.parent)


@pytest.fixture(scope="module")
def raw(public_data):
    return pl.read_parquet(public_data(PARQUET))


@pytest.mark.reference
def test_the_customers_are_the_published_ones(customers):
    """Hillstrom (2008): 64,000 customers who bought in the last twelve months, a third in each arm."""
    assert customers["arm"].value_counts().sort("arm").rows() == [
        ("mens", 21_307),
        ("none", 21_306),
        ("womens", 21_387),
    ]
    assert customers.select("visited", "converted").sum().row(0) == (9_394, 578)
    assert customers["spend"].sum() == pytest.approx(67_258.13, abs=1e-6)
    assert customers["probability"].unique().to_list() == [1 / 3]
    assert sorted(customers["pre_recency_months"].unique()) == list(range(1, 13))
    assert not any(customers.null_count().row(0))
    assert len(require(customers, Outcomes)) == 64_000


@pytest.mark.reference
def test_no_value_is_changed_on_the_way(customers, raw):
    told = {
        "spend": "spend",
        "pre_history": "history",
        "pre_history_segment": "history_segment",
        "pre_newbie": "newbie",
        "pre_womens": "womens",
        "visited": "visit",
    }
    for ours, theirs in told.items():
        assert customers[ours].to_list() == raw[theirs].to_list()
    places = customers["pre_zip_code"].value_counts().sort("pre_zip_code").rows()
    assert places == [("rural", 9_563), ("suburban", 28_776), ("urban", 25_661)]


@pytest.mark.reference
def test_a_csv_gives_the_same_customers_in_any_order_of_rows(customers, raw, tmp_path):
    path = tmp_path / "hillstrom.csv"
    raw.reverse().write_csv(path, line_terminator="\r\n")
    assert_frame_equal(tidy("hillstrom", path).drop("customer_id"), customers.reverse().drop("customer_id"))


@pytest.mark.reference
def test_the_fingerprint_is_a_form_that_any_program_can_make(customers):
    def told(value):
        return str(round(value * 10_000)) if isinstance(value, float) else str(int(value) if value in (0, 1) else value)

    in_order = customers.drop("customer_id", "probability")
    rows = sorted("|".join(map(told, row)) for row in in_order.iter_rows())
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest() == about("hillstrom").fingerprint.sha256


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (
            "segment",
            "Pets E-Mail",
            "arm: 1 values are not one of no e-mail, mens e-mail, womens e-mail, e.g. 'Pets E-Mail'",
        ),
        ("zip_code", "Moon", "pre_zip_code: 1 values are not one of urban, surburban"),
        ("visit", "maybe", "visited: 1 values are not one of true, false"),
        ("spend", "much", "spend: 1 values are not a number, e.g. 'much'"),
    ],
)
def test_a_word_that_is_not_the_publishers_is_refused(tmp_path, column, value, said):
    row = dict.fromkeys(about("hillstrom").columns, "1")
    row |= {"segment": "No E-Mail", "zip_code": "Urban", "channel": "Web", column: value}
    path = tmp_path / "odd.csv"
    pl.DataFrame([row]).write_csv(path)
    with pytest.raises(ValueError, match=re.escape(said)):
        tidy("hillstrom", path, whole=False)


def test_customers_of_a_test_are_not_taken_for_a_log():
    said = r"source is 'hillstrom', a table of Outcomes: no log, since it knows no times. Take datasets.load"
    with pytest.raises(ValueError, match=said):
        open_log("hillstrom")
