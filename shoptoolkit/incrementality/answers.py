"""What the moments of two arms answer, or why they cannot: the rows of `lift`.

In: `Moments` and what is asked of them. Out: `Question`, whose `rows` are those of an arm in a group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from shoptoolkit.contract import estimate_row, refused_row
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.estimates import critical_of
from shoptoolkit.incrementality.door import ESTIMANDS, MEASURES, QUESTION
from shoptoolkit.incrementality.means import SKEW, Means, compare, imbalance, quadratic, skewness
from shoptoolkit.incrementality.moments import Cell, Moments, merged
from shoptoolkit.incrementality.ratios import ratio_row

_LEAST = {"customers": 10, "clusters": 5}  # units of an arm, below which no interval is told
_SURE = 4.0  # standard errors that a denominator must be from zero
_POSITIVE = 2.0  # and that a mean must be, for its logarithm
_CHANCE = 0.0005  # p-value below which covariates that differ are no chance
Metrics = dict[str, tuple[str, str | None]]
Pairs = Sequence[tuple[Cell, Cell]]


class Question(NamedTuple):
    """What is asked of each pair of arms."""

    held: Moments
    control: str
    metrics: Metrics
    covariates: Sequence[str]
    pooled: bool
    relative: str | None
    level: float

    def rows(self, group: str, arm: str, reason: str | None) -> Iterator[dict[str, Any]]:
        """For each metric the difference and the relative difference; all refused if there is a `reason`."""
        cells = self.held.cells
        strata = dict.fromkeys(s for g, s, a in cells if g == group and a in (arm, self.control))
        found = {s: [cells.get((group, s, one)) for one in (arm, self.control)] for s in strata}
        pairs = [(one, other) for one, other in found.values() if one and other]
        reason = reason or self.refusal(arm, found, pairs)
        weights = {name: self.held.weights(*pair) for name, pair in self.metrics.items()}
        reasons = {name: reason or self.weak(name, arm, pairs) for name in weights}
        good = [name for name in weights if not reasons[name]]
        if good:
            tops, bottoms = (np.column_stack([weights[name][side] for name in good]) for side in (0, 1))
            places = self.held.places(self.covariates)
            means = compare(pairs, tops, bottoms, covariates=places, pooled=self.pooled)
        told: dict[str, Any] = {"question": QUESTION, "group": group, "contrast": f"{arm} - {self.control}"}
        told |= {"n": sum(cell.customers for pair in found.values() for cell in pair if cell), "level": self.level}
        for name in weights:
            words = self._words(name, told, pairs)[: 2 if self.relative else 1]
            if not reasons[name]:
                rows = self._answers(means, good.index(name), arm, weights[name][2])
            else:
                rows = [{"reason": reasons[name]}] * 2
            for one, row in zip(words, rows):
                yield refused_row(**one, **row) if "reason" in row else one | row

    def refusal(self, arm: str, found: dict[str, list[Cell | None]], pairs: Pairs) -> str | None:
        """Why no metric can be compared, if so."""
        units, k = self.held.units, len(self.covariates)
        for place, name in enumerate((arm, self.control)):
            own = [cell for pair in found.values() if (cell := pair[place])]
            n = merged(own).effective if own else 0.0
            if n < (least := max(_LEAST[units], 10 * k)):
                told = f"{n:.3g} {units} in {name!r}" + (" (of equal size)" if units == "clusters" else "")
                told += f" for {k} covariates; take fewer covariates, or" if k else "; an interval needs"
                return f"only {told} at least {least}."
        least = 2 if self.pooled or not k else k + 2
        if few := [s for s, pair in found.items() if min(cell.n if cell else 0 for cell in pair) < least]:
            return f"stratum {few[0]!r} has fewer than {least} {units} in an arm; merge it with another one."
        if k and imbalance(pairs, self.held.places(self.covariates)) < _CHANCE:
            return (
                f"{', '.join(self.covariates)} differ between {arm!r} and {self.control!r} by more than chance "
                f"(p < {_CHANCE}); were they measured after the assignment? Leave them out, or look at check_split."
            )
        return None

    def weak(self, name: str, arm: str, pairs: Pairs) -> str | None:
        """Why a ratio has no linear approximation, or a mean no law of large numbers, if so."""
        top, bottom, base = self.held.weights(*self.metrics[name])
        cells = [merged(pair[place] for pair in pairs) for place in (0, 1)]
        if not self.metrics[name][1]:
            return _skew(name, cells, top, base)
        for cell, whose in zip(cells, (arm, self.control)):
            error = math.sqrt(quadratic(bottom[:, None], cell.cross)[0] / (cell.n - 1) / cell.n)
            if abs(bottom @ cell.mean) <= _SURE * error:
                return (
                    f"the mean of {self.metrics[name][1]!r} in {whose!r} is within {_SURE:g} standard errors of zero, "
                    "too near to divide by; take more customers, or compare the numerator alone."
                )
        return None

    def _words(self, name: str, told: dict[str, Any], pairs: Pairs) -> tuple[dict[str, Any], dict[str, Any]]:
        top, bottom = self.metrics[name]
        method = "difference of ratios" if bottom else "difference in means"
        if len(pairs) > 1:
            method += f" within {len(pairs)} strata"
        if self.covariates:
            errors = "" if self.pooled else ", HC2" if pairs and pairs[0][0].rows is not None else ", moments"
            how = f"{'pooled' if self.pooled else 'interacted'}{errors}"
            method += f", adjusted for {', '.join(self.covariates)} ({how})"
        if self.held.units != "customers":
            method += f", {sum(cell.n for pair in pairs for cell in pair)} clusters"
        told = told | {"metric": name, "horizon_days": self.held.window_days}
        estimand = f"{top} per {bottom}, as assigned" if bottom else ESTIMANDS[self.held.start]
        shown = {"fieller": "Fieller", "delta": "log ratio", None: ""}[self.relative]
        relative = {"estimand": "relative to control", "measure": "share", "method": f"{method}; {shown}"}
        measure = None if bottom else MEASURES.get(top)
        return told | {"estimand": estimand, "measure": measure, "method": method}, told | relative

    def _answers(self, means: Means, place: int, arm: str, base: float) -> list[dict[str, Any]]:
        """The difference and the relative one: fields of rows, or their reason."""
        treated, control = means.value[:, place].tolist()
        parts = means.parts[:, :, place].sum(axis=0)
        for whose, part, floor in zip((arm, self.control), parts, means.floor[:, place]):
            if part <= floor:
                alike = "what the covariates tell" if self.covariates else "the same"
                reason = f"no variance in {whose!r}: every customer has {alike}. Was it measured in the experiment?"
                return [{"reason": reason}] * 2
        shared = means.shared[:, :, place]
        covariance = shared + np.diag(parts)
        far, freedom = treated - control, means.freedom(place)
        error = math.sqrt(parts.sum() + max(0.0, shared[0, 0] - 2 * shared[0, 1] + shared[1, 1]))
        rows = [estimate_row(estimate=far, standard_error=error, null=0, degrees=freedom, level=self.level)]
        treated, control = treated + base, control + base
        if self.relative is None:
            return rows
        if control == 0:
            return [*rows, {"reason": f"the mean in {self.control!r} is 0; nothing is relative to it."}]
        if self.relative == "fieller":
            both = covariance[0, 1] - covariance[1, 1]
            spread = [[error**2, both], [both, covariance[1, 1]]]
            told = ratio_row(top=far, bottom=control, covariance=spread, null=0, degrees=freedom, level=self.level)
            return [*rows, told]
        return [*rows, self._log_ratio(means, place, treated, control, rows[0]["p_value"])]

    def _log_ratio(self, means: Means, place: int, treated: float, control: float, p_value: float) -> dict[str, Any]:
        """The relative difference, by the logarithm of the ratio."""
        errors = np.sqrt(np.diag(means.covariance[:, :, place]))
        if treated / control <= 0 or min(abs(treated) / errors[0], abs(control) / errors[1]) < _POSITIVE:
            reason = (
                f"a mean is within {_POSITIVE:g} standard errors of zero, or they differ in sign, so that no log ratio "
            )
            return {"reason": reason + "can be told; take relative='fieller'."}
        if self.pooled:
            means = means.known()
        scale = (1 / treated, 1 / control)
        sign = np.array(scale) * (1, -1)
        error = math.sqrt(sign @ means.covariance[:, :, place] @ sign)
        reach = math.exp(critical_of(self.level, means.freedom(place, scale)) * error)
        ratio = treated / control
        told = {"estimate": ratio - 1, "low": ratio / reach - 1, "high": ratio * reach - 1, "set_shape": "interval"}
        return told | {"standard_error": ratio * error, "p_value": p_value, "verdict": "ok", "level": self.level}


def _skew(name: str, cells: Sequence[Cell], top: Floats, base: float) -> str | None:
    """Why a metric that few carry tells too little in arms of unequal size, if so.

    Where third powers were not summed, it is taken for a flag of this mean and variance, which is less skew.
    """
    whole, place = merged(cells), int(top.argmax())
    mean = base * whole.mean[0] + whole.mean[place]
    variance, third = whole.cross[place, place] / whole.n, whole.cube[place] / whole.n
    if np.isnan(third):
        third = variance**2 / mean if mean > 0 else 0.0
    if variance <= 0 or skewness([cell.n for cell in cells], variance, third) <= SKEW:
        return None
    return too_skew(name)


def too_skew(name: str) -> str:
    """How a refusal is told where `skewness` is above SKEW."""
    return (
        f"{name!r} in the smaller arm hangs on some large values, too few beside a larger arm: the interval would be "
        "too narrow. Take more customers or equal arms, or cut the largest values (`winsorise` of lift)."
    )
