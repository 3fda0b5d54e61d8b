"""Brier scores and AUC by day: the numbers of scikit-survival, errors that are derivatives, intervals that hold."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sksurv.metrics import brier_score, cumulative_dynamic_auc, integrated_brier_score
from sksurv.util import Surv

from shoptoolkit import figures
from shoptoolkit.contract import ContractError
from shoptoolkit.survival import auc_at, brier, calibration, concordance, kaplan_meier

DAYS = [14.0, 35.0, 63.0, 77.0]


def world(seed, n=200, *, ties=False, whole=False):
    """Spells of exponential returns, half of them censored, and the true survival of each customer on DAYS."""
    rng = np.random.default_rng(seed)
    risk = np.round(rng.normal(size=n), 1)
    mean = 60 * np.exp(-0.7 * risk)
    back, limit = rng.exponential(mean) + 1e-3, rng.uniform(5, 150, n)
    if ties or whole:
        step = 7 if ties else 1
        back, limit = np.ceil(back / step) * step, np.ceil(limit / step) * step
    columns = {"duration_days": np.minimum(back, limit), "repurchased": back <= limit, "risk": risk}
    spells = pl.DataFrame({"customer_id": np.arange(n), **columns})
    return spells, np.exp(-np.array(DAYS) / mean[:, None])


def long(surviving, days=DAYS):
    n, m = surviving.shape
    columns = {"customer_id": np.repeat(np.arange(n), m), "duration_days": np.tile(days, n)}
    return pl.DataFrame({**columns, "survival": surviving.ravel()}).sample(fraction=1, shuffle=True, seed=1)


def arrays(spells):
    return [spells[name].to_numpy() for name in ("duration_days", "repurchased", "risk")]


def sksurv(spells, later=0.0):
    duration, seen, _ = arrays(spells)
    return Surv.from_arrays(seen, duration + later * ~seen)


def one(estimates):
    return estimates.table.row(0, named=True)


# ---- the numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("has_train", [False, True])
@pytest.mark.parametrize(("convention", "later"), [("pec", 0.0), ("exact", 1e-7)])
def test_they_are_those_of_scikit_survival(ties, has_train, convention, later):
    """Theirs is "pec"; ours is theirs if the censored leave after the returns of their day."""
    spells, surviving = world(1, ties=ties)
    spells = spells.with_columns(pl.col("duration_days").clip(None, 140))
    surviving = np.round(surviving, 2)  # ties
    train = world(2, 300, ties=ties)[0] if has_train else spells
    y_train, y = sksurv(train, later), sksurv(spells, later)
    options = {"days": DAYS, "ties": convention, "train": train if has_train else None}
    told = brier(spells, long(surviving), **options).table["estimate"]
    expected = [*brier_score(y_train, y, surviving, DAYS)[1], integrated_brier_score(y_train, y, surviving, DAYS)]
    assert told.to_list() == pytest.approx(expected, abs=1e-12)
    if ties and convention == "pec" and not has_train:
        return  # G is 0 on the last day, which they refuse though no day asked needs it
    told = auc_at(spells, long(surviving), **options).table["estimate"]
    expected = cumulative_dynamic_auc(y_train, y, 1 - surviving, DAYS)
    assert told.to_list() == pytest.approx([*expected[0], expected[1]], abs=1e-12)
    told = auc_at(spells, score="risk", **options).table["estimate"]
    expected = cumulative_dynamic_auc(y_train, y, spells["risk"].to_numpy(), DAYS)
    assert told.to_list() == pytest.approx([*expected[0], expected[1]], abs=1e-12)


def test_a_forecast_that_all_stay_away_is_off_by_those_who_came_back():
    """So the score is the Kaplan-Meier curve itself, on whole days too; with the ties of pec it is not."""
    spells, _ = world(3, ties=True)
    curve = kaplan_meier(spells).at(DAYS)["survival"].to_numpy()
    for said, expected in ((0.0, curve), (1.0, 1 - curve)):
        forecast = long(np.full((len(spells), len(DAYS)), said))
        told = brier(spells, forecast, days=DAYS).table["estimate"].to_numpy()[:-1]
        assert told == pytest.approx(expected, abs=1e-12)
    pec = brier(spells, forecast, days=DAYS, ties="pec").table["estimate"].to_numpy()[:-1]
    assert np.abs(pec - (1 - curve)).max() > 1e-3


def test_a_window_that_ends_for_all_can_be_judged_on_its_last_day():
    spells, surviving = world(4)
    ended = pl.col("duration_days") > 63
    spells = spells.with_columns(pl.col("duration_days").clip(None, 63), pl.col("repurchased") & ~ended)
    *_, last, late, mean = brier(spells, long(surviving), days=DAYS).table.to_dicts()
    assert last["verdict"] == "ok"
    assert late["reason"] == mean["reason"]
    assert late["reason"].endswith("the largest usable horizon is day 63.")
    assert (late["estimate"], mean["estimate"]) == (None, None)
    pec = one(brier(spells, long(surviving), days=63, ties="pec"))
    assert pec["reason"].endswith(
        f"the largest usable horizon is day {np.sort(spells['duration_days'].unique())[-2]:g}."
    )


# ---- their errors ---------------------------------------------------------------------------------------------------


def slow_share(duration, seen, weight, day, ties):
    """G by the definition; complex weights give derivatives."""
    share = 1.0
    for s in np.unique(duration[~seen]):
        if s < day or (ties == "pec" and s == day):
            share = share * (
                1 - weight[~seen & (duration == s)].sum() / weight[(duration > s) | (~seen & (duration == s))].sum()
            )
    return share


def slow(what, spells, surviving, weight, ties):
    """Each measure by its definition, for any weights of the customers."""
    duration, seen, risk = arrays(spells)
    share = {day: slow_share(duration, seen, weight, day, ties) for day in {*duration[seen], *DAYS}}
    inverse = np.array([1 / share[day] if came else 0 for day, came in zip(duration, seen)])
    if what == "uno":
        above = duration[:, None] < duration
        above |= (duration[:, None] == duration) & ~seen
        pairs = (weight * inverse**2 * (duration <= 63))[:, None] * weight * above
        right = (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)
        return (pairs * right).sum() / pairs.sum()
    told = []
    for k, day in enumerate(DAYS):
        back = inverse * (duration <= day)
        away = (duration > day) | ((duration == day) & ~seen & (ties == "exact"))
        if what == "brier":
            off = back * surviving[:, k] ** 2 + away * (1 - surviving[:, k]) ** 2 / share[day]
            told.append((weight * off).sum() / weight.sum())
        elif what == "auc":
            pairs = (weight * back)[:, None] * (weight * away)
            right = (surviving[:, None, k] < surviving[:, k]) + 0.5 * (surviving[:, None, k] == surviving[:, k])
            told.append((pairs * right).sum() / pairs.sum())
        else:
            worth = weight * (back + away / share[day])
            x, y = surviving[:, k], away
            mean_x, mean_y = ((worth * v).sum() / worth.sum() for v in (x, y))
            slope = (worth * (x - mean_x) * y).sum() / (worth * (x - mean_x) ** 2).sum()
            told.append(mean_y - mean_x if what == "gap" else slope)
    if what == "brier":
        return np.array([*told, np.trapezoid(told, DAYS) / (DAYS[-1] - DAYS[0])])
    if what == "auc":
        steps = [
            (s, 1 - weight[seen & (duration == s)].sum() / weight[duration >= s].sum()) for s in set(duration[seen])
        ]
        lefts = [1.0, *(np.prod([step for s, step in steps if s <= day]) for day in DAYS)]
        shares = -np.diff(lefts) / (1 - lefts[-1])
        return np.array([*told, (shares * told).sum()])
    return np.array(told)


def slow_errors(what, spells, surviving, ties):
    """Infinitesimal jackknife: the derivative by each customer's weight, by a complex step."""
    n = len(spells)
    steps = 1 + 1e-30j * np.eye(n)
    slopes = np.array([np.atleast_1d(slow(what, spells, surviving, step, ties)).imag / 1e-30 for step in steps])
    return np.sqrt((slopes**2).sum(axis=0) * n / (n - 1))


