"""The table in `shop`'s docstring, which lays the simulated shop beside two real ones, is counted anew."""

import polars as pl
import pytest

from shoptoolkit import datasets, features, survival
from shoptoolkit.simulate import shop


def told(column: int) -> list[list[float]]:
    """A column of the table: one list of numbers per line."""
    lines = [line.strip() for line in shop.__doc__.splitlines()]
    start, _, end = (number for number, line in enumerate(lines) if line.startswith("===="))
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[start + 3 : end]]
    return [[float(number) for number in row[column].split(",")] for row in cells]


def counted(orders, as_of, timezone):
    orders = orders.filter(pl.col("gross_revenue") > 0)
    each = orders.group_by("customer_id").len()["len"]
    days = (as_of - orders["ordered_at"].min().date()).days
    spells = survival.repurchase_spells(orders, as_of=as_of, timezone=timezone, index="all")
    gaps = spells.filter("repurchased")["duration_days"]
    quartiles = [
        [column.quantile(q, "linear") for q in (0.25, 0.5, 0.75)] for column in (gaps, orders["gross_revenue"])
    ]
    return [
        [days],
        [1_000 * len(orders) / days / len(each)],
        [each.mean()],
        [100 * (each == 1).mean()],
        quartiles[0],
        [gaps.std() / gaps.mean()],
        quartiles[1],
    ]


def test_the_simulated_shop_is_as_the_docstring_says():
    world = shop(rng=1, n_customers=20_000)
    found = counted(features.orders(world.events, as_of=world.as_of), world.as_of, "UTC")
    for said, seen in zip(told(1), found, strict=True):
        assert seen == pytest.approx(said, rel=0.07)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("column", "name", "file"),
    [
        (2, "online_retail", "online_retail/online_retail.parquet"),
        (3, "cdnow", "cdnow/master.parquet"),
    ],
)
def test_the_real_shops_are_as_the_docstring_says(public_data, column, name, file):
    public_data(file)
    log = datasets.open_log(name)
    orders = features.orders(log.checked.good, as_of=log.as_of, timezone=log.timezone)
    for said, seen in zip(told(column), counted(orders, log.as_of, log.timezone), strict=True):
        assert seen == pytest.approx(said, rel=0.035)
