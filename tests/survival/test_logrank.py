"""The log-rank test against lifelines, scikit-survival and the definition, and how often it cries wolf."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from lifelines.statistics import multivariate_logrank_test
from scipy import stats
from sksurv.compare import compare_survival

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import logrank

FLEMING = {"weights": "fleming_harrington", "p": 0.5, "q": 1.0}


def random_spells(seed, n=200, *, groups="abc"):
    rng = np.random.default_rng(seed)
    days = np.ceil(rng.gamma(1.3, 12, n))
    late = np.where(rng.random(n) < 0.4, np.minimum(rng.integers(0, 9, n), days - 0.5), 0)
    frame = pl.DataFrame({"customer_id": np.arange(n), "duration_days": days, "repurchased": rng.random(n) < 0.7})
    return frame.with_columns(
        arm=pl.Series(rng.choice(list(groups), n)),
        country=pl.Series(rng.choice(["GB", "JP"], n)),
        entry_days=pl.Series(late),
        weight=pl.Series(rng.integers(1, 4, n)),
    )


def day_weight(kind, n, d, before, peto):
    return {
        "logrank": 1,
        "wilcoxon": n,
        "tarone_ware": n**0.5,
        "peto": peto * (1 - d / (n + 1)),
        "fleming_harrington": before**0.5 * (1 - before),
    }[kind]


def slow_test(spells, kind="logrank"):
    """Statistic by the definition: at risk on (entry, duration], each row standing for `weight` customers."""
    groups = sorted(spells["arm"].unique())
    gap, variance = np.zeros(len(groups)), np.zeros((len(groups),) * 2)
    for _, part in spells.group_by("country"):
        before = peto = 1.0
        rows = part.select("entry_days", "duration_days", "repurchased", "arm", "weight").rows()
        for day in sorted({row[1] for row in rows if row[2]}):
            at_risk = np.array([sum(w for e, t, _, g, w in rows if e < day <= t and g == one) for one in groups])
            came = np.array([sum(w for _, t, seen, g, w in rows if seen and t == day and g == one) for one in groups])
            n, d = at_risk.sum(), came.sum()
            weight = day_weight(kind, n, d, before, peto)
            gap += weight * (came - d * at_risk / n)
            if n > 1:
                law = stats.multivariate_hypergeom(m=at_risk, n=d)
                variance += weight**2 * law.cov()
            before, peto = before * (1 - d / n), peto * (1 - d / (n + 1))
    return float(gap @ np.linalg.pinv(variance) @ gap)


@pytest.mark.parametrize("seed", range(3))
def test_the_plain_test_equals_scikit_survival(seed):
    spells = random_spells(seed).drop("entry_days", "weight")
    ends = np.array(spells.select("repurchased", "duration_days").rows(), dtype=[("seen", bool), ("time", float)])
    told = logrank(spells, by="arm")
    expected = compare_survival(ends, spells["arm"].to_numpy(), return_stats=True)
    assert (told.statistic, told.p_value) == pytest.approx(expected[:2], rel=1e-10)
    assert told.table["observed"].to_list() == expected[2]["observed"].to_list()
    assert told.table["expected"].to_list() == pytest.approx(expected[2]["expected"].to_list(), rel=1e-10)
    assert told.degrees_of_freedom == 2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"weights": "wilcoxon"}, {"weightings": "wilcoxon"}),
        ({"weights": "tarone_ware"}, {"weightings": "tarone-ware"}),
        ({"weights": "peto"}, {"weightings": "peto"}),
        (FLEMING, {"weightings": "fleming-harrington", "p": 0.5, "q": 1.0}),
    ],
)
def test_weighted_tests_equal_lifelines(ours, theirs):
    spells = random_spells(4).drop("entry_days", "weight")
    columns = [spells[name].to_numpy() for name in ("duration_days", "arm", "repurchased")]
    expected = multivariate_logrank_test(*columns, **theirs)
    assert logrank(spells, by="arm", **ours).statistic == pytest.approx(expected.test_statistic, rel=1e-10)


@pytest.mark.parametrize("kind", ["logrank", "wilcoxon", "tarone_ware", "peto", "fleming_harrington"])
def test_strata_late_entries_and_counts_together_equal_the_definition(kind):
    spells = random_spells(5)
    options = FLEMING if kind == "fleming_harrington" else {"weights": kind}
    told = logrank(spells, by="arm", strata="country", **options)
    assert told.statistic == pytest.approx(slow_test(spells, kind), rel=1e-9)
    assert told.n == spells["weight"].sum()


def test_counts_give_the_answer_that_the_rows_would_and_order_and_names_do_not_matter():
    spells = random_spells(6)
    rows = spells.select(pl.all().repeat_by("weight")).explode(pl.all()).drop("weight")
    rows = rows.with_columns(customer_id=pl.int_range(pl.len()))
    counted, plain = (logrank(one, by="arm", strata="country") for one in (spells, rows))
    assert counted.table.equals(plain.table)
    assert counted.statistic == pytest.approx(plain.statistic, rel=1e-12)
    moved = rows.sample(fraction=1, shuffle=True, seed=1).with_columns(arm=pl.col("arm").replace({"a": "z"}))
    scaled = moved.with_columns(pl.col("duration_days", "entry_days") * 24)
    assert logrank(scaled, by="arm", strata="country").statistic == pytest.approx(plain.statistic, rel=1e-12)


def test_a_group_that_left_before_the_first_repurchase_takes_no_degree_of_freedom():
    gone = pl.DataFrame({"customer_id": [900, 901], "duration_days": 0.5, "repurchased": False, "arm": "gone"})
    spells = random_spells(7, groups="ab").select("customer_id", "duration_days", "repurchased", "arm")
    gone = gone.with_columns(pl.col("customer_id").cast(spells.schema["customer_id"]))
    plain, more = (logrank(one, by="arm") for one in (spells, pl.concat([spells, gone])))
    assert more.degrees_of_freedom == plain.degrees_of_freedom == 1
    assert more.statistic == pytest.approx(plain.statistic, rel=1e-12)
    assert more.table["n"].sum() == 202


@pytest.mark.parametrize("options", [{}, {"weights": "peto"}, {"strata": "country"}], ids=str)
def test_where_groups_do_not_differ_the_p_value_is_uniform(options):
    """Censoring differs between the groups and durations between the strata; the hazards of the arms do not."""
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        arm, country = rng.integers(0, 2, (2, 200))
        days, limit = np.ceil(rng.exponential(20 + 30 * country)), rng.integers(10, 40 + 60 * arm)
        columns = {"customer_id": range(200), "duration_days": np.minimum(days, limit), "repurchased": days <= limit}
        spells = pl.DataFrame({**columns, "arm": arm, "country": country})
        found.append(logrank(spells, by="arm", **options).p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_late_differences_are_found_by_weights_that_look_there():
    rng = np.random.default_rng(8)
    arm = np.arange(600) % 2
    days = np.ceil(np.where(rng.random(600) < 0.6, rng.uniform(0, 30, 600), 30 + rng.exponential(40 + 60 * arm)))
    spells = pl.DataFrame({"customer_id": range(600), "duration_days": days, "repurchased": True, "arm": arm})
    late, early = (logrank(spells, by="arm", weights="fleming_harrington", p=p, q=q) for p, q in ((0, 2), (2, 0)))
    assert late.p_value < 1e-4 < early.p_value


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weights": "gehan"}, ValueError, "weights is 'gehan'; it must be one of 'logrank', 'wilcoxon'"),
        ({"weights": "fleming_harrington", "p": -1}, ValueError, "p is -1 and q is 0.0; the exponents are >= 0"),
        ({"by": "shop"}, ValueError, "by is 'shop', which has the one group '1'; a comparison needs two"),
        ({"by": "city"}, ContractError, "no column 'city'"),
        ({"strata": "city"}, ContractError, "strata is 'city', a column that is missing or has nulls"),
        ({"strata": "hole"}, ContractError, "strata is 'hole', a column that is missing or has nulls"),
        ({"strata": "arm"}, ValueError, "on no day with a repurchase were two of its groups at risk together"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, error, message):
    spells = random_spells(9).with_columns(shop=1, hole=pl.lit(None, pl.String))
    with pytest.raises(error, match=message):
        logrank(spells, **{"by": "arm", **options})


def test_repeated_customers_and_weights_of_zero_are_refused():
    with pytest.raises(ContractError, match="'customer_id' repeats"):
        logrank(random_spells(10).with_columns(customer_id=1), by="arm")
    with pytest.raises(ContractError, match="weight is below 1"):
        logrank(random_spells(10).with_columns(weight=0), by="arm")


def test_it_reads_well_in_a_notebook():
    test = logrank(random_spells(11), by="arm")
    assert "on 2 degrees of freedom, p = " in repr(test)
    assert "Do the groups differ?" in test._repr_html_()
