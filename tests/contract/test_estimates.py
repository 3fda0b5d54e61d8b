"""Answers with their intervals, and answers that refuse."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from shoptoolkit.contract import ContractError, Estimates, EstimateTable, check, estimate_row, refused_row

WHAT = {
    "question": "Did the ad sell more?",
    "estimand": "Orders per customer within 28 days",
    "metric": "orders",
    "contrast": "ad - none",
    "method": "difference in means",
    "group": "all",
    "n": 1200,
    "measure": "orders",
}


def row(**change: object) -> dict:
    return estimate_row(**({"estimate": 0.5, "standard_error": 0.25, "level": 0.95, "null": 0.0} | WHAT | change))


def test_a_row_carries_estimate_interval_level_and_count():
    one = EstimateTable.from_rows([row()]).table.row(0, named=True)
    assert one["low"] == pytest.approx(0.5 - norm.ppf(0.975) * 0.25, rel=1e-12)
    assert one["high"] == pytest.approx(0.5 + norm.ppf(0.975) * 0.25, rel=1e-12)
    assert (one["level"], one["n"], one["verdict"], one["set_shape"]) == (0.95, 1200, "ok", "interval")


@given(
    estimate=st.floats(-1e6, 1e6),
    standard_error=st.floats(1e-3, 1e6),
    level=st.floats(0.01, 0.999),
    null=st.floats(-1e3, 1e3),
)
def test_interval_and_p_value_are_those_of_scipy(estimate, standard_error, level, null):
    one = estimate_row(estimate=estimate, standard_error=standard_error, level=level, null=null)
    low, high = norm.interval(level, loc=estimate, scale=standard_error)
    assert one["low"] == pytest.approx(low, rel=1e-9, abs=1e-9)
    assert one["high"] == pytest.approx(high, rel=1e-9, abs=1e-9)
    assert one["p_value"] == pytest.approx(2 * norm.sf(abs(estimate - null) / standard_error), rel=1e-9, abs=1e-300)


def test_a_very_sure_answer_keeps_its_small_p_value():
    assert row(estimate=2.5)["p_value"] == pytest.approx(2 * norm.sf(10), rel=1e-12)
    assert row(estimate=2.5)["p_value"] > 0


def test_without_a_null_there_is_no_p_value():
    assert row(null=None)["p_value"] is None


@pytest.mark.parametrize(("null", "p_value"), [(0.5, 1.0), (0.0, 0.0), (None, None)])
def test_an_answer_without_any_doubt_has_an_interval_of_one_point(null, p_value):
    one = row(standard_error=0.0, null=null)
    assert (one["low"], one["high"], one["p_value"]) == (0.5, 0.5, p_value)
    assert repr(EstimateTable.from_rows([one])) == "ad - none: 0.500 (0.500 to 0.500) orders, n = 1,200"


def test_an_answer_can_refuse_and_say_what_to_mend():
    why = "Arms are 60:40, planned 50:50; find out who was lost."
    table = EstimateTable.from_rows([refused_row(reason=why, level=0.95, **WHAT)])
    assert (
        table.table.select("estimate", "standard_error", "low", "high", "p_value").null_count().sum_horizontal()[0] == 5
    )
    assert repr(table) == f"ad - none: refused. {why}"


def test_the_table_reads_as_sentences():
    rows = [row(), row(contrast=None, group="new customers", estimate=1234.5, standard_error=100.0)]
    assert repr(EstimateTable.from_rows(rows)).splitlines() == [
        "ad - none: 0.500 (0.010 to 0.990) orders, n = 1,200",
        "new customers: 1,234 (1,039 to 1,430) orders, n = 1,200",
    ]


def test_a_bound_that_is_never_reached_is_none():
    open_above = row() | {"high": None}
    assert repr(EstimateTable.from_rows([open_above])) == "ad - none: 0.500 (0.010 to none) orders, n = 1,200"
    nothing = row() | {"estimate": None, "low": None, "high": None, "set_shape": "empty"}
    assert repr(EstimateTable.from_rows([nothing])) == "ad - none: none (none to none) orders, n = 1,200"


def test_a_set_that_is_no_interval_says_so():
    rays, line = row() | {"set_shape": "rays"}, row() | {"low": None, "high": None, "set_shape": "line"}
    table = EstimateTable.from_rows([rays, line])
    assert repr(table).splitlines() == [
        "ad - none: 0.500 (all but 0.010 to 0.990) orders, n = 1,200",
        "ad - none: 0.500 (any value) orders, n = 1,200",
    ]
    assert "rays" in table._repr_html_()
    assert "set_shape" not in EstimateTable.from_rows([row()])._repr_html_()


def test_rows_that_would_read_alike_are_told_apart_by_what_they_estimate():
    one, two = row() | {"estimand": "difference"}, row() | {"estimand": "relative difference"}
    table = EstimateTable.from_rows([one, two])
    assert repr(table).splitlines()[1].startswith("ad - none, relative difference: ")
    assert table._repr_html_().count("relative difference") == 1


def test_few_degrees_of_freedom_widen_the_interval_by_students_law():
    told = {"question": "q", "estimand": "e", "metric": "m", "method": "t", "group": "all", "n": 5}
    one = estimate_row(estimate=1.0, standard_error=0.5, level=0.95, null=0.0, degrees=3, **told)
    assert (one["low"], one["high"]) == pytest.approx((1 - 0.5 * 3.182446305, 1 + 0.5 * 3.182446305))
    assert one["p_value"] == pytest.approx(0.139326, abs=1e-6)


def test_the_table_keeps_its_own_contract_and_all_columns():
    table = EstimateTable.from_rows([row(), refused_row(reason="No overlap.", level=0.9, **WHAT)]).table
    assert check(table, Estimates).faults.is_empty()
    assert table.columns == [*Estimates.fields]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"standard_error": math.nan}, "standard_error is not a finite number"),
        ({"standard_error": -1.0}, "standard_error is below 0"),
        ({"estimate": math.inf}, "estimate is not a finite number"),
        ({"n": None}, "n is null"),
        ({"n": -1}, "n is below 0"),
        ({"verdict": "maybe"}, "verdict is none of ok, refused"),
        ({"verdict": "refused", "reason": "No overlap."}, "a refused row has a number or no reason"),
        ({"question": ""}, "question is empty"),
        ({"level": 95}, "level is above 1"),
    ],
)
def test_a_row_that_breaks_the_contract_never_becomes_a_table(change, fault):
    one = row(**{key: value for key, value in change.items() if key != "level"})
    with pytest.raises(ContractError, match=f"estimates: .*{fault}"):
        EstimateTable.from_rows([one | change])


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_refusal_without_a_reason_is_no_answer(reason):
    with pytest.raises(ContractError, match="a refused row has a number or no reason"):
        EstimateTable.from_rows([refused_row(reason=reason, level=0.95, **WHAT)])


def test_no_rows_make_an_empty_table_that_still_shows():
    table = EstimateTable.from_rows([])
    assert table.table.columns == [*Estimates.fields]
    assert repr(table) == ""
    assert "No rows" in table._repr_html_()


def test_the_table_shows_itself_in_a_notebook():
    html = EstimateTable.from_rows([row(), refused_row(reason="Too <few>.", level=0.95, **WHAT)])._repr_html_()
    assert "Did the ad sell more?" in html
    assert "Orders per customer within 28 days" in html
    assert "Too &lt;few&gt;." in html


def test_a_table_cannot_be_changed():
    table = EstimateTable.from_rows([row()])
    with pytest.raises(AttributeError):
        table.table = pl.DataFrame()


def test_rows_of_several_horizons_say_which_is_which():
    row = {"question": "q", "estimand": "e", "metric": "brier", "contrast": None, "method": "m", "group": "all", "n": 9}
    rows = [
        estimate_row(estimate=0.2, standard_error=0.1, level=0.9, horizon_days=days, **row) for days in (30.0, 60.0)
    ]
    told = EstimateTable.from_rows(rows)
    assert [line.split(":")[0] for line in repr(told).splitlines()] == ["all, 30 days", "all, 60 days"]
    assert "Horizon days" in told._repr_html_()
    assert "Horizon days" not in EstimateTable.from_rows(rows[:1])._repr_html_()
