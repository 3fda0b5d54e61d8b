"""How far off are predicted survival curves? Brier scores and AUC by day, weighted for those lost from sight.

In: Spells and predictions, one row per customer and day. Out: `brier` and `auc_at` -> EstimateTable, a row per day and
one over all days. `survival_at` lays predictions beside the spells; calibration uses it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, refused_row, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import days_asked
from shoptoolkit.survival.accuracy.censoring import Followed, follow, slopes
from shoptoolkit.survival.accuracy.concordance import scores, share_row
from shoptoolkit.survival.risk import spell_names

_LEAST = 10  # customers on either side, below which no interval is told


def brier(
    spells: Any,
    predicted: Any,
    *,
    days: float | Sequence[float],
    train: Any = None,
    ties: str = "exact",
    level: float = 0.95,
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> EstimateTable:
    """How far is the predicted share from what came true, squared and averaged over customers?

    0 is perfect, 0.25 is what a coin says; to judge a model, set it beside the Kaplan-Meier curve given to everybody.

    Parameters
    ----------
    spells
        Spells as in `kaplan_meier`; entries must be 0.
    predicted
        Predictions made without a look at these spells: `id`, duration_days, survival, one row per spell and day, in
        any order, as `predict_survival` returns them. Other days and customers are left aside.
    days
        On which days to score; each needs its predictions.
    train, ties
        As in `concordance`: where the share G still followed is learnt, and on which side of a day it is read.
    level, cluster, id, duration, repurchased, entry, weight
        As in `kaplan_meier`. With a cluster, `id` names the spells, not the customers.

    Returns
    -------
    EstimateTable
        One row per day (metric "brier"), and for several days their mean by the trapezoid rule ("integrated_brier").
        Refused for fewer than 10 customers and beyond the day up to which G is known, which the reason names.

    Raises
    ------
    ContractError
        Spells or predictions break their contract, or predictions are missing or doubled.

    References
    ----------
    Graf, Schmoor, Sauerbrei and Schumacher (1999), Statistics in Medicine 18, 2529-2545. Error: the mean's influence
    function with the part of G.

    Examples
    --------
    >>> import polars as pl
    >>> days = {"duration_days": range(1, 13), "repurchased": [True, False] * 6}
    >>> spells = pl.DataFrame({"customer_id": range(12), **days})
    >>> half = spells.select("customer_id", duration_days=6.0, survival=0.5)
    >>> brier(spells, half, days=6)
    all: 0.250 (0.250 to 0.250), n = 12
    """
    wanted = np.unique(days_asked(days, positive=True))
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    sample = follow(spells, train=train, ties=ties, level=level, cluster=cluster, names=names)
    surviving = survival_at(predicted, sample.table, wanted, id)
    terms = _terms(sample, wanted, lambda k: _squares(sample, wanted[k], surviving[k]))
    gaps = np.diff(wanted, prepend=wanted[0], append=wanted[-1])
    mean = _mean(terms, (gaps[:-1] + gaps[1:]) / 2 / max(wanted[-1] - wanted[0], 1e-300))  # trapezoid rule
    what = f"mean squared distance between predicted survival and what came true, per {_unit(cluster)}"
    return _table(
        sample, wanted, [*terms, mean], level, "How far off are the predictions?", what, "brier", "integrated_brier"
    )


def auc_at(
    spells: Any,
    predicted: Any = None,
    *,
    days: float | Sequence[float],
    score: str | None = None,
    train: Any = None,
    ties: str = "exact",
    level: float = 0.95,
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> EstimateTable:
    """Of a customer who is back by a day and one who is not, how often has the first the higher score?

    0.5: the score is of no use; 1: always (the cumulative/dynamic AUC).

    Parameters
    ----------
    spells, train, ties, level, cluster, id, duration, repurchased, entry, weight
        As in `brier`.
    predicted
        Predictions as in `brier`: who has the lower predicted survival on a day should be back by then. Or None, and
    score
        a column of `spells` that is higher the sooner a customer should be back, for all days.
    days
        By which days to ask.

    Returns
    -------
    EstimateTable
        One row per day (metric "auc"; p-value against 0.5), and for several days their mean, weighted by the share that
        comes back between them ("mean_auc"). Refused where fewer than 10 customers are known to be back by a day or to
        stay away longer, and beyond the day up to which G is known.

    References
    ----------
    Uno, Cai, Tian and Wei (2007), JASA 102, 527-537; Hung and Chiang (2010), Canadian Journal of Statistics 38, 8-26.
    Mean: Lambert and Chevret (2016), Statistical Methods in Medical Research 25, 2088-2102. Error: the influence
    function of a two-sample U-statistic with the part of G.

    Examples
    --------
    >>> import polars as pl
    >>> days = {"duration_days": range(1, 41), "repurchased": [True, False] * 20}
    >>> spells = pl.DataFrame({"customer_id": range(40), **days, "risk": [4, 3, 2, 3, 1] * 4 + [2, 1, 3, 1, 0] * 4})
    >>> auc_at(spells, score="risk", days=20)
    all: 0.786 (0.586 to 0.905), n = 40
    """
    if (predicted is None) == (score is None):
        raise ValueError("give either predicted= (survival by day) or score= (a column of spells), and not both.")
    wanted = np.unique(days_asked(days, positive=True))
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    sample = follow(
        spells, train=train, ties=ties, level=level, cluster=cluster, names=names | ({score: "score"} if score else {})
    )
    if score is None:
        surviving = survival_at(predicted, sample.table, wanted, id)
    else:
        values = scores(sample.table, score).astype(float)
    order = np.arange(len(sample.table))
    terms = _terms(
        sample, wanted, lambda k: _areas(sample, wanted[k], -surviving[k] if score is None else values, order)
    )
    what = f"share of pairs of {_unit(cluster)}s, one back by the day and one not, with the higher score on the first"
    mean = _mean_area(sample, wanted, terms)
    question = "Do the predictions tell who is back by a day?"
    return _table(sample, wanted, [*terms, mean], level, question, what, "auc", "mean_auc")


def survival_at(predicted: Any, table: pl.DataFrame, days: Floats, id: str) -> Floats:
    """Predicted survival, a row per day and a column per spell; read off as it lies, or found by one hash join."""
    frame = _columns(predicted, table, id)
    if _lies_by_spell(frame[id], table["customer_id"].cast(frame[id].dtype), len(days)):
        told_days, told = (frame[name].to_numpy().reshape(-1, len(days)) for name in ("duration_days", "survival"))
        if (told_days == days).all() and ((told >= 0) & (told <= 1)).all():
            return np.ascontiguousarray(told.T)
    frame = read_predicted(predicted, table, id).filter(pl.col("duration_days").is_in(days))
    surviving = np.full((len(days), len(table)), np.nan)
    surviving[np.searchsorted(days, frame["duration_days"].to_numpy()), frame["row"].to_numpy()] = frame["survival"]
    told = np.isfinite(surviving)
    if (lack := (~told).sum(axis=1)).any():
        listed = ", ".join(f"day {day:g}" for day in days[lack > 0][:5]) + (", ..." if (lack > 0).sum() > 5 else "")
        raise ContractError(
            f"predicted: {(~told).any(axis=0).sum():,} of {len(table):,} spells have no survival on {listed}. Predict "
            f"for every spell and day asked, e.g. predict_survival(frame, days={days[:3].tolist()})."
        )
    if len(frame) > told.sum():
        raise ContractError(
            f"predicted: {len(frame) - told.sum():,} rows repeat a spell and day; one prediction each is needed."
        )
    return surviving


def read_predicted(predicted: Any, table: pl.DataFrame, id: str) -> pl.DataFrame:
    """Predictions for the spells at hand: row (of the spell in `table`), duration_days, survival (a share)."""
    frame, ids = _columns(predicted, table, id), table["customer_id"]
    rows = pl.DataFrame({id: ids.cast(frame[id].dtype), "row": np.arange(len(ids))})
    found = frame.join(rows, on=id)
    if bad := len(found) - int(found["survival"].is_between(0, 1).sum()):
        raise ContractError(f"predicted: {bad:,} values of 'survival' are null or not between 0 and 1.")
    return found


def _lies_by_spell(told: pl.Series, ids: pl.Series, each: int) -> bool:
    """Do predictions lie as `predict_survival` returns them, so many rows of the first spell, then of the next?"""
    return (
        len(told) == each * len(ids)
        and all((told.gather_every(each, at) == ids).all() for at in (0, each - 1))
        and (told != told.shift()).sum() == len(ids) - 1
    )


def _columns(predicted: Any, table: pl.DataFrame, id: str) -> pl.DataFrame:
    """The predictions' id, duration_days and survival, checked by column."""
    frame = to_polars(predicted)
    if absent := [name for name in (id, "duration_days", "survival") if name not in frame.columns]:
        raise ContractError(f"predicted: no column {', '.join(map(repr, absent))}. It has: {', '.join(frame.columns)}.")
    ids = table["customer_id"]
    if "cluster" in table.columns and ids.n_unique() < len(ids):
        raise ContractError(
            f"spells: {id!r} repeats, and predictions are for one spell each; give every spell an id of its own, e.g. "
            f"id='spell_id', cluster={id!r}, in spells and in predicted."
        )
    if frame[id].dtype.is_integer() != ids.dtype.is_integer():
        raise ContractError(f"predicted: {id!r} is {frame[id].dtype}, but {ids.dtype} in spells; make them the same.")
    return frame.select(id, pl.col("duration_days", "survival").cast(pl.Float64))


