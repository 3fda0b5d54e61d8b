"""What callers give: flags, names and columns, checked once for the whole room.

In: an argument and its name. Out: the argument, or an error that names it, its value and what it may be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError

_MOST = 2**62  # microseconds or rows: more is no bound any longer


def check_flag(name: str, value: Any) -> None:
    """Raise TypeError unless the argument `name` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}; it must be True or False.")


def texts(name: str, given: Any) -> list[str]:
    """The names that an argument lists; one may stand alone."""
    names: list[Any] = [given] if isinstance(given, str) or not np.iterable(given) else list(given)
    if not all(isinstance(one, str) for one in names):
        raise TypeError(f"{name} is {given!r}; it must be text, or a list of texts.")
    return names


def check_column(frame: pl.DataFrame, option: str, name: Any, *, whose: str = "events") -> None:
    """Raise ContractError unless `name`, the argument `option`, is a column of the frame with values to be told."""
    if not isinstance(name, str) or name not in frame.columns:
        raise ContractError(f"{whose}: {option} is {name!r}, not in {', '.join(frame.columns)}.")
    dtype = frame.schema[name]
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary, pl.Duration):
        raise ContractError(f"{whose}: {option} is {name!r}, which is {dtype}; cast it to text or numbers.")


def group_of(frame: pl.DataFrame, by: Any, *, whose: str = "events") -> pl.Expr:
    """The column `by` as text, null as "unknown"; "all" without one."""
    if by is None:
        return pl.lit("all")
    check_column(frame, "by", by, whose=whose)
    return pl.col(by).cast(pl.String).fill_null("unknown")


def whole(number: float, unit: int = 1) -> int:
    """So many units, as a number that 64 bits hold."""
    return round(min(number * unit, _MOST))
