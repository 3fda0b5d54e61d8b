"""The words that `explain.dictionary` knows: a label, a unit, a signal and sentences for each stem of a feature's name.

A stem is a name without its window (`_28d`), `session_` or `pre_`. Data, no rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoptoolkit.explain.numbers import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """How a feature is told: `label` for figures, the sentence `said` with {} for the value, and `when` behind it.

    `none` and `missing`: the sentences for 0 or no, and for a missing value; where there is none of one's own, the
    label and the value are told. `currency`: of the unit "money". `{money}` in a label stands for it.
    """

    label: str
    unit: str = "number"
    signal: str
    said: str = ""
    none: str = ""
    missing: str = ""
    when: str = ""
    currency: str = ""


OFTEN, LATELY, MONEY, WATCHING = "how often they came", "how lately they came", "money spent", "watching"
ADS, REFUNDS, RHYTHM, CHOICE, WAYS, AGE = (
    "ads",
    "refunds",
    "rhythm",
    "what they choose",
    "ways in",
    "time as a customer",
)
VISIT, CART, START = "what they did in this visit", "the cart of this visit", "how this visit began"

_KINDS = {  # kind: its rows (label, unit, signal, said, none), and the act that they record (past, participle, label)
    "impression": (("ads seen", "ad", ADS, "Was shown {}", "Was shown no ad"), ("saw an ad", "seen an ad", "ad seen")),
    "click": (
        ("clicks on ads", "times", ADS, "Clicked on an ad {}", "Clicked on no ad"),
        ("clicked on an ad", "", "click on an ad"),
    ),
    "view": (
        ("product views", "times", OFTEN, "Looked at a product {}", "Looked at no product"),
        ("looked at a product", "", "product view"),
    ),
    "watch": (("times watched", "times", WATCHING, "Watched {}", "Watched nothing"), ("watched", "", "watching")),
    "search": (("searches", "times", OFTEN, "Searched {}", "Did not search"), ("searched", "", "search")),
    "cart": (
        ("times put in the cart", "times", OFTEN, "Put something in the cart {}", "Put nothing in the cart"),
        ("put something in the cart", "put anything in the cart", "cart"),
    ),
    "checkout": (
        ("checkouts started", "times", OFTEN, "Started a checkout {}", "Started no checkout"),
        ("started a checkout", "", "checkout"),
    ),
    "purchase": (
        ("order lines bought", "order line", OFTEN, "Bought {}", "Bought nothing"),
        ("bought", "", "purchase"),
    ),
    "refund": (("refunds", "refund", REFUNDS, "Got {}", "Got no refund"), ("got a refund", "had a refund", "refund")),
}


def _of_kind(kind: str) -> dict[str, Word]:
    """How many rows of a kind, on how many days, and how lately."""
    (label, unit, signal, said, none), (past, participle, one) = _KINDS[kind]
    lately = Word(
        label=f"days since last {one}",
        unit="days ago",
        signal=LATELY if signal == OFTEN else signal,
        said=f"Last {past} {{}}",
        missing=f"Has not {participle or past} yet",
    )
    on_days = Word(
        label=f"days with a {one}".replace("a watching", "watching").replace("a ad", "an ad"),
        unit="day",
        signal=signal,
        said=f"{past[0].upper()}{past[1:]} on {{}}",
        none=none,
    )
    rows = Word(label=label, unit=unit, signal=signal, said=said, none=none)
    return {plural(kind): rows, f"{kind}_days": on_days, f"days_since_{kind}": lately}


def share_of(source: str) -> Word:
    """The share of a customer's rows that came from a source."""
    ways = {"organic": "unprompted", "paid": "from paid ads", "live": "from live shows"}
    way = ways.get(source, f"from {source.replace('_', ' ')}")
    return Word(
        label=f"share that came {way}",
        unit="share",
        signal=WAYS,
        said=f"Had {{}} of their actions come {way}",
        none=f"Had none of their actions come {way}",
        missing="Had no action whose source is known",
    )


def _words(rows: dict[str, tuple[str, ...]]) -> dict[str, Word]:
    names = ("label", "unit", "signal", "said", "none", "missing")
    return {stem: Word(**dict(zip(names, row, strict=False))) for stem, row in rows.items()}


