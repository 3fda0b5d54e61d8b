"""Outcomes are counted as defined, from the right rows of the right customers, and nobody is lost on the way."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoptoolkit import features
from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import outcomes
from shoptoolkit.incrementality.door import arms
from shoptoolkit.simulate import Experiment, Shoppers, shop

START = datetime(2025, 3, 1)
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "event": pl.String,
    "order_id": pl.Int64,
    "item_id": pl.Int64,
    "price": pl.Float64,
    "quantity": pl.Int64,
    "watch_seconds": pl.Float64,
    "source": pl.String,
    "known_at": pl.Datetime("us"),
}
METRICS = (
    *("orders", "revenue", "converted", "gross_revenue", "items", "paid_orders", "organic_orders"),
    *("watch_minutes", "views", "watches", "purchases", "refunds"),
)


def day(days):
    return START + timedelta(days=days)


def line(who, days, event="purchase", order=None, item=None, price=10.0, quantity=1, source=None, late=0.0):
    watched = 90.5 if event == "watch" else None
    return who, day(days), event, order, item, price, quantity, watched, source, day(days + late)


def log_of(*rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def dealt(who=(1, 2, 3, 4), *, arm=("ad", "none"), at=5.0, **more):
    """Assignments on the fifth day, arms in turn."""
    at = [day(one) for one in np.broadcast_to(at, len(who)).tolist()]
    told = {"experiment_id": ["e"] * len(who), "customer_id": list(who), "assigned_at": at}
    return pl.DataFrame(told | {"arm": [arm[k % len(arm)] for k in range(len(who))]} | more)


def found(events, assignments=None, **options):
    asked = {"as_of": day(20), "window_days": 4, "pre_days": 3, "metrics": METRICS}
    return outcomes(events, dealt() if assignments is None else assignments, **asked | options)


def told(events, *columns, **options):
    return found(events, **options).table.select(columns).rows()


# ---- against the definition -----------------------------------------------------------------------------------------

ROWS = st.lists(
    st.builds(
        line,
        who=st.integers(1, 3),
        days=st.integers(0, 24).map(lambda half: half / 2),
        event=st.sampled_from(["purchase", "purchase", "purchase", "refund", "view", "watch"]),
        order=st.none() | st.integers(100, 104),
        item=st.none() | st.integers(1, 2),
        price=st.sampled_from([0.0, 4.35, 10.07]),
        quantity=st.integers(1, 3),
        source=st.sampled_from(["paid", "organic", None]),
        late=st.sampled_from([0.0, 0.0, 1.0, 9.0]),
    ),
    min_size=1,
    max_size=15,
)


def by_hand(rows, first, last, known_by):
    """One customer's metrics in [first, last), in plain Python, from rows known before `known_by`."""
    lines = [dict(zip(SCHEMA, row, strict=True)) for row in rows]
    lines = [one for one in lines if one["at"] < last and one["known_at"] < known_by]
    orders = {}
    for one in (one for one in lines if one["event"] == "purchase"):
        orders.setdefault(one["order_id"] or f"@{one['at']}", []).append(one)
    begun = {key: min(one["at"] for one in of) for key, of in orders.items()}
    refunded = dict.fromkeys(orders, 0)
    for one in (one for one in lines if one["event"] == "refund"):
        earlier = [key for key in orders if begun[key] <= one["at"]]
        same = [key for key in earlier if one["item_id"] and one["item_id"] in {it["item_id"] for it in orders[key]}]
        latest = max(same or earlier, key=lambda key: (begun[key], isinstance(key, str), key), default=None)
        target = one["order_id"] if one["order_id"] in orders else latest
        if target is not None:
            refunded[target] += cents(one)
    mine = [key for key in orders if begun[key] >= first]
    entry = {key: sorted(one["source"] or "~" for one in orders[key] if one["at"] == begun[key])[0] for key in mine}
    gross = sum(cents(one) for key in mine for one in orders[key])
    within = [one["event"] for one in lines if one["at"] >= first]
    return {
        "orders": len(mine),
        "revenue": (gross - sum(refunded[key] for key in mine)) / 100,
        "converted": bool(mine),
        "gross_revenue": gross / 100,
        "items": sum(one["quantity"] for key in mine for one in orders[key]),
        "paid_orders": sum(one == "paid" for one in entry.values()),
        "organic_orders": sum(one != "paid" for one in entry.values()),
        "watch_minutes": 90.5 * within.count("watch") / 60,
        **{
            f"{kind}{'es' if kind == 'watch' else 's'}": within.count(kind)
            for kind in ("view", "watch", "purchase", "refund")
        },
    }


