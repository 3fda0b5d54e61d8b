"""Restricted means: the area under the curve, with the error of the mean and not of one customer's days."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from shoptoolkit.contract import ContractError
from shoptoolkit.simulate import shop
from shoptoolkit.survival import (
    kaplan_meier,
    repurchase_spells,
    restricted_mean,
    restricted_mean_difference,
    restricted_mean_ratio,
)

Z95 = 1.959963984540054


def random_spells(seed, n=250, *, whole=True):
    rng = np.random.default_rng(seed)
    days = rng.gamma(1.3, 30, n) + 0.1
    limit = rng.uniform(40, 140, n)
    frame = pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "duration_days": np.minimum(days, limit),
            "repurchased": days <= limit,
            "basket": rng.choice(["a small", "b big", "c gift"], n),
            "country": rng.choice(["GB", "JP"], n),
        }
    )
    return frame.with_columns(pl.col("duration_days").ceil()) if whole else frame


def one(estimates):
    return estimates.table.row(0, named=True)


def slow_mean(duration, seen, weights, horizon, entry=None):
    """The area by adding S from day to day; complex weights give derivatives."""
    entry = np.zeros(len(duration)) if entry is None else entry
    survival, area, before = 1.0, 0.0, 0.0
    for day in np.unique(duration[duration < horizon]):
        area, before = area + survival * (day - before), day
        n = weights[(entry < day) & (day <= duration)].sum()
        d = weights[seen & (duration == day)].sum()
        survival = survival * (n - d) / n
    return area + survival * (horizon - before)


def slow_slopes(spells, horizon):
    """Each spell's derivative of the restricted mean by a complex step of its weight."""
    duration, seen = spells["duration_days"].to_numpy(), spells["repurchased"].to_numpy()
    entry = spells["entry_days"].to_numpy() if "entry_days" in spells.columns else None
    step = 1e-30j * np.eye(len(spells))
    return np.array([slow_mean(duration, seen, 1 + one_step, horizon, entry).imag / 1e-30 for one_step in step])


@pytest.mark.parametrize("whole", [True, False], ids=["whole days", "fractional days"])
@pytest.mark.parametrize("horizon", [7, 30.5, 60])
def test_it_is_the_area_under_the_curve_and_equals_lifelines(horizon, whole):
    spells = random_spells(1, whole=whole)
    fit = KaplanMeierFitter().fit(spells["duration_days"].to_pandas(), spells["repurchased"].to_pandas())
    estimate = one(restricted_mean(spells, horizon_days=horizon))["estimate"]
    assert estimate == pytest.approx(restricted_mean_survival_time(fit, t=horizon), abs=1e-9)


def test_in_whole_days_it_is_the_sum_of_the_shares_not_yet_back():
    spells = random_spells(2)
    shares = kaplan_meier(spells).at(list(range(45)))["survival"]
    assert one(restricted_mean(spells, horizon_days=45))["estimate"] == pytest.approx(shares.sum(), abs=1e-10)


@pytest.mark.parametrize("late", [False, True])
def test_its_error_equals_the_infinitesimal_jackknife(late):
    """Greenwood's form and the jackknife are one number if all are watched from day 0, and near each other if not."""
    spells = random_spells(3, 120)
    if late:
        entry = (
            pl.when(pl.int_range(120) % 3 == 0).then(pl.min_horizontal(pl.col("duration_days") - 1, 5.0)).otherwise(0.0)
        )
        spells = spells.with_columns(entry_days=entry)
    expected = np.sqrt((slow_slopes(spells, 60) ** 2).sum())
    greenwood = one(restricted_mean(spells, horizon_days=60))["standard_error"]
    assert greenwood == pytest.approx(expected, **({"rel": 0.01} if late else {"abs": 1e-12}))
    clustered = one(restricted_mean(spells, horizon_days=60, cluster="customer_id"))
    assert clustered["standard_error"] == pytest.approx(expected, abs=1e-12)


