"""How large would a signal be if it told nothing? Each signal beside its shadow: its values, dealt to other customers.

In: a function that refits, and its frame. Out: `null_importance` -> `NullImportance`; `explain.compare_with_truth` lays
it beside what was planted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_keys, check_level
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.signals import members, signals_of
from shoptoolkit.explain.values import Explainable, shap_values

SHADOW = "shadow of "
_ROW = "__row"
_FEW = 10  # customers of a cohort below this are dealt too few ways: a shadow would hardly change
_ALONE = 0.05  # of the rows may be of such cohorts
_FIXED = 0.8  # a signal whose shadow correlates more with it than this is no shadow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NullImportance:
    """How large each signal is, and how large if it told nothing. Draw it with `figures.null_importance`.

    `table`, largest first: signal, mean_size (mean absolute contribution, mean over refits), share (of all signals'),
    rank, null_mean (of its shadows), null_high (what a shadow passes in no more than 1 - `level` of the refits, any of
    the signals counted), p_value (the chance that the largest of all shadows, each on its own scale, is as large),
    is_above (p_value <= 1 - `level`), n (rows explained in each refit). `draws`: replicate, signal, mean_size,
    shadow_size. `together`: signal, other, correlation (largest absolute rank correlation of their features).
    """

    table: pl.DataFrame
    draws: pl.DataFrame
    together: pl.DataFrame
    level: float
    replicates: int
    n_customers: int
    scale: str

    def __repr__(self) -> str:
        return f"NullImportance over {self._told()}\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.select("signal", "mean_size", "null_mean", "null_high", "p_value")
        note = (
            f"mean size of the contributions, {self.scale}; {self._told()}. p values hold for all signals together. "
            "A signal that goes with another may rightly be above. The model, not the cause."
        )
        return html_table(shown, title="Does the signal tell more than nothing?", note=note)

    def _told(self) -> str:
        return f"{self.replicates} refits beside shadows, {self.n_customers:,} customers, level {100 * self.level:g} %"


def null_importance(
    refit: Callable[[pl.DataFrame], Explainable],
    frame: Any,
    *,
    replicates: int,
    rng: int | np.random.Generator,
    signals: Mapping[str, str] | None = None,
    id: str = "customer_id",
    time: str | None = "as_of",
    rows: int | None = 1_000,
    level: float = 0.95,
    explain: Callable[..., Explanation] = shap_values,
) -> NullImportance:
    """How large would a signal be if it told nothing of the outcome, and is it larger?

    In each replicate every signal gets a shadow: the columns of each customer, together and over all their moments,
    are those of another customer asked from the same first to the same last moment. So a shadow has its signal's law
    and its dependence over time, and no link to the outcome or to any other signal. A signal that these moments nearly
    fix (time as a customer) is dealt among all customers of each moment instead. The model is fitted on signals and
    shadows side by side; which of the two stands under the signal's name is a coin's toss, so that no order of columns
    favours either.

    Parameters
    ----------
    refit
        Takes a frame like `frame`, with columns added, and returns a fit that reads all of them, e.g.
        `lambda frame: behaviour.fit_propensity(frame, "bought", split_at=..., rng=1)` without `features=`.
    frame
        What the model is fitted on: ids, time, outcome and features, nothing else.
    replicates
        Refits, at least 1 / (1 - level) - 1, and 3: 19 for a level of 0.95.
    rng
        Seed or Generator.
    signals
        Feature -> signal; a feature that it does not name belongs to its name without the window.
    id, time
        Columns of the customers and of moments that many share (a day, a spell's number), each customer once at each.
        None: one row per customer.
    rows
        Rows explained in each refit, as in `shap_values`.
    level
        One minus the chance that any signal that tells nothing is called above its null.
    explain
        `explain(fit, frame, rows=..., rng=...)` -> Explanation by feature, e.g. `explain_survival` on the logit hazard.

    Returns
    -------
    NullImportance
        The null hypothesis of a signal: among customers asked at the same moments, its values tell nothing of the
        outcome or of other signals. It fails for whatever goes with something that tells, so a signal above its null
        need not tell anything of its own.

    Raises
    ------
    ContractError
        `id` or `time` is missing or null, or a customer has two rows at one moment.
    ValueError
        Too few replicates for the level, a refit that leaves shadows out, more than 5 % of the rows of customers whose
        first and last moment fewer than 10 share.

    Notes
    -----
    If the null holds, signal and shadow are exchangeable in each refit (the deal is a random cycle, as likely as its
    reverse). The signal is the same in all refits while its shadows are dealt anew, so the p value over refits is exact
    only as far as signal and shadow do not compete; the mean over refits, less noisy than a single shadow, errs on
    the safe side. Signals are judged together by the largest shadow of each refit, in units of its signal's standard
    deviation plus the median one of all (as Tusher et al. 2001 keep small deviations from looking large); mean and
    unit are of the other refits, so that shadows are judged as the signals are.

    References
    ----------
    Kursa and Rudnicki (2010), Journal of Statistical Software 36(11), on shadows; Altmann et al. (2010), Bioinformatics
    26, 1340-1347; Westfall and Young (1993), Resampling-Based Multiple Testing, on the largest of all; Tusher,
    Tibshirani and Chu (2001), PNAS 98, 5116-5121.
    """
    check_level(level)
    _check_replicates(replicates, level)
    rng = np.random.default_rng(rng)
    given = to_polars(frame)
    first = refit(given)
    features = [name for name in first.features if name in given.columns]
    if not features:
        raise ContractError(f"null_importance: the fit reads no column of the frame: {', '.join(given.columns)}.")
    of_signal = members(signals_of(features, signals))
    table, moment, cohort, customer = _in_order(given, features, id=id, time=time)
    ranks = {name: _ranked(table.select(names)) for name, names in of_signal.items()}
    deals = {name: _deal(one, moment, cohort, customer, rng) for name, one in ranks.items()}
    sizes = np.empty((2, replicates, len(of_signal)))
    for replicate in range(replicates):
        both, slots = _with_shadows(table, of_signal, deals, customer, rng)
        told = explain(_refitted(refit, both, slots), both, rows=rows, rng=rng)
        size_of = dict(told.by_signal(slots).importance().select("feature", "mean_size").rows())
        sizes[:, replicate] = [[size_of[f"{kind}{name}"] for name in of_signal] for kind in ("", SHADOW)]
    return NullImportance(
        table=_judged(list(of_signal), *sizes, level=level).with_columns(n=pl.lit(told.n, dtype=pl.Int64)),
        draws=_draws(list(of_signal), *sizes),
        together=_together(ranks),
        level=level,
        replicates=replicates,
        n_customers=int(customer.max()) + 1,
        scale=told.scale,
    )


def _check_replicates(replicates: int, level: float) -> None:
    least = max(3, math.ceil(1 / (1 - level) - 1e-9) - 1)
    if not isinstance(replicates, Integral) or replicates < least:
        told = f"replicates is {replicates!r}; at level {level:g} they must be at least {least}, and a whole number"
        raise ValueError(f"{told}: no p value lies below 1 / (replicates + 1).")


def _in_order(
    given: pl.DataFrame, features: list[str], *, id: str, time: str | None
) -> tuple[pl.DataFrame, Ints, Ints, Ints]:
    """The frame in an order that neither its own nor the customers' names decide; codes of moments, cohorts, customers.

    A cohort: one moment of the customers with the same first and last moment.
    """
    keys = [id] if time is None else [id, time]
    check_keys(given, *keys, frame="null_importance")
    if given.select(keys).is_duplicated().any():
        told = "one row per customer" if time is None else f"each customer once at each {time!r}"
        raise ContractError(f"null_importance: the frame must have {told}; some have two. Name another time=.")
    table = given.sort(*keys[1:], *features, id)
    at = pl.lit(0) if time is None else pl.col(time)
    coded = table.with_row_index(_ROW).select(
        moment=at.rank("dense"),
        cohort=pl.struct(at, at.min().over(id).alias("first"), at.max().over(id).alias("last")).rank("dense"),
        customer=pl.col(_ROW).min().over(id).rank("dense") - 1,
    )
    moment, cohort, customer = (coded[name].to_numpy().astype(np.int64) for name in coded.columns)
    if (alone := (np.bincount(cohort)[cohort] < _FEW).mean()) > _ALONE:
        shared = "there are" if time is None else f"share their first and last {time!r}"
        raise ValueError(
            f"{100 * alone:.0f} % of the rows are of customers of whom fewer than {_FEW} {shared}, too few to lend "
            "each other values; pass more customers, or a coarser time=, such as the month or the number of the spell."
        )
    return table, moment, cohort, customer


def _deal(ranks: Floats, moment: Ints, cohort: Ints, customer: Ints, rng: np.random.Generator) -> Ints:
    """Between whom a signal is dealt: its cohorts, or all rows of a moment where the cohort nearly fixes the signal."""
    lent = ranks[_donors(cohort, rng.random(len(ranks))[customer])]
    centred = ranks - ranks.mean(axis=0)
    with np.errstate(invalid="ignore"):
        kept = (centred * lent).sum(axis=0) / (centred * ranks).sum(axis=0)
    return moment if np.nan_to_num(kept).min() > _FIXED else cohort


def _with_shadows(
    table: pl.DataFrame,
    of_signal: dict[str, list[str]],
    deals: dict[str, Ints],
    customer: Ints,
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The frame with all shadows, and which column holds which: column -> signal or its shadow."""
    columns: list[pl.Series] = []
    slots: dict[str, str] = {}
    for signal, names in of_signal.items():
        lent = table.select(names)[_donors(deals[signal], rng.random(len(table))[customer])]
        is_swapped = rng.random() < 0.5
        for name in names:
            own, shadow = (name, f"{SHADOW}{name}")[:: -1 if is_swapped else 1]
            columns += [table[name].alias(own), lent[name].alias(shadow)]
            slots |= {own: signal, shadow: f"{SHADOW}{signal}"}
    return table.with_columns(columns), slots


def _donors(among: Ints, luck: Floats) -> Ints:
    """Whose values each row gets: of the rows it is dealt among the next by luck, the last one's from the first."""
    order = np.lexsort((luck, among))
    donor = np.empty(len(order), np.int64)
    donor[order] = np.roll(order, -1)
    last = np.flatnonzero(np.diff(among[order], append=-1))
    donor[order[last]] = order[np.concatenate([[0], last[:-1] + 1])]
    return donor


def _refitted(
    refit: Callable[[pl.DataFrame], Explainable], both: pl.DataFrame, slots: Mapping[str, str]
) -> Explainable:
    fit = refit(both)
    if left := sorted(slots.keys() - set(fit.features)):
        raise ValueError(
            f"the refit left out {len(left)} columns of its frame, e.g. {left[0]!r}; it must read every column that is "
            "added: leave features= away, and pass a frame of ids, time, outcome and features."
        )
    return fit


def _judged(signals: list[str], own: Floats, shadow: Floats, *, level: float) -> pl.DataFrame:
    """Each signal beside the largest of all shadows; replicates x signals."""
    observed, mean = own.mean(axis=0), shadow.mean(axis=0)
    unit = _unit(shadow)
    others = (np.delete(shadow, place, axis=0) for place in range(len(shadow)))  # as a signal is not in its own unit
    largest = np.sort(
        [((one - rest.mean(axis=0)) / _unit(rest)).max() for one, rest in zip(shadow, others, strict=True)]
    )
    passed = (largest[:, None] >= (observed - mean) / unit - 1e-12).sum(axis=0)
    p_value = (1 + passed) / (1 + len(largest))
    high = mean + unit * largest[math.ceil(level * (len(largest) + 1) - 1e-9) - 1]
    told = pl.DataFrame({"signal": signals, "mean_size": observed, "null_mean": mean, "null_high": high})
    told = told.with_columns(
        p_value=p_value,
        is_above=p_value <= 1 - level + 1e-9,
        share=observed / (observed.sum() or 1.0),
        rank=pl.col("mean_size").rank("average", descending=True),
    ).sort(-pl.col("mean_size"), "signal")
    return told.select("signal", "mean_size", "share", "rank", "null_mean", "null_high", "p_value", "is_above")


def _unit(shadow: Floats) -> Floats:
    deviation = shadow.std(axis=0, ddof=1)
    unit: Floats = deviation + np.median(deviation)
    return np.where(unit > 0, unit, 1.0)


def _draws(signals: list[str], own: Floats, shadow: Floats) -> pl.DataFrame:
    places = np.repeat(np.arange(len(own)), len(signals))
    told = {"replicate": places, "signal": signals * len(own), "mean_size": own.ravel(), "shadow_size": shadow.ravel()}
    return pl.DataFrame(told)


def _together(ranked: Mapping[str, Floats]) -> pl.DataFrame:
    """How far two signals go together: the largest absolute rank correlation of a feature of each."""
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.nan_to_num(np.abs(np.corrcoef(np.hstack(list(ranked.values())), rowvar=False)))
    ends = np.cumsum([0, *(one.shape[1] for one in ranked.values())])
    spans = {signal: slice(*ends[k : k + 2]) for k, signal in enumerate(ranked)}
    pairs = [(a, b, float(size[spans[a], spans[b]].max())) for a in spans for b in spans if a != b]
    told = pl.DataFrame(pairs, schema=["signal", "other", "correlation"], orient="row")
    return told.sort("signal", -pl.col("correlation"), "other")


def _ranked(features: pl.DataFrame) -> Floats:
    """Ranks of numbers, missing ones in the middle; a column per category."""
    codes = [name for name, kind in features.schema.items() if not (kind.is_numeric() or kind == pl.Boolean)]
    numbers = features.with_columns(pl.col(codes).cast(pl.String)).to_dummies(codes) if codes else features
    ranks = numbers.select(pl.all().cast(pl.Float64).fill_nan(None).rank())
    return np.asarray(ranks.select(pl.all().fill_null(strategy="mean").fill_null(0.0)).to_numpy(), dtype=np.float64)
