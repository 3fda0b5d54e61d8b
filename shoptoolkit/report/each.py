"""One report per value of a column: what a notebook is given comes in, the values its log holds go out.

- `values_of`: the log is opened as the notebook will open it, and read once for all notebooks that are given the same.
- `ONLY`: the parameter by which a notebook is told its value: {"country": "GB"}; `GIVEN`: those it opens its log by.
- `words_of`, `file_words`: such a choice for people, and for a file name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

__all__ = ["GIVEN", "ONLY", "EachValue", "file_words", "values_of", "words_of"]

ONLY = "only"
MOST = 50  # reports of one notebook, unless told otherwise
GIVEN = ("dataset", "query", "columns", "kinds", "clock", "timezone", "as_of", ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class EachValue:
    """The values of a column, most frequent first, and what stays outside all reports."""

    values: tuple[str, ...]
    note: str  # "" if nothing does


def values_of(column: str, given: Mapping[str, Any], *, at_most: int | None = None) -> EachValue:
    """Which values has a column of the log that a notebook would look at?

    Parameters
    ----------
    column
        Of the log, as the contract names it.
    given
        The notebook's parameters: dataset, and if it has them query, columns, kinds, clock, timezone, as_of and only.
    at_most
        Take the most frequent ones; None: all, but refuse more than 50.

    Returns
    -------
    EachValue
        As text, from the rows before `as_of`.

    Raises
    ------
    ValueError
        The log cannot be opened, has no such column, or too many values.
    """
    rows = _rows(given)
    if column not in rows.columns:
        raise ValueError(f"for_each is {column!r}; the log has the columns {', '.join(rows.columns)}.")
    counts = rows[column].cast(pl.String).value_counts().sort(["count", column], descending=[True, False])
    known = counts.drop_nulls(column)
    if not at_most and not 0 < len(known) <= MOST:
        raise ValueError(
            f"for_each is {column!r}, which has {len(known):,} values; there must be 1 to {MOST}. "
            f"Take the most frequent ones with at_most (--at-most {MOST}), or another column."
        )
    taken = known.head(at_most or MOST)
    outside = len(rows) - taken["count"].sum()
    why = f"they have no {column}"
    if len(known) > len(taken):
        why = f"only the most frequent {len(taken):,} of {len(known):,} values have one"
    note = f"{outside:,} of {len(rows):,} rows are in no report by {column}: {why}." if outside else ""
    return EachValue(values=tuple(taken[column]), note=note)


def _rows(given: Mapping[str, Any]) -> pl.DataFrame:
    from shoptoolkit import datasets, simulate
    from shoptoolkit.contract.clock import moment

    facts = {name: given[name] for name in GIVEN if given.get(name)}
    source = facts.pop("dataset", "")
    if source == "simulated":
        world = simulate.shop(rng=20)
        source, facts = world.events, {"as_of": world.as_of} | facts
    log = datasets.open_log(source, **facts)
    return log.checked.good.filter(pl.col("at") < moment(log.as_of, timezone=log.timezone))


def words_of(only: Mapping[str, Any]) -> str:
    """{"country": "GB"} -> "country GB"."""
    return ", ".join(f"{column} {value}" for column, value in only.items())


def file_words(only: Mapping[str, Any]) -> str:
    """{"country": "United Kingdom"} -> ".country=United_Kingdom"; no dot, slash or blank within, not too long."""
    pairs = ((re.sub(r"[^\w+-]+", "_", str(text)) for text in pair) for pair in only.items())
    return "".join(f".{column[:60]}={value[:60]}" for column, value in pairs)
