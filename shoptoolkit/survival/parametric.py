"""Survival curves of a known shape, with covariates: lifelines' parametric regressions through one door.

In: Spells, one per customer. Out: `fit_parametric` -> `ParametricFit`, which also tells the days beyond the follow-up.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.covariates import Covariates, asked, long_survival, refuse_collinear
from shoptoolkit.survival.risk import spell_names
from shoptoolkit.survival.spells import at_the_door, refuse_outcomes

_AFT = {"weibull": "WeibullAFTFitter", "log_normal": "LogNormalAFTFitter", "log_logistic": "LogLogisticAFTFitter"}
_OTHER = {"generalized_gamma": "GeneralizedGammaRegressionFitter", "spline": "CRCSplineFitter"}
_MAY = {"entry": "entry_days", "weights": "weight"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParametricFit:
    """A survival curve of a known shape; draw its predictions. `table`: parameter, estimate, standard_error, low, high.

    A parameter is named as in lifelines, part of the distribution and covariate: `lambda_ Intercept`. Compare models on
    the same spells by `aic`: smaller is better.
    """

    table: pl.DataFrame
    model: str
    level: float
    log_likelihood: float
    aic: float
    id: str
    n: int
    n_observed: int
    _covariates: Covariates
    _centre: Floats
    _fitter: Any

    def predict_survival(
        self, frame: Any, *, days: float | Sequence[float], waited: float | str = 0.0, id: str | None = None
    ) -> pl.DataFrame:
        """Chance that a customer is not back within `days`: the id, duration_days, survival; rows in the order given.

        `frame` has the covariates of the fit, and its `id` unless another is named. With `waited` (days since the last
        order, a number or a column) days count from now, and the chance is given that so many have passed without an
        order. Beyond the follow-up the shape alone speaks.
        """
        frame = to_polars(frame)
        wanted, already = asked(frame, days, waited, id := id or self.id)
        x = _for_lifelines(self._covariates, self._covariates.matrix(frame) - self._centre)
        times, place = np.unique(wanted, return_inverse=True)
        past = already if already.any() else None
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
        "weibull", "log_normal", "log_logistic" (accelerated failure times),
        "generalized_gamma" (holds the first two), or "spline" (Crowther, Royston and Clements 2023: a spline of the
        log cumulative hazard in log days).
    covariates
        Columns, coded as in `fit_cox`; they stretch the days of all models (a coefficient of .1: 10 % longer).
    knots
        Knots of the spline, both ends included; 2 make it a Weibull.
    penalty
        lifelines' `penalizer`.
    level, id, duration, repurchased, entry, weight
        As in `kaplan_meier`.

    Returns
    -------
    ParametricFit
        Wald intervals of the parameters.

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
    check_number("knots", knots, least=2, whole=True)
    check_number("penalty", penalty)
    if model == "spline" and not covariates:
        raise ValueError("model 'spline' needs covariates; without, take 'generalized_gamma' or kaplan_meier.")
    frame = to_polars(spells)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    refuse_outcomes(covariates, names)
    table = at_the_door(frame, by=None, cluster=None, names=names)
    learnt = Covariates.learn(frame, covariates)
    x = learnt.matrix(frame)
    scale = x.std(axis=0)
    if covariates and not penalty:
        refuse_collinear(np.cov((x / scale).T).reshape(len(scale), -1) * len(x), len(x), learnt.names, scale)
    centre = x.mean(axis=0) * (model == "spline")  # lifelines' knots lie where covariates are 0
    fitter = _fitted(table, _for_lifelines(learnt, x - centre), model, knots, penalty)
    weights = table["weight"] if "weight" in table.columns else pl.ones(len(table), eager=True)
    return ParametricFit(
        table=_table(fitter, level),
        model=model,
        level=level,
        log_likelihood=float(fitter.log_likelihood_),
        aic=float(fitter.AIC_),
        id=id,
        n=int(weights.sum()),
        n_observed=int(weights.filter(table["repurchased"]).sum()),
        _covariates=learnt,
        _centre=centre,
        _fitter=fitter,
    )


def _for_lifelines(covariates: Covariates, x: Floats) -> Any:
    """A pandas frame with a column of ones; lifelines takes polars frames nowhere."""
    columns = np.column_stack([np.ones(len(x)), x])
    return pl.DataFrame(columns, schema=["Intercept", *covariates.names]).to_pandas()


def _fitted(table: pl.DataFrame, x: Any, model: str, knots: int, penalty: float) -> Any:
    import lifelines
    from lifelines.exceptions import ApproximationWarning, ConvergenceError

    fitter = getattr(lifelines, (_AFT | _OTHER)[model])(**({"n_baseline_knots": knots} if model == "spline" else {}))
    fitter.penalizer, fitter.fit_intercept = penalty, False  # an intercept is there already
    columns: dict[str, Any] = {"duration_col": "duration_days", "event_col": "repurchased"}
    columns |= {f"{one}_col": name for one, name in _MAY.items() if name in table.columns}
    if model in _OTHER:  # covariates move the location only, as in the others
        first, *rest = ("mu_", "sigma_", "lambda_") if model != "spline" else fitter._fitted_parameter_names
        moved = list(x.columns)[model == "spline" :]
        columns["regressors"] = {first: moved} | {name: ["Intercept"] for name in rest}
    if model == "spline":  # start from a constant hazard; their start finds nothing in days
        rate = np.log(table["repurchased"].to_numpy().sum() / table["duration_days"].to_numpy().sum())
        start = dict(zip(rest, [rate, 1.0, *[0.0] * knots], strict=False))
        columns["initial_point"] = {first: np.zeros(len(moved))} | {name: np.array([v]) for name, v in start.items()}
    spells = table.select(columns[one] for one in columns if one.endswith("_col")).fill_null(0.0).to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is looked at below
        warnings.simplefilter("error", ApproximationWarning)  # of errors that are made up
        try:
            fitter.fit(x.join(spells), **columns)
        except (ConvergenceError, ApproximationWarning) as error:
            raise ValueError(_mend(model, "lifelines' search did not converge")) from error
    errors, spread = fitter.standard_errors_, x.std()[fitter.params_.index.get_level_values(1)].to_numpy()
    lost = ~((errors < 1e4 * (1 + fitter.params_.abs())) & (errors * spread < 100))  # of log days
    if lost.any():
        told = ", ".join(" ".join(name) for name in lost.index[lost])
        raise ValueError(_mend(model, f"the spells do not tell {told}, whose error has no bound"))
    return fitter


def _mend(model: str, why: str) -> str:
    fewer = " fewer knots," if model == "spline" else ""
    return (
        f"model {model!r}: {why}. Take{fewer} a simpler model such as 'weibull', or fewer covariates, without outliers "
        "and not collinear, or pass penalty=0.01."
    )


def _table(fitter: Any, level: float) -> pl.DataFrame:
    estimate, error = fitter.params_.to_numpy(), fitter.standard_errors_.to_numpy()
    reach = z_of(level) * error
    return pl.DataFrame(
        {
            "parameter": [" ".join(name) for name in fitter.params_.index],
            "estimate": estimate,
            "standard_error": error,
            "low": estimate - reach,
            "high": estimate + reach,
        }
    )
