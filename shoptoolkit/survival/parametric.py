"""Survival curves of a known shape, with covariates: lifelines' parametric regressions through one door.

In: Spells, one per customer. Out: `fit_parametric` -> `ParametricFit`, which also tells the days beyond the follow-up.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import to_polars
from shoptoolkit.contract.check import check_level, choose
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.covariates import Covariates, asked, long_survival
from shoptoolkit.survival.curves import spell_names
from shoptoolkit.survival.spells import at_the_door

_AFT = {"weibull": "WeibullAFTFitter", "log_normal": "LogNormalAFTFitter", "log_logistic": "LogLogisticAFTFitter"}
_OTHER = {"generalized_gamma": "GeneralizedGammaRegressionFitter", "spline": "CRCSplineFitter"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParametricFit:
    """A survival curve of a known shape. `table`: parameter, estimate, standard_error, low, high.

    A parameter is named as in lifelines, part of the distribution and covariate: `lambda_ Intercept`. Compare models on
    the same spells by `aic`: smaller is better.
    """

    table: pl.DataFrame
    model: str
    level: float
    log_likelihood: float
    aic: float
    n: int
    n_observed: int
    _covariates: Covariates
    _fitter: Any

    def predict_survival(
        self, frame: Any, *, days: float | Sequence[float], waited: str | None = None, id: str = "customer_id"
    ) -> pl.DataFrame:
        """Chance that a customer is not back within `days`: `id`, duration_days, survival; rows in the order given.

        With `waited` (a column of days since the last order) days count from now, and the chance is given that so many
        have passed without an order. Beyond the follow-up the shape alone speaks.
        """
        frame = to_polars(frame)
        wanted, already = asked(frame, days, waited, id)
        x = _for_lifelines(self._covariates, frame)
        times, place = np.unique(wanted, return_inverse=True)
        past = already if waited is not None else None
        survival = self._fitter.predict_survival_function(x, times=times, conditional_after=past).to_numpy().T[:, place]
        return long_survival(frame[id], wanted, survival, np.isfinite(survival))

    def __repr__(self) -> str:
        return f"ParametricFit {self.model} of {self.n:,} customers, AIC {self.aic:,.2f}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"{100 * self.level:g} % interval, n = {self.n:,}, {self.n_observed:,} repurchases, "
        note += f"log-likelihood {self.log_likelihood:,.2f}, AIC {self.aic:,.2f}"
        return html_table(self.table, title=f"Parametric survival: {self.model}", note=note)


def fit_parametric(
    spells: Any,
    *,
    model: str = "weibull",
    covariates: Sequence[str] = (),
    knots: int = 3,
    penalty: float = 0.0,
    level: float = 0.95,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> ParametricFit:
    """How would the curve go on beyond what was watched, if it has a known shape?

    Parameters
    ----------
    spells
        Spells, one per customer; weights and late entries as in `kaplan_meier`.
    model
        "weibull", "log_normal", "log_logistic" (accelerated failure times: covariates stretch the days),
        "generalized_gamma" (holds the first two), or "spline" (of the log cumulative hazard: Royston and Parmar 2002).
    covariates
        Columns, coded as in `fit_cox`; for accelerated failure times they act on the scale.
    knots
        Inner and outer knots of the spline's baseline, at least 2.
    penalty
        lifelines' `penalizer`.

    Raises
    ------
    ContractError
        Spells or covariates that break the contract.
    ValueError
        An option out of range, or lifelines' search did not converge.

    References
    ----------
    Davidson-Pilon (2019), lifelines, JOSS 4, 1317. Our part is the door and the form of the answers.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(8), "duration_days": [5, 9, 14, 20, 26, 35, 40, 40],
    ...                        "repurchased": [True] * 6 + [False] * 2})
    >>> fit_parametric(spells).table["parameter"].to_list()
    ['lambda_ Intercept', 'rho_ Intercept']
    """
    check_level(level)
    choose("model", model, (*_AFT, *_OTHER))
    if knots < 2 or not penalty >= 0:
        raise ValueError(f"knots is {knots} and penalty {penalty}; they must be at least 2 and 0.")
    frame = to_polars(spells)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    table = at_the_door(frame, by=None, cluster=None, names=names)
    learnt = Covariates.learn(frame, covariates)
    fitter = _fitted(table, _for_lifelines(learnt, frame), model, knots, penalty)
    weights = table["weight"] if "weight" in table.columns else pl.ones(len(table), eager=True)
    return ParametricFit(
        table=_table(fitter, level),
        model=model,
        level=level,
        log_likelihood=float(fitter.log_likelihood_),
        aic=float(fitter.AIC_),
        n=int(weights.sum()),
        n_observed=int(weights.filter(table["repurchased"]).sum()),
        _covariates=learnt,
        _fitter=fitter,
    )


def _for_lifelines(covariates: Covariates, frame: pl.DataFrame) -> Any:
    """A pandas frame with a column of ones: lifelines takes polars frames nowhere."""
    x = pl.DataFrame(covariates.matrix(frame), schema=covariates.names) if covariates.names else pl.DataFrame()
    return pl.select(pl.repeat(1.0, len(frame)).alias("Intercept")).hstack(x).to_pandas()


def _fitted(table: pl.DataFrame, x: Any, model: str, knots: int, penalty: float) -> Any:
    import lifelines
    from lifelines.exceptions import ConvergenceError

    options: dict[str, Any] = {"n_baseline_knots": knots} if model == "spline" else {}
    if model in _AFT:
        options["fit_intercept"] = False  # it is there already
    fitter = getattr(lifelines, (_AFT | _OTHER)[model])(penalizer=penalty, **options)
    columns = {"duration_col": "duration_days", "event_col": "repurchased"}
    kept = table.select("duration_days", "repurchased")
    if "entry_days" in table.columns:
        kept, columns["entry_col"] = kept.with_columns(table["entry_days"].fill_null(0.0)), "entry_days"
    if "weight" in table.columns:
        kept, columns["weights_col"] = kept.with_columns(table["weight"]), "weight"
    rest = {} if model in _AFT else {"regressors": dict.fromkeys(fitter._fitted_parameter_names, list(x.columns))}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            return fitter.fit(x.join(kept.to_pandas()), **columns, **rest)
        except ConvergenceError as error:
            why = str(error)
    raise ValueError(f"{model}: {why} {told}")


def _table(fitter: Any, level: float) -> pl.DataFrame:
    estimate, error = fitter.params_.to_numpy(), fitter.standard_errors_.to_numpy()
    reach = NormalDist().inv_cdf(0.5 + level / 2) * error
    return pl.DataFrame(
        {
            "parameter": [" ".join(name) for name in fitter.params_.index],
            "estimate": estimate,
            "standard_error": error,
            "low": estimate - reach,
            "high": estimate + reach,
        }
    )
