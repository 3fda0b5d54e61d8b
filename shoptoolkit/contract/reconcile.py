"""Where did every row go? An account from raw lines over Events and Orders to Spells.

In: the frames of the way, as far as they exist. Out: `Reconciliation`, whose parts add up to their step.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from shoptoolkit.contract.check import Checked, choose, to_polars
from shoptoolkit.contract.clock import local_day
from shoptoolkit.contract.lines import line_amount, moves_money, order_key
from shoptoolkit.contract.show import html_table

_COUNTS = ("rows", "customers", "orders", "amount")
_COUNTED = {
    "customer_id": pl.String,
    "order_id": pl.String,
    "event": pl.String,
    "price": pl.Float64,
    "quantity": pl.Float64,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reconciliation:
    """An account of every row.

    `table`: step, part, rows, customers, orders (or invoices), amount (purchases less refunds). `currency`: of the
    amounts, where it is told.
    """

    table: pl.DataFrame
    currency: str = ""

    def __repr__(self) -> str:
        wide = max(len(part) for part in self.table["part"])
        lines = [f"{'':{wide}}{'rows':>10}{'customers':>11}{'orders':>9}{'amount':>16}"]
        for row in self.table.to_dicts():
            cells = [f"{row[name]:,}" if row[name] is not None else "" for name in _COUNTS[:3]]
            amount = f"{row['amount']:,.2f}" if row["amount"] is not None else ""
            lines.append(f"{row['part']:{wide}}{cells[0]:>10}{cells[1]:>11}{cells[2]:>9}{amount:>16}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        indented = self.table.drop("step").with_columns(pl.col("part").str.replace_all("  ", "\u2003"))
        note = "The parts of a step add up to its first line; further in: some of the line above. Amount: "
        note += f"{self.currency}, less refunds" if self.currency else "less refunds"
        return html_table(indented, title="Where every row went", note=note, decimals={"amount": 2})


def reconcile(
    checked: Checked,
    *,
    orders: pl.DataFrame | None = None,
    spells: pl.DataFrame | None = None,
    split: str | None = None,
    timezone: str = "UTC",
    currency: str = "",
) -> Reconciliation:
    """Account for every row: lines = events + quarantine, events = purchases + refunds + others, and so on.

    Parameters
    ----------
    checked
        What `read_events`, `check` or `datasets.load` returned.
    orders, spells
        What `features.orders` and `survival.repurchase_spells` (one index spell per customer) made of `checked.good`.
    split
        A text column of the events, e.g. "category": purchases and refunds are told for each of its values.
    timezone
        Where the shop's days begin: orders on one day are one occasion.
    currency
        A word for the amounts, such as "EUR".

    Returns
    -------
    Reconciliation
        Rows and amounts of the parts of a step (lines, events, orders, spells) add up to its first row; one customer
        may stand in several parts. A line set aside for several faults is told under the first.

    Raises
    ------
    ValueError
        `split` is no column of the events, or `spells` has several spells of one customer.
    """
    if split is not None:
        choose("split", split, checked.good.columns)
    lines = pl.concat([_counted(checked.good), _counted(checked.quarantined)], how="diagonal")
    rows = [_row("lines", "all lines", lines)]
    rows.append(("lines within", "    alike to an earlier line, none removed", _alike(checked), None, None, None))
    first_reason = pl.col("reason").str.split("; ").list.first()  # a row with several faults is told once
    for (reason,), part in checked.quarantined.group_by(first_reason, maintain_order=True):
        rows.append(_row("lines", f"  set aside: {reason}", part))
    rows.append(_row("lines", "  events", checked.good))
    rows += _of_events(checked.good, split)
    if orders is not None:
        rows += _of_orders(checked.good, to_polars(orders), timezone)
    if orders is not None and spells is not None:
        rows += _of_spells(to_polars(orders), to_polars(spells))
    schema = {
        "step": pl.String,
        "part": pl.String,
        "rows": pl.Int64,
        "customers": pl.Int64,
        "orders": pl.Int64,
        "amount": pl.Float64,
    }
    return Reconciliation(table=pl.DataFrame(rows, schema=schema, orient="row"), currency=currency)


_Row = tuple[str, str, int | None, int | None, int | None, float | None]


def _row(step: str, part: str, frame: pl.DataFrame) -> _Row:
    """Rows, customers, orders and signed amount of lines; null where the column is not there."""
    counted = _counted(frame)

    def distinct(name: str) -> int | None:
        return counted[name].drop_nulls().n_unique() if name in counted.columns else None

    amount = None
    if {"price", "event"} <= set(counted.columns):
        amount = float(counted.select(_signed_amount(counted)).sum().item() or 0.0)
    return step, part, len(frame), distinct("customer_id"), distinct("order_id"), amount


def _counted(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns that are counted, in one type for good rows and for those set aside as they were given."""
    return frame.select(_plain(frame[name], dtype) for name, dtype in _COUNTED.items() if name in frame.columns)


