import hashlib
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract import reconcile
from shoptoolkit.datasets import about, load, tidy

PARQUET = "cdnow/master.parquet"


@pytest.fixture(scope="module")
def shop(public_data):
    return load("cdnow", folder=public_data(PARQUET).parent.parent)


@pytest.fixture(scope="module")
def raw(public_data):
    return pl.read_parquet(public_data(PARQUET))


def as_published(raw: pl.DataFrame) -> bytes:
    """The text file of the publisher, to the byte: a header, columns of fixed width."""
    rows = (f" {who:05d} {day:%Y%m%d} {pieces:2d} {value:7.2f}\r\n" for who, day, pieces, value in raw.iter_rows())
    return (" customer_id  date number_of_cds  dollar_value\r\n" + "".join(rows)).encode()


@pytest.mark.reference
def test_the_cohort_is_the_published_one(shop):
    """Fader & Hardie (2001): 23,570 customers, first bought in the first quarter of 1997, 69,659 transactions."""
    first = shop.good.group_by("customer_id").agg(pl.col("at").min().dt.date().alias("day"))["day"]
    assert (len(shop.good), len(first), len(shop.quarantined)) == (69_659, 23_570, 0)
    assert (first.min(), first.max()) == (date(1997, 1, 1), date(1997, 3, 25))
    assert shop.good["at"].dt.date().max() == date(1998, 6, 30)


@pytest.mark.reference
def test_the_account_of_cdnow_adds_up_to_the_cent(shop, raw):
    paid = (shop.good["price"] * shop.good["quantity"] * 100).round().cast(pl.Int64)
    assert paid.to_list() == (raw["value"] * 100).round().cast(pl.Int64).to_list()
    assert paid.sum() == 250_031_563
    table = reconcile(shop).table
    assert table["rows"][0] == 69_659
    assert table.filter(pl.col("part").str.contains("price zero"))["rows"].item() == 80  # kept, and counted


@pytest.mark.reference
def test_two_transactions_on_one_day_stay_two_orders(shop):
    assert shop.good["order_id"].n_unique() == 69_659
    assert shop.good.select(pl.struct("customer_id", pl.col("at").dt.date())).n_unique() == 67_591
    assert len(shop.good) - shop.good.drop("order_id").n_unique() == 255  # alike to the cent


@pytest.mark.reference
def test_the_day_of_a_purchase_survives_the_clock(shop, raw):
    assert shop.good["at"].dt.date().to_list() == raw["date"].to_list()
    local = shop.good["at"].dt.replace_time_zone("UTC").dt.convert_time_zone(about("cdnow").timezone)
    assert local.dt.date().to_list() == raw["date"].to_list()


@pytest.mark.reference
def test_the_publishers_text_gives_the_same_events_as_our_parquet(shop, raw, tmp_path):
    content, path = as_published(raw), tmp_path / "CDNOW_master.txt"
    assert hashlib.sha256(content).hexdigest() == about("cdnow").sha256  # so this is what a download brings
    path.write_bytes(content)
    assert_frame_equal(tidy("cdnow", path).good, shop.good)


@pytest.mark.reference
def test_the_fingerprint_is_a_form_that_any_program_can_make(raw):
    told = [f"{who}|{day} 00:00|{pieces}|{round(value * 10_000)}" for who, day, pieces, value in raw.iter_rows()]
    assert hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest() == about("cdnow").fingerprint.sha256


@pytest.mark.reference
def test_a_csv_with_header_or_without_gives_the_same_events(shop, raw, tmp_path):
    path = tmp_path / "cdnow.csv"
    for told in (
        raw.write_csv(),
        raw.write_csv(include_header=False, separator=";"),
        raw.write_csv(date_format="%Y%m%d"),
    ):
        path.write_text(told)
        assert_frame_equal(tidy("cdnow", path).good, shop.good)


def test_orders_have_the_same_names_whatever_the_order_of_the_file(tmp_path):
    rows = ["00002 19970112  5   77.00", "00002 19970112  1   12.00", "00001 19970101  1    0.00"]
    named = []
    for told in (rows, rows[::-1]):
        path = tmp_path / "some.txt"
        path.write_text("\n".join(told))  # the publisher's own file has no header
        good = tidy("cdnow", path, whole=False).good
        named.append(dict(zip(good["order_id"], zip(good["quantity"], good["price"]))))
    assert named[0] == named[1] == {"2-19970112-1": (1, 12.0), "2-19970112-2": (5, 15.4), "1-19970101-1": (1, 0.0)}


def test_a_line_without_pieces_is_set_aside_and_not_divided_by(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("00001 19970101  0   11.77\n00002 19970101  0    0.00\n00003 19970101  1    1.00\n")
    checked = tidy("cdnow", path, whole=False)
    assert checked.good["customer_id"].to_list() == [3]
    assert checked.quarantined["reason"].str.contains("quantity is below 1").all()


def test_a_torn_line_is_told_by_its_number(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("00001 19970101  1   11.77\n00002 19970\n")
    with pytest.raises(ValueError, match=r"row 2 has 2 fields, must have 4 \(customer_id, date, quantity, value\)"):
        tidy("cdnow", path, whole=False)
    path.write_text("1,2,3\n")
    with pytest.raises(ValueError, match="no header and 3 columns, must be 4: customer_id, date, quantity, value"):
        tidy("cdnow", path, whole=False)
