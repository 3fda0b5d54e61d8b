"""Does the score put customers in the order in which they come back? Concordance of Harrell and of Uno.

In: Spells with a score. Out: `concordance` -> EstimateTable, with the error of a U-statistic, in O(n log n).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, wilson
from shoptoolkit.contract.check import check_span, choose
from shoptoolkit.survival.accuracy.censoring import Followed, follow
from shoptoolkit.survival.risk import spell_names


def concordance(
    spells: Any,
    *,
    score: str = "risk",
    kind: str = "harrell",
    horizon_days: float | None = None,
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
    """Of two customers, how often does the one with the higher score come back first?

    0.5: the score is of no use; 1: always. Pairs count where we know who came back first; a tied score counts half.

    Parameters
    ----------
    spells
        Spells as in `kaplan_meier` with a column `score`; entries must be 0.
    score
        Column that is higher the sooner a customer should be back: a risk score, or 1 - predicted survival of a day.
    kind
        "harrell": every comparable pair counts the same; the answer then depends on who was censored when. "uno": pairs
        weighed by 1/G(day)^2, G the share still followed; the answer is about all customers, up to the horizon.
    horizon_days
        Only pairs whose first return is on this day or before. None: all; Uno's weights then grow large at the end.
    train
        Spells from which G is learnt, of other customers; None: the same spells.
    ties
        "exact": who is censored on a day was still followed on it, so that a return is weighed by G just before its
        day, which is right for whole days. "pec": by G at the end of the day, as R's pec and scikit-survival do; the
        same where nobody is censored on a day of returns.
    level, cluster, id, duration, repurchased, entry, weight
        As in `kaplan_meier`.

    Returns
    -------
    EstimateTable
        One row; p-value against 0.5. Where all pairs are in order (or none is), the interval is Wilson's, counting half
        of the returns as independent pairs. Refused where no pair can be compared, and for Uno where G is not known up
        to the horizon; the reason names the largest usable one.

    References
    ----------
    Harrell, Lee and Mark (1996), Statistics in Medicine 15, 361-387. Uno et al. (2011), ibid. 30, 1105-1117. Error: the
    infinitesimal jackknife of a ratio of U-statistics; for Uno with the part of G.

    Examples
    --------
    >>> import polars as pl
    >>> days = {"duration_days": range(1, 13), "repurchased": [True, False] * 6}
    >>> spells = pl.DataFrame({"customer_id": range(12), **days, "risk": [9, 8, 9, 5, 7, 6, 2, 4, 5, 3, 2, 1]})
    >>> concordance(spells)
    all: 0.889 (0.566 to 0.980), n = 12
    """
    choose("kind", kind, ("harrell", "uno"))
    if horizon_days is not None:
        check_span("horizon_days", horizon_days, example="30, or None for all")
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    sample = follow(spells, train=train, ties=ties, level=level, cluster=cluster, names=names | {score: "score"})
    values = scores(sample.table, score)
    pair = f"two {'customers' if cluster is None else 'spells'}"
    common: dict[str, Any] = {
        "question": "Does the score put customers in the order of their return?",
        "estimand": f"share of {pair} of whom the one with the higher score is back first"
        + ("" if horizon_days is None else f", by day {horizon_days:g}"),
        "metric": f"{kind}_concordance",
        "method": f"{kind}, ties {ties}",
        "group": "all",
        "horizon_days": horizon_days,
        "n": sample.n,
        "level": level,
    }
    last = sample.duration[sample.seen].max() if horizon_days is None else horizon_days
    if kind == "uno" and last > sample.end:
        reason = f"the share still followed is not known up to day {last:g}; take horizon_days <= {sample.end:g}."
        return EstimateTable.from_rows([refused_row(reason=reason, **common)])
    return EstimateTable.from_rows([_row(sample, values, last, kind, common)])


def _row(sample: Followed, score: Any, last: float, kind: str, common: dict[str, Any]) -> dict[str, Any]:
    from shoptoolkit.survival.accuracy.kernels import lower_scores

    worth = sample.worth(last) ** 2 if kind == "uno" else (sample.seen & (sample.duration <= last)).astype(float)
    risk = sample.risk
    key = 2 * risk.place + ~sample.seen  # of two on one day, only one who came back and one censored can be compared
    mass = sample.weight * worth
    came = np.cumsum(np.bincount(risk.place, mass))
    pairs = (risk.at_risk - risk.observed)[risk.place], came[risk.place - sample.seen]  # as the first, as the second
    total = float((mass * pairs[0]).sum())  # `@` would keep a second core spinning
    if not total > 0:
        reason = f"no two customers can be compared: nobody came back by day {last:g} while others stayed away."
        return refused_row(reason=reason, **common)
    kind_of_count = np.float64 if kind == "uno" or "weight" in sample.table.columns else np.int32  # a smaller tree
    counts = (each.astype(kind_of_count) for each in (sample.weight, mass))
    right, wrong = lower_scores(np.argsort(score), score, key, *counts)
    share = float((mass * right).sum()) / total
    own = worth * (right - share * pairs[0]) / total
    influence = own + (pairs[1] * (1 - share) - wrong) / total
    by_log_g = sample.by_log_g(2 * sample.weight * own) if kind == "uno" else np.zeros(1)  # 1/G squared
    error = sample.error(influence, by_log_g)
    return share_row(share, error=error, pairs=float(sample.weight[sample.seen].sum()) / 2, null=0.5, **common)


def share_row(
    share: float, *, error: float, pairs: float, level: float, null: float | None, **rest: Any
) -> dict[str, Any]:
    """A row of Estimates for a share, its interval on the scale of log-odds, which keeps it within 0 and 1.

    A share of 0 or 1 without error gets Wilson's bounds for so many independent pairs.
    """
    if error < 1e-12 and min(share, 1 - share) < 1e-12:
        low, high = wilson(round(share), pairs, level)
        told = {"estimate": round(share), "low": float(low), "high": float(high), "level": level, "verdict": "ok"}
        return told | {"set_shape": "interval"} | rest
    if share >= 1:  # a Brier score whose G, learnt elsewhere, does not fit
        return estimate_row(estimate=share, standard_error=error, level=level, null=null, **rest)
    odds = share / (1 - share)
    row = estimate_row(
        estimate=np.log(odds),
        standard_error=error / (share * (1 - share)),
        level=level,
        null=None if null is None else np.log(null / (1 - null)),
    )
    low, high = (float(1 / (1 + np.exp(-row[side]))) for side in ("low", "high"))
    bounds = {"low": min(low, share), "high": max(high, share)}
    return row | {"estimate": share, "standard_error": error} | bounds | rest


def scores(table: pl.DataFrame, score: str) -> Any:
    """The scores as an array of numbers; refuses those that are missing or cannot be ordered."""
    column = table["score"]
    if not column.dtype.is_numeric() or (bad := len(column) - int(column.is_finite().sum())):
        what = f"{bad:,} of {len(column):,} values null or not finite" if column.dtype.is_numeric() else column.dtype
        raise ContractError(f"spells: {score!r} has {what}; every spell needs a number.")
    return column.to_numpy()
