"""Why a customer comes back in a period, or is not back by its end: a hazard's answers, period by period.

In: a fit that keeps the protocol `Waiting`. Out: `explain_survival` -> `Explanation` with a column period. The period
is held fixed and takes no credit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import choose
from shoptoolkit.explain.explanation import Explanation, categories_of, cells_of, long
from shoptoolkit.explain.shapley import Shares, shapley
from shoptoolkit.explain.signals import members, owners, signals_of
from shoptoolkit.explain.values import add_up, offers, read, sample_of

LOGIT, LOG = "logit hazard", "log survival"
_ROWS = 1_000  # explained at once


class Held(Protocol):
    """Some periods of a fitted hazard, each held fixed."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the matrix's columns; none is the period."""

    def encode(self, frame: pl.DataFrame) -> pl.DataFrame:
        """As of `Explainable`."""

    def read(self, frame: pl.DataFrame) -> Any:
        """The matrix that the trees read: rows x features, float32."""

    def explain(self, read: Any) -> tuple[Floats, Floats, Floats]:
        """Contributions (rows x periods x features), base and answer (rows x periods), by row of such a matrix."""

    def log_staying(self, read: Any) -> Floats:
        """Log of the chance that the wait goes on past each period: rows x periods."""


class Waiting(Protocol):
    """What a fitted hazard offers so that it can be explained. `survival.HazardFit` does."""

    @property
    def periods(self) -> int:
        """Periods learnt: 1, 2, ..."""

    @property
    def period_days(self) -> float:
        """Length of a period."""

    def over(self, periods: Sequence[int], *, cause: str | None = None) -> Held:
        """Some periods, none of which is a feature any more."""


def explain_survival(
    fit: Waiting,
    frame: Any,
    *,
    scale: str = LOGIT,
    periods: Sequence[int] | None = None,
    cause: str | None = None,
    signals: Mapping[str, str] | None = None,
    rows: int | None = None,
    by: str | None = None,
    rng: int | np.random.Generator | None = None,
    permutations: int = 8,
    background: int = 50,
    reference: Any = None,
    progress: bool = False,
) -> Explanation:
    """What does each feature add to the chance to come back, period by period?

    Parameters
    ----------
    fit
        A fitted hazard, e.g. from `survival.fit_hazard`.
    frame
        A frame that the fit can read; it needs no column `period`.
    scale
        "logit hazard": the log-odds to come back in a period, given that the customer has waited until then, by
        TreeSHAP, exact for the model: what is missing is averaged along the trees' paths, the period always known.
        "log survival": the log of the chance not to be back by the END of a period, by permutation Shapley per signal,
        with a Monte-Carlo error; what is missing comes from a sample of `reference`, whatever the rest is
        (interventional); the error is that of the sample too. The two answer different questions and need not agree.
    periods
        Which periods (1, 2, ...). None: all that were learnt.
    cause
        Of several causes, the one whose logit hazard is explained: against going on. Survival is that of all causes.
    signals
        Feature -> signal, whose features count as one; one not named stays by itself. None: on "logit hazard" every
        feature by itself, on "log survival" `signals_of` the features.
    rows, by
        As in `shap_values`; rows are ranked by the chance to wait on through the periods.
    rng
        Seed or Generator, for `rows` and for "log survival".
    permutations, background
        Of "log survival": orders of signals walked from each background row, each also in reverse, at least 2; rows of
        the background, drawn from `reference` as `rows` are. The error falls with the root of `background`, and the
        time grows with it; more than a few orders hardly help.
    reference
        Of "log survival": the customers beside whom these are explained, a frame that the fit can read. None: `frame`;
        to explain a few, give all.
    progress
        Show a bar.

    Returns
    -------
    Explanation
        One row per explained row, period and feature (or signal). Of a row and period, base and contributions add up
        to the answer; the base varies by period. `error` is null on "logit hazard". It describes the model, not the
        cause.

    Raises
    ------
    ContractError
        The frame has no rows, lacks `by`, or is not what the fit reads.
    ValueError
        An unknown scale, period or cause; numbers out of range; a draw without `rng`; contributions that miss the
        fit's answer by more than 1e-4 of its size.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67; permutations: see `shoptoolkit.explain.shapley`.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from shoptoolkit.survival import fit_hazard
    >>> rng = np.random.default_rng(1)
    >>> visits = rng.poisson(3, 500)
    >>> came = rng.geometric(0.01 * (1 + visits))
    >>> spells = pl.DataFrame({"customer_id": np.arange(500), "duration_days": np.minimum(came, 60),
    ...                        "repurchased": came <= 60, "visits": visits})
    >>> told = explain_survival(fit_hazard(spells, rng=1, rounds=20), spells.head(1), periods=[1, 2])
    >>> told.table.select("row", "period", "feature", "shown").rows()
    [(0, 1, 'visits', '4'), (0, 2, 'visits', '4')]
    """
    offers(fit, Waiting, "pass what survival.fit_hazard returns.")
    asked = _checked(fit, scale, periods, cause, rng, permutations=permutations, background=background)
    table, group = read(frame, by)
    rng = None if rng is None else np.random.default_rng(rng)
    held = fit.over(asked if scale == LOGIT else range(1, asked[-1] + 1), cause=cause)
    default = signals_of(held.features) if scale == LOG else {}
    owner = owners(held.features, default if signals is None else signals)
    matrix = held.read(table)
    ranked = _along(held, matrix)
    chosen, sample = sample_of(ranked, group, rows=rows, rng=rng)
    part = table[chosen]
    with _bar(len(part), progress) as bar:
        if scale == LOGIT:
            kind = f"path-dependent TreeSHAP, the period always known{', added up by signal' if signals else ''}"
            contributions, base, error = _by_trees(held, matrix[chosen], owner, bar.update)
        else:
            rng = np.random.default_rng(rng)
            others = matrix if reference is None else held.read(read(reference, None)[0])
            along = ranked if reference is None else _along(held, others)
            drawn = _background(others, along, rows=background, rng=rng)
            walk = {"permutations": permutations, "drawn_from": len(others), "done": bar.update}
            shares = _by_walks(held, asked, matrix[chosen], drawn, owner, rng=rng, **walk)
            walks = f"{len(drawn)} background rows, {shares.orders} orders each"
            kind = f"interventional permutation Shapley by signal, {walks}"
            contributions, error = shares.contributions, shares.errors
            base = np.tile(shares.base, (len(part), 1))
    encoded = held.encode(part)
    cells = cells_of(encoded, owner)
    return Explanation(
        table=long(cells, contributions, base, row=chosen, group=group[chosen], periods=asked, error=error),
        scale=scale,
        kind=kind,
        categories=categories_of(encoded, owner),
        n=len(part),
        sample=sample,
        period_days=float(fit.period_days),
    )


