"""How many have not bought again by each day: the Kaplan-Meier curve, from spells or from counts.

In: Spells. Out: `kaplan_meier` -> `SurvivalCurve`. `risk_tables` counts who is at risk; restricted means use it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.check import check_level, choose
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.spells import at_the_door

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalCurve:
    """Share of customers who have not bought again, day by day. Draw it with `figures.survival_curve`.

    `table`: group, duration_days, n_at_risk, n_observed, n_censored, survival, standard_error, survival_low,
    survival_high. `estimand` says of what: customers (one index spell each) or spells; with late entries only, of those
    who had waited that long.
    """

    table: pl.DataFrame
    level: float
    estimand: str
    n: int

    def at(self, days: float | Sequence[float]) -> pl.DataFrame:
        """The curve on given days: group, duration_days, n_at_risk, survival, standard_error and the two bounds.

        Null beyond a group's follow-up: what was not observed is not told. `n_at_risk`: on that day, or on the next one
        on which a spell ended.
        """
        if isinstance(days, str):
            raise TypeError(f"days is {days!r}; give a number of days or a list of them.")
        wanted = np.atleast_1d(np.asarray(days, dtype=float))
        if not np.isfinite(wanted).all() or (wanted < 0).any():
            raise ValueError(f"days is {days}; days are >= 0, counted from the order.")
        return pl.concat(_at(part, wanted) for part in _parts(self.table))

    def median(self) -> pl.DataFrame:
        """By when half have bought again: group, median_days, median_low, median_high (null: never reached).

        The interval inverts the pointwise bounds (Brookmeyer and Crowley 1982, Biometrics 38, 29-41).
        """
        columns = {"median_days": "survival", "median_low": "survival_low", "median_high": "survival_high"}
        first = [
            pl.col("duration_days").filter(pl.col(source) <= 0.5 + 1e-12).min().alias(name)
            for name, source in columns.items()
        ]
        return self.table.group_by("group", maintain_order=True).agg(first)

    def __repr__(self) -> str:
        return f"SurvivalCurve of {self.n:,} {self.estimand}\n{self.table}"

    def _repr_html_(self) -> str:
        end = self.table["duration_days"].to_numpy().max()
        days = [float(day) for day in (7, 30, 60, 90, 180, 365) if day <= end]
        note = f"share of {self.estimand} not yet back, {100 * self.level:g} % interval, n = {self.n:,}"
        shown = self.at(days) if days else self.table.tail(20)
        return html_table(shown.drop("standard_error"), title="Survival curve", note=note)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskTable:
    """Counts of one group on the grid of its durations, day 0 first; `place` and `entered` put the spells on it."""

    group: str
    days: Floats
    at_risk: Ints
    observed: Ints
    censored: Ints
    spells: pl.DataFrame
    place: Ints  # index of the spell's duration on the grid
    entered: Ints  # index of the first grid day on which it is at risk

    @property
    def watched_from(self) -> float:
        """The first day on which somebody is at risk: 0 unless every spell enters late."""
        return float(self.spells["entry_days"].fill_null(0).min()) if len(self.entered) else 0.0  # type: ignore[arg-type]

    @property
    def survival(self) -> Floats:
        """The product-limit estimate on the grid (Kaplan and Meier 1958, JASA 53, 457-481)."""
        return np.cumprod(1 - self.observed / np.maximum(self.at_risk, 1), dtype=np.float64)

    @property
    def greenwood(self) -> Floats:
        """d / (n (n - d)) per day: the increments of the variance of log S (Greenwood 1926); 0 where S falls to 0."""
        left = self.at_risk * (self.at_risk - self.observed).astype(float)
        return np.divide(self.observed, left, out=np.zeros(len(left)), where=left > 0)


def kaplan_meier(
    spells: Any,
    *,
    by: str | None = None,
    level: float = 0.95,
    interval: str = "log-log",
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> SurvivalCurve:
    """What share of customers has not bought again by each day?

    Parameters
    ----------
    spells
        Spells, one per customer: `id`, `duration` (days, > 0), `repurchased` (bool; False = censored) and, where
        present, `entry` (days already waited when the customer came under observation: left truncation) and `weight`
        (a frequency: the row stands for that many customers; then `id` may be missing). Customers censored on a day
        count as at risk on it.
    by
        Column to split by; each group gets its own curve.
    level
        Coverage of the pointwise interval.
    interval
        "log-log" (stays within 0 and 1, best in small groups) or "plain".
    cluster
        Column (usually the id) whose spells depend on each other. The answer is then per spell, its errors robust.

    Returns
    -------
    SurvivalCurve
        One row per group and observed duration, from day 0. Before the first repurchase the interval has no width.
        Where the last customers at risk came back, survival is 0, its error null and the upper bound that of the day
        before times the exact bound for none of so many.

    Raises
    ------
    ContractError
        Columns missing or mistyped, spells that break the contract, a customer with several spells and no `cluster`, no
        repurchase at all, or a risk set that runs empty early under left truncation.

    References
    ----------
    Kaplan and Meier (1958), JASA 53, 457-481; Greenwood (1926); interval: Kalbfleisch and Prentice (2002), section 1.4.
    Robust error: the infinitesimal jackknife summed within clusters; equal to Greenwood's for one spell per cluster and
    no late entries.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": [1, 2, 3, 4], "duration_days": [10, 20, 20, 30],
    ...                        "repurchased": [True, True, False, False]})
    >>> kaplan_meier(spells).at([10, 20]).select("duration_days", "survival").rows()
    [(10.0, 0.75), (20.0, 0.5)]
    """
    check_level(level)
    choose("interval", interval, ("log-log", "plain"))
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    table = at_the_door(spells, by=by, cluster=cluster, names=names)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    risks = list(risk_tables(table))
    parts = [_curve(risk, z=z, interval=interval) for risk in risks]
    since = min(risk.watched_from for risk in risks)
    waited = f" who had waited {since:g} days" if since > 0 else ""
    estimand = ("customers" if cluster is None else "spells") + waited
    n = int(table["weight"].sum()) if "weight" in table.columns else len(table)
    return SurvivalCurve(table=pl.concat(parts), level=level, estimand=estimand, n=n)


def spell_names(
    *, id: str, duration: str, repurchased: str, entry: str = "entry_days", weight: str = "weight"
) -> dict[str, str]:
    """{the caller's column: the contract's}."""
    return {
        id: "customer_id",
        duration: "duration_days",
        repurchased: "repurchased",
        entry: "entry_days",
        weight: "weight",
    }


def risk_tables(table: pl.DataFrame) -> Iterator[RiskTable]:
    """One risk table per group, groups in sorted order; one named "all" where the spells are not split."""
    if "group" not in table.columns:
        yield _risk_table("all", table)
        return
    kept = pl.exclude("customer_id", "group")  # a narrow filter: text costs most
    for group in table["group"].unique().sort():
        yield _risk_table(group, table.select(kept.filter(pl.col("group") == group)))


def _risk_table(group: str, spells: pl.DataFrame) -> RiskTable:
    days, place = _grid(spells["duration_days"].to_numpy())
    weight = spells["weight"].to_numpy() if "weight" in spells.columns else None
    both = np.bincount(2 * place + spells["repurchased"].to_numpy(), weight, 2 * len(days)).reshape(-1, 2)
    entered = np.zeros(0, dtype=np.int64)
    arrivals = np.zeros(len(days))
    arrivals[0] = both.sum()
    if "entry_days" in spells.columns:  # at risk on the days after the entry: (entry, duration]
        entry = spells["entry_days"].fill_null(0).to_numpy()
        entered = np.where(entry > 0, np.searchsorted(days, entry, side="right"), 0)
        arrivals = np.bincount(entered, weight, len(days)).astype(float)
    censored, observed = np.rint(both.T).astype(np.int64)
    gone = np.concatenate([[0], np.cumsum(observed + censored)[:-1]])
    risk = RiskTable(
        group=group,
        days=days,
        at_risk=np.rint(np.cumsum(arrivals)).astype(np.int64) - gone,
        observed=observed,
        censored=censored,
        spells=spells,
        place=place,
        entered=entered,
    )
    _refuse_early_end(risk)
    return risk


def _refuse_early_end(risk: RiskTable) -> None:
    emptied = (risk.at_risk == risk.observed) & (risk.observed > 0)
    emptied[-1] = False
    if emptied.any():
        raise ContractError(
            f"spells: in group {risk.group!r} everybody at risk came back on day {risk.days[emptied][0]:g}, while "
            "others only entered later; the curve would stay at 0. Leave out the early days: keep spells that last "
            "beyond that day and raise their entry_days to it."
        )


def _grid(durations: Floats) -> tuple[Floats, Ints]:
    """The distinct durations after a 0, and each spell's place among them. Whole days are binned, never hashed."""
    top = durations.max()
    if top < 100_000:
        place = durations.astype(np.int64)
        if (place == durations).all():
            is_there = np.bincount(place, minlength=int(top) + 1) > 0
            is_there[0] = True
            return np.flatnonzero(is_there).astype(float), (np.cumsum(is_there) - 1)[place]
    days, place = np.unique(durations, return_inverse=True)
    return np.concatenate([[0.0], days]), place + 1


