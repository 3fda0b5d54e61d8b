"""The curve against lifelines, scikit-survival and slow obvious code, and what a shopkeeper may expect of it."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from scipy import stats
from sksurv.nonparametric import kaplan_meier_estimator

from shoptoolkit.contract import ContractError
from shoptoolkit.simulate import shop
from shoptoolkit.survival import kaplan_meier, repurchase_spells
from shoptoolkit.survival.bands import equal_precision, highest

Z95 = 1.959963984540054
BOUNDS = ["survival_low", "survival_high"]
ERRORS = ["standard_error", *BOUNDS, "band_low", "band_high"]


def random_spells(seed, n=300, *, whole=True, censored=0.4):
    rng = np.random.default_rng(seed)
    days = rng.gamma(1.3, 30, n) + 0.1
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "duration_days": np.ceil(days) if whole else days,
            "repurchased": rng.random(n) >= censored,
            "country": rng.choice(["GB", "JP", "DE"], n),
        }
    )


def last_is_open(spells):
    """The longest spell censored, so that no curve ends at zero."""
    return spells.with_columns(
        repurchased=pl.col("repurchased") & (pl.col("duration_days") < spells["duration_days"].max())
    )


def of_lifelines(spells, days, *, level=0.95):
    pandas = spells.to_pandas()
    fit = KaplanMeierFitter(alpha=1 - level).fit(
        pandas["duration_days"],
        pandas["repurchased"],
        entry=pandas.get("entry_days"),
        weights=pandas.get("weight"),
    )
    survival = fit.survival_function_at_times(days).to_numpy()
    low, high = fit.confidence_interval_survival_function_.loc[np.asarray(days)].to_numpy().T
    return survival, low, high


def slow_curve(spells):
    """Days, at risk, survival and the variance of its logarithm, by the definition: at risk on (entry, duration]."""
    rows = [
        (row.get("entry_days", 0), row["duration_days"], row["repurchased"], row.get("weight", 1))
        for row in spells.to_dicts()
    ]
    survival, variance, told = 1.0, 0.0, []
    for day in sorted({row[1] for row in rows}):
        n = sum(w for entry, end, _, w in rows if entry < day <= end)
        d = sum(w for entry, end, seen, w in rows if end == day and seen)
        survival *= 1 - d / n
        variance += d / (n * (n - d)) if n > d else np.inf
        told.append((day, n, d, survival, variance))
    return told


def weighted_log_survival(spells, weights, days):
    entry = spells["entry_days"].to_numpy() if "entry_days" in spells.columns else np.zeros(len(spells))
    end, seen = spells["duration_days"].to_numpy(), spells["repurchased"].to_numpy()
    total, told = 0.0, []
    for day in days:
        n = weights[(entry < day) & (day <= end)].sum()
        d = weights[seen & (end == day)].sum()
        total = total + np.log((n - d) / n)
        told.append(total)
    return np.array(told)


def slow_clustered_error(spells, cluster, days):
    """Standard error of S: each spell's derivative of log S by a complex step of its weight, summed within clusters."""
    slopes = {}
    for i, name in enumerate(spells[cluster]):
        weights = np.ones(len(spells), dtype=complex)
        weights[i] += 1e-30j
        slopes[name] = slopes.get(name, 0) + weighted_log_survival(spells, weights, days).imag / 1e-30
    survival = np.exp(weighted_log_survival(spells, np.ones(len(spells)), days))
    return survival * np.sqrt(sum(slope**2 for slope in slopes.values()))


def of_group(curve, group="all"):
    return curve.table.filter((pl.col("group") == group) & (pl.col("duration_days") > 0))


def close(left, right, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(left, float), np.asarray(right, float), rtol=0, atol=tolerance)


@pytest.mark.parametrize("whole", [True, False], ids=["whole days", "fractional days"])
@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_the_curve_and_its_interval_equal_lifelines(seed, level, whole):
    spells = last_is_open(random_spells(seed, whole=whole))
    table = of_group(kaplan_meier(spells, level=level))
    survival, low, high = of_lifelines(spells, table["duration_days"], level=level)
    close(table["survival"], survival)
    close(table["survival_low"], low)
    close(table["survival_high"], high)


