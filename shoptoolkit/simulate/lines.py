"""From moments to the rows of a log, compiled by numba. Imported where it is used, as numba loads slowly.

In: moments of customers, their tastes, the catalogue. Out: `write` -> rows (`ROW`): what a session leaves behind, line
by line (searches, views, carts, the lines of an order, refunds), and how late each row reaches the log.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.simulate.moments import CLICK, IMPRESSION, LATER, NO_CAMPAIGN, VISIT, WATCH
from shoptoolkit.simulate.shoppers import FAVOURITES, Catalogue, Table

ROW_IMPRESSION, ROW_CLICK, ROW_VIEW, ROW_WATCH, ROW_SEARCH, ROW_CART, ROW_CHECKOUT, ROW_PURCHASE, ROW_REFUND = range(9)
ORDERS_EACH = 10_000  # numbers kept free for the orders of one customer
DAY = 86_400
_SEARCHES, _MORE_VIEWS, _CARTS, _MORE_PIECES, _IDLE_CLICKS = 0.3, 1.2, 0.25, 0.3, 0.05
_FIRST, _SECOND = FAVOURITES[0], FAVOURITES[0] + FAVOURITES[1]
NO_ITEM = -1
_MOST_LINES, _ROOM = 50, 256  # of one order; rows that one session may need
ROW = np.dtype(
    [
        ("at", "i8"),
        ("customer", "i4"),
        ("event", "u1"),
        ("source", "u1"),
        ("campaign", "u1"),
        ("quantity", "u1"),
        ("item", "i4"),
        ("category", "u1"),
        ("order", "i4"),
        ("late", "i4"),
        ("price", "f8"),
        ("watched", "f4"),
    ]
)


class Habits(NamedTuple):
    """What the loops need of `Shoppers`."""

    own_taste: float
    more_lines: float
    refunds: float
    late: float
    late_seconds: float
    cut: float  # what is left of a price on a promotion day
    last_second: int  # of the log


@njit(cache=True, nogil=True)
def write(
    rng: Any, people: Table, moments: Table, bargain: Floats, promotion: Any, shelves: Catalogue, habits: Habits
) -> Table:
    """The rows of all moments before the end of the log."""
    rows, n, orders = np.empty(4 * len(moments) + 2 * _ROOM, ROW), 0, np.zeros(len(people), np.int64)
    for m in range(len(moments)):
        one = moments[m]
        if one.day < len(promotion):
            if len(rows) - n < _ROOM:
                larger = np.empty(2 * len(rows), rows.dtype)
                larger[:n] = rows[:n]
                rows = larger
            cut = habits.cut if promotion[one.day] else 1.0
            who = people[one.customer]
            if one.kind in (WATCH, IMPRESSION, CLICK):
                n = _glance(rng, rows, n, one, who, shelves, habits)
            else:
                n = _session(rng, rows, n, one, who, bargain[one.customer], cut, orders[one.customer], shelves, habits)
                orders[one.customer] += one.kind != VISIT
    return rows[:n]


@njit(cache=True, nogil=True)
def _row(rng: Any, rows: Table, n: int, one: Any, second: int, event: int, habits: Habits) -> int:
    """A row with the customer, the moment and the source; what else it has is written by the caller."""
    row = rows[n]
    row.at = min(one.day * DAY + second, one.day * DAY + DAY - 1)  # a session ends with its day
    row.customer, row.event, row.source, row.campaign = one.customer, event, one.source, NO_CAMPAIGN
    row.quantity, row.item, row.order, row.price, row.watched = 0, NO_ITEM, -1, np.nan, np.nan
    row.late = 0
    if rng.random() < habits.late:
        row.late = int(min(habits.late_seconds * rng.standard_exponential(), 2.0**31 - 1))
    return n + 1


@njit(cache=True, nogil=True)
def _pick(rng: Any, who: Any, bargain: float, shelves: Catalogue, own_taste: float) -> tuple[int, int]:
    """An item and its category: popular ones more often, by own taste or not, the cheaper of two or not."""
    if rng.random() < own_taste:
        chance = rng.random()
        category = int(who.favourites[0 if chance < _FIRST else (1 if chance < _SECOND else 2)])
    else:
        category = min(np.searchsorted(shelves.popular, rng.random()), len(shelves.popular) - 1)
    start, size = shelves.first[category], shelves.first[category + 1] - shelves.first[category]
    item = start + int(size * rng.random() ** 2)
    if rng.random() < bargain:
        other = start + int(size * rng.random() ** 2)
        item = other if shelves.price[other] < shelves.price[item] else item
    return item, category


@njit(cache=True, nogil=True)
def _glance(rng: Any, rows: Table, n: int, one: Any, who: Any, shelves: Catalogue, habits: Habits) -> int:
    """Rows of watching, of an ad shown, of a click on it."""
    start, event = n, ROW_WATCH if one.kind == WATCH else (ROW_IMPRESSION if one.kind == IMPRESSION else ROW_CLICK)
    n = _row(rng, rows, n, one, one.second, event, habits)
    if one.kind == WATCH:
        rows[start].watched = one.watched
    if one.kind == IMPRESSION and rng.random() < _IDLE_CLICKS:
        n = _row(rng, rows, n, one, one.second + 3, ROW_CLICK, habits)
    item, category = _pick(rng, who, 0.0, shelves, habits.own_taste)
    for k in range(start, n):
        rows[k].campaign, rows[k].item, rows[k].category = one.campaign, item, category
    return n


@njit(cache=True, nogil=True)
def _session(
    rng: Any,
    rows: Table,
    n: int,
    one: Any,
    who: Any,
    bargain: float,
    cut: float,
    order: int,
    shelves: Catalogue,
    habits: Habits,
) -> int:
    """A visit, which ends in an order or not: click, search, views, then cart, checkout, purchases, refunds."""
    start, second = n, one.second
    if one.campaign != NO_CAMPAIGN and one.kind != LATER:
        n = _row(rng, rows, n, one, second, ROW_CLICK, habits)
    if rng.random() < _SEARCHES:
        second += 5 + int(20 * rng.standard_exponential())
        n = _row(rng, rows, n, one, second, ROW_SEARCH, habits)
    buys = one.kind != VISIT
    wanted = min(1 + rng.poisson(habits.more_lines), _MOST_LINES) if buys else int(rng.random() < _CARTS)
    first_view, views = n, max(wanted, 1) + min(rng.poisson(_MORE_VIEWS), 16)
    for _ in range(views):
        second += 10 + int(30 * rng.standard_exponential())
        n = _row(rng, rows, n, one, second, ROW_VIEW, habits)
        item, category = _pick(rng, who, bargain, shelves, habits.own_taste)
        rows[n - 1].item, rows[n - 1].category, rows[n - 1].price = item, category, cut * shelves.price[item]
    for line in range(wanted):
        n = _copy(rng, rows, n, rows[first_view + line], one, second + 15 + line, ROW_CART, habits)
    if buys:
        n = _row(rng, rows, n, one, second + 60, ROW_CHECKOUT, habits)
        for line in range(wanted):
            n = _copy(rng, rows, n, rows[first_view + line], one, second + 90, ROW_PURCHASE, habits)
            bought = rows[n - 1]
            bought.order, bought.quantity = order, 1 + rng.poisson(_MORE_PIECES)
            n = _refund(rng, rows, n, bought, one, habits)
    for k in range(start, n):
        rows[k].campaign = one.campaign
    return n


@njit(cache=True, nogil=True)
def _copy(rng: Any, rows: Table, n: int, of: Any, one: Any, second: int, event: int, habits: Habits) -> int:
    """Another row of an item that was viewed."""
    n = _row(rng, rows, n, one, second, event, habits)
    rows[n - 1].item, rows[n - 1].category, rows[n - 1].price = of.item, of.category, of.price
    return n


@njit(cache=True, nogil=True)
def _refund(rng: Any, rows: Table, n: int, bought: Any, one: Any, habits: Habits) -> int:
    """Perhaps the line comes back, 1 to 20 days later; after the end of the log nobody sees it."""
    if rng.random() < habits.refunds:
        wait = DAY + int(19 * DAY * rng.random())
        if bought.at + wait < habits.last_second:
            n = _copy(rng, rows, n, bought, one, 0, ROW_REFUND, habits)
            rows[n - 1].at, rows[n - 1].order, rows[n - 1].quantity = bought.at + wait, bought.order, bought.quantity
    return n
