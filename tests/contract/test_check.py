"""The check at the door: good rows go on, bad rows are set aside with the reason, nothing is lost."""

import collections
import decimal
import math
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoptoolkit.contract import ContractError, Events, Panel, Spells, check, require, to_polars
from shoptoolkit.contract.check import check_level, check_number, check_span, choose, days_asked, listed

DAY = datetime(2024, 3, 1, 9)


def log(**change: object) -> pl.DataFrame:
    """Three events of two customers; a change replaces or adds a column."""
    columns = {
        "customer_id": ["ada", "ada", "bob"],
        "at": [DAY, DAY + timedelta(hours=1), DAY],
        "event": ["view", "purchase", "view"],
        "price": [None, 2.5, None],
    }
    return pl.DataFrame(columns | change, strict=False)


def reasons(frame: object, contract=Events) -> dict[int, str]:
    """Row number -> reason of what was set aside; good and quarantined rows together are the input."""
    checked = check(frame, contract)
    assert len(checked.good) + len(checked.quarantined) == len(to_polars(frame))
    return dict(checked.quarantined.select("row", "reason").iter_rows())


# ---- columns that cannot be understood ------------------------------------------------------------------------------


def test_all_faults_of_the_columns_are_told_together_with_a_guess():
    frame = pl.DataFrame({"customer_id": ["a"], "ts": ["x"], "event": ["view"], "price": ["2"]})
    with pytest.raises(ContractError) as told:
        check(frame, Events)
    assert str(told.value) == (
        "events: 'at' is missing; 'price' is String, must be Float64. It has: customer_id, ts, event, price. "
        """If 'ts' is your 'at', pass columns={"ts": "at"} or rename."""
    )


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("User ID", "customer_id"), ("CustomerID", "customer_id"), ("event_time", "at"), ("event_type", "event")],
)
def test_the_usual_other_names_are_guessed(theirs, ours):
    with pytest.raises(ContractError, match=f"If '{theirs}' is your '{ours}', pass columns="):
        check(log().rename({ours: theirs}), Events)


def test_a_misspelt_column_is_guessed():
    with pytest.raises(ContractError, match="If 'custmer_id' is your 'customer_id'"):
        check(log().rename({"customer_id": "custmer_id"}), Events)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"at": "2024-03-01"}, r"'at' is String, must be Datetime\(us\).*contract.read_events"),
        ({"at": 1709283600}, "'at' is Int32, must be Datetime.*contract.read_events"),
        ({"event": 1}, "'event' is Int32, must be String"),
        ({"customer_id": 1.5}, "'customer_id' is Float64, must be an integer below 2\\*\\*63 or String"),
        ({"customer_id": True}, "'customer_id' is Boolean, must be an integer"),
        ({"customer_id": math.inf}, "'customer_id' is Float64"),
        ({"price": "2"}, "'price' is String, must be Float64"),
        ({"quantity": "2"}, "'quantity' is String, must be Int64"),
        ({"category": 3.5}, "'category' is Float64, must be String"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(change, told):
    with pytest.raises(ContractError, match=told.replace(r"Datetime\(us\)", "Datetime")):
        check(log().with_columns(**{name: pl.lit(value) for name, value in change.items()}), Events)


@pytest.mark.parametrize("frame", [[{"customer_id": 1}], {"customer_id": [1]}, None, "log.csv", pl.Series([1])])
def test_a_thing_that_is_no_frame_is_refused(frame):
    with pytest.raises(TypeError, match="a frame is needed, got"):
        check(frame, Events)


def test_a_frame_without_columns_says_so():
    with pytest.raises(ContractError, match=r"'event' is missing. It has: no columns."):
        check(pl.DataFrame(), Events)


def test_a_hashed_id_beyond_64_bits_with_sign_is_refused_before_it_wraps():
    with pytest.raises(ContractError, match=r"'customer_id' is UInt64, must be an integer below 2\*\*63"):
        check(log().with_columns(customer_id=pl.lit(2**64 - 1, pl.UInt64)), Events)


# ---- rows that are set aside ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"customer_id": [None, "ada", "bob"]}, "customer_id is null"),
        ({"customer_id": ["", "ada", "bob"]}, "customer_id is empty"),
        ({"customer_id": [" \t", "ada", "bob"]}, "customer_id is empty"),
        ({"customer_id": [None, 1, 2]}, "customer_id is null"),
        ({"at": [None, DAY, DAY]}, "at is null"),
        ({"event": [None, "view", "view"]}, "event is null"),
        ({"event": ["buy", "view", "view"]}, "event is none of impression, click, view"),
        ({"event": ["", "view", "view"]}, "event is empty"),
        ({"event": ["View", "view", "view"]}, "event is none of"),
        ({"price": [-0.01, 2.5, 0.0]}, "price is below 0"),
        ({"price": [math.nan, 2.5, 0.0]}, "price is not a finite number"),
        ({"price": [math.inf, 2.5, 0.0]}, "price is not a finite number"),
        ({"quantity": [-3, 1, None]}, "quantity is below 1"),
        ({"quantity": [0, 1, None]}, "quantity is below 1"),
        ({"quantity": [2.5, 1.0, None]}, "quantity cannot be read as a whole number"),
        ({"quantity": [math.nan, 1.0, None]}, "quantity cannot be read as a whole number"),
        ({"quantity": [1e300, 1.0, None]}, "quantity cannot be read as a whole number"),
        ({"watch_seconds": [-1.0, 0.0, None]}, "watch_seconds is below 0"),
        ({"known_at": [DAY - timedelta(microseconds=1), None, DAY]}, "known_at is before at"),
    ],
)
def test_a_bad_row_is_set_aside_and_the_others_go_on(change, reason):
    found = reasons(log(**change))
    assert list(found) == [0]
    assert found[0].startswith(reason)


