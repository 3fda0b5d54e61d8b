"""A shop's own log through the door: files of every make, timestamps of every make, ids, and what is refused."""

import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoptoolkit.contract import Checked, ContractError, Events, Spells, check, read_assignments, read_events

LOG = "customer_id,at,event,price\n007,2024-03-01 09:00,view,\n7,2024-03-01 10:30:05,purchase,2.50\n"
GOOD = pl.DataFrame(
    {
        "customer_id": ["007", "7"],
        "at": [datetime(2024, 3, 1, 9), datetime(2024, 3, 1, 10, 30, 5)],
        "event": pl.Series(["view", "purchase"], dtype=pl.Enum(Events.fields["event"].values)),
        "price": [None, 2.5],
    }
)


@pytest.fixture
def read(tmp_path):
    """Write a file under a name and read it as a log."""

    def write_and_read(content: str | bytes, name: str = "log.csv", **options: object) -> Checked:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_events(path, **options)

    return write_and_read


def stamps(*values: object, **options: object) -> list[datetime | None]:
    """The moments of a column of timestamps, in the rows' order; None where a row was set aside."""
    frame = pl.DataFrame({"customer_id": range(len(values)), "at": pl.Series(values), "event": "view"})
    good = read_events(frame, **options).good
    return frame.select("customer_id").join(good, on="customer_id", how="left")["at"].to_list()


# ---- files that are fine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", LOG),
        ("LOG.CSV", LOG),
        ("log.txt", LOG.replace(",", "|")),
        ("log.csv", LOG.replace(",", ";")),
        ("log.tsv", LOG.replace(",", "\t")),
        ("log.csv", LOG.replace("\n", "\r\n")),
        ("log.csv", LOG.replace("price", '"price"').replace("at,", " at ,")),
        ("bom.csv", b"\xef\xbb\xbf" + LOG.encode()),
        ("bom.csv", b"\xef\xbb\xbf" + LOG.replace("customer_id", '"customer_id"').encode()),
        ("utf16.csv", LOG.replace(",", "\t").encode("utf-16")),
        ("log.csv.gz", gzip.compress(LOG.encode(), mtime=0)),
        ("log.csv", LOG.replace("view,", "view, ").rstrip()),
        ("log[1].csv", LOG),
    ],
)
def test_a_csv_of_any_make_is_read(read, name, content):
    checked = read(content, name)
    assert_frame_equal(checked.good, GOOD)
    assert checked.faults.is_empty()


def test_parquet_and_json_lines_are_read(read, tmp_path):
    GOOD.write_parquet(tmp_path / "log[1].parquet")
    assert_frame_equal(read_events(str(tmp_path / "log[1].parquet")).good, GOOD)
    lines = GOOD.with_columns(pl.col("at").dt.to_string("iso")).write_ndjson()
    for name, content in (("log.jsonl", lines), ("log.ndjson", "\ufeff" + lines), ("log.json", lines + "\n")):
        assert_frame_equal(read(content, name).good, GOOD)


def test_a_glob_is_one_log_in_the_order_of_the_names(tmp_path):
    header, *rows = LOG.splitlines()
    for name, row in zip(("b.csv", "a.csv"), rows):
        (tmp_path / name).write_text(f"{header}\n{row}\n")
    (tmp_path / "folder.csv").mkdir()
    assert_frame_equal(read_events(tmp_path / "*.csv").good, GOOD.reverse())


def test_files_of_a_glob_may_order_their_columns_differently(tmp_path):
    GOOD.write_parquet(tmp_path / "1.parquet")
    GOOD.select(GOOD.columns[::-1]).with_columns(price=pl.lit(3)).write_parquet(tmp_path / "2.parquet")
    assert len(read_events(str(tmp_path / "*.parquet")).good) == 4


def test_quoted_commas_and_newlines_stay_in_their_cell(read):
    checked = read('customer_id,at,event,category\na,2024-03-01,view,"tea,\n""two"" cups"\n')
    assert checked.good["category"].to_list() == ['tea,\n"two" cups']


def test_an_old_windows_export_keeps_its_umlauts(read):
    checked = read("customer_id,at,event,category\nJürgen,2024-03-01,view,Tee für 3 €\n".encode("cp1252"))
    assert checked.good.select("customer_id", "category").row(0) == ("Jürgen", "Tee für 3 €")