@pytest.mark.parametrize("convention", ["exact", "pec"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("what", ["uno", "brier", "auc"])
def test_errors_are_derivatives_by_each_customers_weight(what, ties, convention):
    spells, surviving = world(5, 100, ties=ties)
    surviving = np.round(surviving, 2)
    measures = {
        "uno": lambda: concordance(spells, kind="uno", horizon_days=63, ties=convention),
        "brier": lambda: brier(spells, long(surviving), days=DAYS, ties=convention),
        "auc": lambda: auc_at(spells, long(surviving), days=DAYS, ties=convention),
    }
    told = measures[what]().table
    expected = slow(what, spells, surviving, np.ones(len(spells)), convention)
    assert told["estimate"].to_numpy() == pytest.approx(expected, abs=1e-12)
    assert told["standard_error"].to_numpy() == pytest.approx(
        slow_errors(what, spells, surviving, convention), rel=1e-9
    )


@pytest.mark.parametrize("ties", [False, True])
def test_errors_of_calibration_are_derivatives_too(ties):
    spells, surviving = world(6, 90, ties=ties)
    gap, slope = calibration(spells, long(surviving), horizon_days=DAYS[1]).overall.table.to_dicts()
    for row, what in ((gap, "gap"), (slope, "slope")):
        assert row["estimate"] == pytest.approx(slow(what, spells, surviving, np.ones(90), "exact")[1], abs=1e-12)
        assert row["standard_error"] == pytest.approx(slow_errors(what, spells, surviving, "exact")[1], rel=1e-9)


def test_the_error_of_g_learnt_elsewhere_is_added():
    spells, surviving = world(7)
    few, many = (
        one(brier(spells, long(surviving), days=63, train=world(8, n)[0]))["standard_error"] for n in (40, 4_000)
    )
    assert few > many
    same = world(8, 4_000)[0]
    assert one(auc_at(spells, score="risk", days=63, train=same))["standard_error"] == pytest.approx(
        one(auc_at(spells, score="risk", days=63))["standard_error"], rel=0.2
    )


# ---- what does and does not matter ----------------------------------------------------------------------------------


def both(spells, forecast, **options):
    frames = [brier(spells, forecast, days=DAYS, **options).table, auc_at(spells, forecast, days=DAYS, **options).table]
    return pl.concat(frames).select("estimate", "standard_error", "low", "high", "n").to_numpy()


def test_order_and_names_do_not_matter():
    spells, surviving = world(9, ties=True)
    forecast = long(surviving)
    expected = both(spells, forecast)
    rename = pl.format("x{}", pl.col("customer_id")).alias("customer_id")
    others = {
        "shuffled": (spells.sample(fraction=1, shuffle=True, seed=2), forecast.reverse()),
        "renamed": (spells.with_columns(rename), forecast.with_columns(rename)),
        "more": (spells, pl.concat([forecast, forecast.with_columns(pl.col("duration_days") + 300)])),
        "others": (spells, pl.concat([forecast, forecast.with_columns(pl.col("customer_id") + 10**6)])),
    }
    for other in others.values():
        assert both(*other) == pytest.approx(expected, rel=1e-10)
    hours = pl.col("duration_days") * 24
    told = brier(spells.with_columns(hours), forecast.with_columns(hours), days=[day * 24 for day in DAYS]).table
    assert told["estimate"].to_list() == pytest.approx(expected[:5, 0])


def test_counts_and_clusters_give_the_answer_of_the_customers():
    spells, surviving = world(10, ties=True)
    expected, forecast = both(spells, long(surviving)), long(surviving)
    thrice = both(spells.with_columns(weight=3), forecast)
    assert thrice[:, 0] == pytest.approx(expected[:, 0], abs=1e-12)
    assert thrice[:, 1] == pytest.approx(expected[:, 1] * np.sqrt(600 / 599 / 3 / (200 / 199)), rel=1e-9)
    twice = pl.concat([spells, spells]).with_row_index("spell_id")
    copies = pl.concat([forecast, forecast.with_columns(pl.col("customer_id") + 200)]).rename(
        {"customer_id": "spell_id"}
    )
    told = both(twice, copies, id="spell_id", cluster="customer_id")
    assert told[:, :2] == pytest.approx(expected[:, :2], rel=1e-9)
    with pytest.raises(ContractError, match=r"'customer_id' repeats, .*give every spell an id of its own"):
        brier(pl.concat([spells, spells]), forecast, days=63, cluster="customer_id")


def test_a_monotone_change_of_the_score_changes_nothing():
    spells, _ = world(11)
    expected = auc_at(spells, score="risk", days=DAYS).table
    assert auc_at(spells.with_columns(pl.col("risk").exp()), score="risk", days=DAYS).table.equals(expected)
    assert one(auc_at(spells.with_columns(risk=1.0), score="risk", days=35))["estimate"] == pytest.approx(0.5)
    perfect = one(auc_at(spells.with_columns(risk=-pl.col("duration_days")), score="risk", days=35))
    assert (perfect["estimate"], perfect["standard_error"]) == (1, None)
    assert 0.9 < perfect["low"] < perfect["high"] == 1


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_too_few_are_refused():
    spells, surviving = world(12)
    assert one(brier(spells.head(9), long(surviving), days=35))["reason"].startswith("only 9 customers; an interval")
    few = one(auc_at(spells, score="risk", days=1))
    assert few["reason"].startswith("only 2 known to be back; an interval by the normal law needs at least 10 of each")
    right = spells.select("customer_id", duration_days=35.0, survival=(pl.col("duration_days") > 35).cast(float))
    perfect = one(brier(spells, right, days=35))
    assert (perfect["estimate"], perfect["low"], perfect["standard_error"]) == (0, 0, None)
    assert 0.01 < perfect["high"] < 0.03  # Wilson, of 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.drop("survival"), "no column 'survival'. It has: customer_id, duration_days"),
        (lambda p: p.filter(pl.col("customer_id") > 4), "5 of 200 spells have no survival on day 14, day 35"),
        (
            lambda p: p.filter(pl.col("duration_days") < 60),
            "200 of 200 spells have no survival on day 63, day 77. Predict",
        ),
        (lambda p: pl.concat([p, p.head(7)]), "7 rows repeat a spell and day"),
        (lambda p: p.with_columns(pl.col("survival") * 100), "values of 'survival' are null or not between 0 and 1"),
        (lambda p: p.with_columns(survival=None), "800 values of 'survival' are null"),
        (
            lambda p: p.with_columns(pl.col("customer_id").cast(pl.String)),
            "'customer_id' is String, but Int64 in spells",
        ),
    ],
)
def test_wrong_predictions_are_named(change, message):
    spells, surviving = world(13)
    for measure in (brier, auc_at):
        with pytest.raises(ContractError, match=message):
            measure(spells, change(long(surviving)), days=DAYS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"days": "90"}, TypeError, "days is '90'; give a number of days or a list"),
        ({"days": [0, 30]}, ValueError, r"days is \[0, 30\]; give days > 0"),
        ({"days": []}, ValueError, r"days is \[\]; give days > 0"),
        ({"days": 35, "ties": "none"}, ValueError, "ties is 'none'; it must be one of 'exact', 'pec'"),
        ({"days": 35, "level": 2}, ValueError, "level is 2"),
    ],
)
def test_wrong_options_are_named(options, error, message):
    spells, surviving = world(14)
    for measure in (brier, auc_at):
        with pytest.raises(error, match=message):
            measure(spells, long(surviving), **options)
    with pytest.raises(ContractError, match="200 of 200 enter late"):
        brier(spells.with_columns(entry_days=1e-6), long(surviving), days=35)


