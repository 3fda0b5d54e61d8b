"""What each frame must be: the contracts against the table of the design, each with a right frame and a wrong one."""

from datetime import date, datetime

import polars as pl
import pytest

from shoptoolkit.contract import (
    Assignments,
    Auctions,
    ContractError,
    Estimates,
    Events,
    Media,
    Orders,
    Outcomes,
    Panel,
    PolicyLog,
    Requests,
    Spells,
    Touches,
    check,
)

DAY = datetime(2024, 3, 1, 9)
DESIGN = [  # contract, required columns, optional columns
    (
        Events,
        "customer_id at event",
        "event_id known_at order_id item_id category price quantity watch_seconds source campaign_id",
    ),
    (
        Orders,
        "customer_id order_id ordered_at order_number gross_revenue refunded revenue items",
        "history_known source category",
    ),
    (
        Spells,
        "customer_id duration_days repurchased",
        "spell_number started_at entry_days start_days stop_days cause weight",
    ),
    (Requests, "customer_id as_of", ""),
    (
        Assignments,
        "experiment_id customer_id arm assigned_at",
        "probability stratum cluster eligible_at exposed_at",
    ),
    (Outcomes, "customer_id arm", "stratum cluster exposed probability"),
    (Panel, "geo date outcome", "spend treated"),
    (Media, "date channel spend", "geo impressions"),
    (Touches, "customer_id at channel", "converted_at value"),
    (
        Auctions,
        "auction_id at bid won mechanism",
        "price price_to_win slot pctr value clicked_at converted_at",
    ),
    (PolicyLog, "action propensity reward", "position"),
    (
        Estimates,
        "question estimand metric contrast method group "
        "estimate standard_error low high level p_value n verdict reason",
        "horizon_days measure set_shape truth",
    ),
]
RIGHT = {  # one good row of each frame
    "events": {"customer_id": 17850, "at": DAY, "event": "purchase", "price": 2.5, "quantity": 3, "source": "live"},
    "orders": {
        "customer_id": "a",
        "order_id": 1,
        "ordered_at": DAY,
        "order_number": 1,
        "gross_revenue": 9.0,
        "refunded": 2.0,
        "revenue": 7.0,
        "items": 3,
    },
    "spells": {
        "customer_id": "a",
        "duration_days": 3.5,
        "repurchased": True,
        "entry_days": 1.0,
        "weight": 2,
        "colour": "red",
    },
    "requests": {"customer_id": "a", "as_of": DAY, "basket": "large"},
    "assignments": {
        "experiment_id": "e",
        "customer_id": 1,
        "arm": "ad",
        "assigned_at": DAY,
        "probability": 0.5,
        "exposed_at": DAY,
    },
    "outcomes": {"customer_id": 1, "arm": "ad", "orders": 2, "pre_orders": 1},
    "panel": {"geo": "Bavaria", "date": date(2024, 1, 1), "outcome": -3.0, "spend": 0.0, "treated": False},
    "media": {"date": date(2024, 1, 1), "channel": "search", "spend": 10.0},
    "touches": {"customer_id": 1, "at": DAY, "channel": "email", "converted_at": None, "value": None},
    "auctions": {
        "auction_id": 1,
        "at": DAY,
        "bid": 1.2,
        "won": True,
        "mechanism": "second",
        "price": 0.8,
        "pctr": 0.02,
    },
    "policy log": {"action": "coupon", "propensity": 0.25, "reward": 1.0, "position": 2},
    "estimates": {
        "question": "q",
        "estimand": "e",
        "metric": "orders",
        "contrast": "ad - none",
        "method": "m",
        "group": "all",
        "estimate": 1.0,
        "standard_error": 0.5,
        "low": 0.0,
        "high": 2.0,
        "level": 0.95,
        "p_value": 0.04,
        "n": 10,
        "verdict": "ok",
        "reason": None,
        "set_shape": "interval",
    },
}
WRONG = [  # contract, what a bad row has, what the quarantine says
    (Events, {"event": "bought"}, "event is none of impression, click"),
    (Orders, {"order_number": 0}, "order_number is below 1"),
    (Orders, {"order_id": None}, "order_id is null"),
    (Spells, {"duration_days": 0.0}, "duration_days is not above 0"),
    (Spells, {"entry_days": 3.5}, "entry_days is not before duration_days"),
    (Spells, {"weight": 0}, "weight is below 1"),
    (Spells, {"repurchased": None}, "repurchased is null"),
    (Requests, {"as_of": None}, "as_of is null"),
    (Assignments, {"probability": 1.5}, "probability is above 1"),
    (Assignments, {"exposed_at": datetime(2024, 2, 1)}, "exposed_at is before assigned_at"),
    (Outcomes, {"arm": " "}, "arm is empty"),
    (Panel, {"outcome": float("nan")}, "outcome is not a finite number"),
    (Media, {"spend": -1.0}, "spend is below 0"),
    (Touches, {"channel": None}, "channel is null"),
    (Auctions, {"mechanism": "dutch"}, "mechanism is none of first, second, gsp"),
    (Auctions, {"pctr": -0.1}, "pctr is below 0"),
    (PolicyLog, {"propensity": 0.0}, "propensity is not above 0"),
    (Estimates, {"verdict": "refused"}, "a refused row has a number or no reason"),
    (Estimates, {"estimate": 3.0}, "the estimate lies outside its interval"),
    (Estimates, {"low": 2.5}, "low is above high"),
    (Estimates, {"level": 95.0}, "level is above 1"),
    (Estimates, {"p_value": 1.1}, "p_value is above 1"),
]
CONTRACTS = [contract for contract, *_ in DESIGN]


