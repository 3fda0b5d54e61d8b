"""What do we know so far? An interval that may be looked at every day, and still holds (rule R14).

In: Outcomes with the moment at which each customer's window was over. Out: `lift_over_time` -> `OverTime`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, check_number, listed
from shoptoolkit.incrementality.answers import too_skew
from shoptoolkit.incrementality.door import COVARIATE, ESTIMANDS, MEASURES, QUESTION, Arms, arms
from shoptoolkit.incrementality.lift import unfair
from shoptoolkit.incrementality.means import SKEW, skewness
from shoptoolkit.incrementality.split import whole_clusters

_LOOKS = 200  # at most, evenly over the customers: more would draw the same line
_LEAST = 50  # customers of an arm whose outcome is not the commonest one, before anything is told
_NUMBERS = ("estimate", "standard_error", "low", "high", "fixed_low", "fixed_high")
_COLUMNS: dict[str, Any] = {"group": pl.String, "matured_at": None, "n": pl.Int64} | dict.fromkeys(_NUMBERS, pl.Float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OverTime:
    """How an effect showed as customers matured.

    `table`, a row per contrast and look: group (the contrast), matured_at (of the last customer counted), n, estimate,
    standard_error, low and high (they hold at all looks together), fixed_low and fixed_high (what an interval made for
    one look would say: they do not hold where one stops when it looks good). `estimates`: the last look, as Estimates.
    Draw it with `figures.lift_over_time`.
    """

    table: pl.DataFrame
    estimates: EstimateTable
    level: float
    metric: str

    def __repr__(self) -> str:
        return repr(self.estimates)

    def _repr_html_(self) -> str:
        return self.estimates._repr_html_()


def lift_over_time(
    outcomes: Any,
    *,
    control: str,
    metric: str,
    planned_n: int,
    covariates: str | Sequence[str] = (),
    matured: str = "matured_at",
    level: float = 0.95,
) -> OverTime:
    """What did the ad add, as told at each look, so that one may look at any time and stop when one has seen enough?

    Parameters
    ----------
    outcomes
        Outcomes over one window for all (see `incrementality.outcomes`); customers are counted in the order in which
        their windows were over.
    control
        The arm that all others are compared with.
    metric
        A column of numbers or flags.
    planned_n
        Customers planned for all arms. The interval is tightest there. Fix it before the first look: to tune it anew at
        every look breaks what it promises.
    covariates
        Columns pre_...: means are compared at equal covariates, by a regression in each arm on who has matured.
    matured
        The column with the moment (or a number) by which customers mature. Those of one moment are looked at together.
    level
        With this probability the interval holds the effect at all looks.

    Returns
    -------
    OverTime
        At most 200 looks, evenly over the customers, from where each arm has 50 customers whose outcome is not the
        commonest (buyers, for orders and revenue). Each contrast's sequence holds on its own.

    Notes
    -----
    The asymptotic confidence sequence of Waudby-Smith et al.: with s the standard error, r = n / planned_n, the bounds
    are s sqrt(2 (1 + 1 / (r c)) log(sqrt(1 + r c) / (1 - level))) to either side, Robbins' normal mixture, and c =
    8.2 at level .95 makes it tightest at r = 1, 1.5 times as wide as an interval for one look. The regression's slopes
    owe to the same customers, which moves the estimate by terms of order log log n / n only. Means and slopes are
    those of customers to come, so the standard error includes how covariates happen to fall. The promise is one for
    many customers: with 1 % buyers, and one in ten without the ad, sequences of 95 % missed in 2 % of 300 worlds (a
    fixed interval in 10 %). With values of a longer tail (logarithms of deviation 1.5) and so few without the ad they
    missed in 8 to 12 % of worlds, so looks at which the difference is visibly skew (above .5, as in `lift`) are left
    out, and all is refused where the last one is. Then compare orders, or values cut at a bound.

    Raises
    ------
    ContractError
        Outcomes break their contract, or `matured` is missing or null.
    ValueError
        `control` is no arm, or a number is out of its range.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Ann. Statist. 52, 2613-2640. Robbins (1970), Ann. Math.
    Statist. 41, 1397-1409.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> frame = pl.DataFrame({"customer_id": range(4_000), "arm": ["ad", "none"] * 2_000, "day": range(4_000),
    ...                       "orders": rng.poisson([0.6, 0.4] * 2_000)})
    >>> found = lift_over_time(frame, control="none", metric="orders", planned_n=5_000, matured="day")
    >>> found.estimates.table.select(pl.col("estimate", "low", "high").round(2)).row(0)
    (0.19, 0.12, 0.26)
    """
    check_level(level)
    check_number("planned_n", planned_n, least=1, whole=True)
    names = list(dict.fromkeys(listed(covariates, name="covariates")))
    (matured,) = listed([matured], name="matured")
    extra = [name for name in ("probability", "stratum", "cluster") if name in to_polars(outcomes).columns]
    found = arms(outcomes, control=control, numbers=[metric], covariates=names, keep=[matured, *extra])
    if not (found.table.schema[matured].is_numeric() or found.table.schema[matured].is_temporal()):
        raise ContractError(f"outcomes: {matured!r} is {found.table.schema[matured]}; it must be moments or numbers.")
    if missing := found.table[matured].null_count():
        raise ContractError(
            f"outcomes: {matured!r} is null for {missing:,} customers; keep those whose window is over."
        )
    table = found.table.sort(matured)
    looks, blocked = _looks(table[matured]), _blocked(table)
    parts, rows = [], []
    for arm in found.treatments:
        told = _words(found, arm, metric, names) | {"level": level}
        seen = _effects(table, looks, (control, arm), [metric, *names])
        if reason := blocked or seen.refusal(metric):
            rows.append(refused_row(reason=reason, **told))
            continue
        seen = _Effects._make(one[seen.skew <= SKEW] for one in seen)
        part, p_value = _intervals(seen, seen.looks / planned_n, level)
        at = table[matured][seen.looks - 1].alias("matured_at")
        parts.append(part.select(pl.lit(told["contrast"]).alias("group"), at, pl.all()))
        last = part.select("n", "estimate", "standard_error", "low", "high").row(-1, named=True)
        rows.append(estimate_row(**told | last, p_value=p_value))
    over = pl.concat(parts) if parts else pl.DataFrame(schema=_COLUMNS | {"matured_at": table.schema[matured]})
    return OverTime(table=over, estimates=EstimateTable.from_rows(rows), level=level, metric=metric)


def _words(found: Arms, arm: str, metric: str, covariates: list[str]) -> dict[str, Any]:
    method = "confidence sequence"
    if covariates:
        method += f", adjusted for {', '.join(name.removeprefix(COVARIATE) for name in covariates)}"
    return {
        "question": QUESTION,
        "estimand": ESTIMANDS[found.start],
        "metric": metric,
        "contrast": found.contrast(arm),
        "method": method,
        "group": "all",
        "n": len(found.of(arm)) + len(found.of(found.control)),
        "horizon_days": found.window_days,
        "measure": MEASURES.get(metric),
    }


def _blocked(table: pl.DataFrame) -> str | None:
    """Why no arms can be compared, if none can."""
    if "cluster" in table.columns and whole_clusters(table):
        return (
            "Each cluster lies in one arm: clusters were assigned, not customers. Pass a row for each, with its sums."
        )
    return unfair(table)


def _looks(moments: pl.Series) -> Ints:
    """After how many customers to look: where a moment ends, so that the order within it does not matter."""
    ends = np.append(np.flatnonzero((moments != moments.shift(-1)).fill_null(False).to_numpy()) + 1, len(moments))
    return np.unique(ends[np.searchsorted(ends, np.linspace(0, len(moments), _LOOKS + 1)[1:])])


class _Effects(NamedTuple):
    """An effect at each look: after how many customers of all arms, of how many of these two, and how sure it is."""

    looks: Ints
    n: Ints
    estimate: Floats
    error: Floats
    degrees: Floats
    skew: Floats

    def refusal(self, metric: str) -> str | None:
        """Why nothing is told by now, if so."""
        if not len(self.looks):
            return (
                f"An arm has fewer than {_LEAST} customers whose {metric!r} is not the commonest one; wait for more of "
                "them."
            )
        return too_skew(metric) if self.skew[-1] > SKEW else None


def _effects(table: pl.DataFrame, looks: Ints, pair: tuple[str, str], columns: list[str]) -> _Effects:
    """Differences in means at equal covariates: each arm's regression on who has matured, at the mean of both arms."""
    values = table.select(columns).to_numpy()
    values = values - values.mean(axis=0)  # centred first: revenue near 1e9 must keep its digits
    is_of = [(table["arm"] == arm).to_numpy() for arm in pair]
    rare = (table[columns[0]] != table[columns[0]].mode().min()).to_numpy()
    least = np.min([_up_to(rare & mine, looks) for mine in is_of], axis=0)
    looks = looks[least >= max(_LEAST, 2 * len(columns))]
    arms = [_moments(values, mine, looks) for mine in is_of]
    counts = np.array([n for n, _, _ in arms])
    total = counts.sum(axis=0)
    middle = sum(n[:, None] * mean for n, mean, _ in arms) / total[:, None]
    means, variances, slopes = zip(*(_at(middle, *one) for one in arms))
    spread = sum(n[:, None, None] * (s + _outer(mean - middle)) for n, mean, s in arms) / total[:, None, None]
    apart = slopes[1] - slopes[0]
    cube = _up_to(np.where(is_of[0] | is_of[1], values[:, 0] ** 3, 0.0), looks) / total
    third = cube - 3 * middle[:, 0] * spread[:, 0, 0] - middle[:, 0] ** 3
    own = np.array(variances)
    error = np.sqrt(own.sum(axis=0) + np.einsum("lj,ljk,lk->l", apart, spread[:, 1:, 1:], apart) / total)
    with np.errstate(invalid="ignore"):  # without any error there are no degrees to speak of
        degrees = own.sum(axis=0) ** 2 / (own**2 / (counts - len(columns))).sum(axis=0)
    skew = skewness(counts, spread[:, 0, 0], third)
    return _Effects(looks, total, means[1] - means[0], error, degrees, skew)


