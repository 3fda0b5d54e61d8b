"""Cox regression: against its definition, against the peers where they are right, and against known truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from lifelines import CoxPHFitter
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from shoptoolkit.contract import ContractError
from shoptoolkit.figures import hazard_ratios
from shoptoolkit.survival import fit_cox, schoenfeld_test

X = ["a", "b"]
TIES = ["efron", "breslow"]


def spells(seed=1, n=120, *, late=True, days=12):
    """Whole days, so with many ties; half of the customers enter late; two countries with their own hazards."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n)])
    country = rng.integers(0, 2, n)
    back = np.ceil(rng.exponential(days / 2 * np.exp(-x @ [0.5, -0.4] - 0.5 * country)))
    entry = rng.integers(0, 3, n) * rng.integers(0, 2, n) * late
    limit = entry + rng.integers(1, days, n)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "duration_days": np.minimum(entry + back, limit),
            "repurchased": entry + back <= limit,
            "entry_days": entry.astype(float),
            "a": x[:, 0],
            "b": x[:, 1],
            "country": np.where(country, "GB", "JP"),
            "household": rng.integers(0, n // 3, n),
        }
    )


def slow_score(frame, beta, weights, ties, strata="country", g=None):
    """The derivative of the log partial likelihood, term by term; arguments may be complex. `g` turns x into x, x g."""
    x, duration, seen, entry = (frame[name].to_numpy() for name in (X, "duration_days", "repurchased", "entry_days"))
    stratum = frame[strata].to_numpy() if strata else np.zeros(len(frame))
    score = np.zeros(len(beta), dtype=complex)
    for s in np.unique(stratum):
        for day in np.unique(duration[seen & (stratum == s)]):
            here = x if g is None else np.hstack([x, x * g(day)])
            risk = weights * np.exp(here @ beta)
            at_risk = (entry < day) & (day <= duration) & (stratum == s)
            back = at_risk & seen & (duration == day)
            d = back.sum()
            score += weights[back] @ here[back]
            for tie in range(d):
                f = tie / d if ties == "efron" else 0.0
                part = risk * (at_risk - f * back)
                score -= weights[back].mean() * (part @ here) / part.sum()
    return score


def derivative(function, at):
    """By complex steps: exact to rounding."""
    return np.array([function(at + 1e-30j * one).imag / 1e-30 for one in np.eye(len(at))]).T


def slow_parts(frame, beta, ties, **options):
    """What one more of a row adds to the score: its score residual, and the information."""
    ones = np.ones(len(frame))
    parts = derivative(lambda w: slow_score(frame, beta, w, ties, **options), ones).T
    information = -derivative(lambda b: slow_score(frame, b, ones, ties, **options), np.asarray(beta, dtype=float))
    return parts, information


def by_cluster(parts, cluster):
    return np.array([parts[cluster == one].sum(axis=0) for one in np.unique(cluster)])


def numbers(fit, name="coefficient"):
    return fit.table[name].to_numpy()


# ---- the definition -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("strata", [(), "country"])
def test_score_information_and_robust_errors_are_those_of_the_definition(ties, strata):
    frame = spells(2)
    fit = fit_cox(frame, covariates=X, ties=ties, strata=strata, cluster="household")
    parts, information = slow_parts(frame, numbers(fit), ties, strata=strata)
    variance = np.linalg.inv(information)
    assert np.abs(parts.sum(axis=0)).max() < 1e-7  # the score is 0, and so is the sum of the score residuals
    assert numbers(fit, "standard_error") == pytest.approx(np.sqrt(np.diag(variance)), rel=1e-9)
    moved = by_cluster(parts, frame["household"].to_numpy()) @ variance  # the infinitesimal jackknife
    assert numbers(fit, "robust_error") == pytest.approx(np.sqrt((moved**2).sum(axis=0)), rel=1e-7)
    reach = 1.959963984540054 * numbers(fit, "robust_error")
    assert numbers(fit, "high") - numbers(fit) == pytest.approx(reach, rel=1e-12)


