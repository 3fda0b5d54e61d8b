"""What is it worth to reach only some customers: the value of a targeting rule at every budget, and of more budget.

In: a score and a doubly robust pseudo-outcome per customer, costs. Out: `targeting_curve` -> `TargetingCurve`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, check_number, check_span
from shoptoolkit.contract.estimates import delta_error
from shoptoolkit.incrementality.qini import LEAST, WHOM, few_in_words, worth_of
from shoptoolkit.incrementality.ratios import ratio_row

_POINTS = 40  # steps of the curve
_NEAR = 0.05  # of the largest spend, to either side, make up the margin
_FOLDS = 5
_DRAWS = 10_000  # for the band
_METHOD = "mean of pseudo-outcomes"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetingCurve:
    """What reaching the highest-ranked customers brings at each budget; draw it with `figures.targeting_curve`.

    `table`: share_targeted, spend, value, standard_error, low, high, net, shadow_price, shadow_low, shadow_high,
    band_low, band_high, random. Money per customer of the whole population; `value` is beyond reaching nobody and
    before the spend, `net` after it; `random` the value of the same spend by lot; `shadow_price` that of one more unit
    of spend (where there is no cost: of one more customer reached). `estimates`: at the budgets asked for, and at the
    cut that pays best.
    """

    table: pl.DataFrame
    estimates: EstimateTable
    budgets: tuple[float, ...]
    best_share: float
    best_spend: float
    level: float
    n: int

    def __repr__(self) -> str:
        return repr(self.estimates)

    def _repr_html_(self) -> str:
        return self.estimates._repr_html_()


def targeting_curve(
    frame: Any,
    *,
    score: str = "effect",
    pseudo: str = "pseudo",
    cost: float | str = 0.0,
    value: float = 1.0,
    budget: float | Sequence[float] | None = None,
    level: float = 0.95,
    rng: int | np.random.Generator,
    id: str = "customer_id",
) -> TargetingCurve:
    """What does it bring to reach only the customers with the highest scores, until a budget is spent?

    Customers are reached in the order of score / cost, the highest first (of equal ones, a part by lot). With psi the
    pseudo-outcome and top(b) the customers reached for a spend of b per customer of the whole population:

        value(b) = mean over all customers of (those in top(b)) x value x psi
        shadow price(b) = the slope of value(b), from the customers next to the border: those that the last and the next
        5 % of the largest spend reach

    Parameters
    ----------
    frame
        One row per customer: a score and a pseudo-outcome. The scores must owe nothing to the outcomes of these
        customers: `fit_uplift(...).held_out`, one treatment of it. Scores of all folds (`.out_of_fold`) will not do, as
        folds learn from each other: where effects do not differ, 95 % intervals of the value held 91 times in 100.
    score
        Column to rank by, the expected effect; used for nothing else.
    pseudo
        Column of doubly robust pseudo-outcomes, whose mean over any group is the effect on it.
    cost
        Currency to reach a customer, >= 0: a number, or a column where it differs.
    value
        Currency that one unit of the outcome is worth (the margin of an order; 0.3 of revenue).
    budget
        Spend per customer of the whole population, one or more, each > 0 and at most what reaching all costs. For a
        share of the customers read `.table`.
    level
        Coverage of intervals and band.
    rng
        Seed or Generator of the parts for the best cut, and of the band.
    id
        Column of the customer.

    Returns
    -------
    TargetingCurve
        Its `estimates`, currency per customer: at each budget "targeted - nobody" (before the spend), "targeted -
        everybody" (after it), "targeted - by lot" (at the same spend) and the shadow price. Then the best cut, after
        the spend, against nobody and everybody: as the maximum of a curve is too good on the data that chose it, the
        customers are cut into five parts by lot, and on each but the first the value is told of the cut that was best
        on the parts before it. The same goes for any budget picked by looking at the curve: read the band there.
        Intervals by the normal law, with the border as random as it is (the influence of a customer is psi less the
        shadow price x cost), refused where the pseudo-outcomes of those reached are worth fewer than 50
        customers (as in `qini`), say a few buyers.

    Raises
    ------
    ContractError
        Columns missing, no numbers, null or infinite; a customer with several rows (several arms).
    ValueError
        A negative cost; a budget without cost, or beyond what reaching all costs.

    References
    ----------
    Imai and Li (2023), JASA 118, 242-256 (rules under a budget); Athey and Wager (2021), Econometrica 89, 133-161
    (doubly robust values); Sun, Du and Wager (2021), arXiv 2103.11066 (score / cost, the border under a budget).

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> frame = pl.DataFrame({"customer_id": range(5_000), "effect": random.normal(size=5_000)})
    >>> frame = frame.with_columns(pseudo=pl.col("effect") + random.normal(size=5_000))
    >>> curve = targeting_curve(frame, cost=0.5, budget=0.25, rng=1)
    >>> curve.estimates.table.filter(estimand="value at a budget of 0.25")["estimate"].round(1).to_list()
    [0.4, 0.6, 0.4]
    """
    check_level(level)
    check_span("value", value, example="0.3", unit="currency")
    rng = np.random.default_rng(rng)
    ranked = _at_the_door(frame, score, pseudo, cost, value, id)
    budgets = _budgets(budget, ranked)
    rule = _measure(ranked, np.append(np.linspace(0, 1, _POINTS + 1), budgets / ranked["spend"].to_numpy().mean()))
    told = {"question": WHOM, "metric": "value", "measure": "currency", "group": "all", "n": rule.n, "level": level}
    best, reached, spent = _best_cut(ranked, rng)
    rows = [row for place in range(len(budgets)) for row in _at_budget(rule, _POINTS + 1 + place, told)]
    return TargetingCurve(
        table=_curve(rule, rng, level, has_cost=bool((ranked["cost"] > 0).any())),
        estimates=EstimateTable.from_rows([*rows, *_at_best(best, told)]),
        budgets=tuple(budgets),
        best_share=reached,
        best_spend=spent,
        level=level,
        n=rule.n,
    )


def _at_the_door(frame: Any, score: str, pseudo: str, cost: float | str, value: float, id: str) -> pl.DataFrame:
    """Customers in the order of reach: priority, worth (value x pseudo), cost, spend (the cost, or 1 if all have 0)."""
    table = to_polars(frame)
    own = [score, pseudo, *([cost] if isinstance(cost, str) else [])]
    if absent := [name for name in (id, *own) if name not in table.columns]:
        told = ", ".join(map(repr, absent))
        raise ContractError(f"scores: {told} missing. It has: {', '.join(table.columns)}.")
    for name in own:
        kind = table.schema[name]
        if not kind.is_numeric() or not table[name].cast(pl.Float64).is_finite().all(ignore_nulls=False):
            raise ContractError(f"scores: {name!r} is {kind}; it must be finite numbers without a null.")
    if table[id].is_duplicated().any():
        raise ContractError(f"scores: customers have several rows by {id!r}; keep one, such as those of one arm.")
    if len(table) < 2:
        raise ContractError(f"scores: the frame has {len(table)} rows; at least two are needed.")
    if not isinstance(cost, str):
        check_number("cost", cost)
    each = pl.col(cost) if isinstance(cost, str) else pl.lit(cost)
    table = table.select(
        score=pl.col(score).cast(pl.Float64), worth=value * pl.col(pseudo).cast(pl.Float64), cost=each.cast(pl.Float64)
    )
    least, most = float(table["cost"].to_numpy().min()), float(table["cost"].to_numpy().max())
    if least < 0 or least == 0 < most:
        raise ValueError(
            f"cost is {cost!r}, with values from {least:g} to {most:g}; each must be > 0, "
            "or all 0. Give those who cost nothing a small cost."
        )
    spend = pl.when(pl.col("cost") > 0).then("cost").otherwise(1.0)
    table = table.with_columns(spend=spend, priority=pl.col("score") / spend)
    return table.sort("priority", "worth", "spend", descending=True)


def _budgets(budget: float | Sequence[float] | None, ranked: pl.DataFrame) -> Floats:
    budgets = np.atleast_1d(np.asarray([] if budget is None else budget))
    if not len(budgets):
        return budgets.astype(float)
    most = float(ranked["cost"].to_numpy().mean())
    if most == 0:
        raise ValueError(f"budget is {budget!r}, and reaching customers costs nothing; give cost, or read .table.")
    for one in budgets.tolist():
        check_span("budget", one, example=f"{most / 5:.3g}", unit="currency per customer")
        if one > most * (1 + 1e-9):
            raise ValueError(
                f"budget is {one:g} per customer, and reaching all costs {most:g}; it must be at most that. A total "
                "is divided by the number of customers."
            )
    return np.minimum(budgets.astype(float), most)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rule:
    """The rule at rising points of the spend: the means of worth, then of spend, of those reached; their covariance.

    The points `at` are those asked for; `before` and `after` are where the margin of each begins and ends. `worths`: of
    all customers in the order of reach; beyond each point lie those from `begins`, up to it (or tied) those to `ends`.
    """

    at: Ints
    before: Ints
    after: Ints
    share: Floats
    worths: Floats
    begins: Ints
    ends: Ints
    mean: Floats
    covariance: Floats
    n: int

    def parts(self, point: int) -> Floats:
        """Which of the means are the worth and the spend at a point: two rows of coefficients."""
        return np.eye(len(self.mean))[[point, len(self.share) + point]]

    def margin(self, place: int) -> Floats:
        """The same for the margin of a point asked for."""
        return self.parts(self.after[place]) - self.parts(self.before[place])

    def border(self, place: int) -> Floats:
        """What the error of a worth is less, since the budget is fixed and the border not: shadow price x spend."""
        if self.at[place] in (0, len(self.share) - 1):  # nobody or all are reached, whatever they cost
            return np.zeros(len(self.mean))
        top, bottom = self.margin(place) @ self.mean
        return np.asarray(top / bottom * self.parts(self.at[place])[1])

    def worth(self, before: int, after: int) -> float:
        """How many customers the spread of pseudo-outcomes between two points is worth."""
        between = self.worths[self.begins[before] : self.ends[after]]
        return worth_of(between - between.mean())

    def row(self, coefficients: Floats, border: Floats, **rest: Any) -> dict[str, Any]:
        """A row for a sum of means, of which the part `border` is known."""
        error = delta_error((coefficients - border)[None], self.covariance)[0]
        return estimate_row(estimate=float(coefficients @ self.mean), standard_error=float(error), **rest)

    def price(self, place: int, **rest: Any) -> dict[str, Any]:
        """The row of the shadow price; refused where few customers are in the margin."""
        if (few := self.worth(self.before[place], self.after[place])) < LEAST:
            return refused_row(reason=f"the pseudo-outcomes at the border {few_in_words(few)}", **rest)
        both = self.margin(place)
        top, bottom = both @ self.mean
        return ratio_row(top=top, bottom=bottom, covariance=both @ self.covariance @ both.T, **rest)


def _measure(ranked: pl.DataFrame, spent: Floats) -> _Rule:
    """The rule at these shares of the largest spend.

    Customers who tie are reached by lot: each counts by the share of the tie that is reached. So does every tie by its
    share in each step between two points, and the sums up to the points are those of the steps.
    """
    from scipy.sparse import csr_array

    bounds = np.clip(np.round([spent, spent - _NEAR, spent + _NEAR], 12), 0, 1)
    points = np.unique(bounds)
    worth, spend, priority = (ranked[name].to_numpy() for name in ("worth", "spend", "priority"))
    first = np.flatnonzero(np.append(True, np.diff(priority) != 0))
    ends = np.cumsum(np.add.reduceat(spend, first)) / spend.sum()
    ends[-1] = 1.0  # but for rounding
    edges = np.union1d(ends, points[1:])
    tie, step = np.searchsorted(ends, edges), np.searchsorted(points, edges)
    shares = np.diff(edges, prepend=0.0) / np.diff(ends, prepend=0.0)[tie]
    steps = csr_array((shares, (tie, step)), shape=(len(ends), len(points)))

    def up_to(values: Floats) -> Floats:
        return np.asarray(steps.T @ np.add.reduceat(values, first)).cumsum()

    def squares(values: Floats) -> Floats:
        each = steps.multiply(np.add.reduceat(values, first)[:, None])
        return np.asarray((steps.T @ each).todense()).cumsum(axis=0).cumsum(axis=1)

    n = len(spend)
    mean = np.append(up_to(worth), up_to(spend)) / n
    cross = squares(worth * spend)
    gram = np.block([[squares(worth**2), cross], [cross, squares(spend**2)]])
    at, before, after = np.searchsorted(points, bounds)
    covariance = (gram / n - np.outer(mean, mean)) / (n - 1)
    bounds_of = np.append(first, n)
    return _Rule(
        at=at,
        before=before,
        after=after,
        share=up_to(np.ones(n)) / n,
        worths=worth,
        begins=bounds_of[np.searchsorted(ends, points, side="right")],
        ends=bounds_of[np.searchsorted(ends, points) + 1],
        mean=mean,
        covariance=covariance,
        n=n,
    )


def _at_budget(rule: _Rule, place: int, told: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows at one budget: against nobody, everybody and as many by lot, and the shadow price."""
    point, everybody = rule.at[place], len(rule.share) - 1
    (worth, spend), (all_worth, all_spend), border = rule.parts(point), rule.parts(everybody), rule.border(place)
    budget, most = spend @ rule.mean, all_spend @ rule.mean
    told = told | {"method": _METHOD, "estimand": f"value at a budget of {budget:.6g}"}
    lot = budget / most
    random = lot * all_worth, border - lot * (all_worth @ rule.mean) / most * all_spend
    sums = {
        "nobody": (worth, border),
        "everybody": (worth - spend - all_worth + all_spend, border - spend),
        "by lot": (worth - random[0], random[1]),
    }
    if (few := rule.worth(0, point)) < LEAST:
        reason = f"the pseudo-outcomes of those reached {few_in_words(few)}"
        rows = [refused_row(reason=reason, contrast=f"targeted - {name}", **told) for name in sums]
    else:
        rows = [rule.row(*sums[name], null=0.0, contrast=f"targeted - {name}", **told) for name in sums]
    told |= {"estimand": f"shadow price at a budget of {budget:.6g}", "contrast": "one more unit of budget"}
    return [*rows, rule.price(place, **told)]


