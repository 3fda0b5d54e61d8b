"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.cannibalisation import cannibalisation
from shoptoolkit.incrementality.certify import certify_coverage
from shoptoolkit.incrementality.door import choose_arms
from shoptoolkit.incrementality.exposed import lift_on_exposed
from shoptoolkit.incrementality.ledger import Adjusted, adjust, ledger
from shoptoolkit.incrementality.lift import lift
from shoptoolkit.incrementality.moments import Moments, moments
from shoptoolkit.incrementality.observational import Observational, observational
from shoptoolkit.incrementality.outcomes import ExperimentOutcomes, outcomes
from shoptoolkit.incrementality.over_time import OverTime, lift_over_time
from shoptoolkit.incrementality.power import minimum_effect, power
from shoptoolkit.incrementality.pull_forward import pull_forward
from shoptoolkit.incrementality.qini import Qini, qini
from shoptoolkit.incrementality.repurchase import RepurchaseLift, repurchase_lift
from shoptoolkit.incrementality.split import SplitCheck, check_split
from shoptoolkit.incrementality.targeting import TargetingCurve, targeting_curve
from shoptoolkit.incrementality.uplift import UpliftFit, fit_uplift
from shoptoolkit.incrementality.uplift_calibration import UpliftCalibration, uplift_calibration
from shoptoolkit.incrementality.value import incremental_value

__all__ = [
    "Adjusted",
    "ExperimentOutcomes",
    "Moments",
    "Observational",
    "OverTime",
    "Qini",
    "RepurchaseLift",
    "SplitCheck",
    "TargetingCurve",
    "UpliftCalibration",
    "UpliftFit",
    "adjust",
    "cannibalisation",
    "certify_coverage",
    "check_split",
    "choose_arms",
    "fit_uplift",
    "incremental_value",
    "ledger",
    "lift",
    "lift_on_exposed",
    "lift_over_time",
    "minimum_effect",
    "moments",
    "observational",
    "outcomes",
    "power",
    "pull_forward",
    "qini",
    "repurchase_lift",
    "targeting_curve",
    "uplift_calibration",
]