@pytest.mark.parametrize("seed", range(2))
def test_the_curve_equals_scikit_survival(seed):
    spells = last_is_open(random_spells(seed))
    days, survival, (low, high) = kaplan_meier_estimator(
        spells["repurchased"].to_numpy(), spells["duration_days"].to_numpy(), conf_type="log-log"
    )
    table = of_group(kaplan_meier(spells))
    assert table["duration_days"].to_list() == days.tolist()
    close(table["survival"], survival)
    close(table["survival_low"], low)
    close(table["survival_high"], high)


@pytest.mark.parametrize("after", [0.0, 0.5], ids=["entries tie durations", "entries between days"])
def test_late_entries_equal_lifelines(after):
    rng = np.random.default_rng(4)
    late = np.where(rng.random(300) < 0.5, 0, rng.integers(0, 20, 300) + after)
    spells = last_is_open(random_spells(4)).with_columns(entry_days=pl.Series(late))
    spells = spells.filter(pl.col("entry_days") < pl.col("duration_days"))
    table = of_group(kaplan_meier(spells))
    survival, low, high = of_lifelines(spells, table["duration_days"])
    close(table["survival"], survival)
    close(table["survival_low"], low)
    close(table["survival_high"], high)


def test_who_enters_on_a_day_is_at_risk_from_the_next_day_on():
    """At risk on (entry, duration], as in R's survfit; lifelines' table counts the entrant, its estimate does not."""
    spells = pl.DataFrame(
        {
            "customer_id": [1, 2, 3],
            "duration_days": [5, 9, 9],
            "repurchased": [True, True, False],
            "entry_days": [0, 0, 5],
        }
    )
    assert of_group(kaplan_meier(spells))["n_at_risk"].to_list() == [2, 2]
    assert of_group(kaplan_meier(spells))["survival"].to_list() == [0.5, 0.25]
    close(of_lifelines(spells, [5, 9])[0], [0.5, 0.25])


FEW_SPELLS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 5, 8, 2.5, 6.25]),
        st.booleans(),
        st.sampled_from([0, 0, 0.5, 1, 2, 4]),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=12,
)


@given(rows=FEW_SPELLS, counted=st.booleans(), late=st.booleans())
def test_the_curve_equals_the_definition_on_any_spells(rows, counted, late):
    rows = [(day, seen, entry if entry < day else 0, weight) for day, seen, entry, weight in rows]
    spells = pl.DataFrame(
        rows, schema=["duration_days", "repurchased", "entry_days", "weight"], orient="row", strict=False
    )
    spells = spells.with_row_index("customer_id").drop(*[] if counted else ["weight"], *[] if late else ["entry_days"])
    told = slow_curve(spells)
    if not spells["repurchased"].any():
        with pytest.raises(ContractError, match=r"none of \d+ ended in a repurchase"):
            kaplan_meier(spells)
        return
    if any(n == d for _, n, d, *_ in told[:-1]):
        with pytest.raises(ContractError, match="everybody at risk came back on day"):
            kaplan_meier(spells)
        return
    table = of_group(kaplan_meier(spells))
    for row, (day, n, d, survival, variance) in zip(table.to_dicts(), told, strict=True):
        assert (row["duration_days"], row["n_at_risk"], row["n_observed"]) == (day, n, d)
        assert row["survival"] == pytest.approx(survival, abs=1e-12)
        error = None if row["survival"] == 0 else pytest.approx(survival * np.sqrt(variance), abs=1e-12)
        assert row["standard_error"] == error
        assert 0 <= row["survival_low"] <= row["survival"] + 1e-15
        assert row["survival"] <= row["survival_high"] + 1e-15 <= 1 + 1e-14


def test_a_plain_interval_is_the_estimate_plus_and_minus_its_errors_within_0_and_1():
    spells = last_is_open(random_spells(1, 40))
    table = of_group(kaplan_meier(spells, interval="plain"))
    close(table["survival_low"], (table["survival"] - Z95 * table["standard_error"]).clip(0, 1))
    close(table["survival_high"], (table["survival"] + Z95 * table["standard_error"]).clip(0, 1))


