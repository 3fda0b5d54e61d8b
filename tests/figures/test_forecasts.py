"""Figures of forecasts: what is drawn is what the tables say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoptoolkit import figures
from shoptoolkit.survival import Backtest, EarliestReturn, fit_cohorts


def test_a_cohort_is_drawn_with_its_fan_and_what_came_later():
    kept = [1000, 869, 743, 653, 593, 551, 517, 491]
    fit = fit_cohorts(pl.DataFrame({"period_number": range(8), "n_active": kept}), model="bdw")
    later = pl.DataFrame({"period_number": [8, 12], "share": [0.468, 0.394]})
    ax = figures.cohort_forecast(fit, until=12, later=later, unit="Years")
    law, dots, came, *_ = ax.lines
    np.testing.assert_allclose(law.get_ydata(), fit.survival(range(13))["share"])
    np.testing.assert_allclose(dots.get_ydata(), np.array(kept[1:]) / 1000)
    assert list(came.get_xdata()) == [8, 12]
    assert len(ax.collections) == 2
    assert ax.get_xlabel() == "Years since the start"
    assert "BdW" in [text.get_text() for text in ax.texts]


@pytest.fixture
def told():
    rows = [(None, "all", "all", 30.0, 24, -12.0, 0.0), (None, "decile", "1", 10.0, 12, -3.0, 7.0)]
    rows += [(None, "decile", "2", 20.0, 12, -15.0, -1.0)]
    table = pl.DataFrame(rows, schema=["origin", "kind", "group", "expected", "observed", "low", "high"], orient="row")
    edges = np.arange(11) / 10
    pit = pl.DataFrame({"low": edges[:-1], "high": edges[1:], "share": 0.1, "share_low": 0.08, "share_high": 0.12})
    return Backtest(
        table=table.with_columns(ratio=pl.col("observed") / pl.col("expected")),
        yardsticks=table,
        pit=pit,
        pit_p_value=0.31,
        fits={},
        model="bg_nbd",
        horizon_days=90,
        level=0.95,
        n=100,
    )


def test_a_backtest_is_drawn_as_observed_per_expected(told):
    ax = figures.backtest(told)
    line, *marks = ax.lines
    assert list(line.get_ydata()) == [1, 1]
    bars, dots = marks[::2], marks[1::2]
    np.testing.assert_allclose([dot.get_ydata()[0] for dot in dots], [1.2, 0.6])
    np.testing.assert_allclose([bar.get_ydata() for bar in bars], [[0.7, 1.7], [0.25, 0.95]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1\n10", "2\n20"]
    with pytest.raises(ValueError, match="kind is 'country'; it must be one of 'all', 'decile'"):
        figures.backtest(told, kind="country")


def test_the_transform_is_drawn_as_a_histogram(told):
    ax = figures.backtest_pit(told)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.1] * 10)
    assert "p = 0.31" in ax.get_title(loc="left")


def test_coverage_is_drawn_beside_the_level():
    bound = EarliestReturn(
        table=pl.DataFrame(), calibration=pl.DataFrame(), cutoff_days=60, level=0.9, guarantee="exact", n=9, id="id"
    )
    columns = ("group", "n_customers", "n_known", "covered", "low", "high", "at_least", "at_most")
    rows = [("all", 900, 500, 0.91, 0.88, 0.93, 0.8, 0.95), ("new", 90, 0, None, None, None, 0.1, 1.0)]
    ax = figures.earliest_return(bound, pl.DataFrame(rows, schema=columns, orient="row"))
    level, thin, thick, dot, unknown = ax.lines
    assert list(level.get_xdata()) == [0.9, 0.9]
    assert list(thin.get_xdata()) == [0.8, 0.95]
    assert list(thick.get_xdata()) == [0.88, 0.93]
    assert list(dot.get_xdata()) == [0.91]
    assert list(unknown.get_xdata()) == [0.1, 1.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all   n = 500 of 900", "new   n = 0 of 90"]
