"""Speed of the next item, beside scipy's sparse matrices with equal results.

pytest -s tests/benchmarks/bench_next_item.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; the ratios are printed. Both start
from the same coded steps and end in the best 20 items and their scores for the same queries; scipy is asked for fewer
queries where a query costs it long, and the ratio is per query. The whole fit, from the log to the intervals, is timed
for us alone, each method in a process of its own, which tells its peak memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from shoptoolkit.behaviour.walks import METHODS, asked_at, by_hash, coded, learn, walks
from shoptoolkit.features import sessions

SMOKE = os.environ.get("SMOKE") == "1"
SIZE = {"n_sessions": 5_000, "n_items": 1_000} if SMOKE else {"n_sessions": 1_000_000, "n_items": 100_000}
QUERIES = 1_000 if SMOKE else 100_000
SLOW_QUERIES = 200 if SMOKE else 1_000  # of session kNN, for scipy
N, KEEP, RECENT, NEIGHBOURS = 20, 100, 1_000, 500


def log(*, n_sessions: int, n_items: int, rng: int = 1) -> pl.DataFrame:
    """A year of sessions of about five views; items come in a hundred themes, few of each are popular."""
    random = np.random.default_rng(rng)
    size = 1 + random.poisson(4, n_sessions)
    visit = np.repeat(np.arange(n_sessions), size)
    theme = random.integers(0, 100, n_sessions)[visit]
    rank = (n_items / 100 * random.random(len(visit)) ** 3).astype(int)
    place = np.arange(len(visit)) - np.repeat(np.cumsum(size) - size, size)
    start = np.datetime64("2024-01-01", "us") + np.sort(random.integers(0, 365 * 86_400, n_sessions)) * 1_000_000
    return pl.DataFrame(
        {
            "customer_id": random.integers(0, n_sessions // 4, n_sessions)[visit],
            "at": start[visit] + place * 30_000_000,
            "event": pl.repeat("view", len(visit), eager=True),
            "item_id": theme * (n_items // 100) + rank,
        }
    )


@pytest.fixture(scope="module")
def steps() -> tuple[pl.DataFrame, pl.DataFrame]:
    walk = walks(sessions(log(**SIZE)), of="item_id", kinds=["view"])
    items = by_hash(walk)
    return coded(walk, items), items


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("log") / "events.parquet"
    log(**SIZE).write_parquet(path)
    return str(path)


def matrix(visit: np.ndarray, code: np.ndarray, n: int) -> sparse.csr_array:
    """Sessions x items, 1 where a session has an item."""
    held = sparse.csr_array((np.ones(len(code)), (visit, code)), shape=(visit.max() + 1, n))
    held.data[:] = 1
    return held


def best_rows(table: sparse.csr_array, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The best columns of each row: by value, then by number."""
    table.sort_indices()
    row = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((table.indices, -table.data, row))
    place = np.arange(len(row)) - table.indptr[row]
    items, scores = np.full((table.shape[0], most), -1), np.zeros((table.shape[0], most))
    kept = place < most
    items[row[kept], place[kept]] = table.indices[order][kept]
    scores[row[kept], place[kept]] = table.data[order][kept]
    return items, scores


def lists_by_scipy(method: str, steps: pl.DataFrame, n: int) -> tuple[np.ndarray, np.ndarray]:
    visit, code, goes_on = (steps[name].to_numpy() for name in ("visit", "code", "is_last"))
    held = matrix(visit, code, n)
    if method == "popularity":
        share = held.sum(axis=0) / held.shape[0]
        order = np.lexsort((np.arange(n), -share))[:KEEP]
        return order[None], share[order][None]
    if method == "markov":
        goes_on = ~goes_on
        moves = (code[goes_on], code[1:][goes_on[:-1]])
        count = sparse.csr_array((np.ones(len(moves[0])), moves), shape=(n, n))
        squared = count.multiply(count).multiply(1 / np.maximum(count.sum(axis=1), 1)[:, None] ** 2).tocsr()
    else:
        count = (held.T @ held).tocsr()
        size = count.diagonal()
        count.setdiag(0)
        count.eliminate_zeros()
        row = np.repeat(np.arange(n), np.diff(count.indptr))
        squared = sparse.csr_array((count.data**2 / (size[row] * size[count.indices]), count.indices, count.indptr))
    items, scores = best_rows(squared, KEEP)
    return items, np.sqrt(scores)


