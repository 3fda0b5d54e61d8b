"""The session under way: what a shop has seen of it at a moment, and nothing from later.

In: Events. Out: `session_features`, one row per request: what was known of the session then open; `session_prefixes`,
the sessions of a log as they looked after their first rows, and what became of them: what intent learns from.

A session under way at a moment are the customer's rows known before it (known_at < as_of), back to the first pause
longer than `gap_minutes`; if already the pause up to the moment is longer, none is open. A row that was known late
neither counts nor bridges a pause before it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, Requests, require
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.clock import arrival, moment
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features import FeatureSpec, as_of_features, sessions
from shoptoolkit.features.in_time import is_new, moments

AFTER = (1, 2, 3, 5, 8, 13)
HISTORY = FeatureSpec(
    windows_days=(7, 91),
    kinds=("view", "watch", "cart", "purchase"),
    sums=("spend", "watch_seconds"),
    distinct=("active_days",),
    sources=("organic",),
    rhythm=False,
)
_TICK = timedelta(microseconds=1)
_MINUTE = 60_000_000  # microseconds
_COUNTS = {kind: f"session_{kind}{'es' if kind.endswith('ch') else 's'}" for kind in EVENT_KINDS}
_MORE = ("minutes", "watch_seconds", "items", "categories", "mean_price", "source", "last_event", "hour", "weekday")
SESSION = ("rows_seen", *_COUNTS.values(), *(f"session_{name}" for name in _MORE))
STARTED = "session_started_at"


def session_features(
    events: Any, requests: Any, *, gap_minutes: float = 30.0, spec: FeatureSpec | None = None
) -> pl.DataFrame:
    """What has the customer done so far in the session open at a moment, and what was known when it began?

    Parameters
    ----------
    events
        Events. A row is known at `known_at`; without that column, or where it is null, at `at`.
    requests
        Requests: customer_id, as_of (UTC) and any other columns.
    gap_minutes
        A pause longer than this ends a session.
    spec
        The features of the time before the session, by `features.as_of_features` as of its first row (as of the request
        where no session is open); its timezone also tells hour and weekday. None: views, watching, carts and purchases
        of the last 7 and 91 days, and the share of rows that came unprompted.

    Returns
    -------
    pl.DataFrame
        One row per request, in the requests' order, duplicates kept: the requests' columns, then

        - `session_started_at` (first row seen, UTC; null where no session is open);
        - `rows_seen` (0 where none is open) and how many of them are of each kind (`session_views`, ...);
        - `session_minutes` from the first to the last row seen, `session_watch_seconds`, `session_items` and
          `session_categories` (different ones), `session_mean_price` (of rows with a price, in its currency);
        - `session_source` (of the first row that has one), `session_last_event` (kind of the last row), `session_hour`
          and `session_weekday` (Monday is 1) of its beginning; null where no session is open or the log has no such
          column;
        - the columns of `spec`.

    Notes
    -----
    No feature tells how long the session has been silent: prefixes to learn from are taken just after a row.

    Raises
    ------
    ContractError
        Events or requests break their contract, their customers are of different types, or a column of the requests
        has the name of a feature.
    ValueError
        `gap_minutes` is no number >= 0.
    TypeError
        `spec` is no FeatureSpec.

    Examples
    --------
    >>> at = [datetime(2025, 1, 1, 9, 0), datetime(2025, 1, 1, 9, 10), datetime(2025, 1, 1, 9, 12)]
    >>> events = pl.DataFrame({"customer_id": "a", "at": at, "event": ["view", "view", "cart"]})
    >>> requests = pl.DataFrame({"customer_id": "a", "as_of": [datetime(2025, 1, 1, 9, 11), datetime(2025, 1, 2)]})
    >>> session_features(events, requests).select("rows_seen", "session_views", "session_minutes").rows()
    [(2, 2, 10.0), (0, 0, None)]
    """
    return of_sessions(sessions(events, gap_minutes=gap_minutes), require(requests, Requests), gap_minutes, spec)


def session_prefixes(
    events: Any,
    *,
    as_of: datetime | date | str,
    since: datetime | date | str | None = None,
    after: Sequence[int] = AFTER,
    gap_minutes: float = 30.0,
    spec: FeatureSpec | None = None,
) -> pl.DataFrame:
    """How did sessions look after their first rows, and did they end in a purchase?

    Parameters
    ----------
    events
        Events; only rows known before `as_of` are looked at.
    as_of
        Sessions must be over by this moment: their last row lies more than `gap_minutes` before it.
    since
        Only sessions that began at or after this moment. None: all.
    after
        The numbers of rows after which a session is looked at.
    gap_minutes, spec
        As in `session_features`.

    Returns
    -------
    pl.DataFrame
        One row per session and number of rows seen, sorted by customer and moment: customer_id, session_number (as
        `features.sessions` numbers the rows known before `as_of`), as_of, `bought` (the session has a purchase), then
        the columns of `session_features`.

        A session is looked at just after its k-th row became known (as_of is a microsecond later), for each k of
        `after`. Left out is what nobody could have asked then: a purchase is seen already; the session was over when
        that row became known; or it was seen with fewer or more than k rows (several became known together, or a pause
        is bridged by a row known later).

    Raises
    ------
    ContractError
        The events break their contract, or no session was over by `as_of` that can be looked at.
    ValueError
        `after` has no whole numbers >= 1, or `gap_minutes` is no number >= 0.

    Examples
    --------
    >>> at = [datetime(2025, 1, 1, 9, 0), datetime(2025, 1, 1, 9, 10), datetime(2025, 1, 1, 9, 12)]
    >>> events = pl.DataFrame({"customer_id": "a", "at": at, "event": ["view", "cart", "purchase"], "price": 5.0})
    >>> session_prefixes(events, as_of="2025-01-02").select("rows_seen", "session_carts", "bought").rows()
    [(1, 0, True), (2, 1, True)]
    """
    counts = _whole(after)
    rows = sessions(known_before(events, as_of := moment(as_of)), gap_minutes=gap_minutes)
    asked = _moments(rows, counts, as_of - timedelta(minutes=gap_minutes), since)
    seen = pl.DataFrame()
    if len(asked):
        seen = of_sessions(rows, asked, gap_minutes, spec)
        is_it = pl.col(STARTED).is_between("__began", "__ended") & (pl.col("rows_seen") == pl.col("__k"))
        seen = seen.filter(is_it, pl.col("session_purchases") == 0).select(pl.exclude("^__.*$"))
    if seen.is_empty():
        raise ContractError(
            f"events: no session was over by {as_of} and could be looked at after {', '.join(map(str, counts))} rows, "
            "before a purchase. Choose a later as_of, another `after`, or look at known_at."
        )
    return seen


def known_before(events: Any, as_of: datetime) -> pl.DataFrame:
    """The events known before a moment."""
    log = require(events, Events)
    known = log.filter(arrival(log.columns) < as_of)
    if known.is_empty():
        first = log.select(arrival(log.columns).min()).item()
        raise ValueError(f"no event was known before {as_of}; the first one became known at {first}.")
    return known


def of_sessions(rows: pl.DataFrame, asked: pl.DataFrame, gap_minutes: float, spec: FeatureSpec | None) -> pl.DataFrame:
    """`session_features` for rows that `features.sessions` gave."""
    spec = HISTORY if spec is None else spec
    if not isinstance(spec, FeatureSpec):
        raise TypeError(f"spec is {spec!r}; it must be a FeatureSpec, e.g. FeatureSpec(windows_days=(7, 28)).")
    if taken := [name for name in asked.columns if name in (STARTED, *SESSION, *spec.columns)]:
        raise ContractError(f"requests: {', '.join(map(repr, taken))} would be overwritten; rename or drop.")
    began = pl.coalesce(STARTED, "as_of")
    seen = _summaries(_seen(rows, asked, gap_minutes), spec.timezone)
    seen = pl.DataFrame({"__request": range(len(asked))}).join(seen, on="__request", how="left", maintain_order="left")
    counted = pl.col("rows_seen", *_COUNTS.values()).fill_null(0)
    table = asked.hstack(seen.select(STARTED, *SESSION).with_columns(counted))
    before = as_of_features(rows, table.select("customer_id", as_of=began), spec=spec)
    return table.hstack(before.select(spec.columns))


def _whole(after: Any) -> list[int]:
    given = list(after) if np.iterable(after) and not isinstance(after, str) else [after]
    for one in given:
        check_number("after", one, least=1, whole=True)
    if not given:
        raise ValueError("after is empty; name at least one number of rows, e.g. (1, 3).")
    return sorted({int(one) for one in given})


def _moments(
    rows: pl.DataFrame, after: Sequence[int], until: datetime, since: datetime | date | str | None
) -> pl.DataFrame:
    """A request just after the k-th row of each session became known, with whether the session has a purchase."""
    one, at = ["customer_id", "session_number"], pl.col("at")
    whole = rows.group_by(one).agg(bought=(pl.col("event") == "purchase").any(), __began=at.min(), __ended=at.max())
    whole = whole.filter(pl.col("__ended") < until)
    if since is not None:
        whole = whole.filter(pl.col("__began") >= moment(since, name="since"))
    came = rows.select(*one, arrival(rows.columns).alias("came")).sort(*one, "came")
    is_first = came.select(is_new(*one)).to_series()
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    place = row - pl.when(is_first).then(row).forward_fill() + 1
    kept = came.with_columns(__k=place).filter(pl.col("__k").is_in(list(after)))
    asked = kept.join(whole, on=one, maintain_order="left")
    return asked.select(*one, (pl.col("came") + _TICK).alias("as_of"), "bought", "__k", "__began", "__ended")


def _seen(rows: pl.DataFrame, asked: pl.DataFrame, gap_minutes: float) -> pl.DataFrame:
    """The rows seen of the session open at each request, in time, with the request's number."""
    from shoptoolkit.behaviour.kernels import open_sessions

    if (ours := asked.schema["customer_id"]) != (theirs := rows.schema["customer_id"]):
        raise ContractError(f"requests: 'customer_id' is {ours}, and {theirs} in the events; cast one.")
    runs = rows["customer_id"].rle().struct.unnest().select(customer_id="value", end=pl.col("len").cum_sum(), n="len")
    own = asked.select("customer_id").join(runs, on="customer_id", how="left", maintain_order="left").fill_null(0)
    end, n = (own[name].cast(pl.Int64).to_numpy() for name in ("end", "n"))
    at, known_at, as_of = (
        moments(column) for column in (rows["at"], rows.select(arrival(rows.columns)).to_series(), asked["as_of"])
    )
    low, high = open_sessions(end - n, end, as_of, at, known_at, round(gap_minutes * _MINUTE))
    request = np.repeat(np.arange(len(low)), high - low)
    row = np.arange(len(request)) + np.repeat(low - (np.cumsum(high - low) - (high - low)), high - low)
    is_known = known_at[row] < as_of[request]
    return rows[row[is_known]].with_columns(__request=pl.Series(request[is_known]))


