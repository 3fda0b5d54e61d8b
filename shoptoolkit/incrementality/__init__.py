"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.cannibalisation import cannibalisation
from shoptoolkit.incrementality.exposed import lift_on_exposed
from shoptoolkit.incrementality.ledger import Adjusted, adjust, ledger
from shoptoolkit.incrementality.observational import Observational, observational
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.pull_forward import pull_forward
from shoptoolkit.incrementality.repurchase import RepurchaseLift, repurchase_lift
from shoptoolkit.incrementality.value import incremental_value

__all__ = [
    "Adjusted",
    "ExperimentOutcomes",
    "Observational",
    "RepurchaseLift",
    "adjust",
    "cannibalisation",
    "incremental_value",
    "ledger",
    "lift_on_exposed",
    "observational",
    "outcomes",
    "pull_forward",
    "repurchase_lift",
]