def _plain(series: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    if series.dtype == pl.String:
        bare = series.str.strip_chars()
        series = bare if dtype == pl.Float64 else series.set(bare == "", None)
    elif dtype == pl.String and series.dtype.is_numeric():
        series = series.cast(pl.Int64, strict=False)
    return series.cast(dtype, strict=False)


def _signed_amount(frame: pl.DataFrame) -> pl.Expr:
    sign = (
        pl.col("event").cast(pl.String).replace_strict({"purchase": 1, "refund": -1}, default=0, return_dtype=pl.Int8)
    )
    return sign * line_amount(frame.columns).fill_null(0)


def _alike(checked: Checked) -> int:
    """Lines alike in every column to an earlier one, among the good and among those set aside."""
    aside = checked.quarantined.drop("row", "reason", "event_id", strict=False)
    kept = checked.faults.filter(pl.col("action") == "kept")["rows"].sum()
    return int(kept) + len(aside) - (aside.n_unique() if len(aside) else 0)


def _of_events(events: pl.DataFrame, split: str | None) -> list[_Row]:
    rows = [_row("events", "of the events", events)]
    for event in ("purchase", "refund"):
        part = events.filter(pl.col("event") == event)
        rows.append(_row("events", f"  {event}s", part))
        if "price" in events.columns and len(free := part.filter(pl.col("price") == 0)):
            rows.append(
                _row("events within", f"    {event}s with a price above zero", part.filter(pl.col("price") > 0))
            )
            rows.append(_row("events within", f"    {event}s at price zero, kept", free))
        if split is not None:
            for (value,), group in part.sort(split).group_by(split, maintain_order=True):
                rows.append(_row("events within", f"    {event}s: {value}", group))
    other = events.filter(moves_money().not_())
    return [*rows, _row("events", "  other events", other)]


def _of_orders(events: pl.DataFrame, orders: pl.DataFrame, timezone: str) -> list[_Row]:
    paid, free = (orders.filter(test) for test in (pl.col("gross_revenue") > 0, pl.col("gross_revenue") == 0))
    days = paid.select("customer_id", local_day("ordered_at", timezone=timezone)).n_unique()
    customers = paid["customer_id"].n_unique()
    return [
        *_in_the_log(events, orders),
        _order_row("orders seen", "of the orders looked at", orders),
        _order_row("orders seen", "  paid", paid),
        _order_row("orders seen", "  nothing paid", free),
        ("occasions", "of the paid orders", len(paid), customers, len(paid), None),
        ("occasions", "  first of a customer", customers, None, customers, None),
        ("occasions", "  further ones on the same day", len(paid) - days, None, len(paid) - days, None),
        ("occasions", "  on later days", days - customers, None, days - customers, None),
    ]


def _in_the_log(events: pl.DataFrame, orders: pl.DataFrame) -> list[_Row]:
    """Purchases and refunds of the log against the orders made of them (up to the day not looked at)."""
    bought = events.filter(pl.col("event") == "purchase")
    count = bought.select("customer_id", number=order_key(events.columns)).n_unique()
    gross, back = (
        float(_row("", "", events.filter(pl.col("event") == kind))[5] or 0.0) for kind in ("purchase", "refund")
    )
    gone = gross - float(orders["gross_revenue"].sum()), -back - float(orders["refunded"].sum())
    beyond = count - len(orders)
    return [
        ("orders", "orders in the log", count, bought["customer_id"].n_unique(), count, gross),
        _order_row("orders", "  looked at", orders),
        ("orders", "  after the days looked at", beyond, None, beyond, 0.0 + round(gone[0], 2)),
        ("refunds", "refunds in the log", None, None, None, back),
        ("refunds", "  set against an order", None, None, None, 0.0 - float(orders["refunded"].sum())),
        ("refunds", "  of no order looked at, or later", None, None, None, 0.0 - round(gone[1], 2)),
    ]


def _order_row(step: str, part: str, frame: pl.DataFrame) -> _Row:
    return step, part, len(frame), frame["customer_id"].n_unique(), len(frame), float(frame["gross_revenue"].sum())


def _of_spells(orders: pl.DataFrame, spells: pl.DataFrame) -> list[_Row]:
    if spells["customer_id"].n_unique() < len(spells):
        raise ValueError("spells has several spells of one customer; the account takes one index spell each.")
    everybody = orders.group_by("customer_id").agg(is_paying=(pl.col("gross_revenue") > 0).any())
    without = everybody.join(spells, on="customer_id", how="anti")["is_paying"]
    told = [
        ("customers with an order looked at", len(everybody)),
        ("  came back", int(spells["repurchased"].sum())),
        ("  not yet back (censored)", int((~spells["repurchased"]).sum())),
        ("  no spell: nothing paid", int((~without).sum())),
        ("  no spell: no order that starts one, or no day after it", int(without.sum())),
    ]
    return [("spells", part, count, count, None, None) for part, count in told]
