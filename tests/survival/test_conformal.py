"""The earliest day of return: the level holds in finite samples, for good and bad predictors, and says where not."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import earliest_return

AS_OF = date(2025, 7, 1)
LONGEST = 120


def world(seed, *, n=200, follow_up="independent"):
    """Customers of two kinds whose rates differ widely; whole days; followed up for 1 to 120 days."""
    rng = np.random.default_rng(seed)
    heavy = rng.random(n) < 0.5
    mean = np.exp(rng.normal(np.where(heavy, 3.0, 4.5), 0.5))
    days = np.ceil(rng.exponential(mean))
    late = heavy if follow_up == "heavy joined late" else np.zeros(n, dtype=bool)
    followed = np.where(late, rng.integers(1, LONGEST // 2 + 20, n), rng.integers(1, LONGEST + 1, n))
    end = datetime.combine(AS_OF, datetime.min.time()) - timedelta(days=1)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "duration_days": np.minimum(days, followed),
            "repurchased": days <= followed,
            "started_at": [end - timedelta(days=int(day)) for day in followed],
            "kind": np.where(heavy, "heavy", "light"),
            "days": days,  # the truth
            "predicted_days": mean,
            "reach": np.where(late, 19 / 79, 61 / 120),  # a follow-up of 60 days or more
        }
    )


def bound(table, *, n_asked=40, **options):
    spells, asked = table[n_asked:], table[:n_asked].drop("duration_days", "repurchased")
    predicted = table.select("customer_id", "predicted_days")
    return earliest_return(spells, asked, **{"predicted": predicted, "as_of": AS_OF, "cutoff_days": 60} | options)


def survival_of(table, days):
    """The same prediction as curves."""
    grid = table.select("customer_id", "predicted_days").join(pl.DataFrame({"duration_days": days}), how="cross")
    return grid.select(
        "customer_id", "duration_days", survival=(-pl.col("duration_days") / pl.col("predicted_days")).exp()
    )


def test_the_bound_is_that_of_the_definition():
    table = world(1)
    told = bound(table, level=0.8)
    rows = [row for row in table[40:].to_dicts() if (AS_OF - row["started_at"].date()).days > 60]
    scores = sorted(
        row["duration_days"] / row["predicted_days"] if row["repurchased"] and row["duration_days"] < 60 else np.inf
        for row in rows
    )
    threshold = scores[int(0.2 * (len(scores) + 1)) - 1]
    expected = np.minimum(threshold * table["predicted_days"][:40].to_numpy(), 60)
    np.testing.assert_allclose(told.table["earliest_days"], expected, atol=1e-6)
    assert told.calibration.rows() == [("all", 160, len(scores))]
    assert told.table["is_cut"].to_list() == (expected == 60).tolist()
    assert told.guarantee.startswith("exact, if follow-up is independent of the covariates (rank test: p = 0.")


def test_where_all_are_followed_to_the_cutoff_nothing_can_depend_on_the_follow_up():
    watched = world(1, n=600).filter((AS_OF - pl.col("started_at").dt.date()).dt.total_days() > 60)
    assert bound(watched).guarantee == "exact: everybody was followed up to the cutoff"


def test_curves_and_days_of_one_law_give_one_bound():
    table = world(2)
    curves = survival_of(table, np.arange(0.25, 60.5, 0.25))

    class Fit:
        def predict_survival(self, frame, *, days):
            return survival_of(pl.DataFrame(frame), days).sample(fraction=1, shuffle=True, seed=1)

    by_days, by_curve, by_fit = (
        bound(table, predicted=predicted).table["earliest_days"]
        for predicted in (table.select("customer_id", "predicted_days"), curves, Fit())
    )
    np.testing.assert_allclose(by_curve, by_days, atol=0.01)
    np.testing.assert_allclose(by_fit, by_days, atol=0.1)


def held(table, told, n_asked=8):
    return (table["days"][:n_asked] >= told.table["earliest_days"]).to_list()


@pytest.mark.certify
@pytest.mark.parametrize("case", ["good", "bad", "weighted", "in groups"])
def test_the_level_holds(certify, case):
    def hits(seed):
        table = world(seed, follow_up="independent" if case in ("good", "bad") else "heavy joined late")
        if case == "bad":  # knows nothing
            table = table.with_columns(predicted_days=pl.col("predicted_days").shuffle(seed))
        options = {"weighted": {"reach": "reach", "reach_known": True}, "in groups": {"by": "kind"}}.get(case, {})
        told = bound(table, n_asked=8, level=0.8, **options)
        return held(table, told)

    share = certify(hits, level=0.8)
    assert share.mean() < 0.85  # and is not bought by bounds of nothing


@pytest.mark.certify
def test_a_follow_up_that_depends_on_the_customer_breaks_the_plain_bound_and_is_told():
    covered, told = [], []
    for seed in range(200):
        table = world(seed, n=400, follow_up="heavy joined late")
        same = table.select("customer_id", predicted_days=pl.lit(30.0))
        flat = bound(table, n_asked=8, predicted=same, level=0.8, cutoff_days=75)
        covered.append(held(table, flat))
        told.append(bound(table, n_asked=8).guarantee.startswith("approximate: follow-up depends on the prediction"))
    assert np.mean(covered) < 0.76
    assert np.mean(told) > 0.9


def test_coverage_is_shown_by_group():
    table = world(5, n=6_000)
    told = bound(table, n_asked=3_000, level=0.8)
    shown = told.coverage(table[:3_000], as_of=AS_OF, by="kind")
    assert shown["group"].to_list() == ["all", "heavy", "light"]
    mine = told.table.join(table, on="customer_id").filter(
        (AS_OF - pl.col("started_at").dt.date()).dt.total_days() > 60
    )
    all_ = shown.row(0, named=True)
    assert all_["covered"] == pytest.approx((mine["days"] >= mine["earliest_days"]).mean())
    assert all_["low"] < 0.8 < all_["high"]
    assert all_["n_known"] == len(mine) == shown["n_known"][1:].sum()
    truth = (table["days"][:3_000] >= told.table["earliest_days"]).mean()
    assert all_["at_least"] <= truth <= all_["at_most"]
    assert told.coverage(table[:3_000], as_of=AS_OF).rows() == shown[:1].rows()


def test_the_groups_of_the_calibration_are_those_of_the_coverage():
    table = world(6, n=400)
    told = bound(table, n_asked=200, by="kind")
    assert told.calibration["group"].to_list() == ["heavy", "light"]
    assert told.coverage(table[:200], as_of=AS_OF)["group"].to_list() == ["all", "heavy", "light"]
    assert "within kind" in told.guarantee
    short = told.coverage(table[:200].filter(pl.col("started_at") > datetime(2025, 6, 1)), as_of=AS_OF)
    assert short.row(0, named=True)["covered"] is None  # nobody was watched up to the cutoff
    assert short.row(0, named=True)["low"] is None


def test_too_few_customers_bound_nothing():
    told = bound(world(7)[:48], level=0.99)
    assert (told.table["earliest_days"] == 0).all()


def test_nobody_back_before_the_cutoff_bounds_at_the_cutoff():
    table = world(8).with_columns(duration_days=pl.min_horizontal("duration_days", "duration_days"))
    told = bound(table.with_columns(predicted_days=100.0), cutoff_days=2, level=0.5)
    assert told.table["is_cut"].all()


def test_estimated_weights_are_called_approximate():
    assert bound(world(9), reach="reach").guarantee == "approximate, by estimated follow-up"
    assert bound(world(9), reach="reach", reach_known=True).guarantee.startswith("exact, the law")
    equal = bound(world(9).with_columns(reach=0.5), reach="reach").table
    assert equal.equals(bound(world(9)).table)


def test_renamed_and_shuffled_customers_keep_their_bound():
    table = world(10)
    renamed = table.with_columns(user=pl.format("u{}", "customer_id")).drop("customer_id")
    spells, asked = renamed[40:].sample(fraction=1, shuffle=True, seed=1), renamed[:40]
    told = earliest_return(spells, asked, predicted=renamed.select("user", "predicted_days"), as_of=AS_OF, id="user")
    assert told.table["earliest_days"].equals(bound(table, cutoff_days=None).table["earliest_days"])


SHORT = survival_of(world(0), [10.0, 20.0])
BAD = {
    "a level above 1": ({"level": 90}, "level is 90"),
    "a cutoff beyond": ({"cutoff_days": 500}, "cutoff_days is 500; it must be > 0 and at most 1"),
    "no cutoff for a law": ({"cutoff_days": None, "reach": "reach"}, "cutoff_days is None; .* reach= is about one"),
    "a reach of nothing": (
        {"reach": "days"},
        "'days' must be there and lie above 0 and at most at 1",
    ),
    "another day": ({"as_of": "2025-07-09"}, "do not last until as_of = 2025-07-09 .* administrative"),
    "an unknown group": ({"by": "country"}, "no column 'country'"),
    "curves too short": ({"predicted": SHORT}, "predicted reaches day 20, cutoff_days is 60"),
    "a curve with a hole": (
        {"predicted": pl.concat([SHORT, SHORT[-1:]])},
        "every customer needs one 'survival', on the same days for all",
    ),
    "a missing customer": (
        {"predicted": world(0)[:90].select("customer_id", "predicted_days")},
        "every customer needs one 'predicted_days', above 0",
    ),
    "no prediction": ({"predicted": world(0).select("customer_id")}, "no column 'duration_days', 'survival'"),
}


@pytest.mark.parametrize(("options", "match"), BAD.values(), ids=BAD)
def test_what_cannot_be_bounded_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        bound(world(0), **options)


def test_customers_are_on_one_side_once():
    table = world(0)
    options = {"predicted": table.select("customer_id", "predicted_days"), "as_of": AS_OF}
    with pytest.raises(ContractError, match="customers: 40 are also in spells"):
        earliest_return(table, table[:40], **options)
    with pytest.raises(ContractError, match="'customer_id' must name each customer once"):
        earliest_return(table[40:], table[[1, 1]], **options)
    with pytest.raises(ContractError, match="'customer_id' repeats"):
        earliest_return(pl.concat([table[40:], table[40:]]), table[:40], **options)
    with pytest.raises(ContractError, match="a row of its own, with 'started_at' and without 'weight'"):
        earliest_return(table[40:].drop("started_at"), table[:40], **options)
    with pytest.raises(ContractError, match="customers: no column 'customer_id'"):
        earliest_return(table[40:], table[:40].drop("customer_id"), **options)
    with pytest.raises(ContractError, match="no 'customer_id' is among those of this bound"):
        bound(table).coverage(table[40:], as_of=AS_OF)


def test_a_bound_reads_well():
    told = bound(world(11))
    assert "EarliestReturn at level 0.9 from " in repr(told)
    assert "are not back before it, counted from the order" in told._repr_html_()