def _curve(rule: _Rule, rng: np.random.Generator, level: float, *, has_cost: bool) -> pl.DataFrame:
    grid = range(_POINTS + 1)
    rows = []
    for place in grid:
        (worth, spend), border = rule.parts(rule.at[place]), rule.border(place)
        row, price = rule.row(worth, border, level=level), rule.price(place, level=level)
        spent = float(spend @ rule.mean) if has_cost else 0.0
        few = rule.worth(0, rule.at[place]) < LEAST and place > 0
        bounds = {name: None if few else row[name] for name in ("standard_error", "low", "high")}
        values = {"share_targeted": rule.share[rule.at[place]], "spend": spent, "value": row["estimate"], **bounds}
        named = {"shadow_price": "estimate", "shadow_low": "low", "shadow_high": "high"}
        rows.append(values | {"net": row["estimate"] - spent} | {ours: price.get(one) for ours, one in named.items()})
    table = pl.DataFrame(rows, infer_schema_length=None).cast(pl.Float64)
    influence = np.array([rule.parts(rule.at[place])[0] - rule.border(place) for place in grid])
    reach = _band(influence @ rule.covariance @ influence.T, table["standard_error"].to_numpy(), rng, level)
    every = table["value"][-1] * pl.Series(np.linspace(0, 1, _POINTS + 1))
    error = pl.col("standard_error")
    return table.with_columns(
        band_low=pl.col("value") - reach * error, band_high=pl.col("value") + reach * error, random=every
    )


