"""A running experiment is drawn as its table tells it: both intervals, by customers, and the day the flight ends."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import polars as pl
import pytest

from shoptoolkit import figures, survival

LOOKS = pl.DataFrame(
    {
        "group": "ad - none",
        "n": [20, 40],
        "estimate": [0.4, 0.2],
        "low": [-1.0, -0.3],
        "high": [1.8, 0.7],
        "fixed_low": [-0.2, 0.05],
        "fixed_high": [1.0, 0.35],
    }
)
OVER = SimpleNamespace(table=LOOKS, metric="orders", level=0.9)
DAYS = pl.DataFrame({"customer_id": range(80), "duration_days": [1.0 + n * 7 % 30 for n in range(80)]})
SPELLS = DAYS.with_columns(start_days=0.0, stop_days="duration_days", repurchased=pl.col("customer_id") % 3 > 0)
APART = survival.mean_cumulative_orders_difference(SPELLS.with_columns(arm=pl.col("customer_id") % 2), by="arm")


def words(ax):
    return [*(text.get_text() for text in ax.texts), ax.get_title(loc="left")]


def outline(collection):
    return collection.get_paths()[0].vertices


def test_both_intervals_of_every_look_are_drawn_and_named():
    ax = plt.subplots()[1]
    assert figures.lift_over_time(OVER, ax=ax, truth=0.25) is ax
    line, *fixed = ax.lines[:3]
    assert line.get_xydata().tolist() == LOOKS.select("n", "estimate").to_numpy().tolist()
    assert [one.get_ydata().tolist() for one in fixed] == [LOOKS["fixed_low"].to_list(), LOOKS["fixed_high"].to_list()]
    assert (outline(ax.collections[0])[:, 1].min(), outline(ax.collections[0])[:, 1].max()) == (-1.0, 1.8)
    assert ax.lines[-1].get_ydata() == [0.25, 0.25]
    assert {"at any look", "at one look", "Effect so far, orders per customer, 90 % intervals"} <= set(words(ax))


def test_one_contrast_is_drawn_at_a_time():
    two = pl.concat([LOOKS, LOOKS.with_columns(group=pl.lit("mail - none"))])
    with pytest.raises(ValueError, match="over has the contrasts ad - none, mail - none; filter its table to one"):
        figures.lift_over_time(SimpleNamespace(table=two, level=0.9))
    with pytest.raises(ValueError, match="over has no look"):
        figures.lift_over_time(SimpleNamespace(table=LOOKS.clear(), level=0.9))


def test_orders_may_be_told_per_thousand_customers():
    ax = figures.lift_over_time(OVER, per=1000)
    assert ax.get_title(loc="left") == "Effect so far, orders per 1,000 customers, 90 % intervals"
    assert [ax.yaxis.get_major_formatter()(mean) for mean in (-0.05, 0.2)] == ["\u221250", "200"]
    ax = figures.difference(APART, per=1000)
    assert "per 1,000 customers" in ax.get_title(loc="left")
    assert ax.yaxis.get_major_formatter()(0.0125) == "12.5"


def test_the_end_of_the_flight_stands_in_a_difference_by_day():
    ax = figures.difference(APART, mark=(21, "end of the flight"))
    assert ax.lines[-1].get_xdata() == [21, 21]
    assert "end of the flight" in [text.get_text().strip() for text in ax.texts]