VOCABULARY = {name: word for kind in _KINDS for name, word in _of_kind(kind).items()} | _words(
    {
        "orders": ("orders", "times", OFTEN, "Ordered {}", "Did not order"),
        "converted": ("ordered at all", "flag", OFTEN, "Ordered at least once", "Did not order"),
        "paid_orders": (
            "orders by ad",
            "times",
            OFTEN,
            "Ordered {} through an ad",
            "Did not order through an ad",
        ),
        "organic_orders": ("orders unprompted", "times", OFTEN, "Ordered {} unprompted", "Did not order unprompted"),
        "visit_days": ("days with a visit", "day", OFTEN, "Visited on {}", "Did not visit"),
        "ad_days": ("days with an ad", "day", ADS, "Saw or clicked on an ad on {}", "Neither saw nor clicked on an ad"),
        "active_days": ("active days", "day", OFTEN, "Was active on {}", "Was not active"),
        "items": ("pieces bought", "piece", OFTEN, "Bought {}", "Bought nothing"),
        "spend": ("{money} spent", "money", MONEY, "Spent {}", "Spent nothing"),
        "gross_revenue": ("{money} of goods ordered", "money", MONEY, "Ordered goods for {}", "Ordered nothing"),
        "revenue": ("{money} spent after refunds", "money", MONEY, "Spent {} after refunds", "Spent nothing"),
        "refunded": ("{money} refunded", "money", REFUNDS, "Got back {}", "Got no money back"),
        "watch_seconds": ("seconds watched", "seconds", WATCHING, "Watched for {}", "Watched nothing"),
        "watch_minutes": ("minutes watched", "minutes", WATCHING, "Watched for {}", "Watched nothing"),
        "live_seconds": ("seconds watched live", "seconds", WATCHING, "Watched live for {}", "Watched nothing live"),
        "distinct_items": ("different products", "product", CHOICE, "Came across {}", "Came across no product"),
        "distinct_categories": (
            *("different categories", "category", CHOICE),
            *("Came across products of {}", "Came across products of no category"),
        ),
        "purchase_gaps": (
            *("times bought again, on another day", "times", RHYTHM),
            *("Came back on another day to buy {}", "Did not come back on another day to buy"),
        ),
        "mean_gap_days": (
            *("days between purchases, mean", "days", RHYTHM, "Bought at intervals of {} on average", ""),
            "Has not bought on two days yet",
        ),
        "gap_cv": (
            *("spread of the days between purchases, share of their mean", "share", RHYTHM),
            *("Bought at intervals that vary by {} of their mean", "Bought at intervals that are all the same"),
            "Has not bought on three days yet",
        ),
        "waited_days": (
            *("days without an order", "days", LATELY, "Has not ordered for {}"),
            *("Ordered a day ago at most", "Has not ordered yet"),
        ),
        "period": ("period of the forecast", "number", "period", "Is forecast for period {}"),
        "days_as_customer": ("days as a customer", "days", AGE, "Has been a customer for {}"),
        "first_source": ("source of first order", "number", "source of first order"),
        # the visit under way
        "rows_seen": ("steps, this visit", "step", VISIT, "Took {} so far in this visit", "Has not begun a visit"),
        "session_minutes": (
            *("minutes, this visit", "minutes", "length of this visit", "Has been here for {}"),
            *("Has only just come", "Has not begun a visit"),
        ),
        "session_mean_price": (
            *("mean price seen, {money}, this visit", "money", "prices of this visit", "Saw prices of {} on average"),
            *("Saw only what is free", "Has seen no price in this visit"),
        ),
        "session_source": ("source of this visit", "number", START),
        "session_last_event": ("last step", "number", VISIT, "Last step: {}", "", "Has not begun a visit"),
        "session_hour": ("hour, this visit", "hour", START, "Came {}", "", "Has not begun a visit"),
        "session_weekday": (
            "weekday, this visit (Monday: 1)",
            "weekday",
            START,
            "Came on a {}",
            "",
            "Has not begun a visit",
        ),
        # before Hillstrom's e-mail
        "pre_recency_months": ("months since last purchase", "months ago", LATELY, "Last bought {}"),
        "pre_history": ("{money} spent in the past year", "money", MONEY, "Spent {} in the past year"),
        "pre_history_segment": ("class of money spent in the past year", "number", MONEY),
        "pre_mens": ("bought men's goods", "flag", CHOICE, "Bought men's goods", "Bought no men's goods"),
        "pre_womens": ("bought women's goods", "flag", CHOICE, "Bought women's goods", "Bought no women's goods"),
        "pre_newbie": (
            "new in the past year",
            "flag",
            AGE,
            "Became a customer in the past year",
            "Has been a customer for more than a year",
        ),
        "pre_zip_code": ("where they live", "number", "where they live", "Lives in {} surroundings"),
        "pre_channel": ("channel of purchases", "number", "channel of purchases"),
    }
)
