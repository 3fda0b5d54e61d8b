"""Would the forecast have been right? Expected against observed orders, from several days of the past.

In: Orders and days to forecast from. Out: `backtest` -> `Backtest`: at each origin a fit on what was known before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from shoptoolkit.contract import Contract, ContractError, Orders, require, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.clock import day_of, local_day
from shoptoolkit.contract.estimates import delta_error, z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.orders.fit import OrdersFit, fit_orders
from shoptoolkit.survival.orders.summaries import summarise_orders

Day = datetime | date | str

_MODELS = ("bg_nbd", "mbg_nbd", "pareto_nbd")
_BINS = 10
_CHUNK = 100_000  # customers whose draws are in memory at once
_KEY = ("kind", "place", "group")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """Forecasts of the past beside what came. Draw it with `figures.backtest` and `figures.backtest_pit`.

    `table`: origin (null: all together), kind (all, decile of the expectation, period of the horizon, cohort, or the
    column `by`), group, n_customers, expected, observed, ratio, difference (observed - expected), low, high. A right
    model has 0 within low and high. `yardsticks`: method, expected, observed, ratio, squared_error (mean per customer
    and origin), difference (of squared errors, to the model's; above 0 the model is better), low, high. `pit`: low,
    high, share, share_low, share_high of the randomised probability integral transform of each customer's orders: flat
    for a right model, high at both ends if its customers are too alike; `pit_p_value` tests that.
    """

    table: pl.DataFrame
    yardsticks: pl.DataFrame
    pit: pl.DataFrame
    pit_p_value: float
    fits: dict[date, OrdersFit] = field(repr=False)
    model: str
    horizon_days: int
    level: float
    n: int

    def __repr__(self) -> str:
        total = self.table.row(0, named=True)
        return (
            f"Backtest of {self.model}, {self.horizon_days} days from {len(self.fits)} origins, {self.n:,} customers: "
            f"{total['observed']:,} orders, {total['expected']:,.1f} expected (ratio {total['ratio']:.3f}; difference "
            f"{total['difference']:,.1f}, {total['low']:,.1f} to {total['high']:,.1f}); "
            f"PIT p = {self.pit_p_value:.2g}\n{self.yardsticks}"
        )

    def _repr_html_(self) -> str:
        note = f"{self.horizon_days} days from {len(self.fits)} origins, {self.n:,} customers; {100 * self.level:g} % "
        note += f"intervals of observed minus expected, customer-clustered; PIT p = {self.pit_p_value:.2g}"
        shown = self.table.filter(pl.col("origin").is_null()).drop("origin")
        return html_table(shown, title=f"Backtest of {self.model}", note=note)


def backtest(
    orders: Any,
    *,
    origins: Sequence[Day],
    horizon_days: int,
    as_of: Day,
    rng: int | np.random.Generator,
    model: str = "bg_nbd",
    by: str | None = None,
    since: Day | None = None,
    unit_days: float = 1.0,
    periods: int = 4,
    draws: int = 200,
    level: float = 0.95,
    timezone: str = "UTC",
) -> Backtest:
    """Would forecasts made on days of the past have met the orders that came?

    Parameters
    ----------
    orders
        Orders; days with an order count, as in `summarise_orders`, of which `since`, `unit_days` and `timezone` are.
    origins
        Days to forecast from: the model sees what came before, and is asked about the `horizon_days` from then on, of
        customers known by then.
    horizon_days
        Whole days.
    as_of
        The first day not looked at; every horizon must be over by then.
    rng
        Seed or Generator of the draws and of the randomised transform.
    model
        "bg_nbd", "mbg_nbd" or "pareto_nbd", for `fit_orders`.
    by
        Column of `orders` to split by, as it stood at each customer's first order.
    periods
        The horizon is told in so many parts of about equal length.
    draws
        Draws per customer for the transform.
    level
        Coverage of the intervals.

    Returns
    -------
    Backtest
        Intervals have two parts: the scatter of observed minus expected between customers, summed over the origins of a
        customer first (at least that of Poisson counts), and the error of the parameters, taken to go one way at all
        origins. Yardsticks: as many orders as in the last period of that length, and the customer's own rate so far.

    Raises
    ------
    ContractError
        As `summarise_orders`; or no column `by`.
    ValueError
        An origin whose horizon is not over, or without a fit, or an argument that cannot be used.

    References
    ----------
    Fader, Hardie and Lee (2005), Marketing Science 24, 275-284, conditional expectations. Czado, Gneiting and Held
    (2009), Biometrics 65, 1254-1261, on the transform of counts.

    Examples
    --------
    >>> rng = np.random.default_rng(1)  # 200 customers with rates of their own, who leave after an order in five
    >>> left = np.where(rng.random((200, 9)) < 0.2, 1e4, 1)
    >>> waits = left * rng.exponential(1 / rng.gamma(1, 0.03, (200, 1)), (200, 9))
    >>> days = np.cumsum(np.column_stack([rng.integers(0, 90, 200), waits]), axis=1).clip(max=400)
    >>> moments = pl.datetime(2024, 1, 1) + pl.duration(hours="hours")
    >>> orders = pl.DataFrame({"customer_id": np.repeat(np.arange(200), 10), "hours": 24 * days.ravel()})
    >>> orders = orders.select("customer_id", ordered_at=moments, history_known=True)
    >>> told = backtest(orders, origins=["2024-06-01"], horizon_days=60, as_of="2024-10-01", rng=1, draws=20)
    >>> told.table.filter(kind="all")["observed"][0]
    97
    """
    check_level(level)
    choose("model", model, _MODELS)
    rng = np.random.default_rng(rng)
    for name, value in (("horizon_days", horizon_days), ("periods", periods), ("draws", draws)):
        check_number(name, value, least=1, whole=True)
    edges = np.unique(np.linspace(0, horizon_days, periods + 1).round().astype(int))
    days = _origins(origins, horizon_days, day_of(as_of, timezone=timezone), timezone)
    occasions = _occasions(orders, by, timezone)
    options = {"since": since, "unit_days": unit_days, "timezone": timezone}
    fits, told, parts, errors = {}, [], [], []
    for origin in days:
        summary, fits[origin] = _fitted(orders, origin, model, options)
        rows = _seen(summary, occasions, origin, edges, by)
        expected, slopes = _forecast(fits[origin], summary, edges)
        own = pl.col("repeat_orders") / pl.col("age").clip(1e-9) * horizon_days / unit_days
        pit = _transform(fits[origin], summary, rows["observed"], horizon_days, draws, rng)
        rows = rows.with_columns(pl.Series("expected", expected[0]), own_rate=own, pit=pit)
        kinds = _kinds(rows, expected, by)
        places = [0] * (len(kinds) - len(expected) + 1) + list(range(1, len(expected)))
        errors += [_parameter_error(part, slopes[k], fits[origin].covariance) for part, k in zip(kinds, places)]
        parts += kinds
        told.append(rows)
    seen = pl.concat(told)
    z = z_of(level)
    histogram, p_value = _flatness(seen, z)
    return Backtest(
        table=_judged(pl.concat(parts), pl.concat(errors), z),
        yardsticks=_yardsticks(seen, z),
        pit=histogram,
        pit_p_value=p_value,
        fits=fits,
        model=model,
        horizon_days=int(horizon_days),
        level=level,
        n=seen["customer_id"].n_unique(),
    )


def _origins(origins: Sequence[Day], horizon: int, end: date, timezone: str) -> list[date]:
    if isinstance(origins, str | date):
        raise TypeError(f"origins is {origins!r}; give a list of days.")
    days = sorted({day_of(origin, timezone=timezone, name="origins") for origin in origins})
    if not days or days[-1] + timedelta(days=horizon) > end:
        last = end - timedelta(days=horizon)
        raise ValueError(
            f"origins are {', '.join(map(str, days)) or 'none'}; each needs a horizon: {last} at the latest."
        )
    return days


def _fitted(orders: Any, origin: date, model: str, options: dict[str, Any]) -> tuple[pl.DataFrame, OrdersFit]:
    try:
        summary = summarise_orders(orders, as_of=origin, value=None, **options)
        return summary, fit_orders(summary, model=model, unit_days=options["unit_days"])
    except ValueError as error:
        raise type(error)(f"origin {origin}: {error}") from error


def _occasions(orders: Any, by: str | None, timezone: str) -> pl.DataFrame:
    """Each customer's days with an order, with the first of them and `by` on it."""
    frame = to_polars(orders)
    if by is not None and by not in frame.columns:
        raise ContractError(f"orders: no column {by!r}. It has: {', '.join(frame.columns)}.")
    if by in ("all", "decile", "cohort", "period"):
        raise ValueError(f"by is {by!r}, which backtest tells itself; rename the column, e.g. 'own_{by}'.")
    kept = frame.select([name for name in dict.fromkeys(("customer_id", "ordered_at", by)) if name in frame.columns])
    split = [pl.col(by).cast(pl.String).fill_null("unknown").alias("split")] if by else []
    fields = {name: Orders.fields[name] for name in ("customer_id", "ordered_at")}
    table = require(kept, Contract(name="orders", fields=fields))
    table = table.select("customer_id", "ordered_at", local_day("ordered_at", timezone=timezone).alias("day"), *split)
    table = table.sort("customer_id", "ordered_at").unique(["customer_id", "day"], keep="first", maintain_order=True)
    first = table.group_by("customer_id", maintain_order=True).first().rename({"day": "first"}).drop("ordered_at")
    return table.select("customer_id", "day").join(first, on="customer_id")


def _seen(
    summary: pl.DataFrame, occasions: pl.DataFrame, origin: date, edges: npt.NDArray[np.int_], by: str | None
) -> pl.DataFrame:
    """Per customer of the summary: orders in the horizon and its parts ("day 1 to 30" ...), in the last period."""
    after = (pl.col("day") - pl.lit(origin)).dt.total_days()
    parts = {
        f"day {start + 1} to {end}": after.is_between(start, end, closed="left").sum().cast(pl.Int64)
        for start, end in pairwise(edges)
    }
    was = after.is_between(-int(edges[-1]), 0, closed="left") & (pl.col("day") > pl.col("first"))
    kept = [pl.col(name).first() for name in ("first", *(["split"] if by else []))]
    counts = occasions.group_by("customer_id").agg(*kept, last_period=was.sum().cast(pl.Int64), **parts)
    rows = summary.select("customer_id", "repeat_orders", "age")
    rows = rows.join(counts, on="customer_id", how="left", maintain_order="left")
    return rows.with_columns(observed=pl.sum_horizontal(list(parts)), origin=pl.lit(origin))


def _forecast(fit: OrdersFit, summary: pl.DataFrame, edges: npt.NDArray[np.int_]) -> tuple[list[Floats], list[Floats]]:
    """Expected orders of each customer in all and in each part of the horizon, and their slopes in the parameters."""
    _, rows, place = fit._rows(summary)
    values, slopes = [], []
    for horizon in (fit._horizon(float(edge)) for edge in edges[1:]):
        value, slope = fit._with_slopes(fit._orders(rows, horizon), rows)
        values.append(value[place])
        slopes.append(slope[:, place])
    parts = [np.diff(np.stack([np.zeros_like(one[0]), *one]), axis=0) for one in (values, slopes)]
    return [values[-1], *parts[0]], [slopes[-1], *parts[1]]


def _transform(
    fit: OrdersFit, summary: pl.DataFrame, observed: pl.Series, horizon: int, draws: int, rng: np.random.Generator
) -> pl.Series:
    """Randomised PIT: the place of the observed count among draws, ties broken at random (exactly uniform then)."""
    places = []
    for start in range(0, len(summary), _CHUNK):
        part, seen = summary[start : start + _CHUNK], observed[start : start + _CHUNK].to_numpy()[:, None]
        drawn = fit.draw_orders(part, horizon_days=horizon, draws=draws, rng=rng)["orders"].to_numpy()
        below, same = (drawn < seen).sum(axis=1), (drawn == seen).sum(axis=1)
        places.append((below + rng.random(len(part)) * (same + 1)) / (draws + 1))
    return pl.Series(np.concatenate(places))


def _kinds(rows: pl.DataFrame, expected: list[Floats], by: str | None) -> list[pl.DataFrame]:
    """Each customer of an origin in one group of each kind, with what was expected and observed there."""
    month, rank = pl.col("first").dt.truncate("1mo"), pl.col("expected").rank("ordinal")
    decile = (rank - 1) * 10 // pl.len() + 1
    groups = [("all", pl.lit(0), pl.lit("all")), ("decile", decile, decile.cast(pl.String))]
    groups += [("cohort", month.cast(pl.Int32), month.dt.strftime("%Y-%m"))]
    groups += [(by, pl.lit(0), pl.col("split"))] if by else []
    parts = [name for name in rows.columns if name.startswith("day ")]
    told = [(name, place, group, "observed", 0) for name, place, group in groups]
    told += [("period", pl.lit(k), pl.lit(part), part, k) for k, part in enumerate(parts, 1)]
    return [
        rows.select(
            "origin",
            "customer_id",
            pl.lit(kind).alias("kind"),
            place.cast(pl.Int64).alias("place"),
            group.alias("group"),
            pl.Series("expected", expected[k]),
            pl.col(observed).alias("observed"),
        )
        for kind, place, group, observed, k in told
    ]


def _parameter_error(part: pl.DataFrame, slopes: Floats, covariance: Floats) -> pl.DataFrame:
    """Standard error of each group's expected orders from the parameters (delta method)."""
    summed = part.select("origin", *_KEY).hstack(pl.DataFrame(slopes.T, schema=[f"s{i}" for i in range(len(slopes))]))
    summed = summed.group_by("origin", *_KEY).agg(pl.col("^s[0-9]+$").sum())
    of = summed.select("^s[0-9]+$").to_numpy()
    return summed.select("origin", *_KEY, error=pl.Series(delta_error(of, covariance)))


def _judged(parts: pl.DataFrame, errors: pl.DataFrame, z: float) -> pl.DataFrame:
    """Sums by origin and over all origins, kind and group, with the interval of the difference."""
    told = []
    in_order = pl.Enum(parts["kind"].unique(maintain_order=True))
    for frame, error in ((parts.with_columns(origin=None), errors.with_columns(origin=None)), (parts, errors)):
        keys = ["origin", *_KEY]
        gap = pl.col("observed") - pl.col("expected")
        each = frame.group_by(*keys, "customer_id").agg(pl.col("expected").sum(), pl.col("observed").sum())
        sums = each.group_by(keys).agg(
            pl.len().cast(pl.Int64).alias("n_customers"),
            pl.col("expected").sum(),
            pl.col("observed").sum(),
            noise=pl.max_horizontal(gap.var().fill_null(0) * pl.len(), pl.col("expected").sum()),
        )
        both = sums.join(error.group_by(keys).agg(pl.col("error").sum()), on=keys, nulls_equal=True)
        told.append(
            both.with_columns(pl.col("origin").cast(pl.Date)).sort("origin", pl.col("kind").cast(in_order), *_KEY[1:])
        )
    reach = z * (pl.col("noise") + pl.col("error") ** 2).sqrt()
    gap = pl.col("observed") - pl.col("expected")
    return pl.concat(told).select(
        "origin",
        "kind",
        "group",
        "n_customers",
        "expected",
        "observed",
        ratio=pl.col("observed") / pl.col("expected"),
        difference=gap,
        low=gap - reach,
        high=gap + reach,
    )


def _yardsticks(rows: pl.DataFrame, z: float) -> pl.DataFrame:
    """Squared errors of the model and of simple rules; their differences with an interval clustered by customer."""
    n = len(rows)
    told = []
    for method in ("expected", "last_period", "own_rate"):
        error, model = ((pl.col("observed") - pl.col(name)) ** 2 for name in (method, "expected"))
        gaps = rows.group_by("customer_id").agg((error - model).sum())["observed"].to_numpy()
        mean, reach = gaps.sum() / n, z * float(np.std(gaps, ddof=1)) * np.sqrt(len(gaps)) / n
        bounds = (None, None, None) if method == "expected" else (mean, mean - reach, mean + reach)
        total = float(rows[method].sum())
        squared = rows.select(error.mean()).item()
        told.append(("model" if method == "expected" else method, total, rows["observed"].sum(), squared, *bounds))
    names = ("method", "expected", "observed", "squared_error", "difference", "low", "high")
    table = pl.DataFrame(told, schema=names, orient="row")
    return table.with_columns(ratio=pl.col("observed") / pl.col("expected")).select(*names[:3], "ratio", *names[3:])


def _flatness(rows: pl.DataFrame, z: float) -> tuple[pl.DataFrame, float]:
    """The histogram of the transform, and Wald's test that it is flat, clustered by customer."""
    place = (pl.col("pit") * _BINS).floor().clip(0, _BINS - 1)
    bins = rows.select("customer_id", *[(place == k).cast(pl.Float64).alias(f"b{k}") for k in range(_BINS)])
    each = bins.with_columns(pl.col("^b.*$") - 1 / _BINS).group_by("customer_id").agg(pl.col("^b.*$").sum())
    gaps = each.drop("customer_id").to_numpy()
    total, spread = gaps.sum(axis=0), gaps.T @ gaps
    p_value = float(stats.chi2.sf(total @ np.linalg.pinv(spread, rcond=1e-9) @ total, _BINS - 1))
    share, reach = 1 / _BINS + total / len(rows), z * np.sqrt(np.diag(spread)) / len(rows)
    edges = np.arange(_BINS + 1) / _BINS
    columns = {"low": edges[:-1], "high": edges[1:], "share": share, "share_low": share - reach}
    return pl.DataFrame(columns | {"share_high": share + reach}), p_value
