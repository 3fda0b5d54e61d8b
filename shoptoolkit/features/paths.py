"""What follows what: from one event, item or category of a path to the next.

In: Events. Out: `transitions` -> `Transitions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, require, wilson
from shoptoolkit.contract.arrays import Flags, Ints
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.features.given import check_column, group_of
from shoptoolkit.features.in_time import first_rows, in_time
from shoptoolkit.features.sessions import numbers

START, END = "(start)", "(end)"
_LEAST_FREEDOM = 0.2  # below it Student's reach is millions of errors, and the interval is from 0 to 1 anyhow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transitions:
    """What follows what. Draw it with `figures.transitions`.

    `table`: group, from, to, n (how often), share (of the leavings of `from`), low, high; pairs that were seen,
    "(start)" first and "(end)" last. `of`: the column whose values they are; `within`: session or customer; `n`: all
    steps, those from the start and to the end included; `n_customers`.
    """

    table: pl.DataFrame
    of: str
    within: str
    level: float
    n: int
    n_customers: int

    def __repr__(self) -> str:
        return f"Transitions of {self.of} within a {self.within}, {self.n_customers:,} customers\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.select("from", "to", "group", "n", estimate="share", low="low", high="high")
        note = f"share of what follows `from`; {100 * self.level:g} % intervals, clustered on customers"
        title = f"What follows what within a {self.within}: {self.of}"
        return html_table(shown.drop("group") if (shown["group"] == "all").all() else shown, title=title, note=note)


def transitions(
    events: Any,
    *,
    of: str = "event",
    within: str = "session",
    gap_minutes: float = 30.0,
    by: str | None = None,
    level: float = 0.95,
) -> Transitions:
    """What do customers do next: after a view, after a search, at the start and at the end of a session?

    Parameters
    ----------
    events
        Events.
    of
        The column whose values follow each other: "event", "category", "item_id", "source" ... Rows without a value are
        passed over.
    within
        "session": a path is a session (`features.sessions`); "customer": all events of a customer.
    gap_minutes
        A pause longer than this ends a session.
    by
        A column to split by: one value per path, e.g. `entry` of `features.sessions`. Null is the group "unknown".
    level
        Coverage of the intervals.

    Returns
    -------
    Transitions
        One row per pair that was seen. A path of k values makes k + 1 steps: from "(start)" to the first, ... from the
        last to "(end)". Events of one moment are in the order of `features.sessions`.

    Notes
    -----
    The share p of `to` among the leavings of `from` is a ratio of totals over customers. Its variance is the ratio
    estimator's, sum((x - p n)^2) / sum(n)^2 over customers with n leavings, x of them to `to` (Cochran 1977, ch. 6), by
    1 - 2 sum(n^3) / (sum(n) sum(n^2)) + sum(n^2) / sum(n)^2, the part of it that is left as p is drawn to those who
    leave most (1 - 1 / m for m customers alike; Bell and McCaffrey 2002). It gives an effective number of leavings:
    n over the design effect, at least 1, by (t / z)^2, Student's t with sum(n)^2 / sum(n^2) - 1 degrees of freedom
    (Korn and Graubard 1998); where all leavings agree, the number of customers. On it stands Wilson's interval. Where
    two or three customers make most leavings, it is nearly from 0 to 1, as it should be.

    Raises
    ------
    ContractError
        The events break their contract; `of` or `by` is missing; no row has a value; one has the name of a state of
        ours; `by` has several values in a path.
    ValueError
        `within`, `gap_minutes` or `level` is none that can be used.

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd ed., ch. 6; Korn and Graubard (1998), Survey Methodology 24, 193-201; Bell
    and McCaffrey (2002), Survey Methodology 28, 169-181; Wilson (1927), JASA 22, 209-212.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> at = [datetime(2025, 1, 1, 9, 0), datetime(2025, 1, 1, 9, 5), datetime(2025, 1, 1, 11)]
    >>> events = pl.DataFrame({"customer_id": "a", "at": at, "event": ["view", "cart", "view"]})
    >>> transitions(events).table.select("from", "to", "n", "share").rows()[:3]
    [('(start)', 'view', 2, 1.0), ('view', 'cart', 1, 0.5), ('view', '(end)', 1, 0.5)]
    """
    check_level(level)
    check_number("gap_minutes", gap_minutes)
    choose("within", within, ("session", "customer"))
    log = require(events, Events)
    check_column(log, "of", of)
    group = group_of(log, by)
    kept, is_first = _in_paths(log, of=of, within=within, gap_minutes=gap_minutes, by=by, group=group)
    states, groups = (kept[name].unique().sort() for name in ("state", "group"))
    pairs = _with_bounds(_counts(kept, is_first, states, groups), level)
    base, names = len(states) + 1, pl.Series([START, *states.cast(pl.String), END])
    table = pairs.select(
        groups.cast(pl.String).gather(pairs["code"] // base**2).alias("group"),
        names.gather(pairs["code"] // base % base).alias("from"),
        names.gather(pairs["code"] % base + 1).alias("to"),
        *("n", "share", "low", "high"),
    )
    n_customers = int(first_rows(kept).sum())
    return Transitions(table=table, of=of, within=within, level=level, n=int(table["n"].sum()), n_customers=n_customers)


def _in_paths(
    log: pl.DataFrame, *, of: str, within: str, gap_minutes: float, by: str | None, group: pl.Expr
) -> tuple[pl.DataFrame, Flags]:
    """The rows with a state, in time (customer_id, state, group), and which of them begin a path."""
    rows = in_time(log, list(dict.fromkeys(("customer_id", "at", of, by or of))))
    is_new = first_rows(rows).copy()
    if within == "session":
        is_new[1:] |= np.diff(numbers(rows, gap_minutes=gap_minutes)[0]) != 0
    path = pl.lit(pl.Series(is_new)).cum_sum()
    kept = rows.select("customer_id", state=of, group=group.cast(pl.Categorical), path=path).drop_nulls("state")
    is_first = (kept["path"] != kept["path"].shift()).fill_null(True)
    _check(kept, is_first, of=of, by=by)
    return kept, is_first.to_numpy()


def _check(kept: pl.DataFrame, is_first: pl.Series, *, of: str, by: str | None) -> None:
    if kept.is_empty():
        raise ContractError(f"events: of is {of!r}, and no row has a value of it.")
    if ours := {START, END} & set(kept["state"].unique().cast(pl.String)):
        raise ContractError(f"events: {of!r} has the value {min(ours)!r}, which is a state of ours; rename it.")
    changed = kept.filter((kept["group"] != kept["group"].shift()).fill_null(False) & ~is_first)
    if len(changed):
        raise ContractError(
            f"events: by is {by!r}, and a path of customer {changed['customer_id'][0]!r} has several values of it; "
            "it must be one per path."
        )


def _counts(kept: pl.DataFrame, is_first: Flags, states: pl.Series, groups: pl.Series) -> pl.DataFrame:
    """Per pair (its code): n and the sums over customers that its variance needs; x to this state of n leavings."""
    from shoptoolkit.features.path_kernels import steps_of_paths

    first = np.append(np.flatnonzero(first_rows(kept)), len(kept))
    state, group = (
        kept[name].replace_strict(values, range(len(values)), return_dtype=pl.Int64).to_numpy()
        for name, values in (("state", states), ("group", groups))
    )
    code, begin = steps_of_paths(first, is_first, state, group, len(states))
    is_new = np.zeros(len(code), np.bool_)
    is_new[begin[:-1]] = True
    runs = _runs(code, is_new)
    leaving = _runs(code // (len(states) + 1), is_new)
    x, n = np.diff(runs, append=len(code)), np.diff(leaving, append=len(code))
    per = np.repeat(n, np.diff(np.searchsorted(runs, leaving), append=len(runs)))
    pairs = (
        pl.DataFrame({"code": code[runs], "x": x, "of": per})
        .group_by("code")
        .agg(n=pl.col("x").sum(), x_squares=(pl.col("x") ** 2).sum(), products=(pl.col("x") * pl.col("of")).sum())
    )
    cubes = (pl.col("of").cast(pl.Int128) * pl.col("of") ** 2).sum().cast(pl.Float64)
    totals = (
        pl.DataFrame({"left": code[leaving] // (len(states) + 1), "of": n})
        .group_by("left")
        .agg(
            total=pl.col("of").sum(), squares=(pl.col("of") ** 2).sum(), cubes=cubes, customers=pl.len().cast(pl.Int64)
        )
    )
    return pairs.with_columns(left=pl.col("code") // (len(states) + 1)).join(totals, on="left").sort("code")


def _runs(code: Ints, is_new: Flags) -> Ints:
    """Where runs of equal codes of one customer begin."""
    return np.flatnonzero(is_new | (np.diff(code, prepend=-1) != 0))


def _with_bounds(pairs: pl.DataFrame, level: float) -> pl.DataFrame:
    """Shares of the leavings, with Wilson's bounds on their effective number."""
    table = pairs.with_columns(share=pl.col("n") / pl.col("total"))
    low, high = wilson(table["share"], _effective(table, level), level)
    return table.with_columns(low=pl.Series(low), high=pl.Series(high))


def _effective(table: pl.DataFrame, level: float) -> pl.Series:
    """The effective number of leavings: their number over the design effect of customers and Student's for z."""
    from scipy.stats import t

    share, total, customers = pl.col("share"), pl.col("total"), pl.col("customers")
    squares = pl.col("x_squares") - 2 * share * pl.col("products") + share**2 * pl.col("squares")
    concentration = pl.col("squares") / total**2
    shrunk = 1 - 2 * pl.col("cubes") / pl.col("squares") / total + concentration
    design = squares / shrunk / (total * share * (1 - share))
    freedom, which = np.unique(table.select(1 / concentration - 1).to_series(), return_inverse=True)
    reach = (t.isf((1 - level) / 2, np.maximum(freedom, _LEAST_FREEDOM)) / z_of(level))[which] ** 2
    agree = (customers == 1) | (share == 1)
    number = pl.when(customers == total).then(total).otherwise(total / design.clip(1) / pl.Series(reach))
    return table.select(pl.when(agree).then(customers).otherwise(number)).to_series()