def top_of_lists(last: np.ndarray, items: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first N of the list of each last item, without it."""
    rows = last if len(items) > 1 else np.zeros_like(last)
    found, told = items[rows][:, : N + 1], scores[rows][:, : N + 1]
    order = np.argsort(found == last[:, None], axis=1, kind="stable")[:, :N]
    return np.take_along_axis(found, order, 1), np.take_along_axis(told, order, 1)


def sessions_by_scipy(model, queries: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Session kNN: one product for the similarities, one for the scores, query by query."""
    n = len(model.first_session) - 1
    shape = (len(model.first_item) - 1, n)
    held = sparse.csr_array((np.ones(len(model.item)), model.item, model.first_item), shape=shape)
    by_item, size = held.T.tocsr(), np.diff(model.first_item)
    items, scores = np.full((len(queries), N), -1), np.zeros((len(queries), N))
    for q, prefix in enumerate(queries):
        place = {item: k for k, item in enumerate(prefix.tolist(), start=1)}
        weight = np.array(list(place.values()), float)
        shared = (sparse.csr_array(weight[None]) @ by_item[list(place)]).tocsr()
        shared.sort_indices()
        near, squared = shared.indices[:RECENT], shared.data[:RECENT] ** 2 / size[shared.indices[:RECENT]]
        best = np.argsort(-squared, kind="stable")[:NEIGHBOURS]
        like = np.sqrt(squared / (weight**2).sum())
        score = like[best] @ held[near[best]]
        score[prefix[-1]] = 0
        order = np.lexsort((np.arange(n), -score.round(9)))[:N]
        order = order[score[order] > 0]
        items[q, : len(order)], scores[q, : len(order)] = order, score[order]
    return items, scores


@pytest.mark.parametrize("method", METHODS)
def test_next_items(timed, steps, method):
    table, items = steps
    queries = table.filter(pl.col("row") > pl.col("low")).sample(QUERIES, seed=3).with_columns(high="row")
    asked, sizes = asked_at(table, queries), (RECENT, NEIGHBOURS)
    learnt = timed(lambda: learn(method, table, items, keep=KEEP, sizes=sizes), times=2)
    model = learnt[2]
    answered = timed(lambda: model.top(asked, N), times=2)
    code = table["code"].to_numpy()
    if method == "session_knn":
        prefixes = [code[low:high] for low, high in queries.select("low", "high").head(SLOW_QUERIES).rows()]
        begun = time.perf_counter()
        theirs = sessions_by_scipy(model, prefixes)
        ratios = ((time.perf_counter() - begun) / len(prefixes)) / (answered[0] / QUERIES), None
    else:
        counted = timed(lambda: lists_by_scipy(method, table, len(items)), times=1)
        looked = timed(lambda: top_of_lists(code[queries["high"].to_numpy() - 1], *counted[2]), times=2)
        theirs = looked[2]
        ratios = looked[0] / answered[0], counted[0] / learnt[0]
    ours = [one[: len(theirs[0])] for one in answered[2]]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-9, atol=1e-12)
    assert (ours[0] == theirs[0]).mean() > (0.999 if method == "session_knn" else 0.999999)  # ties by rounding
    print(f"\n{method}: learnt from {len(table):,} steps in {learnt[0]:.2f} s, ", end="")
    print(f"{QUERIES:,} queries in {answered[0]:.2f} s; scipy's time / ours: queries {ratios[0]:.1f}", end="")
    print("" if ratios[1] is None else f", learning {ratios[1]:.1f}")


WHOLE = """
import re, time
import polars as pl
from shoptoolkit.behaviour import fit_next_item
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 2**20  # of this program alone
events = pl.read_parquet({file!r})
fit_next_item(events.head(50_000), split_at=events["at"][10_000], method={method!r})  # compiles
before, begun = peak(), time.perf_counter()
fit = fit_next_item(events, split_at="2024-12-01", method={method!r})
wall = time.perf_counter() - begun
print(f"{{fit}}\\nwhole fit: {{wall:.1f}} s, peak {{peak():.2f}} GiB ({{before:.2f}} with the log before it)")
"""


@pytest.mark.parametrize("method", METHODS)
def test_the_whole_fit(method, file):
    code = WHOLE.format(file=file, method=method)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout}", end="")