def cents(one):
    return round(one["price"] * 100) * one["quantity"]


@given(ROWS, st.sampled_from([5.0, 5.5, 6.0]))
def test_outcomes_are_those_of_plain_python(rows, at):
    events = log_of(*rows, line(9, 0, "view"))
    for one in found(events, dealt((1, 2, 3), at=at), as_of=day(11)).table.to_dicts():
        mine, start = [row for row in rows if row[0] == one["customer_id"]], one["started_at"]
        due = by_hand(mine, start, start + timedelta(days=4), day(11))
        before = by_hand(mine, start - timedelta(days=3), start, start)
        due |= {f"pre_{name}": value for name, value in before.items()}
        assert {name: one[name] for name in due} == pytest.approx(due)


def test_a_window_begins_with_its_first_moment_and_ends_before_its_last():
    tick = 1e-6 / 86_400
    rows = [line(1, days, "view") for days in (2 - tick, 2, 5 - tick, 5, 9 - tick, 9)]
    assert told(log_of(line(8, 0, "view"), *rows), "customer_id", "views", "pre_views")[0] == (1, 2, 2)


def test_whoever_did_nothing_counts_with_zeros():
    table = found(log_of(line(1, 6, "view"), line(9, 0, "view"))).table
    assert table["customer_id"].to_list() == [1, 2, 3, 4]
    assert not any(table.null_count().row(0))
    assert table.filter(pl.col("customer_id") > 1).select(pl.col(METRICS).sum()).row(0) == (0,) * len(METRICS)


def test_revenue_is_that_of_the_orders_room_to_the_cent():
    world = shop(n_customers=300, days=150, rng=2, experiment=Experiment(start_day=40))
    made = outcomes(world.events, world.assignments, as_of=day(1000), window_days=90, metrics=("orders", "revenue"))
    start, end = (made.table[name].item(0) for name in ("started_at", "matured_at"))
    orders = features.orders(world.events.filter(pl.col("at") < end)).filter(pl.col("ordered_at") >= start)
    due = orders.filter(pl.col("customer_id").is_in(made.table["customer_id"].implode()))
    assert made.table["orders"].sum() == len(due)
    assert made.table["revenue"].sum() == pytest.approx(due["revenue"].sum(), abs=1e-6)


def test_large_sums_keep_their_cents():
    rows = [line(1, 6 + k / 100, order=k + 1, price=1e9 + 0.01) for k in range(3)]
    assert told(log_of(line(9, 0, "view"), *rows), "revenue")[0] == (3_000_000_000.03,)


def test_a_refund_of_an_order_from_before_is_no_loss_of_the_window():
    rows = [line(1, 4, order=1), line(1, 6, order=2), line(1, 7, "refund", order=1), line(1, 12, "refund", order=2)]
    assert told(log_of(line(9, 0, "view"), *rows), "revenue", "refunds", "pre_revenue")[0] == (10.0, 1, 10.0)


def test_rows_known_only_from_as_of_on_change_nothing():
    rows = [line(9, 0, "view"), line(1, 6)]
    later = [line(1, 8, late=12), line(2, 21), line(3, 7, "view", late=30)]
    assert_frame_equal(found(log_of(*rows, *later)).table, found(log_of(*rows)).table)


def test_rows_in_any_order_and_renamed_customers_change_nothing():
    world = shop(n_customers=200, days=150, rng=5, experiment=Experiment())
    asked = {"as_of": world.as_of, "window_days": 60, "metrics": METRICS}
    plain = outcomes(world.events, world.assignments, **asked).table
    mixed = (frame.sample(fraction=1, shuffle=True, seed=1) for frame in (world.events, world.assignments))
    assert_frame_equal(outcomes(*mixed, **asked).table, plain)
    name = pl.format("c{}", 10_000 + pl.col("customer_id")).alias("customer_id")
    renamed = outcomes(world.events.with_columns(name), world.assignments.with_columns(name), **asked).table
    assert_frame_equal(renamed.drop("customer_id"), plain.drop("customer_id"))


# ---- who is looked at -----------------------------------------------------------------------------------------------


def test_everybody_assigned_is_kept_or_told_why_not():
    eligible = pl.Series([day(6), None, day(6), day(6), day(17), day(6)])
    who = dealt((1, 2, 3, 4, 5, 6), at=[5, 5, 5, 5, 5, 2], eligible_at=eligible)
    late = dealt((1, 2, 3, 4, 5, 6), at=[5, 5, 5, 5, 17, 1])
    events = log_of(line(9, 0, "view"), line(1, 6))
    assert found(events, who, start="eligible_at").account.rows() == [
        ("assigned", 6),
        ("never eligible", 1),
        ("window not over by as_of", 1),
        ("log begins later than 3 days before the start", 0),
        ("kept", 4),
    ]
    assert found(events, late).account["n_customers"].to_list() == [6, 0, 1, 1, 4]
    assert found(events, late, pre_days=0).account["n_customers"].to_list() == [6, 0, 1, 0, 5]


