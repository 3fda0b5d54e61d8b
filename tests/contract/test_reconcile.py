"""Where every row went: the parts of each step add up to it."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit import features, survival
from shoptoolkit.contract import Events, check, read_events, reconcile

DAY = datetime(2024, 3, 1, 9)
EVENT = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["ada", "bob", "", None]),
        "at": st.sampled_from([DAY, DAY + timedelta(days=1), None]),
        "event": st.sampled_from(["view", "purchase", "refund", "buy"]),
        "order_id": st.sampled_from([1, 2, None]),
        "price": st.sampled_from([0.0, 2.5, -1.0, None]),
        "quantity": st.sampled_from([1, 3, -2, None]),
        "category": st.sampled_from(["tea", "cups", None]),
    }
)
TYPES = {"customer_id": pl.String, "at": pl.Datetime("us"), "event": pl.String, "order_id": pl.Int64}
TYPES |= {"price": pl.Float64, "quantity": pl.Int64, "category": pl.String}


def add_up(table: pl.DataFrame, step: str) -> None:
    """The first row of a step is the sum of the rows below it."""
    whole, *parts = table.filter(pl.col("step") == step).to_dicts()
    assert whole["rows"] == sum(part["rows"] for part in parts)
    if whole["amount"] is not None:
        assert whole["amount"] == pytest.approx(sum(part["amount"] or 0 for part in parts), abs=1e-9)


@given(st.lists(EVENT, max_size=30))
def test_lines_are_events_and_what_was_set_aside_and_events_their_kinds(rows):
    checked = check(pl.DataFrame(rows, schema=TYPES), Events)
    table = reconcile(checked, split="category").table
    assert table["rows"][0] == len(rows)
    add_up(table, "lines")
    add_up(table, "events")
    within = table.filter(pl.col("part").str.starts_with("    purchases: "))
    assert within["rows"].sum() == len(checked.good.filter(pl.col("event") == "purchase"))


@settings(max_examples=40)
@given(st.lists(EVENT, min_size=1, max_size=30))
def test_a_log_of_text_is_counted_like_one_of_numbers(rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    text = frame.with_columns(pl.all().cast(pl.String))
    one, other = (reconcile(read_events(these)).table for these in (frame, text))
    assert one.equals(other)


def orders_and_spells(came_back: int, waiting: int, fresh: int, free: int, refunded: float) -> tuple:
    customers = [f"c{number}" for number in range(came_back + waiting + fresh)]
    gross = [0.0 if number < free else 10.0 for number in range(len(customers))]
    orders = pl.DataFrame(
        {"customer_id": customers, "gross_revenue": gross, "refunded": [refunded] * len(customers)},
        schema={"customer_id": pl.String, "gross_revenue": pl.Float64, "refunded": pl.Float64},
    ).with_columns(ordered_at=pl.lit(DAY))
    seen = [True] * came_back + [False] * waiting
    spells = pl.DataFrame(
        {"customer_id": customers[: len(seen)], "repurchased": seen},
        schema={"customer_id": pl.String, "repurchased": pl.Boolean},
    )
    return orders, spells


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 20), st.sampled_from([0.0, 0.1, 2.0]))
def test_orders_are_paid_or_free_and_customers_came_back_wait_or_are_too_fresh(back, waiting, fresh, free, refunded):
    events = pl.DataFrame({"customer_id": ["a"], "at": [DAY], "event": ["refund"], "price": [30.0]})
    orders, spells = orders_and_spells(back, waiting, fresh, free, refunded)
    table = reconcile(check(events, Events), orders=orders, spells=spells).table
    for step in ("orders", "orders seen", "occasions", "spells"):
        add_up(table, step)
    whole, *parts = table.filter(pl.col("step") == "refunds")["amount"]
    assert whole == pytest.approx(-30.0)
    assert sum(parts) == pytest.approx(-30.0)
    counts = table.filter(pl.col("step") == "spells")["rows"].to_list()
    unpaid = len([c for c in range(back + waiting, back + waiting + fresh) if c < free])
    assert counts == [back + waiting + fresh, back, waiting, unpaid, fresh - unpaid]


def test_the_account_takes_one_index_spell_per_customer():
    events = pl.DataFrame({"customer_id": ["c0"], "at": [DAY], "event": ["purchase"], "price": [10.0]})
    orders, spells = orders_and_spells(1, 0, 0, 0, 0.0)
    with pytest.raises(ValueError, match="spells has several spells of one customer"):
        reconcile(check(events, Events), orders=orders, spells=pl.concat([spells, spells]))


def test_orders_after_as_of_and_second_orders_of_a_day_have_their_own_lines():
    at = [DAY, DAY + timedelta(hours=1), DAY + timedelta(days=3), DAY + timedelta(days=30)]
    events = pl.DataFrame({"customer_id": [1, 1, 1, 1], "at": at, "event": ["purchase"] * 4, "price": [10.0] * 4})
    orders = features.orders(events, as_of="2024-03-20")
    spells = survival.repurchase_spells(orders, as_of="2024-03-20")
    table = reconcile(check(events, Events), orders=orders.to_pandas(), spells=spells).table
    rows = {row["part"].strip(): row["rows"] for row in table.to_dicts()}
    assert (rows["orders in the log"], rows["looked at"], rows["after the days looked at"]) == (4, 3, 1)
    assert (rows["first of a customer"], rows["further ones on the same day"], rows["on later days"]) == (1, 1, 1)


def csv_log(folder) -> object:
    path = folder / "log.csv"
    path.write_text(
        "customer_id,at,event,order_id,price,quantity,category\n"
        "17850,2024-03-01 09:00,purchase,1,2.50,4,tea\n"
        "17850,2024-03-01 09:00,purchase,1,2.50,4,tea\n"
        "13047,2024-03-02 10:00,purchase,2,0,1,gift\n"
        "17850,2024-03-03 10:00,refund,1,2.50,1,tea\n"
        "13047,2024-03-03 10:00,view,,,,\n"
        ",2024-03-03 10:00,purchase,3, 7.00,2,tea\n"
        "12583,soon,purchase,4,1.00,1,tea\n",
        encoding="utf-8",
    )
    return path


def test_the_account_of_a_csv_log_tells_amounts_of_what_was_set_aside(tmp_path):
    account = reconcile(read_events(csv_log(tmp_path)))
    rows = {row["part"].strip(): row for row in account.table.to_dicts()}
    assert rows["all lines"] == {
        "step": "lines",
        "part": "all lines",
        "rows": 7,
        "customers": 3,
        "orders": 4,
        "amount": 32.5,
    }
    assert rows["set aside: customer_id is null"]["amount"] == 14.0
    assert rows["set aside: at cannot be read as a time"]["amount"] == 1.0
    assert (rows["events"]["rows"], rows["events"]["amount"]) == (5, 17.5)
    assert (rows["purchases"]["rows"], rows["purchases"]["amount"]) == (3, 20.0)
    assert (rows["refunds"]["rows"], rows["refunds"]["amount"]) == (1, -2.5)
    assert (rows["other events"]["rows"], rows["other events"]["amount"]) == (1, 0.0)
    assert rows["purchases at price zero, kept"]["rows"] == 1
    assert rows["alike to an earlier line, none removed"]["rows"] == 1


def test_ids_that_pandas_made_floats_count_as_one_customer():
    events = pl.DataFrame(
        {
            "customer_id": [1.0, 1.0, None],
            "at": [DAY] * 3,
            "event": ["purchase", "purchase", "view"],
            "price": [2.0, None, None],
        }
    )
    assert reconcile(check(events, Events)).table["customers"].drop_nulls().to_list()[:4] == [1, 1, 0, 1]


def test_a_log_without_prices_or_orders_has_no_amounts():
    events = pl.DataFrame({"customer_id": [1, 2], "at": [date(2024, 1, 1)] * 2, "event": ["view", "cart"]})
    account = reconcile(check(events, Events))
    assert account.table["amount"].null_count() == account.table["orders"].null_count() == len(account.table)
    assert repr(account).splitlines()[1].split() == ["all", "lines", "2", "2"]


def test_refunds_that_all_found_their_order_leave_no_minus_zero():
    events = pl.DataFrame({"customer_id": ["c0"], "at": [DAY], "event": ["refund"], "price": [0.3]})
    orders, _ = orders_and_spells(3, 0, 0, 0, 0.1)
    account = reconcile(check(events, Events), orders=orders)
    assert "-0.00" not in repr(account)
    assert account.table.filter(pl.col("step") == "refunds")["amount"].to_list() == pytest.approx([-0.3, -0.3, 0.0])


def test_the_account_lines_up_and_shows_itself_in_a_notebook(tmp_path):
    account = reconcile(read_events(csv_log(tmp_path)))
    lines = repr(account).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["all", "lines", "7", "3", "4", "32.50"]
    assert "Where every row went" in account._repr_html_()


def test_a_split_by_a_column_that_is_not_there_is_refused():
    events = pl.DataFrame({"customer_id": [1], "at": [DAY], "event": ["view"]})
    with pytest.raises(ValueError, match="split is 'category'; it must be one of 'customer_id', 'at', 'event'"):
        reconcile(check(events, Events), split="category")


def test_a_line_with_two_faults_is_told_once_and_twins_are_counted_wherever_they_lie():
    line = {"customer_id": None, "at": DAY, "event": "purchase", "price": -1.0}
    good = {"customer_id": 1, "at": DAY, "event": "purchase", "price": 2.0}
    account = reconcile(
        check(pl.DataFrame([line, line, good, good, good], schema_overrides={"customer_id": pl.Int64}), Events)
    )
    rows = {row["part"].strip(): row for row in account.table.to_dicts()}
    assert rows["set aside: customer_id is null"]["rows"] == 2
    assert rows["alike to an earlier line, none removed"]["rows"] == 1 + 2
    add_up(account.table, "lines")


def test_the_account_shows_money_to_the_cent():
    events = pl.DataFrame({"customer_id": [1], "at": [DAY], "event": ["purchase"], "price": [8300065.81]})
    page = reconcile(check(events, Events), currency="GBP")._repr_html_()
    assert "8,300,065.81" in page
    assert "Amount: GBP, less refunds" in page