@pytest.mark.parametrize("text", ["🛒🎁", "顧客の茶", "תה ירוק", "a\u200bb", "x" * 1_000_000])
def test_texts_of_any_script_and_length_are_read(read, text):
    assert read(f"customer_id,at,event,category\n{text},2024-03-01,view,{text}\n").good["category"][0] == text


def test_json_lines_may_be_nested_and_miss_keys(read):
    rows = [
        {"customer_id": 1, "at": "2024-03-01T09:00:00Z", "event": "view", "page": {"path": "/", "tags": ["a"]}},
        {"customer_id": 2, "at": "2024-03-01T09:00:00Z", "event": "purchase", "price": "2.5"},
        {"at": "2024-03-01T09:00:00Z", "event": "view"},
    ]
    checked = read("\n".join(map(json.dumps, rows)), "log.jsonl")
    assert checked.good["customer_id"].to_list() == [1, 2]
    assert checked.good["page"][0] == {"path": "/", "tags": ["a"]}
    assert checked.good["price"].to_list() == [None, 2.5]
    assert checked.quarantined["reason"].to_list() == ["customer_id is null"]


def test_columns_that_nobody_knows_are_kept(read):
    checked = read(LOG.replace("price", "price,page,").replace(",view,", ",view,,/tea,"), "log.csv")
    assert checked.good["page"].to_list() == ["/tea", None]


# ---- files that are not ---------------------------------------------------------------------------------------------

PARQUET, EXCEL = b"PAR1\x15\x04\x15", b"PK\x03\x04\x14\x00\x06\x00"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("log.csv", b"", r"log.csv is empty \(0 bytes\)"),
        ("log.csv", b" \n\n", r"log.csv is empty \(3 bytes\)"),
        ("log.csv", b"\xef\xbb\xbf", r"log.csv is empty \(3 bytes\)"),
        ("log.jsonl", b"", r"log.jsonl is empty"),
        ("log.parquet", b"", r"log.parquet is empty"),
        ("log.csv.gz", gzip.compress(b"", mtime=0), r"log.csv.gz is empty"),
        ("log.csv", "customer_id,at,event\n", r"events: 0 rows in .*log.csv; its columns are customer_id, at, event"),
        ("log.csv", "customer_id,at,event", r"events: 0 rows in .*log.csv; its columns are customer_id, at, event"),
        ("log.parquet", LOG, "log.parquet is not parquet: its content looks like text"),
        ("log.csv", PARQUET, "log.csv is not csv: its content looks like parquet. Give it the ending of what it is"),
        ("log.csv", EXCEL, "log.csv is not csv: its content looks like an Excel workbook"),
        ("log.csv", b"\x7fELF\x00\x01", "log.csv is not csv: its content looks like a binary file"),
        ("log.csv", '{"customer_id": 1}\n', "log.csv is not csv: its content looks like json lines"),
        ("log.jsonl", EXCEL, "log.jsonl is not json lines: its content looks like an Excel workbook"),
        ("log.json", '[{"customer_id": 1}]', r"log.json is not json lines: .* one json array \(pl.read_json"),
        ("log.jsonl", LOG, "log.jsonl cannot be read as json lines: line 1: Expecting value"),
        ("log.jsonl", '{"at": 1}\n\n{"at": \n', "log.jsonl cannot be read as json lines: line 3: Expecting value"),
        ("log.parquet", PARQUET, "log.parquet cannot be read as parquet: "),
        ("log.parquet", gzip.compress(LOG.encode(), mtime=0), "log.parquet is not parquet: .* a gzip archive"),
        ("log.parquet.gz", gzip.compress(PARQUET, mtime=0), "log.parquet.gz is not parquet: .* a gzip archive"),
        (
            "log.csv.gz",
            gzip.compress(LOG.encode(), mtime=0)[:-9],
            "log.csv.gz cannot be unpacked: .*part of it is missing",
        ),
        ("log.csv.gz", b"\x1f\x8bnot really", "log.csv.gz cannot be unpacked"),
        ("log.xlsx", EXCEL, r"log.xlsx: the ending '.xlsx' is unknown; known are .csv"),
        ("log", LOG, "log: the ending '' is unknown"),
        ("log.csv", LOG + "a,b,c,d,e\n", "log.csv cannot be read as csv: line 4 has 5 values, the header names 4"),
        ("log.csv", LOG + 'a,2024-03-01,"view,1\n', "log.csv cannot be read as csv: could not parse"),
        ("log.csv", LOG.replace("price", "price,price"), "the header names 'price' more than once"),
        ("log.csv", LOG.replace("price", "at , price"), "the header names 'at' more than once; rename all but one"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_what_to_do(read, name, content, told):
    with pytest.raises(ContractError, match=told):
        read(content, name)


def test_a_real_workbook_named_csv_is_recognised(tmp_path):
    GOOD.write_excel(tmp_path / "log.xlsx")
    (tmp_path / "log.xlsx").rename(tmp_path / "log.csv")
    with pytest.raises(ContractError, match="looks like an Excel workbook or zip archive"):
        read_events(tmp_path / "log.csv")


def test_no_such_file_no_match_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ContractError, match=r"nothing.csv': no such file, and no file matches it as a glob"):
        read_events(tmp_path / "nothing.csv")
    with pytest.raises(ContractError, match=r"\*.parquet': no such file, and no file matches"):
        read_events(f"{tmp_path}/*.parquet")
    with pytest.raises(ContractError, match=r"a folder; name its files by a glob, e.g. '.*/\*.csv'"):
        read_events(tmp_path)


