"""What makes a fit too good to be true, or its frame unlike the training frame, in words.

In: the training part and the trees. Out: `leaks` and `unseen_in_words` -> sentences, which `warn` gives as warnings.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import polars as pl

from shoptoolkit.behaviour.accuracy import single_auc
from shoptoolkit.behaviour.boosting import Trees
from shoptoolkit.behaviour.parts import OUTCOME
from shoptoolkit.contract import EstimateTable

_LEAK = 0.999  # an AUC above it warns


def leaks(train: pl.DataFrame, trees: Trees, accuracy: EstimateTable) -> list[str]:
    """Warnings for what is too good to be true."""
    outcome, columns = train[OUTCOME].to_numpy(), pl.col(trees.encoder.features)
    shares = [
        pl.when(pl.col(name).is_not_null()).then(pl.col(OUTCOME).mean().over(name)).alias(name)
        for name in trees.encoder.categories
    ]
    alone = single_auc(train.with_columns(shares).select(columns.cast(pl.Float64)), outcome)
    found = [
        f"the feature {name!r} alone ranks the training outcome with an AUC of {auc:.4f}: it probably knows the "
        "future. Look how it was made, or leave it out of features=."
        for name, auc in alone.items()
        if auc > _LEAK
    ]
    auc = accuracy.table.filter(pl.col("metric") == "roc_auc")["estimate"][0]
    if auc is not None and auc > _LEAK:
        found.append(
            f"the ROC AUC on the test part is {auc:.4f}: too good to be true. The trees lean most on the feature "
            f"{trees.strongest()!r}; look how it was made."
        )
    return found


def unseen_in_words(unseen: pl.DataFrame) -> list[str]:
    """One warning per feature with categories that training has not seen."""
    return [
        f"{part['rows'].sum():,} rows have a category of {name!r} that training has not seen "
        f"(e.g. {part['category'][0]!r}); they count as missing."
        for (name,), part in unseen.group_by("feature", maintain_order=True)
    ]


def warn(messages: Sequence[str]) -> None:
    """Warn at the line that called the public function which called this."""
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)