class _Term(NamedTuple):
    """A score, each spell's influence on it, its derivatives by log G, and its independent pairs, at least."""

    value: float
    influence: Floats
    mass: Floats
    pairs: float


def _squares(sample: Followed, day: float, surviving: Floats) -> _Term:
    """Graf et al. (1999): S^2 of who came back by the day / G(then), (1 - S)^2 of who stayed longer / G(day)."""
    back = sample.worth(day) * surviving**2
    away = sample.beyond(day) * (1 - surviving) ** 2 / sample.share[sample.at(day)]
    share = sample.weight / sample.weight.sum()
    came, stayed = share * back, float((share * away).sum())
    value = float(came.sum()) + stayed
    mass = sample.by_log_g(came, day, stayed)
    return _Term(value, (back + away - value) / sample.weight.sum(), mass, float(sample.n))


def _areas(sample: Followed, day: float, score: Floats, order: Ints) -> _Term | str:
    """`order`: that of the scores of the day before, which often is today's; it is brought up to date."""
    from shoptoolkit.survival.accuracy.kernels import auc_sums

    worth, away = sample.worth(day), sample.beyond(day).astype(float)
    case, control = sample.weight * worth, sample.weight * away
    counts = {"known to be back": sample.weight[worth > 0].sum(), "known to stay away longer": control.sum()}
    if few := [f"only {n:g} {what}" for what, n in counts.items() if n < _LEAST]:
        return f"{' and '.join(few)}; an interval by the normal law needs at least {_LEAST} of each."
    values = score[order]
    if (values[1:] < values[:-1]).any():
        order[:] = np.argsort(score)
        values = score[order]
    right = np.empty(len(order))
    right[order] = auc_sums(values, case[order], control[order])
    cases, controls = case.sum(), control.sum()
    value = float((case * right).sum()) / (cases * controls)
    back = worth * (right / controls - value) / cases
    mass = sample.by_log_g(sample.weight * back)
    return _Term(value, back + away * (right / cases - value) / controls, mass, min(counts.values()))


