"""How likely a fitted hazard holds what happened: minus the log-likelihood of each spell, as the trees count it.

In: a fit and spells it may not have seen. Out: `losses`, one number per spell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.survival.hazard.door import coded, read, waits_of
from shoptoolkit.survival.hazard.rows import Singles, pieces
from shoptoolkit.survival.hazard.rows import read as read_rows

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST = 1e-15  # the smallest chance whose logarithm is taken


def losses(
    spells: Any,
    names: Mapping[str, str],
    *,
    features: tuple[str, ...],
    causes: tuple[str, ...],
    encode: Callable[[Any], Singles],
    chance: Callable[[Singles], Floats],
    period_days: float,
    periods: int,
) -> Floats:
    """Minus the log-likelihood of each spell in nats, in the order given, up to the last period that was learnt.

    A period counts as in training: the chance of what ended the spell in it, else the chance to go on to the power of
    the share at risk; all to the power of `weight`. `names`: the caller's column -> the contract's.
    """
    table, _ = read(spells, features, names, timed=False)
    waits = waits_of(coded(table, causes), encode(table), period_days=period_days).until(periods)
    told = np.zeros(len(table))
    for one in pieces(waits, thin=1.0, rng=np.random.default_rng(0)):
        hazards = chance(read_rows(waits, one))
        every = np.column_stack([1 - hazards.sum(axis=1), hazards])
        seen = np.maximum(every[np.arange(len(every)), one.label], _LEAST)
        told += np.bincount(one.row, -one.weight * np.log(seen), len(told))
    return told
