"""Concordance: the order of returns, as lifelines and scikit-survival count it, with an error of its own."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from lifelines.utils import concordance_index
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw
from sksurv.util import Surv

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import concordance
from shoptoolkit.survival.accuracy.kernels import lower_scores


def scored(seed, n=250, *, ties=False):
    """Exponential returns, those with the higher risk sooner; `ties` in weeks and in rounded risks."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    back, limit = rng.exponential(60 * np.exp(-0.7 * risk)) + 0.01, rng.uniform(5, 150, n)
    if ties:
        back, limit, risk = np.ceil(back / 7) * 7, np.ceil(limit / 7) * 7, np.round(risk, 1)
    columns = {"duration_days": np.minimum(back, limit), "repurchased": back <= limit, "risk": risk}
    return pl.DataFrame({"customer_id": np.arange(n), **columns})


def arrays(spells):
    return [spells[name].to_numpy() for name in ("duration_days", "repurchased", "risk")]


def sksurv(spells, *, later=0.0):
    """Its structured array; `later` moves censorings behind the returns of their day."""
    duration, seen, _ = arrays(spells)
    return Surv.from_arrays(seen, duration + later * ~seen)


def one(estimates):
    return estimates.table.row(0, named=True)


def value(spells, **options):
    return one(concordance(spells, **options))["estimate"]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_harrells_is_identical_to_lifelines_and_scikit_survival(seed, ties):
    spells = scored(seed, ties=ties)
    duration, seen, risk = arrays(spells)
    assert value(spells) == concordance_index(duration, -risk, seen)
    assert value(spells) == pytest.approx(concordance_index_censored(seen, duration, risk)[0], abs=1e-12)


def test_pairs_of_many_days_are_counted_as_those_of_few():
    """Many keys are compared by their upper digits, then by the lower; a table of all pairs knows nothing of that."""
    rng = np.random.default_rng(3)
    for top in (200, 2**15):
        key, score, weight, mass = (rng.integers(0, size, 1_500) for size in (top, 300, 4, 3))
        is_lower = (score[:, None] > score) + 0.5 * (score[:, None] == score)
        larger, smaller = lower_scores(np.argsort(score), score, key, weight, mass)
        assert (larger == (is_lower * (key > key[:, None])) @ weight).all()
        assert (smaller == (is_lower * (key < key[:, None])) @ mass).all()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("horizon", [None, 63])
def test_unos_is_that_of_scikit_survival(ties, horizon):
    """Theirs is G at the end of a day ("pec"); ours is theirs if the censored leave after the returns of their day."""
    spells, train = scored(5, ties=ties), scored(6, 400, ties=ties)
    risk, tau = spells["risk"].to_numpy(), None if horizon is None else np.nextafter(horizon, 99)  # they take < tau
    spells = spells.with_columns(pl.col("duration_days").clip(None, 139))
    for ours, later in (("pec", 0), ("exact", 1e-7)):
        y, y_train = sksurv(spells, later=later), sksurv(train, later=later)
        options = {"kind": "uno", "horizon_days": horizon, "ties": ours}
        if not (ties and ours == "pec" and horizon is None):  # G is 0 on the last day
            assert value(spells, **options) == pytest.approx(concordance_index_ipcw(y, y, risk, tau=tau)[0], abs=1e-12)
        expected = concordance_index_ipcw(y_train, y, risk, tau=tau)[0]
        assert value(spells, train=train.drop("risk"), **options) == pytest.approx(expected, abs=1e-12)


