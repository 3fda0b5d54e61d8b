"""Speed and memory of the simulated shop: pytest -s tests/benchmarks/bench_simulate.py

SMOKE=1 takes a small size; LARGE=1 writes 100 million events. There is no peer: events per second of one core (polars
on one thread) and the peak memory of a process that writes the log in parts are printed, and nothing is asserted about
time. The same bytes on one thread and on two are asserted here, on whatever size is run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMOKE, LARGE = os.environ.get("SMOKE") == "1", os.environ.get("LARGE") == "1"
CUSTOMERS = 2_000 if SMOKE else 1_700_000 if LARGE else 100_000
CALL = """
import sys, time
from shoptoolkit import simulate
simulate.shop(rng=1, n_customers=100, experiment=simulate.Experiment())  # loads and compiles
wall, cpu = time.perf_counter(), time.process_time()
rows = simulate.write_shop(
    sys.argv[1], rng=1, n_customers=int(sys.argv[2]), experiment=simulate.Experiment(), threads=int(sys.argv[3])
)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
peak = int(status["VmHWM"].split()[0]) / 2**20  # ru_maxrss would tell that of the parent
print(f"{rows:,} events on {sys.argv[3]} thread(s): {wall:.1f} s, {rows / cpu / 1e6:.2f} million per CPU second, "
      f"peak {peak:.2f} GiB")
"""


def digest(folder: Path) -> str:
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*.parquet")):
        told.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return told.hexdigest()


@pytest.mark.benchmark
def test_writing_a_log_in_parts(tmp_path):
    found = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        command = [sys.executable, "-c", CALL, str(folder), str(CUSTOMERS), str(threads)]
        one_core = os.environ | {"POLARS_MAX_THREADS": "1"}
        print("\n" + subprocess.run(command, check=True, capture_output=True, text=True, env=one_core).stdout.strip())
        found.append(digest(folder))
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        print(f"{size / 2**30:.2f} GiB on disk")
    assert found[0] == found[1]
