"""Log and requests on one line: what every feature at a moment starts from.

In: Events and Requests. Out: `read_pair` -> both in the contract's types, of one kind of customer; `timeline` -> a
`Timeline` for the walks of kernels.py, and the rows of the log in its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, Requests, require
from shoptoolkit.features.in_time import moments

if TYPE_CHECKING:
    from shoptoolkit.contract.arrays import Ints
    from shoptoolkit.features.kernels import Timeline

DAY = 86_400_000_000  # microseconds


def read_pair(events: Any, requests: Any, *, made: Iterable[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Requests and log in the contract's types; no column of the requests may have a name of those to be `made`."""
    asked, log = require(requests, Requests), require(events, Events)
    ours, theirs = asked.schema["customer_id"], log.schema["customer_id"]
    if ours != theirs:
        raise ContractError(
            f"requests: 'customer_id' is {ours}, and {theirs} in the events, so no customer is in both; cast one."
        )
    made = set(made)
    if taken := [name for name in asked.columns if name in made]:
        raise ContractError(
            f"requests: {', '.join(map(repr, taken))} would be overwritten by features of that name; rename or drop."
        )
    return asked, log


def timeline(
    asked: pl.DataFrame, log: pl.DataFrame, *, columns: Sequence[str], ties: Sequence[str] = ()
) -> tuple[Timeline, pl.DataFrame]:
    """Requests and log on one line, and `columns` of the log in its order; customers nobody asks about are left out.

    Rows of a customer at one moment stand in the order of the columns `ties`.
    """
    from shoptoolkit.features.kernels import Timeline, by_customer, sort_within

    customers = asked["customer_id"].unique()
    first_request, row = by_customer(numbered(asked["customer_id"], customers), len(customers))
    sort_within(first_request, row, as_of := moments(asked["as_of"]))
    first_event, order = by_customer(numbered(log["customer_id"], customers), len(customers))
    sort_within(first_event, order, moments(log["at"]))
    order = _untied(order, first_event, log, ties) if ties else order
    rows = log.select(name for name in dict.fromkeys(("at", *columns)) if name in log.columns).rechunk()[order]
    at, arrival = moments(rows["at"]), np.arange(len(order))
    known_at = moments(rows["known_at"].fill_null(rows["at"])) if "known_at" in rows.columns else at
    sort_within(first_event, arrival, known_at)
    return Timeline(first_event, at, known_at, arrival, first_request, as_of[row], row), rows


def numbered(column: pl.Series, values: pl.Series) -> Ints:
    """The place of each value among `values`, all different; -1 for those that are not among them, and for null."""
    places = values.alias("value").to_frame().with_row_index("number")
    found = column.alias("value").to_frame().join(places, on="value", how="left", maintain_order="left")
    return found["number"].cast(pl.Int64).fill_null(-1).to_numpy()


def _untied(order: Ints, first_event: Ints, log: pl.DataFrame, ties: Sequence[str]) -> Ints:
    """The order with rows of one customer and moment sorted by `ties`: only they are sorted, as they are few."""
    at = moments(log["at"])[order]
    is_new = np.ones(len(order) + 1, dtype=bool)
    is_new[1:-1] = np.diff(at) != 0
    is_new[first_event] = True
    places = np.flatnonzero(~(is_new[:-1] & is_new[1:]))
    tied = log.select(ties)[order[places]].with_columns(__moment=pl.Series(np.cumsum(is_new)[places]))
    in_order = tied.with_row_index("__row").sort("__moment", *ties)["__row"]
    order[places] = order[places][in_order.to_numpy()]
    return order