def test_a_window_that_is_over_at_as_of_is_over():
    events = log_of(line(9, 0, "view"))
    assert found(events, as_of=day(9)).account["n_customers"][-1] == 4
    with pytest.raises(ValueError, match=r"take window_days <= 3\.99 or a later as_of"):
        found(events, as_of=day(9) - timedelta(minutes=5))


def test_ghost_ads_count_from_when_customers_were_eligible_in_both_arms():
    who = dealt(eligible_at=pl.Series([day(8), day(8), None, None]), exposed_at=pl.Series([day(8), None, None, None]))
    events = log_of(line(9, 0, "view"), *(line(k, days) for k in (1, 2, 3) for days in (6, 9)))
    columns = ["customer_id", "arm", "exposed", "orders", "pre_orders"]
    assert told(events, *columns, assignments=who, start="eligible_at") == [
        (1, "ad", True, 1, 1),
        (2, "none", False, 1, 1),
    ]


def test_exposed_means_within_the_window():
    who = dealt(exposed_at=pl.Series([day(5), day(9), None, day(8.9)]))
    assert told(log_of(line(9, 0, "view")), "exposed", assignments=who) == [(True,), (False,), (False,), (True,)]


def test_what_else_the_assignments_tell_is_kept():
    who = dealt(stratum=list("abab"), cluster=[1, 1, 2, 2], probability=[0.5] * 4, country=["GB", "FR", "GB", "FR"])
    table = found(log_of(line(9, 0, "view")), who, metrics="orders", pre_days=0).table
    started = ["customer_id", "arm", "started_at", "matured_at"]
    assert table.columns == [*started, "stratum", "cluster", "probability", "country", "orders"]
    with pytest.raises(ContractError, match="they have a column 'orders', as the outcomes would"):
        found(log_of(line(9, 0, "view")), dealt(orders=[1, 2, 3, 4]))


def test_outcomes_pass_wherever_a_frame_is_asked_for():
    made = found(log_of(line(1, 6), line(9, 0, "view")))
    assert arms(made, control="none", numbers=["orders"], covariates=["pre_orders"]).window_days == 4
    assert pl.DataFrame(made).equals(made.table)
    assert repr(made).startswith("Outcomes over 4 days from assigned_at\n  4 assigned")
    assert "Means over 4 days from assigned_at" in made._repr_html_()


# ---- covariates measured elsewhere ----------------------------------------------------------------------------------


def test_covariates_of_a_frame_are_joined_as_known_before():
    measured = pl.DataFrame(
        {"customer_id": [4, 3, 2, 1], "as_of": day(5), "age": [1, 2, 3, 4], "pre_city": list("abcd")}
    )
    table = found(log_of(line(9, 0, "view")), covariates=measured).table
    assert table.select("customer_id", "pre_age", "pre_city").row(0) == (1, 4, "d")
    assert "as_of" not in table.columns


MEASURED = pl.DataFrame({"customer_id": [1, 2, 3, 4], "as_of": [day(5)] * 4, "age": [1, 2, 3, 4]})


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (
            MEASURED.with_columns(as_of=pl.Series([day(5), day(5.5), day(6), day(5)])),
            r"2 of 4 customers were measured after they started \(e.g. 2, as of 2025-03-06 12:00:00, started 2025",
        ),
        (MEASURED.head(3), r"1 of 4 customers have no row \(e.g. 4, as of None"),
        (pl.concat([MEASURED, MEASURED.head(1)]), "2 rows share their customer with another"),
        (MEASURED.rename({"age": "orders"}), "'orders' would be a second 'pre_orders'; rename or drop it"),
        (MEASURED.cast({"customer_id": pl.String}), "'customer_id' is String, and Int64 in the assignments"),
        (MEASURED.drop("as_of"), "requests: 'as_of' is missing"),
    ],
)
def test_covariates_that_cannot_be_used_are_an_error(measured, words):
    with pytest.raises(ContractError, match=words):
        found(log_of(line(9, 0, "view")), covariates=measured)


# ---- what is wrong --------------------------------------------------------------------------------------------------

