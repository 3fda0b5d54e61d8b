"""Check a frame against its contract: good rows go on, bad rows are set aside with the reason, nothing is lost.

In: any frame with the Arrow PyCapsule interface. Out: `Checked(good, quarantined, faults)`, or one `ContractError` that lists
every fault of the columns. `check` sets bad rows aside; `require`, for the doors of functions, refuses them; `to_polars`
converts once; `check_level` and `choose` check plain arguments. All shared checks of the package live here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dataframely as dy
import polars as pl

from shoptoolkit.contract.schemas import Contract, ContractError, Events, Field
from shoptoolkit.contract.show import html_table

_ROW = "__row"  # the row's number in the frame as given, carried through the filter
_TYPES = {
    "id": "an integer or String",
    "time": "Datetime",
    "date": "Date",
    "number": "Float64",
    "whole": "Int64",
    "flag": "Boolean",
    "text": "String",
}
_OTHER_NAMES = {
    "customer_id": "customer customerid cust_id user user_id userid uid visitor_id visitorid client_id household_id buyer_id",
    "at": "ts time timestamp date datetime created_at event_time occurred_at invoicedate transaction_timestamp ordered_at",
    "event": "event_type eventtype event_name action type behavior behaviour activity",
    "price": "unit_price unitprice item_price amount",
    "quantity": "qty units count",
    "order_id": "order orderid invoice invoiceno invoice_id basket_id transaction_id",
    "item_id": "item itemid product product_id productid sku stockcode",
    "duration_days": "t duration tenure time days durations",
    "repurchased": "e event observed event_observed status returned",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """A checked frame: what is good, what was set aside and why.

    `good`: rows that keep the contract, columns in its types. `quarantined`: the other rows as they were given, plus `row`
    (their number in the input, from 0) and `reason`. `faults`: rule, action (quarantined or kept), rows, example.
    """

    good: pl.DataFrame
    quarantined: pl.DataFrame
    faults: pl.DataFrame

    def __repr__(self) -> str:
        lines = [f"{len(self.good):,} good rows, {len(self.quarantined):,} in quarantine"]
        lines += [f"  {f['rows']:,} {f['action']}: {f['rule']} (e.g. {f['example']})" for f in self.faults.to_dicts()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        note = f"{len(self.good):,} good rows, {len(self.quarantined):,} in quarantine"
        return html_table(self.faults, title="Contract check", note=note)


def check(frame: Any, contract: Contract) -> Checked:
    """Does every row keep the contract? Sets aside those that do not, with the reason.

    Parameters
    ----------
    frame
        A polars frame (eager or lazy), or anything with the Arrow PyCapsule interface: pandas, pyarrow, DuckDB.
        Columns that the contract does not know are kept.
    contract
        What the frame must be, e.g. `contract.Events`.

    Returns
    -------
    Checked
        `good`, `quarantined` (with `row` and `reason`) and `faults` (a count and an example for each rule). Of rows with a
        repeated `event_id` the first is kept. Rows that are alike in every column are counted and kept: a shop sells two
        of the same thing.

    Raises
    ------
    ContractError
        A required column is missing, or a column has a type that cannot be understood. All are listed at once.
    """
    return check_parsed(given := to_polars(frame), given, contract, {})


def check_parsed(
    given: pl.DataFrame,
    parsed: pl.DataFrame,
    contract: Contract,
    unread: Mapping[str, pl.Series],
    *,
    count_alike: bool = True,
) -> Checked:
    """`check` for a frame whose text was parsed first: `unread` maps a column -> flags of values that could not be read."""
    aligned = _align(parsed, contract)
    extra = {f"__unread_{name}": flags for name, flags in unread.items()}
    rules = {
        f"{name} cannot be read as a {contract.fields[name].kind}": pl.col(f"__unread_{name}").not_() for name in unread
    }
    for text, rule in _rules(aligned, contract).items():  # an unreadable value has one fault, not also that of a null
        known = [pl.col(f"__unread_{name}") for name in unread if name in rule.meta.root_names()]
        rules[text] = pl.any_horizontal(rule, *known) if known else rule
    numbered = aligned.with_columns(**extra).with_row_index(_ROW)
    good, failure = _schema(numbered, rules).filter(numbered)
    good = good.drop(_ROW, *extra)
    details = failure.details() if len(failure) else None
    faults = [] if details is None else _faults(details, given, list(rules))
    if count_alike and contract is Events and (alike := _look_alikes(good)):
        faults.append(alike)
    return Checked(
        good=_to_enums(good, contract),
        quarantined=_quarantine(details, given, list(rules)),
        faults=pl.DataFrame(
            faults,
            schema={"rule": pl.String, "action": pl.String, "rows": pl.Int64, "example": pl.String},
            orient="row",
        ),
    )


def require(frame: Any, contract: Contract, *, rename: Mapping[str, str] | None = None) -> pl.DataFrame:
    """The frame in the contract's types, or one `ContractError` that lists every fault of its columns and rows.

    `rename` maps the caller's column names to the contract's (the column-name options of public functions).
    """
    given = to_polars(frame)
    theirs = {old: new for old, new in (rename or {}).items() if old != new and old in given.columns}
    named = given.drop([new for new in theirs.values() if new in given.columns]).rename(theirs)
    checked = check_parsed(named, named, contract, {}, count_alike=False)
    if len(checked.quarantined):
        bad = checked.faults.filter(pl.col("action") == "quarantined").to_dicts()
        listed = "; ".join(f"{fault['rule']} ({fault['rows']:,} rows, e.g. {fault['example']})" for fault in bad)
        raise ContractError(
            f"{contract.name}: {len(checked.quarantined):,} of {len(given):,} rows break the contract: {listed}. "
            f"Look at contract.check(frame, ...).quarantined, and go on with its .good."
        )
    if checked.good.is_empty():
        raise ContractError(f"{contract.name}: the frame has 0 rows; at least one is needed.")
    return checked.good


def to_polars(frame: Any) -> pl.DataFrame:
    """A polars frame from a polars frame, or from anything with the Arrow PyCapsule interface."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    raise TypeError(
        f"a frame is needed, got {type(frame).__name__}; pass a polars frame, or one with the Arrow PyCapsule interface "
        "(pandas 2.2+, pyarrow, DuckDB)."
    )