def test_the_robust_error_is_about_that_of_leaving_customers_out():
    frame = spells(3, 200)
    full = fit_cox(frame, covariates=X, cluster="customer_id")
    without = [numbers(fit_cox(frame.filter(pl.col("customer_id") != one), covariates=X)) for one in range(200)]
    jackknife = np.sqrt(((np.array(without) - numbers(full)) ** 2).sum(axis=0))
    assert numbers(full, "robust_error") == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("cluster", [None, "household"])
@pytest.mark.parametrize("transform", ["log", "rank", "identity"])
def test_the_test_of_proportional_hazards_is_the_score_test_of_covariates_times_days(ties, cluster, transform):
    frame = spells(4)
    fit = fit_cox(frame, covariates=X, ties=ties, strata="country", cluster=cluster)
    ranks = frame.filter("repurchased").select("duration_days", rank=pl.col("duration_days").rank() / pl.len())
    of_day = dict(ranks.rows())
    g = {"log": np.log, "identity": float, "rank": of_day.__getitem__}[transform]
    beta = np.concatenate([numbers(fit), [0, 0]])
    parts, information = slow_parts(frame, beta, ties, g=g)
    slope = information[2:, :2] @ np.linalg.inv(information[:2, :2])
    score = parts.sum(axis=0)[2:]
    variance = information[2:, 2:] - slope @ information[:2, 2:]
    if cluster:
        moved = by_cluster(parts[:, 2:] - parts[:, :2] @ slope.T, frame[cluster].to_numpy())
        variance = moved.T @ moved
    told = schoenfeld_test(fit, transform=transform)
    expected = [*(score**2 / np.diag(variance)), score @ np.linalg.solve(variance, score)]
    assert told["chi_squared"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert told["degrees_of_freedom"].to_list() == [1, 1, 2]
    assert told["covariate"].to_list() == ["a", "b", "all together"]


def test_an_effect_that_fades_is_found():
    rng = np.random.default_rng(5)
    fading, unit = rng.integers(0, 2, 2_000), rng.exponential(1, 2_000)
    early = 0.1 * np.exp(1.5 * fading)  # the hazard until day 5; .1 after it
    days = np.where(unit <= 5 * early, unit / early, 5 + (unit - 5 * early) / 0.1)
    frame = pl.DataFrame({"customer_id": range(2_000), "fading": fading, "repurchased": days <= 30})
    told = schoenfeld_test(fit_cox(frame.with_columns(duration_days=np.minimum(days, 30)), covariates=["fading"]))
    assert told["slope"][0] < 0
    assert told["p_value"][0] < 1e-6


# ---- the peers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("strata", [(), "country"])
def test_efron_equals_lifelines(seed, late, strata):
    frame = spells(seed, 300, late=late)
    fit = fit_cox(frame, covariates=X, strata=strata)
    theirs = CoxPHFitter().fit(
        frame.select("duration_days", "repurchased", "entry_days", *X, *[strata] * bool(strata)).to_pandas(),
        "duration_days",
        "repurchased",
        entry_col="entry_days",
        strata=strata or None,
        fit_options={"precision": 1e-10},
    )
    assert numbers(fit) == pytest.approx(theirs.params_.to_numpy(), abs=1e-6)
    assert numbers(fit, "standard_error") == pytest.approx(theirs.standard_errors_.to_numpy(), abs=1e-6)
    assert numbers(fit, "p_value") == pytest.approx(theirs.summary["p"].to_numpy(), abs=1e-6)
    assert fit.log_likelihood == pytest.approx(theirs.log_likelihood_, abs=1e-6)


@pytest.mark.parametrize("ties", TIES)
def test_both_ways_of_ties_equal_statsmodels_and_scikit_survival(ties):
    frame = spells(7, 300)
    model = sm.PHReg(
        frame["duration_days"].to_numpy(),
        frame[X].to_numpy(),
        status=frame["repurchased"].to_numpy(),
        entry=frame["entry_days"].to_numpy() + 0.5,  # there at risk on the day of entry, here after it
        ties=ties,
    )
    assert numbers(fit_cox(frame, covariates=X, ties=ties)) == pytest.approx(model.fit().params, abs=1e-6)
    frame = spells(8, 300, late=False)
    outcome = Surv.from_arrays(frame["repurchased"].to_numpy(), frame["duration_days"].to_numpy())
    theirs = CoxPHSurvivalAnalysis(ties=ties, tol=1e-12).fit(frame[X].to_numpy(), outcome)
    assert numbers(fit_cox(frame, covariates=X, ties=ties)) == pytest.approx(theirs.coef_, abs=1e-6)


def test_the_penalty_is_that_of_lifelines_times_the_customers():
    frame = spells(9, 300, late=False)
    data = frame.select("duration_days", "repurchased", *X).to_pandas()
    theirs = CoxPHFitter(penalizer=0.1).fit(data, "duration_days", "repurchased", fit_options={"precision": 1e-10})
    fit = fit_cox(frame, covariates=X, penalty=0.1 * 300)
    assert numbers(fit) == pytest.approx(theirs.params_.to_numpy(), rel=2e-3)  # its deviations divide by n - 1
    assert np.abs(numbers(fit)).sum() < np.abs(numbers(fit_cox(frame, covariates=X))).sum()


# ---- what must not matter, and what must ----------------------------------------------------------------------------


@pytest.mark.parametrize("ties", TIES)
def test_a_weight_stands_for_that_many_rows_their_ties_included(ties):
    rng = np.random.default_rng(10)
    counts = spells(10).with_columns(weight=pl.Series(rng.integers(1, 4, 120)))
    rows = counts.select(pl.exclude("weight").repeat_by("weight").explode()).with_columns(
        customer_id=pl.int_range(pl.len())
    )
    grouped = fit_cox(counts.drop("customer_id"), covariates=X, ties=ties, strata="country")
    each = fit_cox(rows, covariates=X, ties=ties, strata="country")
    for name in ("coefficient", "standard_error"):
        assert numbers(grouped, name) == pytest.approx(numbers(each, name), abs=1e-10)
    assert grouped.log_likelihood == pytest.approx(each.log_likelihood, abs=1e-8)
    assert (grouped.n, grouped.n_observed) == (each.n, each.n_observed) == (len(rows), rows["repurchased"].sum())
    assert grouped.baseline["cumulative_hazard"].to_numpy() == pytest.approx(
        each.baseline["cumulative_hazard"].to_numpy(), abs=1e-12
    )
    asked = {"days": [3, 6], "id": "a"}
    assert grouped.predict_survival(counts, **asked)["survival"].to_numpy() == pytest.approx(
        each.predict_survival(counts, **asked)["survival"].to_numpy(), abs=1e-10
    )
    told = [schoenfeld_test(fit)["chi_squared"].to_numpy() for fit in (grouped, each)]
    assert told[0] == pytest.approx(told[1], rel=1e-6)


def test_row_order_names_and_units_do_not_matter():
    frame = spells(11)
    fit = fit_cox(frame, covariates=X, cluster="household")
    days = pl.col("duration_days", "entry_days") * 24
    moved = frame.sample(fraction=1, shuffle=True, seed=1).with_columns(
        days, pl.col("a") * 100 + 1e6, pl.format("h{}", "household").alias("household")
    )
    again = fit_cox(moved, covariates=X, cluster="household")
    for name in ("coefficient", "standard_error", "robust_error"):
        assert numbers(again, name) * [100, 1] == pytest.approx(numbers(fit, name), abs=1e-8)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)


