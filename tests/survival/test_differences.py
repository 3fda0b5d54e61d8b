"""Differences of survival curves by the definition, with a band that holds the whole curve."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from lifelines import KaplanMeierFitter

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import kaplan_meier, survival_difference
from tests.conftest import WORLDS

DAYS = 60


def waits(seed, n=300, *, rates=(0.03, 0.03), share=0.5):
    """Geometric waits of two arms, watched for 20 to 60 days."""
    rng = np.random.default_rng(seed)
    treated = rng.random(n) < share
    wait = rng.geometric(np.where(treated, rates[1], rates[0]))
    watched = rng.integers(20, DAYS + 1, n)
    arm = pl.Series(treated).cast(pl.Int8).replace_strict({0: "none", 1: "mail"}, return_dtype=pl.String)
    columns = {"customer_id": np.arange(n), "duration_days": np.minimum(wait, watched), "repurchased": wait <= watched}
    return pl.DataFrame(columns).with_columns(arm=arm)


def told_of(spells, **options):
    return survival_difference(spells, by="arm", reference="none", **options)


def test_it_is_the_difference_of_two_curves_of_lifelines_with_the_errors_of_both():
    spells = waits(1)
    table = told_of(spells).table
    each = {}
    for (arm,), part in spells.group_by("arm"):
        fit = KaplanMeierFitter().fit(part["duration_days"].to_numpy(), part["repurchased"].to_numpy())
        each[arm] = fit.survival_function_at_times(table["duration_days"].to_numpy()).to_numpy()
    np.testing.assert_allclose(table["estimate"], each["mail"] - each["none"], atol=1e-12)
    mail, none = kaplan_meier(spells, by="arm").at(30).to_dicts()
    row = told_of(spells).at(30).row(0, named=True)
    assert row["standard_error"] == pytest.approx(np.hypot(mail["standard_error"], none["standard_error"]), abs=1e-12)
    reach = np.hypot(mail["survival_high"] - mail["survival"], none["survival"] - none["survival_low"])
    assert row["high"] - row["estimate"] == pytest.approx(reach, abs=1e-12)  # Zou and Donner


def test_the_band_is_as_wide_as_the_highest_of_many_multiplied_paths():
    """The influences of the customers, by a complex step of their weight, multiplied by normal numbers."""
    spells = waits(2, 120)
    inside = told_of(spells, level=0.9).table.drop_nulls("band_low")
    moves = []
    for (arm,), part in spells.group_by("arm", maintain_order=True):
        day, came = part["duration_days"].to_numpy(), part["repurchased"].to_numpy()
        for one in range(len(part)):
            weights = 1 + 1e-30j * (np.arange(len(part)) == one)
            steps = [
                np.prod(
                    [1 - weights[came & (day == t)].sum() / weights[day >= t].sum() for t in range(1, int(end) + 1)]
                )
                for end in inside["duration_days"]
            ]
            moves.append((1 if arm == "mail" else -1) * np.array(steps).imag / 1e-30)
    paths = np.random.default_rng(1).normal(size=(20_000, len(moves))) @ (
        moves / np.sqrt((np.array(moves) ** 2).sum(0))
    )
    critical = np.quantile(np.abs(paths).max(axis=1), 0.9)
    wide = told_of(spells, level=2 * NormalDist().cdf(critical) - 1).table  # whose interval is so many errors wide
    wide = wide.join(inside, on="duration_days", how="semi")
    for end in ("low", "high"):
        np.testing.assert_allclose(inside[f"band_{end}"], wide[end], atol=0.02 * inside["standard_error"].max())


def test_where_everybody_is_back_no_error_is_told():
    spells = waits(3).with_columns(repurchased=True)
    table = told_of(spells).table.with_columns(is_over=pl.col("standard_error").is_null())
    assert table["is_over"].any()
    assert table.filter("is_over")["low"].null_count() == table["is_over"].sum()


def test_counts_row_order_and_names_do_not_matter():
    spells = waits(4)
    expected = told_of(spells).table
    moved = spells.with_columns(pl.format("c{}", 900 - pl.col("customer_id")).alias("customer_id"))
    assert told_of(moved.sample(fraction=1, shuffle=True, seed=1)).table.equals(expected)
    counts = spells.group_by("arm", "duration_days", "repurchased").agg(weight=pl.len())
    assert told_of(counts).table.equals(expected)
    assert told_of(counts).n == 300


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({"arm": pl.lit("a")}, {}, ValueError, "by is 'arm', which has the one group 'a'; a difference needs two"),
        ({}, {"reference": "x"}, ValueError, "reference is 'x'; the groups of 'arm' are 'mail', 'none'"),
        ({}, {"level": 95}, ValueError, "level is 95; it must lie between 0 and 1"),
        ({"customer_id": pl.lit(1)}, {}, ContractError, "'customer_id' repeats"),
    ],
)
def test_a_wrong_question_is_refused_with_the_mend(change, options, error, message):
    with pytest.raises(error, match=message):
        survival_difference(waits(5).with_columns(**change), by="arm", **options)


@pytest.mark.certify
def test_interval_and_band_cover_the_truth(certify):
    rates = (0.03, 0.045)
    day = np.arange(DAYS + 1)
    truth = pl.DataFrame({"duration_days": day.astype(float), "truth": (1 - rates[1]) ** day - (1 - rates[0]) ** day})

    def hits(seed):
        found = []
        for share in (0.5, 0.1):
            table = told_of(waits(seed, 400, rates=rates, share=share), level=0.9).table.join(truth, on="duration_days")
            at = table.filter(pl.col("duration_days") == 20).row(0, named=True)
            band = table.drop_nulls("band_low")
            inside = (band["band_low"] <= band["truth"]) & (band["truth"] <= band["band_high"])
            found += [at["low"] <= at["truth"] <= at["high"], inside.all()]
        return found

    certify(hits, level=0.9, worlds=WORLDS // 2)
