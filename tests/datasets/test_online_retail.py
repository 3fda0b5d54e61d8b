from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract import reconcile
from shoptoolkit.datasets import about, load, tidy
from shoptoolkit.datasets.online_retail import lines
from shoptoolkit.datasets.tables import read_table
from shoptoolkit.datasets.tidy import fingerprint

PARQUET = "online_retail/online_retail.parquet"
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
SPELLINGS = {"day first": "%d/%m/%Y %H:%M", "month first": "%-m/%-d/%y %-H:%M", "dashes": "%d-%m-%Y %H:%M", "ISO": None}


@pytest.fixture(scope="module")
def shop(public_data):
    return load("online_retail", folder=public_data(PARQUET).parent.parent)


@pytest.fixture(scope="module")
def raw(public_data):
    return pl.read_parquet(public_data(PARQUET))


@pytest.fixture(scope="module")
def part(raw):
    """3,000 lines, and all those whose codes are not plain numbers with letters."""
    odd = raw.filter(~pl.col("StockCode").str.contains(r"^\d{5}[A-Z]?$")).head(600)
    return pl.concat([raw.sample(3000, seed=1), odd])


def read(tmp_path, *rows):
    """Rows of a csv as checked events."""
    path = tmp_path / "some.csv"
    path.write_text("\n".join((HEADER, *rows)), encoding="utf-8")
    return tidy("online_retail", path, whole=False)


def counts(table, part):
    row = table.filter(pl.col("part").str.strip_chars() == part).row(0, named=True)
    return row["rows"], row["customers"], row["orders"], round(row["amount"], 2)


@pytest.mark.reference
def test_the_account_of_online_retail_is_the_published_one(shop):
    """REFERENCES, Online Retail reconciliation: UCI 352, counted."""
    table = reconcile(shop, split="category").table
    assert counts(table, "all lines") == (541_909, 4372, 25_900, 9_747_747.93)
    assert counts(table, "events")[1:] == (4372, 22_190, 8_300_065.81)
    assert counts(table, "purchases")[1:3] == (4339, 18_536)
    paid = shop.good.filter(pl.col("event") == "purchase", pl.col("price") > 0)
    assert (paid["customer_id"].n_unique(), paid["order_id"].n_unique()) == (4338, 18_532)


@pytest.mark.reference
def test_no_line_vanishes(shop, raw):
    good, aside = shop.good, shop.quarantined
    assert len(good) + len(aside) == len(raw)
    assert aside.filter(pl.col("reason").str.contains("customer_id is null")).height == 135_080
    assert aside.filter(pl.col("reason").str.contains("price is below 0")).height == 2
    sign = pl.when(pl.col("event").cast(pl.String) == "refund").then(-1).otherwise(1)
    amounts = [part.select((sign * pl.col("price") * pl.col("quantity")).sum()).item() for part in (good, aside)]
    assert sum(amounts) == pytest.approx(raw.select(pl.col("Quantity").dot("UnitPrice")).item(), rel=1e-12)


@pytest.mark.reference
def test_two_of_the_same_thing_on_one_invoice_stay_two_lines(shop, raw):
    names = [name for name in shop.good.columns if name != "event"]
    everything = pl.concat([shop.good.cast({"event": pl.String}), shop.quarantined.select(shop.good.columns)])
    assert len(raw) - raw.n_unique() == len(everything) - everything.n_unique() == 5268
    assert (
        shop.faults.filter(pl.col("action") == "kept")["rows"].item() == len(shop.good) - shop.good.n_unique() == 5225
    )
    assert len(names) == 9


@pytest.mark.reference
def test_prices_come_out_to_the_last_bit(shop, raw):
    known = raw.filter(pl.col("CustomerID").is_not_null())
    assert shop.good["price"].to_list() == known["UnitPrice"].to_list()


@pytest.mark.reference
def test_the_file_has_the_distinct_values_that_readers_of_the_xlsx_report(raw):
    """So the parquet, made from csv files by day, is the publisher's xlsx."""
    distinct = {name: raw[name].drop_nulls().n_unique() for name in raw.columns}
    assert distinct == {
        "InvoiceNo": 25_900,
        "StockCode": 4070,
        "Description": 4223,
        "Quantity": 722,
        "InvoiceDate": 23_260,
        "UnitPrice": 1630,
        "CustomerID": 4372,
        "Country": 38,
    }


@pytest.mark.reference
def test_postage_and_corrections_are_no_goods(shop):
    kinds = shop.good.group_by("category").len().sort("category").rows()
    assert kinds == [("adjustment", 570), ("goods", 404_913), ("postage", 1346)]
    pads = shop.good.filter(pl.col("item_id") == "PADS")
    assert pads["category"].unique().to_list() == ["goods"]  # to match all cushions


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_csv_gives_the_same_events_as_our_parquet(part, tmp_path, spelling, encoding):
    ours, theirs = tmp_path / "part.parquet", tmp_path / "part.csv"
    part.write_parquet(ours)
    told = (
        part
        if SPELLINGS[spelling] is None
        else part.with_columns(pl.col("InvoiceDate").dt.strftime(SPELLINGS[spelling]))
    )
    theirs.write_text(told.write_csv(), encoding=encoding)
    assert_same(ours, theirs)


