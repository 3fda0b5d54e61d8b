"""Answers side by side with the truth, and p-values that know of each other: against statsmodels."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from shoptoolkit import figures
from shoptoolkit.contract import EstimateTable, estimate_row, refused_row
from shoptoolkit.incrementality import adjust, ledger

WORDS = {
    "question": "What did the ads add?",
    "estimand": "per assigned customer",
    "metric": "orders",
    "contrast": "treatment - control",
    "horizon_days": 90.0,
    "group": "all",
    "method": "difference in means",
    "level": 0.95,
    "n": 100,
}


def row(estimate=1.0, **change):
    return estimate_row(**{"estimate": estimate, "standard_error": 0.5} | WORDS | change)


def table(*rows):
    return EstimateTable.from_rows(rows)


TWELVE = table(*(row(group=str(k)) for k in range(12))).table


def of_p(*p_values):
    return EstimateTable(table=TWELVE.head(len(p_values)).with_columns(p_value=pl.Series(p_values)))


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("benjamini_hochberg", "fdr_bh")])
@settings(max_examples=8)  # theirs collects garbage at each call
@given(p=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]), min_size=1, max_size=12))
def test_adjusted_p_values_are_those_of_statsmodels(ours, theirs, p):
    told = adjust(of_p(*p), method=ours, level=0.9).table
    rejected, adjusted, *_ = multipletests(p, alpha=1 - 0.9, method=theirs)
    assert told["p_adjusted"].to_list() == pytest.approx(adjusted.tolist(), abs=1e-12)
    assert told["rejected"].to_list() == rejected.tolist()
    assert told["p_value"].to_list() == p


def test_what_has_no_p_value_stays_and_is_not_counted():
    told = adjust(
        table(row(p_value=0.03), refused_row(reason="too few", **WORDS), row(p_value=None), row(p_value=0.02))
    )
    assert told.table["p_adjusted"].to_list() == [0.04, None, None, 0.04]
    assert told.table["rejected"].to_list() == [True, None, None, True]
    assert repr(told) == "2 of 2 null hypotheses rejected (holm, level 0.95)"
    assert adjust(table(row())).table["p_adjusted"].to_list() == [None]
    page = told._repr_html_()
    assert "p_adjusted" in page
    assert "Adjusted p-values" in page


def test_what_cannot_be_adjusted_is_said():
    with pytest.raises(ValueError, match="method is 'bonferroni'; it must be one of 'holm', 'benjamini_hochberg'"):
        adjust(of_p(0.1), method="bonferroni")
    with pytest.raises(TypeError, match=r"an EstimateTable is needed, got DataFrame.*result\.estimates"):
        adjust(of_p(0.1).table)
    with pytest.raises(ValueError, match="level is 95"):
        adjust(of_p(0.1), level=95)


def test_rows_of_all_methods_stand_in_the_order_given_beside_their_truth():
    first = table(row(1.1, method="b"), row(0.9, method="a", estimand="per exposed customer"))
    second = table(refused_row(**WORDS | {"reason": "no overlap", "method": "observational"}))
    truth = table(row(1.2, truth=None), row(5.0, metric="revenue"))
    told = ledger(first, second, truth=truth).table
    assert told.select("method", "truth").rows() == [("b", 1.2), ("a", None), ("observational", 1.2)]
    assert told["verdict"].to_list() == ["ok", "ok", "refused"]
    assert ledger(first, second).table["truth"].null_count() == 3


@pytest.mark.parametrize("name", ["question", "estimand", "metric", "contrast", "horizon_days", "group"])
def test_a_truth_of_something_near_is_not_the_truth(name):
    other = {name: 30.0 if name == "horizon_days" else "another"}
    assert ledger(table(row()), truth=table(row(1.2, **other))).table["truth"].to_list() == [None]
    if name in ("contrast", "horizon_days"):
        assert ledger(table(row()), truth=table(row(1.2, **{name: None}))).table["truth"].to_list() == [None]
        assert ledger(table(row(**{name: None})), truth=table(row(1.2, **{name: None}))).table["truth"].to_list() == [
            1.2
        ]


def test_a_truth_told_twice_must_be_one():
    assert ledger(table(row()), truth=table(row(1.2), row(1.2, n=7))).table["truth"].to_list() == [1.2]
    told = r"truth has several numbers for question 'What did the ads add\?', estimand 'per assigned customer', metric"
    with pytest.raises(ValueError, match=told):
        ledger(table(row()), truth=table(row(1.2), row(1.3)))
    twice = table(row(1.2, metric="revenue"), row(1.3, metric="revenue"))
    assert ledger(table(row()), truth=twice).table["truth"].to_list() == [None]


def test_a_refused_truth_is_none_and_one_that_a_row_has_stays():
    refused = table(refused_row(**WORDS | {"reason": "nothing to divide by"}))
    assert ledger(table(row(truth=0.7)), truth=refused).table["truth"].to_list() == [0.7]


def test_a_ledger_of_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"ledger is given no table"):
        ledger()
    with pytest.raises(TypeError, match="got list"):
        ledger([table(row())])


def test_the_forest_tells_the_methods_apart_and_draws_open_sets_to_the_edges():
    rows = [
        row(1.1, method="as assigned"),
        row(1.3, method="adjusted"),
        row(2.0, estimand="per exposed customer", low=-1.0, high=1.5, set_shape="rays"),
        row(2.5, estimand="per exposed customer", method="weak", low=None, high=None, set_shape="line"),
        refused_row(**WORDS | {"reason": "no overlap", "method": "observational"}),
    ]
    ax = figures.estimates(ledger(table(*rows), truth=table(row(1.2))))
    words = [text.get_text() for text in ax.texts]
    for name in (
        "per assigned customer, as assigned",
        "per assigned customer, adjusted",
        "per exposed customer, difference in means",
        "per exposed customer, weak",
        "per assigned customer, observational",
    ):
        assert words.count(name) == 1
    assert "2.0  (all but \u22121.0 to 1.5)" in words
    assert "2.5  (any value)" in words
    left, right = ax.get_xlim()
    drawn = [path.vertices[:, 0].tolist() for lines in ax.collections for path in lines.get_paths()]
    assert drawn == [[left, -1.0], [1.5, right], [left, right], [right, right]]
    assert sum(list(line.get_xdata()) == [1.2, 1.2] for line in ax.lines) == 3
    assert pl.Series(words).str.contains("refused").sum() == 1
