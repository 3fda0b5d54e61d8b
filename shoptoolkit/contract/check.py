"""Check a frame against its contract: good rows go on, bad rows are set aside with the reason, nothing is lost.

In: any frame with the Arrow PyCapsule interface. Out: `Checked(good, quarantined, faults)`, or one `ContractError` that
lists every fault of the columns. `check` sets bad rows aside; `require`, for the doors of functions, refuses them;
`to_polars` converts once; `check_keys` looks at ids; `check_level`, `check_span`, `check_number`, `days_asked`,
`listed` and `choose` read plain arguments. All shared checks of the package live here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.columns import align, aside
from shoptoolkit.contract.lines import moves_money
from shoptoolkit.contract.schemas import Contract, ContractError, Events
from shoptoolkit.contract.show import html_table

_ROW = "__row"  # the row's number in the frame as given
_UNREAD = "__unread_"  # before a column's name: flags of its values that could not be read
_WORDS = {"whole": "whole number"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """A checked frame: what is good, what was set aside and why.

    `good`: rows that keep the contract, columns in its types. `quarantined`: the other rows as they were given, plus
    `row` (their number in the input, from 0) and `reason`. `faults`: rule, action (quarantined or kept), rows, example.
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
        if self.faults.is_empty():
            return f"<p><b>Contract check: no fault.</b> {note}.</p>"
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
        `good`, `quarantined` (with `row` and `reason`) and `faults` (a count and an example for each rule). Of rows
        with a repeated `event_id` the first good one is kept. Rows that are alike in every column are counted and kept:
        a shop sells two of the same thing.

    Raises
    ------
    ContractError
        A required column is missing, or a column has a type that cannot be understood. All are listed at once.
    """
    return check_parsed(given := to_polars(frame), given, contract)


def check_parsed(
    given: pl.DataFrame,
    parsed: pl.DataFrame,
    contract: Contract,
    *,
    unread: Mapping[str, pl.Series] | None = None,
    wrong: Mapping[str, str] | None = None,
    count_alike: bool = True,
) -> Checked:
    """`check` for a frame whose text was parsed first.

    `unread` maps column -> flags of values that could not be read; `wrong` maps column -> why all of it could not.
    """
    aligned, lost = align(parsed, contract, wrong or {})
    unread = dict(unread or {})
    unread |= {name: flags | unread[name] if name in unread else flags for name, flags in lost.items()}
    rules = _rules(aligned, contract, unread)
    details = _failures(aligned, contract, rules, unread)
    good = _without(_to_enums(aligned, contract), details[_ROW])
    faults = _faults(details, given, list(rules))
    if count_alike and contract is Events and (alike := _look_alikes(good)):
        faults.append(alike)
    schema = {"rule": pl.String, "action": pl.String, "rows": pl.Int64, "example": pl.String}
    return Checked(
        good=good,
        quarantined=_quarantine(details, given, list(rules)),
        faults=pl.DataFrame(faults, schema=schema, orient="row"),
    )


def require(frame: Any, contract: Contract, *, rename: Mapping[str, str] | None = None) -> pl.DataFrame:
    """The frame in the contract's types, or one `ContractError` that lists every fault of its columns and rows.

    `rename` maps the caller's column names to the contract's (the column-name options of public functions).
    """
    given = to_polars(frame)
    theirs = {old: new for old, new in (rename or {}).items() if old != new and old in given.columns}
    named = given.drop([new for new in theirs.values() if new in given.columns and new not in theirs]).rename(theirs)
    checked = check_parsed(named, named, contract, count_alike=False)
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
    """A polars frame from a polars frame, or from anything else with the Arrow PyCapsule interface."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if hasattr(frame, "__arrow_c_stream__") and not isinstance(frame, pl.Series):
        try:
            return pl.DataFrame(frame)
        except (PolarsError, TypeError, ValueError) as error:
            told = f"{_mixed(frame)}{str(error).splitlines()[0]}"
            raise ContractError(f"the {type(frame).__name__} cannot be turned into a polars frame: {told}") from error
    raise TypeError(
        f"a frame is needed, got {type(frame).__name__}; pass a polars frame, or one with the Arrow PyCapsule "
        "interface (pandas 2.2+, pyarrow, DuckDB)."
    )