def test_the_text_of_a_log_is_no_path():
    with pytest.raises(ContractError, match="no such file, and no file matches it as a glob"):
        read_events("customer_id,at,event\n" + "1,2025-01-01,view\n" * 300)


def test_a_glob_that_mixes_kinds_of_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(LOG)
    GOOD.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(ContractError, match=r"mixes kinds of file: a.csv \(csv\), b.parquet \(parquet\)"):
        read_events(tmp_path / "*")


def test_a_glob_whose_files_differ_in_columns_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(LOG)
    (tmp_path / "b.csv").write_text(LOG.replace("price", "amount"))
    with pytest.raises(ContractError, match=r"b.csv and a.csv differ in columns: amount, price"):
        read_events(tmp_path / "*.csv")


def test_a_glob_whose_files_differ_in_types_is_refused(tmp_path):
    GOOD.write_parquet(tmp_path / "a.parquet")
    GOOD.with_columns(pl.col("at").dt.replace_time_zone("UTC")).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(ContractError, match="whose files differ in types"):
        read_events(tmp_path / "*.parquet")


def test_a_glob_with_one_empty_file_names_it(tmp_path):
    (tmp_path / "a.csv").write_text(LOG)
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(ContractError, match=r"b.csv is empty"):
        read_events(tmp_path / "*.csv")


@pytest.mark.parametrize("source", [["log.csv"], 3, None, b"log.csv"])
def test_a_source_that_is_neither_path_nor_frame_is_refused(source):
    with pytest.raises(TypeError, match="a frame is needed, got"):
        read_events(source)


def test_a_frame_without_rows_is_refused():
    with pytest.raises(ContractError, match="events: 0 rows in the DataFrame; its columns are customer_id"):
        read_events(GOOD.clear())


# ---- names of columns -----------------------------------------------------------------------------------------------


def test_columns_are_renamed_and_the_input_stays_as_it_is():
    theirs = GOOD.rename({"customer_id": "user", "at": "ts"})
    before = theirs.clone()
    assert_frame_equal(read_events(theirs, columns={"user": "customer_id", "ts": "at"}).good, GOOD)
    assert_frame_equal(theirs, before)


def test_a_column_that_had_our_name_before_makes_room():
    log = GOOD.with_columns(ts=pl.col("at") + timedelta(days=1), at_before=pl.lit("x"))
    good = read_events(log, columns={"ts": "at"}).good
    assert good["at"].to_list() == log["ts"].to_list()
    assert good["at_before_before"].to_list() == log["at"].to_list()
    swapped = GOOD.rename({"at": "event", "event": "at"})
    assert read_events(swapped, columns={"at": "event", "event": "at"}).good["at"].to_list() == GOOD["at"].to_list()


def test_columns_that_are_not_in_the_log_are_named():
    with pytest.raises(ContractError, match=r"columns names 'user', 'when', not in the log; write \{yours: ours\}"):
        read_events(GOOD, columns={"user": "customer_id", "when": "at"})


def test_two_columns_cannot_become_one():
    with pytest.raises(ContractError, match="columns gives 'at' more than once"):
        read_events(GOOD.with_columns(ts="at"), columns={"ts": "at", "at": "at"})


