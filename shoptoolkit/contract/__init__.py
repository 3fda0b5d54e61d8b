"""The ground: what each frame must be, the check, the quarantine.

`read_events`, `read_assignments` and `check` bring data through the door; `Events`, `Orders`, `Spells` ... say what a
frame must be; `EstimateTable` carries answers; `reconcile` accounts for every row on the way from lines to spells.
"""

from shoptoolkit.contract.check import Checked, check, require, to_polars
from shoptoolkit.contract.estimates import EstimateTable, estimate_row, refused_row, wilson
from shoptoolkit.contract.read import read_assignments, read_events
from shoptoolkit.contract.reconcile import Reconciliation, reconcile
from shoptoolkit.contract.schemas import (
    Assignments,
    Auctions,
    Contract,
    ContractError,
    Estimates,
    Events,
    Media,
    Orders,
    Outcomes,
    Panel,
    PolicyLog,
    Requests,
    Spells,
    Touches,
)

__all__ = [
    "read_assignments",
    "read_events",
    "check",
    "require",
    "to_polars",
    "wilson",
    "Checked",
    "Contract",
    "ContractError",
    "Events",
    "Orders",
    "Spells",
    "Requests",
    "Assignments",
    "Outcomes",
    "Panel",
    "Media",
    "Touches",
    "Auctions",
    "PolicyLog",
    "Estimates",
    "EstimateTable",
    "estimate_row",
    "refused_row",
    "reconcile",
    "Reconciliation",
]
