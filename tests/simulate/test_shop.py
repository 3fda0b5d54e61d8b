"""The simulated shop and its log: repeatable to the byte, in keeping with the contract, and made as its numbers say."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract import Assignments, Events, check
from shoptoolkit.features import orders
from shoptoolkit.simulate import Experiment, Shoppers, shop, write_shop
from shoptoolkit.simulate.shoppers import catalogue

SMALL = {"n_customers": 300, "days": 200}
THREE_BLOCKS = {"n_customers": 20_050, "days": 12, "rng": 5, "shoppers": Shoppers(watch_sessions_per_day=0.05)}
AD = Experiment(start_day=60, win_share=0.6, lift=3.0, displaced=0.3, pulled_forward=0.3, delay_days=2.0)
DAY = timedelta(days=1)


@cache
def busy_world():
    """One shop with everything switched on, and much of it."""
    shoppers = Shoppers(rate_scale_days=25.0, refund_share=0.3, late_share=0.2, late_hours=30.0, promotion_days=10)
    return shop(n_customers=1_500, days=200, start=date(2024, 2, 1), shoppers=shoppers, experiment=AD, rng=17)


@cache
def calm_world():
    """A shop without an experiment and without live shows."""
    return shop(n_customers=2_000, days=200, shoppers=Shoppers(live_share=0.0, rate_scale_days=30.0), rng=18)


def bought(world):
    return world.events.filter(pl.col("event") == "purchase")


def within(seen, planted, n):
    """A share seen in n cases lies within four standard errors of the planted one."""
    return abs(seen - planted) < 4 * np.sqrt(planted * (1 - planted) / n)


def test_one_seed_gives_one_shop():
    """A Generator of that seed gives it too; another seed gives another shop."""
    first, again, other = (shop(rng=rng, experiment=AD, **SMALL) for rng in (3, np.random.default_rng(3), 4))
    for name in ("events", "assignments", "customers"):
        assert_frame_equal(getattr(first, name), getattr(again, name))
        assert not getattr(first, name).equals(getattr(other, name))
    assert_frame_equal(first.truth.customers, again.truth.customers)
    assert_frame_equal(first.truth.values, again.truth.values)
    assert not first.truth.customers.equals(other.truth.customers)


def test_a_generator_goes_on_so_that_the_next_shop_is_another():
    rng = np.random.default_rng(3)
    assert not shop(rng=rng, **SMALL).events.equals(shop(rng=rng, **SMALL).events)


@pytest.mark.parametrize("experiment", [None, Experiment(start_day=3)])
def test_two_threads_make_the_same_shop_as_one(experiment):
    size = THREE_BLOCKS if experiment is None else THREE_BLOCKS | {"days": 94}
    one, two = (shop(experiment=experiment, threads=threads, **size) for threads in (1, 2))
    for name in ("events", "assignments", "customers"):
        assert_frame_equal(getattr(one, name), getattr(two, name))
    assert one.customers["customer_id"].to_list() == list(range(1, 20_051)), "blocks join without a gap"


def test_two_threads_write_the_same_bytes_as_one_and_the_parts_are_the_shop(tmp_path):
    whole = shop(**THREE_BLOCKS)
    rows = [write_shop(tmp_path / str(threads), threads=threads, **THREE_BLOCKS) for threads in (1, 2, 3)]
    assert rows == 3 * [len(whole.events)]
    files = [sorted((tmp_path / str(threads)).rglob("*.parquet")) for threads in (1, 2, 3)]
    assert [len(one) for one in files] == [9, 9, 9]
    for same in zip(*files, strict=True):
        assert len({path.read_bytes() for path in same}) == 1, same
    for name in ("events", "assignments", "customers"):
        parts = [pl.read_parquet(path) for path in sorted((tmp_path / "1" / name).iterdir())]
        order = ["at", "customer_id"] if name == "events" else ["customer_id"]
        assert_frame_equal(pl.concat(parts).sort(order, maintain_order=True), getattr(whole, name))
        if name == "events":
            assert all(part["at"].is_sorted() for part in parts)


def test_a_folder_that_holds_a_shop_is_not_written_over(tmp_path):
    write_shop(tmp_path / "new" / "shop", rng=1, n_customers=20, days=30)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    with pytest.raises(FileExistsError, match=r"holds 3 parts, e\.g\. part-00000\.parquet; name a new one"):
        write_shop(tmp_path / "new" / "shop", rng=2, n_customers=20, days=30)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}


def test_the_log_keeps_the_contract_and_its_window():
    world = busy_world()
    for frame, contract in ((world.events, Events), (world.assignments, Assignments)):
        checked = check(frame, contract)
        assert (len(checked.good), len(checked.quarantined)) == (len(frame), 0)
    assert world.as_of == date(2024, 2, 1) + 200 * DAY
    last = datetime(2024, 2, 1) + 200 * DAY
    assert world.events["at"].is_between(datetime(2024, 2, 1), last, closed="left").all()
    assert world.events["at"].is_sorted()
    assert {world.events[name].dtype for name in ("at", "known_at")} == {pl.Datetime("us")}
    assert set(world.events["customer_id"]) == set(world.customers["customer_id"]), "everybody orders at least once"
    kinds = {"impression", "click", "view", "watch", "search", "cart", "checkout", "purchase", "refund"}
    assert set(world.events["event"]) == kinds, "every kind of event happens"


def test_a_moment_as_start_means_its_day():
    moment, day = (shop(rng=1, start=start, **SMALL) for start in (datetime(2025, 3, 1, 15), date(2025, 3, 1)))
    assert_frame_equal(moment.events, day.events)
    assert (moment.as_of, type(moment.as_of)) == (day.as_of, date)


def test_a_shifted_calendar_shifts_the_log_where_no_season_is():
    flat = Shoppers(year_swing=0.0, weekday_swing=0.0)
    early, late = (shop(rng=2, start=start, shoppers=flat, **SMALL) for start in (date(2024, 1, 1), date(2025, 1, 1)))
    moved = early.events.with_columns(pl.col("at", "known_at") + pl.duration(days=366))
    assert_frame_equal(moved, late.events)


def test_customers_join_with_their_first_order_and_do_nothing_before():
    world = busy_world()
    joined = world.customers.select("customer_id", first_source="source", joined_at="joined_at")
    events = world.events.join(joined, on="customer_id")
    assert (events["at"].dt.date() >= events["joined_at"]).all()
    first = bought(world).sort("at").group_by("customer_id", maintain_order=True).first().join(joined, on="customer_id")
    assert (first["at"].dt.date() == first["joined_at"]).all()
    assert (first["source"].cast(pl.String) == first["first_source"]).all()
    share = {name: (joined["first_source"] == name).mean() for name in ("organic", "search", "paid")}
    assert all(within(share[name], planted, len(joined)) for name, planted in zip(share, (0.45, 0.25, 0.30)))
    half = (joined["joined_at"] < date(2024, 2, 1) + 100 * DAY).mean()
    assert within(half, 0.5, len(joined)), "they join evenly over the log"


def test_nobody_orders_twice_a_day_unprompted():
    table = orders(calm_world().events, history_known=True)
    assert not table.select("customer_id", pl.col("ordered_at").dt.date()).is_duplicated().any()


@pytest.mark.parametrize("world", [calm_world, busy_world])
def test_an_order_number_is_one_order_with_ads_and_without(world):
    """Whoever orders checks out once for it: as many numbers as checkouts, each of one customer, moment and source."""
    world = world()
    one = bought(world).group_by("order_id").agg(pl.col("customer_id", "at", "source", "campaign_id").n_unique())
    assert one.drop("order_id").max().row(0) == (1, 1, 1, 1)
    assert len(one) == (world.events["event"] == "checkout").sum()
    assert bought(world)["order_id"].null_count() == 0
    others = world.events.filter(~pl.col("event").is_in(["purchase", "refund"]))
    assert others["order_id"].null_count() == len(others)


def test_what_is_bought_was_in_the_cart_and_looked_at_before():
    events = busy_world().events.with_columns(day=pl.col("at").dt.date())
    seen = {
        kind: set(events.filter(pl.col("event") == kind).select("customer_id", "day", "item_id", "price").iter_rows())
        for kind in ("view", "cart", "purchase")
    }
    assert seen["purchase"] < seen["cart"] < seen["view"]


def test_a_refund_is_a_line_that_was_bought_1_to_20_days_before():
    """Line by line, each purchase answering for one refund at most."""
    world = busy_world()
    keys = ["customer_id", "order_id", "item_id", "price", "quantity", "category", "source", "campaign_id"]
    lines = defaultdict(list)
    for *key, at in bought(world).select(*keys, "at").iter_rows():
        lines[tuple(key)].append(at)
    refunds = world.events.filter(pl.col("event") == "refund")
    for *key, at in refunds.select(*keys, "at").iter_rows():
        waits = [at - one for one in lines[tuple(key)] if DAY <= at - one < 20 * DAY]
        assert waits
        lines[tuple(key)].remove(at - waits[0])
    old = bought(world).filter(pl.col("at").dt.date() < world.as_of - 20 * DAY)["order_id"]
    returned = refunds["order_id"].is_in(old.unique().implode()).sum() / len(old)
    assert within(returned, 0.3, len(old))
    assert "refund" not in shop(rng=5, shoppers=Shoppers(refund_share=0.0), **SMALL).events["event"]


def test_late_rows_are_as_many_and_as_late_as_planted():
    events = busy_world().events
    hours = (events["known_at"] - events["at"]).dt.total_seconds() / 3600
    assert (hours >= 0).all()
    late = hours.filter(hours > 0)
    assert within(len(late) / len(events), 0.2, len(events))
    assert late.mean() == pytest.approx(30, abs=4 * 30 / np.sqrt(len(late)))
    never = shop(rng=5, shoppers=Shoppers(late_share=0.0), **SMALL).events
    assert (never["known_at"] == never["at"]).all()
    always = shop(rng=5, shoppers=Shoppers(late_share=1.0), **SMALL).events
    assert (always["known_at"] > always["at"]).mean() > 0.999, "all but those late by less than a second"


def test_who_comes_anyway_enters_through_ads_and_search_as_planted():
    """First orders apart, which tell how a customer was won."""
    world = calm_world()
    joined = world.customers.select("customer_id", "joined_at")
    table = orders(world.events.join(joined, on="customer_id").filter(pl.col("at").dt.date() > pl.col("joined_at")))
    later = bought(world).unique("order_id").join(joined, on="customer_id")
    later = later.filter(pl.col("at").dt.date() > pl.col("joined_at"))
    assert len(later) == len(table)
    assert within((later["source"] == "paid").mean(), 0.1, len(later))
    assert within((later["source"] == "search").mean(), 0.25, len(later))
    assert set(later["source"]) == {"organic", "search", "paid"}, "without live shows nobody enters from one"
    every = bought(world)
    assert (every["campaign_id"].eq_missing("always_on") == (every["source"] == "paid")).all(), (
        "and so for first orders"
    )


def test_a_day_with_a_live_show_is_entered_from_it():
    live = Shoppers(live_share=1.0, paid_entry_share=0.0, search_entry_share=0.0, watch_sessions_per_day=1.0)
    world = shop(rng=3, shoppers=live, **SMALL)
    day = pl.col("at").dt.date()
    watched = world.events.filter(pl.col("event") == "watch").select("customer_id", day=day).unique()
    joined = world.customers.select("customer_id", day="joined_at")
    entered = bought(world).with_columns(day=day).join(joined, on=["customer_id", "day"], how="anti")
    there = entered.join(watched, on=["customer_id", "day"], how="semi")
    assert set(there["source"]) == {"live"}
    assert set(entered.join(watched, on=["customer_id", "day"], how="anti")["source"]) == {"organic"}


def test_baskets_have_the_planted_lines_and_prices_are_those_of_the_catalogue():
    shoppers = Shoppers(lines_per_order=3.0, n_items=500, n_categories=10, promotion_depth=0.25)
    world = shop(rng=3, n_customers=2_000, days=100, shoppers=shoppers)
    lines = bought(world).group_by("order_id").len()["len"]
    assert lines.mean() == pytest.approx(3, abs=4 * np.sqrt(2 / len(lines)))
    assert bought(world)["quantity"].mean() == pytest.approx(1.3, abs=4 * np.sqrt(0.3 / len(bought(world))))
    day = (pl.col("at").dt.date() - date(2025, 1, 1)).dt.total_days()
    cut = pl.when(day % 42 >= 37).then(0.75).otherwise(1.0)  # 5 days every 42, after the first pause
    full = catalogue(shoppers).price[world.events["item_id"].drop_nulls().to_numpy() - 1]
    told = world.events.filter(pl.col("item_id").is_not_null()).with_columns(full=full, day=day)
    priced = told.filter(pl.col("event").is_in(["view", "cart", "purchase"]))
    assert priced.select((pl.col("price") - pl.col("full") * cut).abs().max()).item() < 0.0051, "rounded to the cent"
    first = catalogue(shoppers).first
    place = np.searchsorted(first, told["item_id"].to_numpy() - 1, side="right") - 1
    assert told.with_columns(place=place).group_by("place").agg(pl.col("category").n_unique())["category"].max() == 1


def test_a_shop_of_one_customer_and_one_day_is_a_shop():
    world = shop(rng=1, n_customers=1, days=1)
    assert bought(world)["order_id"].n_unique() == 1
    assert (len(world.assignments), len(check(world.assignments, Assignments).quarantined)) == (0, 0)
    assert "1 customers" in repr(world)


def test_hardly_ever_ordering_is_no_overflow():
    world = shop(rng=1, n_customers=50, days=30, shoppers=Shoppers(rate_shape=0.001))
    assert bought(world)["order_id"].n_unique() >= 50
