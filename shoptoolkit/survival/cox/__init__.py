"""Cox regression: what goes with an earlier return, with errors that hold when customers repeat.

`door` checks and sorts the rows, `likelihood` climbs and tells errors with the loops of `kernels`, `fit` is the face.
"""

from shoptoolkit.survival.cox.fit import CoxFit, fit_cox, schoenfeld_test

__all__ = [
    "CoxFit",
    "fit_cox",
    "schoenfeld_test",
]
