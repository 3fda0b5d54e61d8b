"""Do arms hold as many as were planned? If not, something other than the draw decided who is counted.

In: counts and planned shares. Out: `check_shares` of a plan; `split_p_value`, and `ratio_reason`, why arms cannot be
compared, if they cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np
import numpy.typing as npt

from shoptoolkit.contract.arrays import Floats

BLOCKS_BELOW = 0.0005  # the p-value under which the split of the customers is no accident
_FEW = 100  # expected in an arm: with fewer, the chi-square law is too light so far out


def check_shares(shares: Mapping[str, float], arms: Iterable[str] = ()) -> None:
    """Raise TypeError or ValueError unless `shares` are those of these arms, and perhaps of more, and add up to 1."""
    if not isinstance(shares, Mapping):
        raise TypeError(f"shares is {shares!r}; give {{arm: share}}, e.g. {{'ad': 0.9, 'none': 0.1}}.")
    arms = sorted(arms)
    if absent := [arm for arm in arms if arm not in shares]:
        raise ValueError(f"shares has no {absent[0]!r}; the arms are {', '.join(map(repr, arms))}.")
    if not all(isinstance(one, Real) and one > 0 for one in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"shares is {dict(shares)}; they must be above 0 and add up to 1, e.g. 0.9 and 0.1.")


def split_p_value(counts: npt.ArrayLike, expected: npt.ArrayLike, covariance: npt.ArrayLike | None = None) -> float:
    """How likely the draw alone is to miss the expected counts by as much: Pearson's chi-square test.

    `covariance`: of the counts, where customers' chances differ; None: they are alike. Where few are expected in an
    arm, by the binomial law, tails doubled, and Bonferroni where there are more than two arms; that is never too small
    a p-value, whether chances differ or not (Hoeffding 1956, Ann. Math. Statist. 27, 713-721).
    """
    from scipy.special import bdtr, bdtrc, chdtrc

    n, due = np.asarray(counts, dtype=float), np.asarray(expected, dtype=float)
    total = int(n.sum())
    if ((due <= 0) & (n > 0)).any():
        return 0.0
    if due.min() < _FEW:
        share = np.clip(due / total, 0, 1)
        tails = 2 * np.minimum(bdtr(n, total, share), np.where(n > 0, bdtrc(n - 1, total, share), 1.0))
        return float(min(1.0, tails.min() * (1 if len(n) == 2 else len(n))))
    if covariance is None:
        return float(chdtrc(len(n) - 1, ((n - due) ** 2 / due).sum()))
    spread: Floats = np.asarray(covariance, dtype=float)[:-1, :-1]  # the last arm is what the others leave
    miss = (n - due)[:-1]
    return float(chdtrc(len(miss), miss @ np.linalg.solve(spread, miss)))


def ratio_reason(
    counts: Mapping[str, int], shares: Mapping[str, float], *, p_value: float | None = None, unit: str = "customers"
) -> str | None:
    """Why these arms cannot be compared, if they cannot; `shares` as planned need not add up to 1.

    `p_value`: where it is known already.
    """
    planned = {arm: shares[arm] / sum(shares.values()) for arm in sorted(shares)}
    total = sum(counts.values())
    if p_value is None:
        p_value = split_p_value([counts.get(arm, 0) for arm in planned], [total * one for one in planned.values()])
    if p_value >= BLOCKS_BELOW:
        return None
    told = ", ".join(f"{counts.get(arm, 0):,} in {arm!r} (planned {total * one:,.0f})" for arm, one in planned.items())
    return (
        f"Sample ratio mismatch: of {total:,} {unit} {told}; p = {p_value:.1g}. Something other than the draw decided "
        "who is counted. Find out what (rows lost in one arm, a filter after the assignment, a wrong plan: `shares`, "
        "or `probability`, which is that of the customer's own arm), and compare arms only then."
    )