def _summaries(seen: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """One row per request with an open session."""
    at, event = pl.col("at"), pl.col("event")
    local = pl.col(STARTED).dt.replace_time_zone("UTC").dt.convert_time_zone(timezone)
    optional = {  # the column needed, and its type where the log has none
        "watch_seconds": ("watch_seconds", _whole_units("watch_seconds", 1_000_000).sum() / 1e6, pl.Float64),
        "items": ("item_id", pl.col("item_id").drop_nulls().n_unique().cast(pl.Int64), pl.Int64),
        "categories": ("category", pl.col("category").drop_nulls().n_unique().cast(pl.Int64), pl.Int64),
        "mean_price": ("price", _whole_units("price", 100).mean() / 100, pl.Float64),
        "source": ("source", pl.col("source").drop_nulls().first(), pl.String),
    }
    told = {
        f"session_{name}": one if needed in seen.columns else pl.lit(None, kind)
        for name, (needed, one, kind) in optional.items()
    }
    counts = {name: (event == kind).sum().cast(pl.Int64) for kind, name in _COUNTS.items()}
    table = seen.group_by("__request").agg(
        at.first().alias(STARTED),
        pl.len().cast(pl.Int64).alias("rows_seen"),
        ((at.last() - at.first()).dt.total_microseconds() / _MINUTE).alias("session_minutes"),
        event.last().cast(pl.String).alias("session_last_event"),
        **counts,
        **told,
    )
    return table.with_columns(
        session_hour=local.dt.hour().cast(pl.Int64), session_weekday=local.dt.weekday().cast(pl.Int64)
    )


def _whole_units(name: str, units: int) -> pl.Expr:
    """An amount in cents or microseconds, whose sum has no order."""
    return (pl.col(name) * units).round().cast(pl.Int64)
