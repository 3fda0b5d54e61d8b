"""Whom the ad moves: a score of its effect on each customer, learnt from an experiment.

In: Outcomes with features known before the experiment. Out: `fit_uplift` -> `UpliftFit`: `.predict` scores other
customers, `.out_of_fold` those of the experiment by models that have not seen them, `.held_out` by models of earlier
folds only (what tests of the scores need), `.average` the effect on all. A score carries no interval:
`uplift_calibration` says how far groups of customers differ.

The learners stand in learners.py; crossfit.py deals the folds and grows the trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.show import html_table
from shoptoolkit.incrementality.crossfit import FAR, Folds, TreeSum, cross_chances, deal, no_overlap
from shoptoolkit.incrementality.door import COVARIATE, MEASURES, QUESTION, Arms, arms
from shoptoolkit.incrementality.influences import mean_of
from shoptoolkit.incrementality.learners import LEARNERS, Score, Trial
from shoptoolkit.incrementality.split import split_reason
from shoptoolkit.incrementality.uplift_calibration import judge
from shoptoolkit.trees.boosting import data
from shoptoolkit.trees.door import feature_names
from shoptoolkit.trees.encoding import Encoder, unseen_in_words, warn
from shoptoolkit.trees.judging import Fact, sizes

_LEAST, _LEAST_OF_FOLD = 50, 5  # customers of an arm
_SEEN_LATER = ("exposed", "exposed_at", "probability", "assigned_at", "started_at", "matured_at", *MEASURES)


def fit_uplift(
    outcomes: Any,
    *,
    outcome: str,
    control: str,
    features: Sequence[str],
    rng: int | np.random.Generator,
    learner: str = "dr",
    propensity: float | str | None = None,
    cluster: str | None = None,
    folds: int = 5,
    nthread: int = 2,
) -> UpliftFit:
    """Whom does the ad move, and how much: a score of its effect by customer, from boosted trees.

    Parameters
    ----------
    outcomes
        Outcomes (contract), or what `incrementality.outcomes` gives, with the features: one row per customer.
    outcome
        Column: a number or a flag. For the time to the next order, give `survival.pseudo_values`.
    control
        The arm that all others are compared with; each other arm gets scores of its own.
    features
        Columns known before the experiment: numbers, flags, text; nulls are welcome.
    rng
        Seed or Generator: folds, and rows and features that trees see.
    learner
        "dr": trees of the doubly robust pseudo-outcome, which stays right where the outcome is hard to foresee. "x":
        trees of what the treated gained and the others missed, good where one arm is small. "t": the difference of an
        outcome model per arm, of least use where effects are small beside what drives the outcome.
    propensity
        The chance of a customer's own arm. None: the column `probability` where there is one, else the arms' shares. A
        number: the planned share of the one treatment. "estimated": by trees, out of fold, for arms that were not
        dealt at random; then everything rests on the features.
    cluster
        Column of what was dealt as one; folds and errors go by it.
    folds
        At least 3.
    nthread
        Threads at most; the answer does not depend on it.

    Returns
    -------
    UpliftFit
        Neither the order of rows and columns nor the customers' names nor the currency decide anything.

    Raises
    ------
    ContractError
        Outcomes as in `door.arms`; an arm of fewer than 50 customers, an outcome that is the same for all, features
        that trees cannot read, a chance that is null or 0.
    ValueError
        A feature that was measured in the experiment; a sample ratio that is no chance (p < .0005, with a column
        `probability`); customers of different arms who are unlike ("estimated"); a
        number or a name that is not allowed.

    References
    ----------
    Kennedy (2023), Electronic Journal of Statistics 17, 3008-3049 (dr); Kuenzel et al. (2019), PNAS 116, 4156-4165 (x,
    t); cross-fitting nested, so that the score of a customer owes nothing to that customer's outcome.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> rng = np.random.default_rng(1)
    >>> watched, treated = rng.integers(0, 10, 2_000), rng.random(2_000) < 0.5
    >>> shop = pl.DataFrame({
    ...     "customer_id": range(2_000), "arm": np.where(treated, "ads", "none"), "pre_watched": watched,
    ...     "orders": rng.poisson(1 + 0.2 * watched * treated)})
    >>> fit = fit_uplift(shop, outcome="orders", control="none", features=["pre_watched"], rng=1)
    >>> fit.average()
    ads - none: 0.956 (0.843 to 1.069) orders, n = 2,000
    >>> fit.predict(pl.DataFrame({"pre_watched": [0, 9]}))["effect"].round(1).to_list()
    [0.0, 1.7]
    """
    choose("learner", learner, LEARNERS)
    check_number("folds", folds, least=3, whole=True)
    rng = np.random.default_rng(rng)
    given, names = _read(outcomes, outcome=outcome, control=control, features=features, cluster=cluster)
    dealt = deal(
        given.table,
        features=names,
        by=["arm", outcome],
        folds=int(folds),
        rng=rng,
        customer=cluster or "customer_id",
        nthread=nthread,
    )
    _check_folds(dealt, cluster)
    chance, words = _chances(given, dealt, propensity, rng)
    trial = Trial(
        folds=dealt,
        outcome=dealt.table[outcome].to_numpy(),
        arm=dealt.table["arm"].to_numpy(),
        control=control,
        chance=chance,
        rng=rng,
    )
    scores = {arm: trial.score(arm, LEARNERS[learner]) for arm in given.treatments}
    told = pl.concat(_told(trial, arm, score, cluster) for arm, score in scores.items())
    return UpliftFit(
        effects={arm: score.model for arm, score in scores.items()},
        encoder=dealt.encoder,
        out_of_fold=told.drop("earlier"),
        held_out=told.with_columns(effect="earlier").filter(pl.col("effect").is_not_nan()).drop("earlier"),
        outcome=outcome,
        control=control,
        learner=learner,
        propensity=words,
        folds=int(folds),
        window_days=given.window_days,
        nthread=dealt.nthread,
    )


def _read(
    outcomes: Any, *, outcome: str, control: str, features: Sequence[str], cluster: str | None
) -> tuple[Arms, list[str]]:
    """The experiment, checked, and the names of the features in sorted order."""
    table = to_polars(outcomes)
    words = {"frame": "outcomes", "what": "the customer, the arm and what the experiment measures"}
    for name, column in {"outcome": outcome, "features": features, "cluster": cluster}.items():
        if (name != "features" and not isinstance(column, str | None)) or (name != "cluster" and column is None):
            raise TypeError(f"{name} is {column!r}; it must be the name of a column, or a list of names for features.")
    if cluster in ("arm", outcome):
        raise ValueError(
            f"cluster is {cluster!r}; it must be the column of what was dealt as one, such as a household."
        )
    keys = ["customer_id", "arm", outcome, *([cluster] if cluster else [])]
    names = feature_names(table, features, keys=keys, reserved=_SEEN_LATER, **words)
    if later := [one for one in names if f"{COVARIATE}{one}" in table.columns]:
        raise ValueError(
            f"features has {later[0]!r}, which the experiment measures, as there is '{COVARIATE}{later[0]}'; a score "
            "may only look at what was known before. Take that one."
        )
    chance = ["probability"] if "probability" in table.columns else []
    given = arms(outcomes, control=control, numbers=[outcome], keep=[*names, cluster, *chance])
    if cluster and given.table[cluster].null_count():
        raise ContractError(f"outcomes: {cluster!r} is null for some; give those who stand alone one of their own.")
    few = given.table.group_by("arm").len().filter(pl.col("len") < _LEAST).sort("arm")
    if len(few):
        told = f"arm {few['arm'][0]!r} has {few['len'][0]} customers"
        raise ContractError(f"outcomes: {told}; scores take at least {_LEAST} of each arm. Wait, or use lift.")
    if given.table[outcome].n_unique() < 2:
        value = given.table[outcome][0]
        raise ContractError(f"outcomes: {outcome!r} is {value:g} for all customers, so nothing can be learnt from it.")
    return given, names


def _check_folds(dealt: Folds, cluster: str | None) -> None:
    """Raise ContractError where a fold has too few customers of an arm to learn from."""
    each = dealt.table.select("arm", fold=pl.Series(dealt.fold)).group_by("arm", "fold").len()
    if len(each) < dealt.count * dealt.table["arm"].n_unique() or each["len"].to_numpy().min() < _LEAST_OF_FOLD:
        raise ContractError(
            f"outcomes: dealt into {dealt.count} folds{f' by {cluster!r}' if cluster else ''}, one of them has fewer "
            f"than {_LEAST_OF_FOLD} customers of an arm. Take fewer folds, or an experiment of more customers."
        )


def _chances(given: Arms, dealt: Folds, propensity: float | str | None, rng: np.random.Generator) -> tuple[Floats, str]:
    """The chance of each customer's own arm, and in words where it comes from."""
    arm = dealt.table["arm"]
    if propensity is None and "probability" in dealt.table.columns:
        chance = dealt.table["probability"]
        if not (chance > 0).fill_null(False).all():
            raise ContractError(
                "outcomes: 'probability' is null or 0 for some; it is the chance of the customer's arm."
            )
        if reason := split_reason(dealt.table.select("customer_id", "arm", "probability")):
            raise ValueError(f"outcomes: {reason}")
        return chance.to_numpy(), "as planned"
    code = arm.rank("dense").to_numpy().astype(np.int64) - 1
    shares = np.bincount(code) / len(code)
    if propensity is None:
        return shares[code], "shares of the arms"
    if propensity == "estimated":
        chances = cross_chances(dealt, code, rng=rng)
        if reason := no_overlap(chances, shares):
            raise ValueError(reason)
        return np.maximum(chances, FAR * shares)[np.arange(len(code)), code], "estimated"
    if isinstance(propensity, bool | str) or not isinstance(propensity, Real) or not 0 < propensity < 1:
        raise ValueError(f"propensity is {propensity!r}; it must lie between 0 and 1, or be 'estimated' or None.")
    if len(given.treatments) > 1:
        raise ValueError(
            f"propensity is {propensity:g}, and the treatments are {', '.join(map(repr, given.treatments))}; give a "
            "column 'probability', the chance of each customer's own arm."
        )
    return np.where(arm == given.control, 1 - float(propensity), float(propensity)), "as planned"