def test_faults_of_all_columns_are_told_together_also_those_of_parsing():
    log = pl.DataFrame({"user": [1], "at": ["01/02/2010"], "known_at": [5], "event": [1], "price": ["3"]})
    with pytest.raises(ContractError) as told:
        read_events(log)
    for fault in (
        "'customer_id' is missing",
        "'at' is text like '01/02/2010', where the day may come first or the month",
        "'known_at' is Int64; where it counts from 1970, pass datetime_format='s'",
        "'event' is Int64, must be String",
        "If 'user' is your 'customer_id'",
    ):
        assert fault in str(told.value)


# ---- timestamps -----------------------------------------------------------------------------------------------------

NINE = datetime(2024, 3, 14, 9)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-14", datetime(2024, 3, 14)),
        ("2024/03/14 09:00", NINE),
        ("20240314", datetime(2024, 3, 14)),
        ("20240314T09:00:00", NINE),
        ("2024-03-14 09:00", NINE),
        ("2024-03-14T09:00:00", NINE),
        (" 2024-03-14 09:00:00 ", NINE),
        ("2024-03-14 09:00:00.250", NINE + timedelta(milliseconds=250)),
        ("2024-03-14T09:00:00.123456789", NINE + timedelta(microseconds=123456)),
        ("2024-03-14T09:00:00Z", NINE),
        ("2024-03-14 09:00:00 UTC", NINE),
        ("2024-03-14T09:00:00.5Z", NINE + timedelta(milliseconds=500)),
        ("2024-03-14T10:00:00+01:00", NINE),
        ("2024-03-14 04:00:00 -0500", NINE),
        ("14/03/2024 09:00", NINE),
        ("14.03.2024 09:00:00", NINE),
        ("14-3-2024 9:00", NINE),
        ("03/14/2024 09:00", NINE),
        ("3/14/2024 9:00 AM", NINE),
        ("3/14/2024 9:00:00 pm", NINE + timedelta(hours=12)),
    ],
)
def test_text_timestamps_in_the_usual_formats_are_read(text, moment):
    assert stamps(text) == [moment]


def test_formats_may_be_mixed_and_a_rare_one_is_found():
    common = [f"2024-03-14 09:00:{second:02}" for second in range(60)] * 500
    assert stamps(*common, "2024-03-14", "14.03.2024 09:00")[-2:] == [datetime(2024, 3, 14), NINE]


def test_one_timestamp_among_a_crowd_of_other_texts_is_found():
    assert stamps(*(f"order {number}" for number in range(50_000)), "2024-03-14")[-1] == datetime(2024, 3, 14)


def test_what_cannot_be_read_goes_to_the_quarantine_row_by_row_with_its_raw_value():
    log = pl.DataFrame(
        {
            "customer_id": [1, 2, 3, 4, 5],
            "at": ["2024-03-14", "soon", "2024-02-30", None, "  "],
            "event": "view",
            "price": ["1", "2.5", "cheap", "1e2", ""],
            "quantity": ["1.0", "two", "1.5", "9" * 30, ""],
        }
    )
    checked = read_events(log)
    assert checked.good["customer_id"].to_list() == [1]
    assert_frame_equal(checked.quarantined.select(log.columns), log[1:])
    assert checked.quarantined["reason"].to_list() == [
        "at cannot be read as a time; quantity cannot be read as a whole number",
        "at cannot be read as a time; price cannot be read as a number; quantity cannot be read as a whole number",
        "quantity cannot be read as a whole number; at is null",
        "at is null",
    ]
    assert checked.faults.row(0)[:3] == ("at cannot be read as a time", "quarantined", 2)


@pytest.mark.parametrize("text", ["soon", "01/12/11", "1709283600", "2019101", "14 March 2024", "2024-03-14 25:00"])
def test_a_column_of_which_nothing_can_be_read_is_refused_with_the_mend(text):
    with pytest.raises(ContractError, match=f"'at' is text like '{text}' that fits no known format.*datetime_format"):
        stamps(text)


def test_a_long_timestamp_makes_no_long_message():
    with pytest.raises(ContractError) as told:
        stamps("x" * 1_000_000)
    assert len(str(told.value)) < 300


def test_the_day_comes_first_where_a_value_says_so():
    assert stamps("03/04/2024", "14/04/2024") == [datetime(2024, 4, 3), datetime(2024, 4, 14)]


