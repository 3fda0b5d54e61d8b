"""Not before which day will a customer be back? A lower bound that holds whatever the predictor is worth.

In: Spells of customers whom the predictor has not seen, predictions for them and for the customers asked about. Out:
`earliest_return` -> `EarliestReturn` with `.coverage`.

Censoring is administrative, so everybody's follow-up C is known, also of those who came back. Among customers followed
for at least a cutoff c, min(T, c) is observed; where C says nothing about (X, T) they are a random sample, and split
conformal prediction bounds min(T, c), hence T, from below in finite samples (Candes, Lei and Ren 2023). Where C depends
on X, they are weighted by 1 / P(C >= c | X) (weighted exchangeability, Tibshirani et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from shoptoolkit.contract import ContractError, to_polars, wilson
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.clock import day_of, local_day
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.spells import at_the_door

_SUSPICIOUS = 0.01  # p-value below which the follow-up is said to depend on the prediction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EarliestReturn:
    """Days before which a customer is not back, counted from the order. Draw it with `figures.earliest_return`.

    `table`: the id, group, earliest_days, is_cut (True: the bound is the cutoff itself, a longer one could not be
    checked). There is no upper bound: beyond the follow-up all that can be told is "not before". `calibration`: group,
    n_customers, n_used (followed up to the cutoff). `guarantee` says whether the level is exact, and why.
    """

    table: pl.DataFrame
    calibration: pl.DataFrame
    cutoff_days: float
    level: float
    guarantee: str
    n: int
    id: str = field(repr=False)

    def coverage(
        self,
        spells: Any,
        *,
        as_of: datetime | date | str,
        by: str | None = None,
        level: float = 0.95,
        timezone: str = "UTC",
    ) -> pl.DataFrame:
        """What share of customers was not back before their bound, as later spells show? Overall and by group.

        Columns: group, n_customers, n_known (followed up to the cutoff), covered, low, high (among those; Wilson's
        interval of `level`), at_least, at_most (of all customers, whatever became of those lost from sight before their
        bound). `by` is a column of `spells`; by default the groups of the calibration. `as_of` and `timezone` as in
        `earliest_return`, of these spells.
        """
        check_level(level)
        table = _watched(spells, id=self.id, by=by, as_of=as_of, timezone=timezone)
        bounds = self.table.select(pl.col(self.id).alias("customer_id"), "earliest_days", own="group")
        table = table.join(bounds, on="customer_id")
        if table.is_empty():
            raise ContractError(f"spells: no {self.id!r} is among those of this bound.")
        held = pl.col("duration_days") >= pl.col("earliest_days")
        is_known = pl.col("follow_up") >= self.cutoff_days
        counts = {
            "n_customers": pl.len().cast(pl.Int64),
            "n_known": is_known.sum().cast(pl.Int64),
            "covered": held.filter(is_known).mean(),
            "at_least": held.mean(),
            "at_most": 1 - (~held & pl.col("repurchased")).mean(),
        }
        groups = table.group_by(group="group" if by else "own").agg(**counts).filter(pl.col("group") != "all")
        told = pl.concat([table.select(pl.lit("all").alias("group"), **counts), groups.sort("group")])
        low, high = wilson(told["covered"].fill_null(0.5), told["n_known"].clip(1), level)
        seen = pl.col("covered").is_not_null()
        low, high = (pl.when(seen).then(pl.Series(bound)) for bound in (low, high))
        return told.with_columns(low=low, high=high).select(*told.columns[:4], "low", "high", "at_least", "at_most")

    def __repr__(self) -> str:
        return f"EarliestReturn at level {self.level:g} from {self.n:,} customers; {self.guarantee}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"{100 * self.level:g} % are not back before it, counted from the order; {self.guarantee}; as long as "
        note += "customers of today behave like those of the calibration (no drift of the calendar)"
        return html_table(self.table.head(20), title="Earliest day of return", note=note)


def earliest_return(
    spells: Any,
    customers: Any,
    *,
    predicted: Any,
    as_of: datetime | date | str,
    level: float = 0.9,
    cutoff_days: float | None = None,
    by: str | None = None,
    reach: str | None = None,
    reach_known: bool = False,
    id: str = "customer_id",
    timezone: str = "UTC",
) -> EarliestReturn:
    """Before which day is a customer not back, with a chance of at least `level`?

    Parameters
    ----------
    spells
        The calibration: Spells with `started_at`, one per customer, as `repurchase_spells` gives them; of customers on
        whom the predictor was not trained.
    customers
        Who is asked about, as of an order: `id`, and the columns `by`, `reach` and those the predictor needs. None of
        them may be in `spells`.
    predicted
        Any predictor, however bad: a fit with `.predict_survival(frame, days=...)`; or a frame for both groups of
        customers, either of survival (`id`, duration_days, survival; the same days for all) or with one column
        `predicted_days` (> 0, such as a median). A good one gives bounds that differ between customers.
    as_of
        The first day not looked at in `spells`: it gives everybody's follow-up.
    level
        The chance, over customers and calibrations, that the bound holds.
    cutoff_days
        No bound lies above it; customers followed for less do not calibrate. By default the median follow-up.
    by
        Column of both frames: calibrate within its groups, so that the level holds in each. The way out where the
        follow-up depends on the group. A group followed too little gets the bound 0.
    id, timezone
        Column of all frames with the customer; whose days are counted.
    reach, reach_known
        Column of both frames: the chance that a customer like this one is followed up to `cutoff_days`, where that
        depends on covariates. Exact if the law is known (`reach_known=True`), approximate if it was estimated.

    Returns
    -------
    EarliestReturn
        `guarantee` is "exact ..." only where all are followed up to the cutoff, or follow-up is independent of what
        predicts, which a rank test looks at.

    Raises
    ------
    ContractError
        Spells that break their contract, repeated customers, censoring before `as_of` (not administrative), customers
        on both sides, or predictions that lack a customer or a day.
    ValueError
        `level`, `cutoff_days`, `reach` or `as_of` is none that can be used.

    Notes
    -----
    The level is an average over customers, not a promise to each. It needs customers of today to be exchangeable with
    those of the calibration, who ordered at least `cutoff_days` ago: calendar drift (season, prices, ads) breaks that,
    and no test here sees it; look at `.coverage` of later spells. Fixed cutoffs are exact; the adaptive ones of Gui et
    al. (2024) only nearly so.

    References
    ----------
    Candes, Lei and Ren (2023), JRSS B 85, 24-45; Gui, Hore, Ren and Barber (2024), Biometrika 111, 459-477; Tibshirani,
    Barber, Candes and Ramdas (2019), NeurIPS.

    Examples
    --------
    >>> from datetime import datetime, timedelta
    >>> import polars as pl
    >>> days = [5.0, 9.0, 13.0, 20.0, 21.0, 24.0, 28.0, 30.0, 30.0]  # nine customers of one day, two not yet back
    >>> spells = pl.DataFrame({"customer_id": range(9), "duration_days": days, "repurchased": [d < 30 for d in days],
    ...                        "started_at": datetime(2025, 1, 1)})
    >>> predicted = pl.DataFrame({"customer_id": range(11), "predicted_days": [20.0] * 10 + [30.0]})
    >>> asked = pl.DataFrame({"customer_id": [9, 10]})
    >>> told = earliest_return(spells, asked, predicted=predicted, as_of="2025-02-01", level=0.8)
    >>> told.table["earliest_days"].to_list()
    [9.0, 13.5]
    """
    check_level(level)
    known = _watched(spells, id=id, by=by, as_of=as_of, timezone=timezone, reach=reach)
    asked = _asked(customers, known["customer_id"], id=id, by=by, reach=reach)
    longest = float(known["follow_up"].to_numpy().max())
    if cutoff_days is None and reach is None:
        cutoff_days = float(np.median(known["follow_up"]))
    if cutoff_days is None or not 0 < cutoff_days <= longest:
        hint = ", and reach= is about one" if reach else ""
        raise ValueError(f"cutoff_days is {cutoff_days}; it must be > 0 and at most {longest:g}, the follow-up{hint}.")
    known_law, asked_law = _laws(predicted, (spells, customers), (known, asked), id, cutoff_days)
    seen, until = known["repurchased"].to_numpy(), known["duration_days"].to_numpy()
    back = seen & (until < cutoff_days)
    score = np.where(back, known_law.score(until), np.inf)  # not back by the cutoff: no bound misses
    known = known.with_columns(
        score=pl.Series(score), used=pl.col("follow_up") >= cutoff_days, central=pl.Series(known_law.central())
    )
    tau, calibration = _thresholds(known, asked, level)
    days = np.round(np.minimum(asked_law.days(tau), cutoff_days), 6)
    table = asked.select(
        pl.col("customer_id").alias(id),
        "group",
        pl.Series("earliest_days", days),
        is_cut=pl.Series(days >= cutoff_days),
    )
    return EarliestReturn(
        table=table,
        calibration=calibration,
        cutoff_days=cutoff_days,
        level=level,
        guarantee=_guarantee(known, by, reach, reach_known),
        n=int(calibration["n_used"].sum()),
        id=id,
    )


def _watched(
    spells: Any, *, id: str, by: str | None, as_of: datetime | date | str, timezone: str, reach: str | None = None
) -> pl.DataFrame:
    """Checked spells with `group`, `follow_up` (whole days, as durations are counted) and `reach`."""
    names = {id: "customer_id", **{name: name for name in ("duration_days", "repurchased", "started_at", "weight")}}
    table = at_the_door(spells, by=by, cluster=None, names=names | ({reach: "reach"} if reach else {}))
    if "started_at" not in table.columns or "weight" in table.columns:
        raise ContractError("spells: each customer needs a row of its own, with 'started_at' and without 'weight'.")
    last = day_of(as_of, timezone=timezone) - timedelta(days=1)
    length = (pl.lit(last) - local_day("started_at", timezone=timezone)).dt.total_days().cast(pl.Float64)
    table = _with_reach(table.with_columns(follow_up=length), "spells", by, reach)
    end, is_open = pl.col("duration_days"), ~pl.col("repurchased")
    if bad := table.filter((is_open & (end < pl.col("follow_up"))) | (end > pl.col("follow_up"))).height:
        raise ContractError(
            f"spells: {bad:,} do not last until as_of = {as_of} in whole days: censored before it, or longer. The "
            "bound holds for administrative censoring only, where everybody is watched until as_of."
        )
    return table


def _with_reach(table: pl.DataFrame, name: str, by: str | None, reach: str | None) -> pl.DataFrame:
    if reach and (
        "reach" not in table.columns or not table["reach"].is_between(0, 1, closed="right").fill_null(False).all()
    ):
        raise ContractError(f"{name}: {reach!r} must be there and lie above 0 and at most at 1 in every row.")
    return table if by else table.with_columns(group=pl.lit("all"))


def _asked(customers: Any, calibrated: pl.Series, *, id: str, by: str | None, reach: str | None) -> pl.DataFrame:
    frame = to_polars(customers)
    if absent := [name for name in (id, by) if name and name not in frame.columns]:
        raise ContractError(f"customers: no column {', '.join(map(repr, absent))}. It has: {', '.join(frame.columns)}.")
    group = [pl.col(by).cast(pl.String).fill_null("unknown").alias("group")] if by else []
    weight = [pl.col(reach).alias("reach")] if reach and reach in frame.columns else []
    table = frame.select(pl.col(id).alias("customer_id"), *group, *weight)
    if table.is_empty() or table["customer_id"].is_duplicated().any() or table["customer_id"].null_count():
        raise ContractError(f"customers: {id!r} must name each customer once, and at least one.")
    if both := len(table.join(calibrated.to_frame(), on="customer_id", how="semi")):
        raise ContractError(
            f"customers: {both:,} are also in spells; a customer calibrates or is asked about, not both."
        )
    return _with_reach(table, "customers", by, reach)


def _thresholds(known: pl.DataFrame, asked: pl.DataFrame, level: float) -> tuple[Floats, pl.DataFrame]:
    """Each asked customer's threshold: the largest score u with w + sum of the weights of scores below u <= (1 - level)
    (W + w), w its own weight, W the sum over the calibration; with equal weights the floor((1 - level)(n + 1))-th.
    """
    tau, told = np.full(len(asked), -np.inf), []
    for group in asked["group"].unique().sort():
        own, mine = known.filter(pl.col("group") == group), (asked["group"] == group).to_numpy()
        used = own.filter("used").sort("score")
        weights = (1 / used["reach"] if "reach" in used.columns else pl.repeat(1.0, len(used), eager=True)).to_numpy()
        own_weight = (1 / asked["reach"]).to_numpy()[mine] if "reach" in asked.columns else np.ones(mine.sum())
        scores = used["score"].to_numpy()
        below = np.concatenate([[0.0], np.cumsum(weights)])[np.searchsorted(scores, scores)]  # ties are not below
        room = (1 - level) * (weights.sum() + own_weight) - own_weight
        place = np.searchsorted(below, room + 1e-9, side="right") - 1
        tau[mine] = np.where(place >= 0, np.append(scores, -np.inf)[place], -np.inf) if len(used) else -np.inf
        told.append({"group": group, "n_customers": len(own), "n_used": len(used)})
    return tau, pl.DataFrame(told)


def _guarantee(known: pl.DataFrame, by: str | None, reach: str | None, reach_known: bool) -> str:
    if reach:
        return "exact, the law of the follow-up being known" if reach_known else "approximate, by estimated follow-up"
    of = f" within {by}" if by else ""
    if known["used"].all():
        return f"exact{of}: everybody was followed up to the cutoff"
    p_values = [
        stats.spearmanr(part["follow_up"], part["central"]).pvalue
        for part in known.partition_by("group")
        if part["follow_up"].n_unique() > 1 and part["central"].n_unique() > 1
    ]
    p_value = min([1.0, *(p * len(p_values) for p in p_values)])
    if p_value < _SUSPICIOUS:
        return f"approximate: follow-up depends on the prediction{of} (p = {p_value:.2g}); calibrate by= or with reach="
    return f"exact, if follow-up is independent of the covariates{of} (rank test: p = {p_value:.2g})"


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Predicted days: the score is the share of them that passed."""

    predicted: Floats

    def score(self, days: Floats) -> Floats:
        return days / self.predicted

    def days(self, tau: Floats) -> Floats:
        return np.maximum(tau, 0) * self.predicted

    def central(self) -> Floats:
        return self.predicted


