"""From a log and who was assigned to what each customer did: one row per customer, over one window for all.

In: Events and Assignments. Out: `outcomes` -> `ExperimentOutcomes`, which passes wherever Outcomes are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import polars.selectors as cs

from shoptoolkit import features
from shoptoolkit.contract import ContractError, Events, Requests, require
from shoptoolkit.contract.check import check_number, check_span, choose, listed
from shoptoolkit.contract.clock import arrival, in_words, moment
from shoptoolkit.contract.lines import moves_money
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.contract.show import html_table
from shoptoolkit.incrementality.assigned import assigned, followed
from shoptoolkit.incrementality.door import COVARIATE

_KINDS = {f"{kind}{'es' if kind.endswith('ch') else 's'}": kind for kind in EVENT_KINDS}  # as features name them
_FIRST = ("customer_id", "arm", "started_at", "matured_at")
_SPENT = ("experiment_id", "assigned_at", "eligible_at", "exposed_at")  # what the window has made use of
_MICROSECONDS = 1_000_000


def _money(column: str) -> pl.Expr:
    """The sum of a column of money, in whole cents on the way, so that it has no order."""
    return ((pl.col(column) * 100).round().cast(pl.Int64).sum() / 100).round(2)


_OF_ORDERS: dict[str, Callable[[list[str]], pl.Expr]] = {
    "orders": lambda paid: pl.len().cast(pl.Int64),
    "converted": lambda paid: pl.len() > 0,
    "revenue": lambda paid: _money("revenue"),
    "gross_revenue": lambda paid: _money("gross_revenue"),
    "items": lambda paid: pl.col("items").sum(),
    "paid_orders": lambda paid: pl.col("source").is_in(paid).sum().cast(pl.Int64),
    "organic_orders": lambda paid: (~pl.col("source").is_in(paid)).fill_null(True).sum().cast(pl.Int64),
}
_OF_ROWS: dict[str, pl.Expr] = {name: (pl.col("event") == kind).sum().cast(pl.Int64) for name, kind in _KINDS.items()}
_WATCHED = (pl.col("watch_seconds").fill_null(0) * _MICROSECONDS).round().cast(pl.Int64).sum()
_OF_ROWS["watch_minutes"] = _WATCHED / (60 * _MICROSECONDS)
_NEEDS = {"paid_orders": "source", "organic_orders": "source", "watch_minutes": "watch_seconds"}
_NONE = {"converted": pl.lit(False)} | dict.fromkeys(("revenue", "gross_revenue", "watch_minutes"), pl.lit(0.0))
_ZERO = pl.lit(0, pl.Int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExperimentOutcomes:
    """What each assigned customer did over one window. It passes wherever Outcomes are asked for.

    `table`, sorted by customer: customer_id, arm, started_at, matured_at (when the window was over), then stratum,
    cluster, probability and further columns as the assignments tell them, exposed, one column per metric, and
    pre_<metric>. `account`: what, n_customers: who was assigned, who is left out and why, who is kept. `window_days`;
    `start`: what the window begins with.
    """

    table: pl.DataFrame
    account: pl.DataFrame
    window_days: float
    start: str

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table, for whatever reads frames."""
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        lines = [f"  {n:,} {what}" for what, n in self.account.rows()]
        return "\n".join([f"Outcomes over {self.window_days:g} days from {self.start}", *lines])

    def _repr_html_(self) -> str:
        means = self.table.group_by("arm").agg(pl.len().alias("n"), _NUMBERS.mean()).sort("arm")
        note = "; ".join(f"{n:,} {what}" for what, n in self.account.rows() if n)
        return html_table(means, title=f"Means over {self.window_days:g} days from {self.start}", note=note)


_NUMBERS = (cs.numeric() | cs.boolean()) - cs.by_name("customer_id", "cluster", "probability", require_all=False)


