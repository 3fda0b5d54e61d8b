"""Does a feature look into the future? Change the future of one request at a time, and see whether its row moves.

In: a function that builds features, Events, Requests. Out: `search_leaks` -> `LeakSearch`.

What becomes known at or after a request (known_at, else at, >= as_of; of any customer) is its future. It is removed,
corrupted or delayed, and nothing else is touched: if the row of that request changes in any bit, something of it was
seen (rule R18). No change is no proof, only a search that found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from shoptoolkit.contract import to_polars, wilson
from shoptoolkit.contract.arrays import Flags
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.contract.clock import arrival
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.contract.show import html_table
from shoptoolkit.features.given import whole
from shoptoolkit.features.timeline import read_pair

Build: TypeAlias = Callable[[pl.DataFrame, pl.DataFrame], Any]

PERTURBATIONS = ("removed", "corrupted", "delayed")
_KEPT = ("customer_id", "at", "known_at", "event_id")  # never corrupted
_FEW = (pl.Enum, pl.Categorical, pl.Boolean)
_MONEY = ("purchase", "refund")  # kinds that need a price
_CHANGES: dict[str, Any] = {"request": pl.Int64, "customer_id": pl.String, "as_of": pl.Datetime("us")}
_CHANGES |= dict.fromkeys(("perturbation", "column", "before", "after"), pl.String)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeakSearch:
    """What a search for leaks found.

    `table`: per perturbation (removed, corrupted, delayed) n_requests, n_changed, share with low and high (Wilson), and
    `columns`, the names of those that changed. `changes`: one row per request, perturbation and column that changed:
    request (its row in the requests, from 0), customer_id, as_of, before and after (as text; null: no such column).
    `leaks`: whether any row changed.
    """

    table: pl.DataFrame
    changes: pl.DataFrame
    level: float
    n_requests: int

    @property
    def leaks(self) -> bool:
        """True if a row changed with its future."""
        return not self.changes.is_empty()

    @property
    def columns(self) -> list[str]:
        """Names of the columns that changed, sorted."""
        return self.changes["column"].unique().sort().to_list()

    @property
    def verdict(self) -> str:
        """Leak found, or none found in so many perturbations, which is no proof."""
        if not self.leaks:
            return f"none found in {len(self.table) * self.n_requests} perturbations of {self.n_requests} requests"
        changed = self.changes["request"].n_unique()
        return f"leak found: {changed} of {self.n_requests} requests changed, in {', '.join(map(repr, self.columns))}"

    @property
    def example(self) -> str | None:
        """One change in words; None if there was none."""
        if not self.leaks:
            return None
        one = self.changes.row(0, named=True)
        return (
            f"Request {one['request']} (customer {one['customer_id']} as of {one['as_of']}): with its future "
            f"{one['perturbation']}, {one['column']!r} went from {one['before']} to {one['after']}."
        )

    def __repr__(self) -> str:
        verdict = f"{self.verdict[0].upper()}{self.verdict[1:]}"
        return f"{verdict}. {self.example}" if self.example else verdict

    def _repr_html_(self) -> str:
        return html_table(self.table, title="Search for leaks", note=repr(self))


def search_leaks(
    build: Build,
    events: Any,
    requests: Any,
    *,
    rng: int | np.random.Generator,
    n_requests: int = 20,
    level: float = 0.95,
) -> LeakSearch:
    """Do features know what only came later? Perturbs the future of single requests and compares their rows bit by bit.

    Parameters
    ----------
    build
        Your function of events and requests (polars frames, as given here) that returns one row per request, in their
        order: polars, or anything with the Arrow PyCapsule interface, such as pandas.
    events
        Events. Extra columns are corrupted too.
    requests
        Requests like those to be asked later, with moments like theirs. All of them go into each build, as one row may
        depend on the others (a mean over the batch). Give fewer where builds are slow.
    rng
        Seed or Generator: which requests, and with what their future is corrupted.
    n_requests
        Requests to perturb, each three times; those whose customer has a future first. Costs 3 x n_requests + 2 builds.
    level
        Coverage of the intervals.

    Returns
    -------
    LeakSearch
        Its verdict, what changed, and one example.

    Notes
    -----
    The future of a request is every row, of any customer, with known_at (else at) >= as_of. It is

    - removed;
    - corrupted: kinds, prices, quantities, items, sources, seconds and all other columns are mixed up and blown up;
      customers, moments and `event_id` stay, and so do the types and the contract;
    - delayed: `at` and `known_at` both, by 1 to 100 days, the same for all rows.

    Sums of fractions whose order is left to chance differ in their last bits, and look like leaks: sum whole cents.
    A log sorted by `at` stays sorted. A request with an empty past or future is not searched, nor is what `build`
    brings along from elsewhere, such as an encoding learnt beforehand from the whole log: learn it inside.

    Raises
    ------
    ContractError
        Events or requests break their contract.
    TypeError
        `build` is no function, or returns no frame.
    ValueError
        `build` returns another number of rows than there are requests, differs between two runs on the same log, or
        fails on a perturbed one; no request has both a past and a future; `n_requests` or `level` is out of its range.

    References
    ----------
    Kaufman, Rosset, Perlich and Stitelman (2012), Leakage in data mining, ACM TKDD 6(4).

    Examples
    --------
    >>> from shoptoolkit import features, simulate
    >>> world = simulate.shop(n_customers=30, days=60, rng=1)
    >>> requests = world.events.select("customer_id", as_of="at").sample(30, seed=1)
    >>> search_leaks(features.as_of_features, world.events, requests, rng=1, n_requests=5)
    None found in 15 perturbations of 5 requests
    >>> def all_rows(events, requests):
    ...     rows = events.group_by("customer_id").len()
    ...     return requests.join(rows, on="customer_id", how="left", maintain_order="left")
    >>> search_leaks(all_rows, world.events, requests, rng=1, n_requests=5).columns
    ['len']
    """
    check_number("n_requests", n_requests, least=1, whole=True)
    check_level(level)
    if not callable(build):
        raise TypeError(
            f"build is a {type(build).__name__}; it comes first, and must be a function of events and requests."
        )
    asked, log = read_pair(events, requests, made=())
    known_at, as_of = log.select(arrival(log.columns)).to_series(), asked["as_of"]
    rng = np.random.default_rng(rng)
    chosen = _chosen(asked, log.select("customer_id", known_at=known_at), whole(n_requests), rng)
    given, theirs = to_polars(events), to_polars(requests)
    before = _settled(build, given, theirs)
    changes = [
        (request, str(asked["customer_id"][request]), as_of[request], perturbation, *change)
        for request in _progress(chosen)
        for perturbation, perturbed in _perturbed(given, (known_at >= as_of[request]).to_numpy(), rng)
        for change in _compared(before, _built(build, perturbed, theirs, request, perturbation), request)
    ]
    found = pl.DataFrame(changes, schema=_CHANGES, orient="row")
    return LeakSearch(table=_table(found, len(chosen), level), changes=found, level=level, n_requests=len(chosen))


def _chosen(asked: pl.DataFrame, log: pl.DataFrame, n: int, rng: np.random.Generator) -> list[int]:
    """Some requests with a past and a future, in order; at first those whose customer has a future."""
    first, last = log.select(pl.min("known_at"), pl.max("known_at").alias("last")).row(0)
    own = log.group_by("customer_id").agg(last=pl.max("known_at"))
    found = (
        asked.select("customer_id", "as_of")
        .join(own, on="customer_id", how="left", maintain_order="left")
        .with_row_index("request")
    )
    able = found.filter(pl.col("as_of") > first, pl.col("as_of") <= last)
    if able.is_empty():
        raise ValueError(
            f"requests: none lies after the first row known ({first}) and before the last ({last}), so none has a past "
            "and a future; ask at moments within the log."
        )
    drawn = able[rng.permutation(len(able))].sort(
        pl.col("last") < pl.col("as_of"), nulls_last=True, maintain_order=True
    )
    return sorted(drawn["request"].head(n))


def _settled(build: Build, log: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """What is built on the log as it is, if it is the same twice."""
    once, again = (_frame(build(log.clone(), asked.clone()), asked) for _ in range(2))
    if once.columns != again.columns or not once.equals(again, null_equal=True):
        names = [name for name in once.columns if name not in again.columns or not _is_same(once, again, name)]
        raise ValueError(
            f"build gives another answer on the same log: {', '.join(map(repr, names)) or 'other columns'} differ. Fix "
            "its seed, or the order of rows it relies on; else every change looks like a leak."
        )
    return once


def _built(build: Build, log: pl.DataFrame, asked: pl.DataFrame, request: int, perturbation: str) -> pl.DataFrame:
    try:
        return _frame(build(log, asked.clone()), asked)
    except Exception as error:
        raise ValueError(
            f"build fails with the future of request {request} {perturbation} ({type(error).__name__}: {error}). It "
            "must take any log that keeps the contract; if it needs what only comes later, it leaks."
        ) from error


def _frame(made: Any, asked: pl.DataFrame) -> pl.DataFrame:
    if not isinstance(made, pl.LazyFrame | pl.DataFrame) and not hasattr(made, "__arrow_c_stream__"):
        raise TypeError(f"build returned a {type(made).__name__}; it must return a frame, one row per request.")
    if len(frame := to_polars(made)) != len(asked):
        raise ValueError(
            f"build returned {len(frame):,} rows for {len(asked):,} requests; it must return one row per request, in "
            "their order."
        )
    return frame


def _perturbed(log: pl.DataFrame, future: Flags, rng: np.random.Generator) -> Iterator[tuple[str, pl.DataFrame]]:
    """The log with its future removed, corrupted and delayed, in columns of the same types."""
    rows = log.filter(future)
    yield "removed", log.filter(~future)
    drawn = [_corrupted(log[name], rows, rng) for name in log.columns if name not in _KEPT]
    yield "corrupted", _with_future(log, future, rows.with_columns(drawn))
    wait = timedelta(days=rng.uniform(1, 100))
    moments = [name for name in ("at", "known_at") if name in log.columns]
    later = rows.with_columns((pl.col(name) + wait).cast(log.schema[name]) for name in moments)
    delayed = _with_future(log, future, later)
    yield "delayed", delayed.sort("at", maintain_order=True) if log["at"].is_sorted() else delayed


def _with_future(log: pl.DataFrame, future: Flags, rows: pl.DataFrame) -> pl.DataFrame:
    """The log with other rows in the places of its future."""
    places = np.concatenate([np.flatnonzero(~future), np.flatnonzero(future)])
    return pl.concat([log.filter(~future), rows])[np.argsort(places)]


def _corrupted(column: pl.Series, rows: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """For each of the rows another value of its column: any that the log has, numbers up to a thousandfold."""
    n, name = len(rows), column.name
    if name == "event":
        return _other_kinds(rows, rng)
    values = column.unique(maintain_order=True) if column.dtype in _FEW else column  # rare ones as often as others
    values = values if values.null_count() == len(values) else values.drop_nulls()
    drawn = values[rng.integers(len(values), size=n)]
    if drawn.dtype.is_numeric():
        drawn = drawn.fill_null(1) if name == "price" else drawn
        large = drawn.cast(pl.Float64) * rng.uniform(1, 1_000, n) + rng.uniform(0, 1_000, n)
        return large.cast(drawn.dtype, strict=False).fill_null(drawn)
    if drawn.dtype == pl.String:  # names never seen, for half of them
        return drawn.to_frame().select(pl.col(name) + pl.Series(rng.choice(["", "~"], n))).to_series()
    return drawn


def _other_kinds(rows: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Another kind for each row; a purchase or refund only where the log has prices."""
    dtype = rows.schema["event"]
    may_be = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else list(EVENT_KINDS)
    has_prices = rows.schema.get("price", pl.Null()).is_numeric()
    kinds = [kind for kind in may_be if kind in EVENT_KINDS and (kind not in _MONEY or has_prices)]
    if len(kinds) < 2:
        return rows["event"]
    number = rows["event"].cast(pl.String).replace_strict(kinds, range(len(kinds)), return_dtype=pl.Int64).to_numpy()
    return pl.Series("event", kinds)[(number + rng.integers(1, len(kinds), len(rows))) % len(kinds)].cast(dtype)