def test_the_month_comes_first_where_a_value_says_so():
    assert stamps("03/04/2024 09:00", "04/14/2024 09:00") == [datetime(2024, 3, 4, 9), datetime(2024, 4, 14, 9)]


@pytest.mark.parametrize("values", [["03/04/2024"], ["01.02.2024 09:00", "12.12.2024 09:00", None]])
def test_day_or_month_first_is_refused_where_it_cannot_be_known(values):
    with pytest.raises(ContractError, match=r"day may come first or the month \(no value is above 12\)"):
        stamps(*values)
    assert stamps(*values, datetime_format=f"%d{values[0][2]}%m{values[0][2]}%Y{' %H:%M' * (len(values) > 1)}")[0]


def test_day_first_and_month_first_in_one_column_are_refused():
    with pytest.raises(ContractError, match=r"day may come first or the month \(both are seen\)"):
        stamps("14/03/2024", "03/14/2024")


def test_a_single_slip_among_many_days_is_set_aside():
    days = [f"{day}/{month:02}/2024" for day in range(13, 31) for month in (3, 4)]
    assert stamps(*days, "03/31/2024")[-1] is None


def test_the_order_of_rows_decides_nothing_about_the_day():
    values = [f"{day:02}/03/2024" for day in range(1, 13)] * 4000 + ["13/03/2024"]
    assert stamps(*values)[0] == stamps(*values[::-1])[-1] == datetime(2024, 3, 1)


@settings(max_examples=40)
@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)), st.sampled_from(["%d/%m/%Y %H:%M:%S", "%m-%d-%Y"]))
def test_a_format_that_is_named_is_followed(moment, pattern):
    text = moment.strftime(pattern)
    assert stamps(text, datetime_format=pattern) == [datetime.strptime(text, pattern)]


@pytest.mark.parametrize("pattern", ["dd/mm/yyyy", "%Q", "%d", "%Y-%m-%d", ""])
def test_a_format_that_fits_nothing_is_refused(pattern):
    with pytest.raises(ContractError, match=f"'at' is text like '14/Mar/2024' that does not fit '{pattern}'"):
        stamps("14/Mar/2024", datetime_format=pattern)


def test_the_format_of_a_web_servers_log_is_followed():
    pattern = "[%d/%b/%Y:%H:%M:%S %z]"
    assert stamps("[14/Mar/2024:10:00:00 +0100]", datetime_format=pattern) == [NINE]


def test_timestamps_with_and_without_a_zone_are_not_mixed():
    with pytest.raises(ContractError, match="'at' mixes timestamps with and without a zone"):
        stamps("2024-03-14 09:00:00", "2024-03-14 09:00:00Z")
    assert stamps("2024-03-14 09:00:00", "2024-03-14 09:00:00Z", datetime_format="%Y-%m-%d %H:%M:%S") == [NINE, None]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("kind", [int, str, float])
def test_numbers_since_1970_are_utc_in_the_unit_that_is_named(unit, factor, kind):
    assert stamps(kind(1710406800 * factor), datetime_format=unit, timezone="Asia/Tokyo") == [NINE]


def test_parts_of_a_second_since_1970_are_kept():
    assert stamps(1710406800.25, datetime_format="s") == [NINE + timedelta(milliseconds=250)]
    assert stamps("1710406800123", datetime_format="ms") == [NINE + timedelta(milliseconds=123)]


def test_numbers_since_1970_in_the_wrong_unit_or_none_are_not_believed():
    assert stamps(1710406800, 1710406800000, datetime_format="s") == [NINE, None]
    with pytest.raises(ContractError, match=r"'at' is Int64; where it counts from 1970, pass datetime_format='s' \(or"):
        stamps(1710406800)


@pytest.mark.parametrize("value", [NINE, "2024-03-14 09:00", "2024-03-14T09:00:00"])
def test_local_time_becomes_utc(value):
    assert stamps(value, timezone="America/New_York") == [NINE + timedelta(hours=4)]
    assert stamps(value) == [NINE]


