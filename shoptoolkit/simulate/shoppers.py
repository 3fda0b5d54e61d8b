"""Who the customers of a simulated shop are, and the calendar they live by.

In: `Shoppers`, the parameters. Out: `traits` draws customers, `calendar` says what each day is like, `catalogue` what
is for sale (fixed by the parameters: the shelves are the same in every world).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.simulate.limits import amount, check_limits, count, share

Table = npt.NDArray[np.void]

ACQUISITION = {  # share of customers, factor on the rate
    "organic": (0.45, 1.0),
    "search": (0.25, 0.75),
    "paid": (0.30, 0.5),
}
SOURCES = ("organic", "search", "paid", "live")
FAVOURITES = (0.6, 0.3, 0.1)  # how a customer's own picks fall on the three favourite categories
PIECES = 1.3  # mean quantity of a line
WARM_MINUTES = 10.0  # watching this much doubles the base of the effect of watching
_WEEK = np.array([-0.5, -0.6, -0.4, -0.1, 0.4, 0.7, 0.5]) / 0.7  # Monday to Sunday: weekends are busy
_YEAR_PEAK = 346  # day of the year: 12 December
_HOURS = np.cos((np.arange(24) - 20) / 12 * np.pi)  # busiest in the evening
_SENSITIVITY_SHAPE = 4.0
NEVER = -1  # no such day
_SHELVES = 20_250_101  # seed of the catalogue
CUSTOMER = np.dtype(
    [
        ("source", "u1"),
        ("joined", "i4"),
        ("rate", "f8"),
        ("rhythm", "f8"),
        ("drop", "f8"),
        ("sensitivity", "f8"),
        ("promotion", "f8"),
        ("watching", "f8"),
        ("due", "f8"),
        ("age", "f8"),
        ("memory", "f8"),
        ("active", "?"),
        ("dropped", "i4"),
        ("eligible", "i4"),
        ("eligible_second", "i4"),
        ("favourites", "u1", (3,)),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shoppers:
    """How customers buy, drop out, watch and choose. Every effect is a number with a unit, and can be zero.

    Parameters
    ----------
    rate_shape, rate_scale_days
        Order rates are gamma: shape, and days per unit for organic customers (mean rate = shape / days); customers
        from search and ads order at 0.75 and 0.5 times that. A rate is orders per day while active, on an average day,
        with nothing watched lately; gaps are rounded up to whole days, so a rate of 0.1 gives 0.0955 orders a day.
    dropout
        After any order a customer stops for good with probability p; p is Beta(a, b), mean a / (a + b).
    rhythm, rhythm_spread
        Gaps between orders are gamma with this shape: 1 is chance, above 1 regular, below 1 clumpy. `rhythm` is the
        median over customers, `rhythm_spread` the standard deviation of its log (0: all alike).
    watch_sessions_per_day, watch_spread, watch_minutes, live_share
        Sessions of watching per customer and day on average; the standard deviation of its log over customers; mean
        length (exponential); share of them that are live shows.
    watch_effect, watch_memory_days
        The order rate is multiplied by (1 + minutes / 10) ** watch_effect, minutes being those watched on earlier days,
        of which half are forgotten every `watch_memory_days`. 0: watching does nothing.
    lapsed_activity
        Share of watching and visiting that goes on after a customer has dropped out.
    visits_per_order
        Visits without a purchase per expected order; a quarter of them leave a full cart behind.
    paid_entry_share, search_entry_share
        Share of visits and orders that enter through an always-on ad although they would have come anyway, and through
        search. A day with a live show is entered from it.
    year_swing, weekday_swing, hour_swing
        The rate swings by up to this share around its mean: over the year (highest on 12 December), over the week
        (highest on Saturday), over the day (highest at half past eight in the evening).
    promotion_depth, promotion_days, promotion_every_days
        Share off all prices on promotion days, which come for so many days every so many days (0 off: none).
    price_sensitivity
        Mean elasticity: on a promotion day a customer's rate is divided by (1 - depth) ** elasticity. Gamma over
        customers; also the sensitive pick the cheaper of two items more often. 0: nobody looks at prices.
    n_categories, n_items, own_taste
        The catalogue, and the share of picks from a customer's own three categories (0: all alike).
    lines_per_order, refund_share
        Mean lines of an order (one, and a Poisson number more); share of lines that come back, 1 to 20 days later.
    late_share, late_hours
        Share of rows that reach the log late (`known_at`), and by how many hours on average.

    Raises
    ------
    ValueError
        A number is out of its range.
    TypeError
        A parameter is no number.
    """

    rate_shape: float = amount(1.0, zero=False)
    rate_scale_days: float = amount(65.0, zero=False)
    dropout: tuple[float, float] = (0.6, 3.0)
    rhythm: float = amount(1.0, zero=False)
    rhythm_spread: float = amount(0.4)
    watch_sessions_per_day: float = amount(0.15)
    watch_spread: float = amount(0.8)
    watch_minutes: float = amount(8.0)
    live_share: float = share(0.2)
    watch_effect: float = amount(0.4)
    watch_memory_days: float = amount(7.0, zero=False)
    lapsed_activity: float = share(0.4)
    visits_per_order: float = amount(3.0)
    paid_entry_share: float = share(0.1)
    search_entry_share: float = share(0.25)
    year_swing: float = share(0.1)
    weekday_swing: float = share(0.2)
    hour_swing: float = share(0.8)
    promotion_depth: float = share(0.2)
    promotion_days: int = count(5)
    promotion_every_days: int = count(42)
    price_sensitivity: float = amount(1.2)
    n_categories: int = count(24, least=3, most=250)
    n_items: int = count(3_000, least=24)
    own_taste: float = share(0.7)
    lines_per_order: float = amount(2.2)
    refund_share: float = share(0.05)
    late_share: float = share(0.02)
    late_hours: float = amount(12.0)

    def __post_init__(self) -> None:
        check_limits(self)
        _check_pair(self.dropout)
        if self.promotion_depth == 1:
            raise ValueError("promotion_depth is 1; goods given away have no elasticity, take less than 1.")
        if self.promotion_days > self.promotion_every_days:
            raise ValueError(
                f"promotion_days is {self.promotion_days}; at most promotion_every_days, {self.promotion_every_days}."
            )
        if self.paid_entry_share + self.search_entry_share > 1:
            together = self.paid_entry_share + self.search_entry_share
            raise ValueError(f"paid_entry_share and search_entry_share add up to {together:g}; at most 1.")
        if not 1 <= self.lines_per_order <= 20:
            raise ValueError(f"lines_per_order is {self.lines_per_order}; a mean from 1 to 20.")
        if self.n_items < self.n_categories:
            raise ValueError(f"n_items is {self.n_items}; at least one for each of {self.n_categories} categories.")


def _check_pair(dropout: tuple[float, float]) -> None:
    told = f"dropout is {dropout!r}; "
    is_pair = isinstance(dropout, tuple) and len(dropout) == 2
    if not is_pair or any(isinstance(one, bool) or not isinstance(one, int | float) for one in dropout):
        raise TypeError(f"{told}it must be the two shapes of a beta, e.g. (0.6, 3.0).")
    if not all(math.isfinite(one) and one > 0 for one in dropout):
        raise ValueError(f"{told}both shapes of the beta must be above 0, e.g. (0.6, 3.0).")


class Calendar(NamedTuple):
    """What each day of the log is like: factor on the order rate, on watching, and whether prices are cut."""

    intensity: Floats
    watching: Floats
    promotion: npt.NDArray[np.bool_]


def calendar(shoppers: Shoppers, start: date, days: int) -> Calendar:
    """The days from `start` on; each kind of season has the mean 1 over its period."""
    day = np.arange(days)
    week = 1 + shoppers.weekday_swing * _WEEK[(start.weekday() + day) % 7]
    of_year = start.timetuple().tm_yday + day
    year = 1 + shoppers.year_swing * np.cos(2 * np.pi * (of_year - _YEAR_PEAK) / 365.25)
    # the first promotion comes after the first pause, so that a short log begins with plain days
    into = day % shoppers.promotion_every_days
    promotion = (into >= shoppers.promotion_every_days - shoppers.promotion_days) & (shoppers.promotion_depth > 0)
    return Calendar(intensity=week * year, watching=week, promotion=promotion)


def traits(shoppers: Shoppers, n: int, days: int, rng: np.random.Generator) -> Table:
    """New customers, one row each (`CUSTOMER`), who join evenly over the days."""
    who = np.zeros(n, CUSTOMER)
    shares, factors = np.array(list(ACQUISITION.values())).T
    who["source"] = rng.choice(len(ACQUISITION), n, p=shares)
    who["joined"] = rng.integers(0, days, n)
    who["rate"] = rng.gamma(shoppers.rate_shape, 1.0, n) * factors[who["source"]] / shoppers.rate_scale_days
    who["rhythm"] = shoppers.rhythm * np.exp(shoppers.rhythm_spread * rng.standard_normal(n))
    who["drop"] = rng.beta(*shoppers.dropout, n)
    who["sensitivity"] = shoppers.price_sensitivity * rng.gamma(_SENSITIVITY_SHAPE, 1 / _SENSITIVITY_SHAPE, n)
    who["promotion"] = (1 - shoppers.promotion_depth) ** -who["sensitivity"]
    spread = shoppers.watch_spread
    who["watching"] = shoppers.watch_sessions_per_day * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    who["due"] = np.nan  # new: the first order comes with joining
    who["active"], who["dropped"], who["eligible"] = True, NEVER, NEVER
    popular = popularity(shoppers.n_categories)
    who["favourites"] = np.searchsorted(np.cumsum(popular), rng.random((n, 3))).clip(max=shoppers.n_categories - 1)
    return who


def bargain(people: Table) -> Floats:
    """Each customer's chance of taking the cheaper of two items: s / (1 + s) of the sensitivity s."""
    sensitivity: Floats = people["sensitivity"]
    return sensitivity / (1 + sensitivity)


