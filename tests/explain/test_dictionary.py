"""Features in words: all that the package makes have them, they read as sentences, and their numbers are right."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoptoolkit.behaviour.prefixes import SESSION
from shoptoolkit.explain import dictionary
from shoptoolkit.explain.dictionary import sentence
from shoptoolkit.explain.numbers import figure, in_words
from shoptoolkit.features import FeatureSpec
from shoptoolkit.incrementality.outcomes import _OF_ORDERS, _OF_ROWS

SPEC = FeatureSpec(windows_days=(1, 7, 28, 364), sources=("organic", "search", "paid", "live", "word_of_mouth"))
HILLSTROM = ("recency_months", "history", "history_segment", "mens", "womens", "newbie", "zip_code", "channel")
BEFORE = [f"pre_{name}" for name in (*_OF_ORDERS, *_OF_ROWS, *HILLSTROM, *SPEC.columns)]
OURS = [*SPEC.columns, *SESSION, *BEFORE, "waited_days", "period", "days_as_customer", "first_source"]
OURS += [f"{name}_days_28d" for name in ("purchase", "watch", "refund", "view", "visit", "ad")]
UNSAID = re.compile(r"[{}_]|None|nan|  | ,| ;|\.$|\b1 (?!surroundings)\w+s\b|: :|days days")
CAUSAL = re.compile(r"because|cause|leads|drives|due to|effect|makes|impact|thanks|drove|led ", re.IGNORECASE)


def said(name, value, typical, **options):
    return sentence(dictionary([name], **options).words[name], value, typical)


def test_every_feature_of_the_package_has_words():
    assert [name for name, label in dictionary(OURS).labels.items() if label == name.replace("_", " ")] == []


def test_all_labels_differ_and_name_no_column():
    labels = dictionary(OURS, currency="EUR").labels
    assert len(set(labels.values())) == len(OURS) == len(set(OURS))
    assert not [label for label in labels.values() if "_" in label or "  " in label or "{" in label]


@pytest.mark.parametrize("value", [0, 1, 2, 3.4, 1000, None, True, False, "Köln & <b>"])
def test_every_feature_is_said_as_a_sentence_whatever_its_value(value):
    for name, word in dictionary([*OURS, "loyalty_tier"], currency="EUR").words.items():
        for typical in (0, 1, 36.2, None, "web"):
            told = sentence(word, value, typical)
            assert told[0].isupper(), told
            assert not UNSAID.search(told), (name, told)
            assert told.count("; a typical customer") + told.count(", as is typical") == 1
            assert not CAUSAL.search(told)


def test_sentences_read_well():
    told = {
        ("orders_28d", 3, 1): "Ordered 3 times in the last 28 days; a typical customer once",
        ("orders_28d", 0, 2): "Did not order in the last 28 days; a typical customer ordered twice",
        ("orders_28d", 2, 0): "Ordered twice in the last 28 days; a typical customer did not order",
        ("orders_28d", 0, 0): "Did not order in the last 28 days, as is typical",
        ("purchases_91d", 1, 4): "Bought 1 order line in the last 91 days; a typical customer 4 order lines",
        ("spend_91d", 1240.2, 0): "Spent GBP 1,240 in the last 91 days; a typical customer spent nothing",
        ("refunded_7d", 12.5, 3): "Got back GBP 12.50 in the last 7 days; a typical customer GBP 3",
        ("views_1d", 1, 2): "Looked at a product once in the last day; a typical customer twice",
        ("active_days_28d", 1, 3): "Was active on 1 day in the last 28 days; a typical customer on 3 days",
        ("purchase_days_28d", 2, 1): "Bought on 2 days in the last 28 days; a typical customer on 1 day",
        ("watch_seconds_28d", 754, 7_300): "Watched for 13 minutes in the last 28 days; a typical customer for 2 hours",
        ("organic_share_28d", 0.347, 0.8): (
            "Had 35 % of their actions come unprompted in the last 28 days; a typical customer 80 %"
        ),
        ("days_since_watch", None, 36): "Has not watched yet; a typical customer last watched 5 weeks ago",
        ("days_since_purchase", 1.2, None): "Last bought 1 day ago; a typical customer has not bought yet",
        (
            "days_since_cart",
            800,
            0.3,
        ): "Last put something in the cart 2.2 years ago; a typical customer less than a day ago",
        ("mean_gap_days", 31, 62): "Bought at intervals of 4 weeks on average; a typical customer 9 weeks",
        ("gap_cv", 0.5, None): (
            "Bought at intervals that vary by 50 % of their mean; a typical customer has not bought on three days yet"
        ),
        ("waited_days", 20, None): "Has not ordered for 3 weeks; a typical customer has not ordered yet",
        (
            "session_carts",
            1,
            0,
        ): "Put something in the cart once so far in this visit; a typical customer put nothing in the cart",
        ("session_items", 3, 1): "Came across 3 products so far in this visit; a typical customer 1 product",
        ("session_last_event", "cart", "view"): "Last step: cart; a typical customer: view",
        ("session_weekday", 5, 1): "Came on a Friday; a typical customer on a Monday",
        ("session_hour", 23, 9): "Came between 23:00 and 0:00; a typical customer between 9:00 and 10:00",
        ("session_source", None, "paid"): "Source of this visit: not known; a typical customer: paid",
        ("pre_orders", 2, 1): "Ordered twice before the experiment; a typical customer once",
        ("pre_spend_28d", 9, 0): "Spent GBP 9 in the 28 days before the experiment; a typical customer spent nothing",
        ("pre_days_since_view", 3, 1): "Last looked at a product 3 days ago; a typical customer 1 day ago",
        ("pre_mens", False, True): "Bought no men's goods; a typical customer bought men's goods",
        (
            "pre_zip_code",
            "urban",
            "rural",
        ): "Lives in urban surroundings; a typical customer lives in rural surroundings",
        ("loyalty_tier", "gold: a", "none"): "Loyalty tier: gold: a; a typical customer: none",
        ("has_app", True, False): "Has app: yes; a typical customer: no",
        ("has_app", None, None): "Has app: not known, as is typical",
        ("age_days", 20, 400): "Age days: 3 weeks; a typical customer: 13 months",
    }
    assert {key: said(*key, currency="GBP") for key in told} == told


def test_what_is_the_same_in_words_is_typical():
    assert said("days_since_view", 33, 36) == "Last looked at a product 5 weeks ago, as is typical"


def test_windows_of_one_count_are_one_signal_and_so_are_all_that_say_the_same():
    signals = dictionary([*SPEC.columns, "waited_days", "days_as_customer"]).signals
    assert {signals[f"spend_{days}d"] for days in (1, 7, 28, 364)} == {"money spent"}
    assert signals["watches_7d"] == signals["watch_seconds_28d"] == signals["days_since_watch"] == "watching"
    assert set(signals.values()) == {
        *("how often they came", "how lately they came", "money spent", "watching", "ads", "refunds", "rhythm"),
        *("what they choose", "ways in", "time as a customer"),
    }
    assert dictionary(["foo_28d", "foo_91d"]).signals == {"foo_28d": "foo", "foo_91d": "foo"}


def test_a_visit_has_signals_of_its_own():
    signals = dictionary(SESSION).signals
    assert signals["rows_seen"] == signals["session_views"] == "what they did in this visit"
    assert signals["session_carts"] == signals["session_checkouts"] == "the cart of this visit"
    assert not set(signals.values()) & set(dictionary(SPEC.columns).signals.values())


def test_money_has_its_currency_or_none():
    assert dictionary("spend_28d", currency="EUR").labels == {"spend_28d": "EUR spent, 28 days"}
    assert dictionary("spend_28d").labels == {"spend_28d": "money spent, 28 days"}
    assert said("spend_28d", 1000, 20).startswith("Spent 1,000 in")


def test_how_long_before_the_experiment_may_be_told():
    assert said("pre_orders", 2, 1, pre_days=28).startswith("Ordered twice in the 28 days before the experiment;")
    assert dictionary("pre_orders", pre_days=28).labels == {"pre_orders": "orders, 28 days before the experiment"}


def test_users_add_words_and_replace_ours():
    words = {
        "tier": {"label": "loyalty tier", "said": "Is a {} member", "signal": "loyalty", "missing": "Has no card"},
        "coupons": {"said": "Used {}", "unit": "coupon", "none": "Used no coupon"},
        "spend_28d": {"label": "till", "said": "Left {} at the till"},
        "is_new": {"said": "Is new here", "unit": "flag"},
    }
    assert said("tier", "gold", "silver", words=words) == "Is a gold member; a typical customer is a silver member"
    assert said("tier", None, "silver", words=words) == "Has no card; a typical customer is a silver member"
    assert said("coupons_7d", 3, 1, words=words) == "Used 3 coupons in the last 7 days; a typical customer 1 coupon"
    assert (
        said("coupons_7d", 0, 1, words=words) == "Used no coupon in the last 7 days; a typical customer used 1 coupon"
    )
    assert said("spend_28d", 3, 1, words=words) == "Left 3 at the till; a typical customer 1"
    assert said("is_new", True, False, words=words) == "Is new here; a typical customer: no"
    known = dictionary(["tier", "spend_28d", "spend_91d"], words=words)
    assert known.labels == {"tier": "loyalty tier", "spend_28d": "till", "spend_91d": "money spent, 91 days"}
    assert known.signals == {"tier": "loyalty", "spend_28d": "money spent", "spend_91d": "money spent"}


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"currency": 3}, TypeError, "currency is 3; it must be a word for money"),
        ({"words": ["tier"]}, TypeError, r"words is \['tier'\]; words maps features to their words"),
        ({"words": {"tier": "Is {}"}}, TypeError, r"words\['tier'\] is 'Is \{\}'; words maps"),
        ({"words": {"tier": {"lable": "x"}}}, ValueError, r"words\['tier'\] has 'lable'; it may have label, unit"),
        ({"words": {"tier": {"label": None}}}, TypeError, r"words\['tier'\] has label=None; it must be text"),
        ({"words": {"tier": {"said": "Is gold"}}}, ValueError, r"says 'Is gold'; write \{\} where its value goes"),
        (
            {"words": {"tier": {"label": "age"}}},
            ValueError,
            "'tier' and 'age' have the same label, 'age'; give one another",
        ),
        ({"pre_days": "28"}, ValueError, "pre_days is '28'; it must be a number of days > 0"),
    ],
)
def test_bad_words_are_refused(options, error, told):
    with pytest.raises(error, match=told):
        dictionary(["tier", "age"], **options)


def test_features_must_be_names():
    with pytest.raises(TypeError, match="features is"):
        dictionary([1, 2])


def test_the_dictionary_shows_itself():
    known = dictionary(["orders_28d", "<b>_7d"])
    assert known.table.rows()[0] == (
        "orders_28d",
        "orders, 28 days",
        "times",
        "how often they came",
        "Ordered {} in the last 28 days",
    )
    assert "Dictionary of 2 features in 2 signals" in repr(known)
    assert "&lt;b&gt;, 7 days" in known._repr_html_()
    assert "<b>, 7" not in known._repr_html_()


COUNTS = st.integers(0, 10**9)
AMOUNTS = st.floats(0, 1e9)


def number(text):
    return float(re.search(r"[\d,.]+", text)[0].replace(",", "")) * (-1 if "−" in text else 1)


@given(COUNTS)
def test_counts_are_exact(n):
    assert number({"once": "1", "twice": "2"}.get(told := in_words(n, "times"), told)) == n
    assert number(in_words(n, "day")) == n
    assert in_words(n, "day").endswith("day") == (n == 1)


@given(AMOUNTS)
def test_money_is_right_to_the_cent_below_a_hundred_and_to_the_unit_above(value):
    told = in_words(value, "money", "EUR")
    assert told.startswith("EUR ")
    assert abs(number(told) - value) <= (0.5 if value >= 100 else 0.005) * (1 + 1e-9)


@given(st.floats(-1e9, 1e9))
def test_figures_are_right_to_three_digits(value):
    assert abs(number(figure(value)) - value) <= max(0.005 * abs(value), 1e-12)


@given(st.floats(0.01, 1))
def test_shares_are_right_to_half_a_percent(share):
    assert abs(number(in_words(share, "share")) / 100 - share) <= 0.005 + 1e-9


DAYS = {"day": 1, "week": 7, "month": 365.25 / 12, "year": 365.25}
TIME = {"second": 1, "minute": 60, "hour": 3600}


@given(st.floats(1, 20_000), st.sampled_from([("days", DAYS), ("seconds", TIME)]))
def test_lengths_of_time_are_right_to_half_a_unit(value, unit_and_sizes):
    unit, sizes = unit_and_sizes
    told = in_words(value, unit)
    size = next(size for name, size in sizes.items() if re.search(rf"\b{name}s?$", told))
    assert abs(number(told) * size - value) <= 0.5 * size + 1e-9
    assert abs(number(told) * size - value) <= 0.35 * value


def test_time_is_told_in_the_unit_that_people_take():
    told = [in_words(days, "days ago") for days in (0.2, 1, 13, 14, 40, 91, 300, 731, 4_000)]
    assert told == [
        *("less than a day ago", "1 day ago", "13 days ago", "2 weeks ago", "6 weeks ago", "3 months ago"),
        *("10 months ago", "2 years ago", "11 years ago"),
    ]
    told = [in_words(seconds, "seconds") for seconds in (0.2, 59, 60, 100, 600, 7_200, 9_000, 100_000)]
    assert told == [
        *(
            "less than a second",
            "59 seconds",
            "1 minute",
            "1.7 minutes",
            "10 minutes",
            "2 hours",
            "2.5 hours",
            "28 hours",
        )
    ]


def test_numbers_that_are_none_are_said():
    assert (figure(float("nan")), figure(float("-inf")), figure(-3.14159)) == ("not a number", "−∞", "−3.14")
    assert in_words(float("inf"), "money", "EUR") == "∞"
    assert in_words(-1234.5, "money", "EUR") == "EUR −1,234"


def test_labels_name_the_features_of_figures():
    assert isinstance(dictionary(pl.Series(["orders_28d"])).labels, dict)


@pytest.mark.parametrize("key", ["label", "unit", "signal"])
def test_a_word_has_no_empty_names(key):
    with pytest.raises(ValueError, match=rf"words\['tier'\] has an empty {key}; leave it out"):
        dictionary("tier", words={"tier": {key: ""}})
