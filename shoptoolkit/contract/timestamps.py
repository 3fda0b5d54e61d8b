"""Timestamps of any make to UTC: text in the usual formats, numbers since 1970, zoned, local.

In: a column. Out: the column as Datetime in microseconds, UTC, naive; null where a value cannot be read. Day-first and
month-first dates are told apart by values above 12, and refused where that cannot be known. Read `to_utc` first.
"""

from __future__ import annotations

import polars as pl
from polars.exceptions import PolarsError

from shoptoolkit.contract.clock import zone
from shoptoolkit.contract.schemas import ContractError

_MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_CLOCKS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_ZONES = ("", "%#z", " UTC")
_YEAR_FIRST = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
_DAY_FIRST = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y")
_MONTH_FIRST = ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y")
_YEAR_LAST = r"^(?<first>\d{1,2})[/.-](?<second>\d{1,2})[/.-]\d{4}"
_YEARS = (1000, 9999)  # "01/12/11" is not the year 11
_OF_A_SHAPE, _SAMPLE = 100, 20_000


def to_utc(series: pl.Series, *, timezone: str | None = None, datetime_format: str | None = None) -> pl.Series:
    """The moments of a column in UTC; a column that already is naive UTC, or is no time at all, comes back as it is.

    Of the hour that a clock repeats in autumn the first is meant; the hour that it skips in spring does not exist and
    becomes null. Raises ContractError where no format fits, or more than one.
    """
    if datetime_format in _MICROSECONDS and (series.dtype.is_numeric() or series.dtype == pl.String):
        return _since_1970(series, _MICROSECONDS[datetime_format])
    if series.dtype.is_numeric():
        raise ContractError(
            f"'{series.name}' is {series.dtype}; where it counts from 1970, pass datetime_format='s' "
            "(or 'ms', 'us', 'ns')"
        )
    if series.dtype == pl.String:
        series = _from_text(series, datetime_format)
    return _unzoned(series, timezone)


def _since_1970(series: pl.Series, factor: float) -> pl.Series:
    micros = (series.cast(pl.Float64, strict=False) * factor).round()
    earliest, latest = (pl.datetime(year, 1, 1).dt.epoch("us") for year in (_YEARS[0], _YEARS[1] + 1))
    sane = micros.to_frame().select(pl.when(pl.first().is_between(earliest, latest, closed="left")).then(pl.first()))
    return sane.to_series().cast(pl.Int64).cast(pl.Datetime("us"))


def _unzoned(series: pl.Series, timezone: str | None) -> pl.Series:
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime("us"))
    if not isinstance(series.dtype, pl.Datetime) or (series.dtype.time_zone is None and timezone is None):
        return series
    if series.dtype.time_zone is None and timezone is not None:
        series = series.dt.replace_time_zone(zone(timezone).key, ambiguous="earliest", non_existent="null")
    return series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _from_text(series: pl.Series, datetime_format: str | None) -> pl.Series:
    text = series.str.strip_chars()
    values = text.drop_nulls().unique()
    values = values.filter(values != "")
    formats = _formats_of(values) if datetime_format is None else _fitting(values, [datetime_format])
    if not formats and len(values):
        told = "fits no known format of a time" if datetime_format is None else f"does not fit {datetime_format!r}"
        raise ContractError(
            f"'{series.name}' is text like {_example(values)} that {told}; pass the right datetime_format, "
            "e.g. '%d/%m/%Y %H:%M', or 's' for seconds since 1970"
        )
    return _read(text, formats or ["%Y-%m-%d"])


def _formats_of(values: pl.Series) -> list[str]:
    """Every format that reads some of the values."""
    dates = _YEAR_FIRST + _year_last(values)
    tried = [
        f"{date}{clock}{offset}" for date in dates for clock in _CLOCKS for offset in (_ZONES if clock else _ZONES[:1])
    ]
    found = _fitting(_sample(values), tried)
    if len({_is_zoned(one) for one in found}) > 1:
        raise ContractError(
            f"'{values.name}' mixes timestamps with and without a zone ({', '.join(found)}); bring them to one form, "
            "or pass the datetime_format of those to keep"
        )
    return found


def _year_last(values: pl.Series) -> tuple[str, ...]:
    """Does the day come first or the month? Told by values above 12; a few that contradict are left unread."""
    parts = values.str.extract_groups(_YEAR_LAST).struct.unnest().cast(pl.Int32).drop_nulls()
    if parts.is_empty():
        return ()
    day = len(parts.filter(pl.col("first") > 12, pl.col("second") <= 12))
    month = len(parts.filter(pl.col("first") <= 12, pl.col("second") > 12))
    if min(day, month) * 20 >= max(day, month):
        seen = "both are seen" if day else "no value is above 12"
        example = _example(values.filter(values.str.contains(_YEAR_LAST)))
        raise ContractError(
            f"'{values.name}' is text like {example}, where the day may come first or the month "
            f"({seen}); pass datetime_format, e.g. '%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'"
        )
    return _DAY_FIRST if day > month else _MONTH_FIRST


def _sample(values: pl.Series) -> pl.Series:
    """A few values of every shape (digits as 9), so that a rare format is found too."""
    shape = values.str.replace_all(r"\d+", "9")
    return values.to_frame().filter(pl.int_range(pl.len()).over(shape) < _OF_A_SHAPE).to_series().head(_SAMPLE)


def _example(values: pl.Series) -> str:
    return repr(str(values.min())[:40])


def _fitting(values: pl.Series, formats: list[str]) -> list[str]:
    return [one for one in formats if _read(values, [one]).count()]


def _read(text: pl.Series, formats: list[str]) -> pl.Series:
    """Text as moments; null where none of the formats fits. Formats with a zone come out in UTC."""
    moments = pl.coalesce(_strptime(pl.lit(text), one) for one in formats)
    try:
        return pl.select(pl.when(moments.dt.year().is_between(*_YEARS)).then(moments)).to_series().alias(text.name)
    except PolarsError:  # polars refuses a format that does not name a full moment
        return pl.Series(text.name, [None], dtype=pl.Datetime("us")).new_from_index(0, len(text))


def _strptime(column: pl.Expr, one: str) -> pl.Expr:
    if "%Y%m%d" in one:  # else 2019101 would be the first of October
        column = pl.when(column.str.contains(r"^\d{8}(\D|$)")).then(column)
    moment = column.str.to_datetime(one, strict=False, time_unit="us", time_zone="UTC" if _has_offset(one) else None)
    return moment.dt.replace_time_zone("UTC") if _is_zoned(one) and not _has_offset(one) else moment


def _has_offset(one: str) -> bool:
    return any(part in one for part in ("%z", "%#z", "%:z", "%::z"))


def _is_zoned(one: str) -> bool:
    return _has_offset(one) or one.endswith((" UTC", "Z"))
