"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.over_time import OverTime, lift_over_time
from shoptoolkit.incrementality.split import SplitCheck, check_split

__all__ = [
    "ExperimentOutcomes",
    "OverTime",
    "SplitCheck",
    "check_split",
    "lift_over_time",
    "outcomes",
]
