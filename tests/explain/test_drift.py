"""Features that have moved are found and told in words; where nothing moved, many rows of a customer raise no alarm."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import chi2_contingency

from shoptoolkit.contract import ContractError
from shoptoolkit.explain import drift


def world(seed=0, customers=80, *, shared=True, moves=0.0):
    """Rows of a customer are much alike; the test has the later rows of everybody, or the rows of other customers."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(customers), rng.integers(1, 8, customers))
    number, count, kind, flag, holes = rng.normal(size=(customers, 5))[customer].T + 0.5 * rng.normal(
        size=(5, len(customer))
    )
    late = rng.random(len(customer)) < 0.4 if shared else customer >= 0.7 * customers
    frame = pl.DataFrame(
        {
            "customer_id": customer,
            "number": number + moves * late,
            "count": np.maximum(0, count).round(),
            "kind": np.select([kind > 1, kind > 0], ["live", "mail"], "paid"),
            "flag": flag > 1,
            "holes": np.where(holes > 1.2, np.nan, holes),
        }
    )
    return frame.filter(~pl.Series(late)), frame.filter(pl.Series(late))


def row(told, feature):
    return told.table.row(told.table["feature"].to_list().index(feature), named=True)


# ---- is it right ----------------------------------------------------------------------------------------------------


@pytest.mark.certify
@pytest.mark.parametrize("shared", [True, False])
def test_where_nothing_moved_an_alarm_is_as_rare_as_said(certify, shared):
    """80 customers of 1 to 7 rows that are much alike; taken one by one, the rows of new customers raise 6 in 10."""
    certify(lambda seed: [not drift(*world(seed, shared=shared), id="customer_id").table["moved"].any()], level=0.95)


def test_customers_with_many_rows_would_raise_alarms_if_rows_stood_alone():
    alone = [drift(*(part.drop("customer_id") for part in world(seed, shared=False))) for seed in range(30)]
    assert sum(told.table["moved"].any() for told in alone) > 10


def test_a_planted_move_is_found_and_told_in_words():
    told = drift(*world(shared=True, moves=0.7), id="customer_id")
    assert told.table.filter("moved")["feature"].to_list() == ["number"] == told.table["feature"].to_list()[:1]
    moved = row(told, "number")
    assert moved["distance"] > moved["by_chance"]
    assert told.verdict == (
        f"5 features compared (Holm, level 0.95): 1 moved: number (median {moved['before']} -> {moved['after']})."
    )
    assert drift(*world(moves=0.0), id="customer_id").verdict.endswith("no move shown.")


def test_rows_that_stand_alone_are_judged_as_by_pearson():
    rng = np.random.default_rng(3)
    before, after = (
        pl.DataFrame({"kind": rng.choice(["a", "b", "c"], 2_000, p=p)}) for p in ([0.5, 0.3, 0.2], [0.47, 0.31, 0.22])
    )
    counts = [[(part["kind"] == one).sum() for one in "abc"] for part in (before, after)]
    theirs = chi2_contingency(counts)
    told = row(drift(before, after), "kind")
    assert told["distance"] == pytest.approx(theirs.statistic * 2 / 2_000, rel=1e-9)
    assert told["p_value"] == pytest.approx(theirs.pvalue, rel=0.02)


@pytest.mark.certify
def test_what_is_rare_raises_no_alarm_by_its_absence_from_a_small_part(certify):
    """Two in a hundred, and 50 rows: more than a third of all worlds have none of them there."""

    def hits(seed):
        rng = np.random.default_rng(seed)
        parts = (pl.DataFrame({"refunded": rng.random(n) < 0.02}) for n in (1_000, 50))
        return [not drift(*parts).table["moved"].any()]

    certify(hits, level=0.95)


def test_rare_categories_count_together():
    """Thirty new ones of three rows each in place of the one there was."""
    before, after = (
        pl.DataFrame({"source": names}) for names in (["mail"] * 90, [f"live {k % 30}" for k in range(90)])
    )
    assert row(drift(before, after), "source")["distance"] == pytest.approx(4)


@pytest.mark.parametrize("name", ["share", "share_right", "count", "value"])
def test_a_feature_may_have_any_name(name):
    before, after = pl.DataFrame({name: ["a", "b"] * 50}), pl.DataFrame({name: ["a"] * 100})
    assert drift(before, after).verdict.endswith(f"1 moved: {name} (share of 'a' 50.0 % -> 100.0 %).")


def test_what_chance_stays_below_is_no_more_than_can_be():
    told = row(drift(pl.DataFrame({"x": np.arange(100)}), pl.DataFrame({"x": [1e300]})), "x")
    assert told["distance"] <= told["by_chance"] == pytest.approx(101**2 / 100)
    assert told["after"] == "1e+300"


def test_the_p_value_is_that_of_dealing_the_customers_anew():
    both = pl.concat(world(seed=9, customers=120, shared=False, moves=0.35))
    ids = both["customer_id"].unique().sort()
    rng, found = np.random.default_rng(1), []
    for dealt in [ids.to_numpy(), *(rng.permutation(ids) for _ in range(300))]:
        late = pl.col("customer_id").is_in(dealt[round(0.7 * len(ids)) :].tolist())
        told = row(drift(both.filter(~late), both.filter(late), id="customer_id", features=["number"]), "number")
        found.append((told["distance"], told["p_value"]))
    distance, p_value = np.array(found).T
    assert p_value[0] == pytest.approx((distance >= distance[0]).mean(), abs=0.02)