def _up_to(numbers: npt.NDArray[Any], looks: Ints) -> npt.NDArray[Any]:
    """Sums over the first rows, up to each look."""
    kind = np.int64 if numbers.dtype == bool else np.float64
    if not len(looks):
        return np.zeros(0, kind)
    return np.add.reduceat(numbers[: looks[-1]], np.append(0, looks[:-1]), dtype=kind).cumsum()


def _moments(values: Floats, mine: npt.NDArray[np.bool_], looks: Ints) -> tuple[Ints, Floats, Floats]:
    """Counts, means and covariances (over n) of the rows that are mine, up to each look."""
    n = _up_to(mine, looks)
    columns = [np.where(mine, column, 0.0) for column in values.T]
    mean = np.stack([_up_to(column, looks) for column in columns], axis=1) / n[:, None]
    square = np.zeros((len(looks), len(columns), len(columns)))
    for j, one in enumerate(columns):
        for k in range(j + 1):
            square[:, j, k] = square[:, k, j] = _up_to(one * columns[k], looks)
    return n, mean, square / n[:, None, None] - _outer(mean)


def _outer(mean: Floats) -> Floats:
    return mean[:, :, None] * mean[:, None, :]


def _at(middle: Floats, n: Ints, mean: Floats, spread: Floats) -> tuple[Floats, Floats, Floats]:
    """The mean of an arm at the middle of both, its variance, and the slopes."""
    slope = np.einsum("ljk,lk->lj", np.linalg.pinv(spread[:, 1:, 1:], hermitian=True), spread[:, 1:, 0])
    left = (spread[:, 0, 0] - np.einsum("lj,lj->l", slope, spread[:, 1:, 0])).clip(0)
    return (
        mean[:, 0] + np.einsum("lj,lj->l", slope, (middle - mean)[:, 1:]),
        left / (n - mean.shape[1]),
        slope,
    )