def test_rows_sorted_for_speed_give_the_same_as_rows_as_they_are(monkeypatch):
    options = {"covariates": X, "strata": "country", "cluster": "household"}
    fit = fit_cox(spells(11), **options)
    monkeypatch.setattr("shoptoolkit.survival.cox.likelihood._CACHED", 1)
    again = fit_cox(spells(11).with_columns(pl.col("duration_days", "entry_days") + 0.25), **options)
    for name in ("coefficient", "standard_error", "robust_error"):
        assert numbers(again, name) == pytest.approx(numbers(fit, name), abs=1e-9)
    assert schoenfeld_test(again, transform="rank")["p_value"].to_numpy() == pytest.approx(
        schoenfeld_test(fit, transform="rank")["p_value"].to_numpy(), abs=1e-8
    )


def test_a_spell_cut_in_rows_is_still_one_spell():
    frame = spells(12)
    late = frame.filter(pl.col("duration_days") - pl.col("entry_days") > 1)
    first = late.with_columns(duration_days=pl.col("entry_days") + 1, repurchased=False)
    second = late.with_columns(entry_days=pl.col("entry_days") + 1)
    rest = frame.filter(pl.col("duration_days") - pl.col("entry_days") <= 1)
    cut = pl.concat([rest, second, first]).rename({"entry_days": "start_days", "duration_days": "stop_days"})
    fit = fit_cox(cut, covariates=X, time_varying=True)
    whole = fit_cox(frame, covariates=X, cluster="customer_id")
    for name in ("coefficient", "standard_error", "robust_error"):
        assert numbers(fit, name) == pytest.approx(numbers(whole, name), abs=1e-10)
    changing = fit_cox(cut.with_columns(b=pl.col("stop_days") % 2), covariates=X, time_varying=True)
    renamed = cut.rename({"start_days": "entry_days", "stop_days": "duration_days"})
    parts, _ = slow_parts(renamed.with_columns(b=pl.col("duration_days") % 2), numbers(changing), "efron", strata=None)
    assert np.abs(parts.sum(axis=0)).max() < 1e-6


