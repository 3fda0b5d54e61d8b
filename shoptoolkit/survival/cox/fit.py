"""What makes customers come back sooner? Cox regression, for one spell per customer or for recurrent orders.

In: Spells with covariates. Out: `fit_cox` -> `CoxFit`, with its baseline and predicted survival. The likelihood is in
likelihood.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, check_number, choose, listed
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.covariates import Covariates, asked, long_survival
from shoptoolkit.survival.cox.door import PWP, cox_door
from shoptoolkit.survival.cox.likelihood import Rows, State, cluster_scores, maximise, prepare
from shoptoolkit.survival.risk import numbered, spell_names
from shoptoolkit.survival.spells import refuse_outcomes

_NO_PREDICTION = {
    "ag": "an Andersen-Gill fit is of the rate of all orders, not of the time to the next one. Fit recurrent="
    "'pwp_gap' or one index spell per customer, or describe the rate with mean_cumulative_orders.",
    "pwp_total": "in total time the next order depends on when the last one was. Fit recurrent='pwp_gap'.",
    "time_varying": "covariates that change after the request are not known at it, so no survival curve exists given "
    "them (rule R4). Freeze them at the request and fit one row per customer, or use fit_hazard.",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Model:
    """What prediction and tests need: the rows, and how they were made."""

    covariates: Covariates
    mean: Floats
    scale: Floats
    rows: Rows
    state: State
    penalty: float
    strata: pl.DataFrame  # one row per stratum, its values as text
    follow_up: pl.DataFrame  # per stratum: code, since, until
    no_prediction: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoxFit:
    """How much sooner or later customers come back. Draw it with `figures.hazard_ratios`.

    `table`: covariate, coefficient, hazard_ratio, standard_error, robust_error (null without a cluster), low and high
    (of the coefficient; exp of them bounds the hazard ratio) and p_value (both from the robust error when there is
    one). `baseline`: group, duration_days, cumulative_hazard of a customer with average covariates, per stratum.
    `n` counts rows, `n_observed` repurchases, both weighted.
    """

    table: pl.DataFrame
    baseline: pl.DataFrame
    level: float
    log_likelihood: float
    ties: str
    recurrent: str | None
    id: str
    n: int
    n_observed: int
    _model: _Model

    def predict_survival(
        self, frame: Any, *, days: float | Sequence[float], waited: float | str = 0.0, id: str | None = None
    ) -> pl.DataFrame:
        """Chance that a customer is not back within `days`: the id, duration_days, survival; rows in the order given.

        `frame` has the covariates and strata of the fit, and its `id` unless another is named. With `waited` (days
        since the last order, a number or a column) days count from now, and the chance is given that so many have
        passed without an order. Null where the wait is, beyond the follow-up of the stratum, before its first entry,
        and where nobody of it repurchased; refused of fits in total time or with covariates that change (rule R4).
        """
        model = self._model
        if model.no_prediction:
            raise ValueError(f"no survival is predicted: {model.no_prediction}")
        frame = to_polars(frame)
        wanted, already = asked(frame, days, waited, id := id or self.id)
        x = (model.covariates.matrix(frame) - model.mean) / model.scale
        code = _codes(frame, model.strata)
        if (unknown := np.flatnonzero(code < 0)).size:
            told = frame.select(model.strata.columns).row(int(unknown[0]), named=True)
            raise ContractError(f"frame: the stratum {told} of {len(unknown):,} rows was not in the fit.")
        risk = np.exp(np.clip(x @ model.state.beta, -700, 700))[:, None]
        until = already[:, None] + wanted
        passed = _hazard_at(model, code, until) - _hazard_at(model, code, already[:, None])
        ends = model.follow_up[code]
        known = (until <= ends["until"].to_numpy()[:, None]) & (already >= ends["since"].to_numpy())[:, None]
        return long_survival(frame[id], wanted, np.exp(-risk * passed), known)

    def __repr__(self) -> str:
        return f"CoxFit of {self.n:,} rows, {self.n_observed:,} repurchases ({self.ties} ties)\n{self.table}"

    def _repr_html_(self) -> str:
        ratios = self.table.select(
            "covariate",
            pl.col("hazard_ratio").alias("estimate"),
            pl.col("low", "high").clip(-700, 700).exp(),
            "coefficient",
            pl.coalesce("robust_error", "standard_error").alias("standard_error"),
            "p_value",
        )
        note = f"hazard ratios above 1: sooner back; {100 * self.level:g} % interval, n = {self.n:,}, "
        note += f"{self.n_observed:,} repurchases, log-likelihood {self.log_likelihood:,.2f}, {self.ties} ties"
        return html_table(ratios, title="Cox regression", note=note)


def fit_cox(
    spells: Any,
    *,
    covariates: Sequence[str],
    ties: str = "efron",
    strata: str | Sequence[str] = (),
    recurrent: str | None = None,
    time_varying: bool = False,
    cluster: str | None = None,
    penalty: float = 0.0,
    level: float = 0.95,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
    start: str = "start_days",
    stop: str = "stop_days",
    spell_number: str = "spell_number",
) -> CoxFit:
    """Which customers come back sooner, and by what factor?

    Parameters
    ----------
    spells
        Spells with covariates, one per customer unless `recurrent` or `time_varying`; weights and late entries as in
        `kaplan_meier`.
    covariates
        Columns. Text and Enum become one coefficient per level but the first, named column=level; flags count as 0, 1.
    ties
        "efron" or "breslow": how repurchases of one day share their risk set.
    strata
        Columns whose values each have a baseline of their own.
    recurrent
        Which model of all orders of a customer (rule R3): "ag" (Andersen and Gill 1982: one rate, in total time),
        "pwp_total" and "pwp_gap" (Prentice, Williams and Peterson 1981: a baseline per `spell_number`, in total or gap
        time). Total time reads `start` and `stop`, gap time `duration`. `cluster` is then the id.
    time_varying
        Several rows (`start`, `stop`] per customer with covariates that change; only the last may be a repurchase.
    cluster
        Column whose rows depend on each other; gives Lin and Wei's robust errors. The id: robust to a wrong model.
    penalty
        Subtracts penalty / 2 times the squared coefficients of standardised covariates from the log-likelihood.
    level, id, duration, repurchased, entry, weight
        As in `kaplan_meier`. `start`, `stop` and `spell_number` name columns, too.

    Returns
    -------
    CoxFit
        Errors are from the (penalised) information, robust ones from score residuals of the same ties and entries.

    Raises
    ------
    ContractError
        Spells or covariates that break the contract; a covariate that is constant, collinear or separates, by name;
        repeated customers without `recurrent`; rows of a customer that overlap; spell numbers of an unknown history.
    ValueError
        An option out of range, or no convergence.

    References
    ----------
    Therneau and Grambsch (2000), Modeling Survival Data; Lin and Wei (1989), JASA 84, 1074-1078.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(6), "duration_days": [10, 20, 20, 30, 40, 50],
    ...                        "repurchased": [True, True, False, True, True, False], "paid": [1, 1, 0, 0, 1, 0]})
    >>> fit_cox(spells, covariates=["paid"]).table["hazard_ratio"].round(3).to_list()
    [4.033]
    """
    _check_options(covariates, ties, recurrent, time_varying, penalty, level)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    names |= {start: "start_days", stop: "stop_days"}
    refuse_outcomes(covariates, names)
    strata = listed(strata) + [spell_number] * (recurrent in PWP)
    frame = to_polars(spells)
    table = cox_door(frame, names=names, strata=strata, cluster=cluster, recurrent=recurrent, time_varying=time_varying)
    learnt = Covariates.learn(frame, covariates)
    keys = frame.select(strata).unique().sort(strata).select(pl.all().cast(pl.String).fill_null("unknown"))
    code = _codes(frame, keys)
    model = _Model(
        covariates=learnt,
        strata=keys,
        follow_up=_follow_up(table, code),
        penalty=penalty,
        no_prediction=_NO_PREDICTION.get("time_varying" if time_varying else recurrent or ""),
        **_fitted(table, learnt, learnt.matrix(frame), code, ties == "efron", penalty),
    )
    return CoxFit(
        table=_table(model, level),
        baseline=_baseline(model),
        level=level,
        log_likelihood=model.state.log_likelihood,
        ties=ties,
        recurrent=recurrent,
        id=id,
        n=int(table["weight"].sum()),
        n_observed=int(table.filter("repurchased")["weight"].sum()),
        _model=model,
    )


def _fitted(
    table: pl.DataFrame, learnt: Covariates, x: Floats, code: Ints, is_efron: bool, penalty: float
) -> dict[str, Any]:
    """Covariates are standardised for the search: it is then as exact for cents as for years."""
    from shoptoolkit.survival.cox.kernels import weighted_square

    weight = table["weight"].to_numpy()
    mean = weight @ x / weight.sum()
    x -= mean
    scale = np.sqrt(np.diag(weighted_square(x, weight)) / weight.sum())
    x /= scale
    rows = prepare(
        x,
        entry=table["entry_days"].to_numpy(),
        exit=table["duration_days"].to_numpy(),
        seen=table["repurchased"].to_numpy(),
        weight=weight,
        stratum=code,
        cluster=numbered(table["cluster"]) if "cluster" in table.columns else np.zeros(0, dtype=np.int64),
        efron=is_efron,
    )
    state = maximise(rows, names=learnt.names, scale=scale, penalty=penalty)
    return {"mean": mean, "scale": scale, "rows": rows, "state": state}


def _table(model: _Model, level: float) -> pl.DataFrame:
    rows, state, scale = model.rows, model.state, model.scale
    variance = np.linalg.inv(state.information + model.penalty * np.eye(len(scale)))
    coefficient, error = state.beta / scale, np.sqrt(np.diag(variance)) / scale
    told = {"standard_error": error, "robust_error": np.full(len(error), np.nan)}
    if len(rows.cluster):
        parts = cluster_scores(rows, state.beta)
        told_by = np.abs(parts) > 1e-6 * np.sqrt(np.diag(state.information))  # more than rounding
        if (some := int(told_by.any(axis=1).sum())) <= len(scale):
            raise ContractError(
                f"spells: {some} clusters are at risk when others repurchase, and {len(scale)} coefficients; robust "
                "errors need more clusters than coefficients. Take fewer covariates, or a finer cluster=."
            )
        told["robust_error"] = error = np.sqrt(np.diag(variance @ (parts.T @ parts) @ variance)) / scale
    reach = z_of(level) * error
    return pl.DataFrame(
        {
            "covariate": model.covariates.names,
            "coefficient": coefficient,
            "hazard_ratio": np.exp(np.clip(coefficient, -700, 700)),
            **told,
            "low": coefficient - reach,
            "high": coefficient + reach,
            "p_value": [math.erfc(abs(z) / math.sqrt(2)) for z in coefficient / error],
        }
    ).with_columns(pl.col("robust_error").fill_nan(None))


# ---- strata and their baselines -------------------------------------------------------------------------------------


def _codes(frame: pl.DataFrame, strata: pl.DataFrame) -> Ints:
    """The number of each row's stratum; -1 where there is none."""
    if not strata.width:
        return np.zeros(len(frame), dtype=np.int64)
    theirs = frame.select(pl.col(strata.columns).cast(pl.String).fill_null("unknown"))
    found = theirs.join(strata.with_row_index("__code"), on=strata.columns, how="left", maintain_order="left")
    return found["__code"].cast(pl.Int64).fill_null(-1).to_numpy()


