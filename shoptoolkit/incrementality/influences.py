"""The error of an estimate that is a sum of independent parts, each customer's own or each cluster's."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats


def error_of(parts: Floats, cluster: pl.Series | None = None) -> tuple[float, float]:
    """Standard error of the sum of independent `parts` of mean 0, and the degrees of freedom of Student's law.

    The degrees are those of a scaled chi-square with the mean and variance of the sum of squares (Satterthwaite 1946,
    Biometrics Bulletin 2, 110-114), which a few large parts - a small arm, few buyers, unlike clusters - make few.
    """
    scale = 1.0
    if cluster is not None:
        told = pl.DataFrame({"cluster": cluster, "part": parts}).group_by("cluster").agg(pl.sum("part"))
        parts, scale = told["part"].to_numpy(), len(told) / max(1, len(told) - 1)
    largest = float(np.abs(parts).max(initial=0.0))
    if largest == 0:
        return 0.0, 1.0
    squares = (parts / largest) ** 2
    degrees = 3 * squares.sum() ** 2 / (squares**2).sum()
    return largest * math.sqrt(scale * squares.sum()), max(1.0, min(len(parts) - 1.0, float(degrees)))


def mean_of(part: pl.DataFrame) -> tuple[float, float, float]:
    """The mean of the column `pseudo`, its standard error and degrees of freedom, by `cluster` where there is one."""
    pseudo, n = part["pseudo"].to_numpy(), len(part)
    estimate = float(pseudo.mean())
    return estimate, *error_of((pseudo - estimate) / math.sqrt(n * max(1, n - 1)), cluster_of(part))


def cluster_of(part: pl.DataFrame) -> pl.Series | None:
    """The column `cluster`, where there is one."""
    return part["cluster"] if "cluster" in part.columns else None