def test_when_the_last_customer_came_back_no_error_is_invented():
    """S = 0 has no log-log interval; lifelines prints an interval from 0 to 0, as if it were certain."""
    spells = pl.DataFrame({"customer_id": range(9), "duration_days": range(1, 10), "repurchased": [True] * 9})
    table = of_group(kaplan_meier(spells))
    last, before = table.row(-1, named=True), table.row(-2, named=True)
    assert (last["survival"], last["standard_error"], last["survival_low"]) == (0, None, 0)
    assert last["survival_high"] == pytest.approx(0.975 * before["survival_high"])  # one at risk: no more is known
    _, low, high = of_lifelines(spells, table["duration_days"])
    close(table["survival_high"][:-1], high[:-1])
    assert (low[-1], high[-1]) == (0, 0)


def test_before_the_first_repurchase_the_curve_is_one():
    table = kaplan_meier(random_spells(0).with_columns(pl.col("duration_days") + 3)).table
    assert table.row(0, named=True)["duration_days"] == 0
    assert table.filter(pl.col("n_observed").cum_sum() == 0).select("survival", *BOUNDS).unique().rows() == [(1, 1, 1)]


def test_each_group_gets_the_curve_it_would_get_alone():
    spells = random_spells(2).with_columns(country=pl.when(pl.int_range(300) == 7).then(None).otherwise("country"))
    curve = kaplan_meier(spells, by="country")
    assert curve.table["group"].unique(maintain_order=True).to_list() == ["DE", "GB", "JP", "unknown"]
    assert curve.n == 300
    for group in ("DE", "GB", "JP"):
        alone = kaplan_meier(spells.filter(pl.col("country") == group)).table
        assert curve.table.filter(pl.col("group") == group).drop("group").equals(alone.drop("group"))
    many = kaplan_meier(spells.with_columns(shop=pl.int_range(300) % 12), by="shop")
    assert many.table["group"].unique(maintain_order=True).to_list() == sorted(str(shop) for shop in range(12))


@pytest.mark.parametrize("with_id", [True, False])
def test_counts_give_the_answer_that_the_rows_would(with_id):
    rows = random_spells(3).with_columns(entry_days=pl.when(pl.col("duration_days") > 9).then(4.0).otherwise(0.0))
    keys = ["duration_days", "repurchased", "entry_days", "country"]
    counts = rows.group_by(keys).agg(weight=pl.len())
    counts = counts.with_row_index("customer_id") if with_id else counts
    by_rows, by_counts = kaplan_meier(rows, by="country"), kaplan_meier(counts, by="country")
    assert by_counts.table.equals(by_rows.table)
    assert by_counts.n == by_rows.n == 300


def test_weights_equal_lifelines():
    spells = last_is_open(random_spells(5)).with_columns(weight=pl.int_range(300) % 7 + 1)
    table = of_group(kaplan_meier(spells))
    survival, low, _ = of_lifelines(spells, table["duration_days"])
    close(table["survival"], survival)
    close(table["survival_low"], low)


def test_a_censored_customer_never_lowers_the_curve():
    spells = random_spells(6)
    more = pl.DataFrame({"customer_id": [10_000], "duration_days": [45.0], "repurchased": [False], "country": ["GB"]})
    before, after = (kaplan_meier(one).at(range(80)) for one in (spells, pl.concat([spells, more])))
    assert (after["survival"] >= before["survival"] - 1e-15).all()


def clustered_spells(seed, customers=30, *, most=5, whole=True, late=False):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), rng.integers(1, most + 1, customers))
    days = rng.exponential(1 / rng.gamma(2, 1 / 40, customers)[who]) + 1
    days = np.minimum(np.ceil(days) if whole else days, 90)
    entry = (
        np.where(rng.random(len(who)) < 0.4, np.minimum(days - 0.5, rng.integers(0, 9, len(who))), 0)
        if late
        else 0 * days
    )
    seen = (days < 90) & (rng.random(len(who)) < 0.8)
    frame = pl.DataFrame({"customer_id": who, "duration_days": days, "repurchased": seen, "entry_days": entry})
    return frame.with_columns(shop=pl.col("customer_id") % 7)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("cluster", ["customer_id", "shop"])
