"""The partial likelihood of Cox: its value, slope and curvature, its maximum, and each cluster's part in it.

In: `prepare` turns arrays into `Rows`. Out: `evaluate` -> `State`; `maximise` -> the State at the maximum, or an error
that names the covariate; `cluster_scores` -> score residuals by cluster.

With r = weight exp(x b), s0 = sum of r over the risk set, e0 over its d repurchases, s1 and e1 the same of r x, every
sum over ties has the denominators p = s0 - f e0, f = l/d for l < d (Efron 1977, JASA 72, 557-565) or 0 (Breslow 1974):

    log-likelihood = sum of x b over repurchases - sum of log p
    score          = sum of x over repurchases - sum of (s1 - f e1) / p
    information    = sum of (s2 - f e2) / p - (s1 - f e1)(s1 - f e1)' / p^2

s2 needs no table: summed over time, it is X' diag(r (L(last) - L(first)) - ...) X with L the cumulated sums of 1/p. A
weight stands for that many equal rows, their ties included. With `g` every event time counts g times: what a test of
proportional hazards needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Flags, Floats, Ints
from shoptoolkit.survival.covariates import refuse_collinear

_ROUNDS, _HALVINGS = 50, 30
_DONE = 1e-16  # squared distance to the maximum in standard errors
_CACHED = 10_000  # sums by more event times do not fit into the cache, so rows are sorted by them
_LOST = 1e6  # a variance so many times that at 0 means a coefficient on its way to infinity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows, covariates standardised, with the places of their risk among the event times, which are by stratum."""

    x: Floats
    weight: Floats
    seen: Flags
    first: Ints
    last: Ints
    cluster: Ints  # of size 0 if there are none
    times: Floats
    stratum: Ints
    starts: Ints
    deaths: Floats
    efron: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What the likelihood is at some coefficients (of standardised covariates)."""

    beta: Floats
    log_likelihood: float
    score: Floats
    information: Floats
    hazard: Floats  # its jump at each event time


def prepare(
    x: Floats,
    *,
    entry: Floats,
    exit: Floats,
    seen: Flags,
    weight: Floats,
    stratum: Ints,
    cluster: Ints,
    efron: bool,
) -> Rows:
    """Event times, and each row's place among those of its stratum; a row that is at risk at none gets weight 0."""
    days = np.unique(exit[seen])
    offset = stratum * len(days)
    until = offset + _passed(days, exit)
    since = offset + _passed(days, entry) if entry.any() else offset  # at risk on (entry, exit]
    events = np.unique(until[seen] - 1)  # stratum-major
    first, last = (np.searchsorted(events, place) if stratum.any() else place for place in (since, until))
    idle = first >= last
    last = np.maximum(last, 1)
    first, weight = np.where(idle, last - 1, first), np.where(idle, 0.0, weight)
    order: Any = slice(None)
    if len(events) > _CACHED:
        order = np.argsort(last)
    of_event = events // len(days)
    return Rows(
        x=x[order],
        weight=weight[order],
        seen=seen[order],
        first=first[order],
        last=last[order],
        cluster=cluster[order] if len(cluster) else cluster,
        times=days[events % len(days)],
        stratum=of_event,
        starts=np.searchsorted(of_event, of_event),
        deaths=np.bincount(last[seen] - 1, weight[seen], len(events)).astype(float),
        efron=efron,
    )


def _passed(days: Floats, moments: Floats) -> Ints:
    """How many event days lie at or before each moment: whole days are looked up, others searched."""
    top = int(min(moments.max(), 100_000))
    whole = moments.astype(np.int64)
    if top < 100_000 and (whole == moments).all() and (days == days.astype(np.int64)).all():
        counts = np.bincount(days[days <= top].astype(np.int64), minlength=top + 1)
        return np.cumsum(counts)[whole]
    return np.searchsorted(days, moments, side="right")


@np.errstate(over="ignore", invalid="ignore")
def evaluate(rows: Rows, beta: Floats, g: Floats | None = None) -> State:
    """The likelihood and its derivatives; -inf where the hazards overflow."""
    from shoptoolkit.survival.cox.kernels import weighted_square

    eta, risk, s1, e1, sums = _sums(rows, beta)
    value = float((rows.weight * eta)[rows.seen].sum() - sums[0].sum())
    jump, each = sums[1], sums[1:] if g is None else g * sums[1:]
    a, b, q0, q1, q2 = each
    until, event = _cumulated(a), rows.last - 1
    lift = rows.seen * rows.weight if g is None else rows.seen * rows.weight * g[event]
    at_risk = risk * (until[rows.last] - until[rows.first] - rows.seen * b[event])
    mixed = (s1.T * q1) @ e1
    outer = (s1.T * q0) @ s1 - mixed - mixed.T + (e1.T * q2) @ e1
    return State(
        beta=beta,
        log_likelihood=value if np.isfinite(value) else -np.inf,
        score=lift @ rows.x - a @ s1 + b @ e1,
        information=weighted_square(rows.x, at_risk) - outer,
        hazard=jump,
    )


