"""Does an estimator tell the truth on these data? An effect that is known is put into arms where there was none.

In: Outcomes, of which the customers of control are used, and any estimator. Out: `certify_coverage` -> EstimateTable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, Outcomes, estimate_row, refused_row, require, wilson
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.incrementality.door import arms

Estimator = Callable[[pl.DataFrame], EstimateTable]
_RELATIVE = "relative to control"
_TREATMENT = "treatment"
_LEAST = 50  # worlds with an answer
Row = dict[str, Any]
_DRAWS = {"split": "the very customers of control", "resample": "customers such as those of control"}


def certify_coverage(
    estimator: Estimator,
    outcomes: Any,
    *,
    control: str,
    metric: str,
    effect: float,
    rng: int | np.random.Generator,
    relative: bool = False,
    estimand: str = "per assigned customer",
    draw: str = "split",
    treated_share: float = 0.5,
    worlds: int = 200,
    level: float = 0.95,
) -> EstimateTable:
    """Can an estimator be believed on this shop's own customers?

    In each world customers of control are dealt to two arms by chance, one by one (not by clusters), `effect` is added
    to those called "treatment", and the estimator is asked; then once more without the effect.

    Parameters
    ----------
    estimator
        A function of Outcomes (the columns given, arms `control` and "treatment") to an EstimateTable, e.g.
        `lambda frame: lift(frame, control="control", metrics="revenue")`. It must make intervals of `level`.
    outcomes
        Outcomes (contract) that have customers of control; other arms are left out.
    control
        The arm of customers to whom nothing was done.
    metric
        The column that the effect is added to, and the metric of the rows that are judged.
    effect
        What is added to each treated customer's `metric`, in its unit; not 0.
    rng
        Seed or generator.
    relative
        Whether `effect` is a share of what each customer has anyway: 0.1 adds a tenth, so that the effect varies.
    estimand
        Of the rows that are judged. For "relative to control" the truth is the effect as a share of control's mean.
    draw
        "split": each customer is used once, and the truth is that of these very customers (finite population): only
        the dealing varies, and where effects vary, intervals that are right for the population cover more.
        "resample": customers are drawn with replacement, and the truth is that of the population they stand for
        (superpopulation). What looks for copies of customers, as cross-fitting does, is judged wrongly by it.
    treated_share
        Share of customers in treatment.
    worlds
        How many times; 200 tell 0.95 from 0.90. With as few as 50 only gross faults show.
    level
        Coverage that the estimator promises. Also that of the intervals given, which are Monte-Carlo intervals.

    Returns
    -------
    EstimateTable
        Four rows, `n` worlds: metric "cover" (share of the sets that hold the truth), "size" (share that leave out 0
        without effect), "power" (share that leave out 0 with the effect) and "bias" (mean of estimate - truth, in the
        unit of the estimates). `truth`: what cover, size and bias should be. `reason` begins with "red" where one of
        them is more than 3 Monte-Carlo errors worse, and with "amber" where intervals cover more than they should;
        it also says in how many worlds the estimator refused. All rows are refused if it answers in fewer than half
        of the worlds, or in fewer than 50.

    Raises
    ------
    ContractError
        Outcomes break their contract, or `metric` is missing, null or infinite.
    ValueError
        A number is out of its range, or the estimator gave other than one row of `metric` and `estimand`.
    TypeError
        The estimator gave no EstimateTable.

    What the estimator itself raises is raised, with a note of the world's number.

    Examples
    --------
    >>> from shoptoolkit.incrementality import cannibalisation
    >>> frame = pl.DataFrame({"customer_id": range(300), "arm": "none"})
    >>> frame = frame.with_columns(organic_orders=pl.col("customer_id") % 2)
    >>> frame = frame.with_columns(paid_orders=pl.col("customer_id") % 5)
    >>> told = certify_coverage(lambda some: cannibalisation(some, control="none"), frame, control="none",
    ...                         metric="paid_orders", effect=0.3, worlds=60, rng=1)
    >>> told.table["metric"].to_list()
    ['cover', 'size', 'power', 'bias']
    """
    _check(effect, treated_share, worlds, draw, level)
    rng = np.random.default_rng(rng)
    frame = _of_control(outcomes, control, metric)
    mean = float(frame[metric].to_numpy().mean())
    if mean == 0 and (relative or estimand == _RELATIVE):
        raise ValueError(f"metric is {metric!r}, whose mean in control is 0; nothing is relative to it. Use amounts.")
    gain = effect * mean if relative else effect
    truth = gain / mean if estimand == _RELATIVE else gain
    with_effect = pl.col(metric) * (1 + effect) if relative else pl.col(metric) + effect
    told: list[tuple[Row, Row]] = []
    for world in range(worlds):
        dealt = _deal(frame, control, treated_share, draw == "resample", rng)
        treated = pl.when(pl.col("arm") == _TREATMENT).then(with_effect).otherwise(pl.col(metric))
        try:
            pair = [_asked(estimator, one, metric, estimand) for one in (dealt.with_columns(treated), dealt)]
        except Exception as error:
            error.add_note(f"certify_coverage: in world {world} of {worlds} (the first is 0)")
            raise
        if all(one["verdict"] == "ok" for one in pair):
            told.append((pair[0], pair[1]))
    words = {"question": "Can the estimator be believed?", "estimand": f"{estimand}, {_DRAWS[draw]}", "group": "all"}
    words["method"] = f"effect {effect:+g}{' of each' if relative else ''} put into {metric}"
    return EstimateTable.from_rows(_judged(told, truth, worlds, level, words))


def _check(effect: float, treated_share: float, worlds: int, draw: str, level: float) -> None:
    check_level(level)
    check_number("worlds", worlds, least=1, whole=True)
    choose("draw", draw, _DRAWS)
    if isinstance(effect, bool) or not isinstance(effect, Real) or not math.isfinite(effect) or effect == 0:
        raise ValueError(f"effect is {effect!r}; it must be a number other than 0. No effect is always tried as well.")
    if not isinstance(treated_share, Real) or not 0 < treated_share < 1:
        raise ValueError(f"treated_share is {treated_share!r}; it must lie between 0 and 1, e.g. 0.5.")


def _of_control(outcomes: Any, control: str, metric: str) -> pl.DataFrame:
    """The customers of control, in an order of their own, with `metric` as numbers."""
    frame = require(outcomes, Outcomes).filter(pl.col("arm") == str(control))
    if len(frame) < 4:
        raise ValueError(f"control is {control!r}, an arm of {len(frame)} customers; it takes 4, or many more.")
    halves = pl.Series([_TREATMENT, control] * len(frame)).head(len(frame))
    checked = arms(frame.with_columns(arm=halves), control=control, numbers=[metric]).table
    return frame.with_columns(checked[metric]).sort("customer_id")


def _deal(
    frame: pl.DataFrame, control: str, treated_share: float, with_replacement: bool, rng: np.random.Generator
) -> pl.DataFrame:
    """Customers in arms by chance; those drawn several times are several customers."""
    n = len(frame)
    if with_replacement:
        frame = frame[rng.integers(0, n, n)].with_columns(customer_id=pl.int_range(n))
    is_treated = pl.Series(rng.permutation(n) < round(treated_share * n))
    return frame.with_columns(arm=pl.when(is_treated).then(pl.lit(_TREATMENT)).otherwise(pl.lit(control)))


def _asked(estimator: Estimator, frame: pl.DataFrame, metric: str, estimand: str) -> Row:
    """The estimator's row about the effect."""
    told = estimator(frame)
    if not isinstance(told, EstimateTable):
        raise TypeError(f"estimator gave {type(told).__name__}; it must give an EstimateTable.")
    rows = told.table.filter(pl.col("metric") == metric, pl.col("estimand") == estimand)
    if len(rows) != 1:
        found = told.table.select("metric", "estimand").unique(maintain_order=True).rows()
        listing = "; ".join(f"{one!r} ({two})" for one, two in found)
        raise ValueError(
            f"estimator gave {len(rows)} rows of metric {metric!r} and estimand {estimand!r}; one is judged. It gave: "
            f"{listing or 'none'}."
        )
    return rows.row(0, named=True)


