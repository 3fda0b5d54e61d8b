"""The picture of a null importance shows each signal beside its bound, and what was planted in words."""

from __future__ import annotations

import matplotlib.pyplot as plt
import polars as pl
import pytest
from matplotlib.colors import to_hex

from shoptoolkit import figures
from shoptoolkit.explain import Comparison, NullImportance
from shoptoolkit.figures.style import SERIES

TABLE = pl.DataFrame(
    {
        "signal": ["orders", "time as a customer", "$ spent in $", "luck"],
        "mean_size": [0.5, 0.2, 0.1, 0.0],
        "null_high": [0.05, 0.06, 0.15, 0.02],
        "is_above": [True, True, False, False],
        "n": [1_200] * 4,
    }
)
EMPTY = pl.DataFrame()
FOUND = NullImportance(
    table=TABLE, draws=EMPTY, together=EMPTY, level=0.95, replicates=30, n_customers=9, scale="margin"
)
ROLES = pl.Series("role", ["driver", "proxy", "none", None])
TOLD = Comparison(
    table=TABLE.with_columns(ROLES), sentence="", level=0.95, scale="margin", n_drivers=1, n_first=1, n_nothing=1,
    n_silent=1,
)  # fmt: skip


def dots(ax):
    return [line for line in ax.lines if line.get_marker() == "o"]


def test_dots_stand_at_the_sizes_and_bars_end_at_the_bounds():
    ax = figures.null_importance(FOUND)
    assert [float(dot.get_xdata()[0]) for dot in dots(ax)] == TABLE["mean_size"].to_list()
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(TABLE["null_high"].to_list())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == TABLE["signal"].to_list()
    assert ax.get_xlabel() == "Mean size, log-odds"
    told = ax.get_title(loc="left").replace("\u00a0", " ")
    assert told == "Grey: what tells nothing stays within (95 %); n = 1,200 rows"


def test_nothing_is_cut_off_on_a_phone():
    with plt.rc_context():
        figures.set_style()
        fig, ax = plt.subplots(figsize=(4.2, 3))
        figures.null_importance(TOLD, ax=ax)
        fig.canvas.draw()
        for text in (ax.xaxis.label, ax._left_title, *ax.texts, *ax.get_yticklabels()):
            box = text.get_window_extent()
            assert box.x0 >= 0, text
            assert box.x1 <= fig.bbox.x1 + 1, text
        plt.close(fig)


def test_a_dot_within_its_bar_is_hollow():
    faces = [to_hex(dot.get_markerfacecolor()) for dot in dots(figures.null_importance(FOUND))]
    assert faces == [SERIES["blue"]] * 2 + ["#ffffff"] * 2


def test_what_was_planted_is_told_in_words():
    fig, ax = plt.subplots()
    assert figures.null_importance(TOLD, ax=ax) is ax
    assert [text.get_text() for text in ax.texts] == ["planted", "a trace", "not planted", ""]
    assert len({text.get_color() for text in ax.texts}) == 4
    fig.canvas.draw()
