"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.cannibalisation import cannibalisation
from shoptoolkit.incrementality.certify import certify_coverage
from shoptoolkit.incrementality.exposed import lift_on_exposed
from shoptoolkit.incrementality.ledger import Adjusted, adjust, ledger
from shoptoolkit.incrementality.value import incremental_value

__all__ = [
    "Adjusted",
    "adjust",
    "cannibalisation",
    "certify_coverage",
    "incremental_value",
    "ledger",
    "lift_on_exposed",
]
