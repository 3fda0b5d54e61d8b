"""The pictures of an explanation show its numbers, every one of them, and nothing that was computed on the way."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.offsetbox import TextArea

from shoptoolkit import figures
from shoptoolkit.behaviour.accuracy import reliability
from shoptoolkit.contract import EstimateTable, estimate_row
from shoptoolkit.explain import Explanation
from shoptoolkit.report.pictures import render

FEATURES = ("days_since", "orders", "opened", "source", "noise")
BASE = -0.7


def explanation(n=120, group=None, scale="margin", size=1.0):
    rng = np.random.default_rng(0)
    parts = []
    for place, name in enumerate(FEATURES):
        value = np.round(rng.normal(size=n), 2)
        gaps = rng.random(n) < (0.2 if name == "days_since" else 0)
        parts.append(
            pl.DataFrame(
                {
                    "row": np.arange(n),
                    "group": group or ["all"] * n,
                    "feature": name,
                    "value": pl.Series(np.where(gaps, np.nan, value)).fill_nan(None),
                    "shown": [None if gap else f"{one}" for gap, one in zip(gaps, value, strict=True)],
                    "contribution": size * value * (5 - place) / 5,
                    "base": BASE,
                    "period": pl.Series([None] * n, dtype=pl.Int64),
                }
            )
        )
    table = pl.concat(parts).sort("row", maintain_order=True)
    return Explanation(table=table, scale=scale, kind="k", categories=("source",), n=n, sample="all rows")


WHOLE = explanation()
RNG = np.random.default_rng(0)
CHANCE = RNG.random(900)
TABLE = reliability((RNG.random(900) < CHANCE).astype(float), CHANCE, np.arange(900), level=0.9)
DRAW = {
    "beeswarm": lambda ax=None, **options: figures.beeswarm(WHOLE, ax=ax, **options),
    "importance_bar": lambda ax=None, **options: figures.importance_bar(WHOLE, ax=ax, **options),
    "waterfall": lambda ax=None, **options: figures.waterfall(WHOLE, row=3, ax=ax, **options),
    "reliability": lambda ax=None: figures.reliability(TABLE, ax=ax),
}


def words(ax):
    ax.figure.canvas.draw()
    ticks = [tick.get_text() for tick in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    boxed = [area.get_text() for area in ax.findobj(TextArea)]
    told = [text.get_text() for text in ax.texts]
    return " | ".join([ax.get_xlabel(), ax.get_title(loc="left"), *told, *boxed, *ticks])


def rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_figure_draws_on_the_axes_it_is_given_or_opens_new_ones(draw):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data()
    assert not left.has_data()
    assert len(plt.get_fignums()) == 1
    assert draw().figure is not right.figure


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (
            "beeswarm",
            ["Contribution to the log-odds", "One dot per row, n = 120", "mean size", "less likely", "low value"],
        ),
        ("beeswarm", ["dark: a category; hollow: missing", "high", *FEATURES]),
        ("importance_bar", ["Mean size of the contribution to the log-odds", "n = 120 rows", *FEATURES]),
        ("waterfall", ["Log-odds: base, and what each feature adds", "base \u22120.70", "this row "]),
        (
            "reliability",
            ["Predicted probability", "Observed share, 90 % interval, n = 900 rows", "perfectly calibrated", " %"],
        ),
    ],
)
def test_the_axes_say_what_is_drawn_and_in_which_unit(name, written):
    told = words(DRAW[name]())
    assert [text for text in written if text not in told] == [], told


def test_the_words_about_the_dots_keep_apart_on_a_phone():
    assert render(figures.beeswarm(WHOLE), argument="ax").narrow


def test_every_row_is_a_dot_at_its_contribution_within_the_line_of_its_feature():
    ax = figures.beeswarm(WHOLE)
    dots = np.concatenate([one.get_offsets() for one in ax.collections if one.get_offset_transform() == ax.transData])
    assert len(dots) == 120 * 5
    ranked = WHOLE.importance()["feature"].to_list()
    assert rows(ax) == ranked
    for place, name in enumerate(ranked):
        line = dots[np.abs(dots[:, 1] - place) < 0.5]
        known = WHOLE.table.filter(pl.col("feature") == name)["contribution"].sort()
        np.testing.assert_allclose(np.sort(line[:, 0]), known)
        assert np.abs(line[:, 1] - place).max() <= 0.43


def test_dots_of_one_place_do_not_lie_upon_each_other():
    ax = figures.beeswarm(WHOLE)
    for one in ax.collections:
        if one.get_offset_transform() == ax.transData and len(one.get_offsets()):
            assert len(np.unique(np.round(one.get_offsets(), 6), axis=0)) >= 0.7 * len(one.get_offsets())


def test_the_numbers_beside_are_the_mean_sizes():
    sizes = [f"{size:.2f}" for size in WHOLE.importance()["mean_size"]]
    assert [text.get_text() for text in figures.beeswarm(WHOLE).texts][:5] == sizes
    ax = figures.importance_bar(WHOLE)
    assert [text.get_text() for text in ax.texts][:5] == sizes
    assert [bar.get_width() for bar in ax.patches] == WHOLE.importance()["mean_size"].to_list()


def test_tiny_contributions_keep_two_digits():
    told = words(figures.importance_bar(explanation(size=1e-4)))
    assert f"{explanation(size=1e-4).importance()['mean_size'][0]:.6f}" in told


@pytest.mark.parametrize("name", ["beeswarm", "importance_bar"])
def test_weaker_features_are_counted_not_drawn(name):
    ax = DRAW[name](most=2)
    assert rows(ax) == WHOLE.importance()["feature"].to_list()[:2]
    assert "3 weaker features not drawn" in words(ax)
    assert "1 weaker feature not drawn" in words(DRAW[name](most=4))


@pytest.mark.parametrize("name", ["beeswarm", "importance_bar"])
def test_what_cannot_be_drawn_is_refused(name):
    with pytest.raises(ValueError, match="most is 0; it must be a whole number >= 1"):
        DRAW[name](most=0)
    with pytest.raises(ValueError, match=r"has the groups 'x', 'y'; draw one, e.g. explanation.only\('x'\)"):
        getattr(figures, name)(explanation(group=["x", "y"] * 60))


def test_one_group_of_several_is_drawn_by_itself():
    ax = figures.beeswarm(explanation(group=["x", "y"] * 60).only("y"))
    assert "n = 60" in words(ax)


def test_a_waterfall_leads_from_the_base_to_the_answer():
    ax = figures.waterfall(WHOLE, row=3)
    steps = WHOLE.steps(3)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(steps["contribution"].to_list())
    assert [bar.get_x() for bar in ax.patches] == pytest.approx(steps["start"].to_list())
    assert f"this row {steps['end'][-1]:+.2f}".replace("-", "\u2212") in words(ax)
    for step in steps.to_dicts():
        assert any(label.startswith(f"{step['feature']} = ") for label in rows(ax))
        assert f"{step['contribution']:+.2f}".replace("-", "\u2212") in words(ax)


def test_a_waterfall_says_missing_and_sums_the_rest():
    gap = WHOLE.table.filter(pl.col("shown").is_null())["row"][0]
    assert "days_since = missing" in rows(figures.waterfall(WHOLE, row=gap))
    assert rows(figures.waterfall(WHOLE, row=gap, most=2))[-1] == "3 other features"
    with pytest.raises(ValueError, match="row is 999"):
        figures.waterfall(WHOLE, row=999)


def test_waterfalls_that_share_an_axis_share_one_scale_that_holds_all():
    _, (upper, lower) = plt.subplots(2, 1, sharex=True)
    sizes = {row: WHOLE.steps(row).select(pl.min_horizontal("start", "end").min()).item() for row in range(WHOLE.n)}
    far, near = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    figures.waterfall(WHOLE, row=far, ax=upper)
    figures.waterfall(WHOLE, row=near, ax=lower)
    low, high = upper.get_xlim()
    assert (low, high) == lower.get_xlim()
    for row in (far, near):
        steps = WHOLE.steps(row)
        assert low < steps.select(pl.min_horizontal("start", "end").min()).item()
        assert steps.select(pl.max_horizontal("start", "end").max()).item() < high


def test_numbers_carry_true_minus_signs():
    for name in ("beeswarm", "waterfall"):
        told = words(DRAW[name]())
        assert "\u2212" in told
        assert "-0" not in told


def test_reliability_is_dots_with_their_intervals_beside_the_diagonal():
    ax = figures.reliability(TABLE)
    diagonal, dots = ax.lines
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert dots.get_xydata().tolist() == TABLE.select("mean_predicted", "observed").rows() or np.allclose(
        dots.get_xydata(), TABLE.select("mean_predicted", "observed").to_numpy()
    )
    ends = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(ends, TABLE.select("low", "high").to_numpy())
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[1] >= TABLE["high"].max()


def test_no_contribution_at_all_can_be_drawn():
    flat = explanation(size=0.0)
    figures.beeswarm(flat)
    figures.importance_bar(flat)
    figures.waterfall(flat, row=0).figure.canvas.draw()


def test_on_another_scale_nothing_is_called_likely():
    told = words(figures.beeswarm(explanation(scale="effect")))
    assert "likely" not in told
    assert "Contribution to the effect" in told


def test_measures_of_several_kinds_are_named_row_by_row():
    common = {"question": "?", "estimand": "e", "method": "m", "contrast": None, "group": "all", "level": 0.95, "n": 9}
    made = [
        estimate_row(**common, metric="roc_auc", estimate=0.7, standard_error=0.01),
        estimate_row(**common, metric="log_loss", measure="nats per row", estimate=0.6, standard_error=0.02),
    ]
    told = EstimateTable.from_rows(made)
    written = words(figures.estimates(told)).split(" | ")
    assert [name for name in written if name in ("Roc auc", "Log loss (nats per row)")] == [
        "Roc auc",
        "Log loss (nats per row)",
    ]
    assert repr(told).splitlines()[0].startswith("roc_auc: 0.70")
    assert "log_loss" in told._repr_html_()


def test_small_contributions_keep_two_digits():
    ax = figures.waterfall(explanation(size=0.01), row=3)
    told = [float(text.get_text().replace("\u2212", "-").split()[-1]) for text in ax.texts]
    bars = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(told[-len(bars) :] if len(told) == len(bars) else told[: len(bars)], bars, atol=5e-4)
    assert min(map(abs, bars)) > 0


def test_names_are_wrapped_and_dollars_are_no_formula():
    long = "money spent in the past year, without what came back, $100 - $200"
    for draw in (figures.beeswarm, figures.importance_bar, lambda named: figures.waterfall(named, row=3)):
        labels = draw(WHOLE.renamed({"orders": long})).get_yticklabels()
        found = next(one for one in labels if one.get_text().replace("\n", " ").startswith(long))
        assert max(map(len, found.get_text().split("\n"))) <= 32
        assert not found.get_parse_math()
