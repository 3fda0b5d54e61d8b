"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.cannibalisation import cannibalisation
from shoptoolkit.incrementality.exposed import lift_on_exposed
from shoptoolkit.incrementality.ledger import Adjusted, adjust, ledger
from shoptoolkit.incrementality.observational import Observational, observational
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.pull_forward import pull_forward
from shoptoolkit.incrementality.repurchase import RepurchaseLift, repurchase_lift
from shoptoolkit.incrementality.uplift import UpliftFit, fit_uplift
from shoptoolkit.incrementality.uplift_calibration import UpliftCalibration, uplift_calibration
from shoptoolkit.incrementality.value import incremental_value

__all__ = [
    "Adjusted",
    "ExperimentOutcomes",
    "Observational",
    "RepurchaseLift",
    "UpliftCalibration",
    "UpliftFit",
    "adjust",
    "cannibalisation",
    "fit_uplift",
    "incremental_value",
    "ledger",
    "lift_on_exposed",
    "observational",
    "outcomes",
    "pull_forward",
    "repurchase_lift",
    "uplift_calibration",
]