PLAIN = log_of(line(9, 0, "view"), line(1, 6))
MANY = pl.concat([dealt(), dealt((2, 3), arm=("ad",))])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"assignments": MANY}, ContractError, "assignments: 1 customers are in several arms: 2 (ad, none). Nobody"),
        (
            {"assignments": pl.concat([dealt(), dealt((1,))])},
            ContractError,
            "several rows: 1 (ad). Keep the first of each",
        ),
        (
            {"assignments": dealt(experiment_id=list("eeff"))},
            ContractError,
            "they are of 2 experiments; pass those of one",
        ),
        ({"assignments": dealt(tuple("abcd"))}, ContractError, "'customer_id' is String, and Int64 in the log"),
        ({"assignments": dealt().drop("arm")}, ContractError, "assignments: 'arm' is missing"),
        ({"start": "eligible_at"}, ContractError, "'eligible_at' is missing. It has: experiment_id"),
        (
            {"start": "eligible_at", "assignments": dealt(eligible_at=pl.Series([day(6), None, day(7), None]))},
            ContractError,
            "'eligible_at' is null for everybody in 'none'. It must be logged in all arms alike",
        ),
        ({"start": "exposed_at"}, ValueError, "start is 'exposed_at'; it must be one of 'assigned_at', 'eligible_at'"),
        (
            {"window_days": 30},
            ValueError,
            "window_days is 30, and as_of comes 15.00 days after the first customer started",
        ),
        ({"as_of": day(4)}, ValueError, "nobody's window is over; take a later as_of"),
        ({"as_of": day(-3)}, ValueError, "as_of is 2025-02-26, and no event was known before it; take a later one"),
        (
            {"pre_days": 28},
            ValueError,
            "5.00 days before the last customer started; take pre_days <= 5, or an earlier log",
        ),
        ({"assignments": dealt(at=-9)}, ValueError, "-9.00 days before the last customer started; take an earlier log"),
        ({"window_days": "4"}, ValueError, "window_days is '4'"),
        ({"pre_days": -1}, ValueError, "pre_days is -1"),
        ({"metrics": "order"}, ValueError, "metrics is 'order'; it must be one of 'orders', 'converted'"),
        ({"metrics": ()}, ValueError, "metrics is empty; ask for one, e.g. 'orders'"),
        ({"metrics": 7}, TypeError, "metrics is 7"),
        ({"paid": None}, TypeError, "paid is None"),
        ({"as_of": "soon"}, ValueError, "as_of is 'soon'"),
    ],
)
def test_what_cannot_be_counted_is_refused(change, error, words):
    with pytest.raises(error, match=re.escape(words)):
        found(PLAIN, **change)


def test_a_metric_whose_column_the_log_lacks_is_an_error():
    for metric, column in (("paid_orders", "source"), ("watch_minutes", "watch_seconds")):
        with pytest.raises(ContractError, match=f"'{metric}' needs the column '{column}'"):
            found(PLAIN.drop(column), metrics=metric)


def test_a_log_without_a_purchase_gives_zeros():
    table = found(PLAIN.filter(event="view")).table
    assert table.select("orders", "converted", "revenue").row(0) == (0, False, 0.0)
    assert table.schema == found(PLAIN).table.schema


# ---- the simulated shop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["orders", "pre_orders", "matured_at", "exposed"])
def test_assignments_with_a_column_of_the_outcomes_are_an_error(name):
    given = dealt().with_columns(pl.lit(1).alias(name), exposed_at=pl.col("assigned_at"))
    with pytest.raises(ContractError, match=f"they have a column '{name}', as the outcomes would"):
        found(log_of(line(1, 1)), given)


@pytest.mark.certify
def test_means_as_assigned_cover_the_truth_of_the_simulated_shop(certify):
    people = Shoppers(visits_per_order=0, lines_per_order=1, refund_share=0)
    one = {"n_customers": 400, "days": 200, "shoppers": people, "experiment": Experiment()}
    truth = shop(rng=0, **one).truth.estimates.table.filter(estimand="per assigned customer")
    truth = {row["horizon_days"]: row["estimate"] for row in truth.filter(metric="orders").to_dicts()}
    assert sorted(truth) == [21, 90]

    def hits(seed):
        world = shop(rng=seed, **one)
        return [covers(world, days, value) for days, value in truth.items()]

    def covers(world, days, value):
        made = outcomes(
            world.events, world.assignments, as_of=world.as_of, window_days=days, metrics="orders", pre_days=0
        )
        parts = [made.table.filter(arm=arm)["orders"] for arm in ("treatment", "control")]
        error = np.sqrt(sum(part.var() / len(part) for part in parts))
        return abs(parts[0].mean() - parts[1].mean() - value) < 1.645 * error

    certify(hits, level=0.9)