def outcomes(
    events: Any,
    assignments: Any,
    *,
    as_of: datetime | date | str,
    window_days: float,
    metrics: str | Sequence[str] = ("orders", "revenue", "converted"),
    pre_days: float = 28.0,
    start: str = "assigned_at",
    covariates: Any = None,
    paid: str | Sequence[str] = ("paid",),
    timezone: str = "UTC",
) -> ExperimentOutcomes:
    """What did each assigned customer do in the days after the assignment, and before it?

    Parameters
    ----------
    events
        Events. Who is in none of them counts with zeros.
    assignments
        Assignments of one experiment, one row per customer.
    as_of
        The moment up to which we look: rows known (`known_at`) only then or later are not looked at, and only customers
        whose window is over by then are kept.
    window_days
        How long everybody is looked at: in [start, start + window_days), in days of 24 hours.
    metrics
        Of "orders", "converted" (any order), "revenue" (after refunds), "gross_revenue", "items", "paid_orders" (orders
        whose source is one of `paid`), "organic_orders" (the other ones), "watch_minutes", and rows of a kind:
        "impressions", "clicks", "views", "watches", "searches", "carts", "checkouts", "purchases" (lines), "refunds".
    pre_days
        Each metric is also told over so many days before the start, as pre_<metric>, from rows known before the start;
        customers for whom the log begins later (by more than a day) are left out. 0: not told.
    start
        "assigned_at"; or "eligible_at" (ghost ads): the eligible of both arms, from when they first would have been
        exposed. Then rows between assignment and eligibility count as before.
    covariates
        A frame with customer_id, as_of and other columns, e.g. of `features.as_of_features`: they are told as
        pre_<name>. One row for each customer kept, measured at or before the start.
    paid
        The sources that cost money.
    timezone
        Where the day of `as_of` begins, if it is a date.

    Returns
    -------
    ExperimentOutcomes
        `.table`, `.account`, `.window_days`, `.start`. Money is in the currency of `price`. `exposed` (where the
        assignments have `exposed_at`): exposed within the window.

    Notes
    -----
    Orders are those of `features.orders` from the customer's lines within the window and before: an order belongs where
    its first line lies, and refunds count if they lie within the window and belong to an order of it. Rows that become
    known after `as_of` are missing for customers whose window is just over, in all arms alike.

    Raises
    ------
    ContractError
        Events, assignments or covariates break their contract, or customers are of different types; several
        experiments; a customer with several rows or arms; nobody of an arm is ever eligible; a covariate was measured
        after the start, is missing for a customer, or has the name of another column; a metric needs a column that the
        events have not.
    ValueError
        A number is out of its range, a metric is unknown, nothing was known before `as_of`, nobody's window is over,
        or the log begins too late.

    Examples
    --------
    >>> log = pl.DataFrame({"customer_id": ["a", "a", "b"], "event": "purchase", "price": [9.0, 5.0, 7.0],
    ...                     "at": [datetime(2025, 1, day) for day in (2, 20, 25)]})
    >>> dealt = pl.DataFrame({"experiment_id": "mail", "customer_id": ["a", "b", "c"], "arm": ["ad", "none", "ad"],
    ...                       "assigned_at": datetime(2025, 1, 10)})
    >>> found = outcomes(log, dealt, as_of="2025-02-01", window_days=14, metrics="revenue", pre_days=9)
    >>> found.table.select("customer_id", "arm", "revenue", "pre_revenue").rows()
    [('a', 'ad', 5.0, 9.0), ('b', 'none', 0.0, 0.0), ('c', 'ad', 0.0, 0.0)]
    """
    check_span("window_days", window_days)
    check_number("pre_days", pre_days)
    end, paid = moment(as_of, timezone=timezone), listed(paid, name="paid")
    log = require(events, Events).select(pl.col(f"^({'|'.join(Events.fields)})$"))
    wanted = _asked(listed(metrics, name="metrics"), log.columns)
    people = assigned(assignments, log, start=start)
    log = log.filter(arrival(log.columns) < end)
    if log.is_empty():
        raise ValueError(f"as_of is {in_words(end)}, and no event was known before it; take a later one.")
    begin = log["at"].min()
    _free(people, wanted + [COVARIATE + name for name in wanted if pre_days])
    kept, account = followed(people, begin=begin, end=end, window_days=window_days, pre_days=pre_days)  # type: ignore[arg-type]
    if "exposed_at" in kept.columns:
        within = pl.col("exposed_at").is_between("started_at", "matured_at", closed="left").fill_null(False)
        kept = kept.with_columns(exposed=within)
    table = kept.select(*_FIRST, pl.exclude(*_FIRST, *_SPENT)).sort("customer_id")
    start_of = pl.col("started_at")
    near = log.filter(pl.col("event").is_in(_kinds(wanted))).join(
        table.select("customer_id", start_of), on="customer_id"
    )
    seen = near.filter(pl.col("at") < start_of + timedelta(days=window_days))
    table = _joined(table, _counted(seen, start_of, wanted, paid))
    if pre_days:
        known = near.filter(arrival(near.columns) < start_of)
        before = _counted(known, start_of - timedelta(days=pre_days), wanted, paid)
        table = _joined(table, before, mark=COVARIATE)
    if covariates is not None:
        table = _measured(table, require(covariates, Requests))
    return ExperimentOutcomes(table=table, account=account, window_days=float(window_days), start=start)


