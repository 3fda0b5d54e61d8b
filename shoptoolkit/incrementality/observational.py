"""What customers with an ad did more than like customers without it, where nobody assigned it, and how far to trust it.

In: one row per customer: who had it, the outcome, what was known before. Out: `observational` -> `Observational`: the
doubly robust estimate beside the naive one, the overlap of both groups, and how strong a hidden confounder must be to
undo it. sensitivity.py keeps the score of the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.arrays import Flags, Floats
from shoptoolkit.contract.check import check_level, check_number, check_span, choose, listed
from shoptoolkit.contract.show import html_table
from shoptoolkit.incrementality.crossfit import Folds, cross_chances, deal, grow
from shoptoolkit.incrementality.door import MEASURES, QUESTION
from shoptoolkit.incrementality.joint import joints
from shoptoolkit.incrementality.sensitivity import Score, bounds, gains, robustness, score
from shoptoolkit.trees.encoding import Encoder

_ESTIMANDS = {"att": "per exposed customer", "ate": "per customer"}
_EDGE, _MOST = 0.02, 0.01  # at most this share of customers may have a propensity beyond the edges
_LEAST = 50  # customers, or their worth after weighting, of either group
_TREATED, _OUTCOME = "__treated", "__outcome"
_FAR = 4.0  # standard deviations, beyond which a line goes on flat
_STRENGTHS = (0.01, 0.03, 0.1)
_SHARES = ("outcome_share", "treatment_share", "estimate_low", "estimate_high", "low", "high")
_NO_OVERLAP = pl.DataFrame(
    schema=dict.fromkeys(("propensity_low", "propensity_high"), pl.Float64)
    | dict.fromkeys(("n_treated", "n_untreated"), pl.Int64)
)
_NO_DOUBTS = pl.DataFrame(schema={"confounder": pl.String} | dict.fromkeys(_SHARES, pl.Float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observational:
    """What customers with an ad did more than like customers without it.

    `estimates`: the doubly robust row, then the naive one. `overlap`: propensity_low, propensity_high, n_treated,
    n_untreated: how many of either group had such a chance of the treatment. `sensitivity`: confounder, outcome_share
    (of what the covariates leave unexplained of the outcome, how much the confounder would explain), treatment_share
    (how much more of the treatment, as gain in the variation of the weights), estimate_low, estimate_high (where the
    estimate would lie at worst), low, high (with the interval); none if refused. `robustness_value`: how large both
    shares must be for the estimate to be 0; `robustness_value_interval`: for the interval to hold 0. `effective_n`:
    what the customers compared with are worth after weighting.
    """

    estimates: EstimateTable
    overlap: pl.DataFrame
    sensitivity: pl.DataFrame
    robustness_value: float | None
    robustness_value_interval: float | None
    effective_n: float | None

    def __repr__(self) -> str:
        return f"{self.estimates!r}\n{self._doubt()}"

    def _repr_html_(self) -> str:
        told = self.estimates._repr_html_()
        return told + html_table(self.sensitivity, title="A hidden confounder at worst", note=self._doubt())

    def _doubt(self) -> str:
        if self.robustness_value is None:
            return "refused, so there is nothing to doubt"
        return (
            f"a hidden confounder that explains {100 * self.robustness_value:.2g} % of what is left of outcome and "
            f"treatment would undo the estimate, {100 * (self.robustness_value_interval or 0):.2g} % its interval"
        )


def observational(
    frame: Any,
    *,
    treatment: str,
    outcome: str,
    covariates: str | Sequence[str],
    rng: int | np.random.Generator,
    estimand: str = "att",
    folds: int = 5,
    trim: bool = False,
    benchmarks: str | Sequence[str] = (),
    contrast: str | None = None,
    horizon_days: float | None = None,
    id: str = "customer_id",
    level: float = 0.95,
    nthread: int = 2,
) -> Observational:
    """How much more did customers with the ad buy than like customers without it, and what could undo the answer?

    Without a random assignment this is an effect only if `covariates` hold everything that made customers both see the
    ad and buy. Nobody can check that; `sensitivity` says how wrong it may be, and an experiment beside it shows it.

    Parameters
    ----------
    frame
        One row per customer, such as what `incrementality.outcomes` gives.
    treatment
        Column of who had it: Boolean or 0/1, e.g. "exposed".
    outcome
        Column of numbers or flags.
    covariates
        Columns known before: numbers (null: missing), flags, text.
    rng
        Seed or Generator: the folds, and the trees.
    estimand
        "att": the effect on those who had it (per exposed customer); "ate": on all customers.
    folds
        The expectations of a customer come from trees that have not seen the customer, so many times over.
    trim
        True leaves out whoever has hardly anybody alike in the other group, and says so in the estimand; False refuses
        where there are many of them.
    benchmarks
        Covariates, each left out in turn: `sensitivity` then tells of a hidden confounder as strong as that one.
    contrast
        What the comparison is called, so that a ledger finds rows of an experiment beside it; None: "exposed - not".
    horizon_days
        Over how many days the outcome was counted, for a ledger too; None: as the frame says.
    id
        Column of the customer.
    level
        Coverage of the intervals.
    nthread
        Threads at most.

    Returns
    -------
    Observational
        Refused where more than 1 % of the customers the estimand is about have a propensity beyond .02 to .98 ("att":
        above .98); a few are weighted as if on that edge, and the row says so. Refused too where the weights of a group
        do not add up to 1 (by a tenth and four errors), and where either has, or is worth after weighting, fewer than
        50.

    Raises
    ------
    ContractError
        Columns missing or mistyped; a customer with several rows; null or infinite outcomes; covariates that trees
        cannot read; a column that is constant.
    ValueError
        A column in two roles, an unknown option, a number out of its range.

    Notes
    -----
    What is to be expected comes from customers of other folds: of the outcome by a line and boosted trees for what the
    line leaves, of the treatment by boosted trees. The interval holds if they come near enough, which takes customers:
    with three numbers that confound, one of 95 % held .88 to .94 with 300 to 400 customers and .92 to .97 with 1,000 to
    2,000; of 90 % with 1,000 and three folds, .86. Covariates measured after the treatment, or changed by it, make the
    answer wrong whatever their number.

    References
    ----------
    Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68: the score and cross-fitting. Chernozhukov, Cinelli,
    Newey, Sharma and Syrgkanis (2022), NBER working paper 30302, "Long story short": the sensitivity. Cinelli and
    Hazlett (2020), JRSS B 82, 39-67: the robustness value.

    Examples
    --------
    >>> k = pl.int_range(600)  # who orders much sees the ad more often; it adds one order
    >>> frame = pl.DataFrame({"customer_id": range(600)}).with_columns(pre_orders=k % 7, exposed=k * k % 11 < k % 7)
    >>> frame = frame.with_columns(orders=pl.col("pre_orders") + pl.col("exposed").cast(int) + k % 3)
    >>> told = observational(frame, treatment="exposed", outcome="orders", covariates="pre_orders", rng=1)
    >>> told.estimates.table["estimate"].round(1).to_list()
    [1.0, 3.3]
    """
    choose("estimand", estimand, _ESTIMANDS)
    _check(level, folds, nthread, horizon_days)
    rng = np.random.default_rng(rng)
    names, without = sorted(set(listed(covariates, name="covariates"))), listed(benchmarks, name="benchmarks")
    table = _read(frame, id, treatment, outcome, names, without)
    words: dict[str, Any] = {
        "question": QUESTION,
        "estimand": _ESTIMANDS[estimand],
        "metric": outcome,
        "measure": MEASURES.get(outcome),
        "contrast": contrast or f"{treatment} - not",
        "group": "all",
        "horizon_days": horizon_days or getattr(frame, "window_days", None),
        "level": level,
    }
    arm = pl.when(_TREATED).then(pl.lit("with")).otherwise(pl.lit("without"))
    plain = table.select(_OUTCOME, customer_id=pl.col(id), arm=arm)
    ((_, _, apart),) = joints(plain, control="without", numbers=[_OUTCOME])
    naive = apart.row({_OUTCOME: 1.0}, **words, method="difference in means, not adjusted")
    words |= {"method": f"doubly robust, lines and boosted trees, {folds} folds"}
    if few := _too_few(table):
        return _answer([refused_row(reason=few, n=len(table), **words), naive])
    dealt = deal(table, features=names, by=(_TREATED, _OUTCOME), folds=folds, rng=rng, customer=id, nthread=nthread)
    seed = int(rng.integers(2**31))
    told = _expected(dealt, seed)
    kept, refused, note = _compared(told, estimand, trim)
    words |= {"n": int(kept.sum()), "estimand": words["estimand"] + (" with overlap" if trim else "")}
    if refused:
        return _answer([refused_row(reason=refused, **words), naive], _overlap(told))
    found = _score(told, kept, estimand)
    row = estimate_row(estimate=found.estimate, standard_error=found.error, null=0.0, reason=note, **words)
    short = {name: _score(_expected(_but(dealt, name), seed), kept, estimand) for name in without}
    doubts, values = _doubts(found, short, level), robustness(found, level=level)
    return _answer([row, naive], _overlap(told), doubts, values, _worth(found, told.treated[kept]))


def _check(level: float, folds: int, nthread: int, horizon_days: float | None) -> None:
    check_level(level)
    check_number("folds", folds, least=2, whole=True)
    if folds > _LEAST:
        raise ValueError(f"folds is {folds}; each must hold customers of both groups, so at most {_LEAST}, e.g. 5.")
    check_number("nthread", nthread, least=1, whole=True)
    if horizon_days is not None:
        check_span("horizon_days", horizon_days)


def _read(frame: Any, id: str, treatment: str, outcome: str, names: list[str], without: list[str]) -> pl.DataFrame:
    """The columns asked for, with who was treated as a flag, and the outcome about its mean."""
    table = to_polars(frame)
    roles = [id, treatment, outcome, *names]
    if absent := [name for name in roles if name not in table.columns]:
        raise ContractError(f"frame: {', '.join(map(repr, absent))} missing. It has: {', '.join(table.columns)}.")
    if twice := sorted({name for name in roles if roles.count(name) > 1}):
        raise ValueError(f"{', '.join(map(repr, twice))} cannot be id, treatment, outcome and covariate at once.")
    if not names:
        raise ValueError("covariates is empty; name what was known before, or take the naive difference: lift.")
    if unknown := [name for name in without if name not in names or len(names) == 1]:
        raise ValueError(f"benchmarks has {unknown[0]!r}; it must be one of several covariates: {', '.join(names)}.")
    if bad := int((table[id].is_duplicated() | table[id].is_null()).sum()):
        raise ContractError(f"frame: {id!r} is null or repeated in {bad:,} rows; give one row per customer.")
    flags, numbers = table[treatment], table[outcome]
    if not _is_number(flags) or not flags.cast(pl.Float64).is_in([0.0, 1.0]).all(ignore_nulls=False):
        raise ContractError(f"frame: treatment {treatment!r} must be true or false (or 1, 0) in every row.")
    if not _is_number(numbers):
        raise ContractError(f"frame: outcome {outcome!r} is {numbers.dtype}; it must be numbers or flags.")
    numbers = numbers.cast(pl.Float64)
    if bad := len(table) - int(numbers.is_finite().sum()):
        raise ContractError(f"frame: outcome {outcome!r} is null, NaN or infinite in {bad:,} of {len(table):,} rows.")
    for name, column in {treatment: flags, outcome: numbers}.items():
        if column.n_unique() < 2:
            raise ContractError(f"frame: {name!r} is the same in all {len(table):,} rows, so nothing can be compared.")
    made = {_TREATED: flags.cast(pl.Boolean), _OUTCOME: numbers - numbers.mean()}
    return table.select(id, *names).with_columns(**made)


def _is_number(column: pl.Series) -> bool:
    return column.dtype == pl.Boolean or column.dtype.is_numeric()


def _too_few(table: pl.DataFrame) -> str | None:
    sizes = [int((table[_TREATED] == one).sum()) for one in (True, False)]
    if min(sizes) >= _LEAST:
        return None
    return f"only {min(sizes)} customers {'without' if sizes[1] < sizes[0] else 'with'} it; {_LEAST} are needed."


class _Expected(NamedTuple):
    """Each customer's outcome, treatment, chance of it, and the outcome to be expected without and with it."""

    outcome: Floats
    treated: Flags
    chance: Floats
    without: Floats
    with_it: Floats


