"""Open a publisher's file, whatever its form, and read what stands in it without loss.

In: a path to xlsx, csv, text in columns, or parquet. Out: a frame (`read_table`; all columns text, but from parquet),
its columns under our names (`take`), and texts as what they mean: `texts`, `words`, `wholes`, `flags`, `money`,
`decimals`, `times`.
What cannot be read raises one ValueError with an example; nothing becomes null in silence.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

BILLIONTHS = 1_000_000_000  # other decimals are counted in these
HUNDREDTHS = 10_000  # money is counted in whole hundredths of pennies or cents: exact, and the same from every form

_ISO = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y%m%d")
_CLOCKS = (" %H:%M", " %H:%M:%S%.f", "")
_DAY_FIRST = tuple(f"%d/%m/{year}{clock}" for year in ("%Y", "%y") for clock in _CLOCKS)
_MONTH_FIRST = tuple(f"%m/%d/{year}{clock}" for year in ("%Y", "%y") for clock in _CLOCKS)


def read_table(path: Path, *, headless: tuple[str, ...] = ()) -> pl.DataFrame:
    """Any of the forms as a frame; its content decides, not the ending of its name.

    `headless` names the columns of a text that begins with a number rather than with a header.

    Raises
    ------
    ValueError
        The file is missing, empty, or not a table.
    """
    if not path.is_file():
        raise ValueError("there is no such file. Pass the path of the publisher's file, or of our parquet.")
    with path.open("rb") as file:
        head = file.read(4)
    try:
        if head == b"PAR1":
            return pl.read_parquet(path)
        if head == b"PK\x03\x04":
            return _read_xlsx(path)
        return _read_text(path, headless)
    except PolarsError as error:
        raise ValueError(f"{path.name} cannot be read: {str(error).splitlines()[0]}. Fetch it anew.") from error


def _read_xlsx(path: Path) -> pl.DataFrame:
    """The first sheet, all cells as text: a column that mixes numbers and text keeps both (85123A, 71053)."""
    import fastexcel

    try:
        frame: pl.DataFrame = fastexcel.read_excel(path).load_sheet(0, dtypes="string").to_polars()
        return frame
    except fastexcel.FastExcelError as error:
        raise ValueError(f"{path.name} is no workbook: {str(error).splitlines()[0]}. Fetch it anew.") from error


def _read_text(path: Path, headless: tuple[str, ...]) -> pl.DataFrame:
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        raise ValueError(f"{path.name} is empty ({path.stat().st_size} bytes). Fetch it anew.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:  # the pound sign of older exports
        text = raw.decode("cp1252", errors="replace")
    first = text.lstrip().split("\n", 1)[0]
    mark = max(",;\t|", key=first.count)
    if mark not in first:
        return _columns_of(path, text, headless)
    names = None if not first.split(mark)[0].strip(' "').isdigit() else headless
    frame = pl.read_csv(io.StringIO(text), separator=mark, infer_schema=False, has_header=names is None)
    return frame if names is None else _named(path, frame, names)


def _columns_of(path: Path, text: str, headless: tuple[str, ...]) -> pl.DataFrame:
    """Text in columns, set apart by blanks, with or without a header."""
    rows = [row for line in text.splitlines() if (row := line.split())]
    names = tuple(headless) if rows[0][0].isdigit() else tuple(rows.pop(0))
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise ValueError(
                f"{path.name}: row {number:,} has {len(row)} fields, must have {len(names)} ({', '.join(names)}): "
                f"{' '.join(row)[:60]!r}. Fetch the file anew."
            )
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _named(path: Path, frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    if len(names) != frame.width:
        raise ValueError(f"{path.name}: no header and {frame.width} columns, must be {len(names)}: {', '.join(names)}.")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def take(frame: pl.DataFrame, wanted: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
    """The wanted columns under our names: {ours: (the publisher's name, others)}; capitals, blanks, signs do not count.

    Raises
    ------
    ValueError
        Columns are missing; the message lists them and what is there.
    """
    there = {_plain(name): name for name in reversed(frame.columns)}
    found = {
        ours: next((there[_plain(one)] for one in spellings if _plain(one) in there), None)
        for ours, spellings in wanted.items()
    }
    if missing := [wanted[ours][0] for ours, theirs in found.items() if theirs is None]:
        listed = ", ".join(frame.columns)
        raise ValueError(f"the columns {', '.join(missing)} are missing; the file has: {listed[:300] or 'no columns'}.")
    return frame.select(pl.col(theirs).alias(ours) for ours, theirs in found.items() if theirs is not None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def texts(column: pl.Series) -> pl.Series:
    """Codes as text; what a spreadsheet took for a number loses its '.0', blanks at the ends go, empty is null."""
    plain = column.cast(pl.String).str.strip_chars().str.replace(r"^(\d+)\.0+$", "$1")
    return plain.set(plain == "", None)


def wholes(column: pl.Series) -> pl.Series:
    """Whole numbers; 17850.0 is one, empty is null."""
    numbers = _numbers(column)
    _refuse(column, numbers.is_not_null() & (numbers != numbers.round()), "a whole number")
    return numbers.cast(pl.Int64)


def money(column: pl.Series) -> pl.Series:
    """Prices and values in whole hundredths of pennies or cents."""
    return (_numbers(column) * HUNDREDTHS).round().cast(pl.Int64)


def decimals(column: pl.Series) -> pl.Series:
    """Numbers of at most nine decimals in whole billionths: exact, and the same from every form."""
    return (_numbers(column) * BILLIONTHS).round().cast(pl.Int64)


def flags(column: pl.Series) -> pl.Series:
    """TRUE and FALSE, however they are written, as 1 and 0."""
    return words(column, {"true": 1, "false": 0, "1": 1, "0": 0})


def words(column: pl.Series, known: Mapping[str, Any]) -> pl.Series:
    """What each word stands for, capitals aside; another word is refused."""
    plain = texts(column).str.to_lowercase()
    _refuse(column, ~plain.is_in(list(known)) & plain.is_not_null(), f"one of {', '.join(known)}")
    return plain.replace_strict(dict(known))


def in_units(column: pl.Series, *, by: int = HUNDREDTHS) -> pl.Series:
    """Money from whole hundredths of pennies back to pounds (or from billionths), exactly as its decimals read.

    By numpy: polars divides by a single number through its inverse, and 11062.06 comes out as 11062.060000000001.
    """
    return pl.Series(column.name, column.cast(pl.Float64).to_numpy() / by).fill_nan(None)


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype != pl.String:
        return column.cast(pl.Float64)
    given = texts(column)
    numbers = given.cast(pl.Float64, strict=False)
    _refuse(column, numbers.is_null() & given.is_not_null(), "a number")
    return numbers


def _refuse(column: pl.Series, is_wrong: pl.Series, what: str) -> None:
    if is_wrong.any():
        count, example = is_wrong.sum(), column.filter(is_wrong)[0]
        raise ValueError(f"{column.name}: {count:,} values are not {what}, e.g. {example!r}. Mend them in the file.")


def times(column: pl.Series, *, first_day: date, last_day: date) -> pl.Series:
    """Local timestamps, to the minute, from any of the spellings that exports use.

    ISO; day first (01/12/2010 08:26) or month first (12/1/10 8:26), with / . or -. All values have one spelling, and it
    must put all of them between the first and the last day of the set: that tells day first from month first.

    Raises
    ------
    ValueError
        No spelling reads all values, or both day first and month first do.
    """
    if column.dtype == pl.String:
        given = texts(column)
        distinct = given.unique().drop_nulls()
        return _parse(given, _spelling(distinct, column.name, first_day, last_day))
    return _to_minutes(column.cast(pl.Datetime("us")))


def _spelling(distinct: pl.Series, name: str, first_day: date, last_day: date) -> str:
    def reads(spelling: str) -> bool:
        read = _parse(distinct, spelling)
        if read.null_count():
            return False
        start, end = datetime.combine(first_day, time()), datetime.combine(last_day + timedelta(days=1), time())
        return bool(read.is_between(start, end, closed="left").all())

    fitting = [next(filter(reads, family), None) for family in (_ISO, _DAY_FIRST, _MONTH_FIRST)]
    found = [spelling for spelling in fitting if spelling is not None]
    if not len(distinct) or len(found) == 1:
        return (found or [_ISO[0]])[0]
    example = f"e.g. {distinct[0]!r}"
    if found:
        raise ValueError(f"{name}: the day may come first or the month, {example}. Write them as 2010-12-31 08:26.")
    raise ValueError(
        f"{name}: no spelling puts all values between {first_day} and {last_day}, {example}. "
        f"Known: 2010-12-31 08:26, 31/12/2010 08:26, 12/31/10 8:26."
    )


def _parse(column: pl.Series, spelling: str) -> pl.Series:
    plain = column.str.replace("T", " ", literal=True)
    if spelling not in _ISO:
        plain = plain.str.replace_all(r"[.\-]", "/")
    return _to_minutes(plain.str.to_datetime(spelling, strict=False, time_unit="us"))


def _to_minutes(column: pl.Series) -> pl.Series:
    """To the nearest minute: a spreadsheet counts days in binary fractions, and 08:26 may come as 08:25:59.999."""
    return column.dt.offset_by("30s").dt.truncate("1m")
