"""What an arm changed in several numbers at once, with what their errors share: the comparison of `lift`, for sums.

In: Outcomes. Out: `joints` -> a `Joint` for each group and arm, whose `row` and `ratio` are rows of Estimates for any
weighted sum of the numbers and any quotient of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoptoolkit.contract import estimate_row, refused_row
from shoptoolkit.incrementality.answers import Question
from shoptoolkit.incrementality.door import metrics_of, others
from shoptoolkit.incrementality.lift import counted
from shoptoolkit.incrementality.means import compare
from shoptoolkit.incrementality.moments import Cell, Moments, merged
from shoptoolkit.incrementality.ratios import ratio_row

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joint:
    """One arm less the control, in a group.

    `pairs`: moments of the two arms, in each stratum. `reason`: why there is no saying, if so; `weak`: name -> why
    there is none of that number. Their rows are refused.
    """

    held: Moments
    pairs: Sequence[tuple[Cell, Cell]]
    covariates: Sequence[str]
    n: int
    reason: str | None
    weak: Mapping[str, str]

    def row(self, weights: Weights, *, level: float, null: float | None = 0.0, **rest: Any) -> dict[str, Any]:
        """One row of Estimates for a weighted sum of differences; refused where all customers are alike in it."""
        told: dict[str, Any] = {"level": level, "n": self.n} | rest
        if reason := self._why_not(weights):
            return refused_row(**told | {"reason": reason})
        ((value, variance, degrees),) = self._of(weights)
        if value == 0 == variance:
            what = " and ".join(weights)
            return refused_row(**told | {"reason": f"All customers have the same {what}; was it measured?"})
        return estimate_row(estimate=value, standard_error=math.sqrt(variance), null=null, degrees=degrees, **told)

    def ratio(
        self, top: Weights, bottom: Weights, *, level: float, null: float | None = 0.0, **rest: Any
    ) -> dict[str, Any]:
        """One row of Estimates for a quotient of weighted sums, with Fieller's set; refused where it divides by 0."""
        told: dict[str, Any] = {"level": level, "n": self.n} | rest
        if reason := self._why_not({**top, **bottom}):
            return refused_row(**told | {"reason": reason})
        (above, one, _), (below, two, _) = self._of(top, bottom)
        if below == 0:
            return refused_row(**told | {"reason": f"The arms do not differ in {' and '.join(bottom)}."})
        scale = [1 / math.sqrt(each) if each else 0.0 for each in (one, two)]  # so that neither drowns the other
        (_, sum_of_both, _), (_, _, degrees) = self._of(
            _added(top, scale[0], bottom, scale[1]), _added(top, 1.0, bottom, -above / below)
        )
        shared = (sum_of_both - 2) / 2 / scale[0] / scale[1] if all(scale) else 0.0
        told |= {"covariance": [[one, shared], [shared, two]], "degrees": degrees, "null": null}
        return ratio_row(top=above, bottom=below, **told)

    def difference(self, name: str) -> tuple[float, float]:
        """How much the arms differ in one number, and the variance of that."""
        return self._of({name: 1.0})[0][:2]

    def counts(self, name: str) -> list[tuple[int, int]]:
        """In the arm and in the control: for how many customers a flag is 1, and how many there are."""
        place, centre = self.held.places([name])[0], float(self.held.centre[self.held.names.index(name)])
        arms = [merged(cells) for cells in zip(*self.pairs)]
        return [(round(one.n * one.mean[place] + centre * one.customers), one.customers) for one in arms]

    def _why_not(self, names: Iterable[str]) -> str | None:
        return self.reason or next((self.weak[name] for name in names if name in self.weak), None)

    def _of(self, *sums: Weights) -> list[tuple[float, float, float | None]]:
        """For each weighted sum the difference, its variance, and degrees of freedom; None where nothing varies."""
        tops = np.zeros((1 + len(self.held.names), len(sums)))
        for k, weights in enumerate(sums):
            tops[self.held.places(weights), k] = list(weights.values())
        per_customer = np.eye(len(tops), 1) @ np.ones((1, len(sums)))
        means = compare(self.pairs, tops, per_customer, covariates=self.held.places(self.covariates))
        told: list[tuple[float, float, float | None]] = []
        for k, value in enumerate((means.value[0] - means.value[1]).tolist()):
            covariance = means.covariance[:, :, k]
            variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
            varies = (means.parts[:, :, k].sum(axis=0) > means.floor[:, k]).any()
            told.append((value, variance, means.freedom(k)) if varies else (value, 0.0, None))
        return told


def joints(
    outcomes: Any,
    *,
    control: str,
    numbers: Sequence[str],
    beside: Sequence[str] = (),
    covariates: Sequence[str] = (),
    strata: str | None = None,
    cluster: str | None = None,
    by: str | None = None,
) -> Iterator[tuple[str, str, Joint]]:
    """Group, arm, and how the arm differs from the control; checked and refused as `lift` does.

    `numbers` are outcomes, which few customers must not carry alone; those `beside` them are not.
    """
    options: dict[str, Any] = {"strata": strata, "cluster": cluster, "by": by, "winsorise": None}
    asked = metrics_of([*numbers, *beside])
    held, asked, reason = counted(outcomes, asked, covariates, bool(covariates), None, **options)
    question = Question(held, control, asked, covariates, False, None, 0.95)
    arms = others((arm for _, _, arm in held.cells), control)
    for group in dict.fromkeys(group for group, _, _ in held.cells):
        for arm in arms:
            names = dict.fromkeys(s for g, s, a in held.cells if g == group and a in (arm, control))
            found = {s: [held.cells.get((group, s, one)) for one in (arm, control)] for s in names}
            pairs = [(one, other) for one, other in found.values() if one and other]
            why = reason or question.refusal(arm, found, pairs)
            weak = {} if why else {name: told for name in numbers if (told := question.weak(name, arm, pairs))}
            n = sum(cell.customers for pair in found.values() for cell in pair if cell)
            yield group, arm, Joint(held=held, pairs=pairs, covariates=covariates, n=n, reason=why, weak=weak)


def words_of(method: str, covariates: Sequence[str], strata: str | None = None, cluster: str | None = None) -> str:
    """A method's name, with what else was asked of it."""
    within = f" within {strata}" if strata else ""
    adjusted = f", adjusted for {', '.join(covariates)} (interacted, HC2)" if covariates else ""
    return f"{method}{within}{adjusted}{f', errors by {cluster}' if cluster else ''}"


def _added(one: Weights, by: float, two: Weights, by_two: float) -> dict[str, float]:
    """The sum of two weighted sums."""
    return {name: by * one.get(name, 0.0) + by_two * two.get(name, 0.0) for name in {**one, **two}}
