"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

<<<<<<< HEAD
from shoptoolkit.incrementality.pull_forward import pull_forward
from shoptoolkit.incrementality.repurchase import RepurchaseLift, repurchase_lift

__all__ = [
    "RepurchaseLift",
    "pull_forward",
    "repurchase_lift",
=======
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes

__all__ = [
    "ExperimentOutcomes",
    "outcomes",
>>>>>>> wt-outcomes
]
