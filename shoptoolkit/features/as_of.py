"""What was known of a customer at a moment: how much, of what, how lately, in what rhythm, without a look ahead.

In: Events and Requests (a customer and an `as_of`). Out: `as_of_features`, one row per request; `FeatureSpec` says
which features, and its `.columns` their names. A row of the log counts if it was *known* before the request
(known_at < as_of, rule R4) and *happened* within the window (as_of - window <= at).

Log and requests are brought into one timeline, sorted by customer and moment; each family of features is one walk
along it (kernels.py). Money is summed in whole cents and watching in microseconds, so no sum depends on the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.clock import local_day, zone
from shoptoolkit.contract.lines import line_amount
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features.given import check_flag
from shoptoolkit.features.in_time import moments
from shoptoolkit.features.sessions import plural
from shoptoolkit.features.timeline import DAY, numbered, read_pair, timeline

if TYPE_CHECKING:
    from shoptoolkit.contract.arrays import Ints
    from shoptoolkit.features.kernels import Timeline

_SUMS = ("spend", "refunded", "watch_seconds", "live_seconds")
_DISTINCT = ("active_days", "distinct_items", "distinct_categories")
_NEEDS = {  # the columns that a feature looks at, where a log may lack them
    "watch_seconds": ("watch_seconds",),
    "live_seconds": ("watch_seconds", "source"),
    "distinct_items": ("item_id",),
    "distinct_categories": ("category",),
    "shares": ("source",),
}
_RHYTHM = ("purchase_gaps", "mean_gap_days", "gap_cv")
_MONEY = {"spend": "purchase", "refunded": "refund"}  # the kind of event whose money it is
_LIVE = "live"  # the source of what is watched live
_CENTS, _MICROSECONDS = 100, 1_000_000
_LONGEST = 36_525  # days: a century
_LARGEST = 2**53  # units: above it floating point has no whole numbers
_USED = ("known_at", "event", "price", "quantity")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """Which features to build; the columns depend on this alone, never on what happens to be in a log.

    Parameters
    ----------
    windows_days
        Lengths of the windows that end at the request, in days of 24 hours; whole, increasing.
    kinds
        The kinds of events that counts, recency, distinct and shares look at. None: all nine of the contract, whether
        or not a log has them: impression, click, view, watch, search, cart, checkout, purchase, refund.
    counts, recency, rhythm
        Whether to count rows per kind and window; to give the days since the last of each kind; to give the gaps
        between the days with a purchase.
    sums
        Of "spend" (price x quantity of purchases), "refunded" (of refunds), "watch_seconds" and "live_seconds" (of them
        those from the source "live"); () for none.
    distinct
        Of "active_days", "distinct_items" and "distinct_categories"; () for none.
    sources
        The sources whose share of the rows is told; () for none.
    timezone
        Days are calendar days of this zone.

    Raises
    ------
    ValueError
        `windows_days` is empty, not positive, above a century, not increasing or repeated; `kinds`, `sums` or
        `distinct` names one that is unknown; one of these or of `sources` is named twice; `timezone` is no IANA name.
    TypeError
        A window is not a whole number; a single number or text stands where several are meant; a source is no text;
        `counts`, `recency` or `rhythm` is neither True nor False.

    Examples
    --------
    >>> FeatureSpec(windows_days=(7, 28), kinds=("purchase",), sums=("spend",)).columns[:4]
    ['purchases_7d', 'purchases_28d', 'spend_7d', 'spend_28d']
    """

    windows_days: tuple[int, ...] = (1, 7, 28, 91)
    kinds: tuple[str, ...] | None = None
    counts: bool = True
    sums: tuple[str, ...] = _SUMS
    distinct: tuple[str, ...] = _DISTINCT
    sources: tuple[str, ...] = ("organic", "search", "paid", "live")
    recency: bool = True
    rhythm: bool = True
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows_days", _windows(self.windows_days))
        object.__setattr__(self, "sums", _named("sums", self.sums, _SUMS))
        object.__setattr__(self, "distinct", _named("distinct", self.distinct, _DISTINCT))
        object.__setattr__(self, "sources", _named("sources", self.sources, None))
        if self.kinds is not None:
            object.__setattr__(self, "kinds", _named("kinds", self.kinds, EVENT_KINDS))
        for name in ("counts", "recency", "rhythm"):
            check_flag(name, getattr(self, name))
        zone(self.timezone)

    @property
    def counted(self) -> tuple[str, ...]:
        """The kinds of events that are counted."""
        return EVENT_KINDS if self.kinds is None else self.kinds

    @property
    def columns(self) -> list[str]:
        """Names of the features, in the order of the result."""
        counts = [plural(kind) for kind in self.counted] if self.counts else []
        shares = [f"{source}_share" for source in self.sources]
        names = (*counts, *self.sums, *self.distinct, *shares)
        windowed = [f"{name}_{days}d" for name in names for days in self.windows_days]
        since = [f"days_since_{kind}" for kind in self.counted] if self.recency else []
        return windowed + since + (list(_RHYTHM) if self.rhythm else [])


def as_of_features(events: Any, requests: Any, *, spec: FeatureSpec | None = None) -> pl.DataFrame:
    """What did the shop know of a customer at a moment: how much of what, how lately?

    Parameters
    ----------
    events
        Events. A row becomes known at `known_at`; without that column, or where it is null, at `at`.
    requests
        Requests: customer_id, as_of (UTC; a date is its midnight) and any other columns.
    spec
        Which features; None: `FeatureSpec()`.

    Returns
    -------
    pl.DataFrame
        One row per request, in the requests' order, duplicates kept: the columns of the requests, then those of
        `spec.columns`. For each window of w days:

        - `purchases_{w}d` ... (whole): rows of that kind, not orders;
        - `spend_{w}d`, `refunded_{w}d` (currency of `price`, line totals rounded to cents; a line without a quantity is
          one piece), `watch_seconds_{w}d`, `live_seconds_{w}d` (of rows of any kind, to the microsecond);
        - `active_days_{w}d`, `distinct_items_{w}d`, `distinct_categories_{w}d` (whole): calendar days with a row, and
          different items and categories in rows of the kinds looked at;
        - `organic_share_{w}d` ...: of the rows of these kinds with a source, those from this one; null if none has one.

        Over the whole log: `days_since_purchase` ... (days, with fractions, > 0) since the last row of that kind, null
        if there was none; and of the different days with a purchase `purchase_gaps` (whole: gaps between them),
        `mean_gap_days` (null without a gap) and `gap_cv` (standard deviation of the gaps / mean, with n - 1; null
        below two gaps).

        A customer of whom nothing was known has counts and sums of 0. A feature whose column the events lack
        (`watch_seconds`, `source`, `item_id`, `category`) is null throughout: not measured is not zero.

    Notes
    -----
    A row counts where known_at < as_of and, for a window of w days, as_of - w days <= at. The log is sorted once and
    each family of features is one walk along it: the cost grows with rows plus requests, not with their product, so a
    customer with a million rows does no harm.

    Raises
    ------
    ContractError
        Events or requests break their contract; their customers are of different types; a request column has the name
        of a feature; a line's amount is too large to be counted in cents.
    TypeError
        `spec` is no FeatureSpec.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> events = pl.DataFrame({"customer_id": ["a", "a"], "at": [datetime(2025, 1, 1), datetime(2025, 3, 1)],
    ...                        "event": "purchase", "price": [20.0, 5.0]})
    >>> requests = pl.DataFrame({"customer_id": ["b", "a"], "as_of": datetime(2025, 3, 1)})
    >>> spec = FeatureSpec(windows_days=(28, 91), kinds=("purchase",), sums=("spend",))
    >>> as_of_features(events, requests, spec=spec).select("customer_id", "spend_91d", "days_since_purchase").rows()
    [('b', 0.0, None), ('a', 20.0, 59.0)]
    """
    spec = FeatureSpec() if spec is None else spec
    if not isinstance(spec, FeatureSpec):
        raise TypeError(f"spec is {spec!r}; it must be a FeatureSpec, e.g. FeatureSpec(windows_days=(7, 28)).")
    asked, log = read_pair(events, requests, made=spec.columns)
    families = (*spec.sums, *spec.distinct, *(("shares",) if spec.sources else ()))
    used = (*_USED, *(column for name in families for column in _NEEDS.get(name, ())))
    line, rows = timeline(asked, log, columns=used)
    kind = _kinds(rows, spec)
    features = [
        *(_counts(line, kind, spec) if spec.counts else ()),
        *(column for name in spec.sums for column in _sum(name, line, rows, spec)),
        *(column for name in spec.distinct for column in _distinct(name, line, kind, rows, spec)),
        *(_shares(line, kind, rows, spec) if spec.sources else ()),
        *(_recency(line, kind, asked, spec) if spec.recency else ()),
        *(_rhythm(line, rows, spec) if spec.rhythm else ()),
    ]
    return asked.with_columns(column.alias(name) for name, column in zip(spec.columns, features, strict=True))


def _windows(given: Any) -> tuple[int, ...]:
    told = f"windows_days is {given!r}; "
    windows = tuple(given) if np.iterable(given) else ()
    if not windows:
        raise (ValueError if np.iterable(given) else TypeError)(f"{told}name at least one window, e.g. (7, 28, 91).")
    if any(isinstance(days, bool) or not isinstance(days, int | np.integer) for days in windows):
        raise TypeError(f"{told}a window is a whole number of days, e.g. (7, 28, 91).")
    if min(windows) < 1 or max(windows) > _LONGEST:
        raise ValueError(f"{told}a window lasts from 1 to {_LONGEST} days.")
    if list(windows) != sorted(set(windows)):
        raise ValueError(f"{told}windows must increase, each named once, e.g. {tuple(map(int, sorted(set(windows))))}.")
    return tuple(map(int, windows))


def _named(name: str, given: Any, allowed: tuple[str, ...] | None) -> tuple[str, ...]:
    if isinstance(given, str) or not np.iterable(given):
        raise TypeError(f"{name} is {given!r}; it must name several, e.g. ({(allowed or (_LIVE,))[0]!r},).")
    names = tuple(given)
    if not allowed and (other := [one for one in names if not isinstance(one, str)]):
        raise TypeError(f"{name} has {', '.join(map(repr, other))}; it must be text.")
    if allowed and (unknown := [one for one in names if one not in allowed]):
        raise ValueError(f"{name} has {', '.join(map(repr, unknown))}; it may have {', '.join(map(repr, allowed))}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{name} is {names!r}; name each once.")
    if name == "kinds" and not names:
        raise ValueError("kinds is (); name at least one kind of event, or None for all.")
    return names


def _kinds(rows: pl.DataFrame, spec: FeatureSpec) -> Ints:
    """Each row's kind as its number in `spec.counted`; -1 for kinds that are not counted."""
    number = [spec.counted.index(kind) if kind in spec.counted else -1 for kind in EVENT_KINDS]
    return np.array(number)[rows["event"].to_physical().to_numpy()]


