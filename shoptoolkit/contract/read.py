"""Read a shop's own log: a frame, csv, parquet, json lines or a glob of them, brought to Events and checked.

In: a source and, where names differ, `columns={theirs: ours}`. Out: `Checked`. `read_events` opens the source, parses text
columns (what cannot be read is quarantined, row by row), turns local time into UTC and hands over to `check`.
"""

from __future__ import annotations

import glob
import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import ComputeError, PolarsError

from shoptoolkit.contract.check import Checked, check_parsed, to_polars
from shoptoolkit.contract.schemas import ContractError, Events

_KINDS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
_KINDS |= {".jsonl": "json lines", ".ndjson": "json lines", ".json": "json lines"}
_CLOCKS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f")
_ZONES = ("", "Z", "%#z")
_YEAR_FIRST = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
_DAY_FIRST = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y")
_MONTH_FIRST = ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y")
_EPOCHS = ("s", "ms", "us", "ns")


def read_events(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    datetime_format: str | None = None,
) -> Checked:
    """Your shop's log as checked Events.

    Parameters
    ----------
    source
        A frame (polars, pandas, pyarrow ...), or a path or glob of csv, parquet or json-lines files (csv may be .gz).
    columns
        {your column: ours}, e.g. {"user": "customer_id", "ts": "at"}. Other columns are kept.
    timezone
        Where timestamps without a zone were written, e.g. "Europe/London"; None means UTC. Zoned timestamps need none.
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
        in one glob, missing or mistyped columns.
    """
    given = _open(source) if isinstance(source, str | Path) else to_polars(source)
    columns = dict(columns or {})
    if unknown := [name for name in columns if name not in given.columns]:
        raise ContractError(
            f"columns names {', '.join(map(repr, unknown))}, not in the log. It has: {', '.join(given.columns)}."
        )
    clash = [
        ours for theirs, ours in columns.items() if ours in given.columns and ours not in columns and theirs != ours
    ]
    given = given.rename({ours: f"{ours}_before" for ours in clash}).rename(columns)
    if given.is_empty():
        raise ContractError(f"events: 0 rows in {_name(source)}; its columns are {', '.join(given.columns) or 'none'}.")
    parsed, unread = given, {}
    for name in (name for name, one in Events.fields.items() if name in given.columns):
        column, flags = _parse(given[name], Events.fields[name].kind, timezone, datetime_format)
        parsed = parsed.with_columns(column)
        if flags is not None and flags.any():
            unread[name] = flags
    return check_parsed(given, parsed, Events, unread)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else f"the {type(source).__name__}"


def _open(source: str | Path) -> pl.DataFrame:
    """All files of a path or glob in one frame."""
    paths = (
        [Path(source)] if Path(source).is_file() else [Path(p) for p in sorted(glob.glob(str(source), recursive=True))]
    )
    if not paths:
        raise ContractError(f"source is {str(source)!r}: no such file, and no file matches it as a glob.")
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
    return pl.concat([frame.select(frames[0].columns) for frame in frames], how="vertical_relaxed")


def _kind(path: Path) -> str:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    kind = _KINDS.get(suffix.lower())
    if kind is None:
        raise ContractError(
            f"{path.name}: the ending {suffix!r} is unknown; known are {', '.join(_KINDS)}, and .csv.gz."
        )
    return kind


def _read(path: Path, kind: str) -> pl.DataFrame:
    raw = path.read_bytes() if kind != "parquet" else path.open("rb").read(4)
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if not raw.strip():
        raise ContractError(f"{path.name} is empty ({path.stat().st_size} bytes).")
    if (looks := _looks(raw)) not in (kind, "text"):
        raise ContractError(
            f"{path.name} is not {kind}: its content looks like {looks}. Give it the ending of what it is."
        )
    if kind == "parquet" and looks != "parquet":
        raise ContractError(f"{path.name} is not parquet: it begins with {raw!r}. Is it a csv? Then name it .csv.")
    try:
        if kind == "parquet":
            return pl.read_parquet(path)
        if kind == "json lines":
            return pl.read_ndjson(io.BytesIO(raw), infer_schema_length=None)
        return _read_csv(raw)
    except PolarsError as error:
        raise ContractError(f"{path.name} cannot be read as {kind}: {str(error).splitlines()[0]}") from error


def _looks(raw: bytes) -> str:
    head = raw[:4]
    if head == b"PAR1":
        return "parquet"
    if head == b"PK\x03\x04":
        return "an Excel workbook or zip archive"
    if raw.lstrip()[:1] == b"{":
        return "json lines"
    return "a binary file" if b"\x00" in raw[:1000] else "text"


