"""What a run tells while it goes on.

- `Watch`: is told and keeps silent.
- `Terminal`: a line on a terminal with what is done and which notebook is at which cell; elsewhere a line as each
  begins. It is a context: the bar goes at its end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from shoptoolkit.report.runner import RunResult
    from shoptoolkit.report.series import Job, Plan

__all__ = ["Terminal", "Watch"]


class Watch:
    """Is told of a run, cells from any thread, and keeps silent."""

    def cell(self, job: Job, number: int) -> None:
        """Note that a notebook begins a cell, counted from 1."""

    def result(self, result: RunResult) -> None:
        """Note that a notebook is done."""

    def tick(self) -> None:
        """Note that time goes by; this is called some times a second."""


class Terminal(Watch):
    """Says on stderr where the run is."""

    def __init__(self, plan: Plan) -> None:
        from tqdm import tqdm

        self._at: dict[str, tuple[int, int]] = {}  # under way: cell, of cells
        self._done = 0
        self._is_terminal = sys.stderr.isatty()
        shape = "{percentage:3.0f}% {bar:16} {elapsed}  {desc}"
        total = sum(job.cells for job in plan.work)
        silent = not self._is_terminal
        self._bar: Any = tqdm(total=total, disable=silent, leave=False, bar_format=shape, dynamic_ncols=True)

    def cell(self, job: Job, number: int) -> None:
        if not self._is_terminal and job.name not in self._at:
            print(f"running {job.name}, {job.cells} cells", file=sys.stderr, flush=True)
        self._at[job.name] = (number, job.cells)

    def result(self, result: RunResult) -> None:
        self._done += self._at.pop(result.name, (0, 0))[1]

    def tick(self) -> None:
        if self._is_terminal:
            at = dict(self._at)
            self._bar.n = min(self._bar.total, self._done + sum(number - 1 for number, _ in at.values()))
            said = (f"{name} cell {number} of {cells}" for name, (number, cells) in at.items())
            self._bar.set_description_str("; ".join(said))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for a line that stays."""
        self._bar.clear()
        yield
        self.tick()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()