@dataclass(frozen=True, slots=True)
class _Returned:
    """Predicted share back by each day of a grid, linear in between: the score is the share back by then."""

    grid: Floats  # day 0 first
    share: Floats  # customers x days

    def score(self, days: Floats) -> Floats:
        place = np.clip(np.searchsorted(self.grid, days), 1, len(self.grid) - 1)
        row = np.arange(len(days))
        left, right = self.share[row, place - 1], self.share[row, place]
        part = (days - self.grid[place - 1]) / (self.grid[place] - self.grid[place - 1])
        return left + (right - left) * np.clip(part, 0, 1)

    def days(self, tau: Floats) -> Floats:
        """The first day by which the share is tau."""
        reached = self.share >= tau[:, None]
        place = np.clip(reached.argmax(axis=1), 1, None)
        row = np.arange(len(tau))
        left, right = self.share[row, place - 1], self.share[row, place]
        part = np.clip((tau - left) / np.where(right > left, right - left, 1), 0, 1)
        days = self.grid[place - 1] + part * (self.grid[place] - self.grid[place - 1])
        return np.where(tau <= 0, 0.0, np.where(reached.any(axis=1), days, np.inf))

    def central(self) -> Floats:
        return -self.share.mean(axis=1)


def _laws(
    predicted: Any, frames: tuple[Any, Any], tables: tuple[pl.DataFrame, pl.DataFrame], id: str, cutoff: float
) -> list[Any]:
    """What is predicted of the calibration, and of those asked about."""
    ids = [table["customer_id"] for table in tables]
    if hasattr(predicted, "predict_survival"):
        days = np.unique(np.append(np.ceil(np.linspace(1, cutoff, 60)).clip(max=cutoff), cutoff))
        told = [predicted.predict_survival(to_polars(frame), days=list(days)) for frame in frames]
        return [_law(frame, one, id, cutoff) for frame, one in zip(told, ids)]
    return [_law(to_polars(predicted), one, id, cutoff) for one in ids]


