"""Reasons: the strongest signals first, in sentences, with nothing lost and nothing that sounds like a cause."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import Explanation, dictionary, explain_survival, reasons, shap_values, signals_of
from shoptoolkit.explain.explanation import COLUMNS
from shoptoolkit.survival import fit_hazard

CAUSAL = re.compile(r"because|cause[sd]|leads|drives|due to|effect|makes|impact|thanks", re.IGNORECASE)


def explained(values, contributions, *, scale="margin", errors=None, periods=(None,), categories=(), rows=None):
    """An explanation: per feature its values by row (None: missing) and contributions, the same in all periods."""
    parts = [
        {
            "row": row if rows is None else rows[row],
            "group": "all",
            "feature": name,
            "value": None if value is None else 0.0 if isinstance(value, str) else float(value),
            "shown": {True: "yes", False: "no"}[value] if isinstance(value, bool) else value and str(value),
            "contribution": contributions[name][row],
            "error": (errors or {}).get(name),
            "base": 0.0,
            "period": period,
        }
        for name, column in values.items()
        for row, value in enumerate(column)
        for period in periods
    ]
    n = len(next(iter(values.values())))
    frame = pl.DataFrame(parts, schema=COLUMNS)
    more = {
        "categories": tuple(categories),
        "n": n,
        "sample": f"all {n} rows",
        "period_days": 7.0 if periods[0] else None,
    }
    return Explanation(table=frame, scale=scale, kind="TreeSHAP", **more)


VALUES = {
    "orders_28d": [3, 1, 0, 1],
    "orders_91d": [4, 2, 0, 5],
    "spend_91d": [120.0, 80.0, 0.0, 500.0],
    "days_since_watch": [None, 3.0, None, None],
    "tier": ["gold", "silver <b>", "silver <b>", "gold"],
    "newsletter": [True, True, False, True],
}
PARTS = {
    "orders_28d": [0.5, 0.1, -0.4, 0.0],
    "orders_91d": [0.2, -0.3, -0.5, 0.1],
    "spend_91d": [0.3, 0.0, -0.2, 0.3],
    "days_since_watch": [-0.1, 0.05, -0.1, -0.1],
    "tier": [0.02, -0.6, -0.6, 0.02],
    "newsletter": [0.01, 0.01, -0.09, 0.01],
}
KNOWN = explained(VALUES, PARTS, categories=["tier"])


def test_a_reason_says_value_unit_reference_and_direction():
    assert reasons(KNOWN, words={"tier": {"said": "Is a {} member"}}).of(0) == [
        "Ordered 3 times in the last 28 days; a typical customer once. Forecast higher.",
        "Spent 120 in the last 91 days; a typical customer 80. Forecast higher.",
        "Has not watched yet, as is typical. Forecast lower.",
        "And 2 weaker signals together. Forecast higher.",
    ]


def test_categories_and_yes_and_no_are_said():
    told = reasons(KNOWN, 5, rows=[2]).table
    said = dict(told.select("feature", "sentence").rows())
    assert said["tier"] == "Tier: silver <b>; a typical customer: gold. Forecast lower."
    assert said["newsletter"] == "Newsletter: no; a typical customer: yes. Forecast lower."


def test_the_feature_told_moves_the_forecast_in_the_direction_of_its_signal():
    first = reasons(KNOWN, 3, rows=[1]).table.filter(signal="how often they came").row(0, named=True)
    assert first["contribution"] == pytest.approx(-0.2)
    assert first["feature"] == "orders_91d"
    assert first["direction"] == "lower"


def test_the_strongest_come_first_and_the_rest_is_added_up():
    for row, part in enumerate(reasons(KNOWN, 2).table.partition_by("row", maintain_order=True)):
        assert part["place"].to_list() == [1, 2, 3]
        assert part["signal"].null_count() == part["feature"].null_count() == 1
        size = part["contribution"].abs()
        assert size[0] >= size[1]
        assert part["contribution"].sum() == pytest.approx(sum(column[row] for column in PARTS.values()))


def test_the_factor_is_that_of_the_odds():
    told = reasons(KNOWN, 1).table
    np.testing.assert_allclose(told["factor"], np.exp(told["contribution"]), rtol=1e-12)
    assert "in brackets the factor on the model's odds" in reasons(KNOWN, 1).note


def test_a_score_has_no_factor_and_says_that_it_has_no_interval():
    told = reasons(replace(KNOWN, scale="effect"), 1)
    assert told.table["factor"].null_count() == len(told.table)
    assert told.of(0)[0].endswith("; a typical customer once. Score higher.")
    assert "ranks by what an ad may add; it has no interval" in told.note
    assert "<b>What moves the score most</b>" in told._repr_html_()


def test_more_log_survival_is_a_lower_forecast_of_a_return():
    told = reasons(replace(KNOWN, scale="log survival"), 1).table.row(0, named=True)
    assert told["sentence"].endswith("Forecast of a return lower.")
    assert told["direction"] == "lower"
    assert told["contribution"] == pytest.approx(0.7)
    assert told["factor"] == pytest.approx(np.exp(0.7))


def test_what_lies_within_two_errors_is_summed_and_said_so():
    noisy = explained(VALUES, PARTS, categories=["tier"], errors={"orders_28d": 0.2, "orders_91d": 0.2})
    told = reasons(noisy, 1)
    assert told.of(0) == [
        "Spent 120 in the last 91 days; a typical customer 80. Forecast higher.",
        "And 4 other signals together, 1 of them within two Monte-Carlo errors. Direction not clear.",
    ]
    assert told.table["direction"].to_list()[1] == "unclear"


def test_signals_that_move_nothing_are_not_told():
    two = explained({"orders_28d": [1, 2], "tier": ["a", "b"]}, {"orders_28d": [0.0, 0.2], "tier": [0.0, 0.0]})
    told = reasons(two, 3)
    assert told.table.rows_by_key("row").keys() == {1}
    assert told.of(1) == ["Ordered twice in the last 28 days; a typical customer once. Forecast higher."]


def test_typical_is_the_lower_median_or_the_commonest_or_missing():
    def typical(values):
        told = reasons(
            explained({"x": values}, {"x": [1.0] * len(values)}, categories=["x"] if "b" in values else [])
        ).of(0)
        return told[0].split("; a typical customer: ")[-1].removesuffix(". Forecast higher.")

    assert typical([9, 1, 2, 3, 4]) == "3"
    assert typical([9, 1, 2, 3]) == "2"
    assert typical(["c", "a", "b", "b", "a"]) == "a"
    assert typical([9, None, None, 1]) == "1"
    assert typical([9, None, None]) == "not known"


def test_who_is_typical_may_be_others():
    frame = pl.DataFrame(
        {
            "orders_28d": [7, 8, 9],
            "orders_91d": [1, 1, 1],
            "spend_91d": [1.0, 1.0, float("nan")],
            "tier": ["x", "x", "y"],
        }
    ).with_columns(newsletter=False, days_since_watch=5.0)
    told = reasons(KNOWN, 5, reference=frame.to_arrow())
    assert told.of(0)[0] == "Ordered 3 times in the last 28 days; a typical customer 8 times. Forecast higher."
    assert told.of(2)[4] == "Newsletter: no, as is typical. Forecast lower."
    assert told.reference == "the median, or commonest, of the 3 rows of the reference"
    others = explained({name: column[:1] for name, column in VALUES.items()}, PARTS, categories=["tier"])
    assert (
        reasons(KNOWN, 1, reference=others).of(0)[0].startswith("Ordered 3 times in the last 28 days, as is typical.")
    )
    assert reasons(KNOWN).reference == "the median, or commonest, of the 4 rows explained"


def test_a_reference_must_have_the_features():
    with pytest.raises(ContractError, match=r"reference lacks 'orders_91d', .*; it has 'orders_28d'\."):
        reasons(KNOWN, reference=pl.DataFrame({"orders_28d": [1]}))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_nothing_is_lost_and_no_order_of_rows_matters(seed, k):
    rng = np.random.default_rng(seed)
    names = ["orders_28d", "orders_91d", "spend_28d", "views_7d", "foo", "bar_1d", "days_since_view"]
    parts = {name: np.round(rng.normal(size=5), 1) for name in names}
    known = explained({name: rng.integers(0, 5, 5).tolist() for name in names}, parts)
    told = reasons(known, k).table
    sums = told.group_by("row").agg(pl.sum("contribution"), pl.len()).sort("row")
    np.testing.assert_allclose(sums["contribution"], sum(parts.values()), atol=1e-12)
    assert sums["len"].max() <= k + 1
    is_down = (pl.col("contribution").abs().diff() <= 0).over("row")
    assert told.filter(pl.col("signal").is_not_null()).select(is_down).to_series().drop_nulls().all()
    mixed = replace(known, table=known.table.sample(fraction=1, shuffle=True, seed=seed))
    assert reasons(mixed, k).table.equals(told)


def test_rows_are_told_in_the_order_asked_and_by_name():
    told = reasons(KNOWN, 1, rows={2: "Bärbel <i>", 0: "Max"})
    assert told.table["row"].unique(maintain_order=True).to_list() == [2, 0]
    assert repr(told).index("Bärbel <i>\n  - ") < repr(told).index("Max\n  - ")
    assert reasons(KNOWN, 1, rows=2).table["row"].unique().to_list() == [2]


def test_names_and_categories_are_escaped():
    html = reasons(KNOWN, 5, rows={1: "Bärbel <i>"})._repr_html_()
    assert "Bärbel &lt;i&gt;" in html
    assert "Tier: silver &lt;b&gt;; a typical customer: gold. Forecast lower. (odds ×&nbsp;0.55)" in html
    assert "<b>;" not in html


def test_a_long_list_is_cut_and_counted():
    many = explained({"foo": list(range(30))}, {"foo": [1.0] * 30})
    assert '<p class="note">and 20 more</p>' in reasons(many)._repr_html_()
    assert reasons(many)._repr_html_().count("<ol>") == repr(reasons(many)).count("\n  - ") == 10


def test_periods_are_told_one_by_one():
    told = reasons(explained(VALUES, PARTS, categories=["tier"], scale="logit hazard", periods=(1, 2)), 1)
    assert told.table.select("row", "period", "place").head(4).rows() == [(0, 1, 1), (0, 1, 2), (0, 2, 1), (0, 2, 2)]
    assert "Row 0, period 2 (until day 14)\n  - Ordered 3 times" in repr(told)
    with pytest.raises(ValueError, match=r"row 0 has 2 periods; take one: reasons\(explanation.at\(1\), ...\)"):
        told.of(0)


def test_a_row_without_reasons_is_told_so():
    with pytest.raises(ValueError, match=r"row is 9; it must be one of 0, 1, 2, 3"):
        reasons(KNOWN).of(9)


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, float("nan"), True])
def test_k_is_a_whole_number_from_one(k):
    with pytest.raises(ValueError, match=r"k is .*; it must be a whole number >= 1"):
        reasons(KNOWN, k)


@pytest.mark.parametrize("rows", [4, "0", [0, 7], {"Anna": 0}])
def test_rows_that_were_not_explained_are_refused(rows):
    with pytest.raises(ValueError, match=r"rows has .*, not explained; rows explained: 0, 1, 2, 3"):
        reasons(KNOWN, rows=rows)


def test_only_explanations_have_reasons():
    with pytest.raises(TypeError, match="explanation is a DataFrame; pass what shap_values"):
        reasons(KNOWN.table)
    with pytest.raises(ValueError, match="scale is 'odd'; it must be one of 'margin'"):
        reasons(replace(KNOWN, scale="odd"))


def test_a_signal_of_several_features_has_no_value_to_tell():
    with pytest.raises(ValueError, match="'how often they came' adds up several features and has no value to tell"):
        reasons(KNOWN.by_signal(dictionary(VALUES).signals))
    assert reasons(KNOWN.by_signal({"tier": "loyalty"})).table["signal"].is_in(["loyalty"]).any()


def test_a_dictionary_must_know_the_features():
    with pytest.raises(ValueError, match="words lack 'tier', 'newsletter'; make the dictionary of all"):
        reasons(KNOWN, words=dictionary([*VALUES][:4]))
    assert "EUR 120" in reasons(KNOWN, words=dictionary(VALUES, currency="EUR")).of(0)[1]


def test_figures_take_labels():
    named = KNOWN.renamed(dictionary(VALUES, currency="EUR").labels)
    assert named.importance()["feature"].to_list()[:2] == ["tier", "orders, 91 days"]
    assert named.categories == ("tier",)
    assert KNOWN.renamed({"tier": "loyalty"}).categories == ("loyalty",)


def shop(n=400, seed=0):
    rng = np.random.default_rng(seed)
    orders, days = rng.poisson(2, n), rng.exponential(20, n)
    wait = rng.exponential(30 / (0.5 + orders))
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "as_of": pl.Series(["2025-01-01", "2025-02-01"] * (n // 2)).str.to_datetime(),
            "orders_91d": orders,
            "days_since_view": pl.Series(days).set(pl.Series(days > 40), None),
            "bought": rng.random(n) < 1 / (1 + np.exp(1 - orders + days / 20)),
            "duration_days": np.ceil(np.minimum(wait, 40)),
            "repurchased": wait < 40,
        }
    )


def test_the_reasons_of_fitted_models_say_nothing_causal():
    table = shop()
    names = ["orders_91d", "days_since_view"]
    chance = fit_propensity(table, "bought", features=names, split_at="2025-01-15", rng=1, replicates=40, rounds=20)
    hazard = fit_hazard(table, features=names, period_days=10, periods=3, rng=1, rounds=20)
    told = [reasons(shap_values(chance, table, rows=40, rng=1))]
    told += [reasons(explain_survival(hazard, table, rows=20, rng=1))]
    told += [reasons(explain_survival(hazard, table, rows=10, rng=1, scale="log survival", signals={}, background=5))]
    for one in told:
        assert not CAUSAL.search(repr(one))
        assert "The model, not the cause." in one._repr_html_()
        assert one.table["sentence"].str.contains(r"^[A-Z].*\. (Forecast|Direction) .*\.$").all()


def test_the_number_in_brackets_says_what_it_is_a_factor_of():
    told = reasons(replace(KNOWN, scale="log survival"), 1, rows=[0, 1])
    for shown in (repr(told), told._repr_html_().replace("&nbsp;", " ")):
        assert "Forecast of a return lower. (chance not to be back × 2.01)" in shown
    assert "beside the model's average answer, not the typical customer's" in told.note
    assert repr(reasons(KNOWN, 1, rows=0)).startswith("Reasons of 1 row. ")


def test_one_row_alone_is_typical_of_nobody():
    alone = explained({"orders_28d": [3]}, {"orders_28d": [0.5]})
    with pytest.raises(ValueError, match=r"one row was explained, .* pass a reference= of other customers"):
        reasons(alone)
    assert "; a typical customer once." in reasons(alone, reference=pl.DataFrame({"orders_28d": [1]})).of(0)[0]


@pytest.mark.parametrize("column", [pl.lit("a few"), pl.lit("2025-01-01").str.to_date(), pl.lit([1.0])])
def test_a_reference_holds_each_feature_in_the_models_kind(column):
    frame = pl.DataFrame(VALUES).with_columns(spend_91d=column)
    with pytest.raises(ContractError, match=r"reference has 'spend_91d' as .*, but the model reads it as a number"):
        reasons(KNOWN, reference=frame)
    with pytest.raises(ContractError, match=r"reference has 'tier' as Int32, but the model reads it as text"):
        reasons(KNOWN, reference=pl.DataFrame(VALUES).with_columns(tier=1))
    assert reasons(KNOWN, 5, reference=pl.DataFrame(VALUES).with_columns(days_since_watch=None))
    with pytest.raises(ValueError, match="reference has 0 rows; pass a reference= of other customers"):
        reasons(KNOWN, reference=pl.DataFrame(VALUES).clear())


@pytest.mark.parametrize("rows", [1.0, [0.0], [[0]], slice(0, 2)])
def test_rows_are_whole_numbers(rows):
    with pytest.raises(ValueError, match=r"rows has .*, not explained; rows explained: 0, 1, 2, 3"):
        reasons(KNOWN, rows=rows)


def test_a_name_may_be_a_number():
    assert "\n1057\n" in repr(reasons(KNOWN, 1, rows={0: 1057}))


@pytest.mark.parametrize("row", ["0", None, float("nan"), [0], 9])
def test_a_row_that_is_none_is_refused_by_name(row):
    with pytest.raises(ValueError, match=r"row is .*; it must be one of 0, 1, 2, 3"):
        reasons(KNOWN, 1).of(row)
    with pytest.raises(ValueError, match=r"row is .*; it must be one of 0, 1, 2, 3"):
        KNOWN.steps(row)


@pytest.mark.parametrize("most", ["1", None, float("nan"), 1.5, 0])
def test_most_is_a_whole_number(most):
    with pytest.raises(ValueError, match=r"most is .*; it must be a whole number >= 1"):
        KNOWN.steps(0, most=most)


def test_groups_and_periods_that_are_none_are_refused_by_name():
    weekly = explained(VALUES, PARTS, categories=["tier"], scale="logit hazard", periods=(1, 2))
    for wrong in (1, None, float("nan"), ["all"]):
        with pytest.raises(ValueError, match=r"group is .*; it must be one of 'all'"):
            KNOWN.only(wrong)
    for wrong in ("1", None, float("nan"), [1], 3):
        with pytest.raises(ValueError, match=r"period is .*; it must be one of 1, 2"):
            weekly.at(wrong)


def test_labels_that_would_merge_features_are_refused():
    for labels in ({"orders_28d": "x", "spend_91d": "x"}, {"orders_28d": "spend_91d"}):
        with pytest.raises(ValueError, match=r"labels give .*'spend_91d' one name, .*; to add up, use .by_signal"):
            KNOWN.renamed(labels)
    swapped = KNOWN.renamed({"orders_28d": "spend_91d", "spend_91d": "orders_28d"}).importance()
    assert len(swapped) == len(KNOWN.importance())


@pytest.mark.parametrize("given", [dictionary(["x"]), "x", [1], 5, [("a", "b")]])
def test_a_dictionary_stands_for_neither_labels_nor_signals(given):
    with pytest.raises(TypeError, match=r"labels is a .*; it must map feature -> label, as `Dictionary.labels` does"):
        KNOWN.renamed(given)
    for call in (KNOWN.by_signal, lambda signals: signals_of(["x_28d"], signals)):
        with pytest.raises(TypeError, match=r"signals is a .*; it must map feature -> signal, as `Dictionary.signals`"):
            call(given)


def test_labels_and_signals_are_text_and_features_too():
    with pytest.raises(TypeError, match=r"signals has \{'orders_28d': 1\}; a signal must be text"):
        KNOWN.by_signal({"orders_28d": 1})
    with pytest.raises(TypeError, match=r"labels has \{'orders_28d': None\}; a label must be text"):
        KNOWN.renamed({"orders_28d": None})
    with pytest.raises(TypeError, match="features is 5; it must be text"):
        signals_of(5)
    assert signals_of("x_28d") == {"x_28d": "x"}


def test_what_hardly_moves_a_forecast_is_no_reason():
    table = KNOWN.table.with_columns(
        contribution=pl.when(pl.col("feature") == pl.col("feature").first()).then(1.0).otherwise(0.01)
    )
    lines = reasons(replace(KNOWN, table=table), 5, rows=0).of(0)
    assert len(lines) == 2
    assert lines[1].startswith("And ")
