"""Whether the judge of estimators finds the bad one and lets the good one pass."""

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row
from shoptoolkit.incrementality import certify_coverage, lift

RNG = np.random.default_rng(1)
TOLD = {"estimand": "per assigned customer", "metric": "orders", "measure": "orders", "method": "Welch", "n": 500}
WORDS = EstimateTable.from_rows(
    [estimate_row(estimate=0.0, standard_error=1.0, level=0.95, question="?", group="all", **TOLD)]
).table
SHOP = pl.DataFrame(
    {
        "customer_id": np.arange(600),
        "arm": ["none"] * 500 + ["ad"] * 100,
        "orders": RNG.poisson(1.5 * RNG.gamma(2, 0.5, 600)),
    }
)


def right(frame, **options):
    """Welch's interval by hand, which is quick."""
    arms = [frame.filter(arm=arm)["orders"].to_numpy() for arm in ("treatment", "none")]
    far, parts = arms[0].mean() - arms[1].mean(), np.array([one.var(ddof=1) / len(one) for one in arms])
    error = np.sqrt(parts.sum())
    reach = 1.96 * error
    answer = {"estimate": far, "standard_error": error, "low": far - reach, "high": far + reach}
    return EstimateTable(table=WORDS.with_columns(pl.lit(one).alias(name) for name, one in answer.items()))


def scaled(factor, shift=0.0):
    """An estimator whose intervals are too narrow or too wide, or off."""

    def estimator(frame):
        middle = pl.col("estimate") + shift
        bounds = {name: middle + factor * (pl.col(name) - pl.col("estimate")) for name in ("low", "high")}
        return EstimateTable(table=right(frame).table.with_columns(estimate=middle, **bounds))

    return estimator


def told(estimator=right, frame=SHOP, **options):
    options = {"control": "none", "metric": "orders", "effect": 0.4, "worlds": 100, "rng": 1} | options
    return {row["metric"]: row for row in certify_coverage(estimator, frame, **options).table.to_dicts()}


def test_a_right_estimator_passes():
    rows = told(worlds=150)
    assert list(rows) == ["cover", "size", "power", "bias"]
    assert [row["reason"] for row in rows.values()] == [None] * 4
    assert [row["truth"] for row in rows.values()] == pytest.approx([0.95, 0.05, None, 0.0])
    assert rows["cover"]["low"] < 0.95 < rows["cover"]["high"]
    assert rows["power"]["estimate"] > 0.8
    assert rows["bias"]["measure"] == "orders"
    assert {row["n"] for row in rows.values()} == {150}


def test_intervals_that_are_too_narrow_are_caught():
    rows = told(scaled(0.5))
    assert rows["cover"]["reason"].startswith("red: cover is 0.")
    assert rows["size"]["reason"].startswith("red: size is 0.")
    assert rows["bias"]["reason"] is None


def test_intervals_that_are_too_wide_are_amber():
    rows = told(scaled(3), worlds=180)
    assert rows["cover"]["reason"].startswith("amber: intervals are too wide, as cover is 1 where it should be 0.95")


def test_an_estimator_that_is_off_is_caught():
    assert told(scaled(1, shift=0.1))["bias"]["reason"].startswith("red: bias is 0.")


@pytest.mark.parametrize("draw", ["split", "resample"])
def test_the_truth_of_a_relative_effect_is_its_mean_over_the_customers_of_control(draw):
    mean = SHOP.filter(arm="none")["orders"].mean()
    options = {"relative": True, "effect": 0.3, "draw": draw, "treated_share": 0.3}
    seen = []
    rows = told(lambda frame: (seen.append(frame), right(frame))[1], **options)
    assert [row["reason"] for row in rows.values()] == [None] * 4
    options |= {"worlds": 60}
    off = told(lambda frame: lift(frame, control="none", metrics="orders"), estimand="relative to control", **options)
    assert [row["reason"] for row in off.values()][:3] == [None] * 3
    world, without = seen[0], seen[1]
    assert world.filter(arm="treatment")["orders"].sum() == pytest.approx(
        1.3 * without.filter(arm="treatment")["orders"].sum()
    )
    assert (world["arm"] == "treatment").sum() == 150
    assert world["customer_id"].n_unique() == 500
    assert ("very customers" in rows["cover"]["estimand"]) == (draw == "split")
    biases = np.mean([right(one).table["estimate"][0] for one in seen[::2]]) - 0.3 * mean
    assert rows["bias"]["estimate"] == pytest.approx(biases)


def test_one_seed_gives_one_answer_whatever_the_order_of_the_rows():
    assert told(worlds=60) == told(worlds=60, frame=SHOP.sample(fraction=1, shuffle=True, seed=3))


def test_an_estimator_that_mostly_refuses_is_refused():
    words = {"question": "?", "estimand": "per assigned customer", "metric": "orders", "group": "all", "method": "?"}
    none = EstimateTable.from_rows([refused_row(reason="no", level=0.95, n=1, **words)])
    turns = iter(range(10_000))
    rows = told(lambda frame: right(frame) if next(turns) % 8 < 2 else none, worlds=200)
    assert {row["reason"] for row in rows.values()} == {
        "The estimator gave an answer in 50 of 200 worlds; it takes 50, and half of them."
    }
    turns = iter(range(10_000))
    rows = told(lambda frame: right(frame) if next(turns) % 8 > 1 else none, worlds=200)
    assert rows["cover"]["reason"] == "It refused in 50 of 200 worlds, which are left out."
    assert told(worlds=20)["cover"]["verdict"] == "refused"


def test_what_the_estimator_raises_comes_with_the_number_of_the_world():
    turns = iter(range(100))

    def estimator(frame):
        if next(turns) == 6:
            raise ZeroDivisionError("float division by zero")
        return right(frame)

    with pytest.raises(ZeroDivisionError) as found:
        told(estimator)
    assert found.value.__notes__ == ["certify_coverage: in world 3 of 100 (the first is 0)"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"effect": 0}, ValueError, "effect is 0; it must be a number other than 0"),
        ({"effect": float("inf")}, ValueError, "effect is inf"),
        ({"effect": "0.4"}, ValueError, "effect is '0.4'"),
        ({"treated_share": "half"}, ValueError, "treated_share is 'half'"),
        ({"control": 3}, ValueError, "control is 3, an arm of 0 customers"),
        ({"treated_share": 1}, ValueError, "treated_share is 1; it must lie between 0 and 1"),
        ({"worlds": 0}, ValueError, "worlds is 0; it must be a whole number >= 1"),
        ({"draw": "bootstrap"}, ValueError, "draw is 'bootstrap'; it must be one of 'split', 'resample'"),
        ({"level": 95}, ValueError, "level is 95"),
        ({"control": "holdout"}, ValueError, "control is 'holdout', an arm of 0 customers"),
        ({"metric": "visits"}, ContractError, "'visits' missing"),
        (
            {"estimand": "per exposed customer"},
            ValueError,
            "estimator gave 0 rows of metric 'orders' and estimand 'per",
        ),
        ({"estimator": lambda frame: frame}, TypeError, "estimator gave DataFrame; it must give an EstimateTable"),
        (
            {"frame": SHOP.with_columns(orders=0), "relative": True},
            ValueError,
            "mean in control is 0; nothing is relat",
        ),
    ],
)
def test_what_cannot_be_asked_says_how_to_mend_it(change, error, words):
    with pytest.raises(error, match=words):
        told(**change)
