"""What the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest


@pytest.fixture(scope="session")
def timed() -> Callable:
    """Median wall and CPU seconds of some runs, and the last answer; one run before to load and compile."""

    def run(function, *, times=3):
        function() if times > 1 else None
        walls, cpus, answer = [], [], None
        for _ in range(times):
            wall, cpu = time.perf_counter(), time.process_time()
            answer = function()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        return median(walls), median(cpus), answer

    return run