def test_the_same_rows_many_times_are_hardly_more_evidence():
    once = drift(*world(moves=0.5), id="customer_id")
    often = drift(*(pl.concat([part] * 4) for part in world(moves=0.5)), id="customer_id")
    for name, within in {"distance": 1e-9, "by_chance": 0.1, "p_value": 0.3}.items():
        assert often.table[name].to_list() == pytest.approx(once.table[name].to_list(), rel=within)
    same = drift(world()[0], world()[0], id="customer_id").table
    assert same["p_value"].to_list() == [1.0] * 5


def test_neither_order_nor_names_nor_units_decide():
    train, test = world(moves=0.3)
    told = drift(train, test, id="customer_id")
    other = [
        part.sample(fraction=1, shuffle=True, seed=1).with_columns(
            customer_id=pl.format("c{}", 999 - pl.col("customer_id"))
        )
        for part in (train, test)
    ]
    assert_frame_equal(drift(*other, id="customer_id").table, told.table)
    cents = drift(*(part.with_columns(pl.col("number") * 100) for part in (train, test)), id="customer_id")
    for name in ("distance", "p_value"):
        assert cents.table[name].to_list() == pytest.approx(told.table[name].to_list(), rel=1e-9)


# ---- in words -------------------------------------------------------------------------------------------------------


def test_each_kind_of_feature_is_told_in_its_own_words():
    n = 200
    before = pl.DataFrame(
        {
            "days": [12.0] * n, "orders": [0] * 150 + [4] * 50, "paid": [True] * 50 + [False] * 150,
            "source": ["mail"] * 100 + ["live"] * 100, "age": [30.0] * 190 + [None] * 10, "spend": [1_500.0] * n,
        }
    )  # fmt: skip
    after = before.with_columns(
        days=pl.lit(19.0),
        orders=pl.Series([0] * 110 + [4] * 90),
        paid=pl.Series([True] * 120 + [False] * 80),
        source=pl.Series(["mail"] * 40 + ["new"] * 160),
        age=pl.Series([30.0] * 100 + [None] * 100),
    )
    told = drift(before, after)
    words = {
        name: (what, first, last)
        for name, what, first, last in told.table.select("feature", "what", "before", "after").rows()
    }
    assert words == {
        "days": ("median", "12", "19"),
        "orders": ("mean", "1", "1.8"),
        "paid": ("share of yes", "25.0 %", "60.0 %"),
        "source": ("share of 'new'", "0.0 %", "80.0 %"),
        "age": ("share missing", "5.0 %", "50.0 %"),
        "spend": ("mean", "1,500", "1,500"),
    }  # fmt: skip
    assert row(told, "age")["missing_after"] == 0.5
    assert not row(told, "spend")["moved"]
    assert (told.n_train, told.n_test, told.n_customers, told.n_shared) == (n, n, 2 * n, 0)
    assert "6 features compared" in repr(told)
    assert "Have the features moved?" in told._repr_html_()


def test_what_is_known_on_one_side_only_has_moved():
    n = 60
    before, after = (
        pl.DataFrame({"new": [None] * n, "x": [1, 2] * 30}),
        pl.DataFrame({"new": [1.0] * n, "x": [1, 2] * 30}),
    )
    told = row(drift(before, after), "new")
    assert told["moved"]
    assert (told["what"], told["before"], told["after"]) == ("share missing", "100.0 %", "0.0 %")


def test_many_features_that_moved_are_counted_not_listed():
    train, test = (pl.DataFrame({f"x{k}": np.arange(100) + shift for k in range(7)}) for shift in (0, 80))
    assert ", and 2 more" in drift(train, test).verdict


# ---- the door -------------------------------------------------------------------------------------------------------


def test_dates_and_ids_are_no_features():
    train, test = (part.with_columns(at=pl.lit(datetime(2025, 1, 1))) for part in world())
    assert sorted(drift(train, test, id="customer_id").table["feature"]) == ["count", "flag", "holes", "kind", "number"]
    assert drift(train.to_pandas(), test.to_arrow(), features=["flag"]).table["feature"].to_list() == ["flag"]


TRAIN, TEST = world()


@pytest.mark.parametrize(
    ("train", "test", "options", "error", "message"),
    [
        (TRAIN, TEST.drop("flag"), {"features": ["flag", "kind"]}, ContractError, "'flag' missing in test. It has: c"),
        (TRAIN, TEST, {"id": "client"}, ContractError, "'client' missing in train"),
        (TRAIN.clear(), TEST, {}, ContractError, "train has 0 rows"),
        (TRAIN, TEST.with_columns(flag=pl.lit("yes")), {}, ContractError, "'flag' is Boolean in train, String in test"),
        (TRAIN.with_columns(customer_id=None), TEST, {"id": "customer_id"}, ContractError, "'customer_id' is null in"),
        (TRAIN.select("customer_id"), TEST, {"id": "customer_id"}, ValueError, "there are no features to compare"),
        (TRAIN, TEST, {"features": []}, ValueError, "there are no features to compare"),
        (TRAIN, TEST, {"features": [3]}, TypeError, "features is"),
        (TRAIN.head(9), TEST.head(9), {}, ValueError, "train and test have 18 customers; to tell"),
        (TRAIN, TEST, {"level": 95}, ValueError, "level is 95"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_so(train, test, options, error, message):
    with pytest.raises(error, match=message):
        drift(train, test, **options)