def _curve(risk: RiskTable, *, z: float, interval: str) -> pl.DataFrame:
    survival = risk.survival
    error_log = np.sqrt(_variance_log(risk))  # of log S
    low, high = _interval(survival, error_log, z=z, interval=interval)
    is_over = survival == 0
    if is_over[-1] and len(high) > 1:
        high[-1] = high[-2] * _zero_of(risk, z)
    table = pl.DataFrame(
        {
            "duration_days": risk.days,
            "n_at_risk": risk.at_risk,
            "n_observed": risk.observed,
            "n_censored": risk.censored,
            "survival": survival,
            "standard_error": np.where(is_over, np.nan, survival * error_log),
            "survival_low": np.where(is_over, 0.0, low),
            "survival_high": high,
        }
    )
    table = table.with_columns(pl.col("standard_error").fill_nan(None))
    return table.select(pl.lit(risk.group).alias("group"), pl.all())


def _zero_of(risk: RiskTable, z: float) -> float:
    """Upper bound of the share left when none of the n at risk is (Clopper and Pearson 1934): Greenwood is mute."""
    if "cluster" in risk.spells.columns:  # n dependent spells are worth less than n
        return 1.0
    return float(1 - (1 - NormalDist().cdf(z)) ** (1 / risk.at_risk[-1]))