def test_its_error_is_about_that_of_a_bootstrap():
    spells = random_spells(4, 400)
    duration, seen = spells["duration_days"].to_numpy(), spells["repurchased"].to_numpy()
    rng = np.random.default_rng(4)
    means = [slow_mean(duration, seen, rng.multinomial(400, [1 / 400] * 400), 60) for _ in range(400)]
    assert one(restricted_mean(spells, horizon_days=60))["standard_error"] == pytest.approx(np.std(means), rel=0.12)


def test_spells_of_one_customer_are_counted_together_in_the_error():
    spells = random_spells(5, 150).with_columns(customer_id=pl.int_range(150) % 40)
    slopes = pl.DataFrame({"id": spells["customer_id"], "slope": slow_slopes(spells, 50)}).group_by("id").sum()["slope"]
    row = one(restricted_mean(spells, horizon_days=50, cluster="customer_id"))
    assert row["standard_error"] == pytest.approx(np.sqrt((slopes**2).sum()), abs=1e-12)
    assert "per spell" in row["estimand"]
    assert "per customer" in one(restricted_mean(random_spells(5), horizon_days=50))["estimand"]


def test_a_difference_is_the_other_group_less_the_reference():
    spells = random_spells(6)
    each = {row["group"]: row for row in restricted_mean(spells, by="basket", horizon_days=60).table.to_dicts()}
    for reference in (None, "b big"):
        told = restricted_mean_difference(spells, by="basket", horizon_days=60, reference=reference).table.to_dicts()
        named = reference or "a small"
        assert [row["contrast"] for row in told] == [f"{group} - {named}" for group in each if group != named]
        for row in told:
            a, b = each[row["group"]], each[named]
            assert row["estimate"] == pytest.approx(a["estimate"] - b["estimate"], abs=1e-12)
            assert row["standard_error"] == pytest.approx(np.hypot(a["standard_error"], b["standard_error"]), abs=1e-12)
            assert row["n"] == a["n"] + b["n"]
            assert (row["p_value"] < 0.05) == (not row["low"] <= 0 <= row["high"])


def test_customers_with_spells_in_both_groups_are_compared_with_themselves():
    spells = random_spells(7, 160).with_columns(customer_id=pl.int_range(160) % 50)
    slopes = []
    for country, sign in (("JP", 1), ("GB", -1)):
        part = spells.filter(pl.col("country") == country)
        slopes.append(pl.DataFrame({"id": part["customer_id"], "slope": sign * slow_slopes(part, 50)}))
    together = pl.concat(slopes).group_by("id").sum()["slope"]
    row = one(restricted_mean_difference(spells, by="country", horizon_days=50, cluster="customer_id"))
    assert row["contrast"] == "JP - GB"
    assert row["standard_error"] == pytest.approx(np.sqrt((together**2).sum()), abs=1e-12)


def test_counts_give_the_answer_that_the_rows_would():
    rows = random_spells(8)
    counts = rows.group_by("duration_days", "repurchased", "country").agg(weight=pl.len())
    by_rows, by_counts = (
        restricted_mean_difference(one, by="country", horizon_days=60).table for one in (rows, counts)
    )
    assert by_rows.equals(by_counts)


def test_order_names_and_units_do_not_matter():
    spells = random_spells(9)
    expected = one(restricted_mean(spells, horizon_days=60))
    renamed = spells.with_columns(pl.format("x{}", 500 - pl.col("customer_id")).alias("customer_id")).reverse()
    assert one(restricted_mean(renamed, horizon_days=60)) == expected
    hours = one(restricted_mean(spells.with_columns(pl.col("duration_days") * 24), horizon_days=60 * 24))
    for name in ("estimate", "standard_error", "low", "high"):
        assert hours[name] == pytest.approx(24 * expected[name], rel=1e-12)


