"""The top of a likelihood of a few parameters, with its curvature: shared by the fits of orders and of spend.

In: a function that gives the log-likelihood per customer and its slopes. Out: `climb` -> `Optimum`; `parameter_table`
turns it into parameters with intervals, and says which of them the data do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.estimates import z_of

Objective = Callable[[Floats], tuple[float, Floats]]
_VAGUE = 2.0  # standard error of a log parameter: an interval over more than a factor 50 either way tells nothing
_REACH = 9.0  # how far a log parameter may go from its start: a factor 8,000, where customers are as good as alike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """Where the likelihood is highest. `information`: minus its second derivatives, summed over customers.

    `endless`: which parameters ended at the border, the likelihood rising for ever.
    """

    at: Floats
    log_likelihood: float
    information: Floats
    endless: npt.NDArray[np.bool_]

    def covariance(self) -> Floats:
        """For forecasts: a direction that the data leave open wanders by a factor e^3 (one standard error), no more."""
        values, vectors = np.linalg.eigh(self.information)
        return (vectors / (np.maximum(values, 0) + 1 / 9)) @ vectors.T


def climb(
    objective: Objective, starts: Sequence[Floats], n: float, who: str, *, rehearsal: Objective | None = None
) -> Optimum:
    """From each start by L-BFGS, from the best of the ends by Newton's steps. `objective` is per customer of n.

    A `rehearsal`, the objective of fewer customers, finds the best of the starts in less time. A ridge without a top (a
    parameter that may grow for ever) ends at the border; its parameters are not identified.
    """
    middle = starts[0]
    if rehearsal is not None:
        starts = [_ascend(rehearsal, starts, middle)]
    at = _ascend(objective, starts, middle)
    value, slope = objective(at)
    curve = _curvature(objective, at)
    for _ in range(60):
        step = _step(curve, slope, at - middle)
        if step is None:
            break
        tried = ((to, *objective(to)) for to in (at + size * step for size in (1.0, 0.2, 0.02)))
        better = next((one for one in tried if one[1] >= value - 1e-14 * abs(value)), None)
        if better is None:
            break
        is_far = np.abs(better[0] - at).max() > 1e-2
        at, value, slope = better
        curve = _curvature(objective, at) if is_far else curve
    if not np.isfinite(curve).all() or np.abs(slope[_free(slope, at - middle)]).max(initial=0.0) > 1e-5:
        raise ValueError(
            f"{who}: no top of the likelihood was found from {len(starts)} starts (slope {np.abs(slope).max():.1g} per "
            "customer is left). Pass other starts=, take fewer covariates, or more customers."
        )
    endless = np.abs(at - middle) >= _REACH - 1e-6
    return Optimum(at=at, log_likelihood=n * value, information=n * curve, endless=endless)


def _free(slope: Floats, off: Floats) -> npt.NDArray[np.bool_]:
    """Which parameters may move: not those at the border that would have to leave it."""
    return np.asarray((np.abs(off) < _REACH - 1e-6) | (slope * off < 0))


def _step(curve: Floats, slope: Floats, off: Floats) -> Floats | None:
    """Newton's step, upwards also where the likelihood bends upwards; not over the border. None at the top."""
    free = _free(slope, off)
    if not np.isfinite(curve).all() or np.abs(slope[free]).max(initial=0.0) < 1e-10:
        return None
    while free.any():
        values, vectors = np.linalg.eigh(curve[np.ix_(free, free)])
        step = np.zeros(len(slope))
        step[free] = vectors @ ((vectors.T @ slope[free]) / np.maximum(np.abs(values), 1e-10))
        room = np.where(step * off > 0, _REACH - np.abs(off), _REACH) / np.maximum(np.abs(step), 1e-300)
        if (leaving := free & (room < 1e-9)).any():  # at the border, and drawn over it by the others
            free &= ~leaving
            continue
        return step * min(1.0, 2.0 / np.abs(step).max(), float(room[free].min()))
    return None


def _ascend(objective: Objective, starts: Sequence[Floats], middle: Floats) -> Floats:
    def down(at: Floats) -> tuple[float, Floats]:
        value, slope = objective(at)
        return (-value, -slope) if np.isfinite(value) else (1e10, np.zeros(len(at)))  # no way up from here

    bounds = [(one - _REACH, one + _REACH) for one in middle]
    options = {"maxiter": 500, "ftol": 1e-11, "gtol": 1e-7}
    ends = [minimize(down, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for start in starts]
    return np.asarray(min(ends, key=lambda end: end.fun).x)


def _curvature(objective: Objective, at: Floats, by: float = 1e-4) -> Floats:
    """Minus the second derivatives, from differences of slopes."""
    steps = by * np.eye(len(at))
    curve = -np.array([objective(at + step)[1] - objective(at - step)[1] for step in steps]) / (2 * by)
    return (curve + curve.T) / 2


def parameter_table(found: Optimum, names: Sequence[str], n_logs: int, level: float) -> pl.DataFrame:
    """Parameter, estimate, standard_error, low, high, reason. The first `n_logs` are logs: intervals stay above 0."""
    values, vectors = np.linalg.eigh(found.information)
    flat = values <= 1e-9 * max(values.max(), 1.0)
    inverse = (vectors / np.where(flat, 1e-9, values)) @ vectors.T
    error = np.sqrt(np.diag(inverse))
    tied = np.abs(inverse) > 0.95 * np.outer(error, error)  # as a and b, of which only the ratio is known
    z = z_of(level)
    is_log = np.arange(len(names)) < n_logs
    told = (error < _VAGUE) & ~(tied & found.endless).any(axis=1)
    with np.errstate(over="ignore"):
        estimate = np.where(is_log, np.exp(found.at), found.at)
        low, high = (np.where(is_log, np.exp(at), at) for at in (found.at - z * error, found.at + z * error))
    columns = {"standard_error": np.where(is_log, estimate * error, error), "low": low, "high": high}
    known = {name: pl.Series(np.where(told, column, np.nan)).fill_nan(None) for name, column in columns.items()}
    reason = ["" if one else "not identified: the likelihood is flat here; compare forecasts" for one in told]
    table = pl.DataFrame({"parameter": list(names), "estimate": estimate, **known})
    return table.with_columns(reason=pl.Series(reason).replace("", None))
