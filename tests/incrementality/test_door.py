"""What estimators refuse at their door, in words that say how to mend it."""

import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality.door import arms, choose_arms, metrics_of

FRAME = pl.DataFrame(
    {
        "customer_id": ["a", "b", "c", "d"],
        "arm": ["none", "ad", "ad", "none"],
        "orders": [1, 0, 2, 0],
        "converted": [True, False, True, False],
        "pre_orders": [0, 1, 2, 3],
    }
)


def read(frame=FRAME, **change):
    return arms(
        frame, **({"control": "none", "numbers": ["orders", "converted"], "covariates": ["pre_orders"]} | change)
    )


def test_numbers_and_flags_come_as_floats_by_arm():
    found = read()
    assert (found.control, found.treatments, found.contrast("ad")) == ("none", ("ad",), "ad - none")
    assert found.of("ad").select("orders", "converted", "pre_orders").rows() == [(0.0, 0.0, 1.0), (2.0, 1.0, 2.0)]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"control": "holdout"}, ValueError, r"control is 'holdout'; the arms are 'ad', 'none'"),
        ({"frame": FRAME.filter(arm="none")}, ContractError, r"'none' is the one arm; a comparison needs two"),
        ({"numbers": ["visits"]}, ContractError, r"'visits' missing. It has: customer_id"),
        ({"covariates": ["orders"]}, ValueError, r"known, rename it to 'pre_orders'"),
        ({"covariates": 7}, TypeError, r"covariates is 7"),
        ({"numbers": ["pre_orders"]}, ValueError, r"'pre_orders', which is no outcome"),
        ({"numbers": ["arm"]}, ValueError, r"'arm', which is no outcome"),
        ({"frame": FRAME.with_columns(orders=pl.lit("2"))}, ContractError, r"'orders' is String; it must be numbers"),
        (
            {"frame": FRAME.with_columns(orders=pl.Series([1, None, 2, 0]))},
            ContractError,
            r"null, NaN or infinite in 1 of 4 rows \(e.g. customer 'b': None\). A customer who did nothing has 0",
        ),
        ({"frame": FRAME.with_columns(pre_orders=float("inf"))}, ContractError, r"infinite in 4 of 4 rows"),
        ({"frame": pl.concat([FRAME, FRAME.head(1)])}, ContractError, r"1 customers have several rows: 'a' \(none\)"),
        (
            {"frame": pl.concat([FRAME, FRAME.head(1).with_columns(arm=pl.lit("ad"))])},
            ContractError,
            r"1 customers are in several arms: 'a' \(ad, none\).*leave them out",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        read(**change)


def test_metrics_are_columns_or_ratios_of_two():
    assert metrics_of("orders") == {"orders": ("orders", None)}
    assert metrics_of({"value": ["revenue", "orders"]}) == {"value": ("revenue", "orders")}
    with pytest.raises(TypeError, match=r"metrics has 'value': 3; give a column, or two for a ratio"):
        metrics_of({"value": 3})
    with pytest.raises(ValueError, match="metrics is empty"):
        metrics_of([])


def test_the_arm_beside_the_control_is_the_one_asked_for_or_the_first_of_the_others():
    three = pl.concat([FRAME, FRAME.head(1).with_columns(arm=pl.lit("mail"))])
    assert choose_arms(three, control="none") == ("none", "ad")
    assert choose_arms(three, control="none", arm="mail") == ("none", "mail")


@pytest.mark.parametrize(("control", "arm"), [("nobody", None), ("none", "letter"), ("none", "none")])
def test_arms_that_nobody_is_in_are_told_with_those_there_are(control, arm):
    with pytest.raises(ValueError, match=f"control is '{control}' and arm is .*; those with customers are ad, none"):
        choose_arms(FRAME, control=control, arm=arm)


def test_one_arm_alone_has_none_beside_it():
    with pytest.raises(ValueError, match="those with customers are none"):
        choose_arms(FRAME.filter(arm="none"), control="none")
