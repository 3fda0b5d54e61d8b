"""The figures of customers draw what their tables say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoptoolkit import figures
from shoptoolkit.contract import EstimateTable
from shoptoolkit.survival import CustomerValue, fit_orders


@pytest.fixture(scope="module")
def fit():
    counts = {"repeat_orders": [0, 1, 1, 2, 5], "last_order_age": [0.0, 9, 20, 25, 28], "age": 30.0}
    return fit_orders(pl.DataFrame(counts | {"weight": [60, 10, 14, 12, 4]}), model="mbg_nbd")


def test_the_forecast_is_drawn_beside_what_came(fit):
    table = fit.expected_new(range(1, 61)).with_columns(
        observed_orders=pl.when(pl.col("duration_days") <= 50).then(0.01 * pl.col("duration_days"))
    )
    ax = figures.orders_forecast(table, fitted_until=30, what="Repeat orders per new customer")
    expected, observed = ax.lines[:2]
    assert expected.get_ydata() == pytest.approx(table["expected_orders"].to_numpy())
    assert observed.get_xdata()[-1] == 50
    assert {text.get_text() for text in ax.texts} >= {"expected", "observed", "forecast"}


def test_the_map_shows_the_chance_of_every_history(fit):
    grid = pl.DataFrame({"last_order_age": [5.0, 10.0, 20.0, 30.0]}).join(
        pl.DataFrame({"repeat_orders": [1, 2, 12]}), how="cross"
    )
    told = fit.p_alive(grid.with_columns(age=30.0))
    ax = figures.p_alive(told)
    drawn = np.asarray(ax.collections[0].get_array()).reshape(3, 4)
    for place, count in enumerate((1, 2, 12)):
        assert drawn[place] == pytest.approx(told.filter(pl.col("repeat_orders") == count)["p_alive"].to_numpy())
    assert ax.get_xlabel() == "Silence since the last order, days"
    with pytest.raises(ValueError, match=r"alive has 24 rows of .* equal histories; it must be a grid"):
        figures.p_alive(pl.concat([told, told]))


def test_the_concentration_of_value_is_drawn():
    table = pl.DataFrame({"value": [1.0, 5.0, 2.0, 2.0]})
    value = CustomerValue(
        table=table, total=EstimateTable(table=table), horizon_days=365.0, measure="GBP", level=0.9, n=4
    )
    ax = figures.customer_value(value, mark=0.25)
    assert ax.lines[0].get_ydata() == pytest.approx([0, 0.5, 0.7, 0.9, 1.0])
    assert [text.get_text() for text in ax.texts if "%" in text.get_text()] == ["25 % of customers: 50 % of value"]