def _mixed(frame: Any) -> str:
    """Which columns of a pandas frame hold text and numbers side by side, as article codes from Excel do."""
    if type(frame).__module__.split(".")[0] != "pandas" or not frame.columns.is_unique:
        return ""
    kinds = {name: set(map(type, frame[name].dropna())) for name in frame.columns if frame[name].dtype == object}
    names = ", ".join(repr(name) for name, found in kinds.items() if len(found) > 1)
    return f"{names} holds values of several types; make them one with .astype(str). " if names else ""


def check_level(level: float) -> None:
    """Raise ValueError unless `level` is a coverage between 0 and 1."""
    if not _is_number(level) or not 0 < level < 1:
        raise ValueError(f"level is {level!r}; it must lie between 0 and 1, e.g. 0.95.")


def check_span(name: str, span: float, *, example: str = "30", unit: str = "days") -> None:
    """Raise ValueError unless the argument `name` is a number of days, or of another unit, above 0."""
    if not _is_number(span) or not 0 < span < float("inf"):
        raise ValueError(f"{name} is {span!r}; it must be a number of {unit} > 0, e.g. {example}.")


def check_number(name: str, value: float, *, least: float = 0, whole: bool = False) -> None:
    """Raise ValueError unless the argument `name` is a finite number, perhaps a whole one, of at least `least`."""
    if not _is_number(value) or not least <= value < float("inf") or (whole and value % 1):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name} is {value!r}; it must be a {kind} >= {least}.")


def check_keys(table: pl.DataFrame, *names: str, frame: str) -> None:
    """Raise ContractError where a column that tells rows apart is missing, or null in some rows."""
    for name in names:
        if name not in table.columns or table[name].null_count():
            told = "is null in some rows" if name in table.columns else "is missing"
            raise ContractError(f"{frame}: {name!r} {told}. It has: {', '.join(table.columns) or 'no columns'}.")


def days_asked(days: float | Sequence[float], *, positive: bool = False) -> Floats:
    """The days asked for, in the order given: numbers >= 0, or > 0, at least one."""
    wanted = np.atleast_1d(np.asarray(days))
    if len(wanted) and wanted.dtype.kind not in "iuf":
        raise TypeError(f"days is {days!r}; give a number of days or a list of them.")
    if not len(wanted) or not np.isfinite(wanted).all() or (wanted < 0).any() or (positive and (wanted == 0).any()):
        raise ValueError(f"days is {days}; give days {'>' if positive else '>='} 0, e.g. [30, 60, 90].")
    return wanted.astype(float)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def listed(names: str | Iterable[str], *, name: str = "names") -> list[str]:
    """Names, such as those of columns; one may stand alone. Raise TypeError where the argument `name` has no text."""
    found = list(names) if np.iterable(names) and not isinstance(names, str | bytes) else [names]
    if not all(isinstance(one, str) for one in found):
        raise TypeError(f"{name} is {names!r}; it must be text, or a list of texts.")
    return found


