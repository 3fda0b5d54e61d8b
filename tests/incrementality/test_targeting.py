"""What targeting is worth at a budget: the definition, its errors, and what is refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import targeting_curve
from tests.conftest import WORLDS


def scored(n=1_000, *, seed=1, rounded=6, gain=0.1, slope=0.3):
    """Customers whose effect is gain + slope x score, and costs of their own."""
    random = np.random.default_rng(seed)
    score = random.normal(size=n).round(rounded)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "effect": score,
            "pseudo": gain + slope * score + random.normal(size=n),
            "cost": 0.2 * np.exp(random.normal(size=n) / 2),
        }
    )


def rows(curve, word):
    return curve.estimates.table.filter(pl.col("estimand").str.contains(word))


@pytest.mark.parametrize("cost", ["cost", 0.25])
@given(seed=st.integers(0, 10**6), share=st.floats(0.3, 0.9), value=st.floats(0.1, 10), rounded=st.sampled_from([0, 6]))
@settings(max_examples=10)
def test_value_is_that_of_reaching_the_best_until_the_budget_is_spent(cost, seed, share, value, rounded):
    frame = scored(seed=seed, rounded=rounded)
    score, worth = frame["effect"].to_numpy(), value * frame["pseudo"].to_numpy()
    spend = frame["cost"].to_numpy() if cost == "cost" else np.full(len(frame), cost)
    budget, priority = share * spend.mean(), score / spend
    part, left = np.zeros(len(frame)), budget * len(frame)
    for level in np.unique(priority)[::-1]:
        tie = priority == level
        part[tie] = min(1.0, left / spend[tie].sum())
        left -= min(left, spend[tie].sum())
    told = targeting_curve(frame, cost=cost, value=value, budget=budget, rng=1).estimates.table
    reached, lot = (part * worth).mean(), share * worth.mean()
    expected = [reached, reached - budget - (worth - spend).mean(), reached - lot]
    assert told["estimate"][:3].to_list() == pytest.approx(expected, abs=1e-9)


def test_the_curve_begins_with_nobody_and_ends_with_all():
    frame = scored()
    table = targeting_curve(frame, cost="cost", value=2, rng=1).table
    assert table.row(0)[:4] == (0, 0, 0, 0)
    worth = 2 * frame["pseudo"]
    error = worth.std() / np.sqrt(len(frame))
    assert table.row(-1)[:4] == pytest.approx((1, frame["cost"].mean(), worth.mean(), error))
    np.testing.assert_allclose(table["net"], table["value"] - table["spend"])
    assert table["random"][-1] == pytest.approx(worth.mean())
    inner = table.drop_nulls("low")[1:]
    assert (inner["band_low"] < inner["low"]).all()
    assert (inner["high"] < inner["band_high"]).all()


def test_without_cost_the_curve_goes_by_share_of_customers_and_its_slope_is_the_effect_on_the_next():
    curve = targeting_curve(scored(20_000), rng=1)
    np.testing.assert_allclose(curve.table["share_targeted"], np.linspace(0, 1, 41), atol=1e-4)
    assert (curve.table["spend"] == 0).all()
    middle = curve.table.row(20, named=True)
    assert middle["shadow_low"] < 0.1 < middle["shadow_high"]  # the effect at the median score
    assert curve.budgets == ()
    assert len(curve.estimates.table) == 2


def test_the_shadow_price_is_the_value_of_the_customers_at_the_border():
    frame = scored()
    curve = targeting_curve(frame, cost=0.5, budget=0.2, rng=1)
    ranked = frame.sort("effect", descending=True)["pseudo"].to_numpy()[350:450]  # 40 % +- 5 % of the spend
    price = rows(curve, "shadow").row(0, named=True)
    assert price["estimate"] == pytest.approx(ranked.mean() / 0.5)
    assert price["standard_error"] == pytest.approx(ranked.std() / 0.5 / 10, rel=0.01)


def test_row_order_names_and_currency_change_nothing():
    frame = scored(rounded=1)
    other = frame.sample(fraction=1, shuffle=True, seed=2).with_columns(pl.col("customer_id").cast(pl.String) + "x")
    told = targeting_curve(frame, cost="cost", budget=0.1, rng=1)
    pence = targeting_curve(other.with_columns(pl.col("cost") * 100), cost="cost", value=100, budget=10, rng=1)
    columns = ["estimate", "standard_error", "low", "high"]
    ours, theirs = (one.estimates.table.select(columns).to_numpy() for one in (told, pence))
    scale = np.array([100, 100, 100, 1, 100, 100])[:, None]  # a price is currency for currency
    np.testing.assert_allclose(theirs, ours * scale, rtol=1e-9)
    assert pence.best_share == told.best_share


@pytest.mark.certify
@pytest.mark.parametrize("cost", ["cost", 0.25])
def test_values_prices_and_band_hold(cost, certify):
    truth = targeting_curve(
        scored(400_000, seed=10**6).with_columns(pseudo=0.1 + 0.3 * pl.col("effect")),
        cost=cost,
        budget=(budgets := [0.05, 0.15]),
        rng=1,
    )
    known, line = truth.estimates.table["estimate"][:8], truth.table

    def hits(seed):
        curve = targeting_curve(scored(1_500, seed=seed), cost=cost, budget=budgets, rng=seed)
        told, inner = curve.estimates.table[:8], curve.table.drop_nulls("low")[1:-1]
        at = pl.Series(np.interp(inner["spend"], line["spend"], line["value"]))
        band = at.is_between(inner["band_low"], inner["band_high"]).all()
        return [*known.is_between(told["low"], told["high"]), band]

    certify(hits, level=0.95)


@pytest.mark.certify
def test_the_best_cut_promises_nothing_where_the_ad_does_nothing(certify):
    best = []

    def hits(seed):
        curve = targeting_curve(scored(2_000, seed=seed, gain=0, slope=0), rng=seed)
        nobody, everybody = rows(curve, "best cut").to_dicts()
        best.append(curve.table["value"].max())
        return [row["verdict"] == "refused" or row["low"] <= 0 <= row["high"] for row in (nobody, everybody)]

    certify(hits, level=0.95, worlds=WORLDS // 2)
    assert np.mean(best) > 0.01  # what the top of the curve promises


@pytest.mark.certify
def test_rare_large_outcomes_hold_or_are_refused(certify):
    def hits(seed):
        random = np.random.default_rng(seed)
        score, ad = random.normal(size=12_000), random.random(12_000) < 0.5
        buys = random.random(12_000) < 0.01 + 0.005 * ad
        psi = np.where(ad, 2, -2) * buys * np.exp(random.normal(0, 1, 12_000))
        frame = pl.DataFrame({"customer_id": np.arange(12_000), "effect": score, "pseudo": psi})
        told = targeting_curve(frame, cost=1.0, budget=[0.02, 0.5, 1.0], rng=seed).estimates.table
        known = 0.005 * np.exp(0.5) * np.array([0.02, 0.5, 1.0])
        ours = told.filter(contrast="targeted - nobody").head(3).to_dicts()
        return [one["verdict"] == "refused" or one["low"] <= it <= one["high"] for one, it in zip(ours, known)]

    certify(hits, level=0.95, worlds=WORLDS // 2)


def test_few_customers_or_few_who_spend_are_refused():
    curve = targeting_curve(scored(2_000), cost=1.0, budget=0.02, rng=1)
    assert rows(curve, "budget")["verdict"].to_list() == ["refused"] * 3 + ["ok"]
    assert "those reached vary as little as those of" in curve.estimates.table["reason"][0]
    assert curve.table["low"][1] is None
    few = scored().with_columns(pseudo=pl.when(pl.col("customer_id") < 8).then(100.0).otherwise(0.0))
    table = targeting_curve(few, cost=1.0, budget=0.5, rng=1).estimates.table
    assert table["verdict"].to_list() == ["refused"] * 6
    assert "at the border vary as little" in table["reason"][3]
    assert "who are treated otherwise vary" in table["reason"][4]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"score": "score"}, ContractError, r"'score' missing. It has: customer_id, effect"),
        ({"pseudo": "word"}, ContractError, r"'word' is String; it must be finite numbers"),
        ({"pseudo": "holey"}, ContractError, r"'holey' is Float64; it must be finite numbers"),
        ({"id": "twice"}, ContractError, r"customers have several rows by 'twice'; keep one"),
        ({"cost": "effect"}, ValueError, r"cost is 'effect', with values from -\S+ to \S+; each must be > 0"),
        ({"cost": "free"}, ValueError, r"cost is 'free', with values from 0 to 1; .*a small cost"),
        ({"cost": -1.0}, ValueError, r"cost is -1.0; it must be a number >= 0"),
        ({"budget": 1.0}, ValueError, r"budget is 1.0, and reaching customers costs nothing; give cost"),
        ({"budget": 1.0, "cost": 0.5}, ValueError, r"budget is 1 per customer, and reaching all costs 0.5"),
        ({"budget": [0.1, 0], "cost": 0.5}, ValueError, r"budget is 0.*; it must be a number of currency"),
        ({"budget": "all", "cost": 0.5}, ValueError, r"budget is 'all'"),
        ({"value": 0}, ValueError, r"value is 0; it must be a number of currency > 0"),
        ({"level": 2}, ValueError, r"level is 2"),
    ],
)
def test_what_a_user_would_mistype_is_said(change, error, words):
    first = pl.col("customer_id") == 0
    frame = scored().with_columns(
        word=pl.lit("1"),
        holey=pl.when(~first).then("pseudo"),
        twice=pl.lit(1),
        free=pl.when(first).then(0.0).otherwise(1.0),
    )
    with pytest.raises(error, match=words):
        targeting_curve(frame, **({"rng": 1} | change))


@pytest.mark.parametrize("n", [0, 1])
def test_a_frame_without_two_customers_is_refused(n):
    with pytest.raises(ContractError, match=f"{n} rows; at least two are needed"):
        targeting_curve(scored().head(n), rng=1)