def test_a_purchase_or_refund_without_a_price_is_set_aside_but_not_a_view():
    events = log(event=["purchase", "refund", "view"], price=[None, None, None])
    assert reasons(events) == dict.fromkeys((0, 1), "price is missing on a purchase or refund")
    assert reasons(events.drop("price")) == dict.fromkeys((0, 1), "price is missing on a purchase or refund")


def test_a_row_with_several_faults_names_them_all():
    events = log(customer_id=["", "ada", "bob"], price=[-1.0, 2.5, None], quantity=[0, 1, 1])
    assert reasons(events) == {0: "customer_id is empty; price is below 0; quantity is below 1"}


def test_of_a_repeated_event_id_the_first_row_is_kept():
    events = log(event_id=[7, 7, 8])
    assert reasons(events) == {1: "event_id is repeated (the first good row with it is kept)"}
    assert reasons(log(event_id=[None, None, 8])) == {}


def test_rows_that_look_alike_are_kept_and_counted_beyond_the_first_of_each():
    events = pl.concat([log(), log(), log().head(1)])
    checked = check(events, Events)
    assert_frame_equal(checked.good, pl.concat([check(log(), Events).good] * 2 + [check(log(), Events).good.head(1)]))
    assert checked.faults.select("rule", "action", "rows").row(0) == (
        "alike in every column to an earlier row",
        "kept",
        4,
    )


def test_rows_that_differ_only_in_their_event_id_look_alike():
    events = pl.concat([log(), log()]).with_columns(event_id=pl.int_range(6))
    assert check(events, Events).faults["rows"].to_list() == [3]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_look_alikes_are_counted_exactly(pairs):
    events = pl.DataFrame(
        {
            "customer_id": [customer for customer, _ in pairs],
            "at": [DAY + timedelta(days=day) for _, day in pairs],
            "event": ["view"] * len(pairs),
        }
    )
    faults = check(events, Events).faults
    assert faults["rows"].sum() == sum(count - 1 for count in collections.Counter(pairs).values())


def test_nested_columns_can_look_alike_too():
    events = pl.concat([log()] * 2).with_columns(tags=pl.lit(["new", "sale"]), page=pl.struct(x=1, y=pl.lit("é")))
    assert check(events, Events).faults["rows"].to_list() == [3]


def test_the_quarantine_holds_the_rows_as_they_were_given():
    events = log(price=[-1, 2, 3], order_id=["007", "8", "9"], colour=["red", "blue", "blue"]).cast({"price": pl.Int8})
    checked = check(events, Events)
    assert_frame_equal(checked.quarantined.select(events.columns), events.head(1))
    assert checked.quarantined.columns == [*events.columns, "row", "reason"]
    assert checked.good["colour"].to_list() == ["blue", "blue"]


