"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.lift import lift
from shoptoolkit.incrementality.moments import Moments, moments

__all__ = [
    "Moments",
    "lift",
    "moments",
]
