"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.split import SplitCheck, check_split

__all__ = [
    "ExperimentOutcomes",
    "SplitCheck",
    "check_split",
    "outcomes",
]
