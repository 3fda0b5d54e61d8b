"""Figures of habits draw what their tables say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import polars as pl
import pytest

from shoptoolkit import features, figures, simulate
from shoptoolkit.figures import habits
from shoptoolkit.figures.style import LOW_HIGH, SERIES

WORLD = simulate.shop(rng=1, n_customers=1_000, days=300)
ORDERS = features.orders(WORLD.events, history_known=True)
RHYTHM = features.rhythm(ORDERS, as_of=WORLD.as_of)
LIFECYCLE = features.lifecycle(ORDERS, as_of=WORLD.as_of)
AFFINITY = features.affinity(WORLD.events)
DRAW = {
    "rhythm": lambda ax: figures.rhythm(RHYTHM, ax=ax),
    "lifecycle": lambda ax: figures.lifecycle(LIFECYCLE, ax=ax),
    "affinity": lambda ax: figures.affinity(AFFINITY, ax=ax),
}


def written(ax):
    return [*(text.get_text() for text in ax.texts), ax.get_title(loc="left")]


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_figure_draws_on_the_axes_it_is_given(draw):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data()
    assert not left.has_data()
    assert draw(None) is not right


def test_every_customer_with_a_shape_is_a_dot_and_each_region_tells_its_number():
    told = RHYTHM.table.drop_nulls("shape")
    ax = figures.rhythm(RHYTHM)
    dots = sorted(tuple(map(float, dot)) for line in ax.lines[:3] for dot in line.get_xydata())
    assert dots == sorted(told.select("mean_gap_days", "shape").rows())
    regular, clumpy = len(told.filter(pl.col("shape_low") > 1)), len(told.filter(pl.col("shape_high") < 1))
    assert min(regular, clumpy) > 0
    expected = {f"regular: {regular}", f"clumpy: {clumpy}", f"chance: {len(told) - regular - clumpy}"}
    assert expected < set(written(ax))
    assert f"n = {len(told)} of 1,000 customers" in " ".join(written(ax))


def test_many_customers_become_a_density(monkeypatch):
    monkeypatch.setattr(habits, "_DOTS", 10)
    ax = figures.rhythm(RHYTHM)
    (density,) = ax.collections
    assert density.get_array().sum() == RHYTHM.table["shape"].count()
    assert any("dark: many" in text for text in written(ax))


@pytest.mark.parametrize("known", [True, False])
def test_bars_of_a_period_add_up_to_the_customers_known_by_then(known):
    told = features.lifecycle(ORDERS.with_columns(history_known=known), as_of=WORLD.as_of)
    ax = figures.lifecycle(told)
    sums = told.table.group_by("period_start", maintain_order=True).agg(pl.col("n_customers").sum())
    tops = [max(bar.get_y() + bar.get_height() for bar in bars) for bars in zip(*ax.containers, strict=True)]
    assert tops == sums["n_customers"].to_list()
    names = told.table["state"].unique()
    assert {name.replace("_", " ") for name in names} < set(written(ax))


def test_a_cell_is_coloured_only_where_the_interval_leaves_out_1():
    ax = figures.affinity(AFFINITY, top=6)
    strongest = AFFINITY.table.sort("low", descending=True).unique("a", keep="first", maintain_order=True).head(6)
    top = strongest.sort("n_a", descending=True)["a"].to_list()
    rows = {(row["a"], row["b"]): row for row in AFFINITY.table.to_dicts()}
    assert len(ax.patches) == sum(a in top and b in top for a, b in rows) > 10
    for patch in ax.patches:
        row = rows[top[round(patch.get_y() + 0.46)], top[round(patch.get_x() + 0.47)]]
        is_clear = row["low"] > 1 or row["high"] < 1
        assert (patch.get_facecolor()[3] == 1) == is_clear
        if is_clear:
            red, _, blue, _ = patch.get_facecolor()
            assert (blue > red) == (row["lift"] < 1)
    assert ax.get_yticklabels()[0].get_text() == f"{top[0]}   n = {rows[top[0], top[1]]['n_a']:,}"


def test_less_is_blue_and_more_is_clay():
    assert (LOW_HIGH[0], LOW_HIGH[-1]) == (SERIES["blue"], SERIES["clay"])


def test_nothing_to_draw_is_said_in_words():
    with pytest.raises(ValueError, match=r"rhythm has [\d,]+ customers, none with a shape"):
        figures.rhythm(features.rhythm(ORDERS.filter(pl.col("order_number") == 1), as_of=WORLD.as_of))
    alone = WORLD.events.with_columns(category=pl.lit("tea"))
    with pytest.raises(ValueError, match=r"affinity has no pair in [\d,]+ orders; lower at_least"):
        figures.affinity(features.affinity(alone))


@pytest.mark.parametrize("top", [None, "6", 1, 2.5, -3])
def test_so_many_categories_is_a_whole_number(top):
    with pytest.raises(ValueError, match=r"top is .*; it must be a whole number >= 2"):
        figures.affinity(AFFINITY, top=top)


def test_a_dollar_in_a_name_begins_no_formula():
    events = pl.concat(WORLD.events.with_columns(category=pl.lit(name)) for name in ("$0_$", "$5$"))
    ax = figures.affinity(features.affinity(events))
    ax.figure.canvas.draw()
    assert {label.get_text() for label in ax.get_xticklabels()} == {"$0_$", "$5$"}


PHONE_INCHES = 4.1  # as `report` draws a figure anew


@pytest.mark.parametrize(
    "draw",
    [*DRAW.values(), lambda ax: figures.transitions(features.transitions(WORLD.events), ax=ax)],
    ids=[*DRAW, "transitions"],
)
def test_words_leave_room_for_the_plot_on_a_phone(draw, recwarn):
    with plt.rc_context():
        figures.set_style()
        ax = draw(None)
        ax.figure.canvas.draw()
        ax.figure.set_size_inches(PHONE_INCHES, ax.figure.get_size_inches()[1])
        ax.figure.canvas.draw()
    assert ax.get_position().width > 0.4
    assert [str(warning.message) for warning in recwarn if "layout" in str(warning.message)] == []