def test_the_clustered_error_equals_a_slow_jackknife(cluster, late, whole):
    spells = clustered_spells(8, whole=whole, late=late)
    curve = kaplan_meier(spells, cluster=cluster)
    table = of_group(curve).filter(pl.col("survival") > 0)
    assert curve.estimand == "spells"
    close(table["standard_error"], slow_clustered_error(spells, cluster, table["duration_days"]))


@pytest.mark.parametrize("whole", [True, False])
def test_with_one_spell_per_customer_the_clustered_error_is_greenwoods(whole):
    spells = random_spells(9, 2_000, whole=whole)
    plain, clustered = kaplan_meier(spells), kaplan_meier(spells, cluster="customer_id")
    assert plain.estimand == "customers"
    close(clustered.table["standard_error"].drop_nulls(), plain.table["standard_error"].drop_nulls())


def test_names_order_and_units_of_the_spells_do_not_matter():
    spells = clustered_spells(10, 60)
    expected = kaplan_meier(spells, cluster="customer_id").table
    other_ids = spells.with_columns(pl.format("c{}", 1_000 - pl.col("customer_id")).alias("customer_id"))
    huge_ids = spells.with_columns(pl.col("customer_id") * 10**14 - 5)
    for same in (spells.sample(fraction=1, shuffle=True, seed=1), other_ids.sort("duration_days"), huge_ids.reverse()):
        table = kaplan_meier(same, cluster="customer_id").table
        assert table.drop(ERRORS).equals(expected.drop(ERRORS))
        for name in ERRORS:
            close(table[name].fill_null(-1), expected[name].fill_null(-1), 1e-9)
    doubled = spells.with_columns(pl.col("duration_days", "entry_days") * 2)
    assert (kaplan_meier(doubled, cluster="customer_id").table["duration_days"] == 2 * expected["duration_days"]).all()


@pytest.mark.parametrize("ids", [[5, 1, 9, 2], ["d", "a", "c", "b"], [10**15, 3, -4, 7]])
def test_unsorted_ids_are_told_apart_and_repeated_ones_are_found(ids):
    spells = pl.DataFrame(
        {"customer_id": ids, "duration_days": [3, 4, 5, 6], "repurchased": [True, False, True, False]}
    )
    assert kaplan_meier(spells).n == 4
    twice = spells.with_columns(customer_id=pl.Series([ids[0], ids[1], ids[0], ids[3]]))
    with pytest.raises(ContractError, match=r"'customer_id' repeats \(4 spells of 3 customers\).*index='first'"):
        kaplan_meier(twice)


def test_a_day_is_read_off_the_step_that_holds_on_it():
    spells = pl.DataFrame(
        {
            "customer_id": range(5),
            "duration_days": [10, 20, 20, 30, 40],
            "repurchased": [True, True, False, True, False],
        }
    )
    told = kaplan_meier(spells).at([0, 9.5, 10, 19, 20, 35, 40, 41])
    close(told["survival"][:-1], [1, 1, 0.8, 0.8, 0.6, 0.3, 0.3])
    assert told["survival"][-1] is None, "beyond the follow-up nothing is known"
    assert told["n_at_risk"].to_list() == [5, 5, 5, 4, 4, 1, 1, 0]
    assert kaplan_meier(spells).at(10).height == 1


def test_after_everybody_came_back_the_share_stays_zero():
    spells = pl.DataFrame({"customer_id": [1, 2], "duration_days": [10, 20], "repurchased": [True, True]})
    assert (
        kaplan_meier(spells).at([20, 500]).select("survival", "standard_error", "survival_low").rows()
        == [(0, None, 0)] * 2
    )


