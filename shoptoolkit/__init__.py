"""From a shop's raw event log to a decision that survives scrutiny.

Data goes one way: events -> spells -> estimates -> figures -> report. The rooms, in the order of that way:

contract        what each frame must be, the check, the quarantine; `read_events` brings your log in
datasets        public data sets brought to the contract
simulate        shops whose true behaviour is known
features        events -> orders, sessions, paths, habits, what was known as of a moment
survival        spells -> curves, regressions, orders to come and their value, judged on what came
incrementality  what an ad changed: experiments, repurchase and pull-forward, whom it moves, the ledger
behaviour       why people buy: the unprompted share, propensities, intent, what comes next
explain         what each feature adds to a model's answer, and whether that holds
figures         draw a result
report          notebooks -> HTML reports

>>> from shoptoolkit import survival, figures

A room is loaded on first use, so that `import shoptoolkit` costs no more than `import polars`.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
__all__ = [
    "behaviour",
    "contract",
    "datasets",
    "explain",
    "features",
    "figures",
    "incrementality",
    "report",
    "simulate",
    "survival",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"shoptoolkit.{name}")
    raise AttributeError(f"module 'shoptoolkit' has no attribute {name!r}; its rooms are {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
