"""Moments and whole days: `at` is UTC without a zone, a day is a day of the shop's timezone.

`moment` understands an `as_of`, `in_words` tells it; `arrival` is when a row became known,
`local_day` the shop's day of a UTC column, `PERIODS` the steps of the calendar.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

PERIODS = {"week": "1w", "month": "1mo", "quarter": "1q"}  # and how polars writes them


def zone(timezone: str) -> ZoneInfo:
    """The time zone, or a ValueError that says what a name looks like."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:  # OSError: 'Europe' is a folder
        raise ValueError(
            f"timezone is {timezone!r}; it must be an IANA name such as 'Europe/London' or 'UTC'."
        ) from error


def moment(as_of: datetime | date | str, *, timezone: str = "UTC", name: str = "as_of") -> datetime:
    """A moment in UTC without a zone.

    A date, or text such as "2011-12-09", is the start of that day in `timezone`; a datetime without a zone is UTC
    already.
    """
    if isinstance(as_of, str):
        try:
            as_of = datetime.fromisoformat(as_of) if ":" in as_of or "T" in as_of else date.fromisoformat(as_of)
        except ValueError as error:
            raise ValueError(f"{name} is {as_of!r}; write it like '2011-12-09' or '2011-12-09T12:50'.") from error
    if isinstance(as_of, datetime) and as_of == as_of:  # pandas' NaT is a datetime that equals nothing
        return as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of
    if isinstance(as_of, date) and not isinstance(as_of, datetime):
        return datetime.combine(as_of, time(), zone(timezone)).astimezone(UTC).replace(tzinfo=None)
    raise TypeError(f"{name} is {as_of!r}; it must be a date, a datetime or text like '2011-12-09'.")


def in_words(at: datetime) -> str:
    """A moment for readers: at midnight the day alone."""
    return str(at.date() if at.time() == time() else at)


def day_of(as_of: datetime | date | str, *, timezone: str = "UTC", name: str = "as_of") -> date:
    """The shop's day in which a moment lies. All days before it are over."""
    at = moment(as_of, timezone=timezone, name=name)
    return at.replace(tzinfo=UTC).astimezone(zone(timezone)).date()


def arrival(columns: Collection[str]) -> pl.Expr:
    """When a row of a log with these columns became known: at `known_at`, without it when it happened."""
    return pl.coalesce("known_at", "at") if "known_at" in columns else pl.col("at")


def local_day(column: str, *, timezone: str = "UTC") -> pl.Expr:
    """The shop's day of a UTC datetime column, as Date."""
    zone(timezone)
    if timezone == "UTC":
        return pl.col(column).dt.date()
    return pl.col(column).dt.replace_time_zone("UTC").dt.convert_time_zone(timezone).dt.date()
