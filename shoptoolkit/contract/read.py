"""Read a shop's own log, of files, a frame, a table or a database, brought to Events and checked.

In: a source and, where names differ, `columns={theirs: ours}`. Out: `Checked`. `read_events` opens the source
(`open_source`; connect.py has tables and databases), parses text columns (what cannot be read is quarantined, row by
row), turns local time into UTC and hands over to `check` (`read_opened`).
"""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from shoptoolkit.contract.check import Checked, check_parsed, choose, to_polars
from shoptoolkit.contract.clock import zone
from shoptoolkit.contract.columns import aside
from shoptoolkit.contract.connect import kind_of, read_table, shown
from shoptoolkit.contract.schemas import EVENT_KINDS, Assignments, Contract, ContractError, Events
from shoptoolkit.contract.timestamps import to_utc

_COMMA = r"^-?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"  # a number as most of Europe writes it
_CENTS = r",(\d{1,2}|\d{4,})$"  # three digits after a comma may be thousands
_KINDS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
_KINDS |= {".jsonl": "json lines", ".ndjson": "json lines", ".json": "json lines"}


def read_events(
    source: Any,
    *,
    query: str | None = None,
    columns: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    timezone: str | None = None,
    datetime_format: str | None = None,
) -> Checked:
    """Your shop's log as checked Events.

    Parameters
    ----------
    source
        A frame (polars, pandas, pyarrow ...), or a path or glob of csv, parquet or json-lines files (csv may be .gz).
        A Delta table: its folder, or a `deltalake.DeltaTable`. An Iceberg table: a `pyiceberg` Table, or the path of
        the `.metadata.json` that its catalog names. A database: "postgresql://user:$PASSWORD@server:5432/shop" (a $NAME
        is taken from the environment) or "sqlite:///path/of/shop.db". Tables need `pip install 'shoptoolkit[lake]'`,
        databases `'shoptoolkit[sql]'`.
    query
        Of a database, and there needed: the name of a table, or a SELECT; nothing else is run.
    columns
        {your column: ours}, e.g. {"user": "customer_id", "ts": "at"}. Other columns are kept; one that had the name
        before becomes e.g. "at_before".
    kinds
        {your kind of event: ours}, e.g. {"buy": "purchase", "return": "refund"}. Case and outer blanks do not matter.
    timezone
        Where timestamps without a zone were written, e.g. "Europe/London"; None means UTC. Zoned timestamps need none.
        Of the hour that a clock repeats in autumn the first is meant; an hour that it skips in spring is quarantined.
    datetime_format
        The format of text timestamps (strptime), where it cannot be told from the values; or "s", "ms", "us", "ns" for
        numbers since 1970.

    Returns
    -------
    Checked
        `good` is Events: `at` in UTC without a zone. Rows that cannot be read are in `quarantined` with the reason.

    Raises
    ------
    ContractError
        No such file, an empty file, no rows, a file that is not what its name says, files of different kinds or columns
        in one glob, missing or mistyped columns; no such table, no answer of the database, a query that fails, `query`
        without a database, or the reverse. No message tells a password.
    ValueError
        No such time zone, or `kinds` names a kind that is not ours.
    """
    check_words(kinds, timezone)
    given, kind = open_source(source, query=query)
    return read_opened(
        given,
        kind,
        name=shown(source),
        columns=columns,
        kinds=kinds,
        timezone=timezone,
        datetime_format=datetime_format,
    )


def read_assignments(
    source: Any, *, query: str | None = None, columns: Mapping[str, str] | None = None, timezone: str | None = None
) -> Checked:
    """Who was dealt to which arm? Reads a file or table of assignments and checks each row.

    Parameters
    ----------
    source, query, columns, timezone
        As in `read_events`: a frame, a path, a table or a database; {your column: ours}; where the clock hung.

    Returns
    -------
    Checked
        `good` are Assignments: customer_id, arm, assigned_at and what else there is. Where no column is experiment_id,
        all rows are of one experiment.

    Raises
    ------
    ContractError, FileNotFoundError
        As in `read_events`.
    """
    given, kind = open_source(source, query=query)
    if "experiment_id" not in {*given.columns, *(columns or {}).values()}:
        given = given.with_columns(experiment_id=pl.lit("the experiment"))
    return read_opened(given, kind, name=shown(source), columns=columns, timezone=timezone, contract=Assignments)


