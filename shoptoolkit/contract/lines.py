"""What a line of the log says of money: said once for the check, the orders, the features and the account.

In: the columns that a log has. Out: expressions: `moves_money`, `pieces`, `line_amount`, `order_key`.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl


def moves_money() -> pl.Expr:
    """True for a purchase or a refund."""
    return pl.col("event").is_in(["purchase", "refund"])


def pieces(columns: Collection[str]) -> pl.Expr:
    """How many of the article; a line without a quantity is one piece."""
    return pl.col("quantity").fill_null(1) if "quantity" in columns else pl.lit(1)


def line_amount(columns: Collection[str]) -> pl.Expr:
    """What a line comes to: price times pieces, null where the log has no price."""
    return pl.col("price") * pieces(columns) if "price" in columns else pl.lit(None, pl.Float64)


def order_key(columns: Collection[str]) -> pl.Expr:
    """The number of a line's order as text; without one, what a customer bought at one moment is one order."""
    moment = pl.format("{}@{}", "customer_id", "at")
    return pl.coalesce(pl.col("order_id").cast(pl.String), moment) if "order_id" in columns else moment
