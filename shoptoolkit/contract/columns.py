"""The columns of a frame in the types of its contract, and every fault of the columns in one message.

In: a polars frame. Out: `align` -> the frame cast without loss, with flags of the values that would not go; or one
`ContractError` that lists all that is missing or of a wrong type and guesses which column was meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import time

import polars as pl

from shoptoolkit.contract.schemas import Contract, ContractError, Field

_TYPES = {
    "id": "an integer below 2**63 or String",
    "time": "Datetime",
    "date": "Date",
    "number": "Float64",
    "whole": "Int64",
    "flag": "Boolean",
    "text": "String",
}
OTHER_NAMES = {  # the first that a log has is meant; blanks, case and signs do not matter
    "customer_id": (
        "customer cust_id cust customer_no customer_number user user_id uid visitor_id client_id client household_id "
        "household buyer_id buyer member_id shopper_id account_id visitor member shopper"
    ),
    "at": (
        "ts time timestamp datetime created_at event_time occurred_at invoice_date transaction_timestamp ordered_at "
        "order_date purchase_date transaction_date event_timestamp event_date date created day"
    ),
    "event": "event_type event_name action type behavior behaviour activity",
    "price": "unit_price item_price price_per_unit amount sales_value value total revenue spend paid sales",
    "quantity": "qty units pieces count",
    "order_id": "order order_no order_number invoice invoice_no invoice_id basket_id basket transaction_id receipt",
    "item_id": "item product product_id sku stock_code article article_id",
    "event_id": "uuid hit_id row_id",
    "known_at": "ingested_at received_at loaded_at",
    "category": "product_category item_category category_name department",
    "source": "traffic_source utm_source channel medium referrer",
    "campaign_id": "campaign utm_campaign",
    "watch_seconds": "watch_time seconds_watched dwell_seconds play_seconds",
    "duration_days": "t duration tenure time days durations",
    "repurchased": "e event observed event_observed status returned",
}


_MADE_BY = {"orders": "features.orders(events)", "spells": "survival.repurchase_spells(orders, as_of=...)"}


def aside(name: str, taken: Iterable[str]) -> str:
    """A free name for a column that must make room: `reason` becomes `reason_before`."""
    name, taken = f"{name}_before", set(taken)
    while name in taken:
        name += "_before"
    return name


def bare(name: str) -> str:
    """A column's name without case, blanks and signs: `User ID` and `user_id` are one."""
    return "".join(filter(str.isalnum, name.lower()))


def align(
    frame: pl.DataFrame, contract: Contract, told: Mapping[str, str]
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """Columns cast to the contract's types, and flags of values that got lost; hopeless columns are told together."""
    names = frame.columns
    missing = [name for name in contract.required if name not in names]
    present = {name: one for name, one in contract.fields.items() if name in names}
    casts = {name: None if name in told else _cast(frame[name], one) for name, one in present.items()}
    wrong = [told.get(name, _mistyped(name, frame, one)) for name, one in present.items() if casts[name] is None]
    if missing or wrong:
        raise ContractError(_column_faults(contract, names, missing, wrong))
    aligned = frame.with_columns(cast for cast in casts.values() if cast is not None)
    narrowed = [name for name, one in present.items() if one.kind == "whole" and frame.schema[name] not in _NARROW]
    lost = {name: aligned[name].is_null() & frame[name].is_not_null() for name in narrowed}
    return aligned, {name: flags for name, flags in lost.items() if flags.any()}


def _mistyped(name: str, frame: pl.DataFrame, one: Field) -> str:
    return f"'{name}' is {frame.schema[name]}, must be {_TYPES[one.kind]}"


def _cast(series: pl.Series, one: Field) -> pl.Expr | None:
    """The expression that brings a column to its kind, or None; fractions in a column of whole numbers become null."""
    dtype, column = series.dtype, pl.col(series.name)
    if dtype == pl.Null:  # a column without a single value has no type yet
        return column.cast(_DTYPES[one.kind])
    if one.kind == "id":
        return _cast_id(series, blank_is_null=one.nullable)
    if one.kind == "time":
        return _cast_time(dtype, column)
    if one.kind == "date":
        return _cast_date(series)
    if one.kind == "number":
        return column.cast(pl.Float64) if dtype.is_numeric() else None
    if one.kind == "whole":
        whole = pl.when(column == column.floor()).then(column).cast(pl.Int64, strict=False)
        return (column.cast(pl.Int64) if dtype in _NARROW else whole) if dtype.is_numeric() else None
    if one.kind == "flag":
        return column.cast(pl.Boolean) if dtype == pl.Boolean or _is_flag(series) else None
    if one.values and dtype == pl.Enum(one.values):
        return column  # a closed list is kept as it is: turned into text and back, it would cost most of the check
    is_number = dtype.is_integer() and not one.values  # categories and sources may be numbered
    return column.cast(pl.String) if dtype in _TEXTS or is_number else None


_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_NARROW = (pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt32, pl.UInt16, pl.UInt8)  # they fit into Int64
_DTYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "time": pl.Datetime("us"),
    "date": pl.Date,
    "number": pl.Float64,
    "whole": pl.Int64,
    "flag": pl.Boolean,
    "text": pl.String,
}


