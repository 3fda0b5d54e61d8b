"""What callers mistype is told by its name, its value and what it may be, by every function of the room."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.features import (
    affinity,
    funnel,
    lifecycle,
    orders,
    rfm,
    rhythm,
    search_leaks,
    sequences,
    sessions,
    transitions,
)

EVENTS = pl.DataFrame(
    {
        "customer_id": [1] * 6 + [2] * 6,
        "at": [datetime(2025, 1, day) for day in range(1, 13)],
        "event": ["view", "purchase"] * 6,
        "price": 9.0,
        "category": "A",
        "parts": [[1, 2]] * 12,
        "wait": timedelta(days=1),
        "code": b"x",
    }
)
ORDERS = orders(EVENTS).with_columns(parts=pl.lit([1]))
REQUESTS = pl.DataFrame({"customer_id": [1], "as_of": datetime(2025, 1, 3)})
AS_OF = "2025-03-01"


@pytest.mark.parametrize("given", [None, 5, float("nan"), [1], (None,), b"x", ["view", 1]])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("paid", lambda given: sessions(EVENTS, paid=given)),
        ("keep", lambda given: orders(EVENTS, keep=given)),
        ("columns", lambda given: sequences(EVENTS, REQUESTS, columns=given)),
        ("steps: 'looked'", lambda given: funnel(EVENTS, steps={"looked": given, "b": "cart"}, within_hours=1)),
    ],
)
def test_names_are_text(name, call, given):
    with pytest.raises(TypeError, match=f"{name} is .*; it must be text, or a list of texts"):
        call(given)


@pytest.mark.parametrize("given", [None, 1, "yes", [True]])
def test_flags_are_true_or_false(given):
    with pytest.raises(TypeError, match=r"new_campaign is .*; it must be True or False"):
        sessions(EVENTS, new_campaign=given)
    with pytest.raises(TypeError, match=r"history_known is .*; it must be True or False"):
        orders(EVENTS, history_known=given)


@pytest.mark.parametrize("given", [None, "2", float("nan"), float("inf"), 2.5, 1])
def test_scores_need_a_whole_number_of_bins(given):
    with pytest.raises(ValueError, match=r"bins is .*; it must be a whole number >= 2"):
        rfm(ORDERS, as_of=AS_OF, bins=given)


@pytest.mark.parametrize("column", ["parts", "wait", "code"])
@pytest.mark.parametrize(
    ("option", "call"),
    [
        ("of", lambda column: transitions(EVENTS, of=column)),
        ("of", lambda column: affinity(EVENTS, of=column)),
        ("by", lambda column: transitions(EVENTS, by=column)),
        ("by", lambda column: funnel(EVENTS, steps=("view", "purchase"), within_hours=1, by=column)),
    ],
)
def test_columns_of_no_plain_values_are_refused(option, call, column):
    with pytest.raises(ContractError, match=f"events: {option} is '{column}', which is .*; cast it to text or numbers"):
        call(column)


def test_a_timezone_is_looked_at_even_where_it_is_not_needed():
    with pytest.raises(ValueError, match="timezone is 'Berlin'; it must be an IANA name"):
        orders(EVENTS, timezone="Berlin")


def test_orders_are_split_by_plain_values():
    with pytest.raises(ContractError, match=r"orders: by is 'parts', which is List\(Int64\)"):
        rhythm(ORDERS, as_of=AS_OF, by="parts")


def test_what_is_beyond_64_bits_is_no_bound():
    assert sessions(EVENTS, gap_minutes=1e300)["session_number"].max() == 1
    assert funnel(EVENTS, steps=("view", "purchase"), within_hours=1e300).table["n_customers"].to_list() == [2, 2]
    assert sequences(EVENTS, REQUESTS, last=1e300)["event"].to_list() == [["view", "purchase"]]
    states = lifecycle(ORDERS, as_of=AS_OF, lapse_days=1e300).table.filter(pl.col("n_customers") > 0)["state"]
    assert states.to_list() == ["first_seen", "quiet"]
    assert len(affinity(EVENTS, at_least=1, most=1e300).table) == 0
    assert search_leaks(lambda _, asked: asked, EVENTS, REQUESTS, rng=1, n_requests=1e300).n_requests == 1
