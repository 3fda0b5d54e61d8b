"""A small shop whose truth is known: customers who order at their own rate until they drop out.

In: numbers and `rng`. Out: `shop` -> `Shop` with events (for the contract), customers (their latent traits) and truth
(the population's curve per source, in closed form).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

SOURCES = {
    "organic": (0.45, 1.0),
    "search": (0.25, 0.75),
    "paid": (0.30, 0.5),
}  # share of customers, factor on the rate
CATEGORIES = {
    "beauty": (0.30, 14.0),
    "home": (0.25, 28.0),
    "fashion": (0.25, 35.0),
    "snacks": (0.20, 8.0),
}  # share, price
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shop:
    """A simulated shop.

    `events`: Events (purchases and refunds; prices in the shop's currency). `customers`: customer_id, source,
    joined_at, rate (orders per day while active), drop_probability (after each order). `truth`: group (a source, or
    "all"), duration_days, survival (probability of no next order within that many days of the first),
    restricted_mean_days (its area up to that day). `as_of`: the first day after the log. Every customer's whole history
    is in the log.
    """

    events: pl.DataFrame
    customers: pl.DataFrame
    truth: pl.DataFrame
    as_of: date

    def __repr__(self) -> str:
        return f"Shop of {len(self.customers):,} customers, {len(self.events):,} events up to {self.as_of}"


def shop(
    *,
    rng: int | np.random.Generator,
    n_customers: int = 4_000,
    days: int = 365,
    start: date = date(2025, 1, 1),
    rate_shape: float = 0.9,
    rate_scale_days: float = 30.0,
    dropout: tuple[float, float] = (0.8, 2.4),
    refund_share: float = 0.05,
) -> Shop:
    """Simulate a shop whose customers order at a gamma-distributed rate and drop out after any order.

    The BG/NBD shop in whole days: customer i joins on a day of the log, waits ceil(exponential(rate_i)) days from order
    to order, and stops for good after any order with probability p_i.

    Parameters
    ----------
    rng
        Seed or Generator.
    n_customers, days, start
        Size and window of the log; customers join evenly over the window.
    rate_shape, rate_scale_days
        Rates are gamma: shape, and days per unit for organic customers (mean rate = shape / days); customers from
        search and ads order at 0.75 and 0.5 times that.
    dropout
        p is Beta(a, b); mean a / (a + b).
    refund_share
        Share of order lines that come back, 1 to 20 days later.

    Returns
    -------
    Shop
        Events sorted by time, latent traits, and the population's truth.

    References
    ----------
    Fader, Hardie and Lee (2005), Marketing Science 24, 275-284.

    Examples
    --------
    >>> small = shop(n_customers=100, days=90, rng=7)
    >>> small.customers.columns
    ['customer_id', 'source', 'joined_at', 'rate', 'drop_probability']
    """
    rng = np.random.default_rng(rng)
    for name, value in {
        "n_customers": n_customers,
        "days": days,
        "rate_shape": rate_shape,
        "rate_scale_days": rate_scale_days,
    }.items():
        if value <= 0:
            raise ValueError(f"{name} is {value}; it must be > 0.")
    if min(dropout) <= 0:
        raise ValueError(f"dropout is {dropout}; both shapes of the beta must be > 0, e.g. (0.8, 2.4).")
    if not 0 <= refund_share < 1:
        raise ValueError(f"refund_share is {refund_share}; a share of lines, from 0 to below 1.")
    customers = _customers(n_customers, days, rate_shape, rate_scale_days, dropout, rng)
    who, day = _order_days(customers, days, rng)
    events = _events(customers, who, day, days, start, refund_share, rng)
    truth = _truth(days, rate_shape, rate_scale_days, dropout[0] / sum(dropout))
    joined = pl.lit(start) + pl.duration(days=pl.col("joined_day"))
    people = customers.select(
        "customer_id", "source", joined_at=joined, rate="rate", drop_probability="drop_probability"
    )
    return Shop(events=events, customers=people, truth=truth, as_of=start + timedelta(days=days))


def _customers(
    n: int, days: int, shape: float, scale: float, dropout: tuple[float, float], rng: np.random.Generator
) -> pl.DataFrame:
    shares, factors = (np.array(column) for column in zip(*SOURCES.values(), strict=True))
    source = rng.choice(len(SOURCES), n, p=shares)
    return pl.DataFrame(
        {
            "customer_id": np.arange(1, n + 1),
            "source": pl.Series(np.array(list(SOURCES))[source]),
            "joined_day": rng.integers(0, days, n),
            "rate": rng.gamma(shape, 1.0, n) * factors[source] / scale,
            "drop_probability": rng.beta(*dropout, n),
        }
    )


def _order_days(customers: pl.DataFrame, days: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Which customer (row) orders on which day; a round per order number, over those still active."""
    rate, drop = customers["rate"].to_numpy(), customers["drop_probability"].to_numpy()
    who, day = np.arange(len(customers)), customers["joined_day"].to_numpy()
    all_who, all_days = [], []
    while len(who):
        all_who.append(who)
        all_days.append(day)
        gap = np.ceil(np.minimum(rng.exponential(1.0, len(who)) / np.maximum(rate[who], 1e-300), 1e9)).astype(np.int64)
        stays = (rng.random(len(who)) >= drop[who]) & (day + gap < days)
        who, day = who[stays], (day + gap)[stays]
    return np.concatenate(all_who), np.concatenate(all_days)


def _events(
    customers: pl.DataFrame, who: Ints, day: Ints, days: int, start: date, refund_share: float, rng: np.random.Generator
) -> pl.DataFrame:
    """Lines of orders, and the refunds of some of them."""
    lines = 1 + rng.poisson(0.7, len(who))
    order = np.repeat(np.arange(len(who)), lines)
    shares, prices = (np.array(column) for column in zip(*CATEGORIES.values(), strict=True))
    category = rng.choice(len(CATEGORIES), len(order), p=shares)
    second = np.clip(rng.normal(14.5, 4.0, len(who)), 0, 23.99) * 3600
    at = day * 86_400 + second.astype(np.int64)
    bought = pl.DataFrame(
        {
            "customer_id": customers["customer_id"].to_numpy()[who][order],
            "seconds": at[order],
            "event": "purchase",
            "order_id": order + 1,
            "item_id": 100 * (category + 1) + rng.integers(0, 50, len(order)),
            "category": pl.Series(np.array(list(CATEGORIES))[category]),
            "price": np.round(prices[category] * rng.lognormal(-0.08, 0.4, len(order)), 2),
            "quantity": 1 + rng.poisson(0.3, len(order)),
            "source": pl.Series(customers["source"].to_numpy()[who][order]),
        }
    )
    wait = rng.integers(86_400, 20 * 86_400, len(order))
    returns = bought.with_columns(event=pl.lit("refund"), seconds=pl.col("seconds") + wait)
    returns = returns.filter(pl.Series(rng.random(len(order)) < refund_share) & (pl.col("seconds") < days * 86_400))
    log = pl.concat([bought, returns]).sort("seconds", "order_id", maintain_order=True)
    moment = pl.lit(datetime.combine(start, datetime.min.time())) + pl.duration(seconds=pl.col("seconds"))
    return log.select("customer_id", moment.cast(pl.Datetime("us")).alias("at"), pl.exclude("customer_id", "seconds"))


def _truth(days: int, shape: float, scale: float, mean_drop: float) -> pl.DataFrame:
    """P(no next order within t whole days) = E[p] + (1 - E[p]) (a / (a + t))^r, the gamma rate integrated out."""
    t = np.arange(days + 1, dtype=np.float64)
    curves: dict[str, Floats] = {}
    for source, (_, factor) in SOURCES.items():
        curves[source] = mean_drop + (1 - mean_drop) * (scale / (scale + factor * t)) ** shape
    curves["all"] = np.sum([share * curves[source] for source, (share, _) in SOURCES.items()], axis=0)
    return pl.concat(
        pl.DataFrame(
            {"group": group, "duration_days": t.astype(float), "survival": curve, "restricted_mean_days": _area(curve)}
        )
        for group, curve in curves.items()
    )


def _area(curve: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(curve)[:-1]])