def test_text_becomes_one_coefficient_per_level_but_the_first():
    frame = spells(13, 300).with_columns(paid=pl.col("b") == 1, source=pl.col("household") % 3)
    source = pl.col("source").replace_strict({0: "live", 1: "ads", 2: "mail"}, return_dtype=pl.String)
    by_hand = frame.with_columns(live=pl.col("source") == 0, mail=pl.col("source") == 2)
    fit = fit_cox(frame.with_columns(source), covariates=["source", "paid"])
    assert fit.table["covariate"].to_list() == ["source=live", "source=mail", "paid"]
    assert numbers(fit) == pytest.approx(numbers(fit_cox(by_hand, covariates=["live", "mail", "b"])), abs=1e-9)
    ordered = frame.with_columns(source.cast(pl.Enum(["mail", "live", "ads", "none"])))
    assert fit_cox(ordered, covariates=["source"]).table["covariate"].to_list() == ["source=live", "source=ads"]


# ---- recurrent orders -----------------------------------------------------------------------------------------------


def orders(seed, n=200, *, effect=0.5, spread=1.0, rate=0.02):
    """Poisson orders of customers whose rates differ by a gamma factor: the mean rate is proportional in x."""
    rng = np.random.default_rng(seed)
    x, until = rng.integers(0, 2, n), rng.uniform(60, 180, n)
    factor = rng.gamma(1 / spread, spread, n)
    count = rng.poisson(rate * factor * np.exp(effect * x) * until)
    who = np.repeat(np.arange(n), count + 1)
    stop = until[who].copy()
    last = np.cumsum(count + 1) - 1
    is_last = np.zeros(len(who), dtype=bool)
    is_last[last] = True
    stop[~is_last] *= rng.random(count.sum())
    stop = stop[np.lexsort((stop, who))]
    start = np.where(np.concatenate([[True], is_last[:-1]]), 0.0, np.concatenate([[0.0], stop[:-1]]))
    frame = pl.DataFrame({"customer_id": who, "start_days": start, "stop_days": stop, "repurchased": ~is_last})
    number = (pl.int_range(pl.len()).over("customer_id") + 1).alias("spell_number")
    duration = (pl.col("stop_days") - pl.col("start_days")).alias("duration_days")
    return frame.with_columns(number, duration, x=x[who], history_known=pl.lit(True))


@pytest.mark.certify
def test_robust_errors_hold_for_heterogeneous_buyers_and_naive_ones_do_not(certify):
    naive = []

    def hits(seed):
        row = fit_cox(orders(seed), covariates=["x"], recurrent="ag").table.row(0, named=True)
        naive.append(abs(row["coefficient"] - 0.5) < 1.96 * row["standard_error"])
        return [row["low"] < 0.5 < row["high"]]

    certify(hits, level=0.95)
    assert np.mean(naive) < 0.8