def _interval(survival: Floats, error_log: Floats, *, z: float, interval: str) -> tuple[Floats, Floats]:
    if interval == "plain":
        reach = z * survival * error_log
        return np.clip(survival - reach, 0, 1), np.clip(survival + reach, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_survival = np.log(survival)
        reach = z * error_log / log_survival  # negative: S < 1
        low = np.exp(-np.exp(np.log(-log_survival) - reach))
        high = np.exp(-np.exp(np.log(-log_survival) + reach))
    certain = survival == 1
    return np.where(certain, 1.0, low), np.where(certain, 1.0, high)


def _variance_log(risk: RiskTable) -> Floats:
    """Variance of log S: Greenwood's, or with a cluster column the infinitesimal jackknife summed within clusters.

    With G the cumulated Greenwood increments, a spell at risk since day e moves log S(t) by G(t) - G(e-) per unit of
    weight; from its end on the value stands, less 1/(n-d) if it ended in a repurchase. So a cluster moves it by a + b
    G(t), where a and b change only on the days its spells begin and end: one pass over the spells, whatever the number
    of days.
    """
    total = np.cumsum(risk.greenwood)
    if "cluster" not in risk.spells.columns:
        return total
    from shoptoolkit.survival.kernels import squared_sums

    cluster = risk.spells["cluster"].rank("dense").to_numpy().astype(np.int64)
    seen = risk.spells["repurchased"].to_numpy()
    left = (risk.at_risk - risk.observed).astype(float)
    jump = np.divide(1.0, left, out=np.zeros(len(left)), where=left > 0)
    entered = risk.entered if len(risk.entered) else np.zeros(len(cluster), dtype=np.int64)
    before = np.concatenate([[0.0], total])[entered]
    day, slope = np.concatenate([entered, risk.place]), np.repeat([1, -1], len(cluster))
    level = np.concatenate([-before, total[risk.place] - np.where(seen, jump[risk.place], 0.0)])
    order = np.lexsort((day, np.tile(cluster, 2)))
    q2, q1, q0 = squared_sums(np.tile(cluster, 2)[order], day[order], slope[order], level[order], len(total))
    return np.maximum(q2 * total**2 + 2 * q1 * total + q0, 0.0)


def _parts(table: pl.DataFrame) -> list[pl.DataFrame]:
    return table.partition_by("group", maintain_order=True)


def _at(part: pl.DataFrame, days: Floats) -> pl.DataFrame:
    """A right-continuous step function read at given days; null beyond the last duration unless it has reached 0."""
    grid = part["duration_days"].to_numpy()
    place = np.searchsorted(grid, days, side="right") - 1
    beyond = (days > grid[-1]) & (part["survival"][-1] > 0)
    after = pl.Series(place < len(grid) - 1) | pl.Series(np.isin(days, grid))
    told = part.select("survival", "standard_error", "survival_low", "survival_high")[place]
    at_risk = part["n_at_risk"][np.minimum(np.searchsorted(grid, days, side="left"), len(grid) - 1)]
    blank = pl.when(pl.Series(~beyond))
    return pl.select(
        pl.repeat(part["group"][0], len(days)).alias("group"),
        pl.lit(pl.Series(days)).alias("duration_days"),
        pl.when(after).then(pl.lit(at_risk)).otherwise(0).alias("n_at_risk"),
        *[blank.then(pl.lit(told[name])).alias(name) for name in told.columns],
    )