def check_level(level: float) -> None:
    """Raise ValueError unless `level` is a coverage between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95.")


def choose(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ValueError unless the argument `name` has one of the `allowed` values."""
    if value not in (allowed := list(allowed)):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}.")


def _align(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Columns cast to the contract's types; every column that is missing or cannot be cast is told together."""
    names = frame.columns
    missing = [name for name in contract.required if name not in names]
    present = {name: one for name, one in contract.fields.items() if name in names}
    casts, wrong = [], []
    for name, one in present.items():
        expression = _cast(frame[name], one)
        if expression is None:
            wrong.append(f"'{name}' is {frame.schema[name]}, must be {_TYPES[one.kind]}")
        else:
            casts.append(expression)
    if missing or wrong:
        raise ContractError(_column_faults(contract, names, missing, wrong))
    return frame.with_columns(casts)


def _cast(series: pl.Series, one: Field) -> pl.Expr | None:
    """The expression that brings a column to its kind without loss, or None."""
    dtype, column = series.dtype, pl.col(series.name)
    if dtype == pl.Null:  # a column without a single value has no type yet
        return column.cast(_DTYPES[one.kind])
    if one.kind == "id":
        return _cast_id(series)
    if one.kind == "time":
        return _cast_time(dtype, column)
    if one.kind == "date":
        return column.cast(pl.Date) if dtype in (pl.Date, pl.Datetime) else None
    if one.kind == "number":
        return column.cast(pl.Float64) if dtype.is_numeric() else None
    if one.kind == "whole":
        return column.cast(pl.Int64) if dtype.is_integer() or _is_whole(series) else None
    if one.kind == "flag":
        return column.cast(pl.Boolean) if dtype == pl.Boolean or _is_flag(series) else None
    return column.cast(pl.String) if dtype in (pl.String, pl.Categorical, pl.Enum) else None


_DTYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "time": pl.Datetime("us"),
    "date": pl.Date,
    "number": pl.Float64,
    "whole": pl.Int64,
    "flag": pl.Boolean,
    "text": pl.String,
}


def _cast_id(series: pl.Series) -> pl.Expr | None:
    column = pl.col(series.name)
    if series.dtype.is_integer() or _is_whole(series):  # pandas turns integer ids with gaps into floats
        return column.cast(pl.Int64) if series.dtype != pl.UInt64 or (series.max() or 0) < 2**63 else None
    return column.cast(pl.String) if series.dtype in (pl.String, pl.Categorical, pl.Enum) else None


def _cast_time(dtype: pl.DataType, column: pl.Expr) -> pl.Expr | None:
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if not isinstance(dtype, pl.Datetime):
        return None
    zoned = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
    return zoned.dt.cast_time_unit("us")


def _is_whole(series: pl.Series) -> bool:
    return series.dtype.is_float() and bool((series.is_finite() & (series == series.floor())).fill_null(True).all())


def _is_flag(series: pl.Series) -> bool:
    return series.dtype.is_numeric() and bool(series.is_in([0, 1]).fill_null(True).all())


def _column_faults(contract: Contract, names: list[str], missing: list[str], wrong: list[str]) -> str:
    told = [f"'{name}' is missing" for name in missing] + wrong
    text = f"{contract.name}: {'; '.join(told)}. It has: {', '.join(names) or 'no columns'}."
    pairs = {theirs: ours for ours in missing if (theirs := _guess(ours, names, contract))}
    if pairs:
        hint = ", ".join(f'"{theirs}": "{ours}"' for theirs, ours in pairs.items())
        text += (
            f" If {' and '.join(f'{t!r} is your {o!r}' for t, o in pairs.items())}, pass columns={{{hint}}} or rename."
        )
    if any("must be Datetime" in one for one in wrong):
        text += " Text timestamps are parsed by contract.read_events."
    return text


