"""Speed and memory of pairs bought together, beside scipy and DuckDB: pytest -s tests/benchmarks/bench_affinity.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; ratios and peak memory are printed.
Peers count pairs alone (no interval of the lift), on lines numbered before their clock starts, at a size they can do;
the large log, 100,000 items and orders of up to 1,000 lines, is for us alone, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from shoptoolkit.features import affinity

SMOKE = os.environ.get("SMOKE") == "1"
SMALL = (1_000, 500) if SMOKE else (50_000, 5_000)  # orders, items
LARGE = (2_000, 5_000) if SMOKE else (100_000, 100_000)


def log(orders: int, items: int, *, rng: int = 1) -> pl.DataFrame:
    """Orders of 1 to 1,000 lines, some of 1,000; few items are bought often; three orders per customer."""
    random = np.random.default_rng(rng)
    size = np.minimum(1_000, np.ceil(random.lognormal(2.0, 1.5, orders))).astype(int)
    size[: orders // 500] = 1_000
    order = np.repeat(np.arange(orders), size)
    often = np.cumsum(1 / (np.arange(items) + 50.0))
    item = np.searchsorted(often / often[-1], random.random(len(order))).clip(max=items - 1)
    return pl.DataFrame(
        {
            "customer_id": random.integers(0, orders // 3, orders)[order],
            "at": np.datetime64("2025-01-01", "us") + order.astype("timedelta64[m]"),
            "event": "purchase",
            "order_id": order,
            "item_id": item,
            "price": 1.0,
        }
    )


@pytest.mark.parametrize("within", ["order", "customer"])
def test_pairs_beside_peers_that_only_count(timed, within):
    orders, items = SMALL
    events, unit = log(orders, items), "order_id" if within == "order" else "customer_id"
    affinity(events.head(100), of="item_id", at_least=1)  # compiles
    ours = timed(lambda: affinity(events, of="item_id", within=within, most=items))
    lines = events.select(unit=unit, item="item_id").unique().filter(pl.len().over("item") >= 20)
    base = duckdb.connect()
    base.register("frame", lines)
    base.execute("CREATE TABLE lines AS SELECT * FROM frame")
    sql = "SELECT a.item AS a, b.item AS b, count(*) AS n_both FROM lines a JOIN lines b USING (unit) "
    sql += "WHERE a.item <> b.item GROUP BY ALL HAVING count(*) >= 5"
    pairs = {
        "duckdb": timed(lambda: pl.DataFrame(base.sql(sql)), times=1),
        "scipy": timed(lambda: by_scipy(lines["unit"].to_numpy(), lines["item"].to_numpy()), times=1),
    }
    told = ours[2].table.select("a", "b", "n_both").sort("a", "b")
    print(
        f"\n{len(events):,} lines, {orders:,} orders, {items:,} items, within {within}, {len(told):,} pairs: ", end=""
    )
    print(f"{ours[0]:.2f} s wall, {ours[1]:.2f} s CPU, with intervals", end="")
    for name, (wall, cpu, found) in pairs.items():
        assert told.equals(found.cast(told.schema).sort("a", "b"))
        print(f"; {name} {wall:.2f} s, {cpu:.2f} s: ratio {wall / ours[0]:.2f} wall, {cpu / ours[1]:.2f} CPU", end="")
    print()


def by_scipy(unit: np.ndarray, item: np.ndarray) -> pl.DataFrame:
    has = csr_array((np.ones(len(unit), np.int32), (unit, item)))
    both = (has.T @ has).tocoo()
    kept = (both.data >= 5) & (both.row != both.col)
    return pl.DataFrame({"a": both.row[kept], "b": both.col[kept], "n_both": both.data[kept]})


ALONE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
from bench_affinity import LARGE, log
from shoptoolkit.features import affinity
events = log(*LARGE)
affinity(events.head(100), of="item_id", at_least=1)
def peak():  # of this process alone, in GB; getrusage would tell the parent's
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6
before = peak()
begun = time.perf_counter()
told = affinity(events, of="item_id", within={within!r}, at_least={at_least})
wall = time.perf_counter() - begun
print(f"{{len(events):,}} lines, {{LARGE[0]:,}} orders, {{LARGE[1]:,}} items: {{wall:.1f}} s, {{len(told.table):,}} "
      f"pairs; peak memory {{peak():.2f}} GB, {{before:.2f}} GB before")
"""


@pytest.mark.parametrize(("within", "at_least"), [("order", 20), ("customer", 20), ("order", 1)])
def test_memory_of_a_large_log(within, at_least):
    text = ALONE.format(folder=os.path.dirname(__file__), within=within, at_least=at_least)
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    print(f"\nwithin {within}, at_least {at_least}: {told.stdout}", end="")