def test_after_everybody_came_back_a_longer_horizon_adds_nothing():
    days = [5, 10, 10, 20] * 3
    spells = pl.DataFrame({"customer_id": range(12), "duration_days": days, "repurchased": True})
    at_end, later = (one(restricted_mean(spells, horizon_days=days)) for days in (20, 300))
    assert at_end["estimate"] == later["estimate"] == np.mean([5, 10, 10, 20])
    assert at_end["standard_error"] == later["standard_error"] == pytest.approx(np.std(days) / np.sqrt(12))


def test_a_group_is_not_read_beyond_its_follow_up():
    spells = random_spells(10).with_columns(
        pl.col("duration_days").clip(None, pl.when(pl.col("country") == "JP").then(35))
    )
    spells = spells.with_columns(pl.col("repurchased") & (pl.col("duration_days") < 35))
    gb, jp = restricted_mean(spells.filter(pl.col("duration_days") > 0), by="country", horizon_days=60).table.to_dicts()
    assert (gb["verdict"], jp["verdict"], jp["estimate"], jp["low"]) == ("ok", "refused", None, None)
    assert jp["reason"] == "follow-up ends on day 35; take horizon_days <= 35, or wait."
    difference = one(restricted_mean_difference(spells, by="country", horizon_days=60, reference="JP"))
    assert difference["verdict"] == "refused"
    assert difference["reason"].startswith("group 'JP': follow-up ends on day 35")
    assert one(restricted_mean(spells, by="country", horizon_days=35))["verdict"] == "ok"


def test_without_an_error_there_is_no_estimate():
    spells = random_spells(11).with_columns(pl.col("repurchased") & (pl.col("country") == "GB"))
    gb, jp = restricted_mean(spells, by="country", horizon_days=40).table.to_dicts()
    assert gb["verdict"] == "ok"
    assert (jp["verdict"], jp["estimate"]) == ("refused", None)
    assert jp["reason"].startswith("nobody came back before day 40; no error can be told")
    same_day = pl.DataFrame({"customer_id": range(20), "duration_days": 5, "repurchased": True})
    few = one(restricted_mean(same_day.head(9), horizon_days=40))
    assert few["reason"] == "only 9 customers; an interval by the normal law needs at least 10."
    assert "everybody came back on day 5" in one(restricted_mean(same_day, horizon_days=40))["reason"]