def _expected(folds: Folds, seed: int) -> _Expected:
    rng = np.random.default_rng(seed)
    outcome, treated = folds.table[_OUTCOME].to_numpy(), folds.table[_TREATED].to_numpy()
    chance = cross_chances(folds, treated.astype(np.int64), rng=rng)[:, 1]
    return _Expected(outcome, treated, chance, *(_outcome(folds, outcome, one, rng) for one in (~treated, treated)))


def _outcome(folds: Folds, outcome: Floats, where: Flags, rng: np.random.Generator) -> Floats:
    """What is to be expected of every customer, by a line and trees for what it leaves, learnt `where` in other folds.

    Trees alone fall short of a trend until they have seen many customers, and confounding stays in the answer.
    """
    numbers = folds.encoded.select(cs.numeric() | cs.boolean()).cast(pl.Float64)
    scaled = numbers.select((pl.all() - pl.all().mean()) / pl.all().std()).fill_null(0.0).fill_nan(0.0)
    x = np.column_stack([np.ones(len(scaled)), scaled.to_numpy().clip(-_FAR, _FAR)])
    told = np.empty(len(outcome))
    for fold in range(folds.count):
        own = folds.fold == fold
        seen = x[where & ~own]
        slopes = np.linalg.solve(seen.T @ seen + np.eye(x.shape[1]), seen.T @ outcome[where & ~own])
        line = x @ slopes
        told[own] = line[own] + grow(folds, where & ~own, outcome - line, rng=rng).predict(folds.matrix(own))
    return told