def test_a_log_that_has_a_row_and_a_reason_of_its_own_keeps_them():
    events = log(price=[-1.0, 2.5, None], row=[10, 11, 12], reason=["gift", "gift", "gift"])
    aside = check(events, Events).quarantined.to_dicts()[0]
    assert (aside["row_before"], aside["reason_before"]) == (10, "gift")
    assert (aside["row"], aside["reason"]) == (0, "price is below 0")


@pytest.mark.parametrize("name", ["", "a b", "r0", "c0", "__row", "__unread_price", "^.*$", "é😀", "x" * 10_000])
def test_a_column_of_any_name_is_kept(name):
    events = log(price=[-1.0, 2.5, None], quantity=[1.0, 1.5, 1.0]).with_columns(pl.lit("kept").alias(name))
    checked = check(events, Events)
    assert set(reasons(events)) == {0, 1}
    assert checked.good[name].to_list() == ["kept"]
    assert checked.quarantined[name].to_list() == ["kept", "kept"]


@pytest.mark.parametrize("value", ["🛒" * 50, "顧客", "זלדה", "a\u200bb", "x" * 1_000_000, "line\nbreak", "'; drop"])
def test_ids_and_texts_of_any_script_and_length_go_through(value):
    checked = check(log(customer_id=[value, "ada", "bob"], category=[value, "tea", None]), Events)
    assert checked.good["customer_id"][0] == value
    assert checked.faults.is_empty()


def test_a_very_long_value_makes_no_long_message():
    events = log(event=["x" * 1_000_000, "view", "view"]).with_columns(pl.lit("y" * 1_000_000).alias("page"))
    checked = check(events, Events)
    assert len(checked.faults["example"][0]) <= 200
    assert len(repr(checked)) < 500
    assert len(checked._repr_html_()) < 10_000
    with pytest.raises(ContractError) as told:
        require(events, Events)
    assert len(str(told.value)) < 600


def test_an_example_of_a_whole_row_is_short_too():
    events = log(event=["purchase"] * 3).drop("price").with_columns(pl.lit("y" * 1_000_000).alias("page"))
    assert len(check(events, Events).faults["example"][0]) <= 200


def test_zero_rows_are_checked_to_zero_rows_in_the_right_types():
    checked = check(log(row=[1, 2, 3]).clear(), Events)
    assert (len(checked.good), len(checked.quarantined), len(checked.faults)) == (0, 0, 0)
    assert checked.good.schema["at"] == pl.Datetime("us")
    assert checked.quarantined.schema["reason"] == pl.String


def test_the_check_reads_as_a_short_account():
    events = pl.concat([log(price=[-1.0, 2.5, None]), log()])
    assert repr(check(events, Events)).splitlines() == [
        "5 good rows, 1 in quarantine",
        "  1 quarantined: price is below 0 (e.g. price=-1.0)",
        "  2 kept: alike in every column to an earlier row (e.g. customer_id='ada', at=2024-03-01 10:00:00, "
        "event='purchase', price=2.5)",
    ]
    assert "5 good rows, 1 in quarantine" in check(events, Events)._repr_html_()


# ---- what is brought to the contract's types ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", [pl.Int8, pl.Int64, pl.UInt16, pl.UInt64, pl.Int128, pl.Float64, pl.Decimal(38, 0), pl.Decimal(10, 2)]
)
def test_whole_ids_of_any_width_become_int64(dtype):
    good = check(log(customer_id=[1, 2, 3]).with_columns(pl.col("customer_id").cast(dtype)), Events).good
    assert good.schema["customer_id"] == pl.Int64
    assert good["customer_id"].to_list() == [1, 2, 3]


def test_text_ids_stay_text_with_their_leading_zeros():
    assert check(log(customer_id=["007", "7", "07"]), Events).good["customer_id"].to_list() == ["007", "7", "07"]


@pytest.mark.parametrize(
    "dtype", [pl.Categorical, pl.Enum(["view", "purchase"]), pl.Enum(Events.fields["event"].values), pl.String]
)
def test_events_may_be_categories(dtype):
    assert reasons(log().with_columns(pl.col("event").cast(dtype))) == {}


