"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.qini import Qini, qini
from shoptoolkit.incrementality.targeting import TargetingCurve, targeting_curve

__all__ = [
    "Qini",
    "TargetingCurve",
    "qini",
    "targeting_curve",
]