def open_source(source: Any, *, query: str | None = None) -> tuple[pl.DataFrame, str]:
    """All rows of a source in one frame, and its kind: of file, "frame", or what `connect.kind_of` says."""
    kind = kind_of(source)
    if kind == "database" or query is None:
        if kind:
            return read_table(source, kind, query=query), kind
        return open_files(source) if isinstance(source, str | Path) else (to_polars(source), "frame")
    raise ContractError(f"query is {query!r}, and source {shown(source)!r} is no database; leave query out.")


def check_words(kinds: Mapping[str, str] | None, timezone: str | None) -> None:
    """Raise ValueError where a word of the caller is wrong whatever the log holds."""
    if timezone is not None:
        zone(timezone)
    for kind in (kinds or {}).values():
        choose("kinds", kind, EVENT_KINDS)


def read_opened(
    given: pl.DataFrame,
    kind: str,
    *,
    name: str,
    columns: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    timezone: str | None = None,
    datetime_format: str | None = None,
    contract: Contract = Events,
) -> Checked:
    """`read_events` of what `open_source` gave: its frame and kind, and the name to tell in errors."""
    given = _rename(given, dict(columns or {}), "log" if contract is Events else contract.name)
    if given.is_empty():
        raise ContractError(f"{contract.name}: 0 rows in {name}; its columns are {', '.join(given.columns) or 'none'}.")
    parsed, unread, wrong = given, {}, {}
    for name, field in ((name, field) for name, field in contract.fields.items() if name in given.columns):
        try:
            column, flags = _parse(given[name], field.kind, timezone, datetime_format, is_csv=kind == "csv")
        except ContractError as error:  # told together with the other columns' faults
            wrong[name] = str(error)
            continue
        parsed = parsed.with_columns(column)
        if flags is not None and flags.any():
            unread[name] = flags
    if contract is Events and parsed.schema.get("event") == pl.String:
        ours = {theirs.strip().lower(): kind for theirs, kind in (kinds or {}).items()}
        parsed = parsed.with_columns(pl.col("event").str.strip_chars().str.to_lowercase().replace(ours))
    return check_parsed(given, parsed, contract, unread=unread, wrong=wrong)


def _rename(given: pl.DataFrame, columns: dict[str, str], what: str) -> pl.DataFrame:
    has = f"It has: {', '.join(given.columns)}."
    if unknown := [name for name in columns if name not in given.columns]:
        raise ContractError(
            f"columns names {', '.join(map(repr, unknown))}, not in the {what}; write {{yours: ours}}. {has}"
        )
    if twice := {ours for ours in columns.values() if list(columns.values()).count(ours) > 1}:
        raise ContractError(f"columns gives {', '.join(map(repr, sorted(twice)))} more than once. {has}")
    clash = [ours for ours in columns.values() if ours in given.columns and ours not in columns]
    return given.rename({ours: aside(ours, given.columns) for ours in clash} | columns)


def open_files(source: str | Path) -> tuple[pl.DataFrame, str]:
    """All files of a path or glob in one frame, and their kind."""
    paths = paths_of(source)
    kinds = {path: _kind(path) for path in paths}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{path.name} ({kind})" for path, kind in kinds.items())
        raise ContractError(
            f"source is {str(source)!r}, which mixes kinds of file: {listed}. Read each kind on its own."
        )
    frames = [_read(path, kind) for path, kind in kinds.items()]
    for path, frame in zip(paths, frames, strict=True):
        if set(frame.columns) != set(frames[0].columns):
            odd = ", ".join(sorted(set(frame.columns) ^ set(frames[0].columns)))
            raise ContractError(f"source is {str(source)!r}: {path.name} and {paths[0].name} differ in columns: {odd}.")
        if frame.is_empty() and len(frames) > 1:
            raise ContractError(f"source is {str(source)!r}: {path.name} has 0 rows. Take it out if that is right.")
    _same_kinds(source, dict(zip(paths, frames, strict=True)))
    try:
        frame = pl.concat([frame.select(frames[0].columns) for frame in frames], how="vertical_relaxed")
    except PolarsError as error:
        raise ContractError(f"source is {str(source)!r}, whose files differ in types: {_line(error)}") from error
    return frame, kinds[paths[0]]