def _told(trial: Trial, arm: str, score: Score, cluster: str | None) -> pl.DataFrame:
    """One arm's scores, in the order of the frame as it was given."""
    told = trial.folds.table.select(
        "customer_id",
        pl.col("arm").alias("arm_given"),
        pl.lit(arm).alias("arm"),
        pl.Series("outcome", trial.outcome),
        pl.Series("effect", score.out_of_fold),
        pl.Series("pseudo", trial.pseudo(arm, frozenset(range(trial.folds.count)))),
        pl.Series("propensity", trial.chance),
        pl.Series("fold", trial.folds.fold),
        *([pl.col(cluster).alias("cluster")] if cluster else []),
        pl.Series("earlier", score.earlier),
    )
    return told[np.argsort(trial.folds.given)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UpliftFit:
    """Scores of what each treatment does to a customer, against `control`. A score ranks; it carries no interval.

    `out_of_fold`, one row per arm and customer of the experiment, in the order given: customer_id, arm_given, arm (that
    the score is about), outcome, effect (score, by the models of all other folds), pseudo (doubly robust, its mean is
    the effect), propensity (chance of arm_given), fold, perhaps cluster. `held_out`: the same for all but the first two
    folds, effect by models of earlier folds only. Tests of the scores take it: out-of-fold scores of two folds owe to
    each other's customers, and pooled they find effects to differ where they do not (Wager 2024, arXiv 2405.05534).

    `propensity`: in words where the chances come from.
    """

    effects: Mapping[str, TreeSum]
    encoder: Encoder
    out_of_fold: pl.DataFrame
    held_out: pl.DataFrame
    outcome: str
    control: str
    learner: str
    propensity: str
    folds: int
    window_days: float | None
    nthread: int

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms that have scores."""
        return tuple(self.effects)

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in sorted order."""
        return self.encoder.features

    def predict(self, frame: Any) -> pl.DataFrame:
        """The scores of any customers: customer_id where present, arm, effect; arm by arm, row order kept.

        The mean of the folds' models. Raises ContractError where the features are not those of the fit; categories it
        has not seen count as missing, with a warning.
        """
        table = to_polars(frame)
        warn(unseen_in_words(self.encoder.unseen(table)))
        kept = [name for name in ("customer_id",) if name in table.columns]
        told = [
            table.select(*kept, arm=pl.lit(arm), effect=pl.Series(self.of(arm).margin(table))) for arm in self.effects
        ]
        return pl.concat(told)

    def of(self, arm: str | None = None) -> Effect:
        """One treatment's score, as `explain` reads it; where there is one treatment, its name may be left out."""
        if arm is None and len(self.effects) == 1:
            arm = self.treatments[0]
        if arm is None or arm not in self.effects:
            raise ValueError(f"arm is {arm!r}; it must be one of {', '.join(map(repr, self.effects))}.")
        return Effect(encoder=self.encoder, model=self.effects[arm], nthread=self.nthread)

    def average(self, *, level: float = 0.95) -> EstimateTable:
        """The effect by treatment on all customers of the experiment (n, whatever their arm): the mean of `pseudo`."""
        check_level(level)
        about: dict[str, Any] = {"question": QUESTION, "estimand": "per assigned customer", "metric": self.outcome}
        about |= {"horizon_days": self.window_days, "measure": MEASURES.get(self.outcome), "group": "all"}
        about["method"] = f"doubly robust, cross-fitted trees, propensity {self.propensity}"
        rows = []
        for (arm,), part in self.out_of_fold.group_by("arm", maintain_order=True):
            estimate, error, degrees = mean_of(part)
            about["contrast"] = f"{arm} - {self.control}"
            numbers = {"estimate": estimate, "standard_error": error, "degrees": degrees}
            rows.append(estimate_row(**numbers, level=level, null=0.0, n=len(part), **about))
        return EstimateTable.from_rows(rows)

    def judge(
        self,
        frame: Any = None,
        *,
        by: str | Sequence[str] | None = None,
        rng: object = None,
        level: float = 0.95,
        groups: int = 5,
    ) -> EstimateTable:
        """How good is the score, overall and by segment, on `held_out`, where models of earlier folds gave it?

        `frame`: customers of the experiment to judge, customer_id and the columns of `by`, known before it (None: all).
        `rng` is not needed, and taken so that all fits can be judged alike; `groups` as in `uplift_calibration`.

        Rows by arm and group, "all" and then e.g. "source = paid": highest_less_lowest (effect of the outer groups by
        score), calibration_slope (of the effect on the score; 1: right; 0, against which the p-value is: it tells
        nothing), mean_effect, observed_less_predicted (mean effect less mean score). A ContractError where the frame
        repeats a customer, has none of `held_out`, or lacks a column.
        """
        return judge(self, frame, by=by, level=level, groups=groups)

    def facts(self, train: Any, test: Any) -> list[Fact]:
        """What a model card tells of this fit: section, item, text."""
        window = "not said" if self.window_days is None else f"{self.window_days:g} days"
        told = [
            ("data", "outcome", f"{self.outcome!r}, window: {window}"),
            ("model", "score", f"{self.learner} learner; {', '.join(self.treatments)} against {self.control}"),
            ("model", "folds", f"{self.folds}; each is judged by models of earlier ones"),
            ("model", "chance of the arm", self.propensity),
            ("limits", "a score is no estimate", "it ranks customers; intervals belong to groups of them"),
        ]
        return [*sizes(train, test, id="customer_id"), *told]

    def __repr__(self) -> str:
        told = f"{len(self.features)} features, {self.folds} folds, propensity {self.propensity}"
        return f"UpliftFit of {self.outcome!r} by the {self.learner} learner: {told}\n{self.average()!r}"

    def _repr_html_(self) -> str:
        spread = self.out_of_fold.group_by("arm", maintain_order=True).agg(
            n=pl.len(),
            mean_score=pl.col("effect").mean(),
            **{f"score_{share}": pl.col("effect").quantile(share / 100) for share in (5, 50, 95)},
        )
        note = f"{self.learner} learner, {self.folds} folds, propensity {self.propensity}; scores carry no interval"
        return html_table(spread, title=f"Scores of the effect on {self.outcome!r}, out of fold", note=note)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effect:
    """One treatment's score of its effect; it can be explained, see `explain.Explainable`."""

    encoder: Encoder
    model: TreeSum
    nthread: int

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in sorted order."""
        return self.encoder.features

    def encode(self, frame: Any) -> pl.DataFrame:
        """The features as the trees read them."""
        return self.encoder.encode(to_polars(frame))

    def margin(self, frame: Any) -> Floats:
        """The score by row."""
        encoded = self.encode(frame)
        if encoded.is_empty():  # of which xgboost warns
            return np.zeros(0)
        return self.model.predict(data(encoded, nthread=self.nthread))

    def explain_margin(self, frame: Any) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values of the score (rows x features), and the base of each row."""
        return self.model.explain(data(self.encode(frame), nthread=self.nthread))
