"""`open_log`: one door for public sets, files and frames."""

from datetime import date, timedelta

import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.datasets import open_log
from shoptoolkit.simulate import shop


@pytest.fixture(scope="module")
def world():
    return shop(n_customers=40, days=50, rng=1)


def test_a_public_set_brings_its_own_facts(public_data):
    public_data("cdnow/master.parquet")
    log = open_log("cdnow")
    assert (log.timezone, log.currency, log.as_of, log.history_known) == (
        "America/New_York",
        "USD",
        date(1998, 7, 1),
        True,
    )
    assert log.window == "1 Jan 1997 to 30 Jun 1998"
    assert "Fader" in log.citation
    assert len(log.checked.good) == 69_659


def test_a_given_fact_stands_above_the_known_one(public_data):
    public_data("cdnow/master.parquet")
    assert open_log("cdnow", as_of="1998-01-01", currency="dollars").as_of == date(1998, 1, 1)


def test_a_frame_of_ones_own_needs_only_the_end(world):
    log = open_log(world.events, as_of=world.as_of, name="my shop")
    assert (log.name, log.timezone, log.currency, log.history_known) == ("my shop", "UTC", "", False)
    assert log.checked.good.height == world.events.height
    assert "my shop" in repr(log)
    assert "my shop" in log._repr_html_()


def test_a_file_takes_its_name_and_its_clock(world, tmp_path):
    world.events.write_csv(tmp_path / "mine.csv")
    log = open_log(str(tmp_path / "mine.csv"), as_of=world.as_of, clock="Asia/Tokyo")
    assert (log.name, log.timezone) == ("mine.csv", "Asia/Tokyo")
    assert log.checked.good["at"].min() < world.events["at"].min()  # nine hours earlier in UTC


def test_a_log_in_utc_may_be_of_a_shop_elsewhere(world):
    log = open_log(world.events, as_of=world.as_of, timezone="America/New_York")
    assert log.timezone == "America/New_York"
    assert log.checked.good["at"].equals(world.events["at"])


def test_a_log_that_ends_long_before_as_of_says_so(world):
    last = world.events["at"].max().date()
    assert open_log(world.events, as_of=last + timedelta(days=1)).silent_days == 0
    assert open_log(world.events, as_of=last + timedelta(days=31)).silent_days == 30


def test_a_log_without_a_good_row_is_refused_with_its_faults(world):
    with pytest.raises(ValueError, match=r"source is 'a frame', of which no row is good.(?s:.*)price is below 0"):
        open_log(world.events.with_columns(price=pl.lit(-1.0)), as_of=world.as_of)


def test_columns_of_a_public_set_cannot_be_renamed(public_data):
    public_data("cdnow/master.parquet")
    with pytest.raises(ValueError, match=r"columns is .*; cdnow is tidied already and needs none of them"):
        open_log("cdnow", columns={"a": "customer_id"})


def test_a_log_without_an_end_is_refused(world):
    with pytest.raises(
        ValueError, match=r"as_of is None; give the first day not to look at.*The last event is of 2025-02"
    ):
        open_log(world.events)


def test_a_misspelt_set_is_told_the_known_ones():
    with pytest.raises(
        ValueError, match=r"source is 'online_retial': no public set .known are online_retail, cdnow. and no file"
    ):
        open_log("online_retial", as_of="2011-12-09")


def test_a_file_that_is_not_there_is_told_so():
    with pytest.raises(ContractError, match="no such file"):
        open_log("no/such/log.csv", as_of="2011-12-09")


def test_only_keeps_the_rows_of_one_value_and_counts_the_others(world):
    events = world.events.with_columns(
        store=pl.when(pl.col("item_id") % 3 > 0).then(pl.col("item_id") % 3),
        is_gift=pl.col("item_id") % 2 == 0,
        price=pl.when(pl.int_range(pl.len()) < 5).then(-1.0).otherwise("price"),
    )
    whole = open_log(events, as_of=world.as_of, name="mine")
    first = open_log(events, as_of=world.as_of, name="mine", only={"store": "1"})
    assert first.checked.good.equals(whole.checked.good.filter(pl.col("store") == 1))
    assert first.checked.quarantined.equals(whole.checked.quarantined)
    assert first.name == "mine, store 1"
    left = len(whole.checked.good) - len(first.checked.good)
    assert first.checked.faults.row(-1)[:3] == ("store is not 1", "left out", left)
    both = open_log(events, as_of=world.as_of, only={"store": 1, "is_gift": True}).checked.good
    assert both.equals(first.checked.good.filter("is_gift"))
    everything = {"store": 2, "event": "purchase"}
    again = open_log(
        open_log(events, as_of=world.as_of, only=everything).checked.good, as_of=world.as_of, only=everything
    )
    assert again.checked.faults.filter(pl.col("action") == "left out").is_empty()


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"shop": "GB"}, r"only is \{'shop': 'GB'\}; the log has the columns customer_id, at"),
        ({"event": "sale"}, r"only is \{'event': 'sale'\}; event holds [a-z, ]+\."),
        ({"customer_id": -1}, r"customer_id holds \d+(, \d+){9} and 30 more\."),
    ],
)
def test_a_choice_of_rows_that_are_not_there_is_refused(world, only, message):
    with pytest.raises(ValueError, match=message):
        open_log(world.events, as_of=world.as_of, only=only)
