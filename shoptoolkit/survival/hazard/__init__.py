"""Discrete-time hazards by boosted trees: who comes back in which period.

`door` checks and splits, `rows` tells person-periods, `training` fits, `fit` predicts and saves.
"""

from shoptoolkit.survival.hazard.fit import HazardFit, load_hazard
from shoptoolkit.survival.hazard.training import fit_hazard

__all__ = [
    "HazardFit",
    "fit_hazard",
    "load_hazard",
]