@pytest.mark.parametrize("price", [[2, 3, 4], [decimal.Decimal("2.50"), decimal.Decimal("3.10"), None], [True, 0, 1]])
def test_prices_in_whole_numbers_and_decimals_become_floats(price):
    good = check(log(price=pl.Series(price, strict=False), event=["purchase", "purchase", "view"]), Events).good
    assert good.schema["price"] == pl.Float64
    assert good["price"][0] == float(price[0])


def test_quantities_in_decimals_become_whole_numbers():
    quantity = pl.Series([decimal.Decimal("2.00"), decimal.Decimal("1.50"), None])
    checked = check(log(quantity=quantity), Events)
    assert checked.good["quantity"].to_list() == [2, None]
    assert checked.quarantined["quantity"].to_list() == [decimal.Decimal("1.50")]


def test_zoned_times_become_utc_and_dates_their_midnight():
    zoned = log().with_columns(pl.col("at").dt.replace_time_zone("Asia/Tokyo"))
    assert check(zoned, Events).good["at"].to_list() == [one - timedelta(hours=9) for one in log()["at"]]
    dated = log().with_columns(pl.col("at").dt.date())
    assert check(dated, Events).good["at"].to_list() == [datetime(2024, 3, 1)] * 3


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_any_unit_become_microseconds(unit):
    good = check(log().with_columns(pl.col("at").dt.cast_time_unit(unit)), Events).good
    assert good["at"].to_list() == log()["at"].to_list()
    assert good.schema["at"] == pl.Datetime("us")


def test_columns_without_any_value_get_their_type():
    good = check(log(quantity=None, category=None, order_id=None, known_at=None), Events).good
    wanted = {"quantity": pl.Int64, "category": pl.String, "order_id": pl.String, "known_at": pl.Datetime("us")}
    assert {name: good.schema[name] for name in wanted} == wanted


@pytest.mark.parametrize("flags", [[1, 0], [1.0, 0.0], [True, False], [None, 0]])
def test_flags_of_0_and_1_are_understood(flags):
    spells = pl.DataFrame({"customer_id": [1, 2], "duration_days": [3, 4], "repurchased": flags})
    checked = check(spells, Spells)
    assert checked.good.schema["repurchased"] == pl.Boolean
    assert len(checked.quarantined) == flags.count(None)


@pytest.mark.parametrize("flags", [[1, 2], ["yes", "no"], [0.5, 1.0], [math.nan, 1.0]])
def test_flags_of_anything_else_are_refused(flags):
    spells = pl.DataFrame({"customer_id": [1, 2], "duration_days": [3, 4], "repurchased": flags})
    with pytest.raises(ContractError, match=r"'repurchased' is .*, must be Boolean"):
        check(spells, Spells)


def test_midnights_are_dates_but_a_time_of_day_is_not_cut_off():
    panel = pl.DataFrame({"geo": ["x", "y"], "date": [datetime(2024, 1, 1), None], "outcome": [1, 2]})
    assert check(panel, Panel).good["date"].to_list() == [date(2024, 1, 1)]
    with pytest.raises(ContractError, match=r"'date' is Datetime.*must be Date"):
        check(panel.with_columns(pl.col("date") + pl.duration(hours=1)), Panel)


# ---- frames of other houses -----------------------------------------------------------------------------------------