def _same_kinds(source: str | Path, frames: Mapping[Path, pl.DataFrame]) -> None:
    """Numbers in one file and text in another would make two customers of 7 and "007"."""
    (first, one), *others = frames.items()
    for name in one.columns:
        for path, other in others:
            pair = one.schema[name], other.schema[name]
            if pl.String in pair and pl.Null not in pair and pair[0] != pair[1]:
                raise ContractError(
                    f"source is {str(source)!r}: {name!r} is {pair[0]} in {first.name} and {pair[1]} in {path.name}. "
                    "Write the files with one type."
                )


def paths_of(source: str | Path) -> list[Path]:
    """The files that a path or glob names; a ContractError where there are none."""
    if os.path.isdir(source):
        raise ContractError(
            f"source is {str(source)!r}, a folder; name its files by a glob, e.g. '{source}/*.csv'. It is no Delta "
            "table, as it has no _delta_log; of an Iceberg table name the .metadata.json."
        )
    if os.path.isfile(source):
        return [Path(source)]
    paths = [Path(found) for found in sorted(glob.glob(str(source), recursive=True)) if os.path.isfile(found)]
    if not paths:
        raise ContractError(f"source is {str(source)!r}: no such file, and no file matches it as a glob.")
    folders = {at for path in paths for at in path.parents}
    if tables := sorted(str(at) for at in folders if (at / "_delta_log").is_dir()):
        raise ContractError(
            f"source is {str(source)!r}, files of the Delta table {tables[0]!r}, where old rows lie beside those that "
            "hold. Pass the table's folder."
        )
    return paths


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _kind(path: Path) -> str:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    kind = _KINDS.get(suffix.lower())
    if kind is None:
        raise ContractError(
            f"{path.name}: the ending {suffix!r} is unknown; known are {', '.join(_KINDS)}, and .csv.gz."
        )
    return kind


def _read(path: Path, kind: str) -> pl.DataFrame:
    raw = _content(path, kind)
    if not raw or raw.isspace():
        raise ContractError(f"{path.name} is empty ({path.stat().st_size} bytes).")
    if (looks := _looks(raw)) not in ((kind,) if kind == "parquet" else (kind, "text")):
        raise ContractError(
            f"{path.name} is not {kind}: its content looks like {looks}. Give it the ending of what it is."
        )
    try:
        if kind == "parquet":
            return pl.read_parquet(path, glob=False)
        if kind == "json lines":
            return pl.read_ndjson(io.BytesIO(raw), infer_schema_length=None)
        return _read_csv(raw)
    except (PolarsError, ValueError, PanicException) as error:  # a damaged parquet file may panic
        why = _bad_line(raw, kind) or _line(error)
        raise ContractError(f"{path.name} cannot be read as {kind}: {why}") from error


def _content(path: Path, kind: str) -> bytes:
    """The bytes of a file, unpacked and in UTF-8; of parquet only the first, since polars reads it from the path."""
    if kind == "parquet":
        with path.open("rb") as file:
            return file.read(1000)
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ContractError(
            f"{path.name} cannot be unpacked: {error}. Copy it again; part of it is missing."
        ) from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):  # Excel's "Unicode text"
        raw = raw.decode("utf-16", errors="replace").encode()
    return raw.removeprefix(b"\xef\xbb\xbf")