def _counts(line: Timeline, kind: Ints, spec: FeatureSpec) -> Iterator[pl.Series]:
    from shoptoolkit.features.kernels import windowed_sums

    return _columns(windowed_sums(line, _spans(spec), kind, np.ones_like(kind), len(spec.counted)))


def _sum(name: str, line: Timeline, rows: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    """Whole units of an amount, summed and turned back (by numpy: polars divides by multiplying with .01)."""
    from shoptoolkit.features.kernels import windowed_sums

    if name not in _MONEY and not _measured(name, rows):
        return _nulls(line, len(spec.windows_days), pl.Float64)
    units = _CENTS if name in _MONEY else _MICROSECONDS
    amount = _amount(name, rows, units)
    return _columns(windowed_sums(line, _spans(spec), np.where(amount == 0, -1, 0), amount, 1) / units)


def _amount(name: str, rows: pl.DataFrame, units: int) -> Ints:
    """Each row's part in a sum, in whole units; 0 where it has none."""
    if name in _MONEY:
        part = pl.when(pl.col("event") == _MONEY[name]).then(line_amount(rows.columns))
    else:
        part = pl.when(pl.col("source") == _LIVE if name == "live_seconds" else True).then("watch_seconds")
    amount = rows.select((part * units).round().fill_null(0)).to_series().to_numpy()
    if (largest := amount.max(initial=0)) > _LARGEST:
        raise ContractError(
            f"events: {name} of one row is {largest / units:.3g}; beyond {_LARGEST / units:.3g} sums are not exact."
        )
    return amount.astype(np.int64)


def _distinct(name: str, line: Timeline, kind: Ints, rows: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    from shoptoolkit.features.kernels import windowed_distinct

    if not _measured(name, rows):
        return _nulls(line, len(spec.windows_days), pl.Int64)
    if name == "active_days":
        code = _days(rows, spec)
    else:
        column = rows[_NEEDS[name][0]]
        code = numbered(column, column.unique().drop_nulls())
    return _columns(windowed_distinct(line, _spans(spec), np.where(kind < 0, -1, code), int(code.max(initial=0)) + 1))


def _days(rows: pl.DataFrame, spec: FeatureSpec) -> Ints:
    """Each row's day in the shop, from 0."""
    days = rows.select(local_day("at", timezone=spec.timezone).to_physical().cast(pl.Int64)).to_series().to_numpy()
    return days - days.min() if len(days) else days


def _shares(line: Timeline, kind: Ints, rows: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    from shoptoolkit.features.kernels import windowed_sums

    n = len(spec.sources)
    if not _measured("shares", rows):
        return _nulls(line, n * len(spec.windows_days), pl.Float64)
    source = numbered(rows["source"], pl.Series(spec.sources, dtype=pl.String))
    source = np.where(source < 0, n, source)  # another one
    source[(kind < 0) | rows["source"].is_null().to_numpy()] = -1
    of_each = windowed_sums(line, _spans(spec), source, np.ones_like(source), n + 1)
    of_any = of_each.sum(axis=1, keepdims=True)
    shares = np.divide(
        of_each[:, :n], of_any, where=of_any > 0, out=np.full((len(of_each), n, of_any.shape[2]), np.nan)
    )
    return (column.fill_nan(None) for column in _columns(shares))


def _recency(line: Timeline, kind: Ints, asked: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    from shoptoolkit.features.kernels import NEVER, latest

    last = latest(line, kind, len(spec.counted))
    since = (moments(asked["as_of"])[:, None] - last) / DAY
    return (column.fill_nan(None) for column in _columns(np.where(last == NEVER, np.nan, since)))


def _rhythm(line: Timeline, rows: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    """Number, mean and coefficient of variation of the gaps, from whole numbers, so that no order of days matters."""
    from shoptoolkit.features.kernels import gaps

    is_purchase = (rows["event"] == "purchase").to_numpy()
    n, total, squares = gaps(line, np.where(is_purchase, _days(rows, spec), -1)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        cv = np.where(n > 1, np.sqrt((n * squares - total**2) / (n * (n - 1))) / mean, np.nan)
    return iter([pl.Series(np.ascontiguousarray(n)), pl.Series(mean).fill_nan(None), pl.Series(cv).fill_nan(None)])


def _measured(name: str, rows: pl.DataFrame) -> bool:
    return all(column in rows.columns for column in _NEEDS.get(name, ()))


def _nulls(line: Timeline, n: int, dtype: type[pl.DataType]) -> Iterator[pl.Series]:
    """Columns of what the log does not measure."""
    return iter([pl.repeat(None, len(line.row), dtype=dtype, eager=True)] * n)


def _spans(spec: FeatureSpec) -> Ints:
    return np.array(spec.windows_days, np.int64) * DAY


def _columns(answers: npt.NDArray[Any]) -> Iterator[pl.Series]:
    """The columns of an array of requests x features (x windows), the last index fastest."""
    flat = answers.reshape(len(answers), -1)
    return (pl.Series(np.ascontiguousarray(column)) for column in flat.T)
