"""Do predicted shares come true? Calibration on one day, and of whole curves (D-calibration).

In: Spells and predictions, one row per customer and day. Out: `calibration` -> `Calibration`, `d_calibration` ->
`DCalibration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_number, check_span
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.accuracy.censoring import Followed, follow
from shoptoolkit.survival.accuracy.scores import read_predicted, survival_at
from shoptoolkit.survival.curves import kaplan_meier
from shoptoolkit.survival.risk import spell_names


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Predicted against observed survival on one day, by groups of the prediction. Draw it with `figures.calibration`.

    `table`: group ("01": least predicted survival), n, predicted (mean), observed (Kaplan-Meier; null where the group's
    follow-up ends before), low, high. `overall`: how far observed lies above predicted for all, and the slope of what
    came true on the prediction (1: right; below 1: predictions too extreme).
    """

    table: pl.DataFrame
    overall: EstimateTable
    horizon_days: float
    level: float
    n: int

    def __repr__(self) -> str:
        return f"Calibration on day {self.horizon_days:g} of {self.n:,} spells\n{self.overall}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"share not yet back on day {self.horizon_days:g}, {100 * self.level:g} % interval, n = {self.n:,}"
        return html_table(self.table, title="Calibration", note=note)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DCalibration:
    """How customers' predicted survival at their own return is spread: evenly, if the curves are right.

    `table`: survival_low, survival_high (a bin), share (of customers), expected, low, high. `statistic` and `p_value`:
    Pearson's chi-square of the shares. It takes the spread mass of censored customers for counts, so it rejects too
    seldom if many are censored; `sharp_p_value` takes the variance that the shares have. No figure: the table is short.
    """

    table: pl.DataFrame
    statistic: float
    p_value: float
    sharp_p_value: float
    level: float
    n: int

    def __repr__(self) -> str:
        told = f"chi-square {self.statistic:.2f}, p {self.p_value:.3f}, sharp p {self.sharp_p_value:.3f}"
        return f"DCalibration of {self.n:,} spells: {told}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"n = {self.n:,}, p = {self.p_value:.3f} (sharp: {self.sharp_p_value:.3f}); "
        note += f"{100 * self.level:g} % intervals"
        return html_table(self.table, title="Predicted survival at the own return", note=note)


