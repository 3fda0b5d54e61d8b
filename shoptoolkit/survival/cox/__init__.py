"""Cox regression: what goes with an earlier return, with errors that hold when customers repeat.

`door` checks and sorts the rows, `likelihood` climbs and tells errors with the loops of `kernels`, `fit` is the face,
`schoenfeld` tests a fit.
"""

from shoptoolkit.survival.cox.fit import CoxFit, fit_cox
from shoptoolkit.survival.cox.schoenfeld import schoenfeld_test

__all__ = [
    "CoxFit",
    "fit_cox",
    "schoenfeld_test",
]