def _judged(told: list[tuple[Row, Row]], truth: float, worlds: int, level: float, words: Row) -> Iterator[Row]:
    """The rows of cover, size, bias and power."""
    n, words = len(told), words | {"n": len(told), "level": level}
    if n < max(_LEAST, worlds / 2):
        reason = f"The estimator gave an answer in {n} of {worlds} worlds; it takes {_LEAST}, and half of them."
        for metric in ("cover", "size", "power", "bias"):
            yield refused_row(reason=reason, metric=metric, **words)
        return
    held = np.array([(_holds(real, truth), not _holds(none, 0.0), not _holds(real, 0.0)) for real, none in told])
    silent = f" It refused in {worlds - n} of {worlds} worlds, which are left out." if n < worlds else ""
    targets: dict[str, float | None] = {"cover": level, "size": 1 - level, "power": None}
    for (metric, target), share in zip(targets.items(), held.mean(axis=0).tolist()):
        low, high = wilson(share, n, level)
        row = {"metric": metric, "measure": "share", "truth": target, "low": float(low), "high": float(high)}
        row["reason"] = f"{_verdict(metric, share, target, math.sqrt(level * (1 - level) / n))}{silent}".strip() or None
        yield estimate_row(estimate=share, standard_error=math.sqrt(share * (1 - share) / n), **words | row)
    off = np.array([real["estimate"] - truth for real, _ in told])
    bias, error = float(off.mean()), float(off.std(ddof=1) / math.sqrt(n))
    row = {"metric": "bias", "measure": told[0][0]["measure"], "truth": 0.0}
    row["reason"] = f"{_verdict('bias', abs(bias), 0.0, error)}{silent}".strip() or None
    yield estimate_row(estimate=bias, standard_error=error, degrees=n - 1, **words | row)


def _holds(row: Row, value: float) -> bool:
    """Whether the set of a row has the value in it."""
    if row["set_shape"] == "line":
        return True
    inside = row["low"] <= value <= row["high"]
    return not inside if row["set_shape"] == "rays" else inside


def _verdict(metric: str, found: float, wanted: float | None, error: float) -> str:
    """What the difference from what should be says, in Monte-Carlo errors."""
    if wanted is None or abs(found - wanted) <= 3 * error:
        return ""
    worse = found < wanted if metric == "cover" else found > wanted
    told = f"{found:.3g} where it should be {wanted:.3g}, more than 3 Monte-Carlo errors ({3 * error:.2g}) off."
    return f"red: {metric} is {told}" if worse else f"amber: intervals are too wide, as {metric} is {told}"
