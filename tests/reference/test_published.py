"""Published numbers, to the digits that were printed. Sources: SOURCES.md."""

from __future__ import annotations

from pathlib import Path

import lifelines.datasets
import polars as pl
import pytest
from sksurv.datasets import load_bmt

from shoptoolkit.survival import aalen_johansen, kaplan_meier, logrank, restricted_mean
from shoptoolkit.survival.bands import equal_precision

HERE = Path(__file__).parent
COLUMNS = {
    "waltons": {"duration": "T", "repurchased": "E", "by": "group"},
    "leukemia": {"duration": "t", "repurchased": "status", "by": "Rx"},
    "rossi": {"duration": "week", "repurchased": "arrest", "by": "fin"},
    "larynx": {"duration": "time", "repurchased": "death", "by": "stage"},
}


def published(name):
    return pl.read_csv(HERE / f"{name}.csv", schema_overrides={"group": pl.String}).to_dicts()


def spells(data):
    table = pl.DataFrame(getattr(lifelines.datasets, f"load_{data}")()).with_row_index("customer_id")
    if data == "larynx":
        table = table.with_columns(
            stage=pl.sum_horizontal(pl.col("Stage_II"), pl.col("Stage_III") * 2, pl.col("Stage_IV") * 3)
        )
    return table


def names(row):
    return f"{row['data']}-{row['group']}-{row.get('day', row.get('horizon_days'))}" if "group" in row else row["data"]


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


@pytest.mark.reference
@pytest.mark.parametrize("row", published("logrank"), ids=names)
def test_logrank_tests_are_those_published(row):
    told = logrank(spells(row["data"]), **COLUMNS[row["data"]])
    assert round(told.statistic, row["statistic_digits"]) == row["statistic"]
    assert told.degrees_of_freedom == row["degrees_of_freedom"]
    assert round(told.table["expected"][0], row["expected_digits"]) == row["expected_of_first"]


@pytest.mark.reference
def test_cumulative_incidences_of_bone_marrow_transplants_are_those_published():
    """Two of the 35 ended on day 0, which no spell may: taken as half a day, before all others."""
    status, days = zip(*load_bmt()[1].tolist(), strict=True)
    ends = pl.DataFrame({"customer_id": range(35), "duration_days": days, "status": status})
    ends = ends.with_columns(
        duration_days=pl.max_horizontal("duration_days", 0.5),
        repurchased=pl.col("status") > 0,
        cause=pl.col("status").replace_strict({0: None, 1: "relapse", 2: "other"}, return_dtype=pl.String),
    )
    told = dict(aalen_johansen(ends).at(72).select("cause", pl.col("incidence").round(5)).rows())
    assert told == {"relapse": 0.27284, "other": 0.48127}


@pytest.mark.reference
def test_the_critical_value_of_a_band_is_that_of_the_table_but_for_its_asymptotics():
    """2.8826 from variances .1 to .6; that table expands the tail (Miller and Siegmund 1982), ours is solved."""
    assert equal_precision((0.6 / 0.4) / (0.1 / 0.9), 0.95) == pytest.approx(2.8826, abs=0.006)
