"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.pull_forward import pull_forward
from shoptoolkit.incrementality.repurchase import RepurchaseLift, repurchase_lift

__all__ = [
    "ExperimentOutcomes",
    "RepurchaseLift",
    "outcomes",
    "pull_forward",
    "repurchase_lift",
]
