"""Speed of features at a moment, beside DuckDB in one run with equal results: pytest -s tests/benchmarks/bench_as_of.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; the ratios are printed. DuckDB gets
the log as its own table, loaded before the clock starts; both end in a polars frame with all columns of the default
spec. The log with a bot in it is for us alone: a join takes events times requests of one customer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features import FeatureSpec, as_of_features, sequences

SMOKE = os.environ.get("SMOKE") == "1"
SIZES = [(2_000, 40_000)] if SMOKE else [(200_000, 4_000_000), (1_000_000, 20_000_000)]
SHARES = [0.30, 0.10, 0.30, 0.10, 0.05, 0.06, 0.03, 0.05, 0.01]  # of the kinds of events, in the contract's order
SPEC = FeatureSpec()
SOURCES = [*SPEC.sources, "mail"]
DAY = 86_400_000_000


def log(*, rows: int, customers: int, rng: int = 1, ids: str = "int") -> pl.DataFrame:
    """A shop's year in order of time; known within two seconds, but one row in fifty up to ten days late."""
    random = np.random.default_rng(rng)
    at = np.datetime64("2024-01-01", "us") + np.sort(random.integers(0, 366 * DAY, rows)).astype("timedelta64[us]")
    code = random.choice(len(EVENT_KINDS), rows, p=SHARES)
    delay = np.where(
        random.random(rows) < 0.02, random.integers(0, 10 * DAY, rows), random.integers(0, 2_000_000, rows)
    )
    return pl.DataFrame(
        {
            "customer_id": customers_of(random.integers(0, customers, rows), ids),
            "at": at,
            "known_at": at + delay.astype("timedelta64[us]"),
            "event": pl.Series(np.array(EVENT_KINDS, dtype=object)[code], dtype=pl.Enum(EVENT_KINDS)),
            "price": np.round(random.gamma(2.0, 10.0, rows), 2),
            "quantity": random.integers(1, 4, rows),
            "watch_seconds": np.where(code == EVENT_KINDS.index("watch"), np.round(random.exponential(60, rows), 3), 0),
            "item_id": (item := (100_000 * random.random(rows) ** 3).astype(np.int64)),
            "category": pl.Series(np.array([f"category {number}" for number in range(30)], dtype=object)[item % 30]),
            "source": pl.Series(np.array([*SOURCES, None], dtype=object)[random.integers(0, len(SOURCES) + 1, rows)]),
        }
    )


def moments(*, rows: int, customers: int, rng: int = 2, ids: str = "int") -> pl.DataFrame:
    random = np.random.default_rng(rng)
    as_of = np.datetime64("2024-03-01", "us") + random.integers(0, 305 * DAY, rows).astype("timedelta64[us]")
    return pl.DataFrame({"customer_id": customers_of(random.integers(0, customers, rows), ids), "as_of": as_of})


def customers_of(numbers: np.ndarray, ids: str) -> pl.Series:
    column = pl.Series(numbers)
    return column if ids == "int" else pl.select(pl.format("customer-{}", column)).to_series()


