"""The win-price landscape of iPinYou campaign 2259 (SOURCES.md).

What reproduces the printed numbers: a bid wins where it is above the market price (ties lose: `ties="won"` in the data
would print .360, 1.08 and .524); losses are censored at the bid. Mean CDF error: the mean over prices 0, 1 ... 89 (the
highest bid of the training log) of the distance to the share of all market prices of that log at or below the price,
won or lost. Log-loss: of P(win | b) = F(b - 1), prices being whole, over the auctions of the test log.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoptoolkit.survival import kaplan_meier, win_price_spells


@pytest.fixture
def log(public_data):
    def read(part):
        table = pl.read_parquet(public_data(f"ipinyou_2259/{part}_yzb.parquet")).cast(pl.Float64)
        won = pl.col("bid_b") > pl.col("market_price_z")
        return table.with_row_index("auction_id").select(
            "auction_id",
            pl.lit("2013-10-20").str.to_datetime().alias("at"),
            "market_price_z",
            bid="bid_b",
            won=won,
            mechanism=pl.lit("second"),
            price=pl.when(won).then("market_price_z"),
        )

    return read


def share_won(auctions, grid, **options):
    curve = kaplan_meier(win_price_spells(auctions, **options), id="auction_id")
    return 1 - curve.at(grid)["survival"].fill_null(strategy="forward").to_numpy()


def log_loss(share, test):
    chance, won = share[test["bid"].cast(int) - 1], test["won"].to_numpy()
    return -np.log(np.where(won, chance, 1 - chance)).mean()


@pytest.mark.reference
def test_losses_belong_to_the_landscape(log):
    train, test = log("train"), log("test")
    grid = list(range(int(train["bid"].max()) + 1))
    truth = np.array([(train["market_price_z"] <= price).mean() for price in grid])
    naive, ours = share_won(train.filter("won"), grid), share_won(train, grid)
    exact = share_won(train, grid, ties="lost")
    errors = [np.abs(share - truth).mean() for share in (naive, ours, exact)]
    assert [round(error, 3) for error in errors[:2]] == [0.364, 0.004]
    assert errors[2] < errors[1] / 1.5  # a bid that cannot win at its own price is no witness there
    assert round(log_loss(naive, test), 2) == 1.06
    assert round(log_loss(ours, test), 3) == 0.515