def _but(folds: Folds, name: str) -> Folds:
    """The same folds without one covariate."""
    old = folds.encoder
    encoder = Encoder(
        dtypes={key: one for key, one in old.dtypes.items() if key != name},
        kinds={key: one for key, one in old.kinds.items() if key != name},
        categories={key: one for key, one in old.categories.items() if key != name},
    )
    return replace(folds, encoder=encoder, encoded=folds.encoded.drop(name))


def _compared(told: _Expected, estimand: str, trim: bool) -> tuple[Flags, str | None, str | None]:
    """Which customers are compared; why they cannot be, if so; and what is to be said if they are."""
    beyond = (told.chance > 1 - _EDGE) | (told.chance < _lowest(estimand))
    about = told.treated if estimand == "att" else np.ones(len(beyond), bool)
    who = f"a propensity {f'above {1 - _EDGE}' if estimand == 'att' else f'beyond {_EDGE} to {1 - _EDGE}'}"
    kept = ~beyond if trim else np.ones(len(beyond), bool)
    far = int((beyond & about & kept).sum())
    if far > _MOST * about.sum():
        refused = (
            f"no overlap: {far:,} of {about.sum():,} customers have {who}, so hardly anybody of the other group is"
        )
        return kept, f"{refused} like them. trim=True leaves them out, and says so in the estimand.", None
    found = _score(told, kept, estimand) if told.treated[kept].any() else None
    worth = _worth(found, told.treated[kept]) if found else 0.0
    if found and (unlike := _unlike(found, told.treated[kept])):
        return kept, unlike, None
    if worth < _LEAST:
        refused = f"weighted to be alike, the customers of one group are worth only {worth:.0f}; {_LEAST} are needed."
        return kept, f"{refused} Take more customers, or trim=True.", None
    return kept, None, f"{far:,} customers with {who} weigh as if on that edge." if far else None


