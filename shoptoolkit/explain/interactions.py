"""Which signals matter together: how much of the answer belongs to a pair, beyond what each adds by itself.

In: a fit of trees, and a frame that it can read. Out: `interactions` -> `Interactions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.signals import members, signals_of
from shoptoolkit.explain.values import read, sample_of

_ROWS = 250  # of which xgboost tells the pairs at once


class Paired(Protocol):
    """What a frozen fit offers so that its pairs can be told. Fits of one sum of trees do, and `HazardFit.at(...)`."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the matrix's columns."""

    def margin(self, frame: pl.DataFrame) -> Floats:
        """The answer."""

    def explain_pairs(self, frame: pl.DataFrame) -> Floats:
        """TreeSHAP interactions (rows x features x features); each row's add up to its contributions."""
