"""What was known of a customer at a moment: counts, sums, active days and recency, without a look ahead.

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
from shoptoolkit.features.timeline import DAY, moments, read_pair, timeline

if TYPE_CHECKING:
    from shoptoolkit.contract.arrays import Ints
    from shoptoolkit.features.kernels import Timeline

_SUMS = ("spend", "refunded", "watch_seconds")
_PLURALS = {"watch": "watches", "search": "searches"}
_MONEY = {"spend": "purchase", "refunded": "refund"}  # the kind of event whose money it is
_CENTS, _MICROSECONDS = 100, 1_000_000
_LONGEST = 36_525  # days: a century
_LARGEST = 2**53  # units: above it floating point has no whole numbers
_USED = ("known_at", "event", "price", "quantity", "watch_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """Which features to build; the columns depend on this alone, never on what happens to be in a log.

    Parameters
    ----------
    windows_days
        Lengths of the windows that end at the request, in days of 24 hours; whole, increasing.
    kinds
        The kinds of events to count. None: all nine of the contract, whether or not a log has them: impression, click,
        view, watch, search, cart, checkout, purchase, refund.
    sums
        Of "spend" (price x quantity of purchases), "refunded" (of refunds) and "watch_seconds".
    timezone
        Active days are calendar days of this zone.

    Raises
    ------
    ValueError
        `windows_days` is empty, not positive, above a century, not increasing or repeated; `kinds` or `sums` names one
        that is unknown, or one twice; `timezone` is no IANA name.
    TypeError
        A window is not a whole number; a single number or text stands where several are meant.

    Examples
    --------
    >>> FeatureSpec(windows_days=(7, 28), kinds=("purchase",), sums=("spend",)).columns[:4]
    ['purchases_7d', 'purchases_28d', 'spend_7d', 'spend_28d']
    """

    windows_days: tuple[int, ...] = (7, 28, 91)
    kinds: tuple[str, ...] | None = None
    sums: tuple[str, ...] = _SUMS
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows_days", _windows(self.windows_days))
        object.__setattr__(self, "sums", _named("sums", self.sums, _SUMS))
        if self.kinds is not None:
            object.__setattr__(self, "kinds", _named("kinds", self.kinds, EVENT_KINDS))
        zone(self.timezone)

    @property
    def counted(self) -> tuple[str, ...]:
        """The kinds of events that are counted."""
        return EVENT_KINDS if self.kinds is None else self.kinds

    @property
    def columns(self) -> list[str]:
        """Names of the features, in the order of the result."""
        counts = [_PLURALS.get(kind, f"{kind}s") for kind in self.counted]
        windowed = [f"{what}_{days}d" for what in (*counts, *self.sums, "active_days") for days in self.windows_days]
        return windowed + [f"days_since_{kind}" for kind in self.counted]


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
          one piece), `watch_seconds_{w}d` (of rows of any kind, to the microsecond; null throughout if the events have
          no such column: not measured is not zero);
        - `active_days_{w}d` (whole): calendar days with a row of one of the counted kinds.

        And `days_since_purchase` ... (days, with fractions, > 0): since the last row of that kind in the whole log,
        null if there was none. A customer of whom nothing was known has counts and sums of 0.

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
    line, rows = timeline(asked, log, columns=_USED)
    kind = _kinds(rows, spec)
    features = [
        *_counts(line, kind, spec),
        *(column for name in spec.sums for column in _sum(name, line, rows, spec)),
        *_active_days(line, kind, rows, spec),
        *_recency(line, kind, asked, spec),
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


def _named(name: str, given: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(given, str) or not np.iterable(given):
        raise TypeError(f"{name} is {given!r}; it must name several, e.g. ({allowed[0]!r},).")
    names = tuple(given)
    if unknown := [one for one in names if one not in allowed]:
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

    if name == "watch_seconds" and name not in rows.columns:
        return iter([pl.repeat(None, len(line.row), dtype=pl.Float64, eager=True)] * len(spec.windows_days))
    units = _CENTS if name in _MONEY else _MICROSECONDS
    amount = _amount(name, rows, units)
    return _columns(windowed_sums(line, _spans(spec), np.where(amount == 0, -1, 0), amount, 1) / units)


def _amount(name: str, rows: pl.DataFrame, units: int) -> Ints:
    """Each row's part in a sum, in whole units; 0 where it has none."""
    part = pl.col("watch_seconds")
    if name in _MONEY:
        part = pl.when(pl.col("event") == _MONEY[name]).then(line_amount(rows.columns))
    amount = rows.select((part * units).round().fill_null(0)).to_series().to_numpy()
    if (largest := amount.max(initial=0)) > _LARGEST:
        raise ContractError(
            f"events: {name} of one row is {largest / units:.3g}; beyond {_LARGEST / units:.3g} sums are not exact."
        )
    return amount.astype(np.int64)


def _active_days(line: Timeline, kind: Ints, rows: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    from shoptoolkit.features.kernels import windowed_distinct

    days = rows.select(local_day("at", timezone=spec.timezone).to_physical()).to_series()
    code = np.where(kind < 0, -1, (days - (days.min() or 0)).cast(pl.Int64).to_numpy())
    return _columns(windowed_distinct(line, _spans(spec), code, int(code.max(initial=0)) + 1))


def _recency(line: Timeline, kind: Ints, asked: pl.DataFrame, spec: FeatureSpec) -> Iterator[pl.Series]:
    from shoptoolkit.features.kernels import NEVER, latest

    last = latest(line, kind, len(spec.counted))
    since = (moments(asked["as_of"])[:, None] - last) / DAY
    return (column.fill_nan(None) for column in _columns(np.where(last == NEVER, np.nan, since)))


def _spans(spec: FeatureSpec) -> Ints:
    return np.array(spec.windows_days, np.int64) * DAY


def _columns(answers: npt.NDArray[Any]) -> Iterator[pl.Series]:
    """The columns of an array of requests x features (x windows), the last index fastest."""
    flat = answers.reshape(len(answers), -1)
    return (pl.Series(np.ascontiguousarray(column)) for column in flat.T)
