"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.lift import lift
from shoptoolkit.incrementality.moments import Moments, moments
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.power import minimum_effect, power
from shoptoolkit.incrementality.split import SplitCheck, check_split

__all__ = [
    "ExperimentOutcomes",
    "Moments",
    "SplitCheck",
    "check_split",
    "lift",
    "minimum_effect",
    "moments",
    "outcomes",
    "power",
]
