"""Which spell stands for a customer, what a day is, and why pooled gaps mislead (rules R1 and R2)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError, Spells, check
from shoptoolkit.survival import kaplan_meier, repurchase_spells

START = datetime(2025, 3, 20)


def orders_of(rows, **columns):
    """Orders from (customer, moment) pairs, or from columns."""
    schema = {"customer_id": pl.Int64, "ordered_at": pl.Datetime("us")}
    frame = pl.DataFrame(rows, schema=schema, orient="row" if isinstance(rows, list) else None)
    money = {"gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1}
    return frame.with_row_index("order_id").with_columns(order_number=1, **money, **columns)


def slow_spells(rows, index, last_day, zone):
    """The definition, customer by customer: occasions are the shop's days with an order."""
    told = []
    for customer in sorted({who for who, _ in rows}):
        moments = [at for who, at in rows if who == customer]
        days = sorted({at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date() for at in moments})
        days = [day for day in days if day <= last_day]
        spells = []
        for number, day in enumerate(days, 1):
            came = number < len(days)
            until = days[number] if came else last_day
            spells.append(
                (customer, (until - day).days, came, number, (day - days[0]).days, (until - days[0]).days, day)
            )
        if index == "first":
            spells = spells[:1]
        elif index == "last":
            spells = spells[-1:]
        elif index.startswith("at:"):
            spells = [one for one in spells if one[-1] >= date.fromisoformat(index[3:])][:1]
        told += [one[:-1] for one in spells if one[1] > 0]
    return told


RANDOM_ORDERS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 24 * 20)), min_size=1, max_size=25)
COLUMNS = ["customer_id", "duration_days", "repurchased", "spell_number", "start_days", "stop_days"]


@given(
    hours=RANDOM_ORDERS,
    index=st.sampled_from(["first", "last", "all", "at:2025-03-25", "at:2025-03-30"]),
    zone=st.sampled_from(["UTC", "Europe/London", "Asia/Tokyo", "America/New_York"]),
    days=st.integers(1, 22),
)
def test_the_spells_are_those_of_the_definition(hours, index, zone, days):
    rows = [(who, START + timedelta(hours=hour)) for who, hour in hours]
    last_day = START.date() + timedelta(days=days)
    expected = slow_spells(rows, index, last_day, zone)
    options = {"as_of": last_day + timedelta(days=1), "index": index, "timezone": zone}
    if not expected:
        with pytest.raises(ValueError, match="as_of is"):
            repurchase_spells(orders_of(rows), **options)
        return
    spells = repurchase_spells(orders_of(rows), **options)
    assert spells.select(COLUMNS).rows() == expected
    assert repurchase_spells(orders_of(rows).sample(fraction=1, shuffle=True, seed=1), **options).equals(spells)
    assert len(check(spells, Spells).quarantined) == 0


def spell_rows(rows, **options):
    return repurchase_spells(orders_of(rows), **options).select("duration_days", "repurchased").rows()


@pytest.mark.parametrize(
    ("zone", "moments"),
    [
        ("Europe/London", [datetime(2025, 6, 1, 23, 30), datetime(2025, 6, 2, 8)]),
        ("Asia/Tokyo", [datetime(2025, 6, 1, 16), datetime(2025, 6, 2, 9)]),
    ],
)
def test_two_orders_on_one_day_of_the_shop_are_one_occasion(zone, moments):
    rows = [(1, at) for at in moments]
    assert spell_rows(rows, as_of="2025-06-11", timezone="UTC") == [(1.0, True)]
    assert spell_rows(rows, as_of="2025-06-11", timezone=zone) == [(8.0, False)]


def test_the_night_of_the_clock_change_is_one_day_long():
    """London, 30 March 2025: 23 hours; the evening before and the evening after are one day apart, not zero."""
    rows = [(1, datetime(2025, 3, 29, 23, 30)), (1, datetime(2025, 3, 30, 22, 15)), (2, datetime(2025, 10, 25, 22, 30))]
    rows += [(2, datetime(2025, 10, 26, 23, 30))]
    assert spell_rows(rows, as_of="2025-12-01", timezone="Europe/London") == [(1.0, True), (1.0, True)]


@pytest.mark.parametrize(
    "as_of",
    ["2025-06-05", date(2025, 6, 5), datetime(2025, 6, 5, 13, 7), "2025-06-05T13:07", datetime(2025, 6, 5, tzinfo=UTC)],
)
def test_a_day_that_is_not_over_is_not_looked_at(as_of):
    rows = [(1, datetime(2025, 6, 1, 9)), (1, datetime(2025, 6, 5, 9)), (2, datetime(2025, 6, 2, 9))]
    assert spell_rows(rows, as_of=as_of) == [(3.0, False), (2.0, False)]


