"""Cumulative incidence against scikit-survival and the definition: shares that add up, ties taken as they are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sksurv.nonparametric import cumulative_incidence_competing_risks

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import aalen_johansen, kaplan_meier

CAUSES = {0: None, 1: "order", 2: "refund"}


def random_spells(seed, n=200, *, late=False):
    rng = np.random.default_rng(seed)
    days, code = np.ceil(rng.gamma(1.3, 12, n)), rng.integers(0, 3, n)
    code[days == days.max()] = 0
    spells = pl.DataFrame({"customer_id": np.arange(n), "duration_days": days, "code": code})
    spells = spells.with_columns(
        repurchased=pl.col("code") > 0,
        cause=pl.col("code").replace_strict(CAUSES, return_dtype=pl.String),
        country=pl.Series(rng.choice(["GB", "JP"], n)),
    )
    entry = np.where(rng.random(n) < 0.4, np.minimum(rng.integers(0, 6, n), days - 0.5), 0)
    return spells.with_columns(entry_days=pl.Series(entry)) if late else spells


def of_cause(incidence, cause):
    return incidence.table.filter((pl.col("cause") == cause) & (pl.col("duration_days") > 0))


@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_incidences_and_intervals_equal_scikit_survival(seed, level):
    """Their `Dinse_Approx` is the delta method."""
    spells = random_spells(seed)
    days, expected, bounds = cumulative_incidence_competing_risks(
        spells["code"].to_numpy(),
        spells["duration_days"].to_numpy(),
        conf_type="log-log",
        conf_level=level,
        var_type="Dinse_Approx",
    )
    for code in (1, 2):
        table = of_cause(aalen_johansen(spells, level=level), CAUSES[code])
        assert table["duration_days"].to_list() == days.tolist()
        np.testing.assert_allclose(table["incidence"], expected[code], atol=1e-12)
        np.testing.assert_allclose(table["incidence_low"], bounds[code][0], atol=1e-12)
        np.testing.assert_allclose(table["incidence_high"], bounds[code][1], atol=1e-12)


def incidence_of(spells, weights, day):
    """The share ended by orders up to a day, by the definition; complex weights give derivatives."""
    entry, end, code = (spells[name].to_numpy() for name in ("entry_days", "duration_days", "code"))
    survival, total = 1.0, 0.0
    for one in np.unique(end[(code > 0) & (end <= day)]):
        n = weights[(entry < one) & (one <= end)].sum()
        total = total + survival * weights[(end == one) & (code == 1)].sum() / n
        survival = survival * (1 - weights[(end == one) & (code > 0)].sum() / n)
    return total


def test_late_entries_and_counts_equal_the_definition():
    spells = random_spells(4, late=True).with_columns(weight=pl.int_range(200) % 3 + 1)
    told = aalen_johansen(spells).at(12).filter(pl.col("cause") == "order")["incidence"].item()
    assert told == pytest.approx(incidence_of(spells, spells["weight"].to_numpy(), 12), abs=1e-12)
    rows = spells.select(pl.all().repeat_by("weight")).explode(pl.all()).drop("weight")
    rows = rows.with_columns(customer_id=pl.int_range(pl.len()))
    assert aalen_johansen(rows).table.equals(aalen_johansen(spells).table)


def test_the_error_is_the_infinitesimal_jackknife_if_all_are_watched_from_day_0():
    spells = random_spells(5, 120).with_columns(entry_days=0.0)
    slopes = [incidence_of(spells, 1 + 1e-30j * row, 15).imag / 1e-30 for row in np.eye(120)]
    told = aalen_johansen(spells).at(15).filter(pl.col("cause") == "order")["standard_error"].item()
    assert told == pytest.approx(np.sqrt(np.sum(np.square(slopes))), abs=1e-12)


@pytest.mark.parametrize("late", [False, True])
def test_all_incidences_and_the_share_not_ended_add_up_to_one(late):
    spells = random_spells(6, late=late)
    ended = aalen_johansen(spells, by="country").table.group_by("group", "duration_days", maintain_order=True)
    left = kaplan_meier(spells, by="country").table
    both = left.join(ended.agg(pl.col("incidence").sum()), on=["group", "duration_days"])
    assert len(both) == len(left)
    np.testing.assert_allclose(both["incidence"] + both["survival"], 1, atol=1e-12)


def test_with_one_cause_it_is_one_minus_the_curve():
    spells = random_spells(7).filter(pl.col("code") < 2)
    curve, incidence = kaplan_meier(spells).table, aalen_johansen(spells).table
    np.testing.assert_allclose(1 - incidence["incidence"], curve["survival"], atol=1e-12)
    np.testing.assert_allclose(incidence["standard_error"], curve["standard_error"], atol=1e-12)


def test_where_everybody_ended_by_one_cause_no_error_is_invented():
    spells = pl.DataFrame(
        {"customer_id": range(9), "duration_days": range(1, 10), "repurchased": True, "cause": "order"}
    )
    last = aalen_johansen(spells).table.row(-1, named=True)
    assert last["incidence"] == pytest.approx(1)
    assert (last["standard_error"], last["incidence_low"]) == (None, None)


def test_repurchased_may_be_true_for_every_cause_or_for_purchases_only():
    spells = random_spells(8)
    orders_only = spells.with_columns(repurchased=pl.col("code") == 1)
    assert aalen_johansen(orders_only).table.equals(aalen_johansen(spells).table)
    assert aalen_johansen(spells).table["n_observed"].sum() == (spells["code"] > 0).sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repurchased": pl.lit(True)}, "cause None goes with repurchased true on some rows"),
        ({"repurchased": pl.col("repurchased") & (pl.col("customer_id") > 50)}, "cause 'order' goes with repurchased"),
        ({"repurchased": pl.lit(False), "cause": pl.lit(None, pl.String)}, "none of 200 ended in a repurchase"),
        ({"customer_id": pl.lit(1)}, "'customer_id' repeats"),
        ({"duration_days": pl.lit(-2.0)}, "duration_days is not above 0"),
    ],
)
def test_bad_spells_are_refused_with_the_reason(change, message):
    with pytest.raises(ContractError, match=message):
        aalen_johansen(random_spells(9).with_columns(**change))
    with pytest.raises(ContractError, match="'cause' is missing; it says why a spell ended"):
        aalen_johansen(random_spells(9).drop("cause"))


def test_it_is_read_on_given_days_and_reads_well_in_a_notebook():
    incidence = aalen_johansen(random_spells(10))
    assert incidence.at([5, 1_000])["incidence"].is_null().to_list() == [False, True] * 2
    assert "CumulativeIncidence of 200 customers" in repr(incidence)
    assert "Cumulative incidence" in incidence._repr_html_()


@pytest.mark.certify
def test_the_interval_covers_the_truth_about_as_often_as_it_says(certify):
    """Two daily hazards, .02 and .01, so P(order by day t) = 2/3 (1 - .97^t)."""
    days = (10, 40, 80)

    def hits(seed):
        rng = np.random.default_rng(seed)
        time, limit = rng.geometric(0.03, 200), rng.integers(20, 120, 200)
        cause = np.where(rng.random(200) < 2 / 3, "order", "refund")
        columns = {"customer_id": range(200), "duration_days": np.minimum(time, limit), "repurchased": time <= limit}
        spells = pl.DataFrame({**columns, "cause": cause}).with_columns(cause=pl.when("repurchased").then("cause"))
        told = aalen_johansen(spells, level=0.9).at(days).filter(pl.col("cause") == "order")
        truth = pl.Series([2 / 3 * (1 - 0.97**day) for day in days])
        return ((told["incidence_low"] <= truth) & (truth <= told["incidence_high"])).to_list()

    certify(hits, level=0.9)
