"""What each feature adds to a model's answer for each row: SHAP values of any frozen fit, as a long table.

In: a fit that keeps the protocol `Explainable`, and a frame it can read. Out: `shap_values` -> `Explanation`. It
describes the model, not the cause. `read`, `sample_of` and `add_up` serve the neighbours too.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Protocol

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.explain.explanation import Explanation, categories_of, cells_of, long

_KIND = "path-dependent TreeSHAP"
_GAP = 1e-4  # contributions and base must add up to the answer within this, relative to its size or to 1

_MEND = (
    "pass what fit_propensity returns. An IntentFit holds it as .propensity; an UpliftFit is for explain_uplift, a "
    "HazardFit for explain_survival."
)


class Explainable(Protocol):
    """What a frozen fit offers so that it can be explained. `behaviour.PropensityFit` does."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the contributions' columns."""

    def encode(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The features as the model reads them: numbers, Booleans and Enums; null where missing."""

    def margin(self, frame: pl.DataFrame) -> Floats:
        """The answer on the scale where contributions add up: log-odds."""

    def explain_margin(self, frame: pl.DataFrame) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values (rows x features), and the base of each row."""


def shap_values(
    fit: Explainable,
    frame: Any,
    *,
    rows: int | None = None,
    by: str | None = None,
    rng: int | np.random.Generator | None = None,
) -> Explanation:
    """What does each feature add to the model's answer, row by row?

    Parameters
    ----------
    fit
        Any frozen fit with the methods of `Explainable`, e.g. from `behaviour.fit_propensity`.
    frame
        A frame that the fit can read.
    rows
        Explain a sample of this size: TreeSHAP takes about a second per thousand rows. It is systematic along the
        ranked answer (within each group of `by`), so low, middle and high answers come in their shares, and every row
        with the same chance. None, or more rows than there are: all.
    by
        Column whose values become the groups; one group "all" without it.
    rng
        Seed or Generator; needed with `rows`.

    Returns
    -------
    Explanation
        TreeSHAP with the tree path's own weights: exact for the model; what is missing is averaged over the training
        rows that took the same path, so correlated features share what one of them may have earned.

    Raises
    ------
    ContractError
        The frame has no rows, lacks `by`, or is not what the fit reads.
    TypeError
        The fit lacks a method of `Explainable`.
    ValueError
        `rows` is below 1 or comes without `rng`; the fit's contributions do not add up to its answer within 1e-4.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67.
    """
    offers(fit, Explainable, _MEND)
    table, group = read(frame, by)
    margin = fit.margin(table)
    chosen, sample = sample_of(margin, group, rows=rows, rng=rng)
    part = table[chosen]
    contributions, base = fit.explain_margin(part)
    add_up(contributions, base, margin[chosen], fit.features)
    encoded = fit.encode(part).select(fit.features)
    return Explanation(
        table=long(cells_of(encoded), contributions[:, None], base[:, None], row=chosen, group=group[chosen]),
        scale="margin",
        kind=_KIND,
        categories=categories_of(encoded),
        n=len(part),
        sample=sample,
    )


def offers(fit: object, protocol: type, mend: str) -> None:
    """Raise TypeError where a fit lacks what the protocol asks for."""
    if lacks := [name for name in vars(protocol) if name[0] != "_" and not hasattr(fit, name)]:
        raise TypeError(f"fit is a {type(fit).__name__}, which has no {', '.join(lacks)}; {mend}")


def read(frame: Any, by: str | None) -> tuple[pl.DataFrame, pl.Series]:
    """A frame with rows, and the group of each."""
    table = to_polars(frame)
    if table.is_empty():
        raise ContractError("the frame has 0 rows; at least one is needed.")
    if by is None:
        return table, pl.repeat("all", len(table), eager=True)
    if not isinstance(by, str) or by not in table.columns:
        raise ContractError(f"by is {by!r}, which is missing. It has: {', '.join(table.columns)}.")
    if table.schema[by].is_nested():
        raise ContractError(f"by is {by!r}, a column of {table.schema[by]}; it must hold text, numbers or dates.")
    return table, table[by].cast(pl.String).fill_null("missing")


def sample_of(
    margin: Floats, group: pl.Series, *, rows: int | None, rng: int | np.random.Generator | None
) -> tuple[Ints, str]:
    """Every (n / rows)-th row along group and answer, from a random start; in the frame's order."""
    n = len(margin)
    if rows is not None and not (isinstance(rows, Integral) and rows >= 1):
        raise ValueError(f"rows is {rows!r}; it must be at least 1, or None for all rows, and a whole number.")
    if rows is None or rows >= n:
        return np.arange(n), f"all {n:,} rows"
    if rng is None:
        raise ValueError(f"rows is {rows}, which draws a sample; pass rng=, a seed or a Generator.")
    start = np.random.default_rng(rng).random()
    order = np.lexsort((np.arange(n), margin, group.rank("dense").to_numpy()))
    places = np.minimum(((np.arange(rows) + start) * (n / rows)).astype(np.int64), n - 1)
    return np.sort(order[places]), f"{rows:,} of {n:,} rows, evenly along the ranked answer from a random start"


def add_up(contributions: Floats, base: Floats, margin: Floats, features: tuple[str, ...]) -> None:
    """Raise an error where base and contributions miss the answer."""
    if contributions.shape != (len(margin), len(features)):
        raise ValueError(
            f"the fit's explain_margin gives contributions of shape {contributions.shape}; for its {len(features)} "
            f"features they must be of shape {(len(margin), len(features))}."
        )
    gap = np.abs(contributions.sum(axis=1) + base - margin) / np.maximum(1.0, np.abs(margin))
    if not gap.max() <= _GAP:
        raise ValueError(
            f"the contributions miss the fit's answer by up to {gap.max():.2g} of its size, more than {_GAP:g}: its "
            "explain_margin and margin are not of the same model."
        )
