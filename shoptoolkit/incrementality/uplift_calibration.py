"""Does a score of the ad's effect tell customers apart: the effect by groups of the score, and its slope.

In: an `UpliftFit`, or any score beside doubly robust pseudo-outcomes. Out: `uplift_calibration` -> `UpliftCalibration`;
`judge` -> EstimateTable, by segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.contract.estimates import error_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.incrementality.door import MEASURES, QUESTION
from shoptoolkit.incrementality.influences import cluster_of, mean_of
from shoptoolkit.trees.judging import segments, to_judge

_TOLD = ("n", "estimate", "standard_error", "low", "high")
_TYPES: dict[str, Any] = {"arm": pl.String, "group": pl.String, "n": pl.Int64, "mean_score": pl.Float64}
_TYPES |= dict.fromkeys(_TOLD[1:], pl.Float64)
_ID = "customer_id"
_LEAST = 30  # customers of a group, below which no interval is told


@runtime_checkable
class HeldOut(Protocol):
    """What of an `UpliftFit` is judged."""

    @property
    def held_out(self) -> pl.DataFrame: ...
    @property
    def outcome(self) -> str: ...
    @property
    def control(self) -> str: ...
    @property
    def learner(self) -> str: ...
    @property
    def window_days(self) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UpliftCalibration:
    """How far groups of customers, ranked by a score, gain differently. Draw it with `figures.uplift_calibration`.

    `table`, one row per arm and group of the score, lowest first: arm, group, n, mean_score, estimate (mean effect),
    standard_error, low, high. `estimates`: the same as rows of Estimates (GATE), then per arm the difference between
    the highest and the lowest group, the slope of the effect on the score (1: calibrated; 0: the score tells nothing),
    and the effect on all customers judged. `in_order`: arm -> whether the effects rise from group to group.
    """

    table: pl.DataFrame
    estimates: EstimateTable
    in_order: dict[str, bool]
    level: float

    def __repr__(self) -> str:
        return f"UpliftCalibration\n{self.estimates!r}"

    def _repr_html_(self) -> str:
        note = f"groups of customers by score, lowest first; {100 * self.level:g} % intervals"
        title = "The effect where the score says so"
        return html_table(self.table.drop("standard_error"), title=title, note=note) + self.estimates._repr_html_()


def uplift_calibration(scores: Any, *, groups: int = 5, level: float = 0.95) -> UpliftCalibration:
    """Do the customers with high scores gain more, and as much as the scores say?

    Parameters
    ----------
    scores
        An `UpliftFit`, judged on its `held_out` customers; or a frame with the columns effect (a score that owes
        nothing to these customers' outcomes) and pseudo, as `UpliftFit.held_out` has them (but not `.out_of_fold`),
        perhaps arm, cluster and fold.
    groups
        How many groups of equal size, within each fold, as scores of two models do not compare; customers with the
        same score stay together, so that a coarse score makes fewer and unequal groups.
    level
        Coverage of the intervals.

    Returns
    -------
    UpliftCalibration
        Intervals by Student's law, for new customers given these scores; the p-values are against an effect of 0 and a
        slope of 0. Refused: the interval of a group of fewer than 30 customers, and the slope of a constant score.
        Where the smaller arm has but few customers or buyers in a group, the law of large numbers is far: with 50
        customers of skewed orders 90 % intervals held 87 times in 100, with 3 buyers 83 to 87. Take fewer groups then.

    Raises
    ------
    ContractError
        A column is missing or holds no finite numbers.
    ValueError
        `groups` below 2, or a `level` outside 0 to 1.

    References
    ----------
    Chernozhukov, Demirer, Duflo and Fernandez-Val (2025), Econometrica 93, 1121-1164 (best linear predictor, sorted
    groups), by doubly robust pseudo-outcomes (Semenova and Chernozhukov 2021, Econometrics Journal 24, 264-289) on
    folds judged by earlier ones (Wager 2024, arXiv 2405.05534); HC2 errors.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> rng = np.random.default_rng(1)
    >>> effect = rng.normal(1, 0.5, 4_000)
    >>> judged = uplift_calibration(pl.DataFrame({"effect": effect, "pseudo": effect + rng.normal(0, 2, 4_000)}))
    >>> judged.table.select("group", "n", pl.col("mean_score", "estimate").round(1)).rows()
    [('1', 800, 0.3, 0.3), ('2', 800, 0.7, 0.7), ('3', 800, 1.0, 1.0), ('4', 800, 1.3, 1.3), ('5', 800, 1.7, 1.6)]
    """
    check_level(level)
    check_number("groups", groups, least=2, whole=True)
    table, control, about = _read(scores)
    table = table.with_columns(_group(groups))
    told, rows, in_order = [], [], {}
    for (arm,), part in table.group_by("arm", maintain_order=True):
        about |= {"contrast": f"{arm} - {control}", "level": level}
        gates = part.sort("group", maintain_order=True).partition_by("group", maintain_order=True)
        judged = [_gate(gate, about, int(groups)) for gate in gates]
        rows += [*judged, _apart(gates[0], gates[-1], about), _slope(part, about), _row(mean_of(part), part, about)]
        for gate, row in zip(gates, judged, strict=True):
            name = {"arm": str(arm), "group": str(gate["group"][0])}
            told.append(name | {"mean_score": gate["effect"].mean()} | {one: row.get(one) for one in _TOLD})
        in_order[str(arm)] = part.group_by("group").agg(pl.mean("pseudo")).sort("group")["pseudo"].is_sorted()
    return UpliftCalibration(
        table=pl.DataFrame(told, schema=_TYPES),
        estimates=EstimateTable.from_rows(rows),
        in_order=in_order,
        level=level,
    )


def judge(fit: HeldOut, frame: Any, *, by: str | Sequence[str] | None, level: float, groups: int) -> EstimateTable:
    """What `UpliftFit.judge` tells."""
    check_level(level)
    check_number("groups", groups, least=2, whole=True)
    table, control, about = _read(fit)
    whose = table
    if frame is not None:
        given = to_judge(frame, _ID)
        if given[_ID].is_duplicated().any():
            raise ContractError(f"judge: {_ID!r} repeats; the customers of an experiment have one row each.")
        if (theirs := given.schema[_ID]) != (ours := table.schema[_ID]):
            raise ContractError(f"judge: {_ID!r} is {theirs}; the experiment has {ours}.")
        table = table.filter(pl.col(_ID).is_in(given[_ID].implode()))
        whose = table.select(_ID).join(given, on=_ID, maintain_order="left")
    if table.is_empty():
        raise ContractError("judge: none of these customers is in `held_out`, the folds that are judged.")
    rows: list[dict[str, Any]] = []
    for name, inside in segments(whose, by):
        for (arm,), part in table[inside].group_by("arm", maintain_order=True):
            rows += _judged(part, about | {"contrast": f"{arm} - {control}", "level": level, "group": name}, groups)
    return EstimateTable.from_rows(rows)


def _judged(part: pl.DataFrame, about: dict[str, Any], groups: int) -> list[dict[str, Any]]:
    group, off = {"group": about["group"]}, part.with_columns(pl.col("pseudo") - pl.col("effect"))
    parts = part.with_columns(_group(groups)).sort("group").partition_by("group", maintain_order=True)
    told = {
        "highest_less_lowest": _apart(parts[0], parts[-1], about),
        "calibration_slope": _slope(part, about),
        "mean_effect": _row(mean_of(part), part, about),
        "observed_less_predicted": _row(mean_of(off), off, about, estimand="mean effect less mean score"),
    }
    units = cluster_of(part)
    if units is not None and units.n_unique() < _LEAST:
        reason = f"{units.n_unique()} clusters; an error needs at least {_LEAST}. Take a wider segment."
        told = {metric: refused_row(reason=reason, **_plain(row)) for metric, row in told.items()}
    return [row | {"metric": metric} | group for metric, row in told.items()]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """What a row tells without its numbers."""
    return {name: row.get(name) for name in ("question", "estimand", "contrast", "method", "level", "n", "measure")}


def _group(groups: int) -> pl.Expr:
    """Groups of equal size by score, within arm and fold, from 1; of equal scores, the middle one."""
    place = (pl.col("effect").rank("average") - 0.5) / pl.len()
    return (1 + (place.over("arm", "fold") * groups).floor().cast(pl.Int64)).alias("group")


def _read(scores: Any) -> tuple[pl.DataFrame, str, dict[str, Any]]:
    """The scores with arm and fold, the name of the control, and what all rows say."""
    about: dict[str, Any] = {"question": QUESTION, "metric": "outcome", "group": "all"}
    if isinstance(scores, HeldOut):
        table = scores.held_out
        about |= {"metric": scores.outcome, "measure": MEASURES.get(scores.outcome), "horizon_days": scores.window_days}
        about["method"] = f"doubly robust, scores by earlier folds ({scores.learner} learner)"
    else:
        table, about["method"] = to_polars(scores), "doubly robust, scores as given"
    faults = [
        f"{name!r} " + ("is missing" if name not in table.columns else "must be finite numbers")
        for name in ("effect", "pseudo")
        if not (table.schema.get(name, pl.Null).is_numeric() and table[name].is_finite().all(ignore_nulls=False))
    ]
    if faults or table.is_empty():
        told = "; ".join(faults) or "the frame has 0 rows"
        raise ContractError(f"scores: {told}. It has: {', '.join(table.columns) or 'no columns'}.")
    if "cluster" in table.columns and (table["cluster"].null_count() or table["cluster"].n_unique() < 2):
        raise ContractError("scores: 'cluster' is null for some or the same for all; no error can be told by it.")
    one = {"arm": pl.lit("treatment"), "fold": pl.lit(0)}
    table = table.with_columns(**{name: value for name, value in one.items() if name not in table.columns})
    table = table.cast({"effect": pl.Float64, "pseudo": pl.Float64}).sort("arm", "fold", "effect", "pseudo")
    return table, getattr(scores, "control", "control"), about


def _row(found: tuple[float, float, float], part: pl.DataFrame, about: dict[str, Any], **rest: Any) -> dict[str, Any]:
    estimate, error, degrees = found
    told = about | {"n": len(part), "estimand": "per assigned customer"} | rest
    if len(part) < _LEAST or not error > 0:
        few = f"fewer than {_LEAST} customers of this score, or all alike: no error can be told. Take fewer groups."
        return refused_row(reason=few, **told)
    return estimate_row(estimate=estimate, standard_error=error, degrees=degrees, null=0.0, **told)


def _gate(gate: pl.DataFrame, about: dict[str, Any], groups: int) -> dict[str, Any]:
    return _row(mean_of(gate), gate, about, group=f"{gate['group'][0]} of {groups} by score")


def _apart(least: pl.DataFrame, most: pl.DataFrame, about: dict[str, Any]) -> dict[str, Any]:
    """The effect where the score is highest, less that where it is lowest."""
    both, name = pl.concat([least, most]), {"group": "highest - lowest by score"}
    if min(len(least), len(most)) < _LEAST or least["group"][0] == most["group"][0]:
        return _row((0.0, 0.0, 1.0), both.clear(), about, **name)
    sign = pl.when(pl.col("group") == most["group"][0]).then(1.0).otherwise(-1.0)
    n, center = pl.len().over("group").cast(pl.Float64), pl.col("pseudo").mean().over("group")
    parts = both.select(sign * (pl.col("pseudo") - center) / (n * (n - 1)).sqrt()).to_series().to_numpy()
    estimate = float(both.select((sign * pl.col("pseudo") / n).sum()).item())
    return _row((estimate, *error_of(parts, cluster_of(both))), both, about, **name)


def _slope(part: pl.DataFrame, about: dict[str, Any]) -> dict[str, Any]:
    """Least squares of pseudo-outcomes on scores, both less their means of the fold, with HC2 errors."""
    columns = (pl.col(one) - pl.col(one).mean().over("fold") for one in ("effect", "pseudo"))
    score, pseudo = part.select(columns).to_numpy().T
    told: dict[str, Any] = {"estimand": "slope of the effect on the score", "measure": "effect per unit of score"}
    if part.select(pl.col("effect").n_unique().over("fold").max()).item() < 2:
        reason = "the score is the same for all customers, and ranks nobody. Take more customers or other features."
        return refused_row(reason=reason, **about | told | {"n": len(part)})
    square = float(score @ score)
    slope = float(score @ pseudo) / square
    leverage = score**2 / square + 1 / part.select(pl.len().over("fold")).to_series().to_numpy()
    parts = score * (pseudo - slope * score) / square / np.sqrt(np.maximum(1 - leverage, 1e-9))
    return _row((slope, *error_of(parts, cluster_of(part))), part, about, **told)
