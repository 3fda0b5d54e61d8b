"""A model card tells what a reader must know, refuses what it cannot say, and praises nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from bs4 import BeautifulSoup

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import EstimateTable, estimate_row, refused_row
from shoptoolkit.explain import drift, model_card
from shoptoolkit.incrementality import fit_uplift
from shoptoolkit.report.fragments import fragment
from shoptoolkit.survival import fit_hazard

SECTIONS = ["summary", "use", "data", "sample", "censoring", "model", "accuracy", "calibration", "drift"]
SECTIONS += ["stability", "limits"]
USE = "To plan stock by the orders expected."


class Stable:
    """What `Stability` says."""

    verdict = "2 of 2 signals hold their rank."


class Told:
    """A fit that says of every segment what it is given."""

    features = ("x",)

    def __init__(self, rows):
        self.rows = rows

    def judge(self, frame, *, by, rng, level, **options):
        self.asked = {"by": by, "rng": rng, "level": level, **options}
        return EstimateTable.from_rows(self.rows)

    def facts(self, train, test):
        return [("limits", "made up", "all of it"), ("data", "window", "none")]


def told(group, metric, estimate=None, error=0.01, **more):
    about = {"question": "How good?", "estimand": "rows", "metric": metric, "method": "told", "group": group, "n": 99}
    if estimate is None:
        return refused_row(reason="too few customers.", level=0.95, **about, **more)
    return estimate_row(estimate=estimate, standard_error=error, level=0.95, null=0.0, **about, **more)


ROWS = pl.DataFrame({"customer_id": range(60), "x": range(60)})


def card_of(rows, **options):
    given = {"train": ROWS, "test": ROWS, "intended_use": USE, "rng": 1}
    return model_card(Told(rows), **given | options)


def values(card, section):
    return dict(card.table.filter(pl.col("section") == section).select("item", "value").rows())


def shop(n=240, seed=0):
    rng = np.random.default_rng(seed)
    rows, source = n * 4, np.repeat(rng.choice(["paid", "live"], n), 4)
    x, month = rng.normal(size=rows), np.tile(np.arange(4), n)
    at = [datetime(2025, 1, 1) + timedelta(days=30 * int(one)) for one in month]
    frame = {"customer_id": np.repeat(np.arange(n), 4), "as_of": at, "x": x, "source": source}
    wait = rng.geometric(0.02 * np.exp(0.5 * x))
    spells = {"duration_days": np.minimum(wait, 60).astype(float), "repurchased": wait <= 60}
    return pl.DataFrame(frame | spells | {"bought": rng.random(rows) < 1 / (1 + np.exp(1 - x))})


SHOP = shop()
LATE = pl.col("as_of") >= datetime(2025, 3, 1)
PARTS = {"train": SHOP.filter(~LATE), "test": SHOP.filter(LATE)}
FIT = fit_propensity(SHOP, "bought", split_at="2025-03-01", features=["x", "source"], rng=1, rounds=30, replicates=40)
CARD = model_card(
    FIT, **PARTS, by="source", stability=Stable(), intended_use=USE, not_for=["prices"], limits=["One shop."], rng=1,
    replicates=40,
)  # fmt: skip


def test_the_card_has_every_section_in_order_and_tells_what_it_was_told():
    assert CARD.table.columns == ["section", "item", "group", "value", "estimate", "low", "high", "n", "reason"]
    assert CARD.table["section"].unique(maintain_order=True).to_list() == SECTIONS
    assert values(CARD, "use")["intended"] == USE
    assert "describes the model, not the cause" in CARD.table.filter(section="use")["value"][-1]
    assert CARD.table.filter(section="use", item="not for")["value"][0] == "prices"
    assert values(CARD, "stability") == {"explanations": Stable.verdict}
    assert values(CARD, "limits")["known"] == "One shop."
    assert values(CARD, "data")["test window"] == "2025-03-02 to 2025-04-01"
    assert values(CARD, "model")["validation"] == "rows from 2025-01-31 on"
    assert values(CARD, "sample")["customers in both"] == "240 of the 240 test customers"


def test_accuracy_and_calibration_are_those_of_judge_overall_and_by_segment():
    judged = FIT.judge(PARTS["test"], by="source", rng=1, replicates=40).table
    shown = CARD.table.filter(pl.col("section").is_in(["accuracy", "calibration"]))
    assert sorted(shown["estimate"]) == pytest.approx(sorted(judged["estimate"]), rel=1e-9)
    assert set(shown["group"]) == {"all", "source = live", "source = paid"}
    assert shown.filter(section="calibration")["item"].unique().sort().to_list() == [
        "calibration slope",
        "came true less forecast, percentage points",
    ]
    assert shown["low"].null_count() == shown["high"].null_count() == 0


def test_the_drift_is_that_of_the_features_by_customer():
    theirs = drift(*PARTS.values(), features=FIT.features, id="customer_id")
    assert CARD.drift.verdict == theirs.verdict == values(CARD, "drift")["verdict"]
    alone = model_card(
        FIT, train=PARTS["train"].drop("customer_id"), test=PARTS["test"], intended_use=USE, rng=1, replicates=40
    )
    assert alone.drift.n_customers == len(SHOP)


def test_the_drift_names_features_in_words_where_they_are_given():
    late = ROWS.with_columns(x=pl.col("x") + 90)
    card = card_of([told("all", "roc_auc", 0.7)], test=late, labels={"x": "days since a view", "z": "other"})
    assert "days since a view (median 29.5 -> 120)" in values(card, "drift")["verdict"]
    assert "days since a view" in card.drift._repr_html_()


def test_segments_where_the_forecast_is_off_are_named_with_the_family_error_held():
    """One of eleven parts at p = .04 is what chance gives; one at p = .0001 is not."""
    gap = "observed_less_predicted"
    near = [told(f"town = {k}", gap, 0.0, 1.0) for k in range(9)]
    chance = card_of([told("all", "roc_auc", 0.7), told("all", gap, 0.1, 1.0), *near, told("town = x", gap, 2.06, 1.0)])
    assert values(chance, "summary")["Calibration"].endswith("in 11 parts (Holm, level 0.95): no difference shown")
    off = card_of([told("all", "roc_auc", 0.7), *near, told("town = x", gap, -4.0, 1.0, measure="percentage points")])
    assert values(off, "summary")["Calibration"].endswith(": town = x (-4 percentage points)")


def test_a_card_whose_accuracy_is_refused_says_so_first():
    card = card_of([told("all", "roc_auc"), told("all", "observed_less_predicted", 0.1, 1.0)])
    assert card.table["item"][0] == "Not judged"
    assert card.table["value"][0] == "ROC AUC of all rows: refused. too few customers."
    page = BeautifulSoup(card._repr_html_(), "html.parser")
    assert page.find("div")["class"] == ["callout", "trap"]
    assert page.find("div").get_text().startswith("Not judged.")
    assert card.table.filter(section="accuracy").select("estimate", "low", "high", "reason").row(0) == (
        None, None, None, "too few customers.",
    )  # fmt: skip


def test_a_segment_that_was_refused_is_named():
    card = card_of([told("all", "roc_auc", 0.7), told("town = a", "roc_auc"), told("town = mall", "roc_auc", 0.7)])
    assert values(card, "summary")["Too small to judge"].startswith("town = a: ")
    assert "Not judged" not in values(card, "summary")


def test_options_go_to_the_judge_of_the_fit_and_its_facts_to_their_sections():
    fit = Told([told("all", "roc_auc", 0.7)])
    card = model_card(fit, train=ROWS, test=ROWS, intended_use=USE, by=["x"], rng=3, level=0.9, horizon_days=28)
    assert fit.asked == {"by": ["x"], "rng": 3, "level": 0.9, "horizon_days": 28}
    assert values(card, "limits") == {"made up": "all of it"}
    assert values(card, "data") == {"window": "none"}
    assert values(card, "stability") == {"explanations": "not asked"}


def test_the_page_keeps_the_card_whole_and_escapes_it():
    card = card_of([told("town = <i>x</i>", "roc_auc", 0.7)], limits=["<script>alert(1)</script>"])
    for one in (card, CARD):
        page, kept = BeautifulSoup(one._repr_html_(), "html.parser"), fragment(one._repr_html_())
        for style in page.find_all("style"):
            style.extract()
        assert kept.get_text() == page.get_text()
        assert [tag.name for tag in kept.find_all(True)] == [tag.name for tag in page.find_all(True)]
        assert "table shop-table" in str(kept)
    assert "<script>" not in card._repr_html_()


@pytest.mark.parametrize("card", [CARD, card_of([told("all", "roc_auc", 0.99)])])
def test_a_card_praises_nothing_and_says_nothing_of_causes(card):
    text = (BeautifulSoup(card._repr_html_(), "html.parser").get_text(" ") + repr(card)).lower()
    for word in ("good", "excellent", "reliable", "because", "causes", "leads to", "drives", "due to", "effect of"):
        assert word not in text.split("</style>")[-1]


def test_a_hazard_has_a_card_with_its_censoring():
    train, test = (part.rename({"as_of": "started_at"}) for part in PARTS.values())
    fit = fit_hazard(train, rng=1, rounds=20, nthread=1, features=["x"])
    card = model_card(fit, train=train, test=test, by="source", intended_use=USE, rng=1, horizon_days=28)
    assert "still open when last seen" in values(card, "censoring")["test"]
    assert "concordance (Uno), day 28" in values(card, "accuracy")
    assert card.drift.table["feature"].to_list() == ["x"]


def test_an_uplift_score_has_a_card_judged_on_folds_it_has_not_seen():
    rng = np.random.default_rng(1)
    x, treated = rng.normal(size=900), rng.random(900) < 0.5
    orders = rng.poisson(np.exp(0.2 + 0.5 * x * treated))
    people = {"customer_id": range(900), "arm": np.where(treated, "ads", "none"), "pre_x": x, "orders": orders}
    frame = pl.DataFrame(people | {"town": rng.choice(["north", "south"], 900)})
    fit = fit_uplift(frame, outcome="orders", control="none", features=["pre_x"], rng=1, folds=3, nthread=1)
    card = model_card(fit, train=frame, test=frame, by="town", intended_use="To rank customers.", rng=1)
    assert card.estimates.table["n"][0] <= len(fit.held_out) == card.estimates.table["n"][2]
    assert "ads - none, town = north" in card.table["group"].to_list()
    assert "came true less forecast, orders" in values(card, "calibration")
    assert values(card, "model")["chance of the arm"] == "shares of the arms"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"intended_use": "  "}, ValueError, "intended_use is '  '; say what the model is for"),
        ({"intended_use": None}, ValueError, "intended_use is None"),
        ({"level": 95}, ValueError, "level is 95"),
        ({"limits": [3]}, TypeError, "limits is"),
        ({"not_for": [3]}, TypeError, "not_for is"),
    ],
)
def test_an_argument_that_will_not_do_is_told_so(options, error, message):
    with pytest.raises(error, match=message):
        card_of([told("all", "roc_auc", 0.7)], **options)