@pytest.mark.certify
def test_intervals_and_the_test_of_proportionality_hold_with_ties_and_late_entries(certify):
    def hits(seed):
        frame = spells(seed, 400, days=60)
        fits = [fit_cox(frame, covariates=X, strata="country", cluster=cluster) for cluster in (None, "customer_id")]
        hits = [(numbers(fit, "low") < [0.5, -0.4]) & (numbers(fit, "high") > [0.5, -0.4]) for fit in fits]
        proportional = [schoenfeld_test(fit)["p_value"][-1] > 0.05 for fit in fits]
        return [*np.concatenate(hits), *proportional]

    certify(hits, level=0.95)


@pytest.mark.parametrize("recurrent", ["ag", "pwp_total", "pwp_gap"])
def test_each_recurrent_model_reads_its_own_clock_and_strata(recurrent):
    frame = orders(1, 60)
    fit = fit_cox(frame, covariates=["x"], recurrent=recurrent)
    clock = ("start_days", "stop_days") if recurrent != "pwp_gap" else (pl.lit(0.0), "duration_days")
    same = frame.select(a="x", b="x", entry_days=clock[0], duration_days=clock[1], repurchased="repurchased",
                        spell_number="spell_number", customer_id="customer_id")  # fmt: skip
    strata = None if recurrent == "ag" else "spell_number"
    parts, information = slow_parts(same, [*numbers(fit), 0.0], "efron", strata=strata)
    moved = by_cluster(parts[:, 0], same["customer_id"].to_numpy()) / information[0, 0]
    assert abs(parts[:, 0].sum()) < 1e-7
    assert numbers(fit, "robust_error")[0] == pytest.approx(np.sqrt((moved**2).sum()), rel=1e-7)
    assert fit.recurrent == recurrent


# ---- prediction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", TIES)
def test_predicted_survival_is_the_baseline_to_the_power_of_the_risk(ties):
    frame = spells(14, late=False)
    fit = fit_cox(frame, covariates=X, ties=ties, strata="country")
    told = fit.predict_survival(frame.head(5), days=[0, 4, 6.5])
    assert told.columns == ["customer_id", "duration_days", "survival"]
    beta = numbers(fit)
    for customer, day, survival in told.rows():
        row = frame.row(customer, named=True)
        part = frame.filter(country=row["country"])
        hazard = 0.0
        for when in part.filter(pl.col("repurchased"), pl.col("duration_days") <= day)["duration_days"].unique():
            risk = np.exp(part[X].to_numpy() @ beta) * (part["duration_days"] >= when).to_numpy()
            back = (part["repurchased"] & (part["duration_days"] == when)).to_numpy()
            d = back.sum()
            shares = np.arange(d) / d * (ties == "efron")
            hazard += sum(1 / (risk.sum() - share * risk[back].sum()) for share in shares)
        assert survival == pytest.approx(np.exp(-hazard * np.exp(np.array([row["a"], row["b"]]) @ beta)), rel=1e-9)


def test_days_already_waited_make_the_chance_conditional():
    frame = spells(15, late=False)
    fit = fit_cox(frame, covariates=X)
    one = frame.head(1).with_columns(waited=4.0)
    later = fit.predict_survival(one, days=[3], waited="waited")["survival"][0]
    now = fit.predict_survival(one, days=[4, 7])["survival"]
    assert later == pytest.approx(now[1] / now[0], rel=1e-12)


def test_a_wait_may_be_one_number_and_where_it_is_not_known_nothing_is_told():
    frame = spells(15, late=False).head(2).with_columns(waited=pl.Series([4.0, None]))
    fit = fit_cox(spells(15, late=False), covariates=X)
    by_row = fit.predict_survival(frame, days=3, waited="waited")["survival"].to_list()
    assert by_row == [fit.predict_survival(frame, days=3, waited=4)["survival"][0], None]


