"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.lift import lift
from shoptoolkit.incrementality.moments import Moments, moments
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.over_time import OverTime, lift_over_time
from shoptoolkit.incrementality.power import minimum_effect, power
from shoptoolkit.incrementality.split import SplitCheck, check_split

__all__ = [
    "ExperimentOutcomes",
    "Moments",
    "OverTime",
    "SplitCheck",
    "check_split",
    "lift",
    "lift_over_time",
    "minimum_effect",
    "moments",
    "outcomes",
    "power",
]
