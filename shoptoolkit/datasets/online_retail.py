"""Online Retail (UCI 352): a British wholesaler of gifts, one line per article of an invoice.

In: the table of the publisher's file. Out: `lines` (exact, the same from every form of the file), then `made`: events.
"""

from __future__ import annotations

import polars as pl

from shoptoolkit.datasets.registry import LOGS
from shoptoolkit.datasets.tables import in_units, money, take, texts, times, wholes

_WANTED = {
    "order_id": ("InvoiceNo", "Invoice"),
    "item_id": ("StockCode",),
    "description": ("Description",),
    "pieces": ("Quantity",),
    "local": ("InvoiceDate",),
    "cost": ("UnitPrice", "Price"),
    "customer_id": ("CustomerID",),
    "country": ("Country",),
}
POSTAGE = ("POST", "DOT", "C2")  # postage, postage of the second shop, carriage
# Not articles: manual corrections, discounts, samples, bad debt, fees, commissions. Vouchers (gift_0001_20) are money
# paid ahead: what is bought with them is a line of its own. PADS (to match cushions) and DCGS... are articles.
ADJUSTMENTS = ("M", "D", "S", "B", "CRUK", "AMAZONFEE", "BANK CHARGES")


def lines(table: pl.DataFrame) -> pl.DataFrame:
    """The publisher's lines: pieces (negative when returned), cost in hundredths of pennies, local in British time.

    Descriptions are not exact: the forms of the file differ in their blanks and signs.
    """
    one, raw = LOGS["online_retail"], take(table, _WANTED)
    return raw.with_columns(
        *(texts(raw[name]) for name in ("order_id", "item_id", "country", "description")),
        wholes(raw["pieces"]),
        times(raw["local"], first_day=one.first_day, last_day=one.last_day),
        money(raw["cost"]),
        wholes(raw["customer_id"]),
    ).with_columns(amount=pl.col("pieces") * pl.col("cost"))


def made(given: pl.DataFrame) -> pl.DataFrame:
    """Every line as an event, also those that the contract will set aside (no customer, price below zero)."""
    # An hour that comes twice in autumn is taken the first time; one that the clock skips in spring becomes null, and
    # the contract sets it aside. The shop is shut at both: none of its lines lies there.
    zone = LOGS["online_retail"].timezone
    zoned = pl.col("local").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return given.select(
        "customer_id",
        at=zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None),
        event=pl.when(pl.col("pieces") > 0).then(pl.lit("purchase")).when(pl.col("pieces") <= 0).then(pl.lit("refund")),
        order_id="order_id",
        item_id="item_id",
        category=_category(),
        price=in_units(given["cost"]),
        quantity=pl.col("pieces").abs(),
        country="country",
        description="description",
    )


def _category() -> pl.Expr:
    code = pl.col("item_id").str.to_uppercase()  # one manual correction is an 'm'
    is_adjustment = code.is_in(ADJUSTMENTS) | code.str.starts_with("GIFT_")
    told = pl.when(code.is_in(POSTAGE)).then(pl.lit("postage")).when(is_adjustment).then(pl.lit("adjustment"))
    return told.otherwise(pl.lit("goods"))