def _lowest(estimand: str) -> float:
    """The least propensity; where only the treated count, a small one asks nothing of anybody."""
    return _EDGE if estimand == "ate" else 1e-9


def _score(told: _Expected, kept: Flags, estimand: str) -> Score:
    chance = np.clip(told.chance, _lowest(estimand), 1 - _EDGE)[kept]
    expected = {"without": told.without[kept], "with_it": told.with_it[kept]}
    return score(told.outcome[kept], told.treated[kept], chance=chance, estimand=estimand, **expected)


def _worth(found: Score, treated: Flags) -> float:
    """How many equally weighted customers the group with the more unequal weights is worth (Kish 1965)."""
    sides = (found.weights[treated], found.weights[~treated])
    return float(min(one.sum() ** 2 / (one**2).sum() for one in sides))


def _unlike(found: Score, treated: Flags) -> str | None:
    """Why weights do not make the groups alike, if so: their mean must be 1, give or take a tenth and 4 errors.

    Trees shrink propensities, so that where hardly anybody is alike these alone may stay within the edges.
    """
    for side, name in ((treated, "with"), (~treated, "without")):
        weights = np.abs(np.where(side, found.weights, 0.0))
        if abs(weights.mean() - 1) > max(0.1, 4 * weights.std() / math.sqrt(len(weights))):
            return (
                f"no overlap: the customers {name} it, weighted to stand for the others, add up to "
                f"{weights.mean():.2g} of them, so propensities are further apart than the trees tell. Leave out what "
                "all but says who had it, or whom it could not reach."
            )
    return None


def _overlap(told: _Expected) -> pl.DataFrame:
    edges = np.linspace(0, 1, 21)
    sides = {"n_treated": told.treated, "n_untreated": ~told.treated}
    counts = {name: np.histogram(told.chance[side], edges)[0] for name, side in sides.items()}
    return pl.DataFrame({"propensity_low": edges[:-1], "propensity_high": edges[1:], **counts})


def _doubts(found: Score, short: dict[str, Score], level: float) -> pl.DataFrame:
    shares = {f"{100 * share:g} % of each": (share, share) for share in _STRENGTHS}
    shares |= {f"as strong as {name}": gains(found, one) for name, one in short.items()}
    rows = [
        {"confounder": name, "outcome_share": one, "treatment_share": other}
        | bounds(found, outcome_share=one, treatment_share=other, level=level)
        for name, (one, other) in shares.items()
    ]
    return pl.DataFrame(rows)


def _answer(
    rows: list[dict[str, Any]],
    overlap: pl.DataFrame = _NO_OVERLAP,
    doubts: pl.DataFrame = _NO_DOUBTS,
    values: tuple[float | None, float | None] = (None, None),
    worth: float | None = None,
) -> Observational:
    return Observational(
        estimates=EstimateTable.from_rows(rows),
        overlap=overlap,
        sensitivity=doubts,
        robustness_value=values[0],
        robustness_value_interval=values[1],
        effective_n=worth,
    )