def _intervals(seen: _Effects, share: Floats, level: float) -> tuple[pl.DataFrame, float]:
    """Bounds at each look, those for all looks together and those for one; and the p-value of the last look.

    Robbins' mixture is tightest where share x c = 1 x c, with c from the lower branch of Lambert's W.
    """
    from scipy.special import lambertw, stdtrit

    error, out = seen.error, 1 - level
    scale = share * (-float(lambertw(-(out**2) / math.e, -1).real) - 1)
    reach = error * np.sqrt(2 * (1 + 1 / scale) * np.log(np.sqrt(1 + scale) / out))
    fixed = np.where(error > 0, stdtrit(np.nan_to_num(seen.degrees, nan=1.0), 0.5 + level / 2), 0.0) * error
    far = (seen.estimate[-1] / error[-1]) ** 2 if error[-1] else 0.0
    p_value = min(1.0, math.sqrt(1 + scale[-1]) * math.exp(-far * scale[-1] / (1 + scale[-1]) / 2))
    told = {"n": seen.n, "estimate": seen.estimate, "standard_error": error}
    told |= {"low": seen.estimate - reach, "high": seen.estimate + reach}
    return pl.DataFrame(told | {"fixed_low": seen.estimate - fixed, "fixed_high": seen.estimate + fixed}), p_value