def test_the_id_of_the_fit_is_that_of_its_predictions():
    frame = spells(15).rename({"customer_id": "cid"})
    fit = fit_cox(frame, covariates=X, id="cid")
    told = fit.predict_survival(frame.head(2), days=3)
    assert told.columns == ["cid", "duration_days", "survival"]
    named = fit.predict_survival(frame.head(2).rename({"cid": "user"}), days=3, id="user")
    assert named["survival"].equals(told["survival"])


@pytest.mark.parametrize("covariates", [["a", "repurchased"], "duration_days", ["customer_id"]])
def test_the_outcome_is_no_covariate(covariates):
    with pytest.raises(ValueError, match="the id and the outcome; leave them out"):
        fit_cox(spells(15), covariates=covariates)


def test_what_was_not_watched_is_not_predicted():
    frame = spells(16, late=False).with_columns(pl.col("repurchased") & (pl.col("country") == "GB"))
    fit = fit_cox(frame, covariates=X, strata="country")
    told = fit.predict_survival(frame.head(20), days=[2, 5_000]).join(frame, on="customer_id")
    is_told = (told["country"] == "GB") & (told["duration_days"] == 2)
    assert (told["survival"].is_not_null() == is_told).all()
    late = fit_cox(frame.with_columns(pl.col("duration_days") + 9, entry_days=pl.lit(9.0)), covariates=X)
    assert late.predict_survival(frame.head(2), days=[10])["survival"].null_count() == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"recurrent": "ag"}, "rate of all orders.*mean_cumulative_orders"),
        ({"recurrent": "pwp_total"}, "when the last one was"),
        ({"time_varying": True}, "rule R4.*Freeze them at the request"),
    ],
)
def test_a_fit_that_knows_no_curve_refuses_to_predict(options, why):
    frame = orders(2, 60).filter(pl.col("spell_number") == 1) if "time_varying" in options else orders(2, 60)
    fit = fit_cox(frame, covariates=["x"], **options)
    with pytest.raises(ValueError, match=why):
        fit.predict_survival(frame, days=[7])


def test_gap_time_predicts_by_spell_number():
    frame = orders(3, 100)
    fit = fit_cox(frame, covariates=["x"], recurrent="pwp_gap")
    asked = pl.DataFrame({"customer_id": [1, 2], "spell_number": [1, 2], "x": [0, 0]})
    told = fit.predict_survival(asked, days=[10])["survival"]
    assert 0 < told[1] < told[0] < 1  # who came back once is of those who come back


# ---- what is refused ------------------------------------------------------------------------------------------------


def with_columns(**columns):
    return lambda frame: frame.with_columns(**columns)