def _read_csv(raw: bytes) -> pl.DataFrame:
    """Every column as text: what a value means is decided row by row, and ids keep their leading zeros."""
    header = raw.split(b"\n", 1)[0]
    separator = max(",;\t|", key=lambda mark: header.count(mark.encode()))
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:  # older exports on Windows
        raw = raw.decode("cp1252", errors="replace").encode()
    frame = pl.read_csv(io.BytesIO(raw), separator=separator, infer_schema=False, null_values=[""])
    return frame.rename({name: name.strip().removeprefix("\ufeff") for name in frame.columns})


def _parse(
    series: pl.Series, kind: str, timezone: str | None, datetime_format: str | None
) -> tuple[pl.Series, pl.Series | None]:
    """The column in its type where it was text or local time, and flags of the values that could not be read."""
    parsed = series
    if kind == "time":
        parsed = _to_utc(_timestamps(series, datetime_format), timezone)
    elif series.dtype == pl.String and kind in ("number", "whole"):
        parsed = series.str.strip_chars().cast(pl.Float64, strict=False)
    elif series.dtype == pl.String and kind == "id":
        return _whole_ids(series), None
    if kind == "whole" and parsed.dtype.is_float():
        parsed = parsed.set(parsed != parsed.floor(), None).cast(pl.Int64, strict=False)
    return parsed, None if parsed is series else parsed.is_null() & series.is_not_null()


def _whole_ids(series: pl.Series) -> pl.Series:
    """Text ids as integers where nothing is lost by it: 17850 is a number, 00123 and A7 are not."""
    whole = series.cast(pl.Int64, strict=False)
    return whole if (whole.cast(pl.String) == series).fill_null(series.is_null()).all() else series


def _timestamps(series: pl.Series, datetime_format: str | None) -> pl.Series:
    if series.dtype.is_integer() and datetime_format in _EPOCHS:
        return pl.from_epoch(series, time_unit=datetime_format)  # type: ignore[arg-type,return-value]
    if series.dtype != pl.String:
        return series
    text = series.str.strip_chars()
    formats = [datetime_format] if datetime_format else _formats_of(text)
    return pl.select(pl.coalesce(_strptime(pl.lit(text), one) for one in formats)).to_series().alias(series.name)


def _strptime(column: pl.Expr, one: str) -> pl.Expr:
    """Timestamps of one format; those with an offset come out in UTC, and say so by their zone."""
    if one.endswith(("%#z", "%z")):
        return column.str.to_datetime(one, strict=False, time_unit="us", time_zone="UTC")
    if one.endswith("Z"):
        return column.str.to_datetime(one, strict=False, time_unit="us").dt.replace_time_zone("UTC")
    return column.str.to_datetime(one, strict=False, time_unit="us")


def _formats_of(text: pl.Series) -> list[str]:
    """The formats that read some of the values; day and month first are told apart by values above 12, or refused."""
    sample = text.drop_nulls().unique(maintain_order=True).gather_every(max(1, len(text) // 20_000))
    hits = {family: _hits(sample, family) for family in (_YEAR_FIRST, _DAY_FIRST, _MONTH_FIRST)}
    day, month = (sum(hits[family].values()) for family in (_DAY_FIRST, _MONTH_FIRST))
    if day and day == month:
        raise ContractError(
            f"'at' is text like {sample[0]!r}, where the day may come first or the month. "
            f"Pass datetime_format, e.g. '%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'."
        )
    found = list(hits[_YEAR_FIRST]) + list(hits[_DAY_FIRST] if day > month else hits[_MONTH_FIRST])
    zoned = [one for one in found if one.endswith("z") or one.endswith("Z")]
    if zoned and len(zoned) < len(found):
        raise ContractError(
            "'at' mixes timestamps with and without a zone "
            f"({', '.join(found)}); bring them to one form, or pass datetime_format for the right one."
        )
    return found or ["%Y-%m-%d %H:%M:%S"]


def _hits(sample: pl.Series, family: tuple[str, ...]) -> dict[str, int]:
    tried = {
        f"{date}{clock}{zone}": 0 for date in family for clock in _CLOCKS for zone in (_ZONES if clock else _ZONES[:1])
    }
    for one in tried:
        try:
            tried[one] = pl.select(_strptime(pl.lit(sample), one)).to_series().count()
        except ComputeError:
            continue  # polars refuses a format that does not name a full moment
    return {one: count for one, count in tried.items() if count}


def _to_utc(series: pl.Series, timezone: str | None) -> pl.Series:
    """Naive local time to naive UTC. The hour that a clock skips in spring does not exist and becomes null."""
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime("us"))
    if not isinstance(series.dtype, pl.Datetime):
        return series
    if series.dtype.time_zone is None:
        if timezone is None:
            return series
        series = series.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
