"""Fader and Hardie's contract renewals: parameters to the digits printed, forecasts against what came (SOURCES.md)."""

from __future__ import annotations

import polars as pl
import pytest

from shoptoolkit.survival import fit_cohorts


@pytest.fixture
def renewals(public_data):
    """Shares of one segment still under contract by year, of 1,000 customers as in the paper."""
    table = pl.read_parquet(public_data("sbg_renewals/renewals.parquet"))
    return lambda segment: table.select(period_number="year", n_active=10 * pl.col(segment))


@pytest.mark.reference
@pytest.mark.parametrize(("segment", "alpha", "beta"), [("regular", 0.704, 1.182), ("high_end", 0.668, 3.806)])
def test_sbg_of_seven_years(renewals, segment, alpha, beta):
    told = fit_cohorts(renewals(segment).head(8)).table["estimate"]
    assert told.round(3).to_list() == [alpha, beta]


@pytest.mark.reference
def test_bdw_of_seven_years_sees_year_twelve_better(renewals):
    table = renewals("high_end")
    fit, simple = (fit_cohorts(table.head(8), model=model) for model in ("bdw", "sbg"))
    assert fit.table["estimate"].to_list() == pytest.approx([0.2143, 1.4266, 1.7236], abs=0.51e-4)
    assert round(fit.log_likelihood, 2) == -1605.31
    assert round(fit.survival(12)["share"].item(), 4) == 0.4039
    assert round(simple.survival(12)["share"].item(), 3) == 0.378
    last = fit.check(table[7:])[-1].row(0, named=True)
    assert last["observed"] == 394
    assert last["low"] < 394 < last["high"]