def test_a_zoned_moment_is_understood_in_the_shops_days():
    rows = [(1, datetime(2025, 6, 1, 9)), (1, datetime(2025, 6, 4, 16))]  # 5 June in Tokyo
    midnight = datetime(2025, 6, 5, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert spell_rows(rows, as_of=midnight, timezone="Asia/Tokyo") == [(3.0, False)]


def test_a_customer_of_the_last_day_has_no_follow_up_and_no_spell():
    rows = [(1, datetime(2025, 6, 1)), (2, datetime(2025, 6, 4))]
    assert repurchase_spells(orders_of(rows), as_of="2025-06-05")["customer_id"].to_list() == [1]
    with pytest.raises(
        ValueError, match="index is 'first' and as_of is 2025-06-05: no such order has a day of follow-up"
    ):
        repurchase_spells(orders_of(rows[1:]), as_of="2025-06-05")


def test_last_orders_are_open_spells_and_no_curve_is_drawn_from_them():
    rows = [(1, datetime(2025, 6, 1)), (1, datetime(2025, 6, 3)), (2, datetime(2025, 6, 2))]
    spells = repurchase_spells(orders_of(rows), as_of="2025-07-01", index="last")
    assert spells.select("customer_id", "duration_days", "repurchased").rows() == [(1, 27.0, False), (2, 28.0, False)]
    with pytest.raises(ContractError, match=r"none of \d+ ended in a repurchase"):
        kaplan_meier(spells)


def test_what_is_known_of_the_first_order_of_the_day_comes_along_but_not_its_refunds():
    rows = [(1, datetime(2025, 6, 1, 15)), (1, datetime(2025, 6, 1, 9)), (1, datetime(2025, 6, 8))]
    orders = orders_of(rows, source=pl.Series(["paid", "organic", "paid"]), day=pl.lit("Sunday"))
    spells = repurchase_spells(orders, as_of="2025-07-01")
    row = spells.row(0, named=True)
    assert (row["source"], row["order_id"], row["day"]) == ("organic", 1, "Sunday")
    assert row["started_at"] == datetime(2025, 6, 1, 9)
    assert not {"refunded", "revenue", "order_number", "ordered_at"} & set(spells.columns)


def test_shifting_the_calendar_shifts_nothing_but_the_dates():
    rng = np.random.default_rng(3)
    rows = [(int(who), START + timedelta(hours=int(hour))) for who, hour in rng.integers(0, 900, (60, 2))]
    later = [(who, at + timedelta(days=400)) for who, at in rows]
    spells, moved = (
        repurchase_spells(orders_of(one), as_of=START + timedelta(days=days), index="all").drop("started_at")
        for one, days in ((rows, 60), (later, 460))
    )
    assert spells.equals(moved)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"index": "newest"}, ValueError, "index is 'newest'; it must be 'first', 'last', 'all' or 'at:' and a day"),
        ({"index": "at:soon"}, ValueError, "index is 'soon'; write it like '2011-12-09'"),
        ({"index": "at:2025-08-01"}, ValueError, "index is 'at:2025-08-01' and as_of is 2025-07-01: no such order"),
        ({"as_of": "2025-03-20"}, ValueError, "as_of is 2025-03-20, and no order lies before that day"),
        ({"as_of": "tomorrow"}, ValueError, "as_of is 'tomorrow'; write it like"),
        ({"as_of": 20250701}, TypeError, "as_of is 20250701; it must be a date"),
        ({"timezone": "London"}, ValueError, "timezone is 'London'; it must be an IANA name"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, error, message):
    with pytest.raises(error, match=message):
        repurchase_spells(orders_of([(1, START), (1, START + timedelta(days=3))]), **{"as_of": "2025-07-01", **options})


def test_orders_that_break_their_contract_are_refused():
    with pytest.raises(ContractError, match="orders: 'ordered_at' is missing"):
        repurchase_spells(orders_of([(1, START)]).drop("ordered_at"), as_of="2025-07-01")


def heterogeneous_orders(seed, *, customers=4_000, days=730):
    """Customers order at own rates, gamma(3, 1 / 121.5 days): P(no order within t) = (121.5 / (121.5 + t))^3."""
    rng = np.random.default_rng(seed)
    who, at = np.arange(customers), np.zeros(customers)
    rate, told = rng.gamma(3, 1 / 121.5, customers), []
    while len(who):
        told.append((who, at))
        at = at + np.ceil(rng.exponential(1 / rate[who]))
        who, at = who[at < days], at[at < days]
    who, at = (np.concatenate(column) for column in zip(*told, strict=True))
    moments = np.datetime64(START, "us") + at.astype("timedelta64[D]")
    return orders_of({"customer_id": who, "ordered_at": moments})


def test_pooled_gaps_tell_of_heavy_buyers_and_the_index_spell_of_customers():
    """Of customers, 30 % are not back within 60 days; of gaps, weighted by orders, (.669)^4 = 20 % are that long."""
    truth = (121.5 / 181.5) ** 3
    assert truth == pytest.approx(0.30, abs=5e-4)
    orders, as_of = heterogeneous_orders(1), START + timedelta(days=730)
    index = kaplan_meier(repurchase_spells(orders, as_of=as_of)).at(60).row(0, named=True)
    assert index["survival_low"] < truth < index["survival_high"]
    later = kaplan_meier(repurchase_spells(orders, as_of=as_of, index="at:2025-06-01"))
    assert later.n > 3_900
    assert later.at(60)["survival_low"].item() < truth < later.at(60)["survival_high"].item()
    everything = repurchase_spells(orders, as_of=as_of, index="all")
    pooled = kaplan_meier(everything, cluster="customer_id")
    assert pooled.estimand == "spells"
    assert pooled.at(60)["survival"].item() == pytest.approx(0.20, abs=0.015)
    assert pooled.at(60)["survival_high"].item() < truth - 0.07
    with pytest.raises(ContractError, match=r"'customer_id' repeats .* spells of one customer depend on each other"):
        kaplan_meier(everything)


def test_a_covariate_that_means_something_else_in_spells_is_refused():
    days = [datetime(2024, 1, 1), datetime(2024, 1, 21)]
    orders = pl.DataFrame({"customer_id": [1, 1], "order_id": [1, 2], "ordered_at": days, "order_number": [1, 2]})
    orders = orders.with_columns(gross_revenue=9.0, refunded=0.0, revenue=9.0, items=1, weight=500)
    with pytest.raises(ContractError, match=r"'weight' would get another meaning in spells. Rename it"):
        repurchase_spells(orders, as_of="2024-02-01")
