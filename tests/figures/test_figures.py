"""Figures draw results on the Axes they are given, name what they show, and leave everything else alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from shoptoolkit import features, figures, simulate, survival
from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row

WORLD = simulate.shop(rng=1, n_customers=400, days=200)
ORDERS = features.orders(WORLD.events, history_known=True)
SPELLS = survival.repurchase_spells(ORDERS, as_of=WORLD.as_of)


def estimates_of(*rows):
    common = {
        "question": "?",
        "estimand": "e",
        "metric": "days_to_next_order",
        "method": "m",
        "measure": "days",
        "n": 9,
    }
    common |= {"horizon_days": 60.0, "contrast": None, "level": 0.95}
    made = [refused_row(**{**common, **row}) if "reason" in row else estimate_row(**{**common, **row}) for row in rows]
    return EstimateTable.from_rows(made)


ANSWERS = estimates_of(
    {"group": "GB", "estimate": 31.4159, "standard_error": 1.0},
    {"group": "JP", "reason": "follow-up ends on day 35"},
    {"group": "DE", "estimate": 30.0, "standard_error": 2.0, "truth": 28.5},
)
DRAW = {
    "survival_curve": lambda ax: figures.survival_curve(survival.kaplan_meier(SPELLS, by="source"), ax=ax),
    "spells": lambda ax: figures.spells(SPELLS, ax=ax),
    "cohorts": lambda ax: figures.cohorts(survival.cohorts(ORDERS, as_of=WORLD.as_of), ax=ax),
    "estimates": lambda ax: figures.estimates(ANSWERS, ax=ax),
    "hazard_ratios": lambda ax: figures.hazard_ratios(survival.fit_cox(SPELLS, covariates=["source"]), ax=ax),
    "orders": lambda ax: figures.orders(ORDERS, ax=ax, currency="GBP"),
    "rfm": lambda ax: figures.rfm(features.rfm(ORDERS, as_of=WORLD.as_of), ax=ax),
}


def words(ax):
    """Everything written on the Axes."""
    ax.figure.canvas.draw()
    ticks = [tick.get_text() for tick in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    return " | ".join([ax.get_xlabel(), ax.get_title(loc="left"), *(text.get_text() for text in ax.texts), *ticks])


@pytest.fixture(autouse=True)
def _no_side_effects(monkeypatch):
    """No figure is shown, saved or closed, and no setting is changed."""

    def never(*_args, **_options):
        raise AssertionError("a figure was shown, saved or closed")

    before = mpl.rcParams.copy()
    with monkeypatch.context() as patched:
        for owner, name in ((plt, "show"), (plt, "savefig"), (plt, "close"), (mpl.figure.Figure, "savefig")):
            patched.setattr(owner, name, never)
        yield
    changed = {key for key in before if key != "backend" and before[key] != mpl.rcParams[key]}
    mpl.rcParams.update(before)
    assert not changed


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_figure_draws_on_the_axes_it_is_given(draw):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data()
    assert not left.has_data()
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_without_axes_a_figure_opens_new_ones(draw):
    old = plt.subplots()[1]
    new = draw(None)
    assert new is not old
    assert new.figure is not old.figure
    assert not old.has_data()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (
            "survival_curve",
            ["Days since the order", "Share not yet back, 95 % interval, n = ", "organic", "search", "paid"],
        ),
        ("spells", ["Days since the order", f" of {len(SPELLS)} customers, one line each"]),
        ("cohorts", ["Months since the first order", "who ordered in that month, %", "Jan 2025   n = "]),
        (
            "estimates",
            ["Days to next order, counting at most 60 days", "95 % interval", "GB", "31.4  (29.5 to 33.4)"],
        ),
        ("orders", ["Order value, GBP (log scale)", "Orders, n = "]),
        ("rfm", ["Recency score (high: ordered lately)", "Orders score (high: ordered often), n = 400 customers"]),
    ],
)
def test_the_axes_say_what_is_drawn_and_in_which_unit(name, written):
    told = words(DRAW[name](None))
    assert [text for text in written if text not in told] == [], told


def groups_of(number):
    return SPELLS.with_columns(group=pl.format("group {}", pl.int_range(pl.len()) % number))


@pytest.mark.parametrize("number", [1, 2, 8])
def test_every_group_is_a_line_of_its_own_look_with_its_name_at_the_end(number):
    ax = figures.survival_curve(survival.kaplan_meier(groups_of(number), by="group"))
    looks = {
        (line.get_color(), line._unscaled_dash_pattern[1] and tuple(line._unscaled_dash_pattern[1]))
        for line in ax.lines
    }
    assert len(ax.lines) == len(looks) == number
    names = [text for text in ax.texts if text.get_text().startswith("group ")]
    assert len(names) == number
    ax.figure.canvas.draw()
    heights = sorted(text.get_window_extent().y0 for text in names)
    assert all(np.diff(heights) > 8), "names do not lie upon each other"


def test_one_curve_needs_no_name():
    assert "all" not in words(figures.survival_curve(survival.kaplan_meier(SPELLS))).split(" | ")


def test_the_line_is_the_curve_and_the_band_its_interval():
    curve = survival.kaplan_meier(SPELLS)
    ax = figures.survival_curve(curve)
    assert ax.lines[0].get_xydata().tolist() == curve.table.select("duration_days", "survival").to_numpy().tolist()
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (curve.table["survival_low"].min(), 1)
    back = figures.survival_curve(curve, returned=True, until=30)
    assert "Share who bought again" in words(back)
    assert (
        back.lines[0].get_ydata().tolist()
        == (1 - curve.table.filter(pl.col("duration_days") <= 30)["survival"]).to_list()
    )
    assert back.get_xlim() == (0, 30)


def test_the_truth_is_drawn_beside_each_curve():
    ax = figures.survival_curve(survival.kaplan_meier(SPELLS, by="source"), truth=WORLD.truth.curves, until=60)
    assert len(ax.lines) == 6
    paid = WORLD.truth.curves.filter((pl.col("group") == "paid") & (pl.col("duration_days") <= 60))
    assert any(line.get_ydata().tolist() == paid["survival"].to_list() for line in ax.lines)


def test_true_orders_are_drawn_beside_each_group():
    spells = pl.DataFrame({"customer_id": [1, 1, 2], "start_days": [0, 4, 0], "stop_days": [4, 9, 9]}).with_columns(
        repurchased=pl.col("stop_days") == 4
    )
    truth = pl.DataFrame({"group": "all", "duration_days": [0.0, 5.0, 20.0], "mean_cumulative_orders": [0.0, 0.4, 2.0]})
    ax = figures.cumulative_orders(survival.mean_cumulative_orders(spells), truth=truth)
    assert list(ax.lines[1].get_ydata()) == [0.0, 0.4]


def test_a_curve_that_falls_to_zero_is_drawn_to_the_end():
    spells = pl.DataFrame({"customer_id": [1, 2, 3], "duration_days": [4, 5, 9], "repurchased": [True] * 3})
    ax = figures.survival_curve(survival.kaplan_meier(spells))
    assert ax.lines[0].get_ydata()[-1] == 0
    assert np.isfinite(ax.collections[0].get_paths()[0].vertices).all()


@pytest.mark.parametrize(("n", "most", "drawn"), [(30, 40, 30), (79, 40, 40), (81, 40, 27), (400, 40, 40)])
def test_a_few_spells_stand_for_the_whole_frame(n, most, drawn):
    spells = pl.DataFrame(
        {
            "customer_id": range(n),
            "duration_days": np.arange(1.0, n + 1),
            "repurchased": [True, False] * (n // 2) + [True] * (n % 2),
        }
    )
    ax = figures.spells(spells, most=most)
    shown = [segment[1][0] for segment in ax.collections[0].get_segments()]
    assert len(shown) == drawn
    assert shown == sorted(shown)
    assert min(shown) <= n / most + 1
    assert max(shown) >= n - n / most - 1, "the last rows are drawn too"
    assert f"{drawn} of {n} customers" in words(ax)


def test_spells_are_named_where_they_end_and_need_no_legend():
    ax = figures.spells(SPELLS)
    assert ax.get_legend() is None
    assert "bought again | not yet back when the log ends" in words(ax)
    assert "not yet back" not in words(figures.spells(SPELLS.filter("repurchased")))


def test_spells_that_break_their_contract_are_not_drawn():
    with pytest.raises(ContractError, match="duration_days is not above 0"):
        figures.spells(SPELLS.with_columns(duration_days=-1.0))


def test_each_cohort_is_a_row_and_each_later_month_a_cell():
    result = survival.cohorts(ORDERS, as_of=WORLD.as_of)
    ax = figures.cohorts(result)
    later = result.table.filter(pl.col("period_number") > 0)
    cells = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    assert sorted(cells) == sorted(f"{100 * share:.0f}" for share in later["share"])
    assert len(ax.get_yticklabels()) == result.table["cohort"].n_unique()


@pytest.mark.parametrize("as_of", ["2025-01-13", "2025-01-20"], ids=["one period", "nobody came back"])
def test_very_young_cohorts_can_be_drawn(as_of):
    table = ORDERS.filter(pl.col("order_number") == 1, pl.col("ordered_at") < datetime(2025, 1, 13))
    told = words(figures.cohorts(survival.cohorts(table, as_of=as_of, period="week", cohort="first_seen")))
    assert "Weeks since the first order seen" in told
    assert "06 Jan 2025" in told


def test_refused_answers_keep_their_row_and_show_no_number():
    ax = figures.estimates(ANSWERS)
    assert words(ax).split(" | ").count("refused") == 1
    assert [label.get_text() for label in ax.get_yticklabels()] == ["GB", "JP", "DE"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [float(line.get_ydata()[0]) for line in dots] == [0, 2]
    assert "refused" in words(figures.estimates(estimates_of({"group": "JP", "reason": "too few"})))


def test_long_names_stand_above_their_rows_and_leave_room_for_the_intervals_on_a_phone():
    name = "first to last order, within customers"
    rows = estimates_of(
        *({"group": "all", "contrast": name, "estimate": 1.2, "standard_error": 0.02, "measure": "ratio"},) * 2
    )
    with plt.rc_context():
        figures.set_style()
        ax = figures.estimates(rows)
        ax.figure.set_size_inches(4.1, 3)
        ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.texts].count(name) == 2
    assert len(ax.get_yticks()) == 0
    assert ax.get_position().width > 0.4
    assert ax.get_xlabel().startswith("Ratio: days to next order, counting")


def test_the_truth_is_an_upright_tick_even_if_only_one_row_has_it():
    ax = figures.estimates(ANSWERS)
    assert "upright tick: the truth" in ax.get_xlabel()
    assert any(list(line.get_xdata()) == [28.5, 28.5] for line in ax.lines)


def test_differences_have_a_line_at_zero_and_true_minus_signs():
    difference = survival.restricted_mean_difference(SPELLS, by="source", horizon_days=60, reference="paid")
    ax = figures.estimates(difference)
    assert ax.get_xlabel().startswith("Difference: days to next order")
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.lines)
    assert "organic \u2212 paid" in words(ax)
    assert "\u2212" in words(ax)


def test_small_shares_and_large_sums_keep_their_digits_and_units():
    rows = estimates_of(
        {"group": "a", "estimate": 0.0512, "standard_error": 0.003, "metric": "conversion", "measure": "share"}
    )
    assert "5.1  (4.5 to 5.7)" in words(figures.estimates(rows))
    assert figures.estimates(rows).get_xlabel().startswith("Conversion (%)")
    rows = estimates_of(
        {"group": "a", "estimate": 51234.5, "standard_error": 900.0, "metric": "revenue", "measure": "GBP"}
    )
    assert "51,234  (49,471 to 52,998)" in words(figures.estimates(rows))


def test_rows_of_one_measure_share_their_decimals():
    rows = [{"group": name, "estimate": 0.1, "standard_error": error} for name, error in (("a", 0.05), ("b", 0.01))]
    told = words(figures.estimates(estimates_of(*rows)))
    assert "0.10  (0.00 to 0.20)" in told
    assert "0.10  (0.08 to 0.12)" in told


def test_orders_with_nothing_paid_are_counted_in_words():
    orders = ORDERS.with_columns(gross_revenue=pl.when(pl.int_range(pl.len()) < 3).then(0.0).otherwise("gross_revenue"))
    assert "3 with nothing paid are not drawn" in words(figures.orders(orders))


@pytest.mark.parametrize("value", [0.0, 12.5])
def test_orders_all_of_one_value_can_be_drawn(value):
    figures.orders(ORDERS.head(20).with_columns(gross_revenue=value))


def test_importing_changes_no_setting_and_set_style_does():
    with mpl.rc_context():
        figures.set_style()
        assert mpl.rcParams["axes.spines.top"] is False
        assert mpl.rcParams["text.color"] == "#1a2330"
        ax = figures.survival_curve(survival.kaplan_meier(groups_of(3), by="group"))
        ax.figure.canvas.draw()


def test_the_answer_box_has_axes_of_its_own_size():
    assert figures.hero_axes().figure.get_size_inches().tolist() == [5.0, 3.45]


def test_a_long_log_starts_at_its_own_day(tmp_path):
    shifted = ORDERS.with_columns(pl.col("ordered_at") - timedelta(days=4_000))
    assert "2014" in words(figures.cohorts(survival.cohorts(shifted, as_of=WORLD.as_of - timedelta(days=4_000))))


def test_a_price_band_is_no_formula():
    curve = survival.kaplan_meier(
        pl.DataFrame({"customer_id": range(4), "duration_days": [1, 2, 3, 4], "repurchased": [True] * 4}).with_columns(
            band=pl.Series(["$0-$50", "$0-$50", "$\\frac$", "$\\frac$"])
        ),
        by="band",
    )
    ax = figures.survival_curve(curve)
    ax.figure.canvas.draw()
    assert {"$0-$50", "$\\frac$"} <= {text.get_text() for text in ax.texts}
    assert not any(text.get_parse_math() for text in ax.texts)


def test_nothing_to_draw_is_told():
    with pytest.raises(ValueError, match="estimates has no row; there is nothing to draw"):
        figures.estimates(EstimateTable(table=EstimateTable.from_rows([]).table))


def test_a_currency_keeps_its_capitals_on_the_axis():
    rows = estimates_of(
        {"group": "a", "estimate": 2.0, "standard_error": 1.0, "metric": "revenue, EUR", "measure": None}
    )
    assert figures.estimates(rows).get_xlabel().startswith("Revenue, EUR, within 60 days")