BAD = {
    "a constant": (with_columns(a=pl.lit(3)), {}, "'a' is always 3. A constant has no coefficient"),
    "the strata": (with_columns(a=pl.col("country") == "GB"), {"strata": "country"}, "'a' never differs among those"),
    "a sum of others": (
        with_columns(c=2 * pl.col("a") - pl.col("b") + 7),
        {"covariates": [*X, "c"]},
        r"'c' is collinear: it equals \+2 x 'a' -1 x 'b' \(but for a constant\)",
    ),
    "a level nobody came back from": (
        with_columns(b=pl.when("repurchased").then(0).otherwise("b")),
        {},
        "'b' separates, its coefficient runs to -∞: .* none of the .* rows with another ended in a repurchase",
    ),
    "an order by the days": (
        with_columns(a=-pl.col("duration_days") + 100 * pl.col("repurchased")),
        {},
        "'a' separates, its coefficient runs to ∞: .* largest value at risk",
    ),
    "a reference nobody came back from": (
        with_columns(
            a=pl.when("repurchased").then(pl.Series(["b", "c"] * 60)).otherwise(pl.Series(["a", "b", "c"] * 40))
        ),
        {},
        "'a=b', 'a=c' run away together",
    ),
    "NaN": (with_columns(a=pl.when(pl.col("a") > 1).then(float("nan")).otherwise("a")), {}, "'a' is null, NaN or inf"),
    "null": (with_columns(a=pl.when(pl.col("a") < 1).then("a")), {}, "'a' is null, NaN or infinite in .* of 120 rows"),
    "infinity": (with_columns(a=1 / pl.col("b")), {}, "'a' is null, NaN or infinite"),
    "a date": (with_columns(a=pl.date(2024, 1, 1)), {}, "'a' is Date, must be a number, Boolean or text"),
    "an id": (with_columns(a=pl.col("customer_id").cast(pl.String)), {}, "120 levels, more than 100 .is it an id"),
    "no such column": (with_columns(), {"covariates": ["a", "z"]}, "no column 'z'.*The frame has: customer_id"),
    "one twice": (with_columns(), {"covariates": ["a", "a"]}, "'a' is named twice"),
    "no repurchase": (with_columns(repurchased=False), {}, "none of 120 ended in a repurchase"),
    "a day of 0": (with_columns(duration_days=0.0), {}, "duration_days is not above 0"),
    "a weight of 0": (with_columns(weight=0), {}, "weight is below 1"),
    "repeated customers": (with_columns(customer_id=1), {}, "'customer_id' repeats.*recurrent='ag'"),
    "no total time": (with_columns(), {"recurrent": "ag"}, "no column 'start_days', 'stop_days'"),
    "an unknown history": (
        with_columns(spell_number=1),
        {"recurrent": "pwp_gap"},
        "history_known is not true.*features.orders",
    ),
    "weights of recurrent orders": (
        with_columns(weight=2, spell_number=1, history_known=True),
        {"recurrent": "pwp_gap"},
        "cluster= and a weight column do not go together",
    ),
    "rows that overlap": (
        with_columns(customer_id=1, start_days=pl.lit(0.0), stop_days="duration_days"),
        {"recurrent": "ag"},
        "119 rows begin before the row before them has ended, e.g. of customer 1 on day 0",
    ),
    "a start that is null": (
        with_columns(start_days=pl.lit(None, pl.Float64), stop_days="duration_days"),
        {"recurrent": "ag"},
        "'start_days' or 'stop_days' is null 120 times",
    ),
    "rows after the next order": (
        with_columns(
            customer_id=1,
            start_days=pl.int_range(pl.len()) * 1.0,
            stop_days=pl.int_range(pl.len()) + 1.0,
            repurchased=True,
        ),
        {"time_varying": True},
        "119 rows that ended in a repurchase are followed by others",
    ),
    "no covariate": (with_columns(), {"covariates": []}, "covariates is empty"),
    "other ties": (with_columns(), {"ties": "exact"}, "ties is 'exact'; it must be one of 'efron', 'breslow'"),
    "other recurrence": (with_columns(), {"recurrent": "wlw"}, "recurrent is 'wlw'"),
    "two kinds of rows": (with_columns(), {"recurrent": "ag", "time_varying": True}, "time_varying is for one next"),
    "a negative penalty": (with_columns(), {"penalty": -1.0}, "penalty is -1.0; it must be a number >= 0"),
    "a level of 95": (with_columns(), {"level": 95}, "level is 95"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_answered_is_refused_by_name(case):
    spoil, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        fit_cox(spoil(spells(17, late=False)), **({"covariates": X} | options))


def test_a_combination_that_separates_is_told_where_rounding_hides_it():
    days, entry = [3.67, 4.67, 0.67, 2.33, 3.67, 9.33, 9.33, 11.3], [1.83, 2.33, 0, 0, 0, 4.67, 0, 0]
    columns = {"duration_days": days, "entry_days": entry, "repurchased": [True] * 2 + [False] + [True] * 4 + [False]}
    columns |= {"a": [957.0, 902, -1102, -526, 593, 43, -357, -591], "b": [1, 0, 1, 0, 0, 0, 1, 0]}
    frame = pl.DataFrame({"customer_id": range(8), "country": [0, 0, 1, 1, 1, 1, 2, 2], **columns})
    with pytest.raises(ContractError, match="'a', 'b' run away together"):
        fit_cox(frame, covariates=X, strata="country")


def test_as_many_clusters_as_coefficients_tell_no_error():
    frame = spells(17).with_columns(shop=pl.int_range(pl.len()) % 2)
    with pytest.raises(ContractError, match=r"2 clusters are at risk .* 2 coefficients; .* more clusters than coef"):
        fit_cox(frame, covariates=X, cluster="shop")
    columns = {"start_days": [0.0, 2, 5, 0, 3], "stop_days": [2.0, 5, 9, 3, 10], "a": [1, 1, 1, 0, 0]}
    two = pl.DataFrame({"customer_id": [1, 1, 1, 2, 2], "repurchased": [True] * 4 + [False], **columns})
    with pytest.raises(ContractError, match=r"0 clusters .* 1 coefficients"):  # one balances the other
        fit_cox(two, covariates=["a"], recurrent="ag")


def test_an_effect_that_is_seen_at_one_time_has_no_test_of_its_change():
    frame = spells(17, late=False).with_columns(b=(pl.col("duration_days") == 1) & (pl.col("customer_id") % 2 == 0))
    told = schoenfeld_test(fit_cox(frame, covariates=X))
    assert told["p_value"].is_null().to_list() == [False, True, False]
    assert told["p_value"][0] == told["p_value"][2]
    with pytest.raises(ValueError, match="no covariate differs among those at risk at two event times"):
        schoenfeld_test(fit_cox(frame, covariates=["b"]))


def test_a_penalty_holds_what_would_run_away():
    frame = BAD["a level nobody came back from"][0](spells(17, late=False))
    fit = fit_cox(frame, covariates=X, penalty=1.0)
    assert -10 < numbers(fit)[1] < 0
    with pytest.raises(ValueError, match="penalty 1; the test needs a fit without"):
        schoenfeld_test(fit)
    with pytest.raises(ValueError, match="transform is 'km'"):
        schoenfeld_test(fit, transform="km")


def test_no_convergence_is_told_with_numbers(monkeypatch):
    monkeypatch.setattr("shoptoolkit.survival.cox.likelihood._ROUNDS", 1)
    with pytest.raises(ValueError, match=r"did not converge in 1 rounds: log-likelihood -.* still to gain"):
        fit_cox(spells(18), covariates=X)


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (with_columns(country=pl.lit("FR")), {}, "the stratum {'country': 'FR'} of 3 rows was not in the fit"),
        (with_columns(a=pl.lit("x")), {}, "'a' is String, must be a number"),
        (lambda frame: frame.drop("a"), {}, "'a' is missing"),
        (with_columns(), {"days": "30"}, "days is '30'; give a number of days"),
        (with_columns(), {"days": -1}, "days is -1; give days >= 0"),
        (with_columns(), {"waited": "since"}, "waited is 'since', no such column"),
        (with_columns(since=pl.lit(-2.0)), {"waited": "since"}, "waited has -2; days already waited are >= 0"),
    ],
)
def test_a_frame_that_the_fit_cannot_read_is_refused(spoil, options, message):
    fit = fit_cox(spells(19), covariates=X, strata="country")
    with pytest.raises((ValueError, TypeError), match=message):
        fit.predict_survival(spoil(spells(19).head(3)), **({"days": [1]} | options))


def test_a_new_level_of_text_is_refused():
    frame = spells(20)
    fit = fit_cox(frame, covariates=["country"])
    with pytest.raises(ContractError, match=r"'country' has the levels \['FR'\], which the fit has not seen"):
        fit.predict_survival(frame.with_columns(country=pl.lit("FR")), days=1)


def test_it_reads_well():
    fit = fit_cox(spells(21), covariates=X)
    assert repr(fit).startswith("CoxFit of 120 rows, ")
    assert "hazard ratios above 1: sooner back" in fit._repr_html_()


@pytest.mark.parametrize("scale", [0.1, 1, 20])
def test_the_figure_draws_the_hazard_ratios_of_the_table(scale):
    frame = spells(22).with_columns(pl.col("a") * scale)
    fit = fit_cox(frame, covariates=X)
    ax = hazard_ratios(fit)
    ax.figure.canvas.draw()
    lines = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2][1:]
    assert np.log(np.array(lines)) == pytest.approx(fit.table.select("low", "high").to_numpy())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == X
    assert ax.get_xscale() == "log"
    shown = [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
    assert 2 <= len(shown) <= 10
