"""Other durations as spells: the delay from click to conversion, the price needed to win an auction.

In: clicks; Auctions. Out: `conversion_spells`, `win_price_spells`: Spells that every estimator of this room takes.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl

from shoptoolkit.contract import Auctions, Contract, ContractError, require, to_polars
from shoptoolkit.contract.check import choose
from shoptoolkit.contract.clock import moment
from shoptoolkit.contract.schemas import Field

_Clicks = Contract(
    name="clicks",
    fields={"at": Field(kind="time", nullable=True), "converted_at": Field(kind="time", nullable=True)},
    rules={
        "converted_at is before the click": (("at", "converted_at"), lambda: pl.col("converted_at") >= pl.col("at"))
    },
)


def conversion_spells(
    clicks: Any,
    *,
    as_of: datetime | date | str,
    clicked: str = "at",
    converted: str = "converted_at",
    timezone: str = "UTC",
) -> pl.DataFrame:
    """How long from each click to its conversion, counted to `as_of` where none has come yet?

    Parameters
    ----------
    clicks
        Touches, or Auctions with `clicked="clicked_at"`: one row per click, `converted` null where none is known. Rows
        without a click are left out, and those from `as_of` on.
    as_of
        Conversions from this moment on are not known yet: their clicks are censored.
    clicked, converted
        Columns with the moments.
    timezone
        Of an `as_of` that is a day.

    Returns
    -------
    pl.DataFrame
        Spells: duration_days (with fractions; a conversion in the moment of its click counts a microsecond),
        repurchased (converted), started_at (the click), and the other columns. Each row is a click: pass the auction as
        `id=`, or `cluster="customer_id"` where customers click several times. Most clicks never convert: read the curve
        up to a day, it need not fall to 0.

    Raises
    ------
    ContractError
        A column is missing or no datetime, a conversion precedes its click, or no click lies before `as_of`.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> clicks = pl.DataFrame({"at": [datetime(2025, 1, 1), datetime(2025, 1, 2)],
    ...                        "converted_at": [datetime(2025, 1, 3), None]})
    >>> conversion_spells(clicks, as_of="2025-01-08").select("duration_days", "repurchased").rows()
    [(2.0, True), (6.0, False)]
    """
    end = pl.lit(moment(as_of, timezone=timezone)).cast(pl.Datetime("us"))
    clicks = to_polars(clicks)
    if absent := [name for name in (clicked, converted) if name not in clicks.columns]:
        raise ContractError(f"clicks: no column {', '.join(map(repr, absent))}. It has: {', '.join(clicks.columns)}.")
    table = require(clicks, _Clicks, rename={clicked: "at", converted: "converted_at"}).filter(pl.col("at") < end)
    if table.is_empty():
        raise ContractError(f"clicks: none lies before as_of = {as_of}.")
    is_known = (pl.col("converted_at") < end).fill_null(False)
    until = pl.when(is_known).then("converted_at").otherwise(end)
    waited = (until - pl.col("at")).dt.total_microseconds().clip(1) / 86_400_000_000
    return table.select(
        pl.exclude("at", "converted_at"), duration_days=waited, repurchased=is_known, started_at=pl.col("at")
    )


def win_price_spells(auctions: Any, *, ties: str = "won") -> pl.DataFrame:
    """What price was needed to win each auction? A loss says only that its bid was too low.

    Parameters
    ----------
    auctions
        Auctions. The price to win is `price_to_win` where the exchange tells it, and in second price what a winner
        paid.
    ties
        What becomes of a bid that equals the price to win. "won": a loss is censored at its bid. "lost": just below
        it, since such a bid could not have seen the price.

    Returns
    -------
    pl.DataFrame
        Spells: auction_id, duration_days (a price, in the currency of the bids; 0 becomes half of the least positive
        price or bid), repurchased (the price was seen), and the other columns. `kaplan_meier(..., id="auction_id")` is
        then the share of auctions that a bid does not win (rule R6); it is null above the highest bid, and holds where
        bids do not follow prices within a group: split with `by=`. A bid of 0 that lost says nothing and is left out.

    Raises
    ------
    ContractError
        The auctions break their contract, a win shows no price to win (as in first price), or price and outcome do not
        fit.

    References
    ----------
    Wang, Zhang, Zhang, Yu and Wang (2016), Functional bid landscape forecasting, ECML-PKDD; Amin et al. (2012).

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> auctions = pl.DataFrame({"auction_id": [1, 2], "at": datetime(2025, 1, 1), "bid": [3.0, 2.0],
    ...                          "won": [True, False], "price": [1.5, None], "mechanism": "second"})
    >>> win_price_spells(auctions).select("auction_id", "duration_days", "repurchased").rows()
    [(1, 1.5, True), (2, 2.0, False)]
    """
    choose("ties", ties, ("won", "lost"))
    table = require(auctions, Auctions)
    for name in {"price", "price_to_win"} - set(table.columns):
        table = table.with_columns(pl.lit(None, dtype=pl.Float64).alias(name))
    paid = pl.when(pl.col("won") & (pl.col("mechanism") == "second")).then("price")
    table = table.with_columns(__price=pl.coalesce("price_to_win", paid))
    _refuse_unseen(table)
    positive = pl.concat([table["bid"], table["__price"]])
    free = pl.lit(positive.filter(positive > 0).min(), dtype=pl.Float64) / 2
    is_seen = pl.col("__price").is_not_null()
    bid = pl.col("bid") if ties == "won" else pl.col("bid") * (1 - 1e-12)
    at = pl.when(is_seen).then(pl.when(pl.col("__price") > 0).then("__price").otherwise(free)).otherwise(bid)
    spells = table.select("auction_id", pl.exclude("auction_id", "__price"), duration_days=at, repurchased=is_seen)
    return spells.filter(pl.col("duration_days") > 0)


def _refuse_unseen(table: pl.DataFrame) -> None:
    unseen = table.filter(pl.col("won") & pl.col("__price").is_null())
    if len(unseen):
        raise ContractError(
            f"auctions: {len(unseen):,} of {int(table['won'].sum()):,} wins show no price to win (mechanism "
            f"{', '.join(unseen['mechanism'].unique().sort())}): in first price a win shows only one's own bid. Fit "
            "P(win | bid) by isotonic regression instead, or give price_to_win."
        )
    odd = (pl.col("won") & (pl.col("__price") > pl.col("bid"))) | (~pl.col("won") & (pl.col("__price") < pl.col("bid")))
    if n := table.select(odd.fill_null(False).sum()).item():
        raise ContractError(
            f"auctions: in {n:,} the price to win does not fit the outcome (won above the bid, or lost below it); set "
            "aside auctions decided by something else, such as a floor or a quality score."
        )
