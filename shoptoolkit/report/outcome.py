"""What became of a notebook's cells: an executed notebook comes in, its failure and its gaps go out.

- `find_failure`: the first cell that raised, with its nearest heading and source line.
- `Skip`: what a notebook raises where something it needs is not there.
- `cells_not_run`, `is_out_of_order`: why a page may not show what its code says.
- `has_tag`, `number_of`, `source_of`: small readers that the other modules share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    *("RunFailure", "Skip", "cells_not_run", "find_failure", "has_tag", "is_out_of_order"),
    *("number_of", "source_of"),
]

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
HEADING = r"^ {0,3}#{1,6}\s*(.+?)\s*#*$"
EXPECTED = ("raises-exception", "skip-execution")
INJECTED = "injected-parameters"


class Skip(Exception):
    """Raised by a notebook that needs what is not there: `raise report.Skip("needs Spark: pip install ...")`.

    The reason says what is missing and how to get it. The runner then tells of a skipped notebook, not of a failed one.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"Skipped: {self}"]  # in a notebook, too, the reason is all there is to say


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailure:
    """Where and why a notebook stopped."""

    cell: int  # position in the notebook as written, from 1; 0: outside the cells
    heading: str  # the nearest heading above
    name: str  # of the error: "ValueError"
    message: str
    line: str = ""  # the source line that raised
    outside: str = "before its first cell"  # where it was, if in no cell

    @property
    def where(self) -> str:
        """In words: "in cell 4, under “Estimate”"."""
        under = f", under “{self.heading}”" if self.heading else ""
        return f"in cell {self.cell}{under}" if self.cell else self.outside


def find_failure(nb: Any) -> RunFailure | None:
    """Find the first cell that raised, unless it is tagged `raises-exception`.

    Parameters
    ----------
    nb
        An executed notebook.

    Returns
    -------
    RunFailure or None
        None when no cell raised.
    """
    for index, cell in enumerate(nb.cells):
        errors = [o for o in cell.get("outputs", ()) if o.output_type == "error"]
        if errors and not has_tag(cell, *EXPECTED):
            return failure_at(nb, index, errors[0].ename, errors[0].evalue, errors[0].get("traceback", ()))
    return None


def failure_at(nb: Any, index: int, name: str, message: str, traceback: Sequence[str] = ()) -> RunFailure:
    """Describe a failure of one cell: number, heading and line are looked up in the notebook."""
    source = source_of(nb.cells[index])
    message = ANSI.sub("", message)
    line = _line(source, "\n".join(traceback))
    cell = number_of(nb, index)
    return RunFailure(cell=cell, heading=_heading(nb, index), name=name, message=message, line=line)


def _heading(nb: Any, index: int) -> str:
    for cell in reversed(nb.cells[:index]):
        if cell.cell_type == "markdown" and (found := re.findall(HEADING, source_of(cell), re.MULTILINE)):
            return str(found[-1])
    return ""


def _line(source: str, traceback: str) -> str:
    """IPython names the line of the cell in its traceback: "Cell In[3], line 2"."""
    found = re.search(r"Cell In ?\[\d+\],? line:? ?(\d+)", ANSI.sub("", traceback))
    lines = source.splitlines()
    return lines[int(found[1]) - 1].strip() if found and 0 < int(found[1]) <= len(lines) else ""


def cells_not_run(nb: Any) -> int:
    """Count code cells with code but without a result.

    Returns
    -------
    int
        Cells without an execution number; those tagged `skip-execution` do not count.
    """
    code = (cell for cell in nb.cells if cell.cell_type == "code" and source_of(cell).strip())
    return sum(cell.get("execution_count") is None and not has_tag(cell, "skip-execution") for cell in code)


def is_out_of_order(nb: Any) -> bool:
    """Whether cells ran in another order than they stand, or more than once.

    Returns
    -------
    bool
        True when execution numbers, where there are any, do not count up from 1.
    """
    counts = [cell.execution_count for cell in nb.cells if cell.cell_type == "code" and cell.get("execution_count")]
    return counts != list(range(1, len(counts) + 1))


def has_tag(cell: Any, *tags: str) -> bool:
    """Whether a cell carries one of these tags."""
    return any(tag in tags for tag in cell.metadata.get("tags", ()))


def number_of(nb: Any, index: int) -> int:
    """The position of a cell in the notebook as it was written, from 1: injected cells do not count."""
    return index + 1 - sum(has_tag(cell, INJECTED) for cell in nb.cells[:index])


def source_of(cell: Any) -> str:
    """A cell's text; the notebook format allows a list of lines, too."""
    return cell.source if isinstance(cell.source, str) else "".join(cell.source)