class Relation:
    """A result of a database: all that is known of it is that Arrow can read it."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


def test_lazy_frames_pandas_and_arrow_come_through_the_same_door():
    events = log()
    good = check(events, Events).good
    batches = pa.table(events).to_reader()
    for frame in (events.lazy(), events.to_arrow(), events.to_pandas(), Relation(events), batches):
        assert_frame_equal(check(frame, Events).good, good)


def test_pandas_ids_with_gaps_are_whole_numbers_again():
    frame = pd.DataFrame({"customer_id": [17850.0, np.nan], "at": [DAY, DAY], "event": ["view", "view"]})
    checked = check(frame, Events)
    assert checked.good["customer_id"].to_list() == [17850]
    assert checked.quarantined["reason"].to_list() == ["customer_id is null"]


def test_pandas_categories_and_missing_prices_are_understood():
    frame = pd.DataFrame(
        {
            "customer_id": pd.array([1, 2], dtype="Int64"),
            "at": pd.to_datetime([DAY, DAY]).tz_localize("Europe/London"),
            "event": pd.Categorical(["view", "purchase"]),
            "price": [np.nan, 3.0],
        },
        index=[5, 5],
    )
    assert check(frame, Events).good["price"].to_list() == [None, 3.0]


def test_a_pandas_column_of_numbers_and_texts_is_named():
    frame = pd.DataFrame({"customer_id": [1, 2], "at": [DAY, DAY], "event": ["view"] * 2, "item_id": [85123, "85123A"]})
    with pytest.raises(ContractError, match=r"'item_id' holds values of several types; make them one with .astype"):
        check(frame, Events)


def test_pandas_columns_of_the_same_name_are_refused():
    with pytest.raises(ContractError, match=r"the DataFrame cannot be turned into a polars frame: .*non-unique"):
        check(pd.DataFrame([[1, 2]], columns=["at", "at"]), Events)


# ---- invariances ----------------------------------------------------------------------------------------------------

DIRTY = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["ada", "bob", "", " ", None, "🛒"]),
        "at": st.sampled_from([DAY, DAY + timedelta(days=1), None]),
        "event": st.sampled_from(["view", "purchase", "refund", "buy", "", None]),
        "known_at": st.sampled_from([DAY, DAY - timedelta(days=1), DAY + timedelta(days=9), None]),
        "price": st.sampled_from([0.0, 2.5, -1.0, math.nan, math.inf, None]),
        "quantity": st.sampled_from([1.0, 3.0, 0.0, -2.0, 0.5, 1e30, None]),
        "colour": st.sampled_from(["red", None]),
    }
)
DIRTY_LOGS = st.lists(DIRTY, min_size=0, max_size=30)
TYPES = {"customer_id": pl.String, "at": pl.Datetime("us"), "event": pl.String, "known_at": pl.Datetime("us")}
TYPES |= {"price": pl.Float64, "quantity": pl.Float64, "colour": pl.String}


def is_good(row: dict) -> bool:
    """The contract once more, in plain Python."""
    return (
        bool(row["customer_id"] and row["customer_id"].strip())
        and row["at"] is not None
        and row["event"] in ("view", "purchase", "refund")
        and (row["known_at"] is None or row["known_at"] >= row["at"])
        and (row["price"] is None or (math.isfinite(row["price"]) and row["price"] >= 0))
        and (row["price"] is not None or row["event"] == "view")
        and (row["quantity"] is None or row["quantity"] in (1.0, 3.0))
    )


@given(DIRTY_LOGS)
def test_good_and_quarantined_rows_together_are_the_input(rows):
    frame = pl.DataFrame(rows, schema=TYPES)
    before = frame.clone()
    checked = check(frame, Events)
    bad = checked.quarantined
    assert_frame_equal(frame, before)
    assert bad["row"].to_list() == [number for number, row in enumerate(rows) if not is_good(row)]
    assert_frame_equal(bad.drop("row", "reason"), frame[bad["row"].to_list()])
    assert bad["reason"].str.len_bytes().min() != 0
    kept = frame.filter(~pl.int_range(pl.len()).is_in(bad["row"].to_list()))
    assert_frame_equal(checked.good.cast({"event": pl.String, "quantity": pl.Float64}), kept)
    quarantined = checked.faults.filter(pl.col("action") == "quarantined")
    assert quarantined["rows"].sum() == bad["reason"].str.count_matches("; ").sum() + len(bad)


@given(DIRTY_LOGS, st.randoms())
def test_row_order_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    one, other = (check(pl.DataFrame(these, schema=TYPES), Events) for these in (rows, shuffled))
    assert_frame_equal(one.good, other.good, check_row_order=False)
    assert_frame_equal(one.quarantined.drop("row"), other.quarantined.drop("row"), check_row_order=False)
    assert sorted(one.faults["rows"]) == sorted(other.faults["rows"])


def test_a_checked_log_is_good_for_good():
    good = check(pl.concat([log(), log()]), Events).good
    assert_frame_equal(check(good, Events).good, good)


# ---- the doors of functions -----------------------------------------------------------------------------------------


def test_require_hands_on_a_good_frame_in_the_contracts_types():
    assert_frame_equal(require(log().to_pandas(), Events), check(log(), Events).good)


def test_require_lists_every_fault_of_the_rows_in_one_error():
    events = log(customer_id=["", "ada", "bob"], price=[-1.0, -2.0, None])
    with pytest.raises(ContractError) as told:
        require(events, Events)
    assert str(told.value) == (
        "events: 2 of 3 rows break the contract: customer_id is empty (1 rows, e.g. customer_id=''); "
        "price is below 0 (2 rows, e.g. price=-1.0). "
        "Look at contract.check(frame, ...).quarantined, and go on with its .good."
    )


def test_require_refuses_an_empty_frame():
    with pytest.raises(ContractError, match="events: the frame has 0 rows; at least one is needed"):
        require(log().clear(), Events)


def test_require_takes_the_callers_column_names():
    spells = pl.DataFrame({"customer_id": [1], "T": [3.0], "duration_days": ["old"], "repurchased": [True]})
    good = require(spells, Spells, rename={"T": "duration_days", "absent": "weight"})
    assert good.columns == ["customer_id", "duration_days", "repurchased"]
    swapped = pl.DataFrame({"customer_id": [1], "start_days": [9.0], "stop_days": [3.0]})
    swapped = swapped.with_columns(duration_days=6.0, repurchased=True)
    good = require(swapped, Spells, rename={"start_days": "stop_days", "stop_days": "start_days"})
    assert good.select("start_days", "stop_days").row(0) == (3.0, 9.0)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, math.nan])
def test_a_level_is_a_coverage_between_0_and_1(level):
    check_level(0.95)
    with pytest.raises(ValueError, match=r"it must lie between 0 and 1, e.g. 0.95"):
        check_level(level)


def test_a_choice_names_the_argument_and_what_is_allowed():
    choose("interval", "plain", ["plain", "log-log"])
    with pytest.raises(ValueError, match="interval is 'log'; it must be one of 'plain', 'log-log'"):
        choose("interval", "log", iter(["plain", "log-log"]))


def test_a_blank_order_or_event_id_is_no_id():
    checked = check(log(event_id=["", " ", "x"], order_id=["", "a", "b"]), Events)
    assert len(checked.good) == 3
    assert checked.good["order_id"].to_list() == [None, "a", "b"]


def test_a_bad_row_takes_no_good_rows_event_id():
    checked = check(log(event_id=[7, 7, 7], price=[-1.0, 2.0, 3.0]), Events)
    assert checked.good["price"].to_list() == [2.0]
    assert checked.quarantined["reason"].to_list() == [
        "price is below 0",
        "event_id is repeated (the first good row with it is kept)",
    ]


def test_numbered_categories_are_names():
    assert check(log(category=[3, 4, 4]), Events).good["category"].to_list() == ["3", "4", "4"]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: check_level("0.9"), ValueError, "level is '0.9'; it must lie between 0 and 1"),
        (lambda: check_span("horizon_days", "30"), ValueError, "horizon_days is '30'; it must be a number of days > 0"),
        (lambda: check_span("unit_days", float("inf"), example="7"), ValueError, "unit_days is inf; .*e.g. 7"),
        (lambda: check_number("draws", 1.5, least=1, whole=True), ValueError, "draws is 1.5; .* a whole number >= 1"),
        (lambda: check_number("penalty", float("nan")), ValueError, "penalty is nan; it must be a number >= 0"),
        (lambda: days_asked(["30"]), TypeError, "days is .*; give a number of days or a list of them"),
        (lambda: days_asked([30, 0], positive=True), ValueError, r"days is \[30, 0\]; give days > 0"),
    ],
)
def test_a_plain_argument_that_cannot_be_used_is_named(call, error, told):
    with pytest.raises(error, match=told):
        call()


def test_days_are_read_from_one_number_a_list_or_an_array():
    for days in (30, [30], (30.0,), np.array([30]), pl.Series([30])):
        assert days_asked(days).tolist() == [30.0]
    assert listed("country") == listed(["country"]) == ["country"]
