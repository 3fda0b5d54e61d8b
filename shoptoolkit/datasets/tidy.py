"""A public set as its contract wants it, with every line of the publisher accounted for.

In: a name, and a file or a data folder. Out: `contract.Checked`, or the table of a set that is no log. Reading order:
`load` (find or fetch, then tidy), `tidy`, `fingerprint` (is this the published content, whatever the file's form?).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from shoptoolkit.contract import Checked, Events, check
from shoptoolkit.datasets import cdnow, hillstrom, online_retail, online_shoppers
from shoptoolkit.datasets.download import fetch
from shoptoolkit.datasets.registry import DataSet, Fingerprint, about, find
from shoptoolkit.datasets.tables import read_table

_MAKERS = {"online_retail": online_retail, "cdnow": cdnow, "online_shoppers": online_shoppers, "hillstrom": hillstrom}
_SUMS = {"quantity": "pieces", "amount": "amount"}
_WORDS = {
    "rows": "rows",
    "quantity": "pieces",
    "amount": "amount in hundredths of pennies",
    "sha256": "hash of the rows",
}


def load(name: str, *, folder: str | Path | None = None) -> Checked | pl.DataFrame:
    """A public data set, from the data folder or else from its publisher.

    Parameters
    ----------
    name
        One of `available()`.
    folder
        The data folder; the set's file lies in `folder/name/`. None: the `data` folder of the project around the
        working folder, or else ./data.

    Returns
    -------
    Checked | pl.DataFrame
        As from `tidy`.

    Raises
    ------
    ValueError
        No such set, or the file in the folder is not the published content.
    DownloadError
        No file there and none to be had; the message says what to put where.
    """
    return tidy(name, find(name, folder=folder) or fetch(name, folder=folder))


def tidy(name: str, path: str | Path, *, whole: bool = True) -> Checked | pl.DataFrame:
    """A publisher's file, or our parquet, brought to the contract; no line is lost.

    Parameters
    ----------
    name
        One of `available()`.
    path
        online_retail: xlsx, csv or parquet with InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice,
        CustomerID, Country. cdnow: text in columns, csv or parquet with customer, date, quantity, value.
        online_shoppers, hillstrom: csv or parquet with the publisher's columns.
    whole
        Must the file be the whole published set? False for a part of it.

    Returns
    -------
    Checked | pl.DataFrame
        Events: customer_id, at (UTC), event (purchase, refund), order_id, price (of one piece; GBP, USD), quantity.
        online_retail also has item_id, category (goods, postage, adjustment), country, description; lines without a
        customer or with a price below zero are quarantined, under the same column names. In cdnow each line is an
        order, and `at` is noon of the local day. online_shoppers is no log, but a frame with one row per session, and
        hillstrom Outcomes with one row per customer; their columns stand in `datasets/online_shoppers.py` and
        `datasets/hillstrom.py`.

    Raises
    ------
    ValueError
        No such set or file; missing columns; values that cannot be read; content other than the published one.
    """
    one, path = about(name), Path(path)
    maker = _MAKERS[name]
    try:
        lines = maker.lines(read_table(path, headless=one.columns))
    except ValueError as error:
        raise ValueError(f"{name}, {path}: {error}") from error
    if whole:
        _must_be_whole(one, path, fingerprint(lines))
    made = maker.made(lines)
    return check(made, Events) if one.returns == "Events" else made


def fingerprint(lines: pl.DataFrame) -> Fingerprint:
    """What the lines of a set add up to, the same for xlsx, csv, text and parquet, in any order of rows.

    Each line as text: its columns but the description, with | between them, times as 2010-12-01 08:26, null as nothing;
    the lines sorted by their bytes, a line feed between them. Our own form, so that no library's version can change it.
    """
    times = pl.selectors.datetime().dt.to_string("%Y-%m-%d %H:%M")
    told = lines.drop("description", strict=False).with_columns(times).cast(pl.String).fill_null("")
    rows = told.select(pl.concat_str(pl.all(), separator="|")).to_series().sort()
    sums = {name: int(lines[column].sum()) for name, column in _SUMS.items() if column in lines.columns}
    return Fingerprint(rows=len(lines), sha256=hashlib.sha256("\n".join(rows).encode()).hexdigest(), **sums)


def _must_be_whole(one: DataSet, path: Path, found: Fingerprint) -> None:
    """Raise ValueError that tells each difference from the published content."""
    if found == one.fingerprint:
        return
    told = []
    for name in _WORDS:
        ours, theirs = getattr(found, name), getattr(one.fingerprint, name)
        if ours != theirs:
            shown = [f"{value:,}" if isinstance(value, int) else f"{value[:12]}…" for value in (ours, theirs)]
            told.append(f"{_WORDS[name]} {shown[0]}, published {shown[1]}")
    raise ValueError(
        f"{path} is not the published {one.name}: {'; '.join(told)}. "
        f"Fetch it anew from {one.page}, or pass whole=False to tidy for a part of the data."
    )
