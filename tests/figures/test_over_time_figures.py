"""The pictures of a hazard's drivers over time, and of pairs, show the tables' numbers; other pictures know periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from shoptoolkit import figures
from shoptoolkit.explain import Explanation, Interactions

FEATURES = ("orders", "opened", "noise")


def explanation(n=40, periods=4, names=FEATURES):
    rng = np.random.default_rng(0)
    keys = pl.DataFrame({"row": range(n)}).join(pl.DataFrame({"period": range(1, periods + 1)}), how="cross")
    table = keys.join(pl.DataFrame({"feature": names, "size": [3.0, 2.0, 0.1]}), how="cross").with_columns(
        group=pl.lit("all"), value=pl.lit(1.0), shown=pl.lit("1"), error=pl.lit(None, pl.Float64), base=pl.lit(-1.0)
    )
    noise = pl.Series(rng.normal(size=len(table)))
    table = table.with_columns(contribution=noise * pl.col("size") / pl.col("period")).drop("size")
    scale = {"scale": "logit hazard", "kind": "k", "categories": (), "sample": "all rows", "period_days": 7.0}
    return Explanation(table=table, n=n, **scale)


WHOLE = explanation()
PAIRS = Interactions(
    table=pl.DataFrame(
        {"first": ["a", "b"], "second": ["x_$1$", "c"], "strength": [0.21, 0.05], "share": [0.3, 0.1], "n": [50, 50]}
    ),
    scale="logit hazard",
    kind="k",
    pairs=3,
    n=50,
    sample="all rows",
)


def words(ax):
    ax.figure.canvas.draw()
    ticks = [tick.get_text() for tick in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    return " | ".join([ax.get_xlabel(), ax.get_title(loc="left"), *(text.get_text() for text in ax.texts), *ticks])


def test_a_line_shows_the_mean_sizes_of_its_feature_by_day_and_carries_its_name():
    ax = figures.importance_over_time(WHOLE, most=2)
    drawn = [line for line in ax.lines if line.get_marker() == "o"]
    for line, name in zip(drawn, ["orders", "opened"], strict=True):
        known = WHOLE.over_time().filter(pl.col("feature") == name)
        np.testing.assert_array_equal(line.get_xdata(), known["until_days"])
        np.testing.assert_array_equal(line.get_ydata(), known["mean_size"])
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [
        (name, line.get_color()) for name, line in zip(["opened", "orders"], reversed(drawn), strict=True)
    ]
    assert len(ax.lines) == 3
    told = words(ax)
    assert "Mean size, log-odds of the period, n = 40 rows; 1 weaker feature in grey" in told
    assert "End of the period, days" in told
    assert "grey" not in words(figures.importance_over_time(WHOLE))


def test_a_bar_shows_the_strength_of_its_pair():
    ax = figures.interactions(PAIRS)
    assert [bar.get_width() for bar in ax.patches] == [0.21, 0.05]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a \u00d7\nx_$1$", "b \u00d7\nc"]
    assert [text.get_text() for text in ax.texts] == ["0.21 (30 %)", "0.05 (10 %)"]
    told = words(ax)
    assert "n = 50 rows; in brackets: of all that the two add; 1 weaker pair not drawn" in told
    assert "Mean size together, log-odds of the period" in told
    assert len(figures.interactions(PAIRS, most=1).patches) == 1


def test_no_pairs_are_said_in_words():
    told = words(figures.interactions(replace(PAIRS, table=PAIRS.table.clear(), pairs=0)))
    assert "no two signals move the answer together" in told


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: figures.importance_over_time(WHOLE, most=0), "most is 0; it must be a whole number >= 1"),
        (lambda: figures.interactions(PAIRS, most=0), "most is 0; it must be at least 1"),
        (lambda: figures.importance_over_time(replace(WHOLE, period_days=None)), "has no periods; explain_survival's"),
        (lambda: figures.beeswarm(WHOLE), r"has 4 periods; draw one, e.g. explanation.at\(1\)"),
        (lambda: figures.waterfall(WHOLE, row=0), r"row 0 has 4 periods; take one, e.g. .at\(1\).steps\(0\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, told):
    with pytest.raises(ValueError, match=told):
        draw()


def test_bars_of_several_periods_say_over_how_many():
    assert "n = 40 rows, mean over 4 periods" in words(figures.importance_bar(WHOLE))
    assert "mean over" not in words(figures.importance_bar(WHOLE.at(2)))


def test_one_period_is_drawn_as_any_explanation_and_survival_says_which_way_is_later():
    assert "less likely" in words(figures.beeswarm(WHOLE.at(2)))
    assert "back later \u2192" in words(figures.beeswarm(replace(WHOLE.at(2), scale="log survival")))


def test_a_signal_of_several_features_has_no_value_and_is_not_missing():
    told = WHOLE.at(1).by_signal({"orders": "habit", "opened": "habit"})
    step = figures.waterfall(told, row=3).get_yticklabels()
    assert {label.get_text() for label in step} == {"habit", "noise = 1"}
    seen = words(figures.beeswarm(told))
    assert "dark: several features" in seen
    assert "hollow" not in seen