@pytest.mark.parametrize("as_text", [True, False])
def test_the_hour_that_spring_skips_is_set_aside_and_of_autumns_two_the_first_is_meant(as_text):
    local = [datetime(2024, 3, 31, 0, 30), datetime(2024, 3, 31, 1, 30), datetime(2024, 3, 31, 2, 30)]
    local += [datetime(2024, 10, 27, 0, 30), datetime(2024, 10, 27, 1, 30), datetime(2024, 10, 27, 2, 30)]
    values = [str(one) for one in local] if as_text else local
    utc = [local[0], None, local[2] - timedelta(hours=1)]
    utc += [local[3] - timedelta(hours=1), local[4] - timedelta(hours=1), local[5]]
    assert stamps(*values, timezone="Europe/London") == utc


def test_a_databases_infinity_is_no_moment():
    years = [
        0,
        8_210_298_412_799_999_999,
        -8_334_601_228_800_000_000,
    ]  # microseconds: 1970, and PostgreSQL's infinities
    log = pl.DataFrame({"customer_id": 1, "event": "view", "at": pl.Series(years).cast(pl.Datetime("us"))})
    with pytest.raises(
        ContractError, match=r"'at' lies outside the years 1 to 9999 in 2 rows .*infinity.*leave them out"
    ):
        read_events(log)


def test_zoned_times_need_no_timezone_and_ignore_it():
    zoned = pl.Series([NINE]).dt.replace_time_zone("Asia/Tokyo")
    assert stamps(*zoned, timezone="Europe/London") == [datetime(2024, 3, 14)]
    assert stamps("2024-03-14T09:00:00+09:00", timezone="Europe/London") == [datetime(2024, 3, 14)]


def test_a_date_is_the_start_of_the_shops_day():
    assert stamps(NINE.date(), timezone="Asia/Tokyo") == [datetime(2024, 3, 13, 15)]
    assert stamps("2024-03-14", timezone="Asia/Tokyo") == [datetime(2024, 3, 13, 15)]


@pytest.mark.parametrize("value", [NINE, "2024-03-14T09:00:00Z"])
def test_a_time_zone_that_does_not_exist_is_refused_also_where_none_is_needed(value):
    with pytest.raises(ValueError, match="timezone is 'Europe/Lundon'; it must be an IANA name"):
        stamps(value, timezone="Europe/Lundon")


def test_both_clocks_are_parsed_and_compared(read):
    text = "customer_id,at,known_at,event\na,2024-03-14 09:00,2024-03-14 09:05,view\n"
    checked = read(text + "b,2024-03-14 09:00,2024-03-14 08:59,view\nc,2024-03-14 09:00,,view\n")
    assert checked.good["customer_id"].to_list() == ["a", "c"]
    assert checked.quarantined["reason"].to_list() == ["known_at is before at"]


def test_a_column_that_is_neither_text_nor_time_is_refused():
    with pytest.raises(ContractError, match="'at' is Time, must be Datetime"):
        read_events(GOOD.with_columns(pl.col("at").dt.time()))


# ---- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "read_as"),
    [
        (["17850", "13047"], [17850, 13047]),
        (["17850", "A7"], ["17850", "A7"]),
        (["007", "7"], ["007", "7"]),
        (["-5", "5"], [-5, 5]),
        (["1.0", "2.0"], ["1.0", "2.0"]),
        ([str(2**63), "1"], [str(2**63), "1"]),
    ],
)
def test_ids_of_a_csv_become_integers_only_where_nothing_is_lost(read, ids, read_as):
    text = "customer_id,at,event\n" + "".join(f"{one},2024-03-01,view\n" for one in ids)
    assert read(text).good["customer_id"].to_list() == read_as


def test_text_ids_of_a_frame_stay_text():
    assert read_events(GOOD.with_columns(customer_id=pl.lit("17850"))).good.schema["customer_id"] == pl.String


def test_pandas_ids_with_gaps_are_read():
    log = pd.DataFrame({"customer_id": [17850.0, None], "at": ["2024-03-01", "2024-03-01"], "event": "view"})
    checked = read_events(log)
    assert checked.good["customer_id"].to_list() == [17850]
    assert checked.quarantined["reason"].to_list() == ["customer_id is null"]


# ---- invariances ----------------------------------------------------------------------------------------------------

CELL = st.sampled_from(
    ["2024-03-01", "2024-03-01 09:00", "soon", "2.5", "-1", "view", "purchase", "", " ", None, "🛒", "a,\n"]
)