def test_auc_takes_predictions_or_a_score():
    spells, surviving = world(15)
    for options in ({}, {"predicted": long(surviving), "score": "risk"}):
        with pytest.raises(ValueError, match=r"give either predicted= .* or score="):
            auc_at(spells, days=35, **options)


# ---- cover ----------------------------------------------------------------------------------------------------------


def truths():
    """Brier scores and AUC of the true curves, by sums over the risks, which are rounded to tenths."""
    from scipy.stats import norm

    risk = np.arange(-60, 61) / 10
    share = norm.cdf(risk + 0.05) - norm.cdf(risk - 0.05)
    surviving = np.exp(-np.array(DAYS)[:, None] / (60 * np.exp(-0.7 * risk)))
    squares = (share * surviving * (1 - surviving)).sum(axis=1)
    back, away = share * (1 - surviving), share * surviving
    right = np.tri(len(risk), k=-1) + 0.5 * np.eye(len(risk))
    areas = np.einsum("dk,kl,dl->d", back, right, away) / back.sum(axis=1) / away.sum(axis=1)
    lost = -np.diff(away.sum(axis=1), prepend=1)
    mean_square = np.trapezoid(squares, DAYS) / (DAYS[-1] - DAYS[0])
    return np.array([*squares, mean_square, *areas, (areas * lost).sum() / lost.sum()])