def _guess(ours: str, names: list[str], contract: Contract) -> str | None:
    """Which of the columns present probably is the one that is missing."""
    free = {name.lower().replace(" ", "_"): name for name in names if name not in contract.fields}
    known = [name for name in _OTHER_NAMES.get(ours, "").split() if name in free]
    close = known or difflib.get_close_matches(ours, free, n=1, cutoff=0.75)
    return free[close[0]] if close else None


def _rules(frame: pl.DataFrame, contract: Contract) -> dict[str, pl.Expr]:
    """Sentence that says what is wrong -> expression that is true for a good row (null counts as good)."""
    rules: dict[str, pl.Expr] = {}
    for name, one in contract.fields.items():
        if name not in frame.columns:
            continue
        column, is_text = pl.col(name), frame.schema[name] == pl.String
        if not one.nullable:
            rules[f"{name} is null"] = column.is_not_null()
        if not one.nullable and is_text:
            rules[f"{name} is empty"] = column.str.strip_chars().str.len_bytes() > 0
        if one.kind == "number":
            rules[f"{name} is not a finite number"] = column.is_finite()
        if one.above is not None:
            rules[f"{name} is not above {one.above:g}"] = column > one.above
        if one.least is not None:
            rules[f"{name} is below {one.least:g}"] = column >= one.least
        if one.most is not None:
            rules[f"{name} is above {one.most:g}"] = column <= one.most
        if one.values:
            rules[f"{name} is none of {', '.join(one.values)}"] = column.is_in(one.values)
    for text, (columns, rule) in contract.rules.items():
        if set(columns) <= set(frame.columns):
            rules[text] = rule()
    if "price" not in frame.columns and contract is Events:
        rules["price is missing on a purchase or refund"] = pl.col("event").is_in(["purchase", "refund"]).not_()
    if "event_id" in frame.columns and contract is Events:
        first = pl.col("event_id").is_first_distinct() | pl.col("event_id").is_null()
        rules["event_id is repeated (the first row with it is kept)"] = first
    return rules


def _schema(frame: pl.DataFrame, rules: dict[str, pl.Expr]) -> type[dy.Schema]:
    """The dataframely schema for just the columns present (dataframely raises on a missing optional column)."""
    body: dict[str, Any] = {f"c{i}": dy.Any(alias=name) for i, name in enumerate(frame.columns)}
    for number, rule in enumerate(rules.values()):
        body[f"r{number}"] = dy.rule()(lambda _cls, rule=rule: rule.fill_null(True))
    return type("Present", (dy.Schema,), body)


def _faults(details: pl.DataFrame, given: pl.DataFrame, rules: list[str]) -> list[tuple[str, str, int, str]]:
    told = []
    for number, text in enumerate(rules):
        rows = details.filter(pl.col(f"r{number}") == "invalid")
        if len(rows):
            example = given.row(rows[_ROW][0], named=True)
            shown = {name: example[name] for name in given.columns if name in text.split()} or example
            told.append((text, "quarantined", len(rows), _brief(shown)))
    return told


def _quarantine(details: pl.DataFrame | None, given: pl.DataFrame, rules: list[str]) -> pl.DataFrame:
    if details is None:
        return given.clear().with_columns(row=pl.lit(0, pl.UInt32), reason=pl.lit("", pl.String))
    wrong = [pl.when(pl.col(f"r{i}") == "invalid").then(pl.lit(text)) for i, text in enumerate(rules)]
    reason = details.select(pl.concat_str(wrong, separator="; ", ignore_nulls=True)).to_series()
    return given[details[_ROW]].with_columns(row=details[_ROW], reason=reason)


def _look_alikes(good: pl.DataFrame) -> tuple[str, str, int, str] | None:
    """Rows alike in every column but `event_id`, beyond the first of each. Hash, sort, then compare the few for certain."""
    seen = good.drop("event_id", strict=False)
    hashes = seen.hash_rows()
    in_order = hashes.sort()
    twice = in_order.filter(in_order == in_order.shift()).unique()
    if twice.is_empty():
        return None
    suspects = seen.filter(hashes.is_in(twice.implode()))
    copies = len(suspects) - suspects.n_unique()
    if not copies:
        return None
    example = suspects.row(suspects.is_duplicated().arg_true()[0], named=True)
    return "alike in every column to an earlier row", "kept", copies, _brief(example)


def _to_enums(good: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Columns with a closed list of values become Enum; casting is strict, so only after the filter."""
    closed = {name: one.values for name, one in contract.fields.items() if one.values and name in good.columns}
    return good.with_columns(pl.col(name).cast(pl.Enum(values)) for name, values in closed.items())


def _brief(row: Mapping[str, Any]) -> str:
    """One row in a line of at most about 200 characters, however long its values."""
    parts = [f"{name}={_shorten(repr(value) if isinstance(value, str) else str(value))}" for name, value in row.items()]
    return _shorten(", ".join(parts), 200)


def _shorten(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