@settings(max_examples=40)  # each example is read twice
@given(st.lists(st.tuples(CELL, CELL, CELL, CELL), max_size=20))
def test_good_and_quarantined_rows_together_are_the_log(rows):
    first = ("a", "2024-03-01", "view", "1")
    log = pl.DataFrame(
        [first, *rows], schema=dict.fromkeys(("customer_id", "at", "event", "price"), pl.String), orient="row"
    )
    before = log.clone()
    checked = read_events(log)
    assert_frame_equal(log, before)
    bad = checked.quarantined
    assert_frame_equal(bad.select(log.columns), log[bad["row"].to_list()])
    kept = log.filter(~pl.int_range(pl.len()).is_in(bad["row"].to_list()))
    assert checked.good["customer_id"].to_list() == kept["customer_id"].to_list()
    assert_frame_equal(check(checked.good, Events).good, checked.good)
    assert read_events(log.reverse()).good.sort(log.columns).equals(checked.good.sort(log.columns))


def test_a_csv_and_its_parquet_are_the_same_log(read, tmp_path):
    pl.read_csv(LOG.encode(), infer_schema=False).write_parquet(tmp_path / "same.parquet")
    assert_frame_equal(read(LOG).good, read_events(Path(tmp_path / "same.parquet")).good)


def test_files_of_one_log_must_agree_whether_an_id_is_a_number(tmp_path):
    rows = {"at": [datetime(2024, 3, 1)], "event": ["view"]}
    pl.DataFrame({"customer_id": [7.0], **rows}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"customer_id": ["007"], **rows}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(ContractError, match=r"'customer_id' is Float64 in a.parquet and String in b.parquet"):
        read_events(tmp_path / "*.parquet")


def test_an_empty_file_among_others_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("customer_id,at,event\n1,2024-03-01,view\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("customer_id,at,event\n", encoding="utf-8")
    with pytest.raises(ContractError, match=r"b.csv has 0 rows"):
        read_events(tmp_path / "*.csv")


@pytest.mark.parametrize(
    ("prices", "read"),
    [
        (["18,81", "7", "1.234,50"], [18.81, 7.0, 1234.5]),
        (["1,234", "2,345"], [None, None]),  # thousands, or a comma? not guessed
        (["18.81", "7,5"], [18.81, None]),
    ],
)
def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(tmp_path, prices, read):
    rows = "\n".join(f"{n};2024-03-01;view;{price}" for n, price in enumerate(prices))
    (tmp_path / "log.csv").write_text(f"customer_id;at;event;price\n{rows}\n", encoding="utf-8")
    checked = read_events(tmp_path / "log.csv")
    assert checked.good["price"].to_list() == [price for price in read if price is not None]
    assert len(checked.quarantined) == read.count(None)


def test_frames_of_another_room_are_told_where_they_come_from():
    orders = pl.DataFrame({"customer_id": [1], "ordered_at": [datetime(2024, 3, 1)]})
    with pytest.raises(ContractError, match=r"Spells are made by survival.repurchase_spells\(orders, as_of=...\)"):
        check(orders, Spells)


def test_kinds_of_events_may_have_other_names_and_another_case():
    log = pl.DataFrame({"customer_id": [1] * 4, "at": ["2024-03-01"] * 4, "price": [5.0] * 4})
    log = log.with_columns(event=pl.Series(["Purchase ", "BUY", "return", "gift"]))
    checked = read_events(log, kinds={"buy": "purchase", " Return": "refund"})
    assert checked.good["event"].to_list() == ["purchase", "purchase", "refund"]
    assert checked.quarantined["event"].to_list() == ["gift"]
    with pytest.raises(ValueError, match="kinds is 'sale'; it must be one of 'impression', 'click'"):
        read_events(log, kinds={"buy": "sale"})


def test_arms_come_as_csv_with_names_of_their_own_and_one_experiment_needs_no_id(tmp_path):
    path = tmp_path / "arms.csv"
    path.write_text("who;variant;when\n1;ad;2024-03-01 10:00\n2;none;soon\n", encoding="utf-8")
    ours = {"who": "customer_id", "variant": "arm", "when": "assigned_at"}
    checked = read_assignments(path, columns=ours, timezone="Europe/Berlin")
    known = checked.good.select("customer_id", "arm", "assigned_at", "experiment_id").rows()
    assert known == [(1, "ad", datetime(2024, 3, 1, 9), "the experiment")]
    assert len(checked.quarantined) == 1
    with pytest.raises(ContractError, match="columns names 'whom', not in the assignments"):
        read_assignments(path, columns={"whom": "customer_id"})
