"""From orders to spells: how long from one order to the next, or to the day we stop looking.

In: Orders. Out: `repurchase_spells`, one index spell per customer (rule R1) or all of them. `at_the_door` is how every
estimator of this room takes its spells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Orders, Spells, require, to_polars
from shoptoolkit.contract.check import listed
from shoptoolkit.contract.clock import day_of, local_day

NEEDED = ("customer_id", "duration_days", "repurchased")
_FIRST = ("customer_id", "duration_days", "repurchased", "spell_number", "started_at", "start_days", "stop_days")
_AFTERWARDS = ("refunded", "revenue", "order_number")  # known only after the order, or renamed


def repurchase_spells(
    orders: Any, *, as_of: datetime | date | str, index: str = "first", timezone: str = "UTC"
) -> pl.DataFrame:
    """How long until each customer's next order, counted in whole days of the shop.

    Parameters
    ----------
    orders
        Orders.
    as_of
        The first day not looked at (a date, or text like "2011-12-09"); of a moment within a day, that day is not over
        and its orders are not looked at. A datetime without a zone is UTC. The log must reach to that day.
    index
        Which spell stands for a customer. "first": from the first order seen. "at:2011-06-01": from the first order on
        or after that day. "last": from the last order before `as_of`; always censored, so for scoring, as in
        `fit.predict_survival(last, days=30, waited="duration_days")`, never for a curve. "all": every spell; they
        depend on each other within a customer, so estimators then ask for `cluster=`.
    timezone
        Orders on one calendar day of this zone are one occasion.

    Returns
    -------
    pl.DataFrame
        Spells, sorted by customer: customer_id, duration_days (whole days, > 0), repurchased (False: not yet back at
        the end of the last day looked at), spell_number (1.. as seen), started_at (UTC), start_days and stop_days
        (since the first order seen), and the other columns of the day's first order as covariates (not its refunds:
        they come later). A customer whose index order lies on the last day has no follow-up and no spell;
        `contract.reconcile` counts them.

    Raises
    ------
    ContractError
        The orders break their contract, or carry a column that means something else in spells (weight, cause ...).
    ValueError
        `index`, `as_of` or `timezone` cannot be read, or leave no spell.

    Notes
    -----
    A spell that starts inside the window is at risk from day 0; the days before the log do not enter (rule R2). The
    mean over pooled gaps weighs heavy buyers most and answers no question about customers (rule R1).

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> days = [datetime(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 1, 21), datetime(2024, 2, 1)]
    >>> orders = pl.DataFrame({"customer_id": ["a", "b", "a", "b"], "order_id": [1, 2, 3, 4], "ordered_at": days,
    ...     "order_number": [1, 1, 2, 2], "gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1})
    >>> repurchase_spells(orders, as_of="2024-02-01").select("customer_id", "duration_days", "repurchased").rows()
    [('a', 20.0, True), ('b', 30.0, False)]
    """
    since = _index_day(index, timezone)
    end = day_of(as_of, timezone=timezone)
    table = require(orders, Orders).sort("customer_id", "ordered_at", "order_id")
    _refuse_clashes(table.columns)
    table = table.with_columns(__day=local_day("ordered_at", timezone=timezone)).filter(pl.col("__day") < end)
    if table.is_empty():
        raise ValueError(f"as_of is {as_of}, and no order lies before that day.")
    spells = _all_spells(table, end - timedelta(days=1))
    chosen = {"first": pl.col("spell_number") == 1, "last": pl.col("__is_last"), "all": pl.lit(True)}
    if since is not None:  # the first occasion on or after a day: the one before it, if any, lies earlier
        chosen[index] = (pl.col("__day") >= since) & (pl.col("__previous") < since).fill_null(True)
    spells = spells.filter(chosen[index] & (pl.col("duration_days") > 0))
    if spells.is_empty():
        raise ValueError(
            f"index is {index!r} and as_of is {as_of}: no such order has a day of follow-up. Take an earlier index or "
            "a later as_of."
        )
    return spells.select(*_FIRST, pl.exclude(*_FIRST, *_AFTERWARDS, "^__.*$"))


def _refuse_clashes(columns: Sequence[str]) -> None:
    """A covariate named weight would be taken as a frequency, one named entry_days as a late entry."""
    if taken := [name for name in columns if name in Spells.fields and name not in Orders.fields]:
        raise ContractError(
            f"orders: {', '.join(map(repr, taken))} would get another meaning in spells. Rename it, e.g. "
            f"'first_{taken[0]}'."
        )


def _index_day(index: str, timezone: str) -> date | None:
    if index in ("first", "last", "all"):
        return None
    if isinstance(index, str) and index.startswith("at:"):
        return day_of(index.removeprefix("at:"), timezone=timezone, name="index")
    raise ValueError(f"index is {index!r}; it must be 'first', 'last', 'all' or 'at:' and a day, e.g. 'at:2011-06-01'.")


def _all_spells(table: pl.DataFrame, last_day: date) -> pl.DataFrame:
    """Every spell of sorted orders: one sort and boundary flags, no window over customers."""
    is_new = (pl.col("customer_id") != pl.col("customer_id").shift()).fill_null(True)
    day = pl.col("__day")
    occasions = table.filter(is_new | (day != day.shift())).rename({"ordered_at": "started_at"})
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    is_last = is_new.shift(-1).fill_null(True)
    spells = occasions.with_columns(
        spell_number=row - pl.when(is_new).then(row).forward_fill() + 1,
        repurchased=~is_last,
        __is_last=is_last,
        __previous=pl.when(~is_new).then(day.shift()),
        __first=pl.when(is_new).then(day).forward_fill(),
        __until=pl.when(is_last).then(last_day).otherwise(day.shift(-1)),
    )
    between = {
        "duration_days": ("__day", "__until"),
        "start_days": ("__first", "__day"),
        "stop_days": ("__first", "__until"),
    }
    lengths = {name: pl.col(to) - pl.col(since) for name, (since, to) in between.items()}
    return spells.with_columns(**{name: length.dt.total_days().cast(pl.Float64) for name, length in lengths.items()})


def at_the_door(spells: Any, *, by: str | None, cluster: str | None, names: Mapping[str, str]) -> pl.DataFrame:
    """Checked spells with the contract's column names, a `group` and, if asked for, a `cluster` column.

    Refuses customers with several spells unless they are named as `cluster` (rule R1), counts and clusters with nulls,
    and spells of which none ended in a repurchase.
    """
    frame = to_polars(spells)
    refuse_absent(frame, names, [name for name in (by, cluster) if name is not None])
    extra = [pl.col(by).cast(pl.String).fill_null("unknown").alias("group")] if by else []
    extra += [pl.col(cluster).alias("cluster")] if cluster else []
    kept = frame.select(*[name for name in names if name in frame.columns], *extra)
    theirs = {ours: name for name, ours in names.items()}
    if theirs["weight"] in kept.columns and theirs["customer_id"] not in kept.columns:
        kept = kept.with_row_index(theirs["customer_id"])  # a table of counts: each row its own customers
    table = require(kept, Spells, rename=names)
    refuse_nulls(table, {"weight": theirs["weight"], "cluster": cluster or ""})
    if cluster is None:
        _refuse_repeats(table["customer_id"], theirs["customer_id"])
    elif "weight" in table.columns:
        raise ContractError("spells: cluster= and a weight column do not go together; give the rows instead of counts.")
    if not table["repurchased"].any():
        raise ContractError(
            f"spells: none of {len(table):,} ended in a repurchase, so there is no curve. If nobody came back, a "
            f"share of at most {min(1.0, 3 / len(table)):.2g} does while watched (rule of three, 95 %); spells of "
            "index='last' are open by construction."
        )
    return table


def refuse_absent(frame: pl.DataFrame, names: Mapping[str, str], asked: Sequence[str] = ()) -> None:
    """Every column must be there that is `asked` for, by an option or because no spell is without; counts need no id.

    `names`: the caller's column -> the contract's. A column that may be missing goes by the contract's own name.
    """
    theirs = {ours: name for name, ours in names.items()}
    needed = [theirs[ours] for ours in NEEDED if ours != "customer_id" or theirs["weight"] not in frame.columns]
    others = [name for name, ours in names.items() if ours not in NEEDED and name not in Spells.fields]
    if absent := [name for name in dict.fromkeys((*needed, *others, *asked)) if name not in frame.columns]:
        mend = " Make spells with survival.repurchase_spells(orders, as_of=...), or name your columns by the options, "
        mend += "e.g. repurchased='E'; without an id, spells.with_row_index('customer_id') (pandas: reset_index)."
        told = [f"{name!r}" if names.get(name, name) == name else f"{name!r} ({names[name]})" for name in absent]
        raise ContractError(
            f"spells: no column {', '.join(told)}. It has: {', '.join(frame.columns) or 'no columns'}."
            + mend * any(name in needed for name in absent)
        )


def refuse_outcomes(covariates: Sequence[str], names: Mapping[str, str]) -> None:
    """What a fit explains, or counts by, cannot explain it."""
    if taken := [name for name in listed(covariates) if names.get(name) in NEEDED]:
        raise ValueError(f"covariates has {', '.join(map(repr, taken))}: the id and the outcome; leave them out.")


def refuse_nulls(table: pl.DataFrame, names: Mapping[str, str]) -> None:
    """Raise ContractError where a column must have no null; `names`: {the contract's: the caller's}."""
    for ours, theirs in names.items():
        if ours in table.columns and (nulls := table[ours].null_count()):
            raise ContractError(f"spells: {theirs!r} is null in {nulls:,} of {len(table):,} rows; fill or drop them.")


def _refuse_repeats(ids: pl.Series, name: str) -> None:
    if not is_unique(ids):
        raise ContractError(
            f"spells: {name!r} repeats ({len(ids):,} spells of {ids.n_unique():,} customers), and spells of one "
            "customer depend on each other. Take one index spell each, repurchase_spells(..., index='first'); or pass "
            f"cluster={name!r} for an answer per spell."
        )


def is_unique(ids: pl.Series) -> bool:
    """No id twice: each above the last if sorted, marks on a strip if the integers lie close, else a hash table."""
    if (ids > ids.shift()).all():
        return True
    if ids.dtype.is_integer():
        low, high = int(ids.min()), int(ids.max())  # type: ignore[arg-type]
        if high - low < 8 * len(ids):
            marks = np.zeros(high - low + 1, dtype=bool)
            marks[ids.to_numpy() - low] = True
            return int(marks.sum()) == len(ids)
    return ids.n_unique() == len(ids)