@pytest.mark.certify
@pytest.mark.parametrize("whole", [False, True], ids=["any time", "whole days"])
def test_intervals_cover_the_scores_of_the_true_curves(certify, whole):
    expected = truths()

    def hits(seed):
        spells, surviving = world(seed, 200, whole=whole)
        told = both(spells, long(surviving), level=0.9)
        return list((told[:, 2] <= expected) & (expected <= told[:, 3]))

    certify(hits, level=0.9)


def test_the_figure_draws_the_days_with_their_band():
    spells, surviving = world(16)
    told = auc_at(spells, long(surviving), days=DAYS)
    by_day = told.table.head(4)
    ax = figures.accuracy_by_day({"model": told, "score": auc_at(spells, score="risk", days=DAYS)}, metric="auc")
    assert ax.lines[0].get_xydata() == pytest.approx(by_day.select("horizon_days", "estimate").to_numpy())
    band = ax.collections[0].get_paths()[0].vertices
    assert set(by_day["low"]) | set(by_day["high"]) <= set(band[:, 1])
    assert {text.get_text() for text in ax.texts} >= {"model", "score"}
    with pytest.raises(ValueError, match="metric is 'brier', and scores '' tell none; they have 'auc', 'mean_auc'"):
        figures.accuracy_by_day(told)
