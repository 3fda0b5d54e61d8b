"""Speed of sessions, funnel, orders and rfm, beside DuckDB and pandas: pytest -s tests/benchmarks/bench_features.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; the ratios are printed, with the peak
of memory. Each peer works alone, in a process of its own, on the same log (DuckDB and pandas with the log as their own
table, loaded before the clock starts), and ends in a frame; the answers must be equal. The peers do less than we do:
no check of the log, no order of the rows that come out, no ties in time, no median hours, no matching of refunds
without an order number. "Sorted" is a log as a store written per customer holds it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.contract.schemas import EVENT_KINDS

SMOKE = os.environ.get("SMOKE") == "1"
ROWS = 40_000 if SMOKE else 20_000_000
SHARES = [0.30, 0.10, 0.30, 0.10, 0.05, 0.06, 0.03, 0.05, 0.01]  # of the kinds of events, in the contract's order
DAY = 86_400_000_000
STEPS = ("view", "cart", "purchase")
KEYS = {
    "sessions": ["customer_id", "at", "session_number", "entry", "entry_source"],
    "funnel": ["step", "n_customers"],
    "orders": ["customer_id", "order_id", "ordered_at", "order_number", "gross_revenue", "revenue", "items", "source"],
    "rfm": ["customer_id", "recency_days", "orders", "revenue", "recency_score", "orders_score", "revenue_score"],
}


def log(rows: int, rng: int = 1) -> pl.DataFrame:
    """A shop's year in order of time: bursts of a few minutes, two lines to an order, no two rows at one moment."""
    random = np.random.default_rng(rng)
    customer = np.repeat(random.integers(0, rows // 20, rows // 4), 4)
    at = np.repeat(random.integers(0, 366 * DAY, rows // 4), 4) + random.integers(0, DAY // 48, rows)
    code = random.choice(len(EVENT_KINDS), rows, p=SHARES)
    frame = (
        pl.DataFrame(
            {
                "customer_id": customer,
                "at": pl.Series(np.datetime64("2024-01-01", "us") + at.astype("timedelta64[us]")),
                "event": pl.Series(code)
                .cast(pl.UInt8)
                .replace_strict(range(9), EVENT_KINDS, return_dtype=pl.Enum(EVENT_KINDS)),
                "price": np.round(random.gamma(2.0, 10.0, rows), 2),
                "quantity": random.integers(1, 4, rows),
                "source": pl.Series(["organic", "paid", "search", None]).gather(random.integers(0, 4, rows)),
            }
        )
        .unique(["customer_id", "at"])
        .sort("customer_id", "at")
    )
    money = pl.col("event").is_in(["purchase", "refund"])
    number = (pl.col("event") == "purchase").cum_sum().cast(pl.Int64) // 2  # a refund is of the order before it
    source = pl.when(money).then(pl.col("source").fill_null("organic")).otherwise("source")
    return frame.with_columns(source, order_id=pl.when(money).then(number)).sort("at")


# ---- the peers: task -> answer ----


def ours(path: Path) -> dict:
    from shoptoolkit import features

    events = pl.read_parquet(path)
    small = events.head(1_000)
    tasks = {
        "sessions": features.sessions,
        "funnel": lambda log: features.funnel(log, steps=STEPS, within_hours=24).table,
        "orders": features.orders,
        "rfm": lambda log: features.rfm(features.orders(log, as_of="2024-12-31"), as_of="2024-12-31"),
    }
    for task in tasks.values():
        task(small)  # compiles
    return {name: lambda task=task: task(events) for name, task in tasks.items()}


ORDERS = """
    WITH lines AS (SELECT *, CAST(round(price * quantity * 100) AS BIGINT) AS cents FROM events WHERE {}),
    bought AS (
        SELECT customer_id, order_id, min("at") AS ordered_at, sum(cents) AS gross, sum(quantity)::BIGINT AS items,
            arg_min(source, "at") AS source
        FROM lines WHERE event = 'purchase' GROUP BY ALL
    ),
    back AS (SELECT customer_id, order_id, sum(cents) AS back FROM lines WHERE event = 'refund' GROUP BY ALL)
    SELECT customer_id, order_id, ordered_at, gross / 100 AS gross_revenue,
        (gross - coalesce(back, 0)) / 100 AS revenue, items, source,
        row_number() OVER (PARTITION BY customer_id ORDER BY ordered_at, order_id) AS order_number
    FROM bought LEFT JOIN back USING (customer_id, order_id)
"""
RANKED = "ceil((rank() OVER (ORDER BY {0}) + (count(*) OVER (PARTITION BY {0}) - 1) / 2) * 5 / count(*) OVER ())"
SQL = {
    "sessions": """
        WITH flagged AS (SELECT *, "at" - lag("at") OVER w > INTERVAL 30 MINUTE AS is_new FROM events
            WINDOW w AS (PARTITION BY customer_id ORDER BY "at")),
        numbered AS (SELECT * EXCLUDE is_new, 1 + coalesce(sum(is_new::INT) OVER (PARTITION BY customer_id ORDER BY "at"
            ROWS UNBOUNDED PRECEDING), 0)::BIGINT AS session_number FROM flagged),
        entries AS (SELECT customer_id, session_number, arg_min(source, "at") AS entry_source FROM numbered
            GROUP BY ALL)
        SELECT *, CASE WHEN entry_source = 'paid' THEN 'paid' WHEN entry_source IS NOT NULL THEN 'organic' END AS entry
        FROM numbered JOIN entries USING (customer_id, session_number)
    """,
    "funnel": """
        WITH one AS (SELECT *, max(CASE WHEN event = 'view' THEN "at" END) OVER w AS start FROM events
            WHERE event IN ('view', 'cart', 'purchase')
            WINDOW w AS (PARTITION BY customer_id ORDER BY "at" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
        two AS (SELECT *, max(CASE WHEN event = 'cart' THEN start END) OVER w AS begin FROM one
            WINDOW w AS (PARTITION BY customer_id ORDER BY "at" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
        depths AS (SELECT max(CASE WHEN event = 'view' THEN 1 WHEN event = 'cart' AND "at" - start <= INTERVAL 24 HOUR
            THEN 2 WHEN event = 'purchase' AND "at" - begin <= INTERVAL 24 HOUR THEN 3 END) AS depth
            FROM two GROUP BY customer_id)
        SELECT unnest(['view', 'cart', 'purchase']) AS step, unnest([count(*) FILTER (depth >= 1),
            count(*) FILTER (depth >= 2), count(*) FILTER (depth >= 3)]) AS n_customers FROM depths
    """,
    "orders": ORDERS.format("event IN ('purchase', 'refund')"),
    "rfm": f"""
        WITH orders AS ({ORDERS.format("event IN ('purchase', 'refund') AND events.at < '2024-12-31'")}),
        totals AS (SELECT customer_id, DATE '2024-12-31' - max(ordered_at)::DATE AS recency_days, count(*) AS orders,
            sum(round(revenue * 100)::BIGINT) / 100 AS revenue FROM orders GROUP BY customer_id)
        SELECT *, {RANKED.format("-recency_days")} AS recency_score, {RANKED.format("orders")} AS orders_score,
            {RANKED.format("revenue")} AS revenue_score FROM totals
    """,
}


def duckdb(path: Path) -> dict:
    import duckdb

    base = duckdb.connect()
    base.execute(f"CREATE TYPE kind AS ENUM {EVENT_KINDS}")
    base.execute(f"CREATE TABLE events AS SELECT * REPLACE (event::kind AS event) FROM '{path}'")
    return {name: lambda text=text: pl.DataFrame(base.sql(text)) for name, text in SQL.items()}


def pandas(path: Path) -> dict:
    import pandas as pd

    events = pd.read_parquet(path)
    events["event"] = events["event"].astype("category")

    def sessions() -> pd.DataFrame:
        rows = events.sort_values(["customer_id", "at"])
        is_new = rows["at"].diff() > pd.Timedelta(minutes=30)
        is_new &= rows["customer_id"] == rows["customer_id"].shift()
        rows["session_number"] = is_new.groupby(rows["customer_id"]).cumsum() + 1
        rows["entry_source"] = rows.groupby(["customer_id", "session_number"])["source"].transform("first")
        rows["entry"] = rows["entry_source"].map({"paid": "paid", "organic": "organic", "search": "organic"})
        return rows

    def funnel() -> pd.DataFrame:
        rows = events.loc[events["event"].isin(STEPS), ["customer_id", "at", "event"]].sort_values(
            ["customer_id", "at"]
        )
        who, at = rows["customer_id"], rows["at"].astype("int64") / 1e6
        view, cart, bought = (rows["event"] == kind for kind in STEPS)
        start = at.where(view).groupby(who).ffill()
        begin = start.where(cart).groupby(who).cummax().groupby(who).ffill()
        depth = 1 * view + 2 * (cart & (at - start <= 86_400)) + 3 * (bought & (at - begin <= 86_400))
        depth = depth.groupby(who).max()
        return pd.DataFrame({"step": STEPS, "n_customers": [(depth >= k).sum() for k in (1, 2, 3)]})

    def orders(until: str = "2025-12-31") -> pd.DataFrame:
        lines = events[events["event"].isin(["purchase", "refund"]) & (events["at"] < until)].sort_values("at")
        lines["cents"] = (lines["price"] * lines["quantity"] * 100).round().astype("int64")
        keys, is_bought = ["customer_id", "order_id"], lines["event"] == "purchase"
        table = (
            lines[is_bought]
            .groupby(keys)
            .agg(
                ordered_at=("at", "first"),
                gross=("cents", "sum"),
                items=("quantity", "sum"),
                source=("source", "first"),
            )
        )
        back = lines[~is_bought].groupby(keys)["cents"].sum().rename("back")
        table = (
            table.join(back).fillna({"back": 0}).reset_index().sort_values(["customer_id", "ordered_at", "order_id"])
        )
        table["order_number"] = table.groupby("customer_id").cumcount() + 1
        table["gross_revenue"], table["revenue"] = table["gross"] / 100, (table["gross"] - table["back"]) / 100
        return table

    def rfm() -> pd.DataFrame:
        grouped = orders("2024-12-31").groupby("customer_id")
        table = pd.DataFrame({"orders": grouped.size(), "revenue": grouped["revenue"].sum().round(2)})
        table["recency_days"] = (pd.Timestamp("2024-12-31") - grouped["ordered_at"].max().dt.normalize()).dt.days
        for name, column in (("recency_score", -table["recency_days"]), ("orders_score", table["orders"])):
            table[name] = np.ceil(column.rank() * 5 / len(table))
        table["revenue_score"] = np.ceil(table["revenue"].rank() * 5 / len(table))
        return table.reset_index()

    return {"sessions": sessions, "funnel": funnel, "orders": orders, "rfm": rfm}


PEERS = {"ours": ours, "duckdb": duckdb, "pandas": pandas}


# ---- the run ----


def alone(peer: str, task: str, path: Path, out: Path, times: int) -> None:
    """In a process of its own: medians of seconds, peak of memory, and the answer as parquet."""
    work = PEERS[peer](path)[task]
    walls, cpus, answer = [], [], None
    for _ in range(times):
        del answer
        wall, cpu = time.perf_counter(), time.process_time()
        answer = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(told["VmHWM"].split()[0]) / 2**20  # GB; ru_maxrss would tell that of the parent
    pl.DataFrame(answer[KEYS[task]]).write_parquet(out)
    print(json.dumps({"wall": median(walls), "cpu": median(cpus), "peak": peak}))


def measured(peer: str, task: str, path: Path, folder: Path) -> tuple[dict, pl.DataFrame]:
    out, times = folder / f"{peer}.parquet", 1 if peer == "pandas" else 3
    call = [sys.executable, __file__, peer, task, str(path), str(out), str(times)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), pl.read_parquet(out)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder, events = tmp_path_factory.mktemp("logs"), log(ROWS)
    events.write_parquet(folder / "in time.parquet")
    events.sort("customer_id", "at").write_parquet(folder / "sorted.parquet")
    return folder


@pytest.mark.parametrize(
    ("task", "order", "peers"),
    [
        ("sessions", "in time", ("ours", "duckdb", "pandas")),
        ("sessions", "sorted", ("ours", "duckdb")),
        ("funnel", "in time", ("ours", "duckdb", "pandas")),
        ("funnel", "sorted", ("ours", "duckdb")),
        ("orders", "in time", ("ours", "duckdb", "pandas")),
        ("rfm", "in time", ("ours", "duckdb", "pandas")),
        ("rfm", "sorted", ("ours", "duckdb")),
    ],
)
def test_features_beside_their_peers(logs, tmp_path, task, order, peers):
    told = {peer: measured(peer, task, logs / f"{order}.parquet", tmp_path) for peer in peers}
    first, answer = told["ours"]
    keys = ["step"] if task == "funnel" else KEYS[task][:2]
    for peer, (one, other) in told.items():
        print(
            f"\n{task} of {ROWS:,} events, {order}: {peer} {one['wall']:.2f} s wall, {one['cpu']:.2f} s CPU, ", end=""
        )
        print(
            f"peak {one['peak']:.1f} GB; ratio {one['wall'] / first['wall']:.1f}, {one['cpu'] / first['cpu']:.1f}",
            end="",
        )
        assert_frame_equal(other.cast(dict(answer.schema)).sort(keys), answer.sort(keys), rel_tol=1e-12)


if __name__ == "__main__":
    who, what, source, target, often = sys.argv[1:]
    alone(who, what, Path(source), Path(target), int(often))