def test_the_median_equals_lifelines_and_is_null_where_fewer_than_half_came_back():
    spells = random_spells(11, 400, censored=0.2)
    fit = KaplanMeierFitter().fit(spells["duration_days"].to_pandas(), spells["repurchased"].to_pandas())
    told = kaplan_meier(spells).median().row(0, named=True)
    assert told["median_days"] == fit.median_survival_time_
    table = kaplan_meier(spells).table
    assert told["median_low"] == table.filter(pl.col("survival_low") <= 0.5)["duration_days"][0] < told["median_days"]
    assert told["median_high"] == table.filter(pl.col("survival_high") <= 0.5)["duration_days"][0] > told["median_days"]
    rare = kaplan_meier(spells.with_columns(repurchased=pl.int_range(400) % 10 == 0)).median()
    assert rare["median_high"].item() is None


def test_quantiles_invert_the_curve_and_its_bounds_and_the_median_is_one_of_them():
    curve = kaplan_meier(random_spells(11, 400, censored=0.2), by="country")
    told = curve.quantile([0.25, 0.5, 0.75])
    assert told.columns == ["group", "quantile", "days", "low", "high"]
    for row in told.to_dicts():
        table = of_group(curve, row["group"])
        for name, bound in (("days", "survival"), ("low", "survival_low"), ("high", "survival_high")):
            days = table.filter(pl.col(bound) <= 1 - row["quantile"])["duration_days"]
            assert row[name] == (days[0] if len(days) else None)
    half = told.filter(pl.col("quantile") == 0.5)
    assert curve.median().rows() == half.drop("quantile").rows()
    with pytest.raises(ValueError, match=r"q is 1.5; a share who bought again lies between 0 and 1"):
        curve.quantile(1.5)


def test_the_median_is_the_day_on_which_exactly_half_were_back():
    spells = pl.DataFrame({"customer_id": range(6), "duration_days": range(10, 16), "repurchased": [True] * 6})
    assert kaplan_meier(spells).median()["median_days"].item() == 12
    thirds = spells.with_columns(repurchased=pl.int_range(6) != 1)  # 5/6 * 3/4 * 2/3 * 1/2
    assert kaplan_meier(thirds).median()["median_days"].item() == 13
    many = pl.DataFrame({"duration_days": range(1, 50), "repurchased": [True] * 49, "weight": [1] * 48 + [48]})
    assert kaplan_meier(many).median()["median_days"].item() == 48, "rounding in 48 factors does not move it"


def test_a_shop_may_name_its_own_columns():
    spells = random_spells(12)
    theirs = spells.rename({"customer_id": "user", "duration_days": "T", "repurchased": "E"}).with_columns(
        duration_days=-1.0
    )
    assert kaplan_meier(theirs, id="user", duration="T", repurchased="E").table.equals(kaplan_meier(spells).table)
    assert kaplan_meier(spells.to_pandas()).table.equals(kaplan_meier(spells.lazy()).table)


def test_a_curve_reads_well_in_a_notebook():
    curve = kaplan_meier(random_spells(13))
    assert "300 customers" in repr(curve)
    assert "Survival curve" in curve._repr_html_()
    assert "Survival curve" in kaplan_meier(random_spells(13).with_columns(duration_days=pl.lit(1.0)))._repr_html_()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": 1.0}, ValueError, "level is 1.0; it must lie between 0 and 1"),
        ({"interval": "log"}, ValueError, "interval is 'log'; it must be one of 'log-log', 'plain'"),
        ({"by": "city"}, ContractError, "no column 'city'. It has: customer_id"),
        ({"cluster": "firm", "by": "city"}, ContractError, "no column 'city', 'firm'"),
        (
            {"id": "user"},
            ContractError,
            r"no column 'user' \(customer_id\). It has: customer_id, .* name your columns",
        ),
        ({"weight": "cuont"}, ContractError, r"no column 'cuont' \(weight\). It has"),
        ({"level": "0.95"}, ValueError, "level is '0.95'; it must lie between 0 and 1"),
        ({"cluster": "country"}, ContractError, "'country' is null in 100 of 300 rows; fill or drop them"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, error, message):
    spells = random_spells(14).with_columns(country=pl.when(pl.int_range(300) % 3 > 0).then("country"))
    with pytest.raises(error, match=message):
        kaplan_meier(spells, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": pl.lit(None, pl.Int64)}, "'weight' is null in 300 of 300 rows"),
        ({"weight": pl.lit(0)}, "weight is below 1"),
        ({"duration_days": pl.lit(0.0)}, "duration_days is not above 0"),
        ({"repurchased": pl.lit(None, pl.Boolean)}, "repurchased is null"),
        ({"entry_days": pl.col("duration_days")}, "entry_days is not before duration_days"),
        ({"repurchased": pl.lit(False)}, "none of 300 ended in a repurchase.*rule of three"),
    ],
)
def test_bad_spells_are_refused_with_the_reason(change, message):
    with pytest.raises(ContractError, match=message):
        kaplan_meier(random_spells(15).with_columns(**change))