def _follow_up(table: pl.DataFrame, code: Ints) -> pl.DataFrame:
    """From which to which day each stratum was watched; nothing where nobody repurchased."""
    until = pl.when(pl.col("repurchased").any()).then(pl.col("duration_days").max()).otherwise(-1.0)
    spans = table.group_by(pl.lit(pl.Series("code", code))).agg(since=pl.col("entry_days").min(), until=until)
    return spans.sort("code")


def _baseline(model: _Model) -> pl.DataFrame:
    rows, width = model.rows, model.strata.width
    labels = model.strata.select(pl.concat_str(pl.all(), separator=", ")).to_series() if width else pl.Series(["all"])
    return pl.DataFrame(
        {
            "group": labels.gather(rows.stratum),
            "duration_days": rows.times,
            "cumulative_hazard": _cumulated(model),
        }
    )


def _cumulated(model: _Model) -> Floats:
    """The hazard of average covariates, cumulated within strata."""
    total = np.concatenate([[0.0], np.cumsum(model.state.hazard)])
    return total[1:] - total[model.rows.starts]


def _hazard_at(model: _Model, code: Ints, days: Floats) -> Floats:
    """The cumulated hazard by some days of rows, each in its stratum: a right-continuous step function."""
    rows, cumulated, found = model.rows, _cumulated(model), np.zeros_like(days)
    for one in np.unique(code):
        begin, end = np.searchsorted(rows.stratum, [one, one + 1])
        steps = np.concatenate([[0.0], cumulated[begin:end]])
        found[code == one] = steps[np.searchsorted(rows.times[begin:end], days[code == one], side="right")]
    return found


def _check_options(
    covariates: Sequence[str], ties: str, recurrent: str | None, time_varying: bool, penalty: float, level: float
) -> None:
    check_level(level)
    choose("ties", ties, ("efron", "breslow"))
    if recurrent is not None:
        choose("recurrent", recurrent, ("ag", "pwp_total", "pwp_gap"))
        if time_varying:
            raise ValueError("time_varying is for one next order; rows may change in recurrent='ag' without it.")
    check_number("penalty", penalty)
    if not covariates:
        raise ValueError("covariates is empty; without covariates take kaplan_meier.")
