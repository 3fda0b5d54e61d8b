"""How good a hazard is on spells that it has not seen, overall and by segment, counting those lost from sight.

In: a fit (by what it predicts) and spells. Out: `judge` -> EstimateTable by `survival.accuracy`; `facts` -> what a
model card tells of the spells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, Spells, refused_row, require, to_polars
from shoptoolkit.contract.check import check_level, check_span
from shoptoolkit.survival.accuracy import brier, concordance
from shoptoolkit.survival.accuracy.calibration import came_true
from shoptoolkit.survival.accuracy.censoring import Followed, follow
from shoptoolkit.survival.accuracy.scores import survival_at
from shoptoolkit.survival.risk import spell_names
from shoptoolkit.trees.judging import Fact, segments, sizes, to_judge

if TYPE_CHECKING:
    from shoptoolkit.survival.hazard.fit import HazardFit

_SPELL, _RISK = "__spell", "__risk"
_QUESTION = "How well is the return foreseen?"
_METRICS = ("uno_concordance", "brier", "observed_less_predicted", "calibration_slope")
_LEAST, _LEAST_OF_ONE = 20, 10  # customers, and spells known to have ended or not; with fewer the normal law is far
_MEND = "Take more spells, or a wider segment."


def judge(
    fit: HazardFit,
    frame: Any,
    *,
    by: str | Sequence[str] | None,
    level: float,
    horizon_days: float | None,
    duration: str,
    repurchased: str,
    cause: str,
) -> EstimateTable:
    """Four rows per part: uno_concordance, brier, observed_less_predicted, calibration_slope on one day."""
    check_level(level)
    several = len(fit.causes) > 1
    table = to_judge(frame, fit.id, duration, repurchased, *[cause] * several)
    ended = _ended(fit, repurchased, cause)
    kept = [name for name in ("entry_days", "weight") if name in table.columns]
    named: dict[str, Any] = {"customer_id": fit.id, "duration_days": duration, "repurchased": ended}
    spells = require(table.select(*kept, **named), Spells).with_row_index(_SPELL)
    day = _day(fit, spells) if horizon_days is None else horizon_days
    check_span("horizon_days", day)
    predicted = fit.predict_survival(table, days=day).select("duration_days", "survival")
    spells = spells.with_columns((1 - predicted["survival"]).alias(_RISK))
    predicted = predicted.with_columns(spells[_SPELL])
    rows = (_part(spells[inside], predicted[inside], name, float(day), level) for name, inside in segments(table, by))
    return EstimateTable.from_rows(row for part in rows for row in part)


def _ended(fit: HazardFit, repurchased: str = "repurchased", cause: str = "cause") -> pl.Expr:
    """Whether the wait is over: of several causes, any ends it."""
    return pl.col(cause).is_not_null() if len(fit.causes) > 1 else pl.col(repurchased)


def _day(fit: HazardFit, spells: pl.DataFrame) -> float:
    """The last end of a period learnt to which at least half of those still waiting are watched."""
    ends = fit.period_days * np.arange(1, fit.periods + 1)
    if not spells["repurchased"].any():
        return float(ends[0])
    sample = _followed(spells, 0.95)
    return max(
        (float(one) for one in ends if one <= sample.end and sample.share[sample.at(one)] >= 0.5), default=ends[0]
    )


def _followed(spells: pl.DataFrame, level: float) -> Followed:
    names = spell_names(id=_SPELL, duration="duration_days", repurchased="repurchased")
    return follow(spells, train=None, ties="exact", level=level, cluster=_cluster(spells), names=names)


def _cluster(spells: pl.DataFrame) -> str | None:
    """The column of the customers, where one has several spells."""
    return "customer_id" if spells["customer_id"].is_duplicated().any() else None


def _part(
    spells: pl.DataFrame, predicted: pl.DataFrame, name: str, day: float, level: float
) -> Iterator[dict[str, Any]]:
    if reason := _few(spells, day):
        common: dict[str, Any] = {"question": _QUESTION, "estimand": "spells not seen by the fit", "group": name}
        common |= {"method": "weighted by 1/G", "horizon_days": day, "n": len(spells)}
        yield from (refused_row(reason=reason, level=level, metric=metric, **common) for metric in _METRICS)
        return
    how: dict[str, Any] = {"level": level, "id": _SPELL, "cluster": _cluster(spells)}
    ranks = concordance(spells, score=_RISK, kind="uno", horizon_days=day, **how)
    sample = _followed(spells, level)
    surviving = survival_at(predicted, sample.table, np.array([day]), _SPELL)[0]
    told = (ranks, brier(spells, predicted, days=day, **how), came_true(sample, day, surviving, level))
    for row in pl.concat(one.table for one in told).to_dicts():
        yield row | {"question": _QUESTION, "group": name} | (_come_back(row) if row["metric"] == _METRICS[2] else {})


def _come_back(row: dict[str, Any]) -> dict[str, Any]:
    """Of those who stay away as of those who come back, in percentage points."""
    away = {name: row[name] for name in ("estimate", "high", "low", "standard_error")}
    points = [None if one is None else sign * one for one, sign in zip(away.values(), (-100, -100, -100, 100))]
    told = dict(zip(("estimate", "low", "high", "standard_error"), points, strict=True))
    return told | {"measure": "percentage points", "estimand": "mean of what came true less predicted, back by the day"}


def _few(spells: pl.DataFrame, day: float) -> str:
    """Why no error can be told, if none can."""
    seen, waits = spells["repurchased"], spells["duration_days"]
    counts = {
        "customers": (spells["customer_id"].n_unique(), _LEAST),
        f"known to be back by day {day:g}": (int((seen & (waits <= day)).sum()), _LEAST_OF_ONE),
        "known to stay away longer": (int(((waits > day) | ((waits == day) & ~seen)).sum()), _LEAST_OF_ONE),
    }
    short = [f"{name}: {n:,}, needed: {least}" for name, (n, least) in counts.items() if n < least]
    return f"{'; '.join(short)}. {_MEND}" if short else ""


def facts(fit: HazardFit, train: Any, test: Any) -> list[Fact]:
    """What a model card tells of the spells and of what was learnt: section, item, text."""
    told = sizes(train, test, id=fit.id, time=fit.time)
    for name, part in {"training": to_polars(train), "test": to_polars(test)}.items():
        ended = _ended(fit)
        if absent := sorted({"duration_days", *ended.meta.root_names()} - set(part.columns)):
            told.append(("censoring", name, f"not told: the frame has no column {', '.join(absent)}"))
        elif len(part):
            days, lost = (
                part["duration_days"].drop_nulls().to_numpy(),
                part.select(1 - ended.cast(pl.Float64).mean()).item(),
            )
            waits = f"waits seen: median {np.median(days):g} days, longest {days.max():g}"
            told.append(
                ("censoring", name, f"{100 * lost:.1f} % of the spells were still open when last seen; {waits}")
            )
    last = fit.periods * fit.period_days
    learnt = f"{fit.periods} periods of {fit.period_days:g} days; nothing is said beyond day {last:g}"
    told.append(("limits", "horizon", learnt))
    return told
