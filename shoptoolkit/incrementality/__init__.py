"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.qini import Qini, qini

__all__ = [
    "Qini",
    "qini",
]