def test_counts_and_clusters_do_not_go_together():
    with pytest.raises(ContractError, match="cluster= and a weight column do not go together; give the rows"):
        kaplan_meier(random_spells(15).with_columns(weight=2), cluster="customer_id")


def test_a_risk_set_that_runs_empty_early_is_refused_with_the_mend():
    spells = pl.DataFrame(
        {
            "customer_id": [1, 2, 3],
            "duration_days": [2, 9, 12],
            "repurchased": [True, True, False],
            "entry_days": [0, 3, 3],
        }
    )
    with pytest.raises(ContractError, match="everybody at risk came back on day 2, while others only entered later"):
        kaplan_meier(spells)
    mended = spells.filter(pl.col("duration_days") > 2).with_columns(pl.max_horizontal("entry_days", 2))
    assert kaplan_meier(mended).at(9)["survival"].item() == 0.5


@pytest.mark.parametrize("days", [-1, [3, float("nan")], float("inf")])
def test_days_before_the_order_are_refused(days):
    with pytest.raises(ValueError, match="give days >= 0"):
        kaplan_meier(random_spells(16)).at(days)


def covered(curve, day, truth):
    row = curve.at(day).row(0, named=True)
    return row["survival_low"] <= truth <= row["survival_high"]


def band_holds(curve, truth):
    """Whether the band, a step between the days told, holds the truth {day: share} on every whole day of its range."""
    told = curve.table.filter(pl.col("band_low").is_not_null())
    days = pl.DataFrame({"duration_days": np.arange(told["duration_days"][0], told["duration_days"][-1] + 1)})
    each = days.join_asof(told, on="duration_days").with_columns(truth=pl.col("duration_days").replace_strict(truth))
    return each.select(pl.col("truth").is_between("band_low", "band_high").all()).item()


@pytest.mark.certify
def test_intervals_and_bands_cover_the_truth_of_the_simulated_shop_as_often_as_they_say(certify):
    days = (20, 90, 200)

    def hits(seed):
        world = shop(n_customers=300, rng=seed)
        spells = repurchase_spells(first_and_next(world), as_of=world.as_of)
        truth = dict(world.truth.curves.filter(pl.col("group") == "all").select("duration_days", "survival").rows())
        curves = [kaplan_meier(spells, level=0.9, interval=interval) for interval in ("log-log", "plain")]
        found = [covered(curve, day, truth[day]) for curve in curves for day in days]
        return [*found, band_holds(curves[0], truth)]

    certify(hits, level=0.9)


def first_and_next(world):
    """Orders straight from the log's purchases: quicker than features.orders and a stranger to it."""
    bought = (
        world.events.filter(pl.col("event") == "purchase")
        .group_by("customer_id", "order_id")
        .agg(ordered_at=pl.col("at").min())
    )
    return bought.with_columns(order_number=1, gross_revenue=1.0, refunded=0.0, revenue=1.0, items=1)


