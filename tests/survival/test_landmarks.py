"""How long after a request until the next order: days of the shop, nothing after the request but the order itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import landmark_spells, repurchase_spells

START = datetime(2025, 3, 20)  # London and New York change their clocks about then
AS_OF = "2025-04-05"
PAIRS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 24 * 18)), min_size=1, max_size=15)


def frame_of(pairs, name):
    schema = {"customer_id": pl.Int64, name: pl.Datetime("us")}
    rows = [(who, START + timedelta(hours=hours)) for who, hours in pairs]
    return pl.DataFrame(rows, schema=schema, orient="row")


def orders_of(pairs):
    money = {"gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1}
    return frame_of(pairs, "ordered_at").with_row_index("order_id").with_columns(order_number=1, **money)


def slow(orders, request, zone):
    """The definition, for one request."""

    def day(hours):
        return (START + timedelta(hours=hours)).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()

    who, at = request
    end = datetime.fromisoformat(AS_OF).date()
    mine = [hours for one, hours in orders if one == who and day(hours) < end]
    after, before = [hours for hours in mine if hours >= at], [hours for hours in mine if hours < at]
    watched = (end - day(at)).days
    waited = max(0, (day(at) - day(max(before))).days - 1) if before and watched >= 0 else None
    if watched <= 0:
        return None, None, waited
    return ((day(min(after)) - day(at)).days + 1 if after else watched), bool(after), waited


@given(orders=PAIRS, requests=PAIRS, zone=st.sampled_from(["UTC", "Europe/London", "Asia/Tokyo", "America/New_York"]))
def test_each_request_waits_for_its_next_order(orders, requests, zone):
    told = landmark_spells(orders_of(orders), frame_of(requests, "as_of"), as_of=AS_OF, timezone=zone)
    assert told["customer_id", "as_of"].equals(frame_of(requests, "as_of"))
    columns = ["duration_days", "repurchased", "waited_days"]
    assert told.select(columns).rows() == [slow(orders, request, zone) for request in requests]


def test_of_a_request_at_midnight_both_waits_make_the_time_from_order_to_order():
    orders = orders_of([(1, 10), (1, 24 * 12 + 20), (2, 24 * 3)])
    requests = frame_of([(1, 24 * 5), (2, 24 * 4)], "as_of")
    told = landmark_spells(orders, requests, as_of=AS_OF)
    spells = repurchase_spells(orders, as_of=AS_OF)
    assert (told["waited_days"] + told["duration_days"]).to_list() == spells["duration_days"].to_list()


def test_features_travel_and_requests_without_follow_up_stay_and_say_so():
    requests = frame_of([(1, 24), (1, 24 * 40), (7, 24)], "as_of").with_columns(visits=pl.Series([3, 4, 5]))
    told = landmark_spells(orders_of([(1, 10)]), requests, as_of=AS_OF)
    assert told["visits"].to_list() == [3, 4, 5]
    assert told["duration_days"].to_list() == [15.0, None, 15.0]
    assert told["repurchased"].to_list() == [False, None, False]
    assert told["waited_days"].to_list() == [0.0, None, None]


def test_ids_of_two_types_and_taken_names_are_refused():
    orders, requests = orders_of([(1, 10)]), frame_of([(1, 24)], "as_of")
    with pytest.raises(ContractError, match=r"'customer_id' is String, but Int64 in the orders; cast one"):
        landmark_spells(orders, requests.with_columns(pl.col("customer_id").cast(pl.String)), as_of=AS_OF)
    with pytest.raises(ContractError, match=r"'waited_days' would be overwritten; rename or drop it"):
        landmark_spells(orders, requests.with_columns(waited_days=1), as_of=AS_OF)
