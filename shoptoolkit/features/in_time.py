"""The log in time: one customer after the other, each from the first event to the last.

In: checked Events. Out: `in_time`, the same rows sorted by customer and moment, rows of one moment by their values, so
that the order in which they came never matters; `is_new` and `first_rows` flag each customer's first row in such a log.

A log that is in order already, as a store written per customer is, costs one look. Others are put in order by counting,
not by comparing; and only rows that share customer and moment are compared by their other columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Flags, Ints

_KEYS = ("customer_id", "at")


def in_time(log: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows by customer and moment; at one moment by kind of event (the contract's order), then all other columns.

    `columns`: those wanted back; rows of one moment are in the same order whatever is wanted.
    """
    keys, order = log.select(_KEYS), None
    if not _is_in_order(keys):
        log = log.rechunk()  # from the hundred pieces of a parquet file rows are picked five times as slowly
        order = _order(log)
        keys = log.select(_KEYS)[order]
    if len(tied := _tied(keys)):
        order = np.arange(len(log)) if order is None else order
        order[tied] = order[tied][_by_value(log[order[tied]])]
    wanted = log if columns is None else log.select(columns)
    return wanted if order is None else wanted[order]


def is_new(*keys: str) -> pl.Expr:
    """In sorted rows: is a row the first one of its keys?"""
    return pl.any_horizontal((pl.col(key) != pl.col(key).shift()).fill_null(True) for key in keys)


def first_rows(log: pl.DataFrame) -> Flags:
    """In rows sorted by customer: is a row the first of its customer?"""
    return log.select(is_new("customer_id")).to_series().to_numpy()


def moments(column: pl.Series) -> Ints:
    """Moments as microseconds since 1970."""
    return column.to_physical().to_numpy()


def _is_in_order(keys: pl.DataFrame) -> bool:
    customer, at = (pl.col(name) for name in _KEYS)
    is_back = (customer < customer.shift()) | ((customer == customer.shift()) & (at < at.shift()))
    return not keys.select(is_back.any()).item()


def _order(log: pl.DataFrame) -> Ints:
    from shoptoolkit.features.kernels import by_customer, sort_within

    first, order = by_customer(*_numbers(log["customer_id"]))
    sort_within(first, order, moments(log["at"]))
    return order


def _numbers(customer: pl.Series) -> tuple[Ints, int]:
    """Each row's customer as a number from 0, in the order of their ids, and how many numbers there are."""
    if customer.dtype == pl.Int64:
        ids = customer.to_numpy()
        if (span := int(ids.max()) - int(ids.min()) + 1) < 2 * len(ids):
            return ids - ids.min(), span
    known = customer.unique().sort()
    return customer.replace_strict(known, range(len(known)), return_dtype=pl.Int64).to_numpy(), len(known)


def _tied(keys: pl.DataFrame) -> Ints:
    """Numbers of the rows that share customer and moment with the row before or after."""
    is_same = keys.select((pl.all() == pl.all().shift()).fill_null(False)).select(pl.all_horizontal(_KEYS))
    same = is_same.to_series().to_numpy()
    return np.flatnonzero(same | np.append(same[1:], False))


def _by_value(rows: pl.DataFrame) -> Ints:
    """The order of rows, those of one customer and moment next to each other, by all their values."""
    rest = sorted(set(rows.columns) - {*_KEYS, "event"})
    return rows.select(pl.arg_sort_by(*_KEYS, "event", *rest)).to_series().to_numpy()
