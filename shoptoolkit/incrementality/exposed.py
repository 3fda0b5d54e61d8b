"""What the ad added for those who saw it, when not everybody who should see it does.

In: Outcomes with a column that says who was exposed. Out: `lift_on_exposed` -> EstimateTable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, Outcomes, require
from shoptoolkit.contract.check import check_level, choose, listed
from shoptoolkit.incrementality.door import MEASURES, QUESTION, metrics_of, window_of
from shoptoolkit.incrementality.joint import Joint, joints, words_of

DESIGNS = {"assignment": "assigned_at", "ghost_ads": "eligible_at", "placebo_ads": None}  # where outcomes start
WEAK = 10.0  # the least F of the first stage
_CHANCE = 0.0005  # the p-value at which arms whose shares of the exposed differ are refused
_SHOWN = "the exposed"  # a name that no metric has
_NAMES = {
    "assignment": "Wald",
    "ghost_ads": "ghost ads from eligibility, Wald",
    "placebo_ads": "placebo ads, the exposed of both arms",
}
Answers = Iterator[tuple[dict[str, Any], Joint, Callable[[Joint, str, dict[str, Any]], dict[str, Any]]]]


def lift_on_exposed(
    outcomes: Any,
    *,
    control: str,
    metrics: str | Iterable[str],
    design: str = "assignment",
    exposed: str = "exposed",
    covariates: str | Iterable[str] = (),
    strata: str | None = None,
    cluster: str | None = None,
    by: str | None = None,
    level: float = 0.95,
) -> EstimateTable:
    """What did the ad add for a customer who saw it?

    Who sees an ad is not dealt: those who watch more see more, and buy more anyway. So the exposed are never compared
    with the others. What the arms differ by, as dealt, is divided by how much more of one arm was exposed.

    Parameters
    ----------
    outcomes
        Outcomes (contract), or what `incrementality.outcomes` gives: one row per customer.
    control
        The arm that all others are compared with.
    metrics
        Columns to compare: numbers or flags.
    design
        "assignment": all who were assigned, outcomes from then on. "ghost_ads": of both arms those for whom an ad slot
        was won, outcomes from `eligible_at` on, and in treatment the ad was (mostly) shown; much narrower, as
        those who never came near the ad make no noise. A window as long as one from the assignment ends later, by
        which time the ad may have added more or less. "placebo_ads": control was shown a placebo, and `exposed` says
        of both arms who was shown what was meant for them; the exposed are compared directly.
    exposed
        Column of flags: who was shown the ad (or placebo).
    covariates
        Columns known before, named "pre_...": each arm has a regression of its own on them (Lin 2013).
    strata
        Column of strata known before the experiment: arms are compared within them and weighed by their customers.
    cluster
        Column of what was assigned, where that was not the customer (households, regions).
    by
        Column of groups known before the experiment: an answer for each.
    level
        Coverage of the intervals.

    Returns
    -------
    EstimateTable
        A row per metric, arm and group; `n` customers of both arms (the exposed, with placebo ads); `reason` says how
        many were exposed. Estimand "per exposed customer": the mean effect on those whom treatment exposed. Where
        some of control saw the ad too (two-sided non-compliance; `method` says so) it is "per complier": on those who
        saw it because of their arm, provided that no one saw it because they were in control. `p_value` is that of
        the arms' difference: of no effect.

    Notes
    -----
    The interval is Fieller's, which is also the set of Anderson and Rubin: it holds however weak the exposure, by
    Student's law with Welch's degrees of freedom at the estimate. The assignment must change purchases through the
    exposure alone. Refused: an exposure that is weak, F = (difference in the exposed share / its error)^2 < 10 (Staiger
    and Stock 1997), or goes the wrong way; for placebo ads, arms whose shares of the exposed differ (p < 0.0005), as
    then the ad and the placebo were not shown to the same kind of customers.

    Else refused as `lift` is, also where few buyers carry the metric in the smaller of unequal arms. Where 1 % buy,
    intervals of 95 % cover 0.93 in arms split 75 to 25 with 20 buyers in the smaller one, and 0.91 split 90 to 10.

    Raises
    ------
    ContractError
        Outcomes break their contract; a column is missing; `exposed` is not true or false for everybody; a cluster is
        in several arms.
    ValueError
        `control` is no arm, `design` is unknown, or outcomes start at another moment than the design says.

    References
    ----------
    Johnson, Lewis and Nubbemeyer (2017), Journal of Marketing Research 54, 867-884 (ghost ads). Angrist, Imbens and
    Rubin (1996), JASA 91, 444-455. Anderson and Rubin (1949), Annals of Mathematical Statistics 20, 46-63.

    Examples
    --------
    >>> frame = pl.DataFrame({"customer_id": range(200), "arm": ["ad", "none"] * 100})
    >>> frame = frame.with_columns(exposed=(pl.col("arm") == "ad") & (pl.col("customer_id") % 10 < 6))
    >>> frame = frame.with_columns(orders=pl.col("customer_id") % 3 + 2 * pl.col("exposed").cast(int))
    >>> told = lift_on_exposed(frame, control="none", metrics="orders").table
    >>> told.select("estimand", pl.col("estimate").round(2), "n").row(0)
    ('per exposed customer', 1.98, 200)
    """
    check_level(level)
    choose("design", design, DESIGNS)
    _check_start(outcomes, design)
    names, frame = list(metrics_of(listed(metrics, name="metrics"))), _flagged(require(outcomes, Outcomes), exposed)
    how: dict[str, Any] = {"covariates": listed(covariates, name="covariates"), "strata": strata, "cluster": cluster}
    asked = {"control": control, "by": by}
    words = {"question": QUESTION, "level": level, "horizon_days": window_of(outcomes)["window_days"]}
    rows: list[dict[str, Any]] = []
    for told, found, row_of in (_placebo if design == "placebo_ads" else _wald)(frame, names, design, asked, how):
        for metric in names:
            row = words | told | {"metric": metric, "measure": MEASURES.get(metric)}
            rows.append(row_of(found, metric, row))
    return EstimateTable.from_rows(rows)


def _check_start(outcomes: Any, design: str) -> None:
    start, wanted = getattr(outcomes, "start", None), DESIGNS[design]
    if start and wanted and start != wanted:
        raise ValueError(
            f"design is {design!r}, whose outcomes count from {wanted!r} in both arms, and these count from {start!r}. "
            f"Make them with outcomes(..., start={wanted!r}), or say what design it was."
        )


def _flagged(table: pl.DataFrame, exposed: str) -> pl.DataFrame:
    """The table with `exposed` as 0 or 1 under a name of our own."""
    if exposed not in table.columns:
        raise ContractError(f"outcomes: {exposed!r} missing. It has: {', '.join(table.columns)}.")
    flag = table[exposed].cast(pl.Float64, strict=False)
    if bad := len(flag) - int(flag.is_in([0.0, 1.0]).sum()):
        raise ContractError(
            f"outcomes: {exposed!r} is not true or false for {bad:,} of {len(table):,} customers; whoever was not "
            "shown anything has false."
        )
    return table.with_columns(flag.alias(_SHOWN))


def _wald(frame: pl.DataFrame, names: list[str], design: str, asked: dict[str, Any], how: dict[str, Any]) -> Answers:
    """The arms' difference in each metric, to be divided by that in the exposed."""
    for group, arm, found in joints(frame, numbers=names, beside=[_SHOWN], **asked, **how):
        told = _told(group, arm, found, asked)
        leaks = bool(found.pairs and found.counts(_SHOWN)[1][0])
        told["estimand"] = "per complier" if leaks else "per exposed customer"
        method = f"{_NAMES[design]}, {'two' if leaks else 'one'}-sided non-compliance"
        told["method"] = words_of(method, **how)
        found = replace(found, reason=found.reason or _weak(found, arm, asked["control"]))
        yield told, found, lambda both, metric, row: both.ratio({metric: 1.0}, {_SHOWN: 1.0}, **row)


