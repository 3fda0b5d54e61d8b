"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.pull_forward import pull_forward
from shoptoolkit.incrementality.qini import Qini, qini
from shoptoolkit.incrementality.repurchase import RepurchaseLift, repurchase_lift
from shoptoolkit.incrementality.split import SplitCheck, check_split

__all__ = [
    "ExperimentOutcomes",
    "Qini",
    "RepurchaseLift",
    "SplitCheck",
    "check_split",
    "outcomes",
    "pull_forward",
    "qini",
    "repurchase_lift",
]
