"""CDNOW: all who first bought at a music shop in the first quarter of 1997, and what they bought for 18 months.

In: the table of the publisher's file. Out: `lines` (exact, the same from every form of the file), then `made`: events.
"""

from __future__ import annotations

import polars as pl

from shoptoolkit.datasets.registry import LOGS
from shoptoolkit.datasets.tables import in_units, money, take, times, wholes

_WANTED = {
    "customer_id": ("customer_id", "id"),
    "local": ("date",),
    "pieces": ("quantity", "number_of_cds", "cds"),
    "amount": ("value", "dollar_value", "dollars"),
}


def lines(table: pl.DataFrame) -> pl.DataFrame:
    """The publisher's lines: customer, local day, pieces, and the amount for all of them in hundredths of cents."""
    one, raw = LOGS["cdnow"], take(table, _WANTED)
    return raw.with_columns(
        wholes(raw["customer_id"]),
        times(raw["local"], first_day=one.first_day, last_day=one.last_day),
        wholes(raw["pieces"]),
        money(raw["amount"]),
    )


def made(given: pl.DataFrame) -> pl.DataFrame:
    """Every line as a purchase; the 80 lines with nothing to pay stay, at price zero (no line has no pieces)."""
    # Only days are known. Noon in New York is the same date in UTC and, unlike midnight, stays on it either way.
    noon = pl.col("local").dt.truncate("1d").dt.offset_by("12h").dt.replace_time_zone(LOGS["cdnow"].timezone)
    # Two lines on one day are two transactions. They are numbered in the order of their content, not of the file.
    day = pl.col("local").dt.to_string("%Y%m%d")
    numbered = (
        given.with_columns(paid=in_units(given["amount"]))
        .with_row_index("row")
        .sort("customer_id", "local", "pieces", "amount", "row")
    )
    number = pl.int_range(1, pl.len() + 1).over("customer_id", "local")
    return (
        numbered.with_columns(order_id=pl.concat_str("customer_id", day, number, separator="-"))
        .sort("row")
        .select(
            "customer_id",
            at=noon.dt.convert_time_zone("UTC").dt.replace_time_zone(None),
            event=pl.lit("purchase"),
            order_id="order_id",
            price=pl.col("paid") / pl.col("pieces"),  # of one CD; times pieces it is the amount, to the cent
            quantity="pieces",
        )
    )
