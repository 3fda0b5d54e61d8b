"""Moments and whole days of the shop."""

from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import polars as pl
import pytest

from shoptoolkit.contract.clock import day_of, in_words, local_day, moment, zone

LONDON, TOKYO = "Europe/London", "Asia/Tokyo"


@pytest.mark.parametrize(
    ("as_of", "timezone_", "utc"),
    [
        ("2011-12-09", "UTC", datetime(2011, 12, 9)),
        (date(2011, 7, 9), LONDON, datetime(2011, 7, 8, 23)),
        ("2011-07-09", TOKYO, datetime(2011, 7, 8, 15)),
        ("20110709", TOKYO, datetime(2011, 7, 8, 15)),
        ("2011-12-09T12:50", TOKYO, datetime(2011, 12, 9, 12, 50)),  # without a zone it is UTC already
        ("2011-12-09 12:50", TOKYO, datetime(2011, 12, 9, 12, 50)),
        ("2011-12-09T12:50+09:00", "UTC", datetime(2011, 12, 9, 3, 50)),
        ("2011-12-09T12:50Z", TOKYO, datetime(2011, 12, 9, 12, 50)),
        (datetime(2011, 12, 9, 12, 50), TOKYO, datetime(2011, 12, 9, 12, 50)),
        (datetime(2011, 12, 9, 12, tzinfo=timezone(timedelta(hours=-5))), "UTC", datetime(2011, 12, 9, 17)),
        (pd.Timestamp("2011-12-09 12:00", tz=LONDON), "UTC", datetime(2011, 12, 9, 12)),
        ("2018-11-04", "America/Sao_Paulo", datetime(2018, 11, 4, 3)),  # this day began at one o'clock
    ],
)
def test_a_moment_is_utc_and_a_date_is_the_start_of_the_shops_day(as_of, timezone_, utc):
    assert moment(as_of, timezone=timezone_) == utc
    assert moment(as_of, timezone=timezone_).tzinfo is None


@pytest.mark.parametrize("as_of", ["yesterday", "2011-13-09", "09/12/2011", "2011-12-09T25:00", ""])
def test_a_date_in_another_spelling_is_refused_by_its_name(as_of):
    with pytest.raises(ValueError, match=r"start is '.*'; write it like '2011-12-09' or '2011-12-09T12:50'"):
        moment(as_of, name="start")


@pytest.mark.parametrize("as_of", [None, 2011, 1323388800.0, pd.NaT])
def test_a_moment_that_is_no_time_is_refused(as_of):
    with pytest.raises(TypeError, match=r"as_of is .*; it must be a date, a datetime or text"):
        moment(as_of)


@pytest.mark.parametrize("timezone_", ["Europe/Lundon", "GMT+1 or so", "", "Europe", "../etc", None, "+01:00"])
def test_a_time_zone_that_does_not_exist_is_refused(timezone_):
    with pytest.raises(ValueError, match=r"timezone is .*; it must be an IANA name such as 'Europe/London'"):
        zone(timezone_)


def test_the_day_of_a_moment_is_the_day_on_the_shops_wall():
    assert day_of("2011-12-09T23:30", timezone="UTC") == date(2011, 12, 9)
    assert day_of("2011-12-09T23:30", timezone=TOKYO) == date(2011, 12, 10)
    assert day_of(datetime(2011, 7, 9, 23, 30, tzinfo=UTC), timezone=LONDON) == date(2011, 7, 10)
    assert day_of("2011-07-09", timezone=LONDON) == date(2011, 7, 9)


@pytest.mark.parametrize("timezone_", ["UTC", LONDON, TOKYO, "America/New_York"])
def test_the_days_of_a_column_agree_with_the_day_of_each_moment(timezone_):
    at = pl.datetime_range(datetime(2024, 3, 29), datetime(2024, 4, 2), "37m", eager=True).alias("at")
    days = at.to_frame().select(local_day("at", timezone=timezone_)).to_series()
    assert days.to_list() == [day_of(one, timezone=timezone_) for one in at]


def test_a_wrong_zone_of_a_column_is_told_before_any_work():
    with pytest.raises(ValueError, match="timezone is 'Mars'"):
        local_day("at", timezone="Mars")


def test_a_moment_at_midnight_is_told_by_its_day():
    assert in_words(datetime(2025, 9, 1)) == "2025-09-01"
    assert in_words(datetime(2025, 9, 1, 8, 30)) == "2025-09-01 08:30:00"
