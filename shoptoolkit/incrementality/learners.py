"""How trees learn the effect of an arm on each customer: three learners, cross-fitted.

In: `Trial`, the customers of an experiment in folds. Out: `Trial.score` -> `Score`; `LEARNERS`, each of which learns
from a set of folds. Whatever a learner is told of a customer comes from models that have not seen that customer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shoptoolkit.contract.arrays import Flags, Floats
from shoptoolkit.incrementality.crossfit import Folds, TreeSum, add, grow

Known = frozenset[int]  # folds that a model may look at
_DEPTH = 2  # of trees of an effect, which is simpler than an outcome and seen through more noise


class Score(NamedTuple):
    """An arm's effect: `model` is the mean of the folds' models.

    `out_of_fold`: of each customer by the model of all other folds; `earlier`: by one of earlier folds only, nan in the
    first two folds.
    """

    model: TreeSum
    out_of_fold: Floats
    earlier: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """The customers of an experiment, in folds. `chance`: of each one's own arm."""

    folds: Folds
    outcome: Floats
    arm: npt.NDArray[Any]
    control: str
    chance: Floats
    rng: np.random.Generator
    learnt: dict[tuple[str, Known], TreeSum] = field(default_factory=dict)

    def within(self, known: Known) -> Flags:
        """The customers of some folds."""
        return np.isin(self.folds.fold, list(known))

    def mean(self, arm: str, known: Known) -> TreeSum:
        """What an arm's customers of some folds do."""
        if (arm, known) not in self.learnt:
            rows = self.within(known) & (self.arm == arm)
            self.learnt[arm, known] = grow(self.folds, rows, self.outcome, rng=self.rng)
        return self.learnt[arm, known]

    def expected(self, arm: str, known: Known) -> Floats:
        """What each customer of some folds would do in an arm, by the others of those folds; nan elsewhere."""
        told = np.full(len(self.outcome), np.nan)
        for fold in known:
            own = self.folds.fold == fold
            told[own] = self.mean(arm, known - {fold}).predict(self.folds.matrix(own))
        return told

    def pseudo(self, arm: str, known: Known) -> Floats:
        """A number by customer whose mean, given the features, is the effect: doubly robust (Robins et al. 1994)."""
        ours, theirs = self.expected(arm, known), self.expected(self.control, known)
        sign = (self.arm == arm).astype(float) - (self.arm == self.control)
        return ours - theirs + sign * (self.outcome - np.where(sign > 0, ours, theirs)) / self.chance

    def score(self, arm: str, learner: Callable[[Trial, str, Known], TreeSum]) -> Score:
        """An arm's effect on each customer."""
        count = self.folds.count
        models = [learner(self, arm, frozenset(range(count)) - {fold}) for fold in range(count)]
        earlier = {fold: learner(self, arm, frozenset(range(fold))) for fold in range(2, count - 1)}
        earlier[count - 1] = models[-1]
        told = np.full((2, len(self.outcome)), np.nan)
        for row, each in zip(told, (dict(enumerate(models)), earlier), strict=True):
            for fold, model in each.items():
                own = self.folds.fold == fold
                row[own] = model.predict(self.folds.matrix(own))
        return Score(add((1 / count, model) for model in models), *told)


def _dr(trial: Trial, arm: str, known: Known) -> TreeSum:
    """Kennedy (2023)."""
    return grow(trial.folds, trial.within(known), trial.pseudo(arm, known), rng=trial.rng, depth=_DEPTH)


def _x(trial: Trial, arm: str, known: Known) -> TreeSum:
    """Kuenzel et al. (2019), the two halves weighted by the other arm's share."""
    treated, held = (trial.within(known) & (trial.arm == one) for one in (arm, trial.control))
    gained = grow(
        trial.folds, treated, trial.outcome - trial.expected(trial.control, known), rng=trial.rng, depth=_DEPTH
    )
    missed = grow(trial.folds, held, trial.expected(arm, known) - trial.outcome, rng=trial.rng, depth=_DEPTH)
    share = treated.sum() / (treated.sum() + held.sum())
    return add([(1 - share, gained), (share, missed)])


def _t(trial: Trial, arm: str, known: Known) -> TreeSum:
    return add([(1.0, trial.mean(arm, known)), (-1.0, trial.mean(trial.control, known))])


LEARNERS: dict[str, Callable[[Trial, str, Known], TreeSum]] = {"dr": _dr, "x": _x, "t": _t}