def choose(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ValueError unless the argument `name` has one of the `allowed` values."""
    if value not in (allowed := list(allowed)):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}.")


def _rules(frame: pl.DataFrame, contract: Contract, unread: Mapping[str, pl.Series]) -> dict[str, pl.Expr]:
    """Sentence that says what is wrong -> expression that is true for a good row (null counts as good)."""
    flagged = {name: pl.col(f"{_UNREAD}{name}") for name in unread}
    rules = {
        f"{name} cannot be read as a {_WORDS.get(contract.fields[name].kind, contract.fields[name].kind)}": ~flag
        for name, flag in flagged.items()
    }
    for text, rule in (_of_fields(frame, contract) | _of_rows(frame, contract)).items():
        known = [flag for name, flag in flagged.items() if name in rule.meta.root_names()]
        rules[text] = pl.any_horizontal(rule, *known) if known else rule  # what is unreadable has no second fault
    if "event_id" in frame.columns and contract is Events:
        rules["event_id is repeated (the first good row with it is kept)"] = _is_first("event_id", rules.values())
    return rules


def _is_first(name: str, rules: Iterable[pl.Expr]) -> pl.Expr:
    """True but for rows that repeat the value of an earlier good row; a bad row takes nobody's place."""
    is_good = pl.all_horizontal(rule.fill_null(True) for rule in rules)
    return is_good.not_() | pl.col(name).is_null() | pl.when(is_good).then(name).is_first_distinct()


def _of_fields(frame: pl.DataFrame, contract: Contract) -> dict[str, pl.Expr]:
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
    return rules


def _of_rows(frame: pl.DataFrame, contract: Contract) -> dict[str, pl.Expr]:
    rules = {text: rule() for text, (columns, rule) in contract.rules.items() if set(columns) <= set(frame.columns)}
    if "price" not in frame.columns and contract is Events:
        rules["price is missing on a purchase or refund"] = moves_money().not_()
    return rules


def _failures(
    aligned: pl.DataFrame, contract: Contract, rules: dict[str, pl.Expr], unread: Mapping[str, pl.Series]
) -> pl.DataFrame:
    """One row per bad row: its number and, as r0, r1 ..., whether it is "valid" or "invalid" by each rule.

    The rules look at the columns that are present and known (others may have any name), dataframely at their verdicts.
    """
    flags = {f"{_UNREAD}{name}": flags for name, flags in unread.items()}
    known = aligned.select(name for name in contract.fields if name in aligned.columns).with_columns(**flags)
    told = (rule.alias(f"k{i}") for i, rule in enumerate(rules.values()))
    kept = known.lazy().select(told).collect()  # lazy, as one rule repeats the others
    looked = kept.with_columns(pl.all().fill_null(True)).with_row_index(_ROW)
    if all(kept.select(pl.all().all()).row(0)):
        return looked.clear()
    body: dict[str, Any] = {"row": dy.Any(alias=_ROW)} | {f"k{i}": dy.Any() for i in range(len(rules))}
    body |= {f"r{i}": _row_rule(pl.col(f"k{i}")) for i in range(len(rules))}
    schema: Any = type("Present", (dy.Schema,), body)
    return schema.filter(looked)[1].details()


def _row_rule(rule: pl.Expr) -> Any:
    return dy.rule()(lambda _: rule)


def _without(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    if rows.is_empty():
        return frame
    keep = np.ones(len(frame), dtype=bool)
    keep[rows.to_numpy()] = False
    return frame.lazy().filter(pl.lit(pl.Series(keep))).collect()


def _faults(details: pl.DataFrame, given: pl.DataFrame, rules: list[str]) -> list[tuple[str, str, int, str]]:
    told: list[tuple[str, str, int, str]] = []
    for number, text in enumerate(rules if len(details) else []):
        rows = details.filter(pl.col(f"r{number}") == "invalid")
        if len(rows):
            example = given.row(rows[_ROW][0], named=True)
            shown = {name: example[name] for name in given.columns if name in text.split()} or example
            told.append((text, "quarantined", len(rows), _brief(shown)))
    return told


def _quarantine(details: pl.DataFrame, given: pl.DataFrame, rules: list[str]) -> pl.DataFrame:
    """The bad rows as they were given, with `row` and `reason`; columns of these names become `row_before` ..."""
    wrong = (pl.when(pl.col(f"r{i}") == "invalid").then(pl.lit(text)) for i, text in enumerate(rules))
    reasons = pl.concat_str(wrong, separator="; ", ignore_nulls=True) if len(details) else pl.lit("").head(0)
    ours = details.select(row=_ROW, reason=reasons)
    theirs = given.rename({name: aside(name, given.columns) for name in ours.columns if name in given.columns})
    return theirs[details[_ROW]].hstack(ours)


def _look_alikes(good: pl.DataFrame) -> tuple[str, str, int, str] | None:
    """Rows alike in every column but `event_id`, beyond the first of each: by hashes, then the few for certain."""
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


def _to_enums(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Columns with a closed list of values as Enum; values not in the list, whose rows are bad anyhow, become null."""
    closed = {name: one.values for name, one in contract.fields.items() if one.values and name in frame.columns}
    return frame.with_columns(pl.col(name).cast(pl.Enum(values), strict=False) for name, values in closed.items())


def _brief(row: Mapping[str, Any]) -> str:
    """One row in a line of at most about 200 characters, however long its values."""
    parts = [f"{name}={_shorten(repr(value) if isinstance(value, str) else str(value))}" for name, value in row.items()]
    return _shorten(", ".join(parts), 200)


def _shorten(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