def calibration(
    spells: Any,
    predicted: Any,
    *,
    horizon_days: float,
    groups: int = 10,
    level: float = 0.95,
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> Calibration:
    """Of customers given a 30 % chance to stay away until a day, did 30 % stay away?

    Parameters
    ----------
    spells, predicted, level, cluster, id, duration, repurchased, entry, weight
        As in `brier`.
    horizon_days
        The day of the predictions.
    groups
        About as many groups of equal size, by predicted survival; ties stay together.

    Returns
    -------
    Calibration
        `table` by group; the interval is log-log, and where nobody of a group came back Clopper and Pearson's.
        `overall` is refused beyond the follow-up, and the slope where all predictions are the same.

    References
    ----------
    Groups: Crowson, Atkinson and Therneau (2016), Statistical Methods in Medical Research 25, 1692-1706. Slope: least
    squares on the scale of shares, weighted by 1/G as the Brier score is.

    Examples
    --------
    >>> import polars as pl
    >>> days = {"duration_days": range(1, 13), "repurchased": [True, False] * 6}
    >>> spells = pl.DataFrame({"customer_id": range(12), **days})
    >>> half = spells.select("customer_id", duration_days=6.0, survival=0.5)
    >>> calibration(spells, half, horizon_days=6).table.select("n", "predicted", pl.col("observed").round(3)).rows()
    [(12, 0.5, 0.722)]
    """
    check_number("groups", groups, least=1, whole=True)
    check_span("horizon_days", horizon_days)
    wanted = np.array([float(horizon_days)])
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    sample = follow(spells, train=None, ties="exact", level=level, cluster=cluster, names=names)
    surviving = survival_at(predicted, sample.table, wanted, id)[0]
    edges = np.unique(
        np.quantile(surviving, np.arange(1, groups) / groups, weights=sample.weight, method="inverted_cdf")
    )
    group = pl.Series("group", np.searchsorted(edges, surviving) + 1).cast(pl.String).str.zfill(2)
    grouped = sample.table.with_columns(group, predicted=surviving, weight=sample.weight)
    predicted_by = grouped.group_by("group").agg(
        n=pl.col("weight").sum().cast(pl.Int64),
        predicted=(pl.col("predicted") * pl.col("weight")).sum() / pl.col("weight").sum(),
    )
    curve = kaplan_meier(
        sample.table.with_columns(group), by="group", level=level, cluster=cluster and "cluster", entry="entry_days"
    )
    low = (
        pl.when(pl.col("survival") == 1).then((0.5 - level / 2) ** (1 / pl.col("n_at_risk"))).otherwise("survival_low")
    )
    told = curve.at(wanted[0]).select("group", observed="survival", low=low, high="survival_high")
    return Calibration(
        table=predicted_by.join(told, on="group").sort("group"),
        overall=came_true(sample, wanted[0], surviving, level),
        horizon_days=float(wanted[0]),
        level=level,
        n=sample.n,
    )


def came_true(sample: Followed, day: float, surviving: Floats, level: float) -> EstimateTable:
    """How far what came true lies above predicted survival on a day, and its slope on the prediction."""
    common: dict[str, Any] = {"question": "Do predicted shares come true?", "method": "weighted by 1/G", "group": "all"}
    common |= {"horizon_days": day, "n": sample.n, "level": level}
    gap = common | {"metric": "observed_less_predicted", "estimand": "mean of what came true less predicted survival"}
    slope = common | {"metric": "calibration_slope", "estimand": "slope of what came true on predicted survival"}
    back, away = sample.worth(day), sample.beyond(day).astype(float)
    reason = f"follow-up ends before; the largest usable horizon is day {sample.end:g}." if day > sample.end else ""
    if not reason and (sample.n < 10 or not back.any() or not away.any()):
        few = f"{sample.weight @ (back > 0):g} known to be back and {sample.weight @ away:g} to stay away longer"
        reason = f"{few}; an error needs both, and at least 10 customers."
    if reason:
        return EstimateTable.from_rows(refused_row(reason=reason, **one) for one in (gap, slope))
    away /= sample.share[sample.at(day)]
    worth, n = sample.weight * (back + away), sample.weight.sum()

    def row(value: float, slope_of: Floats, null: float, one: dict[str, Any]) -> dict[str, Any]:
        """`slope_of`: derivative by 1/G of each spell."""
        mass = sample.by_log_g(sample.weight * back * slope_of, day, (sample.weight * away) @ slope_of)
        influence = (back + away) * slope_of
        return estimate_row(estimate=value, standard_error=sample.error(influence, mass), null=null, **one)

    came_true = sample.beyond(day)
    off = came_true - surviving
    value = worth @ off / worth.sum()
    rows = [row(value, (off - value) / worth.sum(), 0.0, gap)]
    centred = surviving - worth @ surviving / worth.sum()
    squares = worth @ centred**2
    if not squares > 1e-12 * n:
        reason = "all predictions are the same; there is no slope."
        return EstimateTable.from_rows([*rows, refused_row(reason=reason, **slope)])
    value = worth @ (centred * came_true) / squares
    left = came_true - worth @ came_true / worth.sum() - value * centred
    return EstimateTable.from_rows([*rows, row(value, centred * left / squares, 1.0, slope)])


def d_calibration(
    spells: Any,
    predicted: Any,
    *,
    bins: int = 10,
    level: float = 0.95,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> DCalibration:
    """Are predicted curves right as a whole? Then survival at the own return is spread evenly between 0 and 1.

    Parameters
    ----------
    spells, level, id, duration, repurchased, entry, weight
        As in `brier`, one spell per customer.
    predicted
        Predictions made without a look at these spells (else p-values are too large): `id`, duration_days, survival, on
        days close enough to draw a line between; day 0 counts as 1. Who lasts beyond the last predicted day counts as
        censored on it.
    bins
        Number of bins of equal width.

    Returns
    -------
    DCalibration
        A censored customer's mass is spread evenly below the predicted survival at the censoring. If all durations are
        whole days, who came back on a day is spread over the survival lost on it.

    Notes
    -----
    Calibrated curves need not tell customers apart: the Kaplan-Meier curve given to everybody is D-calibrated.

    References
    ----------
    Haider, Hoehn, Davis and Greiner (2020), JMLR 21(85), 1-63. Whole days: the non-randomised PIT of Czado, Gneiting
    and Held (2009), Biometrics 65, 1254-1261.

    Examples
    --------
    >>> import polars as pl
    >>> days = {"duration_days": range(1, 13), "repurchased": [True, False] * 6}
    >>> spells = pl.DataFrame({"customer_id": range(12), **days})
    >>> curve = pl.DataFrame({"duration_days": [6.0, 12.0], "survival": [0.7, 0.4]})
    >>> predicted = spells.select("customer_id").join(curve, how="cross")
    >>> d_calibration(spells, predicted, bins=2).table["share"].round(3).to_list()
    [0.477, 0.523]
    """
    from scipy.stats import chi2

    check_number("bins", bins, least=2, whole=True)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    sample = follow(spells, train=None, ties="exact", level=level, cluster=None, names=names)
    curves = read_predicted(predicted, sample.table, id).filter(pl.col("duration_days") > 0)
    masses = _masses(sample, curves.sort("row", "duration_days"), bins)
    n = float(sample.weight.sum())
    shares = sample.weight @ masses / n
    centred = masses - shares
    covariance = (centred.T * sample.weight) @ centred / n**2
    gap = shares - 1 / bins
    inverse = np.linalg.pinv(covariance, rcond=1e-9, hermitian=True)
    reach = z_of(level) * np.sqrt(np.diag(covariance))
    statistic = n * bins * float(gap @ gap)
    edges = np.arange(bins + 1) / bins
    return DCalibration(
        table=pl.DataFrame(
            {
                "survival_low": edges[:-1],
                "survival_high": edges[1:],
                "share": shares,
                "expected": 1 / bins,
                "low": np.maximum(shares - reach, 0),
                "high": np.minimum(shares + reach, 1),
            }
        ),
        statistic=statistic,
        p_value=float(chi2.sf(statistic, bins - 1)),
        sharp_p_value=float(chi2.sf(gap @ inverse @ gap, bins - 1)),
        level=level,
        n=sample.n,
    )


def _masses(sample: Followed, curves: pl.DataFrame, bins: int) -> Floats:
    """Each customer's mass in the bins: even between two survivals, or all in the bin of the one."""
    row, day, surviving = (curves[name].to_numpy() for name in ("row", "duration_days", "survival"))
    told = np.bincount(row, minlength=len(sample.table))
    if (told == 0).any():
        raise ContractError(f"predicted: {(told == 0).sum():,} of {len(told):,} spells have no survival after day 0.")
    if twice := int(((np.diff(row) == 0) & (np.diff(day) == 0)).sum()):
        raise ContractError(f"predicted: {twice:,} rows repeat a spell and day; one prediction each is needed.")
    end = np.cumsum(told)

    def survival(days: Floats) -> Floats:
        """On a line between the days predicted, from 1 on day 0."""
        right = end - told + np.bincount(row, day <= days[row], len(told)).astype(np.int64)
        at = np.minimum(right, end - 1)
        since, above = (
            np.where(at == end - told, first, part[at - 1]) for first, part in ((0.0, day), (1.0, surviving))
        )
        part = np.clip((days - since) / (day[at] - since), 0, 1)
        return above + part * (surviving[at] - above)

    last = day[end - 1]
    is_back = sample.seen & (sample.duration <= last)
    is_whole = (sample.duration == np.rint(sample.duration)).all()
    high = survival(sample.duration - (is_back & is_whole))
    low = np.where(is_back, np.minimum(survival(sample.duration), high), 0.0)
    edges = np.arange(1, bins) / bins
    width = (high - low)[:, None]
    below = np.where(width > 0, (edges - low[:, None]) / np.where(width > 0, width, 1), edges >= low[:, None])
    return np.diff(np.clip(below, 0, 1), axis=1, prepend=0, append=1)