def _weak(found: Joint, arm: str, control: str) -> str | None:
    """Why the exposure that the assignment made cannot be divided by, if it cannot."""
    more, variance = found.difference(_SHOWN)
    told = f"{100 * more:.3g} points more of {arm!r} than of {control!r} were exposed"
    if more <= 0:
        return f"{told}: the assignment did not bring the ad. Look whether the arms or the flag are swapped."
    if more**2 < WEAK * variance:
        f = more**2 / variance
        return f"{told}, a weak exposure (F = {f:.2g}; it takes {WEAK:g}). Take more customers, or `lift` as assigned."
    return None


def _placebo(frame: pl.DataFrame, names: list[str], design: str, asked: dict[str, Any], how: dict[str, Any]) -> Answers:
    """The exposed of both arms, compared directly."""
    shown = frame.filter(pl.col(_SHOWN) == 1)
    if missing := sorted(set(frame["arm"].unique()) - set(shown["arm"].unique())):
        raise ContractError(
            f"outcomes: nobody of {missing[0]!r} was exposed; with placebo ads the flag says of both arms who was "
            "shown what was meant for them."
        )
    exposed = {(group, arm): found for group, arm, found in joints(shown, numbers=names, **asked, **how)}
    for group, arm, every in joints(frame, numbers=[], beside=[_SHOWN], **asked, **how | {"covariates": []}):
        none = replace(every, reason="Nobody was exposed.")
        found = none if every.reason else exposed.get((group, arm), none)
        told = _told(group, arm, every, asked) | {"estimand": "per exposed customer"}
        told["method"] = words_of(_NAMES[design], **how)
        found = replace(found, reason=every.reason or found.reason or _uneven(every))
        yield told, found, lambda both, metric, row: both.row({metric: 1.0}, **row)


def _uneven(every: Joint) -> str | None:
    """Why the exposed of two arms cannot be compared, if they cannot."""
    row = every.row({_SHOWN: 1.0}, level=0.95)
    if row["verdict"] == "ok" and row["p_value"] < _CHANCE:
        return (
            f"The ad reached {100 * row['estimate']:+.3g} points more of its arm than the placebo did of control (p = "
            f"{row['p_value']:.1g}), so they were not shown to the same kind of customers. Mend the delivery, or "
            "compare the arms as assigned."
        )
    return None


def _told(group: str, arm: str, found: Joint, asked: dict[str, Any]) -> dict[str, Any]:
    """What a row says of the arms, and how many of them were exposed."""
    counts = zip((arm, asked["control"]), found.counts(_SHOWN)) if found.pairs else ()
    shown = ", ".join(f"{some:,} of {n:,} in {name!r}" for name, (some, n) in counts)
    return {"group": group, "contrast": f"{arm} - {asked['control']}", "reason": f"Exposed: {shown}."}
