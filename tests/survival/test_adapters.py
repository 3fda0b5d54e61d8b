"""Clicks and auctions as spells: what was seen is an end, what was not is censored, the rest is refused."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import conversion_spells, kaplan_meier, win_price_spells

DAY = datetime(2025, 3, 1)


def clicks(**columns):
    rows = {
        "customer_id": ["a", "b", "c", "d", "e"],
        "at": [DAY, DAY, DAY, datetime(2025, 3, 5), None],
        "channel": "search",
        "converted_at": [datetime(2025, 3, 1, 12), None, datetime(2025, 3, 9), None, None],
    }
    return pl.DataFrame(rows | columns)


def test_a_conversion_not_yet_known_is_censored():
    told = conversion_spells(clicks(), as_of="2025-03-03")
    assert told.select("customer_id", "duration_days", "repurchased", "channel").rows() == [
        ("a", 0.5, True, "search"),
        ("b", 2.0, False, "search"),
        ("c", 2.0, False, "search"),  # its conversion came later; "d" clicked later, "e" not at all
    ]
    assert kaplan_meier(told).at(1)["survival"].item() == pytest.approx(2 / 3)


def test_a_conversion_in_the_same_moment_counts_a_microsecond():
    told = conversion_spells(clicks(converted_at=DAY).head(3), as_of="2025-03-03")
    assert (told["duration_days"] == 1 / 86_400_000_000).all()
    assert kaplan_meier(told)


def test_clicks_of_an_auction_log_are_clicks():
    table = clicks().rename({"customer_id": "auction_id", "at": "clicked_at", "converted_at": "sold_at"})
    told = conversion_spells(table, as_of="2025-03-03", clicked="clicked_at", converted="sold_at")
    assert kaplan_meier(told, id="auction_id").n == 3


def test_clicks_that_make_no_sense_are_refused():
    with pytest.raises(ContractError, match="clicks: none lies before as_of = 2020-01-01"):
        conversion_spells(clicks(), as_of="2020-01-01")
    with pytest.raises(ContractError, match=r"converted_at is before the click \(3 rows"):
        conversion_spells(clicks(converted_at=datetime(2025, 2, 1)).head(3), as_of="2025-03-03")
    with pytest.raises(ContractError, match=r"clicks: no column 'converted_at'\. It has"):
        conversion_spells(clicks().drop("converted_at"), as_of="2025-03-03")


def auctions(price, bid, *, mechanism="second", ties="won"):
    price, bid = np.array(price, dtype=float), np.array(bid, dtype=float)
    won = bid >= price if ties == "won" else bid > price
    paid = np.where(won, price if mechanism == "second" else bid, np.nan)
    columns = {"auction_id": np.arange(len(bid)), "at": DAY, "bid": bid, "won": won, "mechanism": mechanism}
    return pl.DataFrame({**columns, "price": paid}).with_columns(pl.col("price").fill_nan(None))


@pytest.mark.parametrize("ties", ["won", "lost"])
def test_losing_bids_do_not_bend_the_landscape(ties):
    rng = np.random.default_rng(1)
    price, bid = rng.integers(1, 40, 40_000), rng.integers(1, 30, 40_000)
    curve = kaplan_meier(win_price_spells(auctions(price, bid, ties=ties), ties=ties), id="auction_id")
    grid = np.arange(1, 30 if ties == "won" else 29)
    told = curve.at(list(grid))["survival"].to_numpy()
    np.testing.assert_allclose(told, 1 - grid / 39, atol=0.015)
    assert curve.at(30)["survival"].item() is None  # nobody bid that much


def test_a_free_impression_is_cheaper_than_any_price():
    told = win_price_spells(auctions([0, 4, 9], [3, 6, 2]))
    assert told["duration_days"].to_list() == [1.0, 4.0, 2.0]  # half of the lowest bid
    assert told["repurchased"].to_list() == [True, True, False]
    assert len(win_price_spells(auctions([0, 4], [3, 0]))) == 1  # a bid of nothing that lost


def test_a_price_told_on_a_loss_is_seen():
    table = auctions([5, 8], [6, 2]).with_columns(price_to_win=pl.Series([5.0, 8.0]))
    assert win_price_spells(table.with_columns(mechanism=pl.lit("first")))["duration_days"].to_list() == [5, 8]
    assert win_price_spells(table)["repurchased"].all()


def test_first_price_wins_show_only_the_own_bid():
    with pytest.raises(ContractError, match=r"2 of 2 wins show no price to win \(mechanism first\).*isotonic"):
        win_price_spells(auctions([1, 2], [3, 4], mechanism="first"))


def test_prices_that_contradict_the_outcome_are_refused():
    table = auctions([1, 2, 9], [3, 4, 5]).with_columns(price_to_win=pl.Series([1.0, 6.0, 2.0]))
    with pytest.raises(ContractError, match="in 2 the price to win does not fit the outcome"):
        win_price_spells(table)
    with pytest.raises(ValueError, match="ties is 'shared'; it must be one of 'won', 'lost'"):
        win_price_spells(auctions([1], [2]), ties="shared")