def _law(frame: pl.DataFrame, ids: pl.Series, id: str, cutoff: float) -> _Scaled | _Returned:
    is_scaled = "predicted_days" in frame.columns
    needed = [id, "predicted_days"] if is_scaled else [id, "duration_days", "survival"]
    if absent := [name for name in needed if name not in frame.columns]:
        raise ContractError(f"predicted: no column {', '.join(map(repr, absent))}. It has: {', '.join(frame.columns)}.")
    order = ids.alias(id).to_frame().with_row_index("__row")
    told = order.join(frame.select(needed), on=id, how="left").sort("__row", *needed[1:-1])
    days = np.array([0.0]) if is_scaled else told["duration_days"].drop_nulls().unique().sort().to_numpy()
    values = told[needed[-1]].cast(pl.Float64)
    least, most = (0, np.inf) if is_scaled else (0, 1)
    if len(told) != len(ids) * len(days) or not values.is_between(least, most).fill_null(False).all():
        what = "above 0" if is_scaled else "on the same days for all, within 0 and 1"
        raise ContractError(f"predicted: every customer needs one {needed[-1]!r}, {what}.")
    if is_scaled:
        return _Scaled(np.maximum(values.to_numpy(), 1e-9))
    if days[-1] < cutoff:
        raise ValueError(f"predicted reaches day {days[-1]:g}, cutoff_days is {cutoff:g}; predict up to it.")
    share = np.maximum.accumulate(1 - values.to_numpy().reshape(len(ids), -1), axis=1)
    inside = days > 0
    return _Returned(np.append(0.0, days[inside]), np.column_stack([np.zeros(len(ids)), share[:, inside]]))