def sql() -> str:
    """The same features by a join and conditional sums.

    What is counted once (days, items, categories) is grouped first: count(distinct ...) is slower.
    """
    within = {days: f"moment >= as_of - INTERVAL {days} DAY" for days in SPEC.windows_days}
    sums = {
        "spend": "sum(cents) FILTER (event = 'purchase' AND {}) / 100",
        "refunded": "sum(cents) FILTER (event = 'refund' AND {}) / 100",
        "watch_seconds": "sum(micros) FILTER ({}) / 1000000",
        "live_seconds": "sum(micros) FILTER (source = 'live' AND {}) / 1000000",
    }
    count, plural = "count(*) FILTER (event = '{}' AND {})", {"watch": "watches", "search": "searches"}
    share = "count(*) FILTER (source = '{0}' AND {1}) / nullif(count(source) FILTER ({1}), 0)"
    parts = []
    for days, inside in within.items():
        parts += [f"{count.format(kind, inside)} AS {plural.get(kind, kind + 's')}_{days}d" for kind in EVENT_KINDS]
        parts += [f"coalesce({text.format(inside)}, 0) AS {name}_{days}d" for name, text in sums.items()]
        parts += [f"{share.format(source, inside)} AS {source}_share_{days}d" for source in SPEC.sources]
    since = "(epoch_us(any_value(as_of)) - epoch_us(max(moment) FILTER (event = '{}')))"
    parts += [f"{since.format(kind)} / {DAY} AS days_since_{kind}" for kind in EVENT_KINDS]
    once = {"active_days": "moment::DATE", "distinct_items": "item_id", "distinct_categories": "category"}
    tables = ", ".join(
        f"""{name} AS (
            SELECT request, {", ".join(f"count(*) FILTER ({inside}) AS {name}_{d}d" for d, inside in within.items())}
            FROM (
                SELECT request, any_value(as_of) AS as_of, max(moment) AS moment
                FROM known WHERE {what} IS NOT NULL GROUP BY request, {what}
            ) GROUP BY request
        )"""
        for name, what in once.items()
    )
    counted = ", ".join(f"coalesce({name}_{d}d, 0) AS {name}_{d}d" for name in once for d in within)
    joins = " ".join(f"LEFT JOIN {name} USING (request)" for name in (*once, "rhythm"))
    return f"""
        WITH known AS (
            SELECT request, as_of, "at" AS moment, event, item_id, category, source,
                CAST(round(price * quantity * 100) AS BIGINT) AS cents,
                CAST(round(watch_seconds * 1000000) AS BIGINT) AS micros
            FROM requests LEFT JOIN events
            ON events.customer_id = requests.customer_id AND coalesce(known_at, "at") < as_of
        ),
        {tables},
        gaps AS (
            SELECT request, day - lag(day) OVER (PARTITION BY request ORDER BY day) AS gap
            FROM (SELECT DISTINCT request, moment::DATE AS day FROM known WHERE event = 'purchase')
        ),
        rhythm AS (
            SELECT request, count(gap) AS gaps, avg(gap) AS mean_gap_days, stddev_samp(gap) / avg(gap) AS gap_cv
            FROM gaps GROUP BY request
        ),
        main AS (SELECT request, {", ".join(parts)} FROM known GROUP BY request)
        SELECT main.*, {counted}, coalesce(gaps, 0) AS purchase_gaps, mean_gap_days, gap_cv
        FROM main {joins} ORDER BY request
    """


SEQUENCES = """
    WITH known AS (
        SELECT request, "at", event, item_id FROM requests JOIN events
        ON events.customer_id = requests.customer_id AND coalesce(known_at, "at") < as_of
        QUALIFY row_number() OVER (PARTITION BY request ORDER BY "at" DESC, event DESC) <= 50
    ),
    lists AS (
        SELECT request, list(event ORDER BY "at", event) AS event, list(item_id ORDER BY "at", event) AS item_id
        FROM known GROUP BY request
    )
    SELECT coalesce(event, []) AS event, coalesce(item_id, []) AS item_id
    FROM requests LEFT JOIN lists USING (request) ORDER BY request
"""


