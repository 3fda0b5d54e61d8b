"""The funnel and the map of transitions draw what their tables say."""

from __future__ import annotations

from datetime import datetime, timedelta

import matplotlib.pyplot as plt
import polars as pl
import pytest

from shoptoolkit import features, figures

START = datetime(2025, 1, 1)
ROWS = [
    (who, START + timedelta(minutes=30 * k), kind, 1.0, "DE" if who < 6 else "GB")
    for who in range(10)
    for k, kind in enumerate(["view", "view", "cart", "purchase"][: 1 + who % 4])
]
EVENTS = pl.DataFrame(ROWS, schema=["customer_id", "at", "event", "price", "country"], orient="row")
STEPS = ("view", "cart", "purchase")


def words(ax):
    return [*(text.get_text() for text in ax.texts), ax.get_title(loc="left")]


def test_a_bar_is_a_share_with_its_interval_and_numbers():
    told = features.funnel(EVENTS, steps=STEPS, within_hours=24)
    axes = plt.subplots()[1]
    ax = figures.funnel(told, ax=axes)
    assert ax is axes
    assert [bar.get_width() for bar in ax.patches] == told.table["share"].to_list()
    assert [line.get_xdata().tolist() for line in ax.lines] == [
        list(one) for one in told.table[1:].select("low", "high").rows()
    ]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(STEPS)
    assert words(ax)[0] == "10"
    assert words(ax)[1].startswith("4   40.0 % (16.8 to 68.7)   30 min")
    assert ax.get_xlabel() == "Share (95 % interval) of those who made\nthe first step; within 24 hours"


def test_groups_stand_beside_each_other_with_their_names():
    events = EVENTS.with_columns(country=pl.when(pl.col("customer_id") == 9).then(pl.lit("$x$")).otherwise("country"))
    ax = figures.funnel(features.funnel(events, steps=STEPS, within_hours=24, by="country"))
    assert len(ax.patches) == 9
    assert len({bar.get_facecolor() for bar in ax.patches}) == 3
    assert {"$x$", "DE", "GB"} <= set(words(ax))


def test_a_group_without_the_first_step_is_counted_and_has_no_bar():
    lone = pl.DataFrame([(99, START, "cart", 1.0, "FR")], schema=EVENTS.schema, orient="row")
    ax = figures.funnel(features.funnel(pl.concat([EVENTS, lone]), steps=STEPS, within_hours=24, by="country"))
    assert len(ax.patches) == 6
    assert words(ax).count("0") == 3


@pytest.mark.parametrize(("hours", "told"), [(0.01, "36 s"), (0.1, "6 min"), (1, "1 h"), (26, "26 h"), (72, "3 days")])
def test_a_time_is_told_in_its_own_unit(hours, told):
    at = [START, START + timedelta(hours=hours)]
    events = pl.DataFrame({"customer_id": 1, "at": at, "event": ["view", "cart"]})
    ax = figures.funnel(features.funnel(events, steps=("view", "cart"), within_hours=100))
    assert words(ax)[1].endswith(f"   {told}")


def test_a_cell_is_the_share_of_its_row_and_unseen_pairs_stay_empty():
    told = features.transitions(EVENTS)
    ax = figures.transitions(told)
    assert len(ax.patches) == len(told.table)
    cells = {(text.get_position()): text.get_text() for text in ax.texts if text.get_text().isdigit()}
    here = [tick.get_text().split("   ")[0] for tick in ax.get_yticklabels()]
    there = [tick.get_text() for tick in ax.get_xticklabels()]
    assert here == ["(start)", "view", "cart", "purchase"]
    assert there == ["view", "cart", "purchase", "(end)"]
    expected = {
        (there.index(one["to"]), here.index(one["from"])): f"{100 * one['share']:.0f}" for one in told.table.to_dicts()
    }
    assert cells == expected
    assert ax.get_yticklabels()[0].get_text() == "(start)   n = 10"


def test_one_group_is_drawn_at_a_time():
    told = features.transitions(EVENTS, by="country")
    ax = figures.transitions(told, group="GB")
    assert len(ax.patches) == len(told.table.filter(pl.col("group") == "GB"))
    assert any(text.startswith("GB: what came next within a session") for text in words(ax))
    with pytest.raises(ValueError, match="group is None; it must be one of 'DE', 'GB'"):
        figures.transitions(told)
    with pytest.raises(ValueError, match="group is 'FR'; it must be one of 'DE', 'GB'"):
        figures.transitions(told, group="FR")


def test_a_map_of_too_many_states_is_refused():
    events = EVENTS.with_columns(item_id=pl.int_range(pl.len()))
    with pytest.raises(ValueError, match="transitions has 23 states, and a map of more than 20 cannot be read"):
        figures.transitions(features.transitions(events, of="item_id"))