def _compared(before: pl.DataFrame, after: pl.DataFrame, request: int) -> Iterator[tuple[str, str | None, str | None]]:
    """Each column of the request's row that changed, with its value before and after."""
    was, now = before[request : request + 1], after[request : request + 1]
    for name in dict.fromkeys((*was.columns, *now.columns)):
        if not _is_same(was, now, name):
            yield name, _told(was, name), _told(now, name)


def _is_same(was: pl.DataFrame, now: pl.DataFrame, name: str) -> bool:
    """Equal in every bit, nulls and NaN equal to themselves; false where one lacks the column."""
    return name in was.columns and name in now.columns and was[name].equals(now[name], null_equal=True)


def _told(row: pl.DataFrame, name: str) -> str | None:
    return str(row[name].to_list()[0]) if name in row.columns else None


def _table(changes: pl.DataFrame, n: int, level: float) -> pl.DataFrame:
    """One row per perturbation: how many requests changed, and in which columns."""
    rows = []
    for perturbation in PERTURBATIONS:
        of_it = changes.filter(pl.col("perturbation") == perturbation)
        share = (changed := of_it["request"].n_unique()) / n
        low, high = map(float, wilson(share, n, level))
        rows.append((perturbation, n, changed, share, low, high, ", ".join(of_it["column"].unique().sort())))
    names = ("perturbation", "n_requests", "n_changed", "share", "low", "high", "columns")
    return pl.DataFrame(rows, schema=names, orient="row")


def _progress(chosen: list[int]) -> Iterable[int]:
    """The requests, with a bar where they take more than seconds."""
    from tqdm import tqdm

    return tqdm(chosen, desc="requests", delay=5, leave=False)