def _terms(sample: Followed, days: Floats, term: Callable[[int], _Term | str]) -> list[_Term | str]:
    if sample.n < _LEAST:
        return [f"only {sample.n} customers; an interval by the normal law needs at least {_LEAST}."] * len(days)
    late = f"the share still followed is not known up to then; the largest usable horizon is day {sample.end:g}."
    return [late if day > sample.end else term(k) for k, day in enumerate(days)]


def _mean(terms: list[_Term | str], shares: Floats) -> _Term | str:
    told = [term for term in terms if not isinstance(term, str)]
    if len(told) < len(terms):
        return next(term for term in terms if isinstance(term, str))
    return _Term(*(sum(share * one for share, one in zip(shares, part)) for part in zip(*told)))


def _mean_area(sample: Followed, days: Floats, terms: list[_Term | str]) -> _Term | str:
    """Weighted by the share that comes back between the days; these weights S(t) have an error of their own."""
    risk = sample.risk
    place = np.searchsorted(risk.days, days, side="right") - 1
    left = risk.survival[place]
    mean = _mean(terms, -np.diff(left, prepend=1.0) / max(1 - left[-1], 1e-300))
    if isinstance(mean, str):
        return mean
    values = [term.value for term in [*terms, mean] if not isinstance(term, str)]
    by_log_s = np.zeros(len(risk.days))
    np.add.at(by_log_s, place, left * np.diff(values) / (1 - left[-1]))
    return mean._replace(influence=mean.influence + slopes(risk, by_log_s, of_return=True))


def _table(
    sample: Followed, days: Floats, terms: list[_Term | str], level: float, question: str, what: str, *metrics: str
) -> EstimateTable:
    rows = []
    for k, term in enumerate(terms if len(days) > 1 else terms[:1]):
        is_mean = k == len(days)
        common: dict[str, Any] = {
            "question": question,
            "estimand": what + (f", mean over days {days[0]:g} to {days[-1]:g}" if is_mean else ""),
            "metric": metrics[is_mean],
            "method": f"weighted by 1/G, ties {sample.ties}",
            "group": "all",
            "horizon_days": float(days[min(k, len(days) - 1)]),
            "n": sample.n,
            "level": level,
        }
        if isinstance(term, str):
            rows.append(refused_row(reason=term, **common))
        else:
            common |= {"pairs": term.pairs, "error": sample.error(term.influence, term.mass)}
            rows.append(share_row(term.value, null=0.5 if "auc" in metrics else None, **common))
    return EstimateTable.from_rows(rows)


def _unit(cluster: str | None) -> str:
    return "customer" if cluster is None else "spell"