def _looks(raw: bytes) -> str:
    head = raw[:1000].lstrip()
    for start, what in (
        (b"PAR1", "parquet"),
        (b"PK\x03\x04", "an Excel workbook or zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"{", "json lines"),
        (b"[", "one json array (pl.read_json reads it; pass the frame)"),
    ):
        if head.startswith(start):
            return what
    return "a binary file" if b"\x00" in head else "text"


def _read_csv(raw: bytes) -> pl.DataFrame:
    """Every column as text: what a value means is decided row by row, and ids keep their leading zeros."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:  # older exports on Windows
        raw = raw.decode("cp1252", errors="replace").encode()
    frame = pl.read_csv(io.BytesIO(raw), separator=_separator(raw), infer_schema=False)
    names = [re.sub(r"_duplicated_\d+$", "", name).strip() for name in frame.columns]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ValueError(f"the header names {', '.join(map(repr, twice))} more than once; rename all but one")
    return frame.rename({name: name.strip() for name in frame.columns})


def _separator(raw: bytes) -> str:
    header = re.sub(rb'"[^"]*"', b"", raw[:100_000].split(b"\n", 1)[0])
    return max(",;\t|", key=lambda mark: header.count(mark.encode()))


def _bad_line(raw: bytes, kind: str) -> str | None:
    """Where a file breaks, in words; None where it cannot be told."""
    lines = raw.decode("utf-8", errors="replace").splitlines(keepends=True) if kind != "parquet" else []
    if kind == "csv":
        rows = csv.reader(lines, delimiter=_separator(raw))
        width = len(next(rows))
        long = next(((rows.line_num, len(row)) for row in rows if len(row) > width), None)
        return long and f"line {long[0]} has {long[1]} values, the header names {width}."
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line if line.strip() else "{}")
        except json.JSONDecodeError as error:
            return f"line {number}: {error.msg}"
    return None


def _parse(
    series: pl.Series, kind: str, timezone: str | None, datetime_format: str | None, *, is_csv: bool
) -> tuple[pl.Series, pl.Series | None]:
    """The column in its type where it was text or local time, and flags of the values that could not be read."""
    if series.dtype == pl.Binary:
        series = _from_bytes(series)
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if kind == "id" and series.dtype == pl.String:
        return (_whole_ids(series) if is_csv else series), None
    if kind == "time":
        parsed = _of_a_calendar(to_utc(series, timezone=timezone, datetime_format=datetime_format))
    elif kind in ("number", "whole") and series.dtype == pl.String:
        parsed = to_numbers(series.str.strip_chars())
    else:
        return series, None
    given = series.str.strip_chars() != "" if series.dtype == pl.String else series.is_not_null()
    return parsed, (parsed.is_null() & given).fill_null(False)


def _of_a_calendar(series: pl.Series) -> pl.Series:
    """The same moments, all of years that Python knows; a ContractError where a database's infinity is among them."""
    is_far = ~series.is_between(datetime.min, datetime.max) if isinstance(series.dtype, pl.Datetime) else None
    if is_far is not None and is_far.any():
        raise ContractError(
            f"'{series.name}' lies outside the years 1 to 9999 in {is_far.sum():,} rows (as a database's infinity "
            "does); leave them out, or write null where it may be"
        )
    return series


def to_numbers(text: pl.Series) -> pl.Series:
    """Text as numbers; with a decimal comma (18,81 or 1.234,50) where all values can be read so and some only so."""
    plain = text.cast(pl.Float64, strict=False)
    left = text.filter(plain.is_null() & (text != ""))
    if left.is_empty() or not text.filter(text != "").str.contains(_COMMA).all() or not left.str.contains(_CENTS).any():
        return plain
    return (
        text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    )


def _from_bytes(series: pl.Series) -> pl.Series:
    """Bytes as the text they hold, as older Parquet has it, or as UUIDs, as Iceberg has them; else as they are."""
    try:
        return series.cast(pl.String)
    except PolarsError:
        if (series.bin.size().drop_nulls() != 16).any():
            return series
    return series.bin.encode("hex").str.replace(r"(.{8})(.{4})(.{4})(.{4})", "$1-$2-$3-$4-")


def _whole_ids(series: pl.Series) -> pl.Series:
    """Text ids as integers where nothing is lost by it: 17850 is a number, 00123 and A7 are not."""
    whole = series.cast(pl.Int64, strict=False)
    return whole if (whole.cast(pl.String) == series).fill_null(series.is_null()).all() else series