@pytest.mark.parametrize("horizon", [0, -3, float("nan"), float("inf")])
def test_a_horizon_must_be_a_number_of_days(horizon):
    with pytest.raises(ValueError, match=r"horizon_days is .*; it must be a number of days > 0"):
        restricted_mean(random_spells(12), horizon_days=horizon)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": 0}, ValueError, "level is 0; it must lie between 0 and 1"),
        ({"by": "city"}, ContractError, "no column 'city'"),
        ({"by": "shop"}, ValueError, "by is 'shop', which has the one group '1'; a comparison needs two"),
        ({"reference": "US"}, ValueError, "reference is 'US'; the groups of 'country' are 'GB', 'JP'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, error, message):
    with pytest.raises(error, match=message):
        restricted_mean_difference(
            random_spells(13).with_columns(shop=1), **{"by": "country", "horizon_days": 30, **options}
        )


def test_repeated_customers_are_refused():
    with pytest.raises(ContractError, match="'customer_id' repeats"):
        restricted_mean(random_spells(14).with_columns(customer_id=1), horizon_days=30)


def test_a_ratio_is_one_group_in_terms_of_the_other_with_the_error_of_its_logarithm():
    spells = random_spells(15)
    a, b, _ = restricted_mean(spells, by="basket", horizon_days=60).table.to_dicts()
    row = one(restricted_mean_ratio(spells, by="basket", horizon_days=60))
    error = np.hypot(a["standard_error"] / a["estimate"], b["standard_error"] / b["estimate"])
    assert (row["contrast"], row["measure"]) == ("b big / a small", "ratio")
    assert row["estimate"] == pytest.approx(b["estimate"] / a["estimate"], rel=1e-12)
    assert row["standard_error"] == pytest.approx(row["estimate"] * error, rel=1e-12)
    assert np.log([row["low"], row["high"]]) == pytest.approx(np.log(row["estimate"]) + error * Z95 * np.array([-1, 1]))
    assert one(restricted_mean_ratio(spells, by="basket", horizon_days=1_000))["verdict"] == "refused"


@pytest.mark.parametrize("clustered", [False, True])
def test_the_error_of_a_ratio_is_the_jackknife_of_its_logarithm(clustered):
    spells = random_spells(16, 160).with_columns(customer_id=pl.int_range(160) % (50 if clustered else 160))
    log = 0.0
    slopes = np.zeros(160)
    for country, sign in (("JP", 1), ("GB", -1)):
        part = (spells["country"] == country).to_numpy()
        mean = one(restricted_mean(spells.filter(part), horizon_days=50, cluster="customer_id"))["estimate"]
        log += sign * np.log(mean)
        slopes[part] = sign * slow_slopes(spells.filter(part), 50) / mean
    each = np.bincount(spells["customer_id"].to_numpy(), slopes)
    options = {"by": "country", "horizon_days": 50, "cluster": "customer_id" if clustered else None}
    row = one(restricted_mean_ratio(spells, **options))
    assert row["estimate"] == pytest.approx(np.exp(log), rel=1e-12)
    assert row["standard_error"] == pytest.approx(np.exp(log) * np.sqrt((each**2).sum()), abs=1e-12)


def assigned_spells(seed, n=300):
    """Two arms by chance; x moves the rate, twice as much in arm 1. Censoring differs by arm, and not by x."""
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), rng.integers(0, 2, n)
    days = np.ceil(rng.exponential(40 * np.exp(0.3 * arm - 0.5 * x * (1 + arm))))
    limit = np.where(rng.random(n) < 0.3, rng.integers(30, 150 + 100 * arm), 200)
    columns = {"customer_id": np.arange(n), "duration_days": np.minimum(days, limit), "repurchased": days <= limit}
    return pl.DataFrame({**columns, "arm": arm, "x": x, "noise": rng.normal(size=n)}).cast(
        {"duration_days": pl.Float64}
    )


ADJUSTED = {"by": "arm", "horizon_days": 90, "level": 0.9}


def test_without_censoring_the_adjusted_difference_is_lins_regression_with_hc2_errors():
    """Restricted days on arm, centred x, and both, by statsmodels; its error lacks that of the mean of x."""
    spells = assigned_spells(1).with_columns(repurchased=True)
    days, x = spells["duration_days"].clip(None, 90).to_numpy(), spells["x"].to_numpy()
    arm, centred = spells["arm"].to_numpy(), x - x.mean()
    fit = sm.OLS(days, np.column_stack([np.ones(300), arm, centred, arm * centred])).fit(cov_type="HC2")
    row = one(restricted_mean_difference(spells, covariates=["x"], **ADJUSTED))
    assert row["estimate"] == pytest.approx(fit.params[1], rel=1e-9)
    of_means = fit.params[3] ** 2 * (centred**2).sum() / 300**2
    assert row["standard_error"] == pytest.approx(np.sqrt(fit.HC2_se[1] ** 2 + of_means), rel=0.01)
    assert row["method"] == "kaplan_meier, adjusted for x"


