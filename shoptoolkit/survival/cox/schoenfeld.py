"""Are hazards proportional? The score test of effects that change with the days.

In: `CoxFit`. Out: `schoenfeld_test` -> a frame.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import choose
from shoptoolkit.survival.cox.fit import CoxFit
from shoptoolkit.survival.cox.likelihood import Rows, cluster_scores, evaluate


def schoenfeld_test(fit: CoxFit, *, transform: str = "log") -> pl.DataFrame:
    """Are the hazards proportional, or does a covariate's effect fade or grow with the days?

    The score test of adding covariate times g(days) to the model (Grambsch and Therneau 1994, Biometrika 81, 515-526),
    with the information of every event time as it is, not averaged; ties, entries, strata and weights are those of
    the fit. A fit with robust errors gets the robust test.

    Parameters
    ----------
    fit
        An unpenalised fit.
    transform
        g: "log", "identity", or "rank" of the repurchase among all (its place does not depend on outliers).

    Returns
    -------
    pl.DataFrame
        covariate (at last "all together"), slope (how much the coefficient grows per unit of g, to first order),
        chi_squared, degrees_of_freedom, p_value (small: not proportional; null: differs at one event time only).
    """
    from scipy.stats import chi2

    choose("transform", transform, ("log", "identity", "rank"))
    rows, state = fit._model.rows, fit._model.state
    if fit._model.penalty:
        raise ValueError(f"the fit has penalty {fit._model.penalty:g}; the test needs a fit without.")
    g = _transformed(rows, transform)
    with_g, squared = evaluate(rows, state.beta, g), evaluate(rows, state.beta, g**2)
    projection = np.linalg.solve(state.information, with_g.information)
    left = squared.information - with_g.information @ projection
    variance = left
    if len(rows.cluster):
        parts = cluster_scores(rows, state.beta, g) - cluster_scores(rows, state.beta) @ projection
        variance = parts.T @ parts
    known = (np.diag(left) > 1e-9 * np.diag(squared.information)) & (np.diag(variance) > 0)
    if not known.any():
        raise ValueError("no covariate differs among those at risk at two event times, so no change over time is seen.")
    score, variance = with_g.score[known], variance[np.ix_(known, known)]
    values, slopes = np.full((2, len(known)), np.nan)
    values[known], slopes[known] = score**2 / np.diag(variance), score / np.diag(left)[known]
    values = np.append(values, score @ np.linalg.solve(variance, score))
    freedom = [1] * len(known) + [int(known.sum())]
    table = pl.DataFrame(
        {
            "covariate": [*fit.table["covariate"], "all together"],
            "slope": np.append(slopes / fit._model.scale, np.nan),
            "chi_squared": values,
            "degrees_of_freedom": freedom,
            "p_value": chi2.sf(values, freedom),
        }
    )
    return table.with_columns(pl.col("slope", "chi_squared", "p_value").fill_nan(None))


def _transformed(rows: Rows, transform: str) -> Floats:
    g = rows.times
    if transform == "log":
        g = np.log(g)
    if transform == "rank":  # the mean rank of the repurchases of a day, as a share of all
        _, place = np.unique(g, return_inverse=True)
        count = np.bincount(place, rows.deaths)
        g = ((np.cumsum(count) - (count - 1) / 2) / count.sum())[place]
    return g - np.average(g, weights=rows.deaths)