def _band(covariance: Floats, error: Floats, rng: np.random.Generator, level: float) -> float:
    """How many errors wide a band over the whole curve is: the quantile of the largest of correlated normal draws."""
    told = np.flatnonzero(error > 0)
    if not len(told):
        return 0.0
    correlation = covariance[np.ix_(told, told)] / np.outer(error[told], error[told])
    values, axes = np.linalg.eigh(correlation)
    draws = rng.standard_normal((_DRAWS, len(told))) * np.sqrt(values.clip(0)) @ axes.T
    return float(np.quantile(np.abs(draws).max(axis=1), level))


def _best_cut(ranked: pl.DataFrame, rng: np.random.Generator) -> tuple[Floats, float, float]:
    """Net worth of those reached, and of all, where the cut is the best one on earlier parts; share and spend.

    Only on earlier parts, as sums over parts that choose for each other do not have the error of independent customers.
    """
    cost = ranked["cost"].to_numpy()
    net = ranked["worth"].to_numpy() - cost
    last = np.flatnonzero(np.append(np.diff(ranked["priority"].to_numpy()) != 0, True))
    part = rng.integers(0, _FOLDS, len(net))
    reached = np.zeros(len(net), dtype=bool)
    for fold in range(1, _FOLDS):
        gain = np.append(0.0, np.cumsum(np.where(part < fold, net, 0.0))[last])
        cut = np.append(0, last + 1)[gain.argmax()]
        reached[:cut] |= part[:cut] == fold
    judged = part > 0
    net, reached = net[judged], reached[judged]
    return np.column_stack([reached * net, net]), float(reached.mean()), float((reached * cost[judged]).mean())


def _at_best(net: Floats, told: dict[str, Any]) -> list[dict[str, Any]]:
    told = told | {"method": f"{_METHOD}, cut chosen on other customers", "n": len(net)}
    told["estimand"] = "value less cost at the best cut"
    rows = []
    for name, gain in (("nobody", net[:, 0]), ("everybody", net[:, 0] - net[:, 1])):
        about = told | {"contrast": f"targeted - {name}"}
        error = float(gain.std(ddof=1)) / math.sqrt(len(gain))
        if gain.any() and (few := worth_of(gain)) < LEAST:  # the rule that is nobody, or everybody, differs by 0
            rows.append(refused_row(reason=f"what those bring who are treated otherwise {few_in_words(few)}", **about))
        else:
            rows.append(estimate_row(estimate=float(gain.mean()), standard_error=error, null=0.0, **about))
    return rows
