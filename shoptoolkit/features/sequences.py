"""What a customer did last, in order, as far as it was known: what a model of sequences reads.

In: Events and Requests. Out: `sequences`, one row per request with lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events
from shoptoolkit.contract.arrays import Ints
from shoptoolkit.contract.check import check_number
from shoptoolkit.features.given import texts, whole
from shoptoolkit.features.in_time import moments
from shoptoolkit.features.timeline import DAY, read_pair, timeline

_ADDED = ("n_known", "days_before")


def sequences(events: Any, requests: Any, *, columns: str | Sequence[str] = ("event",), last: int = 50) -> pl.DataFrame:
    """What had a customer done last, as far as the shop knew: the last rows before a moment, oldest first.

    Parameters
    ----------
    events
        Events. A row becomes known at `known_at`; without that column, or where it is null, at `at`.
    requests
        Requests: customer_id, as_of (UTC; a date is its midnight) and any other columns.
    columns
        Columns of the events to list. To look at some kinds of events only, filter the events first.
    last
        The longest list.

    Returns
    -------
    pl.DataFrame
        One row per request, in the requests' order, duplicates kept: the columns of the requests, `n_known` (whole: all
        rows known, listed or not), a list for each of `columns`, and `days_before` (list of days with fractions, > 0,
        from each row to the request). Lists of one request are of one length, in order of `at`, at one moment in the
        contract's order of kinds, then by the values of the other columns. Of whom nothing was known has empty lists.

    Notes
    -----
    A row is known where known_at < as_of (rule R4). Time grows with rows plus requests x `last`, memory with requests x
    `last`, however heavy a customer is.

    Raises
    ------
    ContractError
        Events or requests break their contract; their customers are of different types; the events lack one of
        `columns`; a request column has the name of a column to be made.
    ValueError
        `last` is no whole number of at least 1; `columns` names one twice, or `n_known` or `days_before`.
    TypeError
        `columns` lists what is no text.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> events = pl.DataFrame({"customer_id": "a", "at": [datetime(2025, 1, day) for day in (1, 3, 9)],
    ...                        "event": ["view", "cart", "view"]})
    >>> requests = pl.DataFrame({"customer_id": ["b", "a"], "as_of": datetime(2025, 1, 5)})
    >>> sequences(events, requests).drop("as_of").rows()
    [('b', 0, [], []), ('a', 2, ['view', 'cart'], [4.0, 2.0])]
    """
    from shoptoolkit.features.kernels import known, last_known

    check_number("last", last, least=1, whole=True)
    named = _named(texts("columns", columns))
    asked, log = read_pair(events, requests, made=(*named, *_ADDED))
    if absent := [name for name in named if name not in log.columns]:
        raise ContractError(f"events: columns has {', '.join(map(repr, absent))}, not in {', '.join(log.columns)}.")
    ties = [name for name in ("event", *Events.fields, *named) if name in log.columns]
    line, rows = timeline(asked, log, columns=["known_at", *named], ties=list(dict.fromkeys(ties)))
    n_known = known(line)
    first = np.concatenate([[0], np.cumsum(np.minimum(n_known, whole(last)))])
    place = last_known(line, first)
    as_of = np.repeat(moments(asked["as_of"]), np.diff(first))
    lists = {name: rows[name][place] for name in named} | {"days_before": pl.Series((as_of - line.at[place]) / DAY)}
    return asked.with_columns(
        pl.Series("n_known", n_known), *(_cut(column, first).alias(name) for name, column in lists.items())
    )


def _named(columns: list[str]) -> list[str]:
    if twice := sorted({name for name in columns if [*columns, *_ADDED].count(name) > 1}):
        raise ValueError(f"columns is {columns}; {', '.join(map(repr, twice))} would stand twice in the result.")
    return columns


def _cut(column: pl.Series, first: Ints) -> pl.Series:
    """A column as lists: the one of request r goes from first[r] to first[r + 1]."""
    from pyarrow import LargeListArray

    return pl.Series(LargeListArray.from_arrays(first, column.to_arrow())).cast(pl.List(column.dtype))
