"""Who buys by habit: gaps by their definition, shapes that the window does not bend, intervals that hold."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import NormalDist, mean, stdev
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import beta as beta_function
from scipy.special import polygamma

from shoptoolkit import simulate
from shoptoolkit.contract import ContractError
from shoptoolkit.features import orders, rhythm
from shoptoolkit.features.rhythm import shapes

START = datetime(2025, 1, 1)


def orders_of(rows):
    """Orders from (customer, hour) or (customer, hour, source) rows."""
    rows = [(*row, "organic")[:3] for row in rows]
    frame = pl.DataFrame(
        [(who, START + timedelta(hours=float(hour)), source) for who, hour, source in rows],
        schema={"customer_id": pl.Int64, "ordered_at": pl.Datetime("us"), "source": pl.String},
        orient="row",
    )
    return frame.with_row_index("order_id").with_columns(
        order_number=1, gross_revenue=9.0, refunded=0.0, revenue=9.0, items=1
    )


def lives(*, shape, mean_days, n, days, rng, dropout=0.0):
    """Orders with gamma gaps, as a window of so many days shows them; customers join in its first half."""
    rng = np.random.default_rng(rng)
    rows = []
    for who in range(n):
        at, rate = rng.uniform(0, days / 2), rng.gamma(4.0, 1 / (3 * mean_days))  # 1 / rate is mean_days in the mean
        while at < days:
            rows.append((who, 24 * at))
            at = math.inf if rng.random() < dropout else at + rng.gamma(shape, 1 / (shape * rate))
    return orders_of(rows)


def slow_row(days, end):
    """One customer's row from the definition: order_days, gaps, mean gap, cv, clumpiness, unevenness."""
    gaps = [(later - one).days for one, later in pairwise(days)]
    total = (end - days[0]).days
    waits = [*gaps, (end - days[-1]).days]
    clumpiness = 1 + sum(w / total * math.log(w / total) for w in waits) / math.log(len(waits)) if gaps else None
    uneven = [((a - 0.5) / (a + b - 1) - 0.5) ** 2 for a, b in pairwise(gaps)]
    return (
        len(days),
        len(gaps),
        mean(gaps) if gaps else None,
        stdev(gaps) / mean(gaps) if len(gaps) > 1 else None,
        clumpiness,
        mean(uneven) if uneven else None,
    )


def slow_shape(gaps, target):
    """The shape at which the modified signed root of the Dirichlet likelihood is `target`."""
    n, fine = len(gaps), [gap - 0.5 for gap in gaps]
    logs = sum(math.log(x / sum(fine)) for x in fine)

    def likelihood(k):
        return math.lgamma(n * k) - n * math.lgamma(k) + k * logs

    def root(k):
        signed = math.copysign(math.sqrt(2 * (likelihood(best) - likelihood(k))), best - k)
        spread = math.sqrt(n * polygamma(1, best) - n**2 * polygamma(1, n * best))
        return signed + math.log((best - k) * spread / signed) / signed - target

    slope = lambda k: n * (polygamma(0, n * k) - polygamma(0, k)) + logs  # noqa: E731
    best = brentq(slope, 1e-3, 1e4, xtol=1e-12)
    side = [(1e-4, best * (1 - 1e-4)), (best * (1 + 1e-4), 1e6)]
    low, high = next(pair for pair in side if root(pair[0]) * root(pair[1]) < 0)
    return brentq(root, low, high, xtol=1e-12)


HOURS = st.lists(st.integers(0, 24 * 60), min_size=1, max_size=14)