@pytest.mark.certify
def test_only_the_clustered_interval_and_band_cover_when_spells_of_a_customer_are_alike(certify):
    """Gamma rates shared by the six spells of a customer; P(T > t) = (60 / (60 + t))^1.5, censoring independent."""
    truth = {float(day): (60 / (60 + day)) ** 1.5 for day in range(200)}
    alone = []

    def hits(seed):
        rng = np.random.default_rng(seed)
        rate = np.repeat(rng.gamma(1.5, 1 / 60, 80), 6)
        time, limit = np.ceil(rng.exponential(1 / rate)), rng.integers(30, 150, len(rate))
        columns = {"duration_days": np.minimum(time, limit).astype(float), "repurchased": time <= limit}
        spells = pl.DataFrame({"customer_id": np.repeat(np.arange(80), 6), **columns}).with_row_index("spell")
        alone.append(covered(kaplan_meier(spells, cluster="spell", level=0.9), 40, truth[40]))
        curve = kaplan_meier(spells, cluster="customer_id", level=0.9)
        return [covered(curve, 40, truth[40]), band_holds(curve, truth)]

    certify(hits, level=0.9)
    assert np.mean(alone) < 0.8, "spells taken as independent claim too much"


def test_the_band_is_the_interval_with_nairs_critical_value():
    """Equal precision: its width in errors depends on how much the variance grows over its days, on nothing else."""
    spells = random_spells(20, 300)
    table = kaplan_meier(spells).table
    inside = table.filter(pl.col("band_low").is_not_null())
    error = inside["standard_error"] / inside["survival"] / -inside["survival"].log()  # of log(-log S)
    assert (error <= 10**-0.5).all()
    assert (inside["n_at_risk"] >= 10).all()
    reach = [((-inside[name].log()).log() - (-inside["survival"].log()).log()) / error for name in inside.columns[-2:]]
    growth = (inside["standard_error"] / inside["survival"])[-1] / (inside["standard_error"] / inside["survival"])[0]
    for critical in (reach[0], -reach[1]):
        close(critical, np.full(len(inside), equal_precision(growth**2, 0.95)), 1e-6)
    plain = kaplan_meier(spells, interval="plain").table
    assert (plain["band_low"] <= plain["survival_low"]).all()
    assert plain["band_low"].null_count() == table["band_low"].null_count()
    few = kaplan_meier(random_spells(20, 9)).table
    assert few["band_low"].null_count() == len(few)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("ratio", [1.0, 1.5, 30.0, 1e6])
def test_critical_values_are_those_of_brownian_paths(ratio, level):
    """Paths W(v) / sqrt(v) on 400 days, v growing by `ratio`; both ways to the critical value see what lies between."""
    v = np.geomspace(1, ratio, 400) if ratio > 1 else np.ones(1)
    rng = np.random.default_rng(1)
    path = rng.normal(size=40_000)
    highest_seen = np.abs(path)
    for before, now in itertools.pairwise(v):
        path = path + rng.normal(size=len(path)) * np.sqrt(now - before)
        highest_seen = np.maximum(highest_seen, np.abs(path) / np.sqrt(now))
    between = 0.5826 * np.sqrt(np.log(ratio) / 399)  # what a path of days misses
    expected = np.quantile(highest_seen, level) + between
    assert equal_precision(ratio, level) == pytest.approx(expected, abs=0.03)
    told = highest(np.arange(len(v)), v * (1 + 1e-9), lambda at: np.minimum.outer(v[at], v[at]), level)
    assert told == pytest.approx(expected, abs=0.04)


def test_a_few_days_are_integrated_as_they_are():
    covariance = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.5], [-0.2, 0.5, 1.0]])
    paths = np.random.default_rng(2).multivariate_normal(np.zeros(3), covariance, 400_000) / np.sqrt(
        np.diag(covariance)
    )
    told = highest(np.arange(3), np.arange(1.0, 4), lambda at: covariance[np.ix_(at, at)], 0.95)
    assert told == pytest.approx(np.quantile(np.abs(paths).max(axis=1), 0.95), abs=0.01)


def test_everybody_came_back_is_no_certainty_and_no_ignorance():
    spells = pl.DataFrame({"customer_id": range(300), "duration_days": 10, "repurchased": True})
    last = kaplan_meier(spells).table.row(-1, named=True)
    exact = stats.binomtest(0, 300).proportion_ci(0.95, method="exact").high
    assert last["survival_high"] == pytest.approx(exact, rel=1e-9)
    assert (last["survival"], last["survival_low"]) == (0, 0)
