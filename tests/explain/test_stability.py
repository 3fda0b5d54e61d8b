"""An explanation that other customers would not have given is shown as such."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import shap_values, stability


@dataclass(frozen=True)
class Slopes:
    """A linear model with the slopes that its frame tells: exact, quick, and different on every draw."""

    slopes: np.ndarray
    means: np.ndarray
    features: tuple[str, ...] = ("clear", "faint", "noise", "unused")

    def encode(self, frame):
        return frame.select(pl.col(self.features).cast(pl.Float64))

    def explain_margin(self, frame):
        return (self.encode(frame).to_numpy() - self.means) * self.slopes, np.zeros(len(frame))

    def margin(self, frame):
        return self.explain_margin(frame)[0].sum(axis=1)


def refit(frame):
    x = frame.select("clear", "faint", "noise").to_numpy()
    slopes = np.linalg.lstsq(x - x.mean(axis=0), frame["y"].to_numpy() - frame["y"].mean(), rcond=None)[0]
    return Slopes(np.append(slopes, 0.0), np.append(x.mean(axis=0), 0.0))


def world(customers=150, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    n = customers * rows
    x = rng.normal(size=(n, 4))
    y = 2 * x[:, 0] + 0.4 * x[:, 1] + rng.normal(size=n)
    columns = dict(zip(("clear", "faint", "noise", "unused"), x.T, strict=True))
    return pl.DataFrame({"customer_id": np.repeat(np.arange(customers), rows), **columns, "y": y})


WORLD = world()
TOLD = stability(refit, WORLD, replicates=60, rng=1, top=2)


def of(name, told=TOLD):
    return told.table.row(told.table["feature"].to_list().index(name), named=True)


def test_clear_drivers_stand_firm_and_noise_is_a_coin():
    shared = ["mean_rank", "rank_low", "rank_high", "sign_agreement", "share_in_top_k", "verdict"]
    assert TOLD.table.columns == ["feature", *shared]
    assert TOLD.clusters.columns == ["cluster", "members", *shared]
    assert TOLD.table["feature"].to_list() == ["clear", "faint", "noise", "unused"]
    assert of("clear") == {
        "feature": "clear", "mean_rank": 1, "rank_low": 1, "rank_high": 1, "sign_agreement": pytest.approx(1, abs=0.02),
        "share_in_top_k": 1, "verdict": "stable",
    }  # fmt: skip
    assert of("faint")["share_in_top_k"] == 1
    assert of("faint")["sign_agreement"] > 0.95
    assert of("noise")["share_in_top_k"] == 0
    coin = stability(refit, WORLD.with_columns(noise=pl.col("noise").shuffle(seed=3)), replicates=60, rng=1)
    assert of("noise", coin)["sign_agreement"] < 0.95


def test_a_feature_never_used_has_no_sign_and_is_never_on_top():
    assert of("unused")["sign_agreement"] is None
    assert of("unused")["share_in_top_k"] == 0
    assert of("unused", stability(refit, WORLD, replicates=3, rng=1, top=9))["share_in_top_k"] == 0


def test_equal_drivers_swap_their_ranks():
    equal = WORLD.with_columns(y=pl.col("y") + 1.6 * pl.col("faint"))
    told = stability(refit, equal, replicates=60, rng=1)
    for name in ("clear", "faint"):
        assert (of(name, told)["rank_low"], of(name, told)["rank_high"]) == (1, 2)
        assert 1.05 < of(name, told)["mean_rank"] < 1.95


def test_the_draws_stand_behind_the_summary():
    draws = TOLD.draws
    assert len(draws) == 60 * 4
    assert draws.columns == ["replicate", "feature", "mean_size", "rank", "sign_agreement"]
    means = draws.group_by("feature").agg(pl.col("rank").mean())
    assert dict(means.rows()) == pytest.approx(dict(TOLD.table.select("feature", "mean_rank").rows()))
    assert (TOLD.replicates, TOLD.top, TOLD.n_customers, TOLD.level) == (60, 2, 150, 0.95)


def test_customers_are_drawn_whole_and_as_many_as_there_are():
    seen = []
    stability(lambda frame: seen.append(frame) or refit(frame), WORLD, replicates=5, rng=1)
    assert seen[0].equals(WORLD), "the first fit is on the frame itself"
    for frame in seen[1:]:
        assert len(frame) == len(WORLD)
        counts = frame.group_by("customer_id").len()["len"]
        assert (counts % 3 == 0).all()
        assert 0.5 < len(counts) / 150 < 0.75
        assert frame.unique().join(WORLD, on=WORLD.columns, how="anti").is_empty()


def test_customers_with_more_rows_are_drawn_with_all_of_them():
    uneven = pl.concat([WORLD, WORLD.filter(pl.col("customer_id") < 10)]).sample(fraction=1, shuffle=True, seed=2)
    sizes = dict(uneven.group_by("customer_id").len().rows())
    seen = []
    stability(lambda frame: seen.append(frame) or refit(frame), uneven, replicates=3, rng=1)
    for frame in seen[1:]:
        assert all(count % sizes[name] == 0 for name, count in frame.group_by("customer_id").len().rows())


def test_the_seed_decides_and_row_order_does_not():
    again = stability(refit, WORLD, replicates=60, rng=1, top=2)
    assert again.draws.equals(TOLD.draws)
    assert not stability(refit, WORLD, replicates=60, rng=2, top=2).draws.equals(TOLD.draws)
    shuffled = stability(refit, WORLD.sample(fraction=1, shuffle=True, seed=7), replicates=60, rng=1, top=2).draws
    assert shuffled["rank"].equals(TOLD.draws["rank"])
    np.testing.assert_allclose(shuffled["mean_size"], TOLD.draws["mean_size"], rtol=1e-9)
    renamed = WORLD.select(user=(7 * pl.col("customer_id") + 3) % 151, **{name: name for name in WORLD.columns[1:]})
    assert renamed["user"].n_unique() == 150
    assert stability(refit, renamed, replicates=60, rng=1, top=2, id="user").draws.equals(TOLD.draws)


def test_a_propensity_can_be_refitted():
    rng = np.random.default_rng(0)
    n = 1_200
    orders, noise = rng.poisson(2, n), rng.normal(size=n)
    frame = pl.DataFrame(
        {
            "customer_id": np.arange(n) // 3,
            "as_of": [datetime(2025, 1, 1) + timedelta(days=30 * (i % 3)) for i in range(n)],
            "orders": orders,
            "noise": noise,
            "bought": rng.random(n) < 1 / (1 + np.exp(1.5 - orders)),
        }
    )
    options = {"split_at": "2025-02-15", "rng": 1, "rounds": 30, "replicates": 40}
    told = stability(
        lambda drawn: fit_propensity(drawn, "bought", **options), frame, replicates=8, rng=3, rows=200, top=1
    )
    assert told.table["feature"].to_list() == ["orders", "noise"]
    assert told.table["share_in_top_k"].to_list() == [1, 0]
    assert told.table["sign_agreement"][0] > 0.9
    assert "8 refits" in repr(told)
    assert told.verdict in repr(told)
    assert "400 customers drawn anew" in told._repr_html_()
    assert "The model, not the cause" in told._repr_html_()


def twins(copies=1, noise=0.05, seed=4):
    """`clear` beside near copies, which least squares cannot tell apart."""
    rng = np.random.default_rng(seed)
    made = {f"twin_{i}": WORLD["clear"] + noise * rng.normal(size=len(WORLD)) for i in range(copies)}
    return WORLD.with_columns(**made, y=pl.col("y") + 0.5 * pl.col("noise"))


def ridge(frame):
    """Credit is shared, and moves between the twins from draw to draw; `unused` stays out."""
    names = tuple(name for name in frame.columns if name not in ("customer_id", "y"))
    x = frame.select(names).to_numpy()
    x = x - x.mean(axis=0)
    slopes = np.linalg.solve(x.T @ x + 0.5 * np.eye(len(names)), x.T @ (frame["y"].to_numpy() - frame["y"].mean()))
    return Slopes(slopes * [name != "unused" for name in names], frame.select(names).to_numpy().mean(axis=0), names)


def test_twins_swap_their_ranks_and_are_shown_as_one_that_holds():
    told = stability(ridge, twins(2), replicates=40, rng=1)
    names = ["clear", "twin_0", "twin_1"]
    assert max(of(name, told)["rank_high"] - of(name, told)["rank_low"] for name in names) > 2
    first = told.clusters.row(0, named=True)
    assert sorted(first["members"]) == names
    assert first["cluster"] == ", ".join(first["members"])
    assert first["members"] == [name for name in told.table["feature"] if name in names], "the most important first"
    assert (first["rank_low"], first["rank_high"], first["verdict"]) == (1, 1, "stable")
    assert first["sign_agreement"] > 0.95
    assert of("twin_0", told)["verdict"] in ("shares with clear, twin_1", "shares with twin_1, clear")
    assert told.clusters["members"].list.len().to_list() == [3, 1, 1, 1]


def test_the_sum_of_twins_is_steadier_than_each():
    draws = stability(ridge, twins(), replicates=40, rng=1).draws.pivot(
        "feature", index="replicate", values="mean_size"
    )
    whole = stability(ridge, twins(), replicates=40, rng=1, signals={"twin_0": "it", "clear": "it"}).draws
    whole = whole.filter(pl.col("feature") == "it")["mean_size"]
    spread = [one.std() / one.mean() for one in (draws["clear"], draws["twin_0"], whole)]
    assert spread[2] < 0.5 * min(spread[:2])


def test_verdicts_say_why():
    told = stability(ridge, twins(2), replicates=40, rng=1)
    assert of("noise", told)["rank_high"] - of("noise", told)["rank_low"] > 2
    assert of("noise", told)["verdict"] == "stable", "twins that pass each other leave it where it is"
    assert of("unused", told)["verdict"] == "never used"
    faint = stability(refit, WORLD.with_columns(noise=pl.col("noise").shuffle(seed=3)), replicates=60, rng=1)
    kept = of("noise", faint)["sign_agreement"]
    assert of("noise", faint)["verdict"] == f"unstable: direction kept in {100 * kept:.0f} %"
    assert faint.verdict == (
        "Over 60 refits with other customers, 2 of the 3 most important features keep rank and direction. "
        f"Not stable: noise (direction kept in {100 * kept:.0f} %)."
    )
    assert TOLD.verdict == "Over 60 refits with other customers, the 2 most important features keep rank and direction."
    assert "the 4 most important" not in told.verdict
    assert "features (those that can stand in for each other counted as one) keep" in told.verdict


def test_none_that_holds_is_told_as_none():
    noise = WORLD.with_columns(y=pl.lit(np.random.default_rng(7).normal(size=len(WORLD))))
    told = {top: stability(refit, noise, replicates=20, rng=1, top=top).verdict for top in (1, 3)}
    assert "the most important feature does not keep rank and direction. Not stable: " in told[1]
    assert "none of the 3 most important features keep rank and direction. Not stable: " in told[3]


def test_a_feature_used_by_some_refits_only_is_unstable():
    calls = []
    lean = Slopes(np.array([1.0, 1, 0, 0]), np.zeros(4))
    first_lean = lambda frame: refit(frame) if calls.append(1) or len(calls) > 1 else lean  # noqa: E731
    told = stability(first_lean, WORLD, replicates=5, rng=1)
    assert of("noise", told)["verdict"] == "unstable: not used by the first fit"


def test_a_model_that_uses_nothing_is_told_as_such():
    told = stability(lambda frame: Slopes(np.zeros(4), np.zeros(4)), WORLD, replicates=2, rng=1)
    assert told.verdict == "Over 2 refits with other customers, the model uses none of its features."
    assert set(told.table["verdict"]) == {"never used"}


def test_signals_are_ranked_as_one():
    signals = {"clear": "both", "faint": "both", "of another model": "elsewhere"}
    told = stability(refit, WORLD, replicates=10, rng=1, signals=signals)
    assert told.table["feature"].to_list() == ["both", "noise", "unused"]
    assert told.of == "signals"
    assert "most important signals" in told.verdict
    alone = stability(refit, WORLD, replicates=10, rng=1).draws.filter(pl.col("feature").is_in(["clear", "faint"]))
    both = told.draws.filter(pl.col("feature") == "both").sort("replicate")["mean_size"].to_numpy()
    sizes = alone.group_by("replicate").agg(pl.col("mean_size").sum()).sort("replicate")["mean_size"].to_numpy()
    assert (both < sizes).all(), "what cancels within a row does not count"


def test_signals_that_say_the_same_are_one_cluster():
    told = stability(ridge, twins(2), replicates=10, rng=1, signals={"twin_0": "twins", "twin_1": "twins"})
    assert sorted(told.clusters["members"][0]) == ["clear", "twins"]


def test_periods_of_a_survival_explanation_count_like_rows():
    def by_period(fit, frame, *, rows, rng):
        told = shap_values(fit, frame, rows=rows, rng=rng)
        later = told.table.with_columns(period=pl.lit(2), contribution=0.5 * pl.col("contribution"))
        table = pl.concat([told.table.with_columns(period=pl.lit(1)), later]).select(told.table.columns)
        return replace(told, table=table.cast(told.table.schema), period_days=7.0)

    told = stability(ridge, twins(2), replicates=6, rng=1, explain=by_period)
    plain = stability(ridge, twins(2), replicates=6, rng=1)
    assert_frame_equal(told.clusters, plain.clusters)
    np.testing.assert_allclose(told.draws["mean_size"], 0.75 * plain.draws["mean_size"])


def test_what_is_already_by_signal_is_taken_as_it_is():
    """As `explain_survival` gives it on the scale of log survival, with errors that do not add up."""

    def in_signals(fit, frame, *, rows, rng):
        told = shap_values(fit, frame, rows=rows, rng=rng).by_signal({"clear": "both", "faint": "both"})
        return replace(told, table=told.table.with_columns(error=0.01))

    both = {"clear": "both", "faint": "both", "noise": "noise", "unused": "unused"}
    told = stability(refit, WORLD, replicates=3, rng=1, signals=both, explain=in_signals)
    assert told.draws.equals(stability(refit, WORLD, replicates=3, rng=1, signals=both).draws)


def test_a_refit_that_fails_says_in_which_replicate():
    calls = []

    def fails(frame):
        calls.append(1)
        if len(calls) == 3:
            raise ContractError("one class")
        return refit(frame)

    with pytest.raises(ContractError, match="one class") as caught:
        stability(fails, WORLD, replicates=5, rng=1)
    assert caught.value.__notes__ == ["in replicate 1 of stability(), on customers drawn anew"]


def test_refits_keep_their_features():
    other = Slopes(np.zeros(3), np.zeros(3), ("clear", "faint", "noise"))
    calls = []
    told = "a refit explains clear, faint, noise; the first fit clear, faint, noise, unused"
    with pytest.raises(ValueError, match=told):
        stability(
            lambda frame: other if calls.append(1) or len(calls) > 1 else refit(frame), WORLD, replicates=2, rng=1
        )


@pytest.mark.parametrize(
    ("frame", "options", "error", "told"),
    [
        (WORLD, {"replicates": 1}, ValueError, "replicates is 1; it must be a whole number >= 2"),
        (WORLD, {"top": 0}, ValueError, "top is 0; it must be a whole number >= 1"),
        (WORLD, {"replicates": 2.5}, ValueError, "replicates is 2.5; it must be a whole number"),
        (WORLD, {"replicates": "20"}, ValueError, "replicates is '20'; it must be a whole number"),
        (WORLD, {"signals": ["clear"]}, TypeError, "signals is a list; it must map feature -> signal"),
        (
            WORLD,
            {"signals": {"claer": "a"}},
            ValueError,
            "signals names none of the features clear, faint, noise, unused",
        ),
        (WORLD, {"level": 1}, ValueError, "level is 1; it must lie between 0 and 1"),
        (WORLD, {"id": "user"}, ContractError, "stability: 'user' is missing. It has: customer_id, clear"),
        (
            WORLD.with_columns(customer_id=pl.lit(None, dtype=pl.Int64)),
            {},
            ContractError,
            "'customer_id' is null in some rows",
        ),
        (WORLD.head(3), {}, ValueError, "the frame has 1 customers; stability needs at least 2"),
        (WORLD.clear(), {}, ValueError, "the frame has 0 customers"),
    ],
)
def test_what_cannot_be_drawn_is_refused(frame, options, error, told):
    with pytest.raises(error, match=told):
        stability(refit, frame, **{"replicates": 2, "rng": 1, **options})
