"""How far do customers get on the way to an order, and how long does it take?

In: Events and the steps. Out: `funnel` -> `Funnel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, require, wilson
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, check_span
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.contract.show import html_table
from shoptoolkit.features.given import group_of, texts, whole
from shoptoolkit.features.in_time import first_rows, in_time, moments

_HOUR = 3_600_000_000  # microseconds
_MOST = 20  # steps
Steps = Sequence[str] | Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Funnel:
    """How many customers made each step. Draw it with `figures.funnel`.

    `table`: group, step_number, step, n_customers, share (of those who made the first step), low, high, step_share (of
    those who made the step before), step_low, step_high, median_hours (since the first step). `n`: customers who made
    the first step.
    """

    table: pl.DataFrame
    within_hours: float
    level: float
    n: int

    def __repr__(self) -> str:
        return f"Funnel of {self.n:,} customers within {self.within_hours:g} hours of the first step\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.rename({"share": "estimate"}).drop("step_number", "step_low", "step_high")
        note = f"share of those who made the first step, {100 * self.level:g} % intervals; hours since the first step"
        title = f"How far customers got within {self.within_hours:g} hours"
        return html_table(shown.drop("group") if (shown["group"] == "all").all() else shown, title=title, note=note)


def funnel(events: Any, *, steps: Steps, within_hours: float, by: str | None = None, level: float = 0.95) -> Funnel:
    """Of the customers who made the first step, how many went on to the next ones, and how fast?

    Parameters
    ----------
    events
        Events.
    steps
        Kinds of events in order, from 2 to 20, e.g. ("view", "cart", "purchase"); one may come again. Or a mapping from
        a step's name to its kinds: {"looked": ("view", "watch"), "bought": "purchase"}.
    within_hours
        Every step must come at most so long after the first.
    by
        A column to split by: one value per customer. Null is the group "unknown".
    level
        Coverage of the intervals.

    Returns
    -------
    Funnel
        `table` has a row per group and step. A customer made step k if some k events of theirs fit the first k steps,
        each strictly later than the one before and all within `within_hours` (inclusive) of the first of them. Other
        events in between do not matter. `median_hours` is over the customers who made the step, in their best chain:
        the deepest that is complete first; of those the one that starts last, each step in it as early as possible.
        The first step's share is 1 by definition; shares of nobody are null.

    Notes
    -----
    The unit is the customer, so the intervals are Wilson's. Customers whose first step comes less than `within_hours`
    before the log ends may still go on; leave their late first steps out where that matters.

    Raises
    ------
    ContractError
        The events break their contract, none is of the first step, or `by` is missing or has several values for a
        customer.
    ValueError
        `steps` has fewer than 2, more than 20 or an unknown kind; `within_hours` is not above 0; `level` is none.
    TypeError
        `steps` is a single text, or no sequence.

    References
    ----------
    Wilson (1927), JASA 22, 209-212.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> at = [datetime(2025, 1, 1, 9), datetime(2025, 1, 1, 10), datetime(2025, 1, 1, 9)]
    >>> events = pl.DataFrame({"customer_id": ["a", "a", "b"], "at": at, "event": ["view", "cart", "view"]})
    >>> told = funnel(events, steps=("view", "cart"), within_hours=24)
    >>> told.table.select("step", "n_customers", "share", "median_hours").rows()
    [('view', 2, 1.0, 0.0), ('cart', 1, 0.5, 1.0)]
    """
    named = _named(steps)
    check_level(level)
    check_span("within_hours", within_hours, example="24", unit="hours")
    log = require(events, Events)
    groups = groups_of(log, by)
    reached = _reached(log, named, within_hours)
    table = _table(reached, groups, [name for name, _ in named], level)
    return Funnel(table=table, within_hours=float(within_hours), level=level, n=len(reached))


def _named(steps: Any) -> list[tuple[str, list[str]]]:
    """Steps by name, each with its kinds of events."""
    if isinstance(steps, str) or not np.iterable(steps):
        raise TypeError(f"steps is {steps!r}; it must name several kinds of events, e.g. ('view', 'purchase').")
    pairs = steps.items() if isinstance(steps, Mapping) else ((one, one) for one in steps)
    named = [(str(name), texts(f"steps: {name!r}", kinds)) for name, kinds in pairs]
    if not 2 <= len(named) <= _MOST:
        raise ValueError(f"steps names {len(named)}; a funnel has from 2 to {_MOST} steps.")
    for name, kinds in named:
        if not kinds or any(kind not in EVENT_KINDS for kind in kinds):
            raise ValueError(f"steps: {name!r} is {kinds}; a step is of the kinds {', '.join(EVENT_KINDS)}.")
    return named


def groups_of(log: pl.DataFrame, by: str | None) -> pl.DataFrame:
    """Each customer with the one group they are in: customer_id, group; empty if the log is not split."""
    if by is None:
        return pl.DataFrame(schema={"customer_id": log.schema["customer_id"], "group": pl.String})
    pairs = log.select("customer_id", group=group_of(log, by)).unique()
    several = pairs.filter(pairs["customer_id"].is_duplicated()).sort("customer_id", "group")
    if len(several):
        raise ContractError(
            f"events: by is {by!r}, and customer {several['customer_id'][0]!r} has several values of it "
            f"({several['group'][0]!r}, {several['group'][1]!r}); it must be one per customer, e.g. that of the first "
            f"row: pl.col({by!r}).first().over('customer_id', order_by='at')."
        )
    return pairs


def _reached(log: pl.DataFrame, named: list[tuple[str, list[str]]], within_hours: float) -> pl.DataFrame:
    """Customers who made the first step, and the hours until each step (null: not reached), as columns "0", "1" ..."""
    from shoptoolkit.features.path_kernels import NEVER, deepest_chains

    serves = np.array([sum(1 << k for k, (_, kinds) in enumerate(named) if kind in kinds) for kind in EVENT_KINDS])
    used = [kind for kind, bits in zip(EVENT_KINDS, serves, strict=True) if bits]
    rows = in_time(log.select("customer_id", "at", "event").filter(pl.col("event").is_in(used)))
    first = np.flatnonzero(first_rows(rows))
    bits = serves[rows["event"].to_physical().to_numpy()]
    window = whole(within_hours, _HOUR)
    made = deepest_chains(np.append(first, len(rows)), moments(rows["at"]), bits, len(named), window)
    began = made[:, 0] != NEVER
    if not began.any():
        raise ContractError(f"events: none is of the first step, {named[0][0]!r}, so there is no funnel.")
    made = made[began]
    hours = np.where(made == NEVER, np.nan, (made - made[:, :1]) / _HOUR)
    columns = {str(k): pl.Series(hours[:, k]).fill_nan(None) for k in range(len(named))}
    return pl.DataFrame({"customer_id": rows["customer_id"][first[began]], **columns})


def _table(reached: pl.DataFrame, groups: pl.DataFrame, steps: list[str], level: float) -> pl.DataFrame:
    if groups.is_empty():
        reached, names = reached.with_columns(group=pl.lit("all")), pl.Series(["all"])
    else:
        reached, names = reached.join(groups, on="customer_id"), groups["group"].unique().sort()
    told = [
        reached.group_by("group").agg(
            step_number=pl.lit(k + 1, pl.Int64),
            step=pl.lit(step),
            n_customers=pl.col(str(k)).count().cast(pl.Int64),
            median_hours=pl.col(str(k)).median(),
        )
        for k, step in enumerate(steps)
    ]
    grid = pl.DataFrame({"group": names}).join(
        pl.DataFrame({"step_number": range(1, len(steps) + 1), "step": steps}), how="cross"
    )
    table = grid.join(pl.concat(told), on=["group", "step_number", "step"], how="left", maintain_order="left")
    counts = table["n_customers"].fill_null(0).to_numpy().reshape(len(names), -1)
    before = np.column_stack([counts[:, 0], counts[:, :-1]])
    shares = _shares(counts, counts[:, :1], level) + _shares(counts, before, level)
    columns = zip(("share", "low", "high", "step_share", "step_low", "step_high"), shares, strict=True)
    return table.with_columns(
        pl.Series("n_customers", counts.ravel()), *(pl.Series(n, s).fill_nan(None) for n, s in columns)
    ).select(
        "group",
        "step_number",
        "step",
        "n_customers",
        "share",
        "low",
        "high",
        "step_share",
        "step_low",
        "step_high",
        "median_hours",
    )


def _shares(counts: Ints, of: Ints, level: float) -> list[Floats]:
    """Shares with Wilson's bounds, flat; the first step's is 1 by definition, of nobody there is none."""
    of = np.broadcast_to(of, counts.shape)
    share = np.divide(counts, of, out=np.full(counts.shape, np.nan), where=of > 0)
    low, high = wilson(share, np.maximum(of, 1), level)
    low[:, 0] = share[:, 0]
    return [share.ravel(), low.ravel(), high.ravel()]
