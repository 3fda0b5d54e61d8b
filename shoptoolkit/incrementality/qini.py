"""Does a score find the customers whom the ad moves? Gain curves, their areas, and which of two scores is the better.

In: outcomes of a randomised test and a column per score. Out: `qini` -> `Qini`: the curves, and the areas as Estimates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, listed
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.incrementality.door import COVARIATE, MEASURES, arms

WHOM = "Whom should the ad reach?"
QINI, AUUC, AUTOC = "area over random (Qini)", "area under the gain curve (AUUC)", "rank-weighted effect (AUTOC)"
LEAST = 50  # customers that a spread must be worth, for an interval by the normal law
_GROUPS = 1_000  # of customers by score
_ALL_AT_ONCE, _COARSE = 100_000, 100  # with more customers, several scores are resampled in so many groups of each
_AT_ONCE = 100  # resamples held in memory
_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Qini:
    """Gain by share of customers reached, the highest scores first; draw it with `figures.qini`.

    `table`: score, share_targeted, gain, low, high, random (gain, per customer of the whole population, in units of the
    outcome; `random`: of as many customers drawn by lot). `estimates`: the areas of each score and their differences.
    """

    table: pl.DataFrame
    estimates: EstimateTable
    outcome: str
    contrast: str
    level: float
    n: int

    def __repr__(self) -> str:
        return repr(self.estimates)

    def _repr_html_(self) -> str:
        shown = self.estimates.table.select("group", "estimand", "estimate", "low", "high", "p_value", "reason")
        note = f"{self.outcome} per customer, {self.contrast}; {100 * self.level:g} % intervals; n = {self.n:,}"
        return html_table(shown.rename({"group": "score", "estimand": "measure"}), title=WHOM, note=note)


def qini(
    frame: Any,
    *,
    outcome: str,
    scores: str | Iterable[str],
    control: str,
    treatment: str | None = None,
    propensity: str | None = None,
    arm: str = "arm",
    level: float = 0.95,
    bootstraps: int = 1_000,
    rng: int | np.random.Generator,
) -> Qini:
    """Does a score find the customers whom the ad moves, and better than another score does?

    Customers are ranked by the score, the highest first. With u the share reached, y the outcome, T the treatment and p
    the probability of the arm a customer was given, every curve and area comes from one sum, for any outcome:

        gain(u) = mean over all customers of (those among the first u) x G
        G = effect + (y - m1) / (p x w1) for T, effect - (y - m0) / (p x w0) for the control
        effect = m1 - m0; m the mean of y in an arm, and w the mean of 1 / p x (given this arm), 1 if p is right

    - Qini, the area over random: the integral of gain(u) - u effect. RATE with weight u is the same number.
    - AUUC: the integral of gain(u), which is the Qini + effect / 2.
    - AUTOC: the integral of gain(u) / u - effect, RATE with weight 1: how much more the ad moves the first customers
      than all, on average over where one stops. It asks more of the very highest scores.

    A score by lot, or the same for all, has 0 in truth for Qini and AUTOC. Equal scores enter together: the curve is
    straight over them, which is the mean over all their orders; so it is within each of the 1,000 groups, alike in size
    and ties kept together, into which more than 1,000 customers are cut by score.

    Parameters
    ----------
    frame
        One row per customer: customer_id, the arm, the outcome, scores. The scores must owe nothing to the outcomes of
        these customers: `fit_uplift(...).held_out` (one treatment of it; arm="arm_given", outcome="outcome"), or
        customers of another test. Out-of-fold scores of all folds (`.out_of_fold`, or scikit-learn's
        `cross_val_predict`) will not do: folds learn from each other's outcomes, and where effects do not differ, tests
        at 10 % found that they do in 26 of 100 worlds (of `held_out` in 10). Scores of folds that differ in level are
        best ranked within them first: `pl.col("effect").rank().over("fold") / pl.len().over("fold")`.
    outcome
        Column of what is counted: a flag, a count or money, never null.
    scores
        One or more columns of numbers; higher is to be reached first. The first is the one others are compared with.
    control, treatment
        The arms compared; customers of other arms are left out. `treatment` may be omitted where there are two arms.
    propensity
        Column of the probability, known from the design or estimated, of the arm that the customer was given; None: the
        same for all. In either case the sums are divided by the weights that were drawn (Hajek).
    arm
        Column of the arm.
    level
        Coverage of the intervals: estimate +- t x the standard deviation over the resamples, of the curve +- z x it.
    bootstraps
        Resamples, with weights by Poisson(1); all scores are judged on the same ones. Of several scores and more than
        100,000 customers they are drawn by 100 groups of each score.
    rng
        Seed or Generator of the resamples.

    Returns
    -------
    Qini
        Its `estimates`: per score (column `group`) Qini, AUUC and AUTOC, in units of the outcome per customer; p-values
        against 0, a score by lot, but none for the AUUC. Then for each further score the difference "score - first" of
        Qini (which is that of the AUUC) and AUTOC. Refused where the outcomes of an arm are worth fewer than 50
        customers: (sum of distances from the mean)^2 / sum of their squares. That is about 80 customers where outcomes
        are normal, 13 buyers where few buy and all spend the same, 30 and more where a few of them spend most. Near
        that border AUTOC, which hangs on the very first customers, holds a little less often (92 % for 95 %).

    Raises
    ------
    ContractError, ValueError
        Numbers null, NaN or infinite; arms or columns missing; a probability not between 0 and 1.

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill and Wager (2025), JASA 120, 38-51 (arXiv 2111.07966): RATE, AUTOC and QINI, from
    doubly robust scores; G is theirs with the arms' means as the model of outcomes. Radcliffe (2007), Direct Marketing
    Analytics Journal 1, 14-21, compares the arms within the first u (his Q: the area over random, for all treated); so
    do causalml's `qini_score` and `auuc_score`, which estimates the same curve with noise of its own. Given G as
    `treatment_effect_col`, causalml's `auuc_score(normalize=False)` is (this AUUC x n + effect / 2) x n / (n + 1).
    Poisson bootstrap: Chamandy et al. (2012), Google research report 43157. Customers of a group and arm (for several
    scores, of the same groups) are drawn together, with the mean and variance of separate draws.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> frame = pl.DataFrame({"customer_id": range(4_000), "arm": ["none", "mail"] * 2_000,
    ...                       "good": random.normal(size=4_000), "poor": random.normal(size=4_000)})
    >>> given = (pl.col("arm") == "mail") * pl.col("good")
    >>> frame = frame.with_columns(orders=given + random.normal(size=4_000))
    >>> found = qini(frame, outcome="orders", scores=["good", "poor"], control="none", rng=1)
    >>> found.estimates.table.filter(group="good")["estimate"].round(2).to_list()
    [0.3, 0.3, 0.96]
    """
    check_level(level)
    check_number("bootstraps", bootstraps, least=100, whole=True)
    scores, bootstraps = listed(scores, name="scores"), int(bootstraps)
    for name, column in {"outcome": outcome, "propensity": propensity}.items():
        if not isinstance(column, str) and (column is not None or name == "outcome"):
            raise TypeError(f"{name} is {column!r}; it must be the name of a column.")
    if not scores or len({*scores, outcome}) <= len(scores):
        twice = next((f"has {one!r} twice" for one in scores if scores.count(one) > 1), f"has the outcome {outcome!r}")
        raise ValueError(f"scores {twice if scores else 'is empty'}; name one column or more, each once.")
    table, contrast = _at_the_door(frame, outcome, scores, control, treatment, propensity, arm)
    told: dict[str, Any] = {"question": WHOM, "metric": outcome, "contrast": contrast, "n": len(table), "level": level}
    told |= {"measure": MEASURES.get(outcome), "method": f"Poisson bootstrap, {bootstraps:,} resamples"}
    if reason := _too_few(table):
        pairs = [(score, one) for score in scores for one in (QINI, AUUC, AUTOC)]
        pairs += [(f"{score} - {scores[0]}", one) for score in scores[1:] for one in (QINI, AUTOC)]
        rows = [refused_row(reason=reason, estimand=one, group=score, **told) for score, one in pairs]
        curve = pl.DataFrame(schema={"score": pl.String} | dict.fromkeys(_CURVE, pl.Float64))
    else:
        areas, curves = _resample(table, scores, bootstraps, np.random.default_rng(rng))
        rows = list(_rows(areas, scores, told))
        curve = pl.concat(_curve(name, curves[:, place], level) for place, name in enumerate(scores))
    estimates = EstimateTable.from_rows(rows)
    return Qini(table=curve, estimates=estimates, outcome=outcome, contrast=contrast, level=level, n=len(table))


def _at_the_door(
    frame: Any, outcome: str, scores: list[str], control: str, treatment: str | None, propensity: str | None, arm: str
) -> tuple[pl.DataFrame, str]:
    """The customers of both arms: treated, outcome (less its mean), weight, scores; and how the contrast is called."""
    given = to_polars(frame)
    if arm != "arm":
        if arm not in given.columns:
            raise ContractError(f"outcomes: arm={arm!r} is missing. It has: {', '.join(given.columns)}.")
        given = given.drop("arm", strict=False).rename({arm: "arm"})
    own = [*scores, *([propensity] if propensity and propensity != "probability" else [])]
    found = arms(
        given,
        control=control,
        numbers=[outcome, *(one for one in own if not one.startswith(COVARIATE))],
        covariates=[one for one in own if one.startswith(COVARIATE)],
        keep=[propensity],
    )
    treatment = treatment if treatment is not None or len(found.treatments) > 1 else found.treatments[0]
    if treatment not in found.treatments:
        told = ", ".join(map(repr, found.treatments))
        raise ValueError(f"treatment is {treatment!r}; it must be one of the arms beside the control: {told}.")
    table = found.table.filter(pl.col("arm").is_in([control, treatment]))
    given_arm = pl.col(propensity).cast(pl.Float64) if propensity else pl.lit(1.0)
    table = table.select(
        *(pl.col(name).alias(f"score {name}") for name in scores),
        treated=pl.col("arm") == treatment,
        weight=1 / given_arm,
        outcome=pl.col(outcome) - pl.col(outcome).mean(),
    )
    if propensity and not (table["weight"].is_finite() & (table["weight"] >= 1)).all(ignore_nulls=False):
        raise ValueError(
            f"propensity is {propensity!r}, whose values are not all above 0 and at most 1; it must be the probability "
            "of the arm that each customer was given."
        )
    return table, found.contrast(treatment)


def _too_few(table: pl.DataFrame) -> str | None:
    for arm, treated in (("treatment", True), ("control", False)):
        part = table.filter(pl.col("treated") == treated)
        if (few := worth_of((part["outcome"] - part["outcome"].mean()).to_numpy())) < LEAST:
            return f"the outcomes of {len(part):,} customers of the {arm} {few_in_words(few)}"
    return None


def worth_of(distances: Floats) -> float:
    """How many customers, all equally far from the mean, have as even a spread as these distances from it."""
    squares = float((distances**2).sum())
    return float(np.abs(distances).sum()) ** 2 / squares if squares else 0.0


def few_in_words(worth: float) -> str:
    """Why a spread that is worth so few customers carries no interval."""
    return (
        f"vary as little as those of {worth:.0f} (most are alike, or a few are huge); an interval by the normal law "
        f"needs {LEAST}. Take more customers, or an outcome that more of them have."
    )


def _resample(
    table: pl.DataFrame, scores: list[str], bootstraps: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Areas (resample, score, QINI, AUUC, AUTOC) and curves (resample, score, grid); the first resample is the data.

    The data are cut into groups by score; of several scores many customers are drawn by coarser groups, as those of all
    scores at once are hardly fewer than the customers: the error of AUTOC loses 1/2 %, that of the Qini nothing.
    """
    from shoptoolkit.incrementality.qini_kernels import POISSON, resampled

    groups = min(_GROUPS, len(table))
    coarse = groups if len(scores) == 1 or len(table) <= _ALL_AT_ONCE else _COARSE
    seeds = rng.integers(1, 2**63 - 1, bootstraps)
    data, rows = _alike(table, scores, groups), _alike(table, scores, coarse)
    parts = [_read(resampled(*data, 2 * groups, np.zeros(1, np.int64), rng, POISSON))]
    parts += [
        _read(resampled(*rows, 2 * coarse, seeds[start : start + _AT_ONCE], rng, POISSON))
        for start in range(0, bootstraps, _AT_ONCE)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _alike(table: pl.DataFrame, scores: list[str], groups: int) -> tuple[Any, Any, Any, Any]:
    """Customers alike in groups and arm as one row with a count, in an order that the frame's does not change.

    Their cells by score, count, values, and the spread of weight x outcome.
    """
    first = (pl.col(f"score {name}").rank("min", descending=True).cast(pl.Int64) - 1 for name in scores)
    cell = {f"cell {k}": one * groups // pl.len() * 2 + pl.col("treated") for k, one in enumerate(first)}
    outcome, weight = pl.col("outcome"), pl.col("weight")
    spread = ((outcome - outcome.mean()) ** 2).sum().sqrt()
    by_cell = table.select("weight", "outcome", **cell).group_by("weight", *cell)
    alike = by_cell.agg(pl.len(), outcome.mean(), spread=spread).sort(*cell, "weight")
    values = alike.select(pl.lit(1.0), outcome * weight, weight).to_numpy()
    if (alike["weight"] == 1).all():  # then weights are counts
        values = values[:, :2]
    return (
        np.ascontiguousarray(alike.select(*cell).to_numpy().T.astype(np.int32)),
        alike["len"].to_numpy().astype(np.int64),
        np.ascontiguousarray(values),
        (alike["spread"] * alike["weight"]).to_numpy(),
    )


def _read(sums: Floats) -> tuple[Floats, Floats]:
    """Areas and curves from sums by (resample, score, group and arm): customers, weight x outcome, weight."""
    by_arm = sums.reshape(*sums.shape[:2], -1, 2, sums.shape[3])
    customers, total, weight = by_arm[..., 0], by_arm[..., 1], by_arm[..., -1 if sums.shape[3] == 3 else 0]
    weights = weight.sum(axis=2, keepdims=True)
    mean = total.sum(axis=2, keepdims=True) / weights
    unlike = (total - mean * weight) / weights
    share = np.cumsum(customers.sum(axis=3), axis=2)
    share /= share[..., -1:]
    above = np.where(share < 1, np.cumsum(unlike[..., 1] - unlike[..., 0], axis=2), 0.0)  # gain over random
    effect = mean[..., 0, 1] - mean[..., 0, 0]
    areas = np.stack([*_areas(share, above)], axis=-1)
    gain = above + share * effect[..., None]
    curves = np.array(
        [[np.interp(_GRID, np.append(0, u), np.append(0, g)) for u, g in zip(*one)] for one in zip(share, gain)]
    )
    return np.stack([areas[..., 0], areas[..., 0] + effect / 2, areas[..., 1]], axis=-1), curves


def _areas(share: Floats, above: Floats) -> tuple[Floats, Floats]:
    """The integrals from 0 to 1 of a curve with corners at (share, above), and of the curve / share."""
    start, before = _from_zero(share)[..., :-1], _from_zero(above)[..., :-1]
    width = share - start
    slope = np.divide(above - before, width, out=np.zeros_like(width), where=width > 0)
    log = np.log(np.divide(share, start, out=np.ones_like(share), where=start > 0))
    return (width * (before + above) / 2).sum(axis=-1), ((before - slope * start) * log + slope * width).sum(axis=-1)


def _from_zero(values: Floats) -> Floats:
    return np.concatenate([np.zeros_like(values[..., :1]), values], axis=-1)


_CURVE = ("share_targeted", "gain", "low", "high", "random")


def _curve(name: str, curves: Floats, level: float) -> pl.DataFrame:
    gain, reach = curves[0], z_of(level) * curves[1:].std(axis=0, ddof=1)
    columns = dict(zip(_CURVE, (_GRID, gain, gain - reach, gain + reach, _GRID * gain[-1])))
    return pl.DataFrame({"score": [name] * len(_GRID)} | columns)


def _rows(areas: Floats, scores: list[str], told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of each score, then those of its difference from the first."""
    for place, name in enumerate(scores):
        for one, estimand in enumerate((QINI, AUUC, AUTOC)):
            yield _row(areas[:, place, one], None if estimand == AUUC else 0.0, estimand=estimand, group=name, **told)
    for place, name in list(enumerate(scores))[1:]:
        for one, estimand in ((0, QINI), (2, AUTOC)):
            apart = areas[:, place, one] - areas[:, 0, one]
            yield _row(apart, 0.0, estimand=estimand, group=f"{name} - {scores[0]}", **told)


def _row(areas: Floats, null: float | None, **rest: Any) -> dict[str, Any]:
    error, degrees = float(areas[1:].std(ddof=1)), len(areas) - 2.0
    return estimate_row(estimate=float(areas[0]), standard_error=error, null=null, degrees=degrees, **rest)
