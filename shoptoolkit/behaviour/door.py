"""The door of `fit_propensity`: columns, outcome and plain arguments, checked once.

In: the caller's frame. Out: `read` -> the features beside customer, moment and outcome; `check_counts` and
`check_sizes` for the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.encoding import usable
from shoptoolkit.behaviour.parts import AT, CUSTOMER, OUTCOME
from shoptoolkit.contract import ContractError, Requests, require, to_polars


def read(
    frame: Any, outcome: str, *, time: str, id: str, features: Sequence[str] | None
) -> tuple[pl.DataFrame, list[str]]:
    """The features beside customer, moment and outcome as numbers; every missing column in one error."""
    table = to_polars(frame)
    if len({id, time, outcome}) < 3:
        raise ValueError(f"id is {id!r}, time {time!r}, outcome {outcome!r}; they must be three columns.")
    asked = [id, time, outcome, *([] if features is None or isinstance(features, str) else features)]
    if absent := [f"{name!r} is missing" for name in dict.fromkeys(asked) if name not in table.columns]:
        raise ContractError(f"propensity: {'; '.join(absent)}. It has: {', '.join(table.columns) or 'no columns'}.")
    names = usable(table, features=features, taken=(id, time, outcome))
    keys = require(table.select(id, time), Requests, rename={id: "customer_id", time: "as_of"})
    ours = [keys["customer_id"].alias(CUSTOMER), keys["as_of"].alias(AT), _outcome(table[outcome])]
    return table.select(names).with_columns(ours), names


def _outcome(column: pl.Series) -> pl.Series:
    name, dtype = column.name, column.dtype
    if dtype != pl.Boolean and not dtype.is_numeric():
        raise ContractError(f"propensity: the outcome {name!r} is {dtype}, must be Boolean or 0/1.")
    values = column.cast(pl.Float64).fill_nan(None)
    if lost := values.null_count():
        raise ContractError(f"propensity: the outcome {name!r} is null in {lost:,} rows; leave them out.")
    if len(other := values.filter((values != 0) & (values != 1))):
        raise ContractError(
            f"propensity: the outcome {name!r} is neither 0 nor 1 in {len(other):,} rows (e.g. {other[0]:g})."
        )
    if values.n_unique() < 2:
        raise ContractError(
            f"propensity: the outcome {name!r} is {values[0]:g} in all {len(values):,} rows; both 0 and 1 are needed."
        )
    return values.alias(OUTCOME)


def check_counts(**counts: int) -> None:
    """Raise ValueError unless each is a whole number of at least 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1.")


def check_sizes(
    outcome_days: float, validation_share: float, learning_rate: float, replicates: int, level: float
) -> None:
    """Raise ValueError for a number out of its range."""
    if not 0 <= outcome_days < 36_525:
        raise ValueError(f"outcome_days is {outcome_days}; it must be a number of days, 0 or more.")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share is {validation_share}; it must lie between 0 and 1, e.g. 0.2.")
    if not 0 < learning_rate <= 1:
        raise ValueError(f"learning_rate is {learning_rate}; it must be above 0 and at most 1, e.g. 0.05.")
    least = round(2 / (1 - level))
    if not isinstance(replicates, int | np.integer) or replicates < least:
        raise ValueError(f"replicates is {replicates!r}; a {100 * level:g}% interval needs at least {least} of them.")
