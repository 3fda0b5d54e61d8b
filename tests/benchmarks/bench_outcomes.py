"""Speed of outcomes and of looks over time, beside DuckDB, equal results: pytest -s tests/benchmarks/bench_outcomes.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; the ratios are printed. DuckDB gets
the log and the assignments as its own tables, loaded before the clock starts; both end in a polars frame with orders,
gross revenue and views within the window and before it.
"""

from __future__ import annotations

import os

import duckdb
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.incrementality import check_split, lift_over_time, outcomes

SMOKE = os.environ.get("SMOKE") == "1"
CUSTOMERS, ROWS = (2_000, 20_000) if SMOKE else (1_000_000, 10_000_000)
WINDOW, BEFORE = 60, 28
DAY = 86_400_000_000
METRICS = ("orders", "gross_revenue", "views")


def log() -> pl.DataFrame:
    """Four months of a shop in order of time."""
    rng = np.random.default_rng(1)
    at = np.datetime64("2025-01-01", "us") + np.sort(rng.integers(0, 120 * DAY, ROWS)).astype("timedelta64[us]")
    kinds = np.array(["view", "cart", "purchase"], dtype=object)[rng.choice(3, ROWS, p=[0.75, 0.1, 0.15])]
    return pl.DataFrame(
        {
            "customer_id": rng.integers(0, CUSTOMERS, ROWS),
            "at": at,
            "event": pl.Series(kinds, dtype=pl.Enum(EVENT_KINDS)),
            "order_id": rng.permutation(ROWS),
            "price": rng.integers(100, 9_999, ROWS) / 100,
        }
    )


def dealt() -> pl.DataFrame:
    rng = np.random.default_rng(2)
    at = np.datetime64("2025-02-01", "us") + rng.integers(0, 20 * DAY, CUSTOMERS).astype("timedelta64[us]")
    arm = np.where(rng.random(CUSTOMERS) < 0.5, "ad", "none")
    told = {"experiment_id": "e", "customer_id": np.arange(CUSTOMERS), "arm": arm, "assigned_at": at}
    return pl.DataFrame(told).with_columns(probability=0.5)


def sql() -> str:
    def part(first: str, last: str, mark: str) -> str:
        return f"""
            (SELECT d.customer_id, count(*) FILTER (event = 'purchase') AS {mark}orders,
                coalesce(sum(round(price * 100)) FILTER (event = 'purchase'), 0) / 100 AS {mark}gross_revenue,
                count(*) FILTER (event = 'view') AS {mark}views
            FROM dealt d JOIN log l ON l.customer_id = d.customer_id AND l.at >= {first} AND l.at < {last}
            GROUP BY 1)"""

    names = [f"{mark}{name}" for mark in ("", "pre_") for name in METRICS]
    within = part("assigned_at", f"assigned_at + INTERVAL {WINDOW} DAY", "")
    before = part(f"assigned_at - INTERVAL {BEFORE} DAY", "assigned_at", "pre_")
    return f"""SELECT customer_id, arm, {", ".join(f"coalesce({name}, 0) AS {name}" for name in names)} FROM dealt
        LEFT JOIN {within} USING (customer_id) LEFT JOIN {before} USING (customer_id) ORDER BY customer_id"""


def test_outcomes_of_a_million_customers(timed):
    """Each order is one line, so that orders can be counted without grouping lines first: the kindest case for SQL."""
    events, assignments = log(), dealt()
    base = duckdb.connect()
    base.execute("CREATE TABLE log AS SELECT * EXCLUDE (event), event::VARCHAR AS event FROM events")
    base.execute("CREATE TABLE dealt AS SELECT * FROM assignments")
    asked = {"as_of": "2025-05-01", "window_days": WINDOW, "pre_days": BEFORE, "metrics": METRICS}
    ours, _, made = timed(lambda: outcomes(events, assignments, **asked))
    theirs, _, peer = timed(lambda: pl.DataFrame(base.sql(sql()).to_arrow_table()))
    assert_frame_equal(made.table.select(peer.columns), peer, check_dtypes=False, rel_tol=1e-12)
    size = f"outcomes, {CUSTOMERS:,} customers, {ROWS:,} rows"
    print(f"\n{size}: {ours:.2f} s, DuckDB {theirs:.2f} s, x {theirs / ours:.2f}")
    told = {"control": "none", "metric": "gross_revenue", "covariates": "pre_gross_revenue", "planned_n": CUSTOMERS}
    seconds, _, looks = timed(lambda: lift_over_time(made, **told))
    split, _, _ = timed(lambda: check_split(made))
    print(f"{len(looks.table)} looks at them, adjusted: {seconds:.2f} s; their split: {split:.2f} s")
