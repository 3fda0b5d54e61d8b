"""What share has ended in each way by each day, where one way rules out the others: the next order, a refund, a leave.

In: Spells with `cause`. Out: `aalen_johansen` -> `CumulativeIncidence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.curves import milestones, read_at
from shoptoolkit.survival.risk import RiskTable, refuse_early_end, risk_tables, spell_names
from shoptoolkit.survival.spells import at_the_door


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CumulativeIncidence:
    """Share of customers who ended by each cause, day by day. Draw it with `figures.cumulative_incidence`.

    `table`: group, cause, duration_days, n_at_risk, n_observed (by this cause), incidence, standard_error,
    incidence_low, incidence_high.
    """

    table: pl.DataFrame
    level: float
    estimand: str
    n: int

    def at(self, days: float | Sequence[float]) -> pl.DataFrame:
        """The incidences on given days; null beyond a group's follow-up."""
        return read_at(self.table, days, ["incidence", "standard_error", "incidence_low", "incidence_high"])

    def __repr__(self) -> str:
        return f"CumulativeIncidence of {self.n:,} {self.estimand}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"share of {self.estimand} ended by each cause, {100 * self.level:g} % interval, n = {self.n:,}"
        shown = self.at(milestones(self.table)).drop("standard_error")
        return html_table(shown, title="Cumulative incidence", note=note)


def aalen_johansen(
    spells: Any,
    *,
    by: str | None = None,
    level: float = 0.95,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    cause: str = "cause",
    entry: str = "entry_days",
    weight: str = "weight",
) -> CumulativeIncidence:
    """What share of customers has ended by each cause (bought again, asked the money back, left) by each day?

    One minus Kaplan-Meier of one cause, with the others as censored, answers what would be if the others did not exist;
    this answers what will be seen.

    Parameters
    ----------
    spells
        Spells as in `kaplan_meier`, with the column `cause`: why the spell ended, null = censored. `repurchased` may be
        true for every cause or for the purchases only; it must not contradict `cause`.
    by, level, id, duration, repurchased, entry, weight
        As in `kaplan_meier`.

    Returns
    -------
    CumulativeIncidence
        One row per group, cause and observed duration, from day 0. The incidences of all causes and the share not yet
        ended add up to 1. Before its first end a cause has the incidence 0 and an interval without width.

    Raises
    ------
    ContractError
        As `kaplan_meier`; no `cause`, or one that contradicts `repurchased`.

    References
    ----------
    Aalen and Johansen (1978), Scandinavian Journal of Statistics 5, 141-150. Several ends on one day are taken as such.
    Error: the delta method with multinomial days (Dinse and Larson 1986, Biometrika 73, 379-386; Greenwood's for one
    cause); log-log interval (Kalbfleisch and Prentice 2002, section 8.2.1).

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(5), "duration_days": [3, 5, 5, 8, 9],
    ...     "repurchased": [True, True, False, False, True], "cause": ["order", "order", "refund", None, "order"]})
    >>> aalen_johansen(spells).at(6).select("cause", "incidence").rows()
    [('order', 0.4), ('refund', 0.2)]
    """
    check_level(level)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    table = at_the_door(spells, by=by, cluster=None, names=names | {cause: "cause"})
    if "cause" not in table.columns:
        raise ContractError(f"spells: {cause!r} is missing; it says why a spell ended, null where it was censored.")
    table = table.with_columns(repurchased=_ended(table))
    risks = list(risk_tables(table))
    refuse_early_end(risks)
    causes = table["cause"].drop_nulls().unique().sort()
    parts = [_incidence(risk, one, level) for risk in risks for one in causes]
    n = int(table["weight"].sum()) if "weight" in table.columns else len(table)
    return CumulativeIncidence(table=pl.concat(parts), level=level, estimand="customers", n=n)


def _ended(table: pl.DataFrame) -> pl.Series:
    """True where a cause is given, if each cause (and none) goes with one value of `repurchased`."""
    seen = table.group_by("cause").agg(
        pl.col("repurchased").any().alias("any"), pl.col("repurchased").all().alias("all")
    )
    wrong = seen.filter((pl.col("any") != pl.col("all")) | (pl.col("cause").is_null() & pl.col("any")))
    if len(wrong):
        told = wrong["cause"].sort()[0]
        raise ContractError(
            f"spells: cause {told!r} goes with repurchased true on some rows, and should not. Null means censored, so "
            "repurchased is false there; elsewhere it is the same on all rows of a cause."
        )
    return table["cause"].is_not_null()


def _incidence(risk: RiskTable, cause: str, level: float) -> pl.DataFrame:
    """Sum of S(t-) d_j / n, and its variance by Dinse and Larson, expanded to one pass over the days."""
    own = _ends_of(risk, cause)
    n = np.maximum(risk.at_risk, 1).astype(float)
    before = np.concatenate([[1.0], risk.survival[:-1]])
    share = np.minimum(np.cumsum(before * own / n), 1.0)
    of_survival, of_cause = risk.greenwood, before * own / n**2
    variance = (
        share**2 * np.cumsum(of_survival)
        - 2 * share * np.cumsum(share * of_survival + of_cause)
        + np.cumsum(share**2 * of_survival + 2 * share * of_cause + before * of_cause * (n - own) / n)
    )
    error = np.sqrt(np.maximum(variance, 0.0))
    low, high = _log_log(share, error, z_of(level))
    columns = {"duration_days": risk.days, "n_at_risk": risk.at_risk, "n_observed": own, "incidence": share}
    error[share > 1 - 1e-12] = np.nan  # all ended by this cause, as where Kaplan-Meier falls to 0
    table = pl.DataFrame({**columns, "standard_error": error, "incidence_low": low, "incidence_high": high})
    return table.select(pl.lit(risk.group).alias("group"), pl.lit(cause).alias("cause"), pl.all().fill_nan(None))


def _ends_of(risk: RiskTable, cause: str) -> Ints:
    is_own = (risk.spells["cause"] == cause).fill_null(False).to_numpy()
    weight = risk.spells["weight"].to_numpy()[is_own] if "weight" in risk.spells.columns else None
    return np.rint(np.bincount(risk.place[is_own], weight, len(risk.days))).astype(np.int64)


def _log_log(share: Floats, error: Floats, z: float) -> tuple[Floats, Floats]:
    """Bounds by the normal law of log(-log share); none where nothing was seen, no lower one where all ended."""
    inside = (share > 0) & (share < 1 - 1e-12)
    log = np.log(np.where(inside, share, 0.5))
    factor = np.exp(-z * error / (np.where(inside, share, 0.5) * log))
    low, high = np.exp(log * factor), np.exp(log / factor)
    return np.where(inside, low, np.where(share > 0, np.nan, 0.0)), np.where(inside, high, share)
