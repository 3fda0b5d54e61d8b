"""How many events a second does the check read? Peer: nothing; the aim is 8 million rows a second on two cores.

Run by name: `pytest tests/benchmarks/bench_check.py -s`. SMOKE=1 takes 100,000 rows instead of ten million.
"""

import os
import statistics
import time

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import Checked, Events, check
from shoptoolkit.contract.schemas import EVENT_KINDS

ROWS = 100_000 if os.environ.get("SMOKE") == "1" else 10_000_000
ROUNDS = 5


def log(*, rows: int, rng: int) -> pl.DataFrame:
    """A shop's year: one event in five is a purchase with price and quantity."""
    random = np.random.default_rng(rng)
    start = np.datetime64("2024-01-01", "us")
    kinds = np.array(["impression", "click", "view", "cart", "purchase"], dtype=object)
    return pl.DataFrame(
        {
            "customer_id": random.integers(0, rows // 20, rows),
            "at": start + random.integers(0, 366 * 86_400_000_000, rows).astype("timedelta64[us]"),
            "event": pl.Series(kinds[random.integers(0, 5, rows)], dtype=pl.String),
            "item_id": random.integers(0, 50_000, rows),
            "price": random.gamma(2.0, 10.0, rows).round(2),
            "quantity": random.integers(1, 4, rows),
        }
    )


@pytest.fixture(scope="module")
def clean() -> pl.DataFrame:
    return log(rows=ROWS, rng=7)


@pytest.fixture(scope="module")
def dirty(clean: pl.DataFrame) -> pl.DataFrame:
    """One row in a hundred breaks a rule, one in two hundred looks like another."""
    cheap = pl.when(pl.int_range(pl.len()) % 100 == 0).then(-1.0).otherwise("price")
    return pl.concat([clean.with_columns(price=cheap), clean.gather_every(200)])


def test_a_clean_log_is_checked_at_the_speed_of_a_scan(clean):
    checked = timed("clean", clean)
    assert len(checked.good) == len(clean)


def test_a_dirty_log_is_checked_hardly_slower(dirty):
    checked = timed("1 % bad rows, 0.5 % look-alikes", dirty)
    assert len(checked.good) + len(checked.quarantined) == len(dirty)


def test_text_is_no_slower_than_numbers(clean):
    texts = clean.with_columns(
        pl.col("customer_id", "item_id").cast(pl.String), pl.col("event").cast(pl.Enum(EVENT_KINDS))
    )
    assert len(timed("ids as text, event as Enum", texts).good) == len(clean)


def timed(what: str, events: pl.DataFrame) -> Checked:
    """Check the events a few times; print the median time and the rows it reads in a second."""
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        checked = check(events, Events)
        seconds.append(time.perf_counter() - begin)
    middle = statistics.median(seconds)
    print(f"\ncheck, {what}: {len(events):,} rows, median {middle:.3f} s, {len(events) / middle / 1e6:.1f} M rows/s")
    return checked
