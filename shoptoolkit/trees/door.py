"""What every fit of trees asks at its door: plain numbers, the names of its features, customers to hold out.

In: the caller's arguments. Out: `check_growth`, `feature_names`, `some_customers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.check import check_number


def check_growth(*, validation_share: float, learning_rate: float, numbers: Sequence[str] = (), **sizes: Any) -> None:
    """Raise an error for a number that is none or out of its range.

    `sizes` are whole and at least 1, but for those named in `numbers`: of them it is only asked that they are numbers.
    """
    plain = {name: sizes.pop(name) for name in numbers}
    check_number(**plain, validation_share=validation_share, learning_rate=learning_rate)
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share is {validation_share}; it must lie between 0 and 1, e.g. 0.2.")
    if not 0 < learning_rate <= 1:
        raise ValueError(f"learning_rate is {learning_rate}; it must be above 0 and at most 1, e.g. 0.05.")
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1.")


def feature_names(
    table: pl.DataFrame,
    features: Sequence[str] | None,
    *,
    keys: Sequence[str],
    other: Sequence[str] = (),
    reserved: Sequence[str],
    frame: str,
    what: str,
) -> list[str]:
    """The features in sorted order: those asked for, or all columns but `keys` and `other`.

    `keys`: columns that must be there and cannot be features (`what` they are, in words); `reserved`: names that no
    feature may have; `frame`: what an error calls the table.
    """
    if features is not None and (isinstance(features, str) or not isinstance(features, Iterable)):
        raise TypeError(f"features is {features!r}; it must be a list of column names, e.g. ['{features}'].")
    left_out = (*keys, *other)
    names = [name for name in table.columns if name not in left_out] if features is None else list(features)
    if absent := [f"{name!r} is missing" for name in dict.fromkeys([*keys, *names]) if name not in table.columns]:
        raise ContractError(f"{frame}: {'; '.join(absent)}. It has: {', '.join(table.columns) or 'no columns'}.")
    if clash := [name for name in names if name in (*keys, *reserved)]:
        raise ValueError(
            f"features has {_quoted(clash)}: {what} cannot be features, nor can columns of "
            f"the names {_quoted(reserved)}. Leave them out, or rename them."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"features names {_quoted(twice)} more than once.")
    if not names:
        raise ValueError(f"there are no features; beside {_quoted(keys)}, at least one column is needed.")
    return sorted(names)


def some_customers(ids: pl.Series, *, share: float, rng: np.random.Generator) -> pl.Series:
    """A share of the distinct customers, drawn independently of the order of rows."""
    customers = ids.unique().sort()
    return customers[rng.permutation(len(customers))[: round(share * len(customers))]]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