def test_the_publishers_xlsx_gives_the_same_events_as_our_parquet(part, tmp_path):
    """Its cells for codes and invoices mix numbers and text."""
    ours, theirs = tmp_path / "part.parquet", tmp_path / "Online Retail.xlsx"
    part.write_parquet(ours)
    write_xlsx(part, theirs)
    assert_same(ours, theirs)


def assert_same(ours: Path, theirs: Path):
    one, other = (tidy("online_retail", path, whole=False) for path in (ours, theirs))
    assert_frame_equal(one.good, other.good)
    assert_frame_equal(one.quarantined, other.quarantined)
    marks = [fingerprint(lines(read_table(path))) for path in (ours, theirs)]
    assert marks[0] == marks[1]


def write_xlsx(frame: pl.DataFrame, path: Path):
    import xlsxwriter

    with xlsxwriter.Workbook(path) as book:
        sheet, clock = book.add_worksheet(), book.add_format({"num_format": "m/d/yy h:mm"})
        sheet.write_row(0, 0, frame.columns)
        for i, row in enumerate(frame.iter_rows(), start=1):
            for j, value in enumerate(row):
                if isinstance(value, datetime):
                    sheet.write_datetime(i, j, value, clock)
                elif value is not None:  # as in the publisher's file, codes of digits are numbers
                    sheet.write(i, j, int(value) if isinstance(value, str) and value.isdigit() else value)


def test_the_fingerprint_knows_content_and_not_the_order_of_rows(part):
    mark = fingerprint(lines(part))
    assert fingerprint(lines(part.reverse())) == mark
    assert fingerprint(lines(part.with_columns(pl.col("Description").str.to_lowercase()))) == mark
    dearer = part.with_columns(UnitPrice=pl.col("UnitPrice") + 0.01)
    assert fingerprint(lines(dearer)).sha256 != mark.sha256


def test_one_line_more_or_one_penny_less_is_not_the_published_file(raw, tmp_path):
    path = tmp_path / "online_retail.parquet"
    pl.concat([raw, raw.head(1)]).write_parquet(path)
    with pytest.raises(ValueError, match=r"rows 541,910, published 541,909; pieces .*; amount .*; hash of the rows"):
        tidy("online_retail", path)
    swapped = raw.with_columns(
        Country=pl.when(pl.col("Country") == "EIRE").then(pl.lit("Ireland")).otherwise("Country")
    )
    swapped.write_parquet(path)
    with pytest.raises(
        ValueError, match=r"published online_retail: hash of the rows \w{12}…, published 15d804ee26a6…\. "
    ):
        tidy("online_retail", path)


def test_british_summer_time_is_known(tmp_path):
    at = ["2011-01-05 10:00", "2011-07-05 10:00", "2011-10-30 01:30", "2011-10-30 02:30", "2011-03-27 01:30"]
    checked = read(tmp_path, *(f"536365,85123A,HEART,6,{one},2.55,17850,United Kingdom" for one in at))
    assert checked.good["at"].to_list() == [
        datetime(2011, 1, 5, 10),
        datetime(2011, 7, 5, 9),
        datetime(2011, 10, 30, 0, 30),  # this hour came twice; the first is taken
        datetime(2011, 10, 30, 2, 30),
    ]
    assert checked.quarantined.select("row", "reason").rows() == [(4, "at is null")]  # an hour that the clock skipped


def test_returns_are_refunds_and_codes_that_are_no_articles_are_told_apart(tmp_path):
    codes = ["85123A", "POST", "DOT", "C2", "M", "m", "D", "BANK CHARGES", "gift_0001_20", "PADS", "DCGS0003"]
    rows = [f"C536379,{code},,-1,2010-12-01 09:41,27.5,14527.0,United Kingdom" for code in codes]
    good = read(tmp_path, *rows).good
    assert good["event"].unique().to_list() == ["refund"]
    assert good["quantity"].to_list() == [1] * len(codes)
    assert good["customer_id"].unique().to_list() == [14527]
    kinds = ["goods", *["postage"] * 3, *["adjustment"] * 5, "goods", "goods"]
    assert dict(zip(codes, good["category"])) == dict(zip(codes, kinds))


def test_lines_that_cannot_stand_are_set_aside_under_our_names(tmp_path):
    rows = [
        "536365,85123A,HEART,6,2010-12-01 08:26,2.55,,United Kingdom",
        "A563186,B,Adjust bad debt,1,2010-12-01 08:26,-11062.06,,United Kingdom",
        "536366,85123A,HEART,0,2010-12-01 08:26,2.55,17850,United Kingdom",
        "536367,85123A,HEART,1,2010-12-01 08:26,0,17850,United Kingdom",
    ]
    checked = read(tmp_path, *rows)
    assert checked.good["order_id"].to_list() == ["536367"]  # a present: price zero is kept
    assert set(checked.good.columns) < set(checked.quarantined.columns)
    told = ["customer_id is null", "customer_id is null; price is below 0", "quantity is below 1"]
    assert checked.quarantined["reason"].to_list() == told


def test_the_facts_of_the_set_agree_with_its_content(raw):
    one = about("online_retail")
    assert (raw["InvoiceDate"].min().date(), raw["InvoiceDate"].max().date()) == (one.first_day, one.last_day)
    assert tuple(raw.columns) == one.columns
    assert len(raw) == one.rows