def cluster_scores(rows: Rows, beta: Floats, g: Floats | None = None) -> Floats:
    """Derivative of the score with respect to a row's weight, summed within clusters (Lin and Wei 1989, JASA 84).

    With m the mean of (s1 - f e1) / p over the ties: x - m at the row's repurchase, less r (x - (s1 - f e1) / p) / p in
    every term in which it is at risk, of which a tied repurchase carries 1 - f only. All depends on the event time
    only, so cumulated sums give each row its part, late entries included.
    """
    from shoptoolkit.survival.cox.kernels import cluster_scores as summed

    _, risk, s1, e1, sums = _sums(rows, beta)
    g = np.ones(len(rows.times)) if g is None else g
    a, b, q0, q1, q2 = (g * sums[1:])[:, :, None]
    of_risk = _cumulated(a[:, 0]), _cumulated(q0 * s1 - q1 * e1)
    of_event = g, (a * s1 - b * e1) / rows.deaths[:, None], b[:, 0], q1 * s1 - q2 * e1
    return summed(rows.x, risk, rows.seen, rows.first, rows.last, rows.cluster, of_risk, of_event)


@np.errstate(over="ignore", invalid="ignore")
def _sums(rows: Rows, beta: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    from shoptoolkit.survival.cox.kernels import risk_sums, tie_sums

    eta = rows.x @ beta
    risk = rows.weight * np.exp(eta)
    s0, s1, e0, e1 = risk_sums(rows.x, risk, rows.seen, rows.first, rows.last, rows.starts)
    return eta, risk, s1, e1, tie_sums(s0, e0, rows.deaths, rows.efron)


def _cumulated(jumps: Floats) -> Floats:
    return np.concatenate([np.zeros((1, *jumps.shape[1:])), np.cumsum(jumps, axis=0)])


# ---- the maximum ----------------------------------------------------------------------------------------------------


def maximise(rows: Rows, *, names: Sequence[str], scale: Floats, penalty: float) -> State:
    """Newton's method with step halving, from 0, of log-likelihood - penalty / 2 times the squares of beta."""
    state = evaluate(rows, np.zeros(len(names)))
    ridge = penalty * np.eye(len(names))
    if not penalty:
        refuse_collinear(state.information, rows.deaths.sum(), names, scale)
    at_zero = np.diag(np.linalg.inv(state.information + ridge))
    gain = np.inf
    for _ in range(_ROUNDS):
        variance = np.linalg.inv(state.information + ridge)
        is_spent = np.linalg.eigvalsh(state.information + ridge)[0] <= 0  # of the information only rounding is left
        bound = at_zero * (100.0 if is_spent else _LOST)
        if (lost := ~((np.diag(variance) > 0) & (np.diag(variance) < bound))).any():
            raise ContractError(_separated(rows, state.beta, np.flatnonzero(lost), names))
        slope = state.score - penalty * state.beta
        step = variance @ slope
        before, gain = gain, float(slope @ step)
        if gain < _DONE or before / 2 < gain < 1e-8:  # no better: rounding
            return state
        state = _climb(rows, state, step, penalty)
    raise ValueError(
        f"fit_cox did not converge in {_ROUNDS} rounds: log-likelihood {state.log_likelihood:.6g}, {gain:.2g} "
        f"still to gain. Look for covariates with outliers (e.g. take logs), or pass penalty=1."
    )


def _climb(rows: Rows, state: State, step: Floats, penalty: float) -> State:
    """The state after the step, or after the first half of it that does not lose."""

    def objective(one: State) -> float:
        return one.log_likelihood - penalty / 2 * float(one.beta @ one.beta)

    allowed = objective(state) - 1e-12 * abs(objective(state))
    for halving in range(_HALVINGS):
        after = evaluate(rows, state.beta + step / 2**halving)
        if objective(after) >= allowed:
            return after
    return state


def _separated(rows: Rows, beta: Floats, lost: Ints, names: Sequence[str]) -> str:
    mend = "Leave it out, merge the level with another, or pass penalty=1."
    if len(lost) > 1:
        told = ", ".join(repr(names[k]) for k in lost)
        return (
            f"covariates: the coefficients of {told} run away together: a combination of them (or the level that is "
            f"the reference of all) separates who repurchased from all others at risk. {mend}"
        )
    column, name = rows.x[:, lost[0]], names[lost[0]]
    end = "∞" if beta[lost[0]] > 0 else "-∞"
    ended = np.unique(column[rows.seen])
    others = int(rows.weight[column != ended[0]].sum()) if len(ended) == 1 else 0
    which = "largest" if beta[lost[0]] > 0 else "smallest"
    why = f"all repurchases have one value of it, and none of the {others:,} rows with another ended in a repurchase"
    if not others:
        why = f"whenever somebody repurchased, it was the one with the {which} value at risk"
    return f"covariates: {name!r} separates, its coefficient runs to {end}: {why}. {mend}"
