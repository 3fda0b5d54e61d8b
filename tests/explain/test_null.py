"""A signal is credited only where it is larger than its shadow, which tells nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.explain import null_importance, shap_values
from shoptoolkit.explain.null import SHADOW, _donors, _judged

KNOWN = ("customer_id", "as_of", "y")


@dataclass(frozen=True)
class Linear:
    """Least squares on all columns but ids, time and outcome: its contributions are exact, and quick."""

    features: tuple[str, ...]
    slopes: np.ndarray
    means: np.ndarray

    def encode(self, frame):
        return frame.select(pl.col(self.features).cast(pl.Float64))

    def explain_margin(self, frame):
        return (self.encode(frame).to_numpy() - self.means) * self.slopes, np.zeros(len(frame))

    def margin(self, frame):
        return self.explain_margin(frame)[0].sum(axis=1)


def refit(frame):
    names = tuple(sorted(set(frame.columns) - set(KNOWN)))
    x = frame.select(pl.col(names).cast(pl.Float64)).to_numpy()
    slopes = np.linalg.lstsq(x - x.mean(axis=0), frame["y"].to_numpy() - frame["y"].mean(), rcond=None)[0]
    return Linear(names, slopes, x.mean(axis=0))


def world(seed=0, customers=90, moments=4, strength=1.0):
    """Customers join at three moments and stay; outcomes and most signals hang on the customer, row after row."""
    rng = np.random.default_rng(seed)
    joined = rng.integers(0, 3, customers)
    who = np.repeat(np.arange(customers), moments - joined)
    when = np.concatenate([np.arange(start, moments) for start in joined])
    each, row, times = rng.normal(size=(4, customers)), rng.normal(size=(2, len(who))), rng.poisson(3, customers)[who]
    driver = each[0, who] + 0.3 * row[0]
    return pl.DataFrame(
        {
            "customer_id": who,
            "as_of": when,
            "driver": driver,
            "trace": driver + 0.5 * each[3, who],
            "luck": each[1, who],
            "flag": each[2, who] > 0.8,
            "orders_28d": times + rng.poisson(1, len(who)),
            "orders_91d": 3 * times + rng.poisson(2, len(who)),
            "y": strength * driver + each[3, who[::-1]] + row[1],
        }
    )


WORLD = world()
FOUND = null_importance(refit, WORLD, replicates=30, rng=1)


def of(signal, found=FOUND):
    return found.table.row(by_predicate=pl.col("signal") == signal, named=True)


def test_what_tells_is_above_its_null_and_what_tells_nothing_is_not():
    assert FOUND.table.columns == [
        "signal", "mean_size", "share", "rank", "null_mean", "null_high", "p_value", "is_above", "n",
    ]  # fmt: skip
    assert FOUND.table["signal"].to_list()[0] == "driver"
    assert set(FOUND.table["signal"]) == {"driver", "trace", "luck", "flag", "orders"}
    assert of("driver")["is_above"]
    assert of("driver")["p_value"] == pytest.approx(1 / 31)
    assert not FOUND.table.filter(pl.col("signal").is_in(["luck", "flag", "orders"]))["is_above"].any()
    assert FOUND.table["share"].sum() == pytest.approx(1)
    assert (FOUND.replicates, FOUND.level, FOUND.n_customers, FOUND.scale) == (30, 0.95, 90, "margin")
    assert set(FOUND.table["n"]) == {len(WORLD)}


def test_the_bound_and_the_p_value_agree():
    for row in FOUND.table.to_dicts():
        assert row["is_above"] == (row["p_value"] <= 0.05) == (row["mean_size"] > row["null_high"])


def test_the_draws_stand_behind_the_table():
    draws = FOUND.draws
    assert draws.columns == ["replicate", "signal", "mean_size", "shadow_size"]
    assert len(draws) == 30 * 5
    means = draws.group_by("signal").agg(pl.col("mean_size", "shadow_size").mean())
    told = FOUND.table.select("signal", "mean_size", shadow_size="null_mean")
    for column in ("mean_size", "shadow_size"):
        assert dict(means.select("signal", column).rows()) == pytest.approx(dict(told.select("signal", column).rows()))


def test_a_signal_is_judged_by_the_largest_of_all_shadows_in_its_own_units():
    rng = np.random.default_rng(2)
    own, shadow = rng.gamma(2, size=(40, 3)) + np.array([0, 1, 6]), rng.gamma(2, size=(40, 3)) * [1, 2, 1]
    told = _judged(["a", "b", "c"], own, shadow, level=0.9).sort("signal")
    unit = shadow.std(axis=0, ddof=1) + np.median(shadow.std(axis=0, ddof=1))
    for place, row in enumerate(told.to_dicts()):
        largest = []
        for one in range(40):
            rest = np.array([shadow[k] for k in range(40) if k != one])
            deviation = rest.std(axis=0, ddof=1)
            largest.append(max((shadow[one] - rest.mean(axis=0)) / (deviation + np.median(deviation))))
        z = (own[:, place].mean() - shadow[:, place].mean()) / unit[place]
        assert row["p_value"] == pytest.approx((1 + sum(one >= z for one in largest)) / 41)
        assert row["null_high"] == pytest.approx(shadow[:, place].mean() + unit[place] * sorted(largest)[36])


def test_shadows_that_no_model_uses_pass_nobody():
    told = _judged(["used", "unused"], np.array([[0.2, 0.0]] * 19), np.zeros((19, 2)), level=0.95)
    assert told["p_value"].to_list() == [0.05, 1.0]
    assert told["is_above"].to_list() == [True, False]


def seen_frames(frame=WORLD, **options):
    seen = []
    null_importance(lambda one: seen.append(one) or refit(one), frame, replicates=19, rng=1, **options)
    assert seen[0].equals(frame), "the first fit is on the frame itself"
    return seen[1:]


def test_a_shadow_is_one_other_customer_asked_at_the_same_moments():
    swaps = set()
    for frame in seen_frames():
        own_of = {}
        for name in ("luck", "orders_28d", "orders_91d"):
            shadow = f"{SHADOW}{name}"
            kept = frame.select("customer_id", "as_of", name).join(
                WORLD.select("customer_id", "as_of", true=name), on=["customer_id", "as_of"]
            )
            own, lent = (name, shadow) if kept[name].equals(kept["true"], null_equal=True) else (shadow, name)
            own_of[name] = (own, lent)
            swaps.add(own == name)
        assert (own_of["orders_28d"][0] == "orders_28d") == (own_of["orders_91d"][0] == "orders_91d")
        lent = frame.select("customer_id", "as_of", pl.col(own_of["luck"][1]).alias("luck"))
        donors = lent.join(WORLD.select("luck", "as_of", donor="customer_id"), on=["luck", "as_of"])
        assert len(donors) == len(WORLD)
        pairs = donors.select("customer_id", "donor").unique()
        assert len(pairs) == 90
        assert (pairs["customer_id"] != pairs["donor"]).all()
        names = [own_of["orders_28d"][1], own_of["orders_91d"][1]]
        assert (
            frame.select("as_of", *names).sort(pl.all()).rows()
            == WORLD.select("as_of", "orders_28d", "orders_91d").sort(pl.all()).rows()
        )
    assert swaps == {True, False}, "either may stand under the name"


def test_what_the_moments_fix_is_dealt_among_all_customers_of_a_moment():
    first = WORLD.group_by("customer_id").agg(first=pl.col("as_of").min())
    aged = WORLD.join(first, on="customer_id").with_columns(age=pl.col("as_of") - pl.col("first")).drop("first")
    for frame in seen_frames(aged):
        assert (frame["age"] != frame[f"{SHADOW}age"]).any()
        assert frame.select("as_of", "age").sort(pl.all()).rows() == aged.select("as_of", "age").sort(pl.all()).rows()


def test_rows_are_dealt_round_among_their_own():
    luck = np.array([0.3, 0.1, 0.2, 0.9, 0.5, 0.7])
    assert _donors(np.array([1, 1, 1, 2, 2, 3]), luck).tolist() == [1, 2, 0, 4, 3, 5]


def test_signals_that_go_together_are_told():
    pairs = FOUND.together
    assert pairs.columns == ["signal", "other", "correlation"]
    assert len(pairs) == 5 * 4
    assert pairs.filter(pl.col("signal") == "trace")["other"][0] == "driver"
    ranks = WORLD.select(pl.corr("driver", "trace", method="spearman")).item()
    assert pairs.filter(pl.col("signal") == "trace")["correlation"][0] == pytest.approx(ranks)


def test_words_and_gaps_have_shadows_too():
    def by_source(frame):
        names = [name for name in frame.columns if name.endswith("source")]
        return refit(frame.with_columns(pl.col(names) == "paid"))

    told = WORLD.with_columns(
        source=pl.when(pl.col("driver") > 0).then(pl.lit("paid")).otherwise(pl.lit("search")),
        gaps=pl.when(pl.col("luck") > -1).then("luck"),
    )

    def no_gaps(frame):
        return by_source(frame.with_columns(pl.col("^.*gaps$").fill_null(0.0)))

    def explain(fit, frame, *, rows, rng):
        ready = frame.with_columns(pl.col("^.*gaps$").fill_null(0.0), pl.col("^.*source$") == "paid")
        return shap_values(fit, ready, rows=rows, rng=rng)

    found = null_importance(no_gaps, told, replicates=19, rng=1, explain=explain)
    assert found.together.filter(pl.col("signal") == "source")["other"][0] == "driver"
    assert 0.5 < found.together.filter(pl.col("signal") == "gaps", pl.col("other") == "luck")["correlation"][0] < 1


def test_the_seed_decides_and_neither_order_nor_names_do():
    again = null_importance(refit, WORLD, replicates=30, rng=1)
    assert again.draws.equals(FOUND.draws)
    assert not null_importance(refit, WORLD, replicates=30, rng=2).draws.equals(FOUND.draws)
    renamed = WORLD.with_columns(pl.format("c{}", 977 * pl.col("customer_id") % 90).alias("customer_id"))
    for other in (WORLD.sample(fraction=1, shuffle=True, seed=5), renamed, renamed.rename({"customer_id": "user"})):
        options = {"id": "user"} if "user" in other.columns else {}
        told = null_importance(
            lambda frame: refit(frame.drop("user", strict=False)), other, replicates=30, rng=1, **options
        )
        for column in ("mean_size", "shadow_size"):
            np.testing.assert_allclose(told.draws[column], FOUND.draws[column], rtol=1e-9)


def test_one_row_per_customer_needs_no_time():
    alone = WORLD.unique("customer_id", keep="first", maintain_order=True).drop("as_of")
    found = null_importance(refit, alone, replicates=19, rng=1, time=None)
    assert found.table["signal"][0] == "driver"
    assert found.n_customers == 90


@pytest.mark.certify
def test_signals_that_tell_nothing_are_rarely_above(certify):
    def hits_of(seed):
        frame = world(seed, customers=60, moments=4).drop("trace")
        found = null_importance(refit, frame, replicates=19, rng=seed)
        return [not found.table.filter(pl.col("signal") != "driver")["is_above"].any()]

    certify(hits_of, level=0.95, worlds=25)


@pytest.mark.certify
@pytest.mark.parametrize("moments", [1, 6])
def test_few_customers_with_ties_and_traits_of_their_own_are_judged_rightly(certify, moments):
    """Thirty customers, signals that never change, outcomes that hang on the customer; the deal and the judge alone."""

    def hits_of(seed):
        rng, who = np.random.default_rng(seed), np.repeat(np.arange(30), moments)
        x = np.column_stack(
            [rng.poisson(0.3, 30), rng.normal(size=30), rng.random(30) < 0.15, rng.exponential(size=30) ** 2]
        )
        y = 2 * rng.normal(size=30)[who] + rng.normal(size=len(who))
        sizes = np.empty((2, 19, 4))
        for k in range(19):
            lent = np.column_stack([one[_donors(np.zeros(30, int), rng.random(30))] for one in x.T])
            both = np.hstack([x, lent])[who]
            both -= both.mean(axis=0)
            slopes = np.linalg.lstsq(both, y - y.mean(), rcond=None)[0]
            sizes[:, k] = np.abs(both * slopes).mean(axis=0).reshape(2, 4)
        return [not _judged(list("abcd"), *sizes, level=0.95)["is_above"].any()]

    certify(hits_of, level=0.95)


def test_the_result_says_what_it_is():
    assert repr(FOUND).startswith("NullImportance over 30 refits beside shadows, 90 customers, level 95 %")
    html = FOUND._repr_html_()
    assert "Does the signal tell more than nothing?" in html
    assert "The model, not the cause." in html


@pytest.mark.parametrize(
    ("frame", "options", "error", "told"),
    [
        (WORLD, {"replicates": 18}, ValueError, "replicates is 18; at level 0.95 they must be at least 19"),
        (WORLD, {"replicates": 9, "level": 0.9}, None, ""),
        (WORLD, {"replicates": 1, "level": 0.5}, ValueError, "replicates is 1; at level 0.5 they must be at least 3"),
        (WORLD.filter(pl.col("customer_id") < 6), {}, ValueError, "fewer than 10 share their first and last 'as_of'"),
        (WORLD, {"replicates": "20"}, ValueError, "replicates is '20'; .* and a whole number"),
        (WORLD, {"level": 1}, ValueError, "level is 1; it must lie between 0 and 1"),
        (WORLD, {"id": "user"}, ContractError, "null_importance: 'user' is missing. It has: customer_id, as_of"),
        (WORLD, {"time": "day"}, ContractError, "null_importance: 'day' is missing"),
        (WORLD, {"time": None}, ContractError, "must have one row per customer; some have two"),
        (pl.concat([WORLD, WORLD]), {}, ContractError, "must have each customer once at each 'as_of'"),
        (
            WORLD.with_columns(as_of=pl.when(pl.col("as_of") > 1).then("as_of")),
            {},
            ContractError,
            "'as_of' is null in some rows",
        ),
        (
            WORLD.with_columns(as_of=pl.int_range(pl.len())),
            {},
            ValueError,
            "100 % of the rows are of customers of whom fewer than 10 share their first and last 'as_of'",
        ),
    ],
)
def test_what_cannot_be_dealt_is_refused(frame, options, error, told):
    options = {"replicates": 19, "rng": 1, **options}
    if error is None:
        assert null_importance(refit, frame, **options).table["p_value"].min() == pytest.approx(0.1)
        return
    with pytest.raises(error, match=told):
        null_importance(refit, frame, **options)


def test_a_refit_that_looks_away_from_shadows_is_refused():
    with pytest.raises(ValueError, match=r"the refit left out 6 columns of its frame, e\.g\. 'shadow of driver'"):
        null_importance(lambda frame: refit(frame.select(WORLD.columns)), WORLD, replicates=19, rng=1)


def test_a_refit_that_reads_other_columns_is_refused():
    with pytest.raises(
        ContractError, match="null_importance: the fit reads no column of the frame: customer_id, as_of"
    ):
        null_importance(lambda _: replace(refit(WORLD), features=("else",)), WORLD, replicates=19, rng=1)


def test_the_frame_given_stays_as_it_was():
    before = WORLD.clone()
    null_importance(refit, WORLD, replicates=19, rng=1)
    assert WORLD.equals(before)
    assert replace(FOUND, level=0.9).level == 0.9
