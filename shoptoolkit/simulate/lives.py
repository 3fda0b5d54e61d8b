"""Lives of customers day by day, compiled by numba. Imported where it is used, as numba loads slowly.

In: customers (`CUSTOMER`), a calendar, rules. Out: `live` writes their moments (orders, visits, watching) as they would
be without the experiment; `respond` changes them for the exposed; `intend` gives what can be expected of that.

A customer's next order is due when an operational clock, running at the order rate of each day, has run a gamma gap of
mean 1. So rhythm, season, promotions and watching meet in one number a day, and an effect of zero leaves it alone.
Watching does not depend on orders, except that it falls when a customer drops out; nothing of it depends on ads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.simulate.moments import (
    ALWAYS_ON,
    CLICK,
    EXPERIMENT,
    IMPRESSION,
    LATER,
    LIVE,
    MOMENT,
    NO_CAMPAIGN,
    ORDER,
    ORGANIC,
    PAID,
    SEARCH,
    VISIT,
    WATCH,
)
from shoptoolkit.simulate.shoppers import WARM_MINUTES, Table


class Rules(NamedTuple):
    """What the loops need of `Shoppers` and `Experiment`; days count from the start of the log.

    A flight from `flight_first` to before `flight_last` makes eligible whoever wins a slot in it; `effect_days` after
    that the ad works. `visible`: write visits and watching too, not only orders.
    """

    effect: float
    keep: float  # share of the remembered minutes that is left the next day
    minutes: float
    live_share: float
    lapsed: float
    visits: float
    paid_entry: float
    search_entry: float
    flight_first: int
    flight_last: int
    win_share: float
    effect_days: int
    win_back: float
    visible: bool


class Response(NamedTuple):
    """What exposure does: see `Experiment`."""

    effect_days: int
    displaced: float
    borrow_days: int
    pulled: float
    delay_days: float


@njit(cache=True, nogil=True)
def second_of_day(rng: Any, hour: Floats) -> int:
    """A moment of the day, as customers come."""
    place = rng.random() * (len(hour) - 1)
    k = int(place)
    return int(hour[k] + (place - k) * (hour[k + 1] - hour[k]))


@njit(cache=True, nogil=True)
def put(
    moments: Table, n: int, who: int, day: int, second: int, kind: int, source: int, campaign: int, watched: float
) -> tuple[Table, int]:
    """Write a moment at place n; a full table is doubled first."""
    if n == len(moments):
        larger = np.empty(2 * n + 16, moments.dtype)
        larger[:n] = moments
        moments = larger
    one = moments[n]
    one.customer, one.day, one.second = who, day, second
    one.kind, one.source, one.campaign, one.watched = kind, source, campaign, watched
    return moments, n + 1


@njit(cache=True, nogil=True)
def live(rng: Any, people: Table, calendar: Any, rules: Rules, hour: Floats, hazard: Floats, first: int) -> Table:
    """All moments of all customers up to the end of the calendar, customer by customer, days in order.

    `people` is left in the state of the last day. Those whose next order is not due yet (nan) join with one; the
    others live on from day `first`. Row i of `hazard` gets customer i's rate on each of the days on which an ad works.
    """
    moments, n = np.empty(16 * len(people) + 16, MOMENT), 0
    for i in range(len(people)):
        one, day = people[i], first
        if np.isnan(one.due):
            campaign = ALWAYS_ON if one.source == PAID else NO_CAMPAIGN
            moments, n = put(moments, n, i, one.joined, second_of_day(rng, hour), ORDER, one.source, campaign, 0.0)
            _after_order(rng, one, one.joined)
            day = one.joined + 1
        moments, n = _days(rng, i, one, day, calendar, rules, hour, hazard, moments, n)
    return moments[:n]


@njit(cache=True, nogil=True)
def _after_order(rng: Any, one: Any, day: int) -> None:
    """Drop out, or draw when the next order is due."""
    one.age = 0.0
    if rng.random() < one.drop:
        one.active, one.dropped = False, day
        one.due = np.inf
    else:
        one.due = rng.standard_gamma(one.rhythm) / one.rhythm


@njit(cache=True, nogil=True)
def _days(
    rng: Any,
    i: int,
    one: Any,
    day: int,
    calendar: Any,
    rules: Rules,
    hour: Floats,
    hazard: Floats,
    moments: Table,
    n: int,
) -> tuple[Table, int]:
    """The life of one customer from a day on."""
    next_watch, next_visit = rng.standard_exponential(), rng.standard_exponential()
    for today in range(day, len(calendar.intensity)):
        if not (one.active or rules.visible or today < rules.flight_last + rules.effect_days):
            break  # nothing that is asked can still happen
        pace = 1.0 if one.active else rules.lapsed
        rate = one.rate * calendar.intensity[today] * (one.promotion if calendar.promotion[today] else 1.0)
        next_watch -= one.watching * calendar.watching[today] * pace
        minutes, is_live = 0.0, False
        while next_watch <= 0:
            moments, n, seconds, live_one = _watch(rng, i, one, today, rules, hour, moments, n)
            minutes, is_live = minutes + seconds / 60, is_live or live_one
            next_watch += rng.standard_exponential()
        since = today - one.eligible if one.eligible >= 0 else 0
        works = 0 < since <= rules.effect_days
        if one.active or works:
            warm = rate * (1 + one.memory / WARM_MINUTES) ** rules.effect if rules.effect else rate
            if works:
                hazard[i, since - 1] = warm * (1.0 if one.active else rules.win_back)
            one.due -= warm
            one.age += warm
        if one.due <= 0:
            source, campaign = _entry(rng, is_live, rules)
            moments, n = put(moments, n, i, today, second_of_day(rng, hour), ORDER, source, campaign, 0.0)
            _after_order(rng, one, today)
        next_visit -= rules.visits * rate * pace if rules.visible else 0.0
        while next_visit <= 0:
            source, campaign = _entry(rng, is_live, rules)
            moments, n = put(moments, n, i, today, second_of_day(rng, hour), VISIT, source, campaign, 0.0)
            next_visit += rng.standard_exponential()
        one.memory = (one.memory + minutes) * rules.keep
    return moments, n


@njit(cache=True, nogil=True)
def _watch(
    rng: Any, i: int, one: Any, today: int, rules: Rules, hour: Floats, moments: Table, n: int
) -> tuple[Table, int, float, bool]:
    """One session of watching; in the flight it may win an ad slot, and makes eligible the first time it does."""
    seconds = 60 * rules.minutes * rng.standard_exponential()
    is_live = rng.random() < rules.live_share
    second = second_of_day(rng, hour)
    if rules.visible:
        moments, n = put(moments, n, i, today, second, WATCH, LIVE if is_live else ORGANIC, NO_CAMPAIGN, seconds)
    may_see = one.eligible < 0 and one.joined < rules.flight_first <= today < rules.flight_last
    if may_see and rng.random() < rules.win_share:
        one.eligible, one.eligible_second = today, second
    return moments, n, seconds, is_live


@njit(cache=True, nogil=True)
def _entry(rng: Any, is_live: bool, rules: Rules) -> tuple[int, int]:
    """How somebody who comes anyway comes in: source and campaign."""
    chance = rng.random()
    if chance < rules.paid_entry:
        return PAID, ALWAYS_ON
    if is_live:
        return LIVE, NO_CAMPAIGN
    return (SEARCH if chance < rules.paid_entry + rules.search_entry else ORGANIC), NO_CAMPAIGN


@njit(cache=True, nogil=True)
def respond(
    rng: Any, people: Table, exposed: Any, lift: Floats, hazard: Floats, response: Response, hour: Floats, own: Table
) -> Table:
    """The moments as they become for the exposed: own orders displaced or pulled forward, new ones on top."""
    moments, n = np.concatenate((own, own[: len(own) // 8])), len(own)
    for m in range(n):
        one = moments[m]
        i = one.customer
        if one.kind == ORDER and exposed[i]:
            since, window = one.day - people[i].eligible, response.effect_days
            if 0 < since <= window and rng.random() < response.displaced:
                one.source, one.campaign = PAID, EXPERIMENT
            elif window < since <= window + response.borrow_days and rng.random() < response.pulled:
                one.day = people[i].eligible + 1 + int(rng.random() * window)
                one.source, one.campaign = PAID, EXPERIMENT
    for i in range(len(people)):
        if exposed[i]:
            moments, n = put(
                moments, n, i, people[i].eligible, people[i].eligible_second, IMPRESSION, PAID, EXPERIMENT, 0.0
            )
            for k in range(response.effect_days):
                for _ in range(rng.poisson(lift[i] * hazard[i, k])):
                    moments, n = _new_order(rng, i, people[i].eligible + 1 + k, response, hour, moments, n)
    return moments[:n]


@njit(cache=True, nogil=True)
def _new_order(
    rng: Any, i: int, day: int, response: Response, hour: Floats, moments: Table, n: int
) -> tuple[Table, int]:
    """A click, and the order it brings, on that day or later."""
    wait = rng.standard_exponential() / np.log1p(1 / response.delay_days) if response.delay_days > 0 else 0.0
    delay = int(min(wait, 1e6))  # geometric: whole days with this mean
    second = second_of_day(rng, hour)
    if delay == 0:
        return put(moments, n, i, day, second, ORDER, PAID, EXPERIMENT, 0.0)
    moments, n = put(moments, n, i, day, second, CLICK, PAID, EXPERIMENT, 0.0)
    return put(moments, n, i, day + delay, second_of_day(rng, hour), LATER, PAID, EXPERIMENT, 0.0)


@njit(cache=True, nogil=True)
def intend(people: Table, lift: Floats, hazard: Floats, delay_days: float, until: int) -> Floats:
    """New orders to be expected of each eligible customer, if exposed, before day `until`."""
    expected = np.zeros(len(people))
    for i in range(len(people)):
        if people[i].eligible >= 0:
            for k in range(hazard.shape[1]):
                left = until - (people[i].eligible + 1 + k)  # days in which the order must come
                if left > 0:
                    lands = 1 - np.exp(-left * np.log1p(1 / delay_days)) if delay_days > 0 else 1.0
                    expected[i] += lift[i] * hazard[i, k] * lands
    return expected


def last_orders(moments: Table, n: int, before: int) -> Ints:
    """Each customer's last day with an order before a day; -1 where there is none."""
    last = np.full(n, -1)
    some = moments[(moments["kind"] == ORDER) & (moments["day"] < before)]
    np.maximum.at(last, some["customer"], some["day"])
    return last
