"""The pictures of a stability and of importances draw what their tables say, and compute nothing."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from shoptoolkit import figures
from shoptoolkit.contract import EstimateTable
from shoptoolkit.explain import Importances, Stability
from shoptoolkit.figures.style import SERIES

RANKS = ["mean_rank", "rank_low", "rank_high", "sign_agreement", "share_in_top_k", "verdict"]
ALONE = [
    ("spend, 28 days", 1.6, 1.0, 3.0, 0.97, 1.0, "shares with spend, 91 days"),
    ("spend, 91 days", 2.0, 1.0, 3.0, 0.96, 1.0, "shares with spend, 28 days"),
    ("visits", 2.4, 1.0, 3.0, 0.99, 1.0, "stable"),
    ("ads", 4.0, 4.0, 4.0, 0.61, 0.0, "unstable: direction kept in 61 %"),
    ("late", 4.6, 4.0, 5.0, None, 0.0, "unstable: not used by the first fit"),
    ("idle", 6.0, 6.0, 6.0, None, 0.0, "never used"),
]
TOGETHER = [
    ("spend, 28 days, spend, 91 days", ["spend, 28 days", "spend, 91 days"], 1.0, 1.0, 1.0, 0.99, 1.0, "stable"),
    *[(name, [name], *rest) for name, *rest in ALONE[2:]],
]
STABILITY = Stability(
    table=pl.DataFrame(ALONE, schema=["feature", *RANKS], orient="row"),
    clusters=pl.DataFrame(TOGETHER, schema=["cluster", "members", *RANKS], orient="row"),
    draws=pl.DataFrame(),
    level=0.9,
    replicates=20,
    top=5,
    n_customers=1_234,
    of="features",
)
IMPORTANCES = Importances(
    table=pl.DataFrame(
        {
            "signal": ["a $very$ long name of what the shop knows of its customers", "visits", "ads"],
            "features": ["x", "y", "z"],
            "mean_size": [0.9, 0.4, 0.1],
            "mean_size_rank": [1.0, 2.0, 3.0],
            "permuted": [0.05, 0.02, -0.001],
            "permuted_low": [0.04, 0.01, -0.002],
            "permuted_high": [0.06, 0.03, 0.001],
            "permuted_rank": [1.0, 2.0, 3.0],
            "left_out": [0.001, 0.015, None],
            "left_out_low": [-0.001, 0.01, None],
            "left_out_high": [0.002, 0.02, None],
            "left_out_rank": [2.0, 1.0, None],
            "disagree": [True, False, None],
            "words": ["w", "w", "w"],
        }
    ),
    estimates=EstimateTable.from_rows([]),
    loss=0.6,
    level=0.9,
    n=4_321,
    n_customers=1_234,
    repeats=10,
    scale="margin",
)
DRAW = {
    "stability": lambda **options: figures.stability(STABILITY, **options),
    "importances": lambda **options: figures.importances(IMPORTANCES, **options),
}


def words(ax):
    ax.figure.canvas.draw()
    return [ax.get_xlabel(), ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)]


def lines(ax, colour):
    return [line.get_xdata().tolist() for line in ax.lines if to_hex(line.get_color()) == colour]


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_figure_draws_on_the_axes_it_is_given_or_opens_new_ones(draw):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(ax=right) is right
    assert not left.has_data()
    assert draw().figure is not right.figure


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_at_least_one_row_is_drawn_and_the_rest_counted(draw):
    with pytest.raises(ValueError, match="most is 0; it must be at least 1"):
        draw(most=0)
    assert words(draw(most=1))[0].endswith("weaker not drawn")


def test_every_rank_and_range_is_drawn_clusters_with_their_members_below():
    ax = figures.stability(STABILITY)
    drawn = [line.get_xdata().tolist() for line in ax.lines]
    order = [TOGETHER[0][2:], *(row[1:] for row in ALONE)]
    assert drawn == [one for mean, low, high, *_ in order for one in ([low, high], [mean])]
    told = words(ax)
    names = ["2 that can stand in for each other", *(row[0] for row in ALONE)]
    assert [one for one in told if one in names] == names
    assert "Middle 90 % of 20 refits; grey: each alone" in told
    assert [one for one in told if one.endswith(" %") and len(one) < 6] == ["99 %", "97 %", "96 %", "99 %", "61 %"]
    assert {"not at first", "never", "direction kept"} <= set(told)


def test_what_does_not_hold_has_a_colour_of_its_own():
    ax = figures.stability(STABILITY)
    assert lines(ax, SERIES["clay"]) == [[4.0, 4.0], [4.0], [4.0, 5.0], [4.6]]
    whole = replace(STABILITY, clusters=STABILITY.clusters.filter(pl.col("cluster") == "visits"))
    assert "grey" not in " ".join(words(figures.stability(whole)))


def test_both_losses_are_drawn_with_their_intervals():
    ax = figures.importances(IMPORTANCES)
    table = IMPORTANCES.table
    for metric, colour in (("permuted", SERIES["blue"]), ("left_out", SERIES["plum"])):
        drawn = table.filter(pl.col(metric).is_not_null()).select(f"{metric}_low", f"{metric}_high", metric).rows()
        assert lines(ax, colour) == [one for low, high, point in drawn for one in ([low, high], [point])]
    told = words(ax)
    assert "90 % intervals, n = 4,321 rows, 1,234 customers" in told
    assert {"disagree, 1", "2", "refused, 3", "rank by SHAP", *table["signal"]} <= set(told)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_names_stay_within_the_axes_and_lie_on_no_line(draw):
    ax = draw()
    ax.figure.canvas.draw()
    right = ax.get_window_extent().x1
    for text in ax.texts:
        assert text.get_window_extent().x1 <= right + 1
    places = {round(float(np.mean(line.get_ydata()))) for line in ax.lines}
    names = [text.get_position()[1] for text in ax.texts if text.get_ha() == "left" and text.get_va() == "bottom"]
    assert all(abs(y - place) > 0.2 for y in names for place in places)