@settings(max_examples=100)
@given(
    hours=st.lists(HOURS, min_size=1, max_size=5),
    last=st.sampled_from([1, 20, 60, 90]),
    zone=st.sampled_from(["UTC", "Asia/Tokyo"]),
    level=st.sampled_from([0.5, 0.95]),
)
@example(hours=[[0, 24, 24 * 3, 24 * 6, 24 * 7, 24 * 20, 24 * 21]], last=90, zone="UTC", level=0.9)
@example(hours=[[24 * 7 * k for k in range(8)], [5]], last=90, zone="UTC", level=0.9)
def test_every_customer_is_told_as_defined(hours, last, zone, level):
    end, expected = date(2025, 1, 1) + timedelta(days=last), {}
    for who, own in enumerate(hours):
        at = [(START + timedelta(hours=hour)).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)) for hour in own]
        if days := sorted({one.date() for one in at if one.date() < end}):
            expected[who] = days
    frame = orders_of([(who, hour) for who, own in enumerate(hours) for hour in own])
    options = {"as_of": end, "timezone": zone, "level": level}
    if not expected:
        with pytest.raises(ValueError, match="no order lies before that day"):
            rhythm(frame, **options)
        return
    told = rhythm(frame, **options)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    for row, (who, days) in zip(told.table.rows(), expected.items(), strict=True):
        *plain, _ = slow_row(days, end)
        assert row[:2] == ("all", who)
        assert list(row[2:7]) == [None if one is None else pytest.approx(one, abs=1e-12) for one in plain]
        gaps = [(later - one).days for one, later in pairwise(days)]
        if len(gaps) < 5 or len(set(gaps)) == 1:
            assert row[7:] == (None, None, None)
        else:
            assert row[7:] == pytest.approx([slow_shape(gaps, target) for target in (0, z, -z)], rel=1e-6)
    assert rhythm(frame.sample(fraction=1, shuffle=True, seed=1), **options).table.equals(told.table)


def test_the_regularity_is_that_of_wheat_and_morrison_each_customer_counting_alike():
    frame = lives(shape=1.5, mean_days=20, n=80, days=365, rng=1)
    told = rhythm(frame, as_of="2026-01-01", level=0.9)
    uneven = []
    for _, part in frame.sort("customer_id", "ordered_at").group_by("customer_id", maintain_order=True):
        uneven.append(slow_row(sorted(set(part["ordered_at"].dt.date())), date(2026, 1, 1))[-1])
    uneven = [one for one in uneven if one is not None]
    variance, error = mean(uneven), stdev(uneven) / math.sqrt(len(uneven))
    reach = math.exp(NormalDist().inv_cdf(0.95) * error / variance)
    row = told.regularity.table.row(0, named=True)
    expected = [1 / (8 * one) - 0.5 for one in (variance, variance * reach, variance / reach)]
    assert [row["estimate"], row["low"], row["high"]] == pytest.approx(expected)
    assert row["n"] == len(uneven)


def test_the_interval_of_a_shape_is_exact_where_the_exact_one_is_known():
    """Of two gaps the share is Beta(k, k): its chance of lying further out than seen is 5 % and 95 % at the bounds."""
    share = 0.3

    def further_out(k):
        return 2 * quad(lambda x: (x * (1 - x)) ** (k - 1), 0, share)[0] / beta_function(k, k)

    exact = [brentq(lambda k, p=p: further_out(k) - p, 0.02, 100) for p in (0.5, 0.95, 0.05)]
    told = shapes(np.array([2]), np.log([2 * math.sqrt(share * (1 - share))]), 0.9)
    assert [further_out(float(k[0])) for k in told] == pytest.approx([0.5, 0.95, 0.05], abs=0.003)
    assert float(told[0][0]) == pytest.approx(exact[0], rel=0.002)


def test_customers_names_and_the_calendar_change_nothing():
    frame = lives(shape=2.0, mean_days=15, n=60, days=300, rng=2)
    told = rhythm(frame, as_of="2025-11-01")
    other = frame.with_columns(
        customer_id=pl.format("c{}", 900 - pl.col("customer_id")), ordered_at=pl.col("ordered_at").dt.offset_by("36d")
    )
    renamed = rhythm(other, as_of="2025-12-07")
    assert_frame_equal(renamed.table.drop("customer_id")[::-1], told.table.drop("customer_id"))
    assert_frame_equal(renamed.regularity.table, told.regularity.table)


def test_a_window_that_hides_long_gaps_shortens_the_mean_gap_but_bends_no_shape():
    short = rhythm(lives(shape=2.0, mean_days=60, n=3_000, days=300, rng=3, dropout=0.1), as_of="2025-10-28")
    long = rhythm(lives(shape=2.0, mean_days=60, n=3_000, days=6_000, rng=3, dropout=0.1), as_of="2041-06-06")
    assert short.table["mean_gap_days"].mean() < 0.9 * long.table["mean_gap_days"].mean()
    for told in (short, long):
        assert told.regularity.table["estimate"].item() == pytest.approx(2.0, rel=0.07)
        assert told.table["shape"].median() == pytest.approx(2.0, rel=0.07)


