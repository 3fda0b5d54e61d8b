"""Whether customers were dealt as planned: what blocks, what warns, and how often either is a false alarm."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, norm, ttest_ind

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.splits import ratio_reason, split_p_value
from shoptoolkit.incrementality import check_split
from shoptoolkit.incrementality.split import split_reason
from shoptoolkit.simulate import Experiment, shop

HALF = {"ad": 0.5, "none": 0.5}


def dealt(counts, **more):
    """Outcomes with so many customers in each arm."""
    arms = [arm for arm, n in counts.items() for _ in range(n)]
    return pl.DataFrame(
        {"customer_id": range(len(arms)), "arm": arms}, schema_overrides={"arm": pl.String}
    ).with_columns(**more)


def overall(frame, **options):
    return check_split(frame, **options).table.filter(check="overall")


# ---- the overall test -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(600, 1_500), min_size=2, max_size=4), st.data())
def test_the_overall_test_is_pearsons(counts, data):
    weight = data.draw(st.lists(st.integers(3, 9), min_size=len(counts), max_size=len(counts)))
    shares = {f"arm {k}": one / sum(weight) for k, one in enumerate(weight)}
    found = overall(dealt(dict(zip(shares, counts, strict=True))), shares=shares)
    due = np.array([*shares.values()]) * sum(counts)
    assert found["p_value"][0] == pytest.approx(chisquare(counts, due).pvalue, rel=1e-9, abs=1e-300)
    assert found["planned_share"].to_list() == pytest.approx([*shares.values()])


@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.1, 0.5]))
def test_few_customers_are_judged_by_the_binomial_law(ads, none, share):
    p_value = split_p_value([ads, none], [share * (ads + none), (1 - share) * (ads + none)])
    tails = [binomtest(ads, ads + none, share, alternative=side).pvalue for side in ("less", "greater")]
    assert p_value == pytest.approx(min(1, 2 * min(tails)), rel=1e-9)


def test_a_split_that_is_off_blocks_and_says_what_to_look_for():
    found = check_split(dealt({"ad": 5_300, "none": 4_700}), shares=HALF)
    assert found.blocked
    assert found.table["verdict"].to_list() == ["blocked", "blocked"]
    assert found.reason.startswith(
        "Sample ratio mismatch: of 10,000 customers 5,300 in 'ad' (planned 5,000), 4,700 in 'none' (planned 5,000); "
        "p = 2e-09"
    )
    assert "compare nothing" in found._repr_html_()
    assert repr(found) == found.reason


def test_without_a_plan_equal_shares_are_assumed_and_told():
    found = check_split(dealt({"ad": 510, "none": 490}))
    assert (found.blocked, found.reason, found.plan) == (
        False,
        None,
        "equal shares, as neither shares nor probability are given",
    )
    assert "Planned: equal shares" in found._repr_html_()
    assert repr(found).endswith("510 in 'ad' (51.00%), 490 in 'none' (49.00%) customers; p = 0.53")


def test_estimators_refuse_only_where_a_plan_is_known():
    off = dealt({"ad": 5_300, "none": 4_700})
    assert split_reason(off) is None
    assert split_reason(off, shares=HALF) == check_split(off, shares=HALF).reason
    assert split_reason(off.with_columns(probability=0.5)).startswith("Sample ratio mismatch")


def test_an_arm_of_the_plan_that_nobody_is_in_counts():
    shares = {"ad": 0.45, "mail": 0.1, "none": 0.45}
    found = check_split(dealt({"ad": 500, "none": 500}), shares=shares)
    assert found.blocked
    assert found.table.filter(arm="mail").select("n", "planned_share").row(0) == (0, pytest.approx(0.1))
    assert not check_split(
        dealt({"ad": 500, "none": 500}), shares={"ad": 0.4995, "mail": 0.001, "none": 0.4995}
    ).blocked


# ---- plans by probability -------------------------------------------------------------------------------------------


def test_chances_may_vary_between_strata():
    """Nine in ten treated in one stratum, half in the other: balanced only given the plan."""
    frame = pl.concat(
        [dealt({"ad": 900, "none": 100}, stratum=pl.lit("a")), dealt({"ad": 500, "none": 500}, stratum=pl.lit("b"))]
    )
    chance = {("a", "ad"): 0.9, ("a", "none"): 0.1, ("b", "ad"): 0.5, ("b", "none"): 0.5}
    own = [chance[row] for row in frame.select("stratum", "arm").rows()]
    frame = frame.with_columns(customer_id=pl.int_range(pl.len()), probability=pl.Series(own))
    found = check_split(frame)
    assert found.table["p_value"].to_list() == pytest.approx([1.0] * 6)
    assert found.table["planned_share"].to_list() == pytest.approx([0.7, 0.3, 0.9, 0.1, 0.5, 0.5])
    assert check_split(frame.drop("probability")).blocked


def test_customers_may_have_chances_of_their_own():
    rng = np.random.default_rng(3)
    chance = rng.uniform(0.2, 0.9, 20_000)
    treated = rng.random(20_000) < chance
    frame = pl.DataFrame({"customer_id": range(20_000), "arm": np.where(treated, "ad", "none")})
    frame = frame.with_columns(probability=np.where(treated, chance, 1 - chance))
    z = (treated.sum() - chance.sum()) / np.sqrt((chance * (1 - chance)).sum())
    assert overall(frame)["p_value"][0] == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)
    assert not check_split(frame).blocked
    assert check_split(frame.filter((pl.col("arm") == "ad") | (pl.col("customer_id") % 5 > 0))).blocked


def test_two_of_three_arms_are_held_to_each_other():
    frame = dealt({"ad": 1_000, "none": 1_020}, probability=1 / 3)
    assert overall(frame)["planned_share"].to_list() == pytest.approx([0.5, 0.5])


def test_clusters_that_were_dealt_are_what_is_counted():
    frame = dealt({"ad": 600, "none": 400}).with_columns(cluster=pl.col("customer_id") // 50, pre_orders=1.0)
    found = check_split(frame, shares=HALF)
    assert (found.unit, found.table["n"].to_list()[:2], found.blocked) == ("clusters", [12, 8], False)
    assert check_split(frame.with_columns(cluster=pl.col("customer_id") % 50), shares=HALF).unit == "customers"


# ---- what only warns ------------------------------------------------------------------------------------------------

DAY = datetime(2025, 1, 1)


def test_a_stratum_or_a_day_that_is_off_warns_and_does_not_block():
    frame = dealt({"ad": 2_000, "none": 2_000}).with_columns(half=pl.col("customer_id") % 2_000 // 1_000)
    early = pl.col("customer_id") % 2_000 < pl.when(pl.col("arm") == "ad").then(1_100).otherwise(900)
    frame = frame.with_columns(
        stratum=pl.when(early).then(pl.lit("new")).otherwise(pl.lit("old")),
        started_at=pl.lit(DAY) + pl.duration(days=pl.col("half")),
    )
    found = check_split(frame)
    assert not found.blocked
    warned = found.table.filter(verdict="warning").select("check", "part", "arm", "n").rows()
    assert warned == [
        ("stratum", "new", "ad", 1100),
        ("stratum", "new", "none", 900),
        ("stratum", "old", "ad", 900),
        ("stratum", "old", "none", 1100),
    ]
    assert "2 of them warn" in found._repr_html_()
    assert "warning: stratum new, p = 8e-06" in repr(found)


def test_further_columns_are_checked_by_name_and_days_in_the_zone():
    night = pl.lit(DAY) + pl.duration(hours=pl.col("customer_id") % 2 * 20)
    frame = dealt({"ad": 300, "none": 300}).with_columns(started_at=night, country=pl.Series([None, "GB"] * 300))
    found = check_split(frame, by="country", timezone="Asia/Seoul").table
    assert found["part"].unique(maintain_order=True).to_list() == ["all", "GB", "unknown", "2025-01-01", "2025-01-02"]
    assert found["p_adjusted"].drop_nulls().to_list() == [1.0] * 8


def test_means_of_what_was_known_before_are_welchs_and_weigh_nothing_by_their_scale():
    rng = np.random.default_rng(1)
    value = rng.gamma(1, 50, 3_000).round(2)
    frame = dealt({"ad": 1_000, "none": 2_000}).with_columns(
        pre_revenue=pl.Series(value), pre_flag=pl.Series(value > 50)
    )
    for shift in (0.0, 1e9):
        found = check_split(
            frame.with_columns(pl.col("pre_revenue") + shift), shares={"ad": 1 / 3, "none": 2 / 3}
        ).table
        row = found.filter(part="pre_revenue", arm="ad").to_dicts()[0]
        ad, none = value[:1_000], value[1_000:]
        assert row["p_value"] == pytest.approx(ttest_ind(ad, none, equal_var=False).pvalue, rel=3e-3)
        spread = np.sqrt((ad.var() + none.var()) / 2)
        assert row["difference"] == pytest.approx((ad.mean() - none.mean()) / spread, rel=1e-6)


def test_means_are_weighed_by_the_chances_of_the_plan():
    """Recent buyers are treated more often by design: no imbalance."""
    rng = np.random.default_rng(2)
    recent = rng.random(10_000) < 0.5
    chance = np.where(recent, 0.8, 0.3)
    treated = rng.random(10_000) < chance
    frame = pl.DataFrame({"customer_id": range(10_000), "arm": np.where(treated, "ad", "none"), "pre_recent": recent})
    frame = frame.with_columns(probability=np.where(treated, chance, 1 - chance))
    row = check_split(frame).table.filter(check="covariate").to_dicts()[0]
    assert abs(row["difference"]) < 0.05
    assert row["verdict"] == "ok"


def test_holm_adjusts_over_all_that_warns():
    frame = dealt({"ad": 400, "none": 400}).with_columns(
        stratum=pl.Series(["a"] * 230 + ["b"] * 170 + ["a"] * 180 + ["b"] * 220)
    )
    rows = check_split(frame).table.filter(check="stratum", arm="ad")
    small, large = sorted(rows["p_value"])
    assert sorted(rows["p_adjusted"]) == pytest.approx([2 * small, max(2 * small, large)])


def test_rows_in_any_order_change_nothing():
    world = shop(n_customers=500, days=150, rng=3, experiment=Experiment())
    found = [check_split(frame).table for frame in (world.assignments, world.assignments.reverse())]
    assert found[0].equals(found[1])
    assert set(found[0]["check"]) == {"overall", "stratum"}


# ---- false alarms ---------------------------------------------------------------------------------------------------


@pytest.mark.certify
@pytest.mark.parametrize("n", [150, 4_000])
def test_a_sound_draw_is_not_called_off(certify, n):
    """The p-value of a sound draw is below .05 in one of 20, and below .0005 as good as never."""
    shares, least = np.array([0.1, 0.3, 0.6]), []

    def hits(seed):
        rng = np.random.default_rng(seed)
        fair = split_p_value(counts := rng.multinomial(n, shares), n * shares)
        chance = rng.uniform(0.02, 0.2, n)
        ads = (rng.random(n) < chance).sum()
        spread = (chance * (1 - chance)).sum()
        own = split_p_value([ads, n - ads], [chance.sum(), n - chance.sum()], [[spread, -spread], [-spread, spread]])
        few = split_p_value(rng.multinomial(40, [0.1, 0.9]), [4, 36])
        least.append(min(fair, own, few))
        assert counts.sum() == n
        return [fair >= 0.05, own >= 0.05, few >= 0.05]

    certify(hits, level=0.95)
    assert np.mean(np.array(least) < 0.0005) < 0.015


@pytest.mark.certify
def test_warnings_are_false_in_one_of_twenty_sound_draws_at_most(certify):
    def hits(seed):
        rng = np.random.default_rng(seed)
        n = 2_000
        frame = pl.DataFrame({"customer_id": range(n), "arm": np.where(rng.random(n) < 0.3, "ad", "none")})
        frame = frame.with_columns(
            stratum=pl.Series(rng.integers(0, 5, n)).cast(pl.String),
            pre_orders=rng.poisson(0.3, n),
            pre_spend=rng.gamma(1, 1, n),
        )
        return [not (check_split(frame, shares={"ad": 0.3, "none": 0.7}).table["verdict"] == "warning").any()]

    certify(hits, level=0.95)


# ---- what is wrong --------------------------------------------------------------------------------------------------

PLAIN = dealt({"ad": 60, "mail": 60, "none": 60})


@pytest.mark.parametrize(
    ("frame", "options", "error", "words"),
    [
        (dealt({"ad": 60}), {}, ContractError, "'ad' is the one arm; pass `shares` with the others, or all arms"),
        (PLAIN, {"shares": HALF}, ValueError, "shares has no 'mail'; the arms are 'ad', 'mail', 'none'"),
        (
            PLAIN,
            {"shares": {"ad": 0.5, "mail": 0.5, "none": 0.5}},
            ValueError,
            "above 0 and add up to 1, e.g. 0.9 and 0.1",
        ),
        (PLAIN, {"shares": {"ad": 0.5, "mail": 0.5, "none": 0}}, ValueError, "above 0 and add up to 1"),
        (PLAIN, {"shares": {"ad": "1/3", "mail": "1/3", "none": "1/3"}}, ValueError, "above 0 and add up to 1"),
        (PLAIN, {"by": "country"}, ContractError, "by names 'country'; the frame has: customer_id, arm"),
        (
            PLAIN.with_columns(probability=pl.Series([None] * 9 + [0.5] * 171)),
            {},
            ContractError,
            "null or 0 for 9 customers",
        ),
        (PLAIN.with_columns(probability=0.0), {}, ContractError, "null or 0 for 180 customers"),
        (
            PLAIN.with_columns(probability=pl.Series(np.linspace(0.2, 0.4, 180))),
            {},
            ContractError,
            "'probability' varies among customers of one arm (and stratum)",
        ),
        (pl.concat([PLAIN, PLAIN.head(1)]), {}, ContractError, "1 customers have several rows: 0 (ad). Keep the first"),
        (PLAIN.drop("arm"), {}, ContractError, "outcomes: 'arm' is missing"),
        (
            PLAIN.with_columns(assigned_at=DAY, experiment_id=pl.col("arm")),
            {},
            ContractError,
            "they are of 3 experiments; pass those of one",
        ),
    ],
)
def test_what_cannot_be_checked_is_an_error(frame, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        check_split(frame, **options)


def test_someone_in_an_arm_that_was_not_planned_is_a_mismatch():
    assert ratio_reason({"ad": 10, "none": 10}, {"ad": 1.0, "none": 0.0}).startswith("Sample ratio mismatch")
    assert ratio_reason({"ad": 20, "none": 18}, {"ad": 2, "none": 2}) is None


def test_assignments_of_many_days_are_quick_to_read():
    many = dealt({"ad": 5_000, "none": 5_000}).with_columns(
        started_at=pl.lit(DAY) + timedelta(days=1) * (pl.col("customer_id") % 100)
    )
    assert len(check_split(many).table) == 202
    assert check_split(many)._repr_html_().count("<tr>") <= 4