def test_an_adjusted_difference_does_not_mind_the_scale_or_the_order():
    spells = assigned_spells(2)
    expected = one(restricted_mean_difference(spells, covariates=["x", "noise"], **ADJUSTED))
    moved = spells.with_columns(pl.col("x") * 1e6 + 3).sample(fraction=1, shuffle=True, seed=3)
    told = one(restricted_mean_difference(moved, covariates=["noise", "x"], **ADJUSTED))
    for name in ("estimate", "standard_error"):
        assert told[name] == pytest.approx(expected[name], rel=1e-9)
    plain = one(restricted_mean_difference(spells, **ADJUSTED))
    assert expected["standard_error"] < 0.95 * plain["standard_error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": pl.lit("a")}, "covariate 'x' is String, and must be finite numbers without a null"),
        ({"x": pl.when(pl.col("x") > 0).then("x")}, "covariate 'x' is Float64, and must be finite numbers"),
        ({"x": pl.lit(float("inf"))}, "covariate 'x' is Float64, and must be finite"),
        ({"x": pl.when(pl.col("arm") == 1).then("x").otherwise(2.0)}, "in group '0' covariate 'x' is constant"),
        ({"noise": 3 * pl.col("x") - 1}, "in group '0' covariate 'noise' is constant, or a sum of the others"),
        ({"weight": pl.lit(2)}, "covariates= and a weight column do not go together; give rows instead of counts"),
    ],
)
def test_covariates_that_cannot_adjust_are_named(change, message):
    with pytest.raises(ContractError, match=message):
        restricted_mean_difference(assigned_spells(3).with_columns(**change), covariates=["x", "noise"], **ADJUSTED)


def test_a_covariate_that_is_missing_is_named_and_too_many_are_refused():
    with pytest.raises(ContractError, match="covariate 'income' is Null"):
        restricted_mean_difference(assigned_spells(4), covariates=["income"], **ADJUSTED)
    few = one(restricted_mean_difference(assigned_spells(4, 36), covariates=["x", "noise"], **ADJUSTED))
    assert "customers for 2 covariates; take fewer, at least 10 customers each" in few["reason"]


@pytest.mark.certify
def test_means_and_their_difference_cover_the_truth_of_the_simulated_shop(certify):
    def hits(seed):
        world = shop(n_customers=600, rng=seed)
        bought = world.events.filter(pl.col("event") == "purchase")
        orders = bought.group_by("customer_id", "order_id", "source").agg(ordered_at=pl.col("at").min())
        orders = orders.with_columns(order_number=1, gross_revenue=1.0, refunded=0.0, revenue=1.0, items=1)
        spells = repurchase_spells(orders, as_of=world.as_of)
        known = world.truth.curves.filter(pl.col("duration_days") == 90)
        truth = dict(known.select("group", "restricted_mean_days").rows())
        rows = restricted_mean(spells, by="source", horizon_days=90, level=0.9).table.to_dicts()
        found = [row["low"] <= truth[row["group"]] <= row["high"] for row in rows]
        paid = one(restricted_mean_difference(spells, by="source", horizon_days=90, level=0.9, reference="organic"))
        return [*found, paid["low"] <= truth["paid"] - truth["organic"] <= paid["high"]]

    certify(hits, level=0.9)


@pytest.mark.certify
def test_adjusted_differences_and_ratios_cover_the_truth_of_an_experiment(certify):
    x = np.linspace(-6, 6, 4001)
    chance = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
    stay = [np.exp(-1 / (40 * np.exp(0.3 * arm - 0.5 * x * (1 + arm)))) for arm in (0, 1)]  # a day without an order
    control, treated = (chance @ ((1 - one_day**90) / (1 - one_day)) for one_day in stay)

    def hits(seed):
        spells, options = assigned_spells(seed), {"covariates": ["x", "noise"], **ADJUSTED}
        difference, ratio = (one(f(spells, **options)) for f in (restricted_mean_difference, restricted_mean_ratio))
        rows = ((difference, treated - control), (ratio, treated / control))
        return [row["low"] <= truth <= row["high"] for row, truth in rows]

    certify(hits, level=0.9)


def test_a_mean_over_days_on_which_nobody_was_watched_is_refused():
    late = pl.DataFrame(
        {"customer_id": range(12), "duration_days": [40.0, 50.0, 70.0] * 4, "repurchased": [True, True, False] * 4}
    ).with_columns(entry_days=29.0)
    row = restricted_mean(late, horizon_days=60).table.row(0, named=True)
    assert row["verdict"] == "refused"
    assert "nobody is watched before day 29" in row["reason"]
    assert kaplan_meier(late).estimand == "customers who had waited 29 days"
