"""Curves are drawn as their tables tell them: lines, intervals, paler bands, names at the ends."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from shoptoolkit import figures, survival
from shoptoolkit.figures.style import INK

RNG = np.random.default_rng(1)
DAYS = pl.DataFrame({"customer_id": range(90), "duration_days": RNG.integers(1, 60, 90).astype(float)})
SPELLS = DAYS.with_columns(repurchased=pl.col("customer_id") % 4 > 0, country=pl.col("customer_id") % 2)
SPELLS = SPELLS.with_columns(start_days=0.0, stop_days="duration_days")
CAUSES = SPELLS.with_columns(
    cause=pl.when(pl.col("customer_id") % 4 == 1).then(pl.lit("refund")).when("repurchased").then(pl.lit("order"))
)
CURVE = survival.kaplan_meier(SPELLS)
INCIDENCE = survival.aalen_johansen(CAUSES)
ORDERS = survival.mean_cumulative_orders(SPELLS)
APART = survival.mean_cumulative_orders_difference(SPELLS, by="country")
WAITING = survival.survival_difference(SPELLS, by="country")


def outline(collection):
    return collection.get_paths()[0].vertices[:, 1]


def words(ax):
    return [*(text.get_text() for text in ax.texts), ax.get_title(loc="left")]


@pytest.mark.parametrize(
    ("draw", "table", "columns"),
    [
        (lambda ax: figures.survival_curve(CURVE, band=True, ax=ax), CURVE.table, ("survival", "survival_low")),
        (lambda ax: figures.cumulative_orders(ORDERS, ax=ax), ORDERS.table, ("estimate", "low")),
        (lambda ax: figures.cumulative_orders(APART, ax=ax), APART.table, ("estimate", "low")),
        (lambda ax: figures.difference(WAITING, ax=ax), WAITING.table, ("estimate", "low")),
    ],
    ids=["survival curve", "cumulative orders", "their difference", "difference of survival"],
)
def test_line_interval_and_band_are_those_of_the_table(draw, table, columns):
    ax = plt.subplots()[1]
    assert draw(ax) is ax
    line, low = columns
    assert ax.lines[0].get_xydata().tolist() == table.select("duration_days", line).to_numpy().tolist()
    interval, band = ax.collections
    assert outline(interval).min() == table[low].min()
    told = table.drop_nulls(["band_low", "band_high"])
    assert (outline(band).min(), outline(band).max()) == (told["band_low"].min(), told["band_high"].max())
    assert band.get_alpha() < interval.get_alpha()


def test_every_cause_is_a_line_with_its_name_and_every_group_a_dash():
    ax = figures.cumulative_incidence(INCIDENCE, until=40)
    assert {"order", "refund"} <= set(words(ax))
    table = INCIDENCE.table.filter((pl.col("cause") == "order") & (pl.col("duration_days") <= 40))
    assert ax.lines[0].get_ydata().tolist() == table["incidence"].to_list()
    assert "Share ended by then, 95 % interval, n = 90" in words(ax)
    split = figures.cumulative_incidence(survival.aalen_johansen(CAUSES, by="country"))
    assert {"order, 0", "refund, 1"} <= set(words(split))
    assert len({line.get_color() for line in split.lines}) == 2


def test_the_axes_say_what_is_counted_and_groups_are_named():
    ax = figures.cumulative_orders(APART, band=False, until=50)
    assert ax.get_xlabel().startswith("Days since the first order, n = ")
    assert {"1 - 0", "Difference in orders after the first per customer, 95 % interval"} <= set(words(ax))
    assert len(ax.collections) == 1
    assert ax.get_xlim() == (0, 50)
    assert "all" not in words(figures.cumulative_orders(ORDERS))


def test_a_ratio_is_compared_with_one():
    ratio = survival.restricted_mean_ratio(SPELLS, by="country", horizon_days=40)
    ax = figures.estimates(ratio)
    assert ax.lines[0].get_xdata() == [1, 1]
    assert ax.get_xlabel().startswith("Ratio: days to next order")


def test_a_difference_says_what_it_is_from_when_and_where_the_truth_lies():
    truth = pl.DataFrame({"group": "1 - 0", "duration_days": [0.0, 20.0], "difference": [0.0, 0.1]})
    ax = figures.difference(WAITING, until=30, band=False, truth=truth, since="eligibility")
    assert "Difference in the share of customers not yet back, 95 % interval" in words(ax)
    assert ax.get_xlabel() == "Days since eligibility, n = 90"
    assert "1 - 0" in words(ax)
    assert len(ax.collections) == 1
    assert [line.get_ydata().tolist() for line in ax.lines if line.get_color() == INK] == [[0.0, 0.1]]
