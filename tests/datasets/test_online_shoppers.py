"""Online shoppers: one table of sessions, the same from every form of its file."""

import hashlib
import re

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.datasets import about, load, open_log, tidy
from shoptoolkit.datasets.online_shoppers import COLUMNS

PARQUET = "online_shoppers/sessions.parquet"


@pytest.fixture(scope="module")
def sessions(public_data):
    return load("online_shoppers", folder=public_data(PARQUET).parent.parent)


@pytest.fixture(scope="module")
def raw(public_data):
    return pl.read_parquet(public_data(PARQUET))


@pytest.mark.reference
def test_the_sessions_are_the_published_ones(sessions):
    """Sakar et al. (2019): 12,330 sessions, 84.5 % of them (10,422) without a purchase."""
    assert tuple(sessions.columns) == COLUMNS
    assert (len(sessions), sessions["bought"].sum()) == (12_330, 1_908)
    assert sorted(sessions["month"].unique()) == [2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert sessions["visitor"].value_counts(sort=True).rows() == [("returning", 10_551), ("new", 1_694), ("other", 85)]
    assert not any(sessions.null_count().row(0))


@pytest.mark.reference
def test_no_value_is_changed_on_the_way(sessions, raw):
    for ours, theirs in (
        ("product_seconds", "ProductRelated_Duration"),
        ("page_value", "PageValues"),
        ("exit_share", "ExitRates"),
        ("product_pages", "ProductRelated"),
        ("traffic_type", "TrafficType"),
        ("is_weekend", "Weekend"),
    ):
        assert sessions[ours].to_list() == raw[theirs].to_list()


@pytest.mark.reference
@pytest.mark.parametrize(("yes", "no"), [("TRUE", "FALSE"), ("True", "False"), ("1", "0")])
def test_a_csv_gives_the_same_sessions_in_any_order_of_rows(sessions, raw, tmp_path, yes, no):
    flags = (
        pl.when(pl.col(name)).then(pl.lit(yes)).otherwise(pl.lit(no)).alias(name) for name in ("Weekend", "Revenue")
    )
    path = tmp_path / "online_shoppers_intention.csv"
    raw.reverse().with_columns(*flags).write_csv(path)
    assert_frame_equal(tidy("online_shoppers", path), sessions.reverse())


@pytest.mark.reference
def test_the_fingerprint_is_a_form_that_any_program_can_make(sessions):
    def told(value):
        return str(round(value * 10**9)) if isinstance(value, float) else str(int(value) if value in (0, 1) else value)

    rows = sorted("|".join(map(told, row)) for row in sessions.iter_rows())
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest() == about("online_shoppers").fingerprint.sha256


@pytest.mark.reference
def test_a_part_of_the_sessions_is_told_apart(raw, tmp_path):
    path = tmp_path / "part.parquet"
    raw.head(100).write_parquet(path)
    with pytest.raises(
        ValueError, match=r"is not the published online_shoppers: rows 100, published 12,330; hash of the"
    ):
        tidy("online_shoppers", path)
    assert len(tidy("online_shoppers", path, whole=False)) == 100


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("Month", "Brumaire", "month: 1 values are not one of jan, feb"),
        ("VisitorType", "Old", "visitor: 1 values are not one of new_visitor, returning_visitor, other, e.g. 'Old'"),
        ("Revenue", "maybe", "bought: 1 values are not one of true, false"),
        ("PageValues", "dear", "page_value: 1 values are not a number, e.g. 'dear'"),
    ],
)
def test_a_word_that_is_not_the_publishers_is_refused(tmp_path, column, value, said):
    row = dict.fromkeys(about("online_shoppers").columns, "1")
    row |= {"Month": "Nov", "VisitorType": "Other", column: value}
    path = tmp_path / "odd.csv"
    pl.DataFrame([row]).write_csv(path)
    with pytest.raises(ValueError, match=re.escape(said)):
        tidy("online_shoppers", path, whole=False)


def test_sessions_are_not_taken_for_a_log():
    said = r"source is 'online_shoppers', a sessions table: no log.*Take datasets.load\('online_shoppers'\); logs are"
    with pytest.raises(ValueError, match=said):
        open_log("online_shoppers")
