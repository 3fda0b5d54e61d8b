"""Guesses of columns and kinds: what a shopkeeper calls things is recognised, and shown with how sure."""

import polars as pl
import pytest

from shoptoolkit.contract.guess import columns_of, contents_of, guess_columns, guess_kind


def guessed(frame: pl.DataFrame, **told: str):
    return guess_columns(frame, {series.name: contents_of(series) for series in frame}, told=told)


def column(name: str, n: int = 60) -> list[str]:
    """Sixty values of a kind, as text out of a csv."""
    return {
        "id": [str(i % 25) for i in range(n)],
        "moment": [f"2024-01-{i % 28 + 1:02d} 10:{i:02d}" for i in range(n)],
        "kind": [("buy", "pageview", "return")[i % 3] for i in range(n)],
        "money": [f"{i / 7:.2f}" for i in range(n)],
        "pieces": [str(i % 4 + 1) for i in range(n)],
        "code": [f"S{i % 30}" for i in range(n)],
    }[name]


@pytest.mark.parametrize(
    ("theirs", "holds", "ours"),
    [
        ("user_id", "id", "customer_id"),
        ("CustomerID", "id", "customer_id"),
        ("Household-Id", "id", "customer_id"),
        ("ts", "moment", "at"),
        ("InvoiceDate", "moment", "at"),
        ("order_date", "moment", "at"),
        ("event_type", "kind", "event"),
        ("UnitPrice", "money", "price"),
        ("amount", "money", "price"),
        ("qty", "pieces", "quantity"),
        ("sku", "code", "item_id"),
        ("InvoiceNo", "code", "order_id"),
        ("utm_source", "code", "source"),
    ],
)
def test_a_usual_name_is_recognised(theirs, holds, ours):
    (guess,) = guessed(pl.DataFrame({theirs: column(holds)}))
    assert (guess.theirs, guess.ours) == (theirs, ours)
    assert guess.sure in ("sure", "likely")


def test_without_names_the_contents_tell():
    frame = pl.DataFrame({"a": column("id"), "b": column("moment"), "c": column("kind"), "d": column("money")})
    found = {guess.ours: (guess.theirs, guess.sure) for guess in guessed(frame)}
    assert found == {
        "customer_id": ("a", "perhaps"),
        "at": ("b", "likely"),
        "event": ("c", "sure"),
        "price": ("d", "perhaps"),
    }


def test_contents_overrule_a_name():
    frame = pl.DataFrame({"order_date": column("moment"), "date": column("code"), "type": column("code")})
    assert {guess.theirs: guess.ours for guess in guessed(frame)} == {"order_date": "at", "type": "event"}
    assert [guess.sure for guess in guessed(frame) if guess.ours == "event"] == ["perhaps"]


def test_a_status_numbers_no_orders():
    assert guessed(pl.DataFrame({"order_status": ["paid", "open"] * 30})) == []


def test_what_the_caller_says_comes_first():
    frame = pl.DataFrame({"user_id": column("id"), "who": column("code")})
    found = {guess.ours: guess.theirs for guess in guessed(frame, who="customer_id")}
    assert found["customer_id"] == "who"


def test_the_total_of_a_line_is_not_multiplied_once_more():
    frame = pl.DataFrame({"value": column("money"), "qty": column("pieces")})
    assert columns_of(guessed(frame)) == {"value": "price"}
    assert columns_of(guessed(frame.rename({"qty": "quantity"}))) == {"value": "price", "quantity": "pieces"}
    assert columns_of(guessed(frame.rename({"value": "unit_price"}))) == {"unit_price": "price", "qty": "quantity"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [("addToCart", "cart"), ("page_view", "view"), ("BUY", "purchase"), ("Returned", "refund"), ("dance", None)],
)
def test_words_of_shops_have_a_kind(value, kind):
    assert guess_kind(value) == kind
    assert guess_kind("remove_from_cart") is None


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        (["1", "22", ""], "whole numbers"),
        (["18,81", "1.234,50"], "numbers"),
        (["2024-01-01", "2024-01-02T10:00"], "moments"),
        (["01/02/2024", "03/04/2024"], "moments"),
        (["1704100000", "1704100001"], "counts since 1970"),
        (["", None], "nothing"),
        (["a", "b"], "text"),
        ([1.5, None], "numbers"),
        ([True, False], "yes or no"),
        ([["a"], ["b"]], "lists or records"),
        ([b"\x00", b"\x01"], "lists or records"),
    ],
)
def test_contents_are_told_by_the_values(values, holds):
    assert contents_of(pl.Series("x", values)).holds == holds


def test_a_format_in_seconds_makes_no_moments_of_quantities():
    assert contents_of(pl.Series("quantity", ["6", "8"]), datetime_format="s").holds == "whole numbers"
    assert contents_of(pl.Series("day", ["Mar 5, 2024"]), datetime_format="%b %d, %Y").holds == "moments"
