"""Figures of whom an ad moves draw what their tables say."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from shoptoolkit import figures
from shoptoolkit.incrementality import qini, targeting_curve

RANDOM = np.random.default_rng(1)
SCORE, AD = RANDOM.normal(size=2_000), RANDOM.random(2_000) < 0.5
FRAME = pl.DataFrame(
    {
        "customer_id": range(2_000),
        "arm": np.where(AD, "ad", "none"),
        "model": SCORE,
        "$lot$": RANDOM.normal(size=2_000),
        "orders": RANDOM.poisson(1 + AD * np.exp(SCORE / 2)),
        "pseudo": SCORE + RANDOM.normal(size=2_000),
    }
)
QINI = qini(FRAME, outcome="orders", scores=["model", "$lot$"], control="none", bootstraps=100, rng=1)
CURVE = targeting_curve(FRAME, score="model", cost=0.5, budget=[0.005, 0.2], rng=1)
FREE = targeting_curve(FRAME, score="model", rng=1)
CALIBRATION = SimpleNamespace(  # what `incrementality.uplift_calibration` gives
    table=pl.DataFrame(
        {
            "arm": ["ad"] * 3,
            "group": ["1", "2", "3"],
            "n": [600, 700, 20],
            "mean_score": [-0.1, 0.2, 0.5],
            "estimate": [0.0, 0.1, 0.7],
            "low": [-0.1, 0.0, None],
            "high": [0.1, 0.2, None],
        }
    ),
    estimates=SimpleNamespace(table=pl.DataFrame({"metric": ["orders"]})),
    level=0.9,
)
DRAW = {
    "qini": lambda ax: figures.qini(QINI, ax=ax),
    "targeting_curve": lambda ax: figures.targeting_curve(CURVE, ax=ax),
    "targeting_curve without cost": lambda ax: figures.targeting_curve(FREE, ax=ax),
    "uplift_calibration": lambda ax: figures.uplift_calibration(CALIBRATION, ax=ax),
}


def written(ax):
    return " | ".join([*(text.get_text() for text in ax.texts), ax.get_title(loc="left"), ax.get_xlabel()])


def drawn(ax, x, y):
    """Whether a line goes through these points."""
    return any(np.array_equal(line.get_xydata(), np.column_stack([x, y])) for line in ax.lines)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_figure_draws_on_the_axes_it_is_given(draw):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data()
    assert not left.has_data()
    assert draw(None) is not right


def test_every_score_has_its_curve_and_tells_its_area():
    ax = figures.qini(QINI)
    for (name,), part in QINI.table.group_by("score"):
        assert drawn(ax, part["share_targeted"], part["gain"])
        assert f"{name}: area over lot {QINI.estimates.table.filter(group=name)['estimate'][0]:.2f}"[:-1] in written(ax)
    part = QINI.table.filter(score="model")
    assert drawn(ax, part["share_targeted"], part["random"])
    assert "orders per customer, reached or not; 95 % interval, n = 2,000" in written(ax)


def test_the_areas_and_axes_may_be_told_per_thousand_customers():
    area = QINI.estimates.table.filter(group="model")["estimate"][0]
    ax = figures.qini(QINI, per=1000)
    assert f"model: area over lot {1000 * area:,.0f} (" in written(ax)
    assert "orders per 1,000 customers, reached or not" in written(ax)
    ax = figures.uplift_calibration(CALIBRATION, per=1000)
    assert "Effect on the group, orders per 1,000 customers; 90 % interval" in written(ax)
    assert "Mean score of the group, orders per 1,000 customers" in written(ax)
    assert (ax.xaxis.get_major_formatter()(0.2), ax.yaxis.get_major_formatter()(-0.1)) == ("200", "\u2212100")


def test_the_axes_of_a_budget_name_the_currency_and_no_line_runs_through_the_words():
    ax = figures.targeting_curve(CURVE, currency="EUR")
    assert "Spent per customer, reached or not, EUR" in written(ax)
    assert "Brought per customer, reached or not, EUR" in written(ax)
    ax.figure.canvas.draw()
    lowest = min(text.get_window_extent().y0 for text in ax.texts)
    assert ax.collections[-1].get_window_extent().y1 < lowest


def test_refused_curves_say_why():
    few = qini(FRAME.head(40), outcome="orders", scores="model", control="none", rng=1)
    with pytest.raises(ValueError, match=r"no curve to draw: the outcomes of .* needs 50"):
        figures.qini(few)


def test_budgets_are_dots_with_the_price_of_one_more_unit():
    ax, table = figures.targeting_curve(CURVE), CURVE.table
    assert drawn(ax, table["spend"], table["value"])
    assert drawn(ax, table["spend"], table["random"])
    assert drawn(ax, table["spend"], table["spend"])
    value, price = CURVE.estimates.table["estimate"][4], CURVE.estimates.table["estimate"][7]
    assert drawn(ax, [0.2], [value])
    assert f"budget 0.2: one more spent brings {price:.3f} (" in written(ax)
    assert not drawn(ax, [0.005], [CURVE.estimates.table["estimate"][0] or 0.0])  # refused
    assert f"best cut, {100 * CURVE.best_share:.0f} % of customers" in written(ax)
    assert "n = 2,000" in written(ax)


def test_without_cost_the_axis_is_the_share_of_customers():
    ax = figures.targeting_curve(FREE)
    assert drawn(ax, FREE.table["share_targeted"], FREE.table["value"])
    assert "Share of customers reached" in written(ax)
    assert "costs" not in written(ax)


def test_groups_stand_at_their_scores_and_one_without_interval_is_hollow():
    ax, table = figures.uplift_calibration(CALIBRATION), CALIBRATION.table
    (bars,) = ax.collections
    assert [tuple(bar[:, 1]) for bar in bars.get_segments()] == table.drop_nulls().select("low", "high").rows()
    assert drawn(ax, [-0.1, 0.5], [-0.1, 0.5])  # as the score says
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [tuple(line.get_xydata()[0]) for line in hollow] == [(0.5, 0.7)]
    assert "ad: 3 groups, n = 1,320" in written(ax)
    assert "90 % interval" in written(ax)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_words_leave_room_for_the_plot_on_a_phone(draw, recwarn):
    with plt.rc_context():
        figures.set_style()
        ax = draw(None)
        ax.figure.set_size_inches(4.1, ax.figure.get_size_inches()[1])
        ax.figure.canvas.draw()
    assert ax.get_position().width > 0.4
    assert [str(warning.message) for warning in recwarn if "layout" in str(warning.message)] == []
