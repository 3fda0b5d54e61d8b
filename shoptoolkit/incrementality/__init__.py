"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes

__all__ = [
    "ExperimentOutcomes",
    "outcomes",
]