def _cast_id(series: pl.Series, *, blank_is_null: bool) -> pl.Expr | None:
    column = pl.col(series.name)
    if series.dtype in _TEXTS:
        text = column.cast(pl.String)
        return pl.when(text.str.strip_chars() != "").then(text) if blank_is_null else text
    if series.dtype in _NARROW:
        return column.cast(pl.Int64)
    return column.cast(pl.Int64) if series.dtype.is_numeric() and _is_whole(series) else None


def _cast_time(dtype: pl.DataType, column: pl.Expr) -> pl.Expr | None:
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if not isinstance(dtype, pl.Datetime):
        return None
    zoned = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
    return zoned.dt.cast_time_unit("us")


def _cast_date(series: pl.Series) -> pl.Expr | None:
    """Dates, and midnights: pandas has no dates. A time of day is not cut off."""
    if series.dtype == pl.Date:
        return pl.col(series.name)
    if not isinstance(series.dtype, pl.Datetime):
        return None
    is_midnight = (series.dt.time() == time()).fill_null(True).all()
    return pl.col(series.name).dt.replace_time_zone(None).dt.date() if is_midnight else None


def _is_whole(series: pl.Series) -> bool:
    """Whole numbers within Int64: pandas turns integer ids with gaps into floats, warehouses into decimals."""
    known = series.drop_nulls()
    return bool((known == known.floor()).all()) and known.cast(pl.Int64, strict=False).null_count() == 0


def _is_flag(series: pl.Series) -> bool:
    return series.dtype.is_numeric() and bool(((series == 0) | (series == 1)).all())


def _column_faults(contract: Contract, names: list[str], missing: list[str], wrong: list[str]) -> str:
    told = [f"'{name}' is missing" for name in missing] + wrong
    text = f"{contract.name}: {'; '.join(told)}. It has: {', '.join(names) or 'no columns'}."
    pairs = {theirs: ours for ours in missing if (theirs := _guess(ours, names, contract))}
    if pairs:
        hint = ", ".join(f'"{theirs}": "{ours}"' for theirs, ours in pairs.items())
        text += (
            f" If {' and '.join(f'{t!r} is your {o!r}' for t, o in pairs.items())}, pass columns={{{hint}}} or rename."
        )
    if made_by := _MADE_BY.get(contract.name) if missing else None:
        text += f" {contract.name.capitalize()} are made by {made_by}."
    if any("must be Datetime" in one for one in wrong):
        text += " Text and numbers are turned into timestamps by contract.read_events."
    return text


def _guess(ours: str, names: list[str], contract: Contract) -> str | None:
    """Which of the columns present probably is the one that is missing."""
    free = {bare(name): name for name in reversed(names) if name not in contract.fields}
    known = [name for name in map(bare, OTHER_NAMES.get(ours, "").split()) if name in free]
    close = known or difflib.get_close_matches(bare(ours), free, n=1, cutoff=0.75)
    return free[close[0]] if close else None
