from datetime import date, datetime

import polars as pl
import pytest

from shoptoolkit.datasets import tidy
from shoptoolkit.datasets.tables import in_units, money, texts, times, wholes

DAYS = {"first_day": date(2010, 12, 1), "last_day": date(2011, 12, 9)}


@pytest.mark.parametrize(
    "spelling",
    [
        ["2010-12-01 08:26:00", "2011-01-31 10:00:00"],
        ["2010-12-01T08:26", "2011-01-31T10:00"],
        ["01/12/2010 08:26", "31/01/2011 10:00"],
        ["01-12-2010 08:26", "31-01-2011 10:00"],
        ["1.12.10 8:26", "31.1.11 10:00"],
        ["12/1/2010 8:26", "1/31/2011 10:00"],
        ["12/1/10 8:26", "1/31/11 10:00"],
    ],
)
def test_every_spelling_of_a_moment_is_the_same_moment(spelling):
    read = times(pl.Series("InvoiceDate", spelling), **DAYS)
    assert read.to_list() == [datetime(2010, 12, 1, 8, 26), datetime(2011, 1, 31, 10)]


def test_the_dates_of_the_set_tell_the_day_from_the_month():
    """1 December 2010 is in the log, 12 January 2010 is not; no day above 12 is needed."""
    assert times(pl.Series("at", ["01/12/2010 08:26"]), **DAYS).item() == datetime(2010, 12, 1, 8, 26)
    assert times(pl.Series("at", ["12/01/2010 08:26"]), **DAYS).item() == datetime(2010, 12, 1, 8, 26)


def test_dates_that_could_be_read_in_two_ways_are_refused():
    with pytest.raises(ValueError, match=r"at: the day may come first or the month, e.g. '05/06/2011 10:00'"):
        times(pl.Series("at", ["05/06/2011 10:00"]), **DAYS)


@pytest.mark.parametrize("odd", ["2031-01-01 00:00", "yesterday", "2010-12-01 25:00"])
def test_one_date_that_is_none_is_never_dropped_in_silence(odd):
    with pytest.raises(ValueError, match="at: no spelling puts all values between 2010-12-01 and 2011-12-09"):
        times(pl.Series("at", ["2010-12-01 08:26", odd]), **DAYS)


def test_a_spreadsheets_fraction_of_a_second_is_put_right():
    before = pl.Series("at", [datetime(2010, 12, 1, 8, 25, 59, 999_000)])
    assert times(before, **DAYS).item() == times(before.cast(pl.String), **DAYS).item() == datetime(2010, 12, 1, 8, 26)


def test_codes_that_a_spreadsheet_took_for_numbers_stay_codes():
    mixed = pl.Series("StockCode", ["71053.0", "85123A", " 22086 ", "00123", "", None])
    assert texts(mixed).to_list() == ["71053", "85123A", "22086", "00123", None, None]


def test_money_keeps_its_last_digit():
    prices = pl.Series("price", [4.95, -11062.06, 0.001, 2.5499999999999998, None])
    assert money(prices).to_list() == [49_500, -110_620_600, 10, 25_500, None]
    assert in_units(money(prices)).to_list() == [4.95, -11062.06, 0.001, 2.55, None]
    assert money(prices.cast(pl.String)).to_list() == money(prices).to_list()


def test_what_is_no_number_is_told_with_an_example():
    with pytest.raises(ValueError, match=r"quantity: 1 values are not a number, e.g. 'six'. Mend them in the file."):
        wholes(pl.Series("quantity", ["1", "six", None]))
    with pytest.raises(ValueError, match=r"quantity: 1 values are not a whole number, e.g. 1.5"):
        wholes(pl.Series("quantity", [1.0, 1.5, None]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no such file"),
        (b"", "is empty \\(0 bytes\\)"),
        (b"PAR1 and then nothing", "cannot be read"),
        (b"PK\x03\x04 and then nothing", "is no workbook: .*. Fetch it anew"),
        (b"<html>404 not found</html>", "the columns InvoiceNo, .*, Country are missing; the file has: <html>404"),
        (
            b"InvoiceNo,StockCode\n1,2\n",
            "the columns Description, Quantity, .* are missing; the file has: InvoiceNo, StockCode",
        ),
    ],
)
def test_a_file_that_is_no_table_is_told_with_its_name(tmp_path, content, told):
    path = tmp_path / "online_retail.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)online_retail, .*online_retail.csv: .*({told})"):
        tidy("online_retail", path)
