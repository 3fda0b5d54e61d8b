"""What every fit tells when it is judged: by which segments, and on how many rows of whom.

In: frames. Out: `to_judge` -> the frame; `segments` -> names and rows; `sizes` -> facts on the training and the test
rows. A `Fact` is a section of the card, an item, and its text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.check import listed

Fact = tuple[str, str, str]
_MOST = 50  # segments by one column


def to_judge(frame: Any, id: str, *needed: str) -> pl.DataFrame:
    """The frame, or a ContractError: it has no rows, lacks a column that judging needs, or customers are null."""
    table = to_polars(frame)
    if absent := [name for name in (id, *needed) if name not in table.columns]:
        has = ", ".join(table.columns) or "no columns"
        raise ContractError(f"judge: {', '.join(map(repr, absent))} missing. The frame has: {has}.")
    if table.is_empty():
        raise ContractError("judge: the frame has 0 rows; at least one is needed.")
    if lost := table[id].null_count():
        raise ContractError(f"judge: {id!r} is null in {lost:,} rows; leave them out.")
    return table


def segments(table: pl.DataFrame, by: str | Sequence[str] | None) -> Iterator[tuple[str, pl.Series]]:
    """All rows, as "all", then those of each value of each column of `by`, as "source = paid": names and row numbers.

    Raises ContractError where a column is missing, or has more than 50 values.
    """
    columns = [] if by is None else dict.fromkeys(listed(by, name="by"))
    for name in columns:
        if name not in table.columns:
            raise ContractError(f"by is {name!r}, which is missing. The frame has: {', '.join(table.columns)}.")
        if table[name].dtype.is_nested() or table[name].dtype == pl.Object:
            raise ContractError(f"by is {name!r}, which holds {table[name].dtype}; its values cannot be named.")
        if (count := table[name].n_unique()) > _MOST:
            raise ContractError(f"by is {name!r}, with {count:,} values, more than {_MOST}; put them in classes first.")
    rows = table.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("row")).to_series()
    yield "all", rows
    for name in columns:
        value = table[name].cast(pl.String)
        for one in value.unique().sort(nulls_last=True):
            told = f"{name} missing" if one is None else f"{name} = {one}"
            yield told, rows.filter(value.eq_missing(pl.Series([one], dtype=pl.String)))


def sizes(train: Any, test: Any, *, id: str, time: str | None = None) -> list[Fact]:
    """How many rows of how many customers, from when to when, in training and test, and customers in both."""
    parts = {"training": to_polars(train), "test": to_polars(test)}
    told: list[Fact] = []
    for name, part in parts.items():
        if time in part.columns and part[time].dtype.is_temporal() and part[time].count():
            at = part[time].drop_nulls().cast(pl.Datetime).sort()
            shown = "%Y-%m-%d" if (at == at.dt.truncate("1d")).all() else "%Y-%m-%d %H:%M UTC"
            told.append(("data", f"{name} window", " to ".join(at[[0, -1]].dt.strftime(shown))))
        of = f" of {part[id].n_unique():,} customers" if id in part.columns else ""
        told.append(("sample", name, f"{len(part):,} rows{of}"))
    if all(id in part.columns for part in parts.values()):
        later = parts["test"][id].unique()
        both = later.is_in(parts["training"][id].unique().implode()).sum()
        told.append(("sample", "customers in both", f"{both:,} of the {len(later):,} test customers"))
    return told