def name_of(value: object) -> str | None:
    return getattr(value, "name", None)


@pytest.mark.parametrize(("contract", "required", "optional"), DESIGN, ids=name_of)
def test_the_columns_are_those_of_the_design(contract, required, optional):
    assert contract.required == required.split()
    assert contract.optional == optional.split()


@pytest.mark.parametrize("contract", CONTRACTS, ids=name_of)
def test_a_right_frame_passes_and_loses_nothing(contract):
    frame = pl.DataFrame([RIGHT[contract.name]])
    checked = check(frame, contract)
    assert len(checked.good) == 1
    assert checked.good.columns == frame.columns
    assert checked.faults.is_empty()
    assert check(checked.good, contract).good.equals(checked.good)


@pytest.mark.parametrize(("contract", "change", "reason"), WRONG, ids=name_of)
def test_a_row_that_breaks_its_contract_is_set_aside_with_the_reason(contract, change, reason):
    right = RIGHT[contract.name]
    checked = check(pl.DataFrame([right, right | change]), contract)
    assert len(checked.good) == 1
    assert checked.quarantined["row"].to_list() == [1]
    assert reason in checked.quarantined["reason"][0]


@pytest.mark.parametrize("contract", CONTRACTS, ids=name_of)
def test_a_frame_without_its_columns_is_refused_and_all_are_named(contract):
    with pytest.raises(ContractError, match=f"^{contract.name}: ") as told:
        check(pl.DataFrame({"colour": ["red"]}), contract)
    assert all(f"'{name}' is missing" in str(told.value) for name in contract.required)
    assert "It has: colour." in str(told.value)


@pytest.mark.parametrize("contract", CONTRACTS, ids=name_of)
def test_a_frame_whose_types_cannot_be_understood_is_refused(contract):
    frame = pl.DataFrame([RIGHT[contract.name]]).with_columns(pl.lit(b"?").alias(name) for name in contract.required)
    with pytest.raises(ContractError, match="is Binary, must be") as told:
        check(frame, contract)
    assert str(told.value).count("is Binary") == len(contract.required)


def test_the_event_kinds_are_an_enum_in_the_order_of_the_funnel():
    good = check(pl.DataFrame([RIGHT["events"]]), Events).good
    kinds = "impression click view watch search cart checkout purchase refund"
    assert good.schema["event"] == pl.Enum(kinds.split())


def test_a_ratio_whose_uncertainty_is_two_rays_is_no_fault():
    row = RIGHT["estimates"] | {"estimate": 3.0, "set_shape": "rays"}
    assert check(pl.DataFrame([row]), Estimates).faults.is_empty()


def test_a_contract_says_what_it_wants():
    assert repr(Requests) == "requests: customer_id, as_of; optional: none"
    assert repr(Media) == "media: date, channel, spend; optional: geo, impressions"