def _checked(
    fit: Waiting, scale: str, periods: Sequence[int] | None, cause: str | None, rng: Any, **counts: int
) -> list[int]:
    """The periods asked; raises an error for a number that is none, or that does not go with the scale."""
    choose("scale", scale, (LOGIT, LOG))
    if isinstance(periods, Real):
        raise TypeError(f"periods is {periods}; it must be a list of whole numbers, e.g. [{periods:.0f}].")
    asked = list(range(1, fit.periods + 1) if periods is None else periods)
    if not asked or not all(isinstance(one, Integral) and 1 <= one <= fit.periods for one in asked):
        allowed = f"whole numbers from 1 to {fit.periods}, or be None for all"
        raise ValueError(f"periods is {periods!r}; it must hold {allowed}.")
    asked = sorted(set(asked))
    if scale == LOGIT:
        return asked
    if cause is not None:
        raise ValueError(f"cause is {cause!r}; survival is that of all causes: leave it out, or take scale={LOGIT!r}.")
    if rng is None:
        raise ValueError(f"scale is {scale!r}, which draws orders and a background; pass rng=, a seed or a Generator.")
    for name, least in (("permutations", 2), ("background", 2)):
        if not isinstance(counts[name], Integral) or counts[name] < least:
            raise ValueError(f"{name} is {counts[name]!r}; it must be a whole number of at least {least}.")
    return asked


def ranks(answer: Floats, matrix: Any) -> Floats:
    """Places along the answer; equal ones by what the trees read, so that no order of rows decides."""
    return np.lexsort((*np.asarray(matrix).T, answer)).argsort().astype(np.float64)


def _along(held: Held, matrix: Any) -> Floats:
    """Places along the chance to wait on."""
    return ranks(held.log_staying(matrix).sum(axis=1), matrix)


def _background(matrix: Any, along: Floats, *, rows: int, rng: np.random.Generator) -> Any:
    """Rows along the chance to wait on, in its order."""
    if len(matrix) < 2:
        raise ValueError(
            "reference has 1 row (it is the frame, where none is given), and beside oneself nothing is told; pass "
            "reference=, the customers beside whom this one is explained."
        )
    drawn, _ = sample_of(along, pl.repeat("all", len(matrix), eager=True), rows=rows, rng=rng)
    return matrix[drawn[np.argsort(along[drawn])]]


def _places(owner: Mapping[str, str]) -> Ints:
    """Of each feature, the number of its signal."""
    known = list(members(owner))
    return np.array([known.index(signal) for signal in owner.values()])


def _by_trees(
    held: Held, matrix: Any, owner: Mapping[str, str], done: Callable[[int], object]
) -> tuple[Floats, Floats, None]:
    """Contributions (rows x periods x signals) and base (rows x periods), in chunks of rows."""
    is_of = np.eye(len(set(owner.values())))[_places(owner)]
    added, bases = [], []
    for start in range(0, len(matrix), _ROWS):
        told, base, margin = held.explain(matrix[start : start + _ROWS])
        add_up(told.reshape(-1, len(is_of)), base.ravel(), margin.ravel(), held.features)
        added.append(told @ is_of)
        bases.append(base)
        done(len(told))
    return np.concatenate(added), np.concatenate(bases), None


def _by_walks(
    held: Held, asked: Sequence[int], rows: Any, background: Any, owner: Mapping[str, str], **walk: Any
) -> Shares:
    """What each signal adds to log S at the end of the periods asked."""
    ends = np.array(asked) - 1
    return shapley(
        lambda read: np.cumsum(held.log_staying(read), axis=1)[:, ends], rows, background, _places(owner), **walk
    )


def _bar(rows: int, shown: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=rows, desc="rows explained", disable=not shown, leave=False)