@pytest.mark.certify
@pytest.mark.parametrize("shape", [0.7, 1.0, 3.0])
def test_cover_of_the_regularity_and_of_one_customers_shape(certify, shape):
    def hits(seed):
        told = rhythm(
            lives(shape=shape, mean_days=200, n=60, days=2_000, rng=seed, dropout=0.05), as_of="2030-06-24", level=0.9
        )
        one = told.table.drop_nulls("shape").row(seed % 9, named=True)
        all_ = told.regularity.table.row(0, named=True)
        return [all_["low"] <= shape <= all_["high"], one["shape_low"] <= shape <= one["shape_high"]]

    certify(hits, level=0.9)


def test_the_regularity_of_the_simulated_shop_is_near_its_truth():
    told, truth = [], []
    for seed in range(4):
        world = simulate.shop(rng=seed, n_customers=2_000)
        told.append(rhythm(orders(world.events), as_of=world.as_of).regularity.table["estimate"].item())
        truth.append(1 / (1 / (world.truth.customers["rhythm"] + 0.5)).mean() - 0.5)
    assert mean(told) == pytest.approx(mean(truth), rel=0.05)


def test_a_split_takes_customers_by_their_first_order():
    frame = lives(shape=1.0, mean_days=20, n=120, days=365, rng=5)
    first = pl.col("ordered_at") == pl.col("ordered_at").min().over("customer_id")
    named = pl.when(pl.col("customer_id") < 100).then(pl.lit("paid"))
    told = rhythm(
        frame.with_columns(source=pl.when(first).then(named).otherwise(pl.lit("live"))), as_of="2026-01-01", by="source"
    )
    assert told.table.group_by("group").len().sort("group").rows() == [("paid", 100), ("unknown", 20)]
    rows = told.regularity.table.select("group", "verdict").rows()
    assert rows == [("paid", "ok"), ("unknown", "refused")]
    alone = rhythm(frame.filter(pl.col("customer_id") < 100), as_of="2026-01-01").regularity.table
    assert_frame_equal(alone.drop("group"), told.regularity.table.head(1).drop("group"))


def test_too_few_customers_with_two_gaps_are_refused_in_words():
    told = rhythm(orders_of([(who, 24 * who) for who in range(50)]), as_of="2026-01-01")
    assert told.table["gaps"].sum() == 0
    assert repr(told.regularity) == (
        "all: refused. 0 customers have two gaps between orders; at least 30 are needed. Look at a longer log."
    )


def test_gaps_that_are_all_equal_have_no_finite_shape():
    told = rhythm(orders_of([(who, 168 * week) for who in range(40) for week in range(8)]), as_of="2026-01-01")
    assert told.table["cv"].unique().to_list() == [0.0]
    assert told.table["shape"].null_count() == 40
    assert "every gap is as long as the next" in repr(told)


def test_the_answer_reads_well_in_a_notebook():
    told = rhythm(lives(shape=1.0, mean_days=20, n=60, days=365, rng=6), as_of="2026-01-01")
    assert repr(told).startswith("Rhythm of 60 customers, ")
    assert "Rhythm of each customer" in told._repr_html_()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_of": "2024-12-31"}, "as_of is 2024-12-31, and no order lies before that day"),
        ({"level": 1}, "level is 1; it must lie between 0 and 1"),
        ({"timezone": "Paris"}, "timezone is 'Paris'"),
        ({"by": "sauce"}, "by is 'sauce', not in order_id, customer_id, ordered_at, source"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        rhythm(orders_of([(1, 0)]), **{"as_of": "2026-01-01", **options})


def test_orders_that_break_their_contract_are_refused():
    with pytest.raises(ContractError, match="'ordered_at' is missing"):
        rhythm(orders_of([(1, 0)]).drop("ordered_at"), as_of="2026-01-01")
