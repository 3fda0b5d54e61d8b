"""Visits: a customer's events without a long pause between them.

In: Events. Out: `sessions`, the log in time with each row's session and how it was entered; `summarise_sessions`, one
row per session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, require
from shoptoolkit.contract.arrays import Ints
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.lines import line_amount
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features.given import check_flag, texts, whole
from shoptoolkit.features.in_time import first_rows, in_time, moments

_MINUTE = 60_000_000  # microseconds
_NEW = ("session_number", "entry", "entry_source")


def sessions(
    events: Any, *, gap_minutes: float = 30.0, new_campaign: bool = False, paid: str | Sequence[str] = ("paid",)
) -> pl.DataFrame:
    """Which events are one session, and did the customer come unprompted or through an ad?

    Parameters
    ----------
    events
        Events.
    gap_minutes
        A pause longer than this starts a new session.
    new_campaign
        True: so does a row whose `campaign_id` is not the last one known in its session. (A session's first known
        campaign starts none.)
    paid
        The sources that are ads.

    Returns
    -------
    pl.DataFrame
        The events with all their columns, sorted by customer and moment (at one moment by kind of event, then by the
        other columns: the order in which rows came does not matter), and:

        - `session_number` (1.. per customer);
        - `entry_source`: the source of the session's first row that has one; null if none has;
        - `entry`: "paid" if that source is one of `paid`, else "organic"; null where it is not known.

    Raises
    ------
    ContractError
        The events break their contract, lack `campaign_id` where it is asked for, or have one of the new columns.
    ValueError
        `gap_minutes` is no number, or below 0.
    TypeError
        `new_campaign` is neither True nor False; `paid` lists what is no text.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> at = [datetime(2025, 1, 1, 9, 0), datetime(2025, 1, 1, 9, 30), datetime(2025, 1, 1, 10, 1)]
    >>> events = pl.DataFrame({"customer_id": "a", "at": at, "event": "view", "source": [None, "paid", "organic"]})
    >>> sessions(events).select("session_number", "entry").rows()
    [(1, 'paid'), (1, 'paid'), (2, 'organic')]
    """
    check_number("gap_minutes", gap_minutes)
    check_flag("new_campaign", new_campaign)
    ads = texts("paid", paid)
    log = require(events, Events)
    if taken := [name for name in _NEW if name in log.columns]:
        raise ContractError(f"events: {', '.join(map(repr, taken))} would be overwritten; rename or drop.")
    if new_campaign and "campaign_id" not in log.columns:
        raise ContractError("events: new_campaign is True, and there is no column 'campaign_id'.")
    rows = in_time(log)
    number, told = numbers(rows, gap_minutes=gap_minutes, new_campaign=new_campaign)
    source = rows["source"].gather(told) if "source" in rows.columns else pl.lit(None, pl.String)
    way = pl.when(pl.col("entry_source").is_in(ads)).then(pl.lit("paid")).otherwise(pl.lit("organic"))
    return rows.with_columns(pl.Series("session_number", number), entry_source=source).with_columns(
        entry=pl.when(pl.col("entry_source").is_not_null()).then(way)
    )


def numbers(rows: pl.DataFrame, *, gap_minutes: float, new_campaign: bool = False) -> tuple[Ints, Ints]:
    """Each row's session in a log in time, and the number of the row that tells where the session came from."""
    from shoptoolkit.features.path_kernels import number_sessions

    campaign, has_source = np.empty(0, np.int64), np.empty(0, np.bool_)
    if new_campaign:
        codes = rows["campaign_id"].cast(pl.String).cast(pl.Categorical).to_physical()
        campaign = codes.cast(pl.Int64).fill_null(-1).to_numpy()
    if "source" in rows.columns:
        has_source = rows["source"].is_not_null().to_numpy()
    return number_sessions(first_rows(rows), moments(rows["at"]), whole(gap_minutes, _MINUTE), campaign, has_source)


def summarise_sessions(sessions: Any) -> pl.DataFrame:
    """What happened in each session: how long it was, what was looked at, watched and bought?

    Parameters
    ----------
    sessions
        The frame that `features.sessions` gives, or some of its rows.

    Returns
    -------
    pl.DataFrame
        One row per session, sorted by customer and session: customer_id, session_number, started_at, ended_at (first
        and last row, UTC), minutes between them, n_events, the number of rows of each kind (impressions, clicks, views,
        watches, searches, carts, checkouts, purchases, refunds), watch_seconds (null if the log has no such column),
        spend (purchases, in the currency of `price`, line totals rounded to cents), bought (was there a purchase?),
        entry, entry_source.

    Raises
    ------
    ContractError
        The rows break the contract of Events, or lack one of the columns that `features.sessions` adds.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> at = [datetime(2025, 1, 1, 9, 0), datetime(2025, 1, 1, 9, 30), datetime(2025, 1, 1, 10, 1)]
    >>> events = pl.DataFrame({"customer_id": "a", "at": at, "event": ["view", "purchase", "view"], "price": 5.0})
    >>> summarise_sessions(sessions(events)).select("session_number", "minutes", "views", "spend", "bought").rows()
    [(1, 30.0, 1, 5.0, True), (2, 0.0, 1, 0.0, False)]
    """
    rows = require(sessions, Events)
    if absent := [name for name in _NEW if name not in rows.columns]:
        raise ContractError(f"sessions: no column {', '.join(map(repr, absent))}; pass what features.sessions gives.")
    rows = in_time(rows)
    number = rows["session_number"]
    begin = np.flatnonzero(first_rows(rows) | (number != number.shift()).fill_null(True).to_numpy())
    last = np.append(begin[1:], len(rows)) - 1
    kind, at = rows["event"].to_physical().to_numpy(), rows["at"]
    counts = {plural(name): np.add.reduceat(kind == k, begin, dtype=np.int64) for k, name in enumerate(EVENT_KINDS)}
    cents = pl.when(pl.col("event") == "purchase").then(line_amount(rows.columns) * 100)
    watched: Any = pl.lit(None, pl.Float64)  # not measured is not zero
    if "watch_seconds" in rows.columns:
        watched = pl.Series(_sums(rows, pl.col("watch_seconds") * 1e6, begin) / 1e6)
    return rows.select("customer_id", "session_number", "at", "entry", "entry_source")[begin].select(
        "customer_id",
        "session_number",
        started_at="at",
        ended_at=at[last],
        minutes=pl.Series((moments(at)[last] - moments(at)[begin]) / _MINUTE),
        n_events=pl.Series(last - begin + 1),
        **{name: pl.Series(count) for name, count in counts.items()},
        watch_seconds=watched,
        spend=pl.Series(_sums(rows, cents, begin) / 100),
        bought=pl.Series(counts["purchases"] > 0),
        entry="entry",
        entry_source="entry_source",
    )


def plural(kind: str) -> str:
    """The name of a column that counts rows of a kind."""
    return kind + ("es" if kind.endswith("ch") else "s")


def _sums(rows: pl.DataFrame, amount: pl.Expr, begin: Ints) -> Ints:
    """Sums per session in whole units, which have no order."""
    units = rows.select(amount.round().fill_null(0).cast(pl.Int64)).to_series().to_numpy()
    return np.add.reduceat(units, begin)
