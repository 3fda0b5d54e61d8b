"""Who was assigned to which arm, from when on they are looked at, and whom nobody can look at.

In: Assignments. Out: `assigned`, the customers of one experiment, checked; `followed`, those whose days the log holds,
and an account of all.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from shoptoolkit.contract import Assignments, ContractError, require
from shoptoolkit.contract.check import choose
from shoptoolkit.incrementality.door import once

STARTS = ("assigned_at", "eligible_at")
_SLACK = timedelta(days=1)  # the first event of a log comes a little after the log begins


def assigned(assignments: Any, log: pl.DataFrame, *, start: str = "assigned_at") -> pl.DataFrame:
    """The customers of one experiment, one row each, with `started_at`: null for who was never eligible.

    Raises
    ------
    ContractError
        Assignments break their contract, are of several experiments or of another type of customer than `log`; a
        customer has several rows or arms; `start` is no column, or null for everybody of an arm.
    """
    choose("start", start, STARTS)
    people = require(assignments, Assignments)
    ours, theirs = people.schema["customer_id"], log.schema["customer_id"]
    if ours != theirs:
        raise ContractError(
            f"assignments: 'customer_id' is {ours}, and {theirs} in the log, so no customer is in both; cast one."
        )
    if (several := people["experiment_id"].n_unique()) > 1:
        raise ContractError(f"assignments: they are of {several} experiments; pass those of one.")
    once(people, name="assignments", mend="Keep the first of each.")
    if start not in people.columns:
        raise ContractError(f"assignments: {start!r} is missing. It has: {', '.join(people.columns)}.")
    never = people.group_by("arm").agg(pl.col(start).is_null().all()).filter(start)["arm"].sort().to_list()
    if never:
        raise ContractError(
            f"assignments: {start!r} is null for everybody in {', '.join(map(repr, never))}. It must be logged in all "
            "arms alike; without it, take start='assigned_at'."
        )
    return people.with_columns(started_at=pl.col(start))


def followed(
    people: pl.DataFrame, *, begin: datetime, end: datetime, window_days: float, pre_days: float = 0.0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Customers whose window is over by `end` and whose days before it the log from `begin` on holds; and an account.

    They get `matured_at`, when the window is over. The account: what, n_customers.

    Raises ValueError if nobody is left, with what to ask for instead.
    """
    window, before = timedelta(days=window_days), timedelta(days=pre_days)
    started = people.drop_nulls("started_at").with_columns(matured_at=pl.col("started_at") + window)
    mature = started.filter(pl.col("matured_at") <= end)
    if mature.is_empty():
        most = (end - started["started_at"].min()) / _SLACK  # type: ignore[operator]
        mend = f"take window_days <= {int(most * 100) / 100:g} or" if most > 0 else "take"
        raise ValueError(
            f"window_days is {window_days:g}, and as_of comes {most:.2f} days after the first customer started, so "
            f"that nobody's window is over; {mend} a later as_of."
        )
    kept = mature.filter(pl.col("started_at") >= begin - _SLACK + before)
    if kept.is_empty():
        room = (mature["started_at"].max() - begin) / _SLACK  # type: ignore[operator]
        mend = f"take pre_days <= {int(room)}, or" if pre_days and room >= 0 else "take"
        raise ValueError(
            f"pre_days is {pre_days:g}, and the log begins on {begin:%Y-%m-%d}, {room:.2f} days before the last "
            f"customer started; {mend} an earlier log."
        )
    parts = {
        "assigned": len(people),
        "never eligible": len(people) - len(started),
        "window not over by as_of": len(started) - len(mature),
        f"log begins later than {pre_days:g} days before the start": len(mature) - len(kept),
        "kept": len(kept),
    }
    return kept, pl.DataFrame({"what": list(parts), "n_customers": list(parts.values())})
