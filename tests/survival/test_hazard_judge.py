"""A hazard is judged on spells it has not seen, by segment, and those lost from sight bend nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError, Estimates, check
from shoptoolkit.survival import brier, concordance, fit_hazard, kaplan_meier
from shoptoolkit.survival.hazard.judge import facts, judge
from tests.conftest import WORLDS

DAILY = np.array([0.01, 0.03])  # chance of each day, by kind of customer
METRICS = ["uno_concordance", "brier", "observed_less_predicted", "calibration_slope"]


def world(n=3_000, seed=0, *, each=1, longest=91):
    """Waits without memory of two kinds of customers, watched for 10 to 90 days; kinds mix within a customer."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, n)
    came, limit = rng.geometric(DAILY[x]), rng.integers(10, longest, n)
    days = {"duration_days": np.minimum(came, limit).astype(float), "repurchased": came <= limit}
    return pl.DataFrame(
        {"customer_id": np.arange(n) // each, **days, "x": x, "town": rng.choice(["north", "south"], n)}
    )


WORLD, NEW = world(), world(seed=5)
FIT = fit_hazard(WORLD, rng=1, rounds=40, nthread=1, features=["x"])
TOLD = FIT.judge(NEW, by="town", horizon_days=28)


def rows_of(group, told=TOLD):
    return {row["metric"]: row for row in told.table.filter(pl.col("group") == group).to_dicts()}


def spells(part):
    chance = FIT.predict_survival(part, days=28)
    return part.with_columns(risk=1 - chance["survival"]), chance


def test_all_spells_come_first_then_each_segment_with_the_same_measures():
    assert check(TOLD.table, Estimates).quarantined.is_empty()
    assert TOLD.table["group"].unique(maintain_order=True).to_list() == ["all", "town = north", "town = south"]
    assert TOLD.table["metric"].to_list() == METRICS * 3
    assert TOLD.table["horizon_days"].unique().to_list() == [28.0]


@pytest.mark.parametrize("town", [None, "north"])
def test_the_measures_are_those_of_survival_on_the_spells_of_the_segment(town):
    part, chance = spells(NEW if town is None else NEW.filter(town=town))
    ours = rows_of("all" if town is None else f"town = {town}")
    theirs = [concordance(part, score="risk", kind="uno", horizon_days=28), brier(part, chance, days=28)]
    for metric, one in zip(METRICS[:2], theirs, strict=True):
        assert [ours[metric][name] for name in ("estimate", "low", "high", "n")] == pytest.approx(
            [one.table[name][0] for name in ("estimate", "low", "high", "n")], rel=1e-9
        )


def test_what_came_true_is_told_of_those_who_come_back_in_percentage_points():
    told = rows_of("all")["observed_less_predicted"]
    seen = kaplan_meier(NEW).at(28.0)["survival"][0]
    expected = FIT.predict_survival(NEW, days=28)["survival"].mean()
    assert told["estimate"] == pytest.approx(100 * (expected - seen), abs=0.1)
    assert told["measure"] == "percentage points"
    assert told["low"] < told["estimate"] < told["high"]
    assert told["high"] - told["estimate"] == pytest.approx(1.96 * told["standard_error"], rel=1e-3)


@dataclass(frozen=True)
class Known:
    """The true survival of these worlds."""

    id: str = "customer_id"
    time: str = "started_at"
    causes: tuple[str, ...] = ("repurchased",)
    period_days: float = 7.0
    periods: int = 12

    def predict_survival(self, frame, *, days):
        survival = (1 - DAILY[frame["x"].to_numpy()]) ** days
        return frame.select("customer_id", duration_days=pl.lit(float(days)), survival=survival)


def known(frame, **options):
    names = {"duration": "duration_days", "repurchased": "repurchased", "cause": "cause"}
    return judge(Known(), frame, **{"by": None, "level": 0.9, "horizon_days": 28.0, **names, **options})


@pytest.mark.certify
def test_true_forecasts_are_found_true_as_often_as_said(certify):
    def hits(seed):
        rows = rows_of("all", known(world(n=240, seed=seed, each=3)))
        return [rows[one]["low"] <= true <= rows[one]["high"] for one, true in zip(METRICS[2:], (0, 1), strict=True)]

    certify(hits, level=0.9, worlds=WORLDS // 2)


def test_spells_of_one_customer_count_as_one_when_errors_are_told():
    twice = pl.concat([NEW, NEW])
    once, both = rows_of("all", known(NEW)), rows_of("all", known(twice))
    assert both["brier"]["n"] == 2 * len(NEW)
    for metric in METRICS[1:]:
        assert both[metric]["estimate"] == pytest.approx(once[metric]["estimate"], rel=1e-6)
        assert both[metric]["standard_error"] == pytest.approx(once[metric]["standard_error"], rel=0.01)


def test_the_day_is_the_last_end_of_a_period_until_which_half_of_the_customers_are_watched():
    def day(frame):
        return FIT.judge(frame).table["horizon_days"][0]

    assert day(NEW) == 49  # watched for 10 to 90 days: half of them for 50 or more
    assert day(NEW.filter("repurchased")) == FIT.periods * FIT.period_days
    watched = NEW.with_columns(repurchased=pl.col("repurchased") & (pl.col("duration_days") <= 28))
    assert day(watched.with_columns(pl.col("duration_days").clip(upper_bound=28))) <= 28


def test_any_cause_ends_the_wait():
    cause = pl.when(pl.col("repurchased")).then(
        pl.when(pl.col("x") == 1).then(pl.lit("order")).otherwise(pl.lit("leave"))
    )
    rivals = WORLD.with_columns(cause=cause, repurchased=pl.col("repurchased") & (pl.col("x") == 1))
    both = fit_hazard(rivals, rng=1, rounds=60, nthread=1, features=["x"])
    new = NEW.with_columns(cause=cause, repurchased=pl.col("repurchased") & (pl.col("x") == 1))
    told = rows_of("all", both.judge(new, horizon_days=28))
    assert abs(told["observed_less_predicted"]["estimate"]) < 4
    assert told["uno_concordance"]["low"] > 0.6
    with pytest.raises(ContractError, match="'cause' missing"):
        both.judge(new.drop("cause"))


def test_a_segment_that_is_too_small_is_refused_with_the_reason():
    few = NEW.with_columns(place=pl.when(pl.col("customer_id") < 15).then(pl.lit("islet")))
    told = rows_of("place = islet", FIT.judge(few, by="place", horizon_days=28))
    assert {row["verdict"] for row in told.values()} == {"refused"}
    assert told["brier"]["reason"].startswith("customers: 15, needed: 20; known to be back by day 28: ")
    never = FIT.judge(NEW.with_columns(repurchased=False), horizon_days=28)
    assert "known to be back by day 28: 0, needed: 10" in never.table["reason"][0]


def test_the_facts_tell_who_was_lost_from_sight_and_how_far_was_learnt():
    told = {(section, item): text for section, item, text in FIT.facts(WORLD, NEW)}
    lost = 1 - WORLD["repurchased"].mean()
    assert told["censoring", "training"].startswith(
        f"{100 * lost:.1f} % of the spells were still open when last seen; waits"
    )
    assert told["limits", "horizon"] == "12 periods of 7 days; nothing is said beyond day 84"
    assert told["model", "ends a wait"] == "repurchased"
    thinned = fit_hazard(WORLD, rng=1, rounds=5, nthread=1, features=["x"], thin=0.5)
    assert ("limits", "thinning", "50 % of the person-periods without an end were learnt from") in thinned.facts(
        WORLD, NEW
    )


def test_the_facts_say_where_they_cannot_tell_who_was_lost_and_that_any_cause_ends_a_wait():
    told = {(section, item): text for section, item, text in FIT.facts(WORLD, NEW.rename({"repurchased": "back"}))}
    assert told["censoring", "test"] == "not told: the frame has no column repurchased"
    refunds = NEW.with_columns(repurchased=False, cause=pl.when("repurchased").then(pl.lit("refund")))
    told = dict(one[1:] for one in facts(replace(FIT, causes=("order", "refund")), refunds, refunds))
    assert told["training"].startswith(f"{100 * (1 - NEW['repurchased'].mean()):.1f} % of the spells were still open")


def test_an_ending_in_ones_and_zeros_is_read_like_a_flag():
    ones = FIT.judge(NEW.with_columns(pl.col("repurchased").cast(pl.Int8)), horizon_days=28)
    assert ones.table["estimate"].to_list() == TOLD.table["estimate"].to_list()[:4]


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        (NEW.with_columns(repurchased=pl.lit("yes")), {}, ContractError, "'repurchased' is String, must be Boolean"),
        (NEW.drop("repurchased"), {}, ContractError, "judge: 'repurchased' missing"),
        (NEW.clear(), {}, ContractError, "0 rows"),
        (NEW, {"by": "shop"}, ContractError, "by is 'shop', which is missing"),
        (NEW.with_columns(entry_days=pl.lit(0.5)), {"horizon_days": 28}, ContractError, "enter late"),
        (NEW, {"horizon_days": 200}, ValueError, "all beyond the 84 days"),
        (NEW, {"horizon_days": 0}, ValueError, "horizon_days is 0"),
        (NEW, {"level": 95}, ValueError, "level is 95"),
    ],
)
def test_what_cannot_be_judged_is_told_so(frame, options, error, message):
    with pytest.raises(error, match=message):
        FIT.judge(frame, **options)
