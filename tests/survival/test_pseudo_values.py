"""Days until the next order as one number per customer: what it stands for, and what it must not be asked."""

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import pseudo_values, restricted_mean


def spells(n=60, seed=0):
    rng = np.random.default_rng(seed)
    until, watched = rng.exponential(40, n), rng.uniform(20, 80, n)
    return pl.DataFrame(
        {
            "customer_id": rng.permutation(n),
            "duration_days": np.ceil(np.minimum(until, watched)),
            "repurchased": until <= watched,
            "arm": rng.choice(["ads", "none"], n),
        }
    )


def days(frame, **options):
    return pseudo_values(frame, **{"horizon_days": 45} | options)["days_to_next_order"].to_numpy()


def test_their_mean_is_the_restricted_mean_of_each_group():
    frame = spells()
    means = dict(restricted_mean(frame, horizon_days=45, by="arm").table.select("group", "estimate").rows())
    told = frame.with_columns(days=pl.Series(days(frame, by="arm"))).group_by("arm").agg(pl.mean("days"))
    assert dict(told.rows()) == pytest.approx(means, rel=1e-12)


def test_they_are_those_of_leaving_each_customer_out_to_first_order():
    frame = spells(n=400)
    whole = restricted_mean(frame, horizon_days=45).table["estimate"][0]
    few = range(0, 400, 20)
    left_out = [
        400 * whole
        - 399 * restricted_mean(frame.filter(pl.int_range(pl.len()) != i), horizon_days=45).table["estimate"][0]
        for i in few
    ]
    assert days(frame)[few] == pytest.approx(left_out, abs=0.5)


def test_where_everybody_is_watched_to_the_horizon_they_are_the_days_themselves():
    frame = spells().with_columns(duration_days=pl.col("duration_days") + 45, repurchased=True).head(20)
    frame = pl.concat(
        [frame, spells().head(20).with_columns(customer_id=pl.col("customer_id") + 100, repurchased=True)]
    )
    assert days(frame) == pytest.approx(frame["duration_days"].clip(0, 45).to_numpy())


def test_the_order_of_spells_is_kept_and_decides_nothing():
    frame = spells()
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    told = pseudo_values(shuffled, horizon_days=45, by="arm")
    assert told["customer_id"].equals(shuffled["customer_id"])
    again = pseudo_values(frame, horizon_days=45, by="arm").join(told, on="customer_id")
    assert again["days_to_next_order"].to_numpy() == pytest.approx(again["days_to_next_order_right"].to_numpy())


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"horizon_days": 400}, "group 'all': follow-up ends on day .*; take horizon_days <="),
        ({"customer_id": 1}, {}, "'customer_id' repeats; take one index spell each"),
        ({"weight": 2}, {}, "a weight column do not go together"),
        ({}, {"id": "who"}, "no column 'who'"),
        ({}, {"horizon_days": "45"}, "horizon_days is '45'"),
    ],
)
def test_what_cannot_be_told_is_named(change, options, message):
    frame = spells().with_columns(**{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises((ValueError, ContractError), match=message):
        days(frame, **options)
