"""What a fitted hazard missed: minus the log-likelihood of each spell, against a plain loop over its periods."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import fit_hazard

RNG = np.random.default_rng(3)
N = 600
CAME = RNG.exponential(30, N)
SPELLS = pl.DataFrame(
    {
        "customer_id": np.arange(N),
        "duration_days": np.minimum(CAME, RNG.uniform(5, 70, N)),
        "visits": RNG.poisson(3, N),
        "kind": RNG.choice(["a", "b"], N),
    }
).with_columns(repurchased=pl.Series(CAME) <= pl.col("duration_days"))
CAUSES = SPELLS.with_columns(
    cause=pl.when("repurchased").then(
        pl.when(pl.col("customer_id") % 3 == 0).then(pl.lit("refund")).otherwise(pl.lit("order"))
    )
)
HOW = {"rng": 1, "rounds": 15, "period_days": 7.0, "periods": 8}
FIT = fit_hazard(SPELLS, **HOW)
BY_CAUSE = fit_hazard(CAUSES, features=["visits", "kind"], **HOW)


def by_hand(fit, spells, length=7.0):
    """The definition, spell by spell and period by period."""
    hazards = {
        (row["customer_id"], row["period"], row["cause"]): row["hazard"] for row in fit.hazard(spells).to_dicts()
    }
    told = []
    for spell in spells.to_dicts():
        start, end = (spell.get("entry_days") or 0.0) / length, spell["duration_days"] / length
        loss = 0.0
        for period in range(1, fit.periods + 1):
            share = min(end, period) - max(start, period - 1)
            if share <= 0:
                continue
            every = {cause: hazards[spell["customer_id"], period, cause] for cause in fit.causes}
            ended = spell["repurchased"] and period - 1 < end <= period
            if ended:
                loss -= math.log(every[spell.get("cause") or "repurchased"])
            else:
                loss -= share * math.log(1 - sum(every.values()))
        told.append(loss * spell.get("weight", 1))
    return told


def test_each_spell_counts_by_its_periods_the_last_by_its_share():
    np.testing.assert_allclose(FIT.losses(SPELLS), by_hand(FIT, SPELLS), rtol=1e-5)
    assert (SPELLS["duration_days"] > 56).any(), "a wait beyond what was learnt counts as not ended there"


def test_several_causes_count_by_what_ended_the_spell():
    np.testing.assert_allclose(BY_CAUSE.losses(CAUSES), by_hand(BY_CAUSE, CAUSES), rtol=1e-5)


def test_entry_and_weight_count_as_in_training():
    late = SPELLS.with_columns(
        entry_days=pl.Series(RNG.uniform(0, 0.9, N)) * pl.col("duration_days"), weight=pl.Series(RNG.integers(1, 4, N))
    )
    np.testing.assert_allclose(FIT.losses(late), by_hand(FIT, late), rtol=1e-5)
    beyond = SPELLS.head(2).with_columns(entry_days=pl.lit(60.0), duration_days=pl.lit(80.0))
    assert FIT.losses(beyond).tolist() == [0, 0], "nothing is known of periods beyond the last"


def test_it_is_the_loss_that_stops_the_trees():
    """XGBoost's own log-loss on the same person-periods, from the log-odds."""
    rows = []
    for spell in SPELLS.to_dicts():
        end = min(spell["duration_days"] / 7, 8)
        for period in range(1, math.ceil(end) + 1):
            ended = spell["repurchased"] and spell["duration_days"] / 7 <= period
            rows.append(
                {**spell, "period": period, "ended": ended, "share": 1.0 if ended else min(1, end - period + 1)}
            )
    rows = pl.DataFrame(rows)
    margin, sign = FIT.margin(rows), np.where(rows["ended"], -1.0, 1.0)
    total = (rows["share"].to_numpy() * np.logaddexp(0, sign * margin)).sum()
    assert FIT.losses(SPELLS).sum() == pytest.approx(total, rel=1e-5)


def test_a_fit_that_learnt_misses_less_than_one_that_did_not():
    said = SPELLS.with_columns(visits=pl.when("repurchased").then(pl.col("visits") + 4).otherwise("visits"))
    assert fit_hazard(said, **HOW).losses(said).mean() < FIT.losses(SPELLS).mean()


def test_order_is_kept_and_names_are_options():
    order = RNG.permutation(N)
    np.testing.assert_allclose(FIT.losses(SPELLS[order]), FIT.losses(SPELLS)[order], rtol=1e-12)
    named = CAUSES.rename({"duration_days": "days", "repurchased": "came", "cause": "why"})
    np.testing.assert_array_equal(
        BY_CAUSE.losses(named, duration="days", repurchased="came", cause="why"), BY_CAUSE.losses(CAUSES)
    )
    np.testing.assert_array_equal(FIT.losses(CAUSES), FIT.losses(SPELLS))


@pytest.mark.parametrize(
    ("fit", "spells", "told"),
    [
        (FIT, SPELLS.drop("repurchased"), "spells: no column 'repurchased'"),
        (FIT, SPELLS.drop("visits"), "'visits' is missing"),
        (FIT, SPELLS.with_columns(duration_days=pl.lit(None, pl.Float64)), "'duration_days' is null in 600"),
        (BY_CAUSE, SPELLS, "no column 'cause'; the fit tells 'order', 'refund' apart"),
        (
            BY_CAUSE,
            CAUSES.with_columns(cause=pl.col("cause").replace("order", "sale")),
            "the cause 'sale' was not in training",
        ),
        (BY_CAUSE, CAUSES.with_columns(cause=pl.lit(None, pl.String)), "are repurchased, but their cause is null"),
    ],
)
def test_what_is_no_spell_of_the_fit_is_refused(fit, spells, told):
    with pytest.raises(ContractError, match=told):
        fit.losses(spells)
