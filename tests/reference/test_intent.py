"""Purchase intent of online shoppers: how far each way of judging it is from a forecast. Source: SOURCES.md."""

from __future__ import annotations

import polars as pl
import pytest

from shoptoolkit import behaviour, datasets


@pytest.fixture(scope="module")
def sessions(public_data):
    return datasets.load("online_shoppers", folder=public_data("online_shoppers/sessions.parquet").parent.parent)


def ten_folds(sessions: pl.DataFrame) -> float:
    """Mean ROC AUC of ten random folds: sessions of all months on both sides, as most papers on this set judge."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    features = sessions.drop("bought").with_columns(pl.col("visitor").rank("dense")).cast(pl.Float64).to_numpy()
    learner = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, max_leaf_nodes=15, random_state=0)
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    return cross_val_score(learner, features, sessions["bought"].to_numpy(), scoring="roc_auc", cv=folds).mean()


def november_and_december(sessions: pl.DataFrame) -> float:
    """ROC AUC on the last two months, trained on those before; the year is made up, since the set tells none."""
    named = (
        sessions.with_row_index("customer_id").with_columns(as_of=pl.datetime(2017, pl.col("month"), 1)).drop("month")
    )
    fit = behaviour.fit_propensity(named, "bought", split_at="2017-11-01", rng=0, replicates=50)
    assert fit.parts.filter(part="test")["n"].item() == 4_725
    return fit.accuracy.table.filter(metric="roc_auc")["estimate"].item()


@pytest.mark.reference
def test_random_folds_with_page_values_flatter(sessions):
    assert ten_folds(sessions) == pytest.approx(0.935, abs=0.0005)


@pytest.mark.reference
def test_without_page_values_much_less_is_foreseen(sessions):
    assert ten_folds(sessions.drop("page_value")) == pytest.approx(0.786, abs=0.0005)


@pytest.mark.reference
def test_on_later_months_less_is_foreseen_and_without_page_values_little(sessions):
    assert november_and_december(sessions) == pytest.approx(0.842, abs=0.002)
    assert november_and_december(sessions.drop("page_value")) < 0.72
