"""The error of an estimate that is a sum of independent parts, each customer's own or each cluster's."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats


def error_of(parts: Floats, cluster: pl.Series | None = None) -> tuple[float, float]:
    """Standard error of the sum of `parts`, each less its mean, and the degrees of freedom of Student's law.

    The degrees are those of a scaled chi-square with the mean and variance of the sum of squares (Satterthwaite 1946,
    Biometrics Bulletin 2, 110-114), which a few large parts - a small arm, few buyers, unlike clusters - make few.
    """
    if cluster is not None:
        told = pl.DataFrame({"cluster": cluster, "part": parts}).group_by("cluster").agg(pl.sum("part"))
        parts = told["part"].to_numpy()
    n, total = len(parts), float((parts**2).sum())
    if n < 2 or total == 0:
        return 0.0, max(1.0, n - 1.0)
    largest = np.abs(parts).max()
    fourth = float(((parts / largest) ** 4).sum()) * largest**4
    return math.sqrt(total * n / (n - 1)), max(1.0, min(n - 1.0, 3 * total**2 / fourth))


def mean_of(part: pl.DataFrame) -> tuple[float, float, float]:
    """The mean of the column `pseudo`, its standard error and degrees of freedom, by `cluster` where there is one."""
    pseudo = part["pseudo"].to_numpy()
    estimate = float(pseudo.mean())
    return estimate, *error_of((pseudo - estimate) / len(part), cluster_of(part))


def cluster_of(part: pl.DataFrame) -> pl.Series | None:
    """The column `cluster`, where there is one."""
    return part["cluster"] if "cluster" in part.columns else None