PEAK = """
import resource, sys
import polars as pl
from shoptoolkit.features import as_of_features, sequences

events, requests = (pl.read_parquet(path) for path in sys.argv[1:])
{call}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def peak_of(call: str, folder: Path, events: pl.DataFrame, requests: pl.DataFrame) -> str:
    """Peak memory of a process that reads both frames and makes the call, in words."""
    paths = [folder / "events.parquet", folder / "requests.parquet"]
    events.write_parquet(paths[0])
    requests.write_parquet(paths[1])
    script = [sys.executable, "-c", PEAK.format(call=call), *map(str, paths)]
    peak = float(subprocess.run(script, check=True, capture_output=True, text=True).stdout)
    return f"peak {peak:.1f} GB, the log of {events.estimated_size('gb'):.1f} GB included"


def loaded(events: pl.DataFrame, requests: pl.DataFrame) -> duckdb.DuckDBPyConnection:
    """Both frames as tables of DuckDB, kinds of events as its own ENUM."""
    base = duckdb.connect()
    base.register("log", events)
    base.register("numbered", requests.with_row_index("request"))
    base.execute(f"CREATE TYPE kind AS ENUM {EVENT_KINDS}")
    base.execute("CREATE TABLE events AS SELECT * REPLACE (CAST(event AS kind) AS event) FROM log")
    base.execute("CREATE TABLE requests AS SELECT * FROM numbered")
    return base


@pytest.mark.parametrize("ids", ["int", "str"])
@pytest.mark.parametrize(("customers", "rows"), SIZES)
def test_features_at_a_moment(timed, tmp_path, customers, rows, ids):
    events = log(rows=rows, customers=customers, ids=ids)
    requests = moments(rows=customers, customers=customers, ids=ids)
    as_of_features(events.head(100), requests.head(10))  # compiles
    ours = timed(lambda: as_of_features(events, requests), times=3)
    peak = peak_of("as_of_features(events, requests)", tmp_path, events, requests)
    base = loaded(events, requests)
    theirs = timed(lambda: pl.DataFrame(base.sql(sql())), times=1 if rows > 5_000_000 else 3)
    names = SPEC.columns
    expected = theirs[2].select(names).cast(ours[2].select(names).schema)
    assert_frame_equal(ours[2].select(names), expected, rel_tol=1e-12)
    print(
        f"\n{customers:,} requests on {rows:,} events, {ids} ids: {ours[0]:.2f} s wall, {ours[1]:.2f} s CPU; ", end=""
    )
    print(f"duckdb {theirs[0]:.2f} s, {theirs[1]:.2f} s; ", end="")
    print(f"ratio {theirs[0] / ours[0]:.1f} wall, {theirs[1] / ours[1]:.1f} CPU; {peak}")


def test_a_bot_with_a_tenth_of_the_log(timed):
    customers, rows = SIZES[0]
    events = log(rows=rows, customers=customers).with_columns(
        customer_id=pl.when(pl.int_range(pl.len()) % 10 == 0).then(-1).otherwise("customer_id")
    )
    requests = moments(rows=customers, customers=customers).with_columns(
        customer_id=pl.when(pl.int_range(pl.len()) % 10 == 0).then(-1).otherwise("customer_id")
    )
    wall, _, table = timed(lambda: as_of_features(events, requests), times=1)
    print(f"\none customer with {rows // 10:,} events and {customers // 10:,} requests among others: {wall:.2f} s")
    assert len(table) == customers


def test_sequences_at_a_moment(timed, tmp_path):
    customers, rows = SIZES[-1]
    events, requests = log(rows=rows, customers=customers), moments(rows=customers, customers=customers)
    options = {"columns": ("event", "item_id"), "last": 50}
    sequences(events.head(100), requests.head(10), **options)  # compiles
    ours = timed(lambda: sequences(events, requests, **options), times=1)
    peak = peak_of(f"sequences(events, requests, **{options})", tmp_path, events, requests)
    base = loaded(events, requests)
    theirs = timed(lambda: pl.DataFrame(base.sql(SEQUENCES)), times=1)
    assert ours[2]["event"].cast(pl.List(pl.String)).equals(theirs[2]["event"].cast(pl.List(pl.String)))
    assert ours[2]["item_id"].equals(theirs[2]["item_id"])
    print(
        f"\nsequences of {customers:,} requests on {rows:,} events: {ours[0]:.2f} s wall, {ours[1]:.2f} s CPU; ", end=""
    )
    print(f"duckdb {theirs[0]:.2f} s, {theirs[1]:.2f} s; ratio {theirs[0] / ours[0]:.1f} wall; {peak}")
