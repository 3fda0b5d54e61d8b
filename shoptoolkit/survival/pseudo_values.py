"""The days until the next order as one number per customer, also of those who are not back yet.

In: Spells. Out: `pseudo_values`, for models and scores that know nothing of censoring.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.survival.restricted_mean import group_means
from shoptoolkit.survival.risk import spell_names
from shoptoolkit.survival.spells import is_unique


def pseudo_values(
    spells: Any,
    *,
    horizon_days: float,
    by: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
) -> pl.DataFrame:
    """How many days does each customer stand for in the restricted mean, counting at most `horizon_days`?

    A customer seen until the next order or the horizon has about the days themselves; one who is watched for less, what
    the others make likely. Means of them are restricted means, so they can be the outcome of a regression or of
    `incrementality.fit_uplift`. One number alone says little, and may lie below 0 or beyond the horizon.

    Parameters
    ----------
    spells, id, duration, repurchased, entry
        As in `kaplan_meier`: one spell per customer.
    horizon_days
        Up to which day to count.
    by
        Column of groups that are not watched alike, such as the arms of an experiment: each stands for itself. Within
        a group, how long customers are watched must not hang together with what the numbers are to be explained by.

    Returns
    -------
    pl.DataFrame
        The id column and days_to_next_order, in the order of the spells.

    Raises
    ------
    ContractError
        The spells are not what `restricted_mean` takes, or come with weights.
    ValueError
        A group's restricted mean cannot be told, with the reason.

    References
    ----------
    Andersen, Hansen and Klein (2004), Lifetime Data Analysis 10, 335-350, to first order: the mean plus n times the
    influence of the spell (infinitesimal jackknife), in place of leaving out each customer.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(12), "duration_days": [10, 20, 25, 40] * 3,
    ...                        "repurchased": [True, True, False, False] * 3})
    >>> pseudo_values(spells, horizon_days=30)["days_to_next_order"].head(4).round(1).to_list()
    [10.0, 20.0, 30.0, 30.0]
    """
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight="weight")
    means = group_means(spells, horizon_days, by, 0.95, id, names)
    refused = [f"group {mean.group!r}: {mean.reason}" for mean in means if mean.reason]
    if refused:
        raise ValueError(f"spells: {'; '.join(refused)}")
    id_of = pl.col("cluster").alias(id)
    days = pl.concat(
        mean.influence.select(id_of, days_to_next_order=mean.estimate + mean.n * pl.col("influence"))
        for mean in means
        if mean.influence is not None
    )
    if not is_unique(days[id]):
        raise ContractError(
            f"spells: {id!r} repeats; take one index spell each, repurchase_spells(..., index='first')."
        )
    return to_polars(spells).select(id).join(days, on=id, how="left", maintain_order="left")
