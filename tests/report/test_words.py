"""What notebooks say of an answer: a number with its interval, or a remark why there is none."""

import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.report import in_words, part

ROW = {"estimate": 0.0794, "low": 0.048, "high": 0.1108, "verdict": "ok"}


@pytest.mark.parametrize(
    ("scale", "unit", "told"),
    [
        (1000, "", "79 (48 to 111)"),
        (100, "%", "7.9 % (4.8 to 11.1)"),
        (10, "", "0.79 (0.48 to 1.11)"),
        (-1, "", "\u22120.08 (\u22120.05 to \u22120.11)"),
        (0.1, "EUR", "0.008 EUR (0.005 to 0.011)"),
    ],
)
def test_an_estimate_is_told_with_its_interval_to_about_three_figures(scale, unit, told):
    assert in_words(ROW, scale=scale, unit=unit) == told


def test_decimals_may_be_asked_for_and_zero_has_no_sign():
    assert in_words(ROW, digits=4) == "0.0794 (0.0480 to 0.1108)"
    assert in_words({"estimate": -0.001, "low": -0.31, "high": 0.31, "verdict": "ok"}) == "0.00 (\u22120.31 to 0.31)"
    assert in_words({"estimate": 0.0, "low": 0.0, "high": 0.0, "verdict": "ok"}) == "0.00 (0.00 to 0.00)"


def test_what_has_no_interval_is_told_in_words():
    none = {"estimate": None, "low": None, "high": None}
    assert in_words(none | {"verdict": "refused"}) == "refused"
    assert in_words(none | {"verdict": "ok"}) == "any number"


def test_a_part_gives_its_answer_or_a_remark_why_not():
    assert part(lambda: 7, "a log", held={"a log"}) == (7, None)

    def refuse():
        raise ContractError("outcomes: one arm only")

    answer, remark = part(refuse, title="This experiment cannot tell")
    assert answer is None
    assert remark.text == "This experiment cannot tell: outcomes: one arm only"


def test_a_part_that_lacks_something_says_what_and_is_not_tried():
    answer, remark = part(lambda: 1 / 0, "log of events", "column exposed", held=["column arm"])
    assert (answer, remark.text) == (None, "This part needs more: There is no log of events, and no column exposed.")


def test_nothing_is_said_where_the_arms_cannot_be_compared():
    answer, remark = part(lambda: 7, refused="Sample ratio mismatch")
    assert (answer, remark.text) == (None, "No number here: the arms cannot be compared: Sample ratio mismatch")
    assert "trap" in remark.html
