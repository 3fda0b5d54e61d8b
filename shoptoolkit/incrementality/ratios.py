"""A quotient of two estimates, with the set of values that the data do not exclude (Fieller 1954).

In: two estimates and their covariance. Out: `ratio_row`, a row of Estimates whose `set_shape` says what the set is: an
interval; two rays, all but `low` to `high`, where the divisor may be of either sign; or the whole line.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from shoptoolkit.contract import estimate_row
from shoptoolkit.contract.estimates import critical_of, two_sided


def ratio_row(
    *,
    top: float,
    bottom: float,
    covariance: npt.ArrayLike,
    level: float,
    null: float | None = None,
    degrees: float | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """One row of Estimates for top / bottom: Fieller's set, and the p-value of top - null x bottom.

    `covariance`: of (top, bottom), 2 x 2. `standard_error` is that of the delta method; the set does not use it.

    Fieller (1954), JRSS B 16, 175-185: r is in the set where (top - r bottom)^2 is at most critical^2 times its
    variance. That is also the set of Anderson and Rubin (1949) where bottom is the effect on exposure.
    """
    (var_top, shared), (_, var_bottom) = np.asarray(covariance, dtype=float).tolist()
    ratio = top / bottom
    error = math.sqrt(max(0.0, var_top - 2 * ratio * shared + ratio**2 * var_bottom)) / abs(bottom)
    square = critical_of(level, degrees) ** 2
    a, b, c = bottom**2 - square * var_bottom, top * bottom - square * shared, top**2 - square * var_top
    found = _set(ratio, a, b, c)
    if null is not None:
        spread = math.sqrt(max(0.0, var_top - 2 * null * shared + null**2 * var_bottom))
        found["p_value"] = two_sided(top - null * bottom, spread, degrees)
    return estimate_row(estimate=ratio, standard_error=error, level=level, **found | rest)


def _set(ratio: float, a: float, b: float, c: float) -> dict[str, Any]:
    """Where a r^2 - 2 b r + c <= 0, which holds at the ratio itself."""
    inside = b**2 - a * c
    if (a <= 0 and inside <= 0) or a == 0:  # a == 0 is a half-line, and as good as never met
        return {"low": None, "high": None, "set_shape": "line"}
    far = b + math.copysign(math.sqrt(max(0.0, inside)), b)  # the sum without cancellation, which gives both roots
    low, high = sorted((far / a, c / far if far else 0.0))
    if a < 0:
        return {"low": low, "high": high, "set_shape": "rays"}
    return {"low": min(low, ratio), "high": max(high, ratio), "set_shape": "interval"}