def popularity(n: int) -> Floats:
    """Shares of categories for those without a taste of their own: the k-th is 1/(k + 3) as popular."""
    weight = 1 / (np.arange(n) + 4.0)
    return weight / weight.sum()


class Catalogue(NamedTuple):
    """Items sorted by category; category c has the items first[c] up to first[c + 1], the most popular first."""

    first: Ints
    price: Floats
    popular: Floats  # cumulated shares of the categories
    hour: Floats  # second of the day at which a share k / (len - 1) of a day's visits has come


def catalogue(shoppers: Shoppers) -> Catalogue:
    """What is for sale, and when in the day people come."""
    rng = np.random.default_rng(_SHELVES)
    first = np.linspace(0, shoppers.n_items, shoppers.n_categories + 1).astype(np.int64)
    level = 12.0 * np.exp(0.5 * rng.standard_normal(shoppers.n_categories))
    price = np.repeat(level, np.diff(first)) * np.exp(0.4 * rng.standard_normal(shoppers.n_items))
    come = np.concatenate([[0.0], np.cumsum(np.repeat(1 + shoppers.hour_swing * _HOURS, 60))])
    hour = np.interp(np.linspace(0, 1, 1025), come / come[-1], np.arange(len(come)) * 60.0)
    return Catalogue(first, np.round(price, 2), np.cumsum(popularity(shoppers.n_categories)), hour)


def basket(shoppers: Shoppers, people: Table) -> Floats:
    """The value each customer's order is expected to have at full prices, before refunds."""
    shelves, own = catalogue(shoppers), shoppers.own_taste
    popular = popularity(shoppers.n_categories)
    parts = [shelves.price[start:end] for start, end in zip(shelves.first, shelves.first[1:], strict=False)]
    taken, cheaper = (
        own * (price[people["favourites"]] @ np.array(FAVOURITES)) + (1 - own) * (popular @ price)
        for price in np.array([_mean_prices(part) for part in parts]).T
    )
    return shoppers.lines_per_order * PIECES * (taken + bargain(people) * (cheaper - taken))


def _mean_prices(price: Floats) -> tuple[float, float]:
    """Mean price of an item of a category as it is picked (at size x random ** 2), and of the cheaper of two."""
    share = np.diff(np.sqrt(np.linspace(0, 1, len(price) + 1)))
    order = np.argsort(price)
    at_least = np.concatenate([np.cumsum(share[order][::-1])[::-1], [0.0]])  # the chance of this price or a higher one
    return float(share @ price), float(-np.diff(at_least**2) @ price[order])
