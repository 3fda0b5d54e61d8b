"""What was planted is laid beside what a model leans on; the sentence is right where it finds and where it fails."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import NullImportance, compare_with_truth, null_importance
from shoptoolkit.features import FeatureSpec, as_of_features
from shoptoolkit.simulate import Shoppers, shop

PLANTED = pl.DataFrame(
    [
        ("orders", "driver", "they order at a rate of their own"),
        ("watching", "driver", "it raises the rate"),
        ("spend", "proxy", "it adds up over orders"),
        ("ads", "none", "clicks are drawn at random"),
        ("refunds", "none", "they are drawn at random"),
        ("never seen", "driver", "nobody looked"),
    ],
    schema=["signal", "role", "because"],
    orient="row",
)


def found(**sizes):
    """A null importance whose bound is 1 for every signal; ads go with orders, spend with watching."""
    names = list(sizes)
    table = pl.DataFrame({"signal": names, "mean_size": [float(size) for size in sizes.values()]}).with_columns(
        share=pl.col("mean_size") / pl.col("mean_size").sum(),
        rank=pl.col("mean_size").rank("average", descending=True),
        null_mean=pl.lit(0.5),
        null_high=pl.lit(1.0),
        p_value=pl.when(pl.col("mean_size") > 1).then(0.01).otherwise(0.6),
        is_above=pl.col("mean_size") > 1,
        n=pl.lit(100),
    )
    near = {("ads", "orders"): 0.8, ("spend", "watching"): 0.7, ("ads", "refunds"): 0.9}
    pairs = [(a, b, near.get((a, b), 0.05)) for a in names for b in names if a != b]
    return NullImportance(
        table=table.sort("mean_size", descending=True),
        draws=pl.DataFrame(),
        together=pl.DataFrame(pairs, schema=["signal", "other", "correlation"], orient="row"),
        level=0.95,
        replicates=30,
        n_customers=50,
        scale="margin",
    )


def verdicts(told):
    return dict(told.table.select("signal", "verdict").rows())


def test_all_found_and_nothing_else_credited():
    told = compare_with_truth(found(orders=9, watching=5, spend=2, ads=0.5, refunds=0.4), PLANTED)
    assert told.sentence == (
        "2 of 2 planted drivers rank before all that was not planted; 2 of 2 signals that were not planted get nothing"
    )
    assert verdicts(told) == {
        "orders": "found",
        "watching": "found",
        "spend": "credited, as a trace; goes with watching",
        "ads": "nothing, as planted",
        "refunds": "nothing, as planted",
    }
    assert (told.n_drivers, told.n_first, told.n_nothing, told.n_silent) == (2, 2, 2, 2)
    assert told.table.columns == [
        "signal", "role", "because", "rank", "mean_size", "share", "null_high", "p_value", "is_above", "n", "verdict",
    ]  # fmt: skip
    assert told.table["because"][0] == "they order at a rate of their own"


def test_a_driver_that_is_missed_is_named():
    told = compare_with_truth(found(orders=9, watching=0.9, ads=0.5, refunds=0.4), PLANTED)
    assert told.sentence == (
        "1 of 2 planted drivers rank before all that was not planted; "
        "2 of 2 signals that were not planted get nothing; missed: watching"
    )
    assert verdicts(told)["watching"] == "missed: not above its null"


def test_a_driver_behind_what_was_not_planted_does_not_count_as_first():
    told = compare_with_truth(found(ads=9, orders=5, watching=4, refunds=0.1), PLANTED)
    assert (told.n_first, told.n_silent) == (0, 1)
    assert verdicts(told)["orders"] == "found"
    assert verdicts(told)["ads"] == "credited though not planted; goes with orders"


def test_without_non_drivers_the_sentence_speaks_of_drivers_alone():
    assert compare_with_truth(found(orders=9, spend=2), PLANTED).sentence == (
        "1 of 1 planted drivers are above their null"
    )
    alone = compare_with_truth(found(ads=9), PLANTED)
    assert alone.sentence == "0 of 1 signals that were not planted get nothing"
    assert verdicts(alone) == {"ads": "credited though not planted; goes with no driver"}
    apart = compare_with_truth(found(orders=9, refunds=5), PLANTED)
    assert verdicts(apart)["refunds"] == "credited though not planted; goes with no driver"


def test_where_nothing_was_planted_or_known_to_be_none_the_sentence_says_so():
    only = compare_with_truth(found(spend=2), PLANTED)
    assert only.sentence == "no signal here was planted, or is known to be none: there are only traces"


def test_other_names_are_mapped_and_unknown_signals_stay():
    told = compare_with_truth(found(purchases=9, weather=3), PLANTED, signals={"purchases": "orders"})
    assert verdicts(told) == {"purchases": "found", "weather": "not known to the truth"}
    assert told.table["role"].to_list() == ["driver", None]


def test_two_names_may_share_a_role():
    told = compare_with_truth(found(a=9, b=3), PLANTED, signals={"a": "orders", "b": "orders"})
    assert (told.n_drivers, told.n_first) == (2, 2)


def test_it_is_shown_in_words():
    told = compare_with_truth(found(orders=9, ads=0.5), PLANTED)
    assert repr(told).startswith("Comparison: 1 of 1 planted drivers")
    html = told._repr_html_()
    assert "Planted, and found?" in html
    assert "nothing, as planted" in html


@pytest.mark.parametrize(
    ("drivers", "error", "told"),
    [
        (PLANTED.drop("role"), ContractError, "of drivers, 'role' missing. It has: signal, because"),
        (
            PLANTED.with_columns(role=pl.lit("yes")),
            ContractError,
            "role is 'yes'; it must be one of driver, proxy, none",
        ),
        (pl.concat([PLANTED, PLANTED]), ContractError, "drivers names 'orders' twice"),
        (
            PLANTED.filter(pl.col("signal") == "refunds"),
            ValueError,
            "no signal is known to drivers: 'orders'. They know",
        ),
    ],
)
def test_a_truth_that_cannot_be_laid_beside_is_refused(drivers, error, told):
    with pytest.raises(error, match=told):
        compare_with_truth(found(orders=9), drivers)


SIGNALS = {f"purchases_{days}d": "how often they came" for days in (28, 364)}
SIGNALS |= {f"{name}_{days}d": "watching" for name in ("watches", "watch_seconds") for days in (28, 364)}
SIGNALS |= {"refunds_28d": "refunds", "refunds_364d": "refunds", "days_since_purchase": "how lately they came"}
SIGNALS |= {"days_since_watch": "watching", "days_since_refund": "refunds", "luck": "random numbers"}


def asked(world, n=1_200):
    """Customers of the first days, asked twice, and whether they order within 45 days."""
    start = world.events["at"].min().replace(hour=0, minute=0, second=0)
    paid = world.events.filter(pl.col("event") == "purchase")
    early = paid.group_by("customer_id").agg(pl.col("at").min()).filter(pl.col("at") < start + timedelta(days=60))
    days = pl.DataFrame({"as_of": [start + timedelta(days=day) for day in (90, 135)]})
    requests = early.sort("customer_id").head(n).select("customer_id").join(days, how="cross")
    luck = pl.Series(np.random.default_rng(0).normal(size=len(requests)))
    spec = FeatureSpec(
        windows_days=(28, 364), kinds=("purchase", "watch", "refund"), sums=("watch_seconds",), distinct=(), sources=(),
        rhythm=False,
    )  # fmt: skip
    later = requests.join(paid.select("customer_id", "at"), on="customer_id").filter(
        (pl.col("at") - pl.col("as_of")).is_between(timedelta(0), timedelta(days=45))
    )
    bought = later.select("customer_id", "as_of").unique().with_columns(bought=True)
    told = as_of_features(world.events, requests, spec=spec).with_columns(luck=luck)
    return told.join(bought, on=["customer_id", "as_of"], how="left").with_columns(pl.col("bought").fill_null(False))


def compared(**shoppers):
    world = shop(n_customers=3_600, days=185, rng=5, shoppers=Shoppers(dropout=(0.6, 3.0), **shoppers))
    frame = asked(world)
    split = frame["as_of"].max()
    options = {"split_at": split, "rng": 1, "rounds": 40, "depth": 2, "learning_rate": 0.2, "replicates": 40}
    nulls = null_importance(
        lambda drawn: fit_propensity(drawn, "bought", **options),
        frame, replicates=19, rng=1, signals=SIGNALS, rows=500,
    )  # fmt: skip
    return compare_with_truth(nulls, world.truth.drivers)


def test_the_simulated_shop_gives_its_drivers_back():
    told = compared(watch_effect=1.0, lapsed_activity=0.0)
    assert {"how often they came", "how lately they came", "watching"} == set(
        told.table.filter(pl.col("verdict") == "found")["signal"]
    )
    assert told.n_first == told.n_drivers == 3
    assert verdicts(told)["random numbers"] == "nothing, as planted"


def test_watching_that_does_nothing_gets_nothing():
    told = compared(watch_effect=0.0, lapsed_activity=1.0)
    assert told.n_drivers == 2
    assert verdicts(told)["watching"] == "nothing, as planted"