def _asked(metrics: list[str], columns: list[str]) -> list[str]:
    """The metrics, each once, all of them known and to be had from a log with these columns."""
    if not metrics:
        raise ValueError("metrics is empty; ask for one, e.g. 'orders'.")
    for name in metrics:
        choose("metrics", name, [*_OF_ORDERS, *_OF_ROWS])
        if (needed := _NEEDS.get(name)) and needed not in columns:
            raise ContractError(f"events: {name!r} needs the column {needed!r}. It has: {', '.join(columns)}.")
    return list(dict.fromkeys(metrics))


def _free(people: pl.DataFrame, ours: list[str]) -> None:
    """Raise ContractError where the assignments have a column of a name that the outcomes need."""
    ours = [*ours, "matured_at", *(["exposed"] if "exposed_at" in people.columns else [])]
    if taken := [name for name in ours if name in people.columns]:
        raise ContractError(f"assignments: they have a column {taken[0]!r}, as the outcomes would; rename or drop it.")


def _kinds(wanted: list[str]) -> list[str]:
    """The kinds of events that the metrics look at."""
    kinds = {_KINDS.get(name, "watch") for name in wanted if name in _OF_ROWS}
    return sorted(kinds | ({"purchase", "refund"} if set(wanted) & set(_OF_ORDERS) else set()))


def _counted(rows: pl.DataFrame, first: pl.Expr, wanted: list[str], paid: list[str]) -> pl.DataFrame:
    """The metrics of each customer who has rows, from `first` on; rows before it tell what refunds belong to."""
    of_orders = {name: _OF_ORDERS[name](paid) for name in wanted if name in _OF_ORDERS}
    of_rows = {name: _OF_ROWS[name] for name in wanted if name in _OF_ROWS}
    counts = rows.filter(pl.col("at") >= first).group_by("customer_id").agg(**of_rows)
    if of_orders and (rows["event"] == "purchase").any():
        made = features.orders(rows.filter(moves_money()), keep="started_at").filter(pl.col("ordered_at") >= first)
        counts = counts.join(made.group_by("customer_id").agg(**of_orders), on="customer_id", how="left")
    zeros = (_NONE.get(name, _ZERO).alias(name) for name in wanted if name not in counts.columns)
    return counts.with_columns(*zeros).select("customer_id", *wanted)


def _joined(table: pl.DataFrame, counts: pl.DataFrame, *, mark: str = "") -> pl.DataFrame:
    """The table with the counts, zeros for whoever has none."""
    filled = (pl.col(f"{mark}{name}").fill_null(_NONE.get(name, _ZERO)) for name in counts.columns[1:])
    renamed = counts.rename({name: f"{mark}{name}" for name in counts.columns[1:]})
    return table.join(renamed, on="customer_id", how="left", maintain_order="left").with_columns(filled)


def _measured(table: pl.DataFrame, measured: pl.DataFrame) -> pl.DataFrame:
    """The table with the columns of a frame of covariates, all of them known at the start."""
    renamed = {name: f"{COVARIATE}{name.removeprefix(COVARIATE)}" for name in measured.columns}
    renamed |= {"customer_id": "customer_id", "as_of": "as_of"}
    if taken := [theirs for theirs, ours in renamed.items() if theirs != "customer_id" and ours in table.columns]:
        raise ContractError(f"covariates: {taken[0]!r} would be a second {renamed[taken[0]]!r}; rename or drop it.")
    ours, theirs = table.schema["customer_id"], measured.schema["customer_id"]
    if ours != theirs:
        raise ContractError(f"covariates: 'customer_id' is {theirs}, and {ours} in the assignments; cast one.")
    if twice := int(measured["customer_id"].is_duplicated().sum()):
        raise ContractError(f"covariates: {twice:,} rows share their customer with another; pass one row for each.")
    both = table.join(measured.rename(renamed), on="customer_id", how="left", maintain_order="left")
    for wrong, what in (
        (both.filter(pl.col("as_of").is_null()), "have no row"),
        (both.filter(pl.col("as_of") > pl.col("started_at")), "were measured after they started"),
    ):
        if len(wrong):
            one = wrong.row(0, named=True)
            raise ContractError(
                f"covariates: {len(wrong):,} of {len(both):,} customers {what} (e.g. {one['customer_id']!r}, as of "
                f"{one['as_of']}, started {one['started_at']}). Measure them with as_of = the start of each."
            )
    return both.drop("as_of")
