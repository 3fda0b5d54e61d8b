"""The door and the split in time: what trees learn from, what stops them, and what judges them.

In: the caller's frame. Out: `check_numbers` for plain arguments; `read` -> the features beside customer, moment and
outcome (`outcome_of` a frame, as numbers); `cut` -> the parts; `account` -> how large they are. The test part is never
looked at before the end; the validation part is the end of the training time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Requests, require, to_polars
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.clock import in_words
from shoptoolkit.trees.door import check_growth, feature_names, some_customers

CUSTOMER, AT, OUTCOME = "__customer", "__at", "__outcome"  # features may have any other name
PARTS: dict[Any, Any] = {"part": pl.String, "n": pl.Int64, "n_customers": pl.Int64, "outcome_share": pl.Float64}
PARTS |= {"first": pl.Datetime("us"), "last": pl.Datetime("us")}


def check_numbers(*, level: float, outcome_days: float, replicates: int, **growth: Any) -> None:
    """Raise an error for a number that is none or out of its range; `growth` as in `trees.door.check_growth`."""
    check_growth(
        numbers=("level", "outcome_days"), level=level, outcome_days=outcome_days, replicates=replicates, **growth
    )
    check_level(level)
    if not 0 <= outcome_days < 36_525:
        raise ValueError(f"outcome_days is {outcome_days}; it must be a number of days, 0 or more.")
    if replicates < (least := round(2 / (1 - level))):
        raise ValueError(f"replicates is {replicates}; a {100 * level:g}% interval needs at least {least}.")


def read(
    frame: Any, outcome: str, *, time: str, id: str, features: Sequence[str] | None
) -> tuple[pl.DataFrame, list[str]]:
    """The features, in sorted order, beside customer, moment and outcome as numbers."""
    table, keys = to_polars(frame), [id, time, outcome]
    if not all(isinstance(name, str) for name in keys):
        raise TypeError(f"id is {id!r}, time {time!r}, outcome {outcome!r}; they must be names of columns.")
    if len(set(keys)) < 3:
        raise ValueError(f"id is {id!r}, time {time!r}, outcome {outcome!r}; they must be three columns.")
    words = {"frame": "propensity", "what": "the id, time and outcome columns"}
    names = feature_names(table, features, keys=keys, reserved=(CUSTOMER, AT, OUTCOME), **words)
    known = require(table.select(id, time), Requests, rename={id: "customer_id", time: "as_of"})
    ours = [known["customer_id"].alias(CUSTOMER), known["as_of"].alias(AT), values := outcome_of(table, outcome)]
    if values.n_unique() < 2:
        told = f"is {values[0]:g} in all {len(values):,} rows; both 0 and 1 are needed"
        raise ContractError(f"propensity: the outcome {outcome!r} {told}.")
    return table.select(names).with_columns(ours), names


def outcome_of(table: pl.DataFrame, name: str) -> pl.Series:
    """The outcome as numbers, 0 or 1."""
    if name not in table.columns:
        raise ContractError(f"propensity: the outcome {name!r} is missing. It has: {', '.join(table.columns)}.")
    column = table[name]
    what = f"propensity: the outcome {column.name!r} is"
    if column.dtype != pl.Boolean and not column.dtype.is_numeric():
        raise ContractError(f"{what} {column.dtype}, must be Boolean or 0/1.")
    values = column.cast(pl.Float64).fill_nan(None)
    if lost := values.null_count():
        raise ContractError(f"{what} null in {lost:,} rows; leave them out.")
    if len(other := values.filter(~values.is_in([0.0, 1.0]))):
        raise ContractError(f"{what} neither 0 nor 1 in {len(other):,} rows (e.g. {other[0]:g}).")
    return values.alias(OUTCOME)


def cut(
    table: pl.DataFrame, *, split_at: datetime, outcome_days: float, validation_share: float, rng: np.random.Generator
) -> tuple[dict[str, pl.DataFrame], str]:
    """Parts by name, and in words how the validation part was cut off.

    Rows before `split_at` train, the rest test; rows whose outcome was not known by then are left out.
    """
    first, last = table.select(pl.min(AT), pl.max(AT).alias("last")).row(0)
    if not first < split_at <= last:
        raise ValueError(
            f"split_at is {split_at}; the rows run from {first} to {last}: it must lie after the first and not after "
            "the last, so that both sides have rows."
        )
    before, test = table.filter(pl.col(AT) < split_at), table.filter(pl.col(AT) >= split_at)
    is_known = pl.col(AT) + timedelta(days=outcome_days) <= split_at
    train = before.filter(is_known)
    if train.is_empty():
        raise ValueError(
            f"outcome_days is {outcome_days:g}: no row before {split_at} had its outcome known by then; the rows begin "
            f"on {first}. Choose a later split_at."
        )
    _both(train, f"the training part (before {split_at})", "Choose a later split_at, or look at the outcome.")
    _both(test, f"the test part (from {split_at} on)", "Choose an earlier split_at, or look at the outcome.")
    is_held, how = _held(train, validation_share, rng)
    trees, validation = train.filter(~is_held), train.filter(is_held)
    _both(trees, "what the validation part leaves of the training part", "Lower validation_share.")
    _both(validation, f"the validation part ({how})", "Raise validation_share.")
    return {"trees": trees, "validation": validation, "test": test, "left out": before.filter(~is_known)}, how


def _held(train: pl.DataFrame, share: float, rng: np.random.Generator) -> tuple[pl.Expr, str]:
    """The rows from that moment on which comes nearest to the share; with one moment only, a share of the customers."""
    later = train[AT].value_counts().sort(AT, descending=True).head(-1)  # all moments but the first
    if later.is_empty():
        drawn = some_customers(train[CUSTOMER], share=share, rng=rng)
        told = f"{100 * share:g} % of the customers, as all rows are of one moment"
        return pl.col(CUSTOMER).is_in(drawn.implode()), told
    nearest = (later["count"].cum_sum() / len(train) - share).abs().arg_min() or 0
    start = later[AT][nearest]
    return pl.col(AT) >= start, f"rows from {in_words(start.replace(microsecond=0))} on"


def _both(part: pl.DataFrame, name: str, mend: str) -> None:
    classes = part[OUTCOME].unique().to_list()
    if len(classes) < 2:
        told = f"only outcome {classes[0]:g} in its {len(part):,} rows" if classes else "no rows"
        raise ContractError(f"{name} has {told}; both outcomes are needed. {mend}")


def account(parts: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per part: part, n, n_customers, outcome_share, first, last."""
    told = [
        part.select(
            part=pl.lit(name),
            n=pl.len(),
            n_customers=pl.col(CUSTOMER).n_unique(),
            outcome_share=pl.col(OUTCOME).mean(),
            first=pl.col(AT).min(),
            last=pl.col(AT).max(),
        )
        for name, part in parts.items()
    ]
    return pl.concat(told).cast(PARTS)