def test_the_higher_score_should_be_back_first():
    spells = pl.DataFrame(
        {"customer_id": range(12), "duration_days": range(1, 13), "repurchased": [True, False] * 6, "risk": range(12)}
    ).with_columns(-pl.col("risk"))
    perfect = one(concordance(spells))
    assert (perfect["estimate"], perfect["high"], perfect["standard_error"]) == (1, 1, None)
    assert 0.3 < perfect["low"] < 0.6  # Wilson, of 3 pairs
    assert value(spells.with_columns(-pl.col("risk"))) == 0
    constant = one(concordance(spells.with_columns(risk=1), kind="uno"))
    assert (constant["estimate"], constant["low"], constant["high"]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("kind", ["harrell", "uno"])
def test_only_the_order_of_the_scores_counts_and_not_that_of_the_rows(kind):
    spells = scored(7, ties=True)
    expected = one(concordance(spells, kind=kind))
    others = {
        "shuffled": spells.sample(fraction=1, shuffle=True, seed=1),
        "other scores": spells.with_columns(pl.col("risk").exp()),
        "other ids": spells.with_columns(pl.format("x{}", 999 - pl.col("customer_id")).alias("customer_id")),
        "hours": spells.with_columns(pl.col("duration_days") * 24),
    }
    for other in others.values():
        told = one(concordance(other, kind=kind))
        for name in ("estimate", "standard_error", "low", "high", "p_value"):
            assert told[name] == pytest.approx(expected[name], rel=1e-9)
    opposite = one(concordance(spells.with_columns(-pl.col("risk")), kind=kind))
    assert opposite["estimate"] == pytest.approx(1 - expected["estimate"], abs=1e-12)


@pytest.mark.parametrize("kind", ["harrell", "uno"])
def test_counts_give_the_answer_that_the_rows_would(kind):
    rows = pl.concat([scored(8, ties=True)] * 3)
    rows = rows.with_columns(customer_id=pl.int_range(pl.len()), risk=pl.col("risk").round(0))
    counts = rows.group_by("duration_days", "repurchased", "risk").agg(weight=pl.len())
    by_rows, by_counts = (one(concordance(frame, kind=kind, horizon_days=90)) for frame in (rows, counts))
    assert by_rows["n"] == by_counts["n"] == 750
    for name in ("estimate", "standard_error"):
        assert by_counts[name] == pytest.approx(by_rows[name], rel=1e-10)


def test_a_customer_given_twice_tells_nothing_new_if_clustered():
    spells = scored(9, ties=True)
    twice = pl.concat([spells, spells])
    with pytest.raises(ContractError, match="'customer_id' repeats"):
        concordance(twice)
    once = one(concordance(spells, cluster="customer_id"))
    assert one(concordance(spells))["standard_error"] == pytest.approx(once["standard_error"], rel=1e-12)
    for kind in ("harrell", "uno"):
        told = one(concordance(twice, kind=kind, cluster="customer_id"))
        expected = one(concordance(spells, kind=kind))
        assert told["estimate"] == pytest.approx(expected["estimate"], abs=1e-12)
        assert told["standard_error"] == pytest.approx(expected["standard_error"], rel=1e-9)
        assert "two spells" in told["estimand"]


def test_uno_beyond_what_is_followed_is_refused_with_the_largest_usable_horizon():
    spells = scored(10)
    short = scored(11).with_columns(
        pl.col("duration_days").clip(None, 40), pl.col("repurchased") & (pl.col("duration_days") < 40)
    )
    told = one(concordance(spells, kind="uno", train=short))
    assert (told["verdict"], told["estimate"]) == ("refused", None)
    assert told["reason"].endswith("take horizon_days <= 40.")
    assert one(concordance(spells, kind="uno", train=short, horizon_days=40))["verdict"] == "ok"
    pec = one(concordance(spells, kind="uno", train=short, horizon_days=40, ties="pec"))
    assert pec["verdict"] == "refused"


def test_without_two_to_compare_there_is_no_answer():
    spells = pl.DataFrame(
        {"customer_id": [1, 2], "duration_days": [5, 9], "repurchased": [False, True], "risk": [1, 2]}
    )
    told = one(concordance(spells))
    assert told["verdict"] == "refused"
    assert "nobody came back by day 9 while others stayed away" in told["reason"]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"kind": "gonen"}, ValueError, "kind is 'gonen'; it must be one of 'harrell', 'uno'"),
        ({}, {"ties": "breslow"}, ValueError, "ties is 'breslow'; it must be one of 'exact', 'pec'"),
        ({}, {"level": 95}, ValueError, "level is 95"),
        ({}, {"horizon_days": 0}, ValueError, "horizon_days is 0; it must be a number of days > 0"),
        ({}, {"score": "x"}, ContractError, "no column 'x' \\(score\\)"),
        ({"risk": "a"}, {}, ContractError, "'risk' has String; every spell needs a number"),
        ({"risk": float("nan")}, {}, ContractError, "'risk' has 250 of 250 values null or not finite"),
        ({"risk": None}, {}, ContractError, "'risk' has Null; every spell needs a number"),
        ({"entry_days": 0.001}, {}, ContractError, "250 of 250 enter late .* Keep the spells with entry_days == 0"),
        ({"repurchased": False}, {}, ContractError, "none of 250 ended in a repurchase"),
    ],
)
def test_what_cannot_be_judged_is_named(change, options, error, message):
    with pytest.raises(error, match=message):
        concordance(scored(12).with_columns(**{name: pl.lit(value) for name, value in change.items()}), **options)


def pairs_in_order(rng, n, horizon):
    """C by its definition, of customers followed to the end: share of risk order among pairs back by the horizon."""
    risk = rng.normal(size=n)
    back = rng.exponential(60 * np.exp(-0.7 * risk))
    a, b = np.arange(n // 2), np.arange(n // 2, n)
    first, second = np.where(back[a] < back[b], a, b), np.where(back[a] < back[b], b, a)
    counts = back[first] <= horizon
    return (risk[first] > risk[second])[counts].mean()


@pytest.mark.certify
def test_unos_interval_covers_the_order_of_all_customers(certify):
    """150 customers, a third censored; the truth from 4 million pairs that nobody censors."""
    truth = pairs_in_order(np.random.default_rng(0), 8_000_000, 90)

    def hits(seed):
        clean, whole = scored(seed, 150), scored(seed + 10**6, 150)
        whole = whole.with_columns(pl.col("duration_days").ceil())
        told = [one(concordance(one_, kind="uno", horizon_days=90, level=0.9)) for one_ in (clean, whole)]
        told += [one(concordance(clean, kind="uno", horizon_days=90, level=0.9, train=scored(seed + 10**7, 150)))]
        return [row["low"] <= truth <= row["high"] for row in told]

    certify(hits, level=0.9)


@pytest.mark.certify
def test_harrells_interval_covers_its_own_mean(certify):
    truth = value(scored(10**8, 400_000))
    certify(
        lambda seed: [(row := one(concordance(scored(seed, 150), level=0.9)))["low"] <= truth <= row["high"]], level=0.9
    )
