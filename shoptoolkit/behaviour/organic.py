"""Which orders would have come without ads: what two labels say, what a holdout says, and how wrong the labels are.

In: Events and, where there was an experiment, its Assignments. Out: `organic_share` -> EstimateTable, the ways to tell
side by side. A label looks at how an order came in; only a holdout shows what comes without the ad.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shoptoolkit import features
from shoptoolkit.behaviour.prefixes import known_before
from shoptoolkit.contract import (
    Assignments,
    ContractError,
    EstimateTable,
    estimate_row,
    refused_row,
    require,
    wilson,
)
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, check_span, listed
from shoptoolkit.contract.clock import day_of, moment
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.splits import ratio_reason

_SESSION, _HOLDOUT = "session entry", "holdout"
_DAY = 86_400_000_000  # microseconds
_NO_HOLDOUT = (
    "No assignments are given, so nothing shows what would come without ads. Keep them from a random part of the "
    "customers, and pass assignments."
)


class _Share(NamedTuple):
    """A share with its bounds, how far each customer of either arm moves it, and how many customers it is of."""

    estimate: float
    low: float
    high: float
    treated: Floats
    control: Floats

    @property
    def n(self) -> int:
        return len(self.treated) + len(self.control)


def organic_share(
    events: Any,
    *,
    as_of: datetime | date | str,
    assignments: Any = None,
    control: str = "control",
    horizon_days: float = 90.0,
    window_days: float = 7.0,
    paid: Sequence[str] = ("paid",),
    gap_minutes: float = 30.0,
    timezone: str = "UTC",
    level: float = 0.95,
) -> EstimateTable:
    """Which share of orders would have come without ads: by two labels, by a holdout, and how wrong the labels are.

    Parameters
    ----------
    events
        Events, with `source` or `campaign_id`. Those of before the orders count as touches too.
    as_of
        The first day not looked at (a date, or text like "2011-12-09"); rows known (`known_at`) only then are not
        looked at either.
    assignments
        Assignments of one experiment with two arms, dealt at random, one row per customer; whoever has no events
        counts with no orders. With them every row speaks of the same orders: those of treated customers within
        `horizon_days` from `assigned_at`, in days of 24 hours. Without, of all orders of the log.
    control
        The arm without the ad.
    horizon_days
        How long after the assignment orders are counted; the log must hold so many days after the last one.
    window_days
        The second label calls an order unprompted if the log has no paid touch of the customer in [ordered_at -
        window_days, ordered_at]. A touch is a row with a paid source, or with a campaign; the order's own click and
        first line are touches too.
    paid
        The sources that cost money.
    gap_minutes
        A longer pause starts a new session. The first label calls an order unprompted if the first row of its session
        that has a source has none of `paid`; an ad that was only shown (an impression) opens no session. Orders in
        sessions without any source count as unprompted, and the row says how many.
    timezone
        Where the day of `as_of` begins.
    level
        Coverage of the intervals.

    Returns
    -------
    EstimateTable
        One row each, named in `group`; `n` customers. metric "orders" (measure share): "session entry", "no paid touch
        in 7 days", and "holdout": mean orders of control / mean orders of treatment, as assigned. Metric "label less
        holdout" (share, p-value against none): how much more each label calls unprompted than comes without the ad of
        the experiment. Errors are those of customers, the difference's with what both owe to the same customers.

    Notes
    -----
    Labels' intervals are Wilson's (1927) with the effective number of orders; the holdout's is that of the logarithm,
    by the delta method; the difference's is put together from both, with what they owe to the same customers (Zou
    2007), and its p-value is below 1 - level where it leaves out 0. Both arms are taken as drawn independently; dealing
    arms within strata can only narrow it. Few customers in an arm make intervals too short: with 20 those of 95 % for
    holdout and difference cover about 0.93, with 10 0.9, with 5 0.87. The holdout tells of the experiment's ads;
    always-on ads that both arms saw are in both means. Where the log begins within `window_days` of an order, touches
    before it are not seen. A share above 1 says that the ads cost orders.

    Raises
    ------
    ContractError
        Events or assignments break their contract, or no event is a purchase; customers are of different types in the
        two; several experiments, other than two arms, or a customer with several rows.
    ValueError
        `control` is no arm, a number is out of its range, or nothing was known before `as_of`.
    TypeError
        `paid` is no text or list of texts.

    References
    ----------
    Blake, Nosko and Tadelis (2015), Econometrica 83, 155-174: paid clicks that would have come anyway. Zou (2007),
    Psychological Methods 12, 399-413: bounds of a difference from those of its parts.

    Examples
    --------
    >>> from datetime import datetime
    >>> log = pl.DataFrame({"customer_id": ["a", "a", "b"], "event": "purchase", "price": 9.0,
    ...                     "at": [datetime(2025, 1, day) for day in (2, 20, 5)], "source": ["paid", "live", "live"]})
    >>> organic_share(log, as_of="2025-02-01").table.select("group", "estimate", "n", "verdict").rows()[0]
    ('session entry', 0.6666666666666666, 2, 'ok')
    """
    check_level(level)
    check_span("horizon_days", horizon_days)
    check_span("window_days", window_days, example="7")
    check_number("gap_minutes", gap_minutes)
    end = moment(day_of(as_of, timezone=timezone), timezone=timezone)
    window = f"no paid touch in {window_days:g} day{'' if window_days == 1 else 's'}"
    log, paid = known_before(events, end), listed(paid, name="paid")
    refused = {_SESSION: (unpaid := _unpaid(log, paid)), window: unpaid, _HOLDOUT: _NO_HOLDOUT}
    if "campaign_id" in log.columns and log["campaign_id"].count():
        refused[window] = None
    told: dict[str, Any] = {"estimand": "share of all orders that would have come without ads", "level": level}
    people = None
    if assignments is not None:
        people, refused[_HOLDOUT] = _arms(require(assignments, Assignments), log, control)
        among = f"share of treated customers' orders within {horizon_days:g} days that would have come without the ad"
        told |= {"estimand": among, "horizon_days": float(horizon_days)}
        if unseen := _unseen(people, log, end, horizon_days):
            return EstimateTable.from_rows(_rows({}, dict.fromkeys(refused, unseen), told, len(people)))
    orders = _orders(log, paid, gap_minutes)
    orders = orders.with_columns(_untouched(log, orders, paid, window_days).alias(window))
    counts = _counts(orders, people, horizon_days, window)
    refused = {way: reason or _too_few(counts, both_arms=way == _HOLDOUT) for way, reason in refused.items()}
    shares = {way: _share(way, counts, level) for way, reason in refused.items() if not reason}
    unknown = int(counts.filter("treated")["unknown"].sum())
    return EstimateTable.from_rows(_rows(shares, refused, told, len(counts), unknown))


def _unpaid(log: pl.DataFrame, paid: Sequence[str]) -> str | None:
    """Why no row is known to be paid, if none is."""
    if "source" not in log.columns:
        return (
            "The log has no column 'source', which tells paid rows from others; name yours by columns= as it is read."
        )
    found = sorted(map(str, log["source"].drop_nulls().unique()))
    listing = ", ".join(map(repr, found[:8])) or "nothing"
    told = f"No row has a source that is paid: column 'source' has {listing}; paid is {tuple(paid)}."
    return told if set(found).isdisjoint(paid) else None


def _arms(dealt: pl.DataFrame, log: pl.DataFrame, control: str) -> tuple[pl.DataFrame, str | None]:
    """Who was assigned when, treated or not; and why arms cannot be compared, if they cannot."""
    if dealt.schema["customer_id"] != log.schema["customer_id"]:
        kinds = f"{dealt.schema['customer_id']}, and {log.schema['customer_id']} in the events"
        raise ContractError(f"assignments: 'customer_id' is {kinds}, so no customer is in both; cast one.")
    if (several := dealt["experiment_id"].n_unique()) > 1:
        raise ContractError(f"assignments: they are of {several} experiments; pass those of one.")
    arms = sorted(dealt["arm"].unique())
    if control not in arms:
        raise ValueError(f"control is {control!r}; the arms are {', '.join(map(repr, arms))}.")
    if len(arms) != 2:
        raise ContractError(
            f"assignments: the arms are {', '.join(map(repr, arms))}; pass two, {control!r} and another."
        )
    if len(twice := dealt.filter(pl.col("customer_id").is_duplicated())):
        who = twice.sort("customer_id").row(0, named=True)["customer_id"]
        raise ContractError(
            f"assignments: customer {who!r} has several rows, as have {twice['customer_id'].n_unique() - 1:,} others; "
            "each customer is in one arm, once."
        )
    return dealt.select("customer_id", "assigned_at", treated=pl.col("arm") != control), _unlike(dealt)


def _unlike(dealt: pl.DataFrame) -> str | None:
    """Why arms differ in who is in them, if the plan tells: chances vary, or counts are not those planned."""
    if "probability" not in dealt.columns or not dealt["probability"].count():
        return None
    of_arm = dealt.group_by("arm").agg(
        pl.len(), pl.col("probability").n_unique().alias("chances"), pl.col("probability").first()
    )
    if of_arm["chances"].max() != 1:
        return "An arm's probability varies, so that arms differ in who is in them. Pass customers of one probability."
    return ratio_reason(dict(of_arm.select("arm", "len").rows()), dict(of_arm.select("arm", "probability").rows()))


def _unseen(people: pl.DataFrame, log: pl.DataFrame, end: datetime, horizon_days: float) -> str | None:
    """Why the log does not hold the days after the assignments, if it does not."""
    start = log.select(pl.col("at").min()).item()
    room = (end - people.select(pl.col("assigned_at").max()).item()) / timedelta(days=1)
    late, early = (
        people.filter(one).height
        for one in (pl.col("assigned_at") >= end, pl.col("assigned_at") < start - timedelta(days=1))
    )
    told = f"of {len(people):,} customers are assigned"
    if late:
        return f"{late:,} {told} on or after {end}; leave them out, or take a later as_of."
    if horizon_days > room:
        most = f"{math.floor(100 * room) / 100:g}"
        return f"horizon_days is {horizon_days:g}, and as_of comes {most} days after the last assignment; take that."
    return f"{early:,} {told} before the log begins on {start:%Y-%m-%d}; leave them out." if early else None


def _orders(log: pl.DataFrame, paid: Sequence[str], gap_minutes: float) -> pl.DataFrame:
    """Each order, and how its session was entered."""
    did = log.filter(pl.col("event") != "impression")
    entered = features.sessions(did, gap_minutes=gap_minutes, paid=paid)
    return features.orders(entered, keep=["entry"])


def _untouched(log: pl.DataFrame, orders: pl.DataFrame, paid: Sequence[str], window_days: float) -> pl.Series:
    """Of each order, whether no paid touch lies in its window: touches before orders in one sort, and a fill."""
    marks = {"source": pl.col("source").is_in(paid), "campaign_id": pl.col("campaign_id").is_not_null()}
    is_paid = pl.any_horizontal(*(mark for name, mark in marks.items() if name in log.columns), False)
    touches = log.filter(is_paid).select("customer_id", "at", touched="at", toucher="customer_id")
    asked = orders.select("customer_id", "order_number", at="ordered_at")
    line = pl.concat([touches, asked], how="diagonal").sort("customer_id", "at", "order_number")  # touches, null, first
    line = line.with_columns(pl.col("touched", "toucher").forward_fill()).drop_nulls("order_number")
    since = (pl.col("at") - pl.col("touched")).dt.total_microseconds() / _DAY
    return line.select(~(pl.col("toucher").eq_missing(pl.col("customer_id")) & (since <= window_days))).to_series()


def _counts(orders: pl.DataFrame, people: pl.DataFrame | None, horizon_days: float, window: str) -> pl.DataFrame:
    """One row per customer: orders that count, and how many of them each label calls unprompted."""
    if people is not None:
        orders = orders.join(people, on="customer_id")
        since = (pl.col("ordered_at") - pl.col("assigned_at")).dt.total_microseconds() / _DAY
        orders = orders.filter((since >= 0) & (since < horizon_days))
    told = {_SESSION: pl.col("entry").ne_missing("paid").sum(), window: pl.col(window).sum()}
    counts = orders.group_by("customer_id").agg(orders=pl.len(), unknown=pl.col("entry").is_null().sum(), **told)
    if people is None:
        return counts.with_columns(treated=True).sort("customer_id")
    every = people.join(counts, on="customer_id", how="left").sort("customer_id")
    return every.with_columns(pl.col(counts.columns[1:]).fill_null(0))


def _too_few(counts: pl.DataFrame, *, both_arms: bool) -> str | None:
    """Why these customers give no share, if they do not."""
    arms = {"treated": pl.col("treated")} | ({"control": ~pl.col("treated")} if both_arms else {})
    for name, of in arms.items():
        orders = counts.filter(of)["orders"]
        if len(orders) < 2 or not orders.sum():
            return f"{len(orders)} {name} customers have {orders.sum()} orders; it takes 2 customers and an order."
    return None


def _share(way: str, counts: pl.DataFrame, level: float) -> _Share:
    """The share by one way, with what each customer moves it by (the delta method's slopes)."""
    treated, control = (counts.filter(pl.col("treated") == arm).cast({pl.UInt32: pl.Float64}) for arm in (True, False))
    orders = treated["orders"].to_numpy()
    mean = orders.mean()
    if way == _HOLDOUT:
        ratios = control["orders"].to_numpy() / mean
        share = float(ratios.mean())
        moves = share * (1 - orders / mean), ratios - share
        reach = math.exp(z_of(level) * _error(*moves) / share)
        return _Share(share, share / reach, share * reach, *moves)
    share = float(treated[way].sum() / orders.sum())
    moves = (treated[way].to_numpy() - share * orders) / mean, np.zeros(0)
    error = _error(*moves)
    n = min(share * (1 - share) / error**2, orders.sum()) if error else np.count_nonzero(orders)
    low, high = map(float, wilson(share, n, level))
    return _Share(share, low, high, *moves)


def _error(*arms: Floats) -> float:
    return math.sqrt(sum(one.var(ddof=1) / len(one) for one in arms if len(one)))


def _rows(
    shares: dict[str, _Share], refused: dict[str, str | None], told: dict[str, Any], n: int, unknown: int = 0
) -> Iterator[dict[str, Any]]:
    """A row for each way, and one for how far each label is off."""
    told = {"question": "What share of orders comes unprompted?", "measure": "share"} | told
    for way, reason in refused.items():
        row = told | {"group": way, "metric": "orders", "method": "as assigned" if way == _HOLDOUT else "label"}
        if reason:
            yield refused_row(reason=reason, n=n, **row)
            continue
        one = shares[way]
        if unknown and way == _SESSION:
            row["reason"] = f"{unknown:,} orders lie in sessions without a source, and count as unprompted."
        row |= {"low": one.low, "high": one.high, "n": one.n}
        yield estimate_row(estimate=one.estimate, standard_error=_error(one.treated, one.control), **row)
    if _HOLDOUT in shares:
        words = {"question": "How far off are the labels?", "metric": "label less holdout"}
        words |= {"method": "label - as assigned"}
        for way in (way for way in shares if way != _HOLDOUT):
            off = _off(shares[way], shares[_HOLDOUT], told["level"])
            yield estimate_row(**told | words | off | {"group": f"{way} - {_HOLDOUT}", "n": n})


def _off(label: _Share, held: _Share, level: float) -> dict[str, float]:
    """How far a label is off: its error is symmetric, its bounds are put together from those of both (Zou 2007)."""
    off = label.estimate - held.estimate
    own, other = _error(label.treated), _error(held.treated, held.control)
    error = _error(label.treated - held.treated, held.control)
    shared = (own**2 + other**2 - error**2) / (own * other) if own and other else 0.0  # twice the correlation

    def reach(one: float, two: float) -> float:
        return math.sqrt(max(0.0, one**2 + two**2 - shared * one * two))

    below = reach(label.estimate - label.low, held.high - held.estimate)
    above = reach(label.high - label.estimate, held.estimate - held.low)
    to_none = below if off > 0 else above
    p_value = math.erfc(z_of(level) * abs(off) / to_none / math.sqrt(2)) if to_none else float(off == 0)
    return {"estimate": off, "standard_error": error, "low": off - below, "high": off + above, "p_value": p_value}
