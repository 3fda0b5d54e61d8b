"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.uplift import UpliftFit, fit_uplift

__all__ = [
    "UpliftFit",
    "fit_uplift",
]
