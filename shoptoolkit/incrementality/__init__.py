"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.cannibalisation import cannibalisation
from shoptoolkit.incrementality.certify import certify_coverage
from shoptoolkit.incrementality.exposed import lift_on_exposed
from shoptoolkit.incrementality.ledger import Adjusted, adjust, ledger
from shoptoolkit.incrementality.lift import lift
from shoptoolkit.incrementality.moments import Moments, moments
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.over_time import OverTime, lift_over_time
from shoptoolkit.incrementality.power import minimum_effect, power
from shoptoolkit.incrementality.split import SplitCheck, check_split
from shoptoolkit.incrementality.value import incremental_value

__all__ = [
    "Adjusted",
    "ExperimentOutcomes",
    "Moments",
    "OverTime",
    "SplitCheck",
    "adjust",
    "cannibalisation",
    "certify_coverage",
    "check_split",
    "incremental_value",
    "ledger",
    "lift",
    "lift_on_exposed",
    "lift_over_time",
    "minimum_effect",
    "moments",
    "outcomes",
    "power",
]
