"""A frame as a table: escaped, aligned, rounded, refused in words."""

from datetime import date, datetime

import polars as pl
import pytest

from shoptoolkit.contract.show import html_table


def estimates(**changes):
    row = {
        "source": "Email",
        "n": 4211,
        "estimate": 0.52134,
        "low": 0.51,
        "high": 0.535,
        "verdict": "ok",
        "reason": None,
    }
    return pl.DataFrame([row | changes], schema_overrides={"reason": pl.String, "estimate": pl.Float64})


@pytest.mark.parametrize("nasty", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a & b", "</table><p>"])
def test_every_text_is_escaped(nasty):
    html = html_table(pl.DataFrame({nasty: [nasty], "b": [nasty]}), title=nasty, note=nasty)
    assert nasty not in html


def test_numbers_read_well():
    html = html_table(
        pl.DataFrame({"a": ["x", "y"], "n": [1234567, -5], "share": [0.36271234, 0.5], "day": [30.0, 7.0]})
    )
    assert ">1,234,567<" in html
    assert ">−5<" in html
    assert ">0.3627<" in html
    assert ">30<" in html
    assert 'data-v="0.36271234"' in html


def test_tiny_endless_and_missing_numbers_are_not_hidden():
    html = html_table(pl.DataFrame({"a": [1, 2, 3, 4], "x": [1e-9, float("inf"), float("nan"), 0.5]}))
    assert "1.0×10<sup>−9</sup>" in html
    assert "∞" in html
    assert "not a number" in html


def test_ids_and_years_keep_their_digits():
    html = html_table(pl.DataFrame({"customer_id": [123456], "year": [2024]}))
    assert ">123456<" in html
    assert ">2024<" in html


def test_dates_are_iso_booleans_are_words_and_null_is_empty():
    frame = pl.DataFrame(
        {"day": [date(2024, 1, 2)], "at": [datetime(2024, 1, 2, 3, 4)], "is_new": [True], "gap": [None]}
    )
    html = html_table(frame)
    assert ">2024-01-02<" in html
    assert ">2024-01-02 03:04:00<" in html
    assert ">yes<" in html
    assert '<td title="not observed"></td>' in html


def test_the_head_is_marked_up_for_screen_readers():
    html = html_table(pl.DataFrame({"first_order": ["a"], "n": [1]}), title="Orders", note="per month")
    assert '<th scope="col" class="l" data-column="first_order">First order</th>' in html
    assert '<th scope="row">a</th>' in html
    assert "<b>Orders</b>per month" in html
    assert 'aria-label="Orders"' in html


def test_rows_left_out_are_counted_in_words():
    assert "and 1,240 more rows" in html_table(pl.DataFrame({"a": range(1300)}))
    assert "and 1 more row<" in html_table(pl.DataFrame({"a": [1, 2]}), max_rows=1)
    assert "more row" not in html_table(pl.DataFrame({"a": [1, 2]}), max_rows=2)


def test_an_estimate_stands_with_its_interval_in_one_cell():
    html = html_table(estimates())
    assert '<b>0.521</b> <span class="ci">(0.510 to 0.535)</span>' in html
    assert 'data-column="low"' not in html
    assert 'data-low="0.51"' in html


def test_a_refused_row_gives_its_reason_and_no_number():
    html = html_table(estimates(estimate=None, low=None, high=None, verdict="refused", reason="ratio <off>", n=24318))
    assert '<tr class="refused">' in html
    assert "<b>Refused.</b> ratio &lt;off&gt;" in html
    assert "24,318" in html
    assert 'class="ci"' not in html


def test_a_refused_row_hides_a_number_that_slipped_in():
    html = html_table(estimates(verdict="refused", reason="no overlap"))
    assert "0.52" not in html
    assert "0.51" not in html


def test_no_rows_and_no_columns_are_said():
    assert "No rows." in html_table(pl.DataFrame({"a": []}))
    assert "No rows." in html_table(pl.DataFrame())


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"frame is a LazyFrame.*\.collect\(\)"):
        html_table(pl.LazyFrame({"a": [1]}))
    with pytest.raises(TypeError, match=r"frame is a dict; it must be a polars DataFrame"):
        html_table({"a": [1]})
    with pytest.raises(ValueError, match="max_rows is 0; it must be a whole number of at least 1"):
        html_table(pl.DataFrame({"a": [1]}), max_rows=0)


def test_a_tiny_p_value_is_a_bound_and_no_power_of_ten():
    html = html_table(pl.DataFrame({"group": ["a", "b"], "p_value": [1.5e-32, 0.2241]}))
    assert "&lt; 0.001" in html
    assert ">0.224<" in html


def test_money_can_be_shown_to_the_cent():
    assert ">8,300,065.81<" in html_table(
        pl.DataFrame({"part": ["all"], "amount": [8300065.814]}), decimals={"amount": 2}
    )


@pytest.mark.parametrize(
    ("value", "seen"), [(float("nan"), "not a number"), (float("inf"), "∞"), (float("-inf"), "−∞")]
)
@pytest.mark.parametrize("column", ["amount", "p_value"])
def test_a_number_without_digits_is_shown_under_fixed_decimals_too(column, value, seen):
    frame = pl.DataFrame({"part": ["a", "b"], column: [value, 1.5]})
    for decimals in ({column: 2}, None):
        html = html_table(frame, decimals=decimals)
        assert seen in html
        assert ">nan<" not in html
    assert ">1.50<" in html_table(frame, decimals={column: 2})


def test_an_estimate_shows_the_digits_that_the_narrowest_interval_can_tell():
    frame = pl.DataFrame({"a": [1, 2], "estimate": [59.523, 70.1], "low": [57.91, 60.0], "high": [61.14, 80.0]})
    assert "<b>59.5</b>" in html_table(frame)
    assert "(57.9 to 61.1)" in html_table(frame)
    mixed = frame.with_columns(high=pl.Series([57.9101, 80.0]))
    assert "<b>59.52</b>" in html_table(mixed), "in units of their own each keeps its digits"


def test_fixed_decimals_hold_for_an_estimate_and_its_bounds():
    html = html_table(estimates(), decimals={"estimate": 2})
    assert '<b>0.52</b> <span class="ci">(0.51 to 0.54)</span>' in html


@pytest.mark.parametrize("verdict", ["stop", "refuse", "warn", "pass", "REFUSED", "OK"])
def test_only_the_verdicts_of_the_contract_have_a_colour(verdict):
    html = html_table(estimates(verdict=verdict))
    assert f'<span class="chip ">{verdict}</span>' in html
    assert "<b>0.521</b>" in html
    assert '<span class="chip pass">ok</span>' in html_table(estimates())
