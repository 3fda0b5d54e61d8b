"""The top of a likelihood of a few parameters, with its curvature: shared by the fits of orders and of spend.

In: a function that gives the log-likelihood per customer and its slopes. Out: `climb` -> `Optimum`; `parameter_table`
turns it into parameters with intervals, and says which of them the data do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]
_VAGUE = 2.0  # standard error of a log parameter: an interval over more than a factor 50 either way tells nothing
_REACH = 14.0  # how far a log parameter may go from its start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """Where the likelihood is highest. `information`: minus its second derivatives, summed over customers."""

    at: Floats
    log_likelihood: float
    information: Floats

    def covariance(self) -> Floats:
        """For forecasts: a direction that the data leave open wanders by a factor e^3 (one standard error), no more."""
        values, vectors = np.linalg.eigh(self.information)
        return (vectors / (np.maximum(values, 0) + 1 / 9)) @ vectors.T


def climb(objective: Callable[[Floats], tuple[float, Floats]], starts: Sequence[Floats], n: float, who: str) -> Optimum:
    """From each start by L-BFGS, from the best of the ends by Newton's steps. `objective` is per customer of n.

    A ridge without a top (a parameter that may grow for ever) ends at the border; its parameters are not identified.
    """

    def down(at: Floats) -> tuple[float, Floats]:
        value, slope = objective(at)
        return (-value, -slope) if np.isfinite(value) else (1e10, np.zeros(len(at)))

    bounds = [(middle - _REACH, middle + _REACH) for middle in starts[0]]
    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7}
    ends = [minimize(down, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for start in starts]
    at = min(ends, key=lambda end: end.fun).x
    for _ in range(8):
        value, slope = objective(at)
        curve = _curvature(objective, at)
        inside = np.abs(at - starts[0]) < _REACH - 1e-3
        if np.abs(slope[inside]).max(initial=0.0) < 1e-9:
            break
        step = np.linalg.lstsq(curve + 1e-12 * np.eye(len(at)), slope, rcond=1e-9)[0] * inside
        sizes = [size for size in (1.0, 0.25, 0.03) if objective(at + size * step)[0] >= value]
        if not sizes or np.abs(step).max() > _REACH:
            break
        at = at + sizes[0] * step
    if not np.isfinite(value) or np.abs(slope[inside]).max(initial=0.0) > 1e-5:
        raise ValueError(
            f"{who}: no top of the likelihood was found from {len(starts)} starts (slope {np.abs(slope).max():.1g} per "
            "customer is left). Pass other starts=, take fewer covariates, or more customers."
        )
    return Optimum(at=at, log_likelihood=n * value, information=n * curve)


def _curvature(objective: Callable[[Floats], tuple[float, Floats]], at: Floats, by: float = 1e-4) -> Floats:
    """Minus the second derivatives, from differences of slopes."""
    steps = by * np.eye(len(at))
    curve = -np.array([objective(at + step)[1] - objective(at - step)[1] for step in steps]) / (2 * by)
    return (curve + curve.T) / 2


def parameter_table(found: Optimum, names: Sequence[str], n_logs: int, level: float) -> pl.DataFrame:
    """Parameter, estimate, standard_error, low, high, reason. The first `n_logs` are logs: intervals stay above 0."""
    values, vectors = np.linalg.eigh(found.information)
    flat = values <= 1e-9 * max(values.max(), 1.0)
    error = np.sqrt((vectors**2 / np.where(flat, 1e-9, values)).sum(axis=1))
    z = NormalDist().inv_cdf(0.5 + level / 2)
    is_log = np.arange(len(names)) < n_logs
    told = error < _VAGUE
    with np.errstate(over="ignore"):
        estimate = np.where(is_log, np.exp(found.at), found.at)
        low, high = (np.where(is_log, np.exp(at), at) for at in (found.at - z * error, found.at + z * error))
    columns = {"standard_error": np.where(is_log, estimate * error, error), "low": low, "high": high}
    known = {name: pl.Series(np.where(told, column, np.nan)).fill_nan(None) for name, column in columns.items()}
    reason = ["" if one else "not identified: the likelihood is flat here; compare forecasts" for one in told]
    table = pl.DataFrame({"parameter": list(names), "estimate": estimate, **known})
    return table.with_columns(reason=pl.Series(reason).replace("", None))
