"""Report: from an executed notebook to one HTML page, from a folder of notebooks to a series with an index.

What notebooks call: `answer`, `figure`, `table`, `callout` (`pieces`); `in_words`, `part` (`words`); `Skip`, raised
where something is missing.
What runs them (`runner`, `index`): `run_series`, `RunResult`, `RunFailure`, `write_index`.
What makes a page: `ShopReportExporter` (`jupyter nbconvert --to shopreport`); the command line is `cli.main`.

Names load on first use, so that neither matplotlib nor nbconvert is imported before it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoptoolkit.report.exporter import ShopReportExporter
    from shoptoolkit.report.index import write_index
    from shoptoolkit.report.outcome import Skip
    from shoptoolkit.report.pieces import answer, callout, figure, table
    from shoptoolkit.report.runner import RunFailure, RunResult, run_series
    from shoptoolkit.report.words import in_words, part

__all__ = [
    "RunFailure",
    "RunResult",
    "ShopReportExporter",
    "Skip",
    "answer",
    "callout",
    "figure",
    "in_words",
    "part",
    "run_series",
    "table",
    "write_index",
]

_HOME = {
    **dict.fromkeys(("answer", "callout", "figure", "table"), "pieces"),
    **dict.fromkeys(("RunFailure", "RunResult", "run_series"), "runner"),
    **dict.fromkeys(("in_words", "part"), "words"),
    "ShopReportExporter": "exporter",
    "Skip": "outcome",
    "write_index": "index",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
