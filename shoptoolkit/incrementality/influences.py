"""The mean of doubly robust pseudo-outcomes, and its error by customer or by cluster."""

from __future__ import annotations

import math

import polars as pl

from shoptoolkit.contract.estimates import error_of


def mean_of(part: pl.DataFrame) -> tuple[float, float, float]:
    """The mean of the column `pseudo`, its standard error and degrees of freedom, by `cluster` where there is one."""
    pseudo, n = part["pseudo"].to_numpy(), len(part)
    estimate = float(pseudo.mean())
    return estimate, *error_of((pseudo - estimate) / math.sqrt(n * max(1, n - 1)), cluster_of(part))


def cluster_of(part: pl.DataFrame) -> pl.Series | None:
    """The column `cluster`, where there is one."""
    return part["cluster"] if "cluster" in part.columns else None
