"""Published numbers, to the digits that were printed. Sources: SOURCES.md."""

from __future__ import annotations

from pathlib import Path

import lifelines.datasets
import polars as pl
import pytest

from shoptoolkit.survival import kaplan_meier, restricted_mean

HERE = Path(__file__).parent
COLUMNS = {
    "waltons": {"duration": "T", "repurchased": "E", "by": "group"},
    "leukemia": {"duration": "t", "repurchased": "status", "by": "Rx"},
}


def published(name):
    return pl.read_csv(HERE / f"{name}.csv", schema_overrides={"group": pl.String}).to_dicts()


def spells(data):
    return getattr(lifelines.datasets, f"load_{data}")().reset_index(names="customer_id")


def names(row):
    return f"{row['data']}-{row['group']}-{row.get('day', row.get('horizon_days'))}"


@pytest.mark.reference
@pytest.mark.parametrize("row", published("restricted_means"), ids=names)
def test_restricted_means_are_those_published(row):
    table = restricted_mean(spells(row["data"]), horizon_days=row["horizon_days"], **COLUMNS[row["data"]]).table
    told = table.row(by_predicate=pl.col("group") == row["group"], named=True)
    assert round(told["estimate"], row["estimate_digits"]) == row["estimate"]
    # 5 digits of .123245 were cut, not rounded
    assert told["standard_error"] == pytest.approx(row["standard_error"], abs=10 ** -row["error_digits"])


@pytest.mark.reference
@pytest.mark.parametrize("row", published("curves"), ids=names)
def test_curves_are_those_published(row):
    told = kaplan_meier(spells(row["data"]), **COLUMNS[row["data"]]).at(row["day"])
    told = told.row(by_predicate=pl.col("group") == row["group"], named=True)
    assert told["survival"] == pytest.approx(row["survival"], abs=0.5e-3)
    assert told["standard_error"] == pytest.approx(row["standard_error"], abs=0.5e-4 + 1e-9)
