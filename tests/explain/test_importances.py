"""Three ways to ask how much a signal matters, each against its closed form, and what they say where they disagree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import importances, shap_values
from shoptoolkit.explain.importances import _deal
from shoptoolkit.survival import fit_hazard

SIGNALS = {"x_28d": "x", "x_91d": "x", "z": "z"}


@dataclass(frozen=True)
class Line:
    """A linear forecast, judged by its squared error."""

    slopes: np.ndarray
    features: tuple[str, ...]

    def encode(self, frame):
        return frame.select(pl.col(self.features).cast(pl.Float64))

    def explain_margin(self, frame):
        return self.encode(frame).to_numpy() * self.slopes, np.zeros(len(frame))

    def margin(self, frame):
        return self.encode(frame).to_numpy() @ self.slopes

    def losses(self, frame):
        return (frame["y"].to_numpy() - self.margin(frame)) ** 2


def least_squares(frame, features):
    names = tuple(features or [name for name in frame.columns if name not in ("customer_id", "y")])
    return Line(np.linalg.lstsq(frame.select(names).to_numpy(), frame["y"].to_numpy(), rcond=None)[0], names)


def world(seed=0, customers=400, most=4, twin=0.1):
    """x twice, nearly; z; nothing. Customers have one to `most` rows, alike in x and in what they do."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(customers), rng.integers(1, most + 1, customers))
    x, z, error = (rng.normal(size=customers)[customer] + rng.normal(size=len(customer)) for _ in range(3))
    columns = {"x_28d": x, "x_91d": x + twin * rng.normal(size=len(x)), "z": z, "nothing": rng.normal(size=len(x))}
    return pl.DataFrame({"customer_id": customer, **columns, "y": x + 0.5 * z + error})


TRAIN, TEST = world(0), world(1)
TOLD = importances(least_squares, TRAIN, TEST, signals=SIGNALS, rng=1)
ALONE = importances(least_squares, TRAIN, TEST, rng=1)


def of(signal, told=TOLD):
    return told.table.row(told.table["signal"].to_list().index(signal), named=True)


def test_the_three_stand_side_by_side_with_their_ranks():
    three = [
        ("mean_size",),
        ("permuted", "permuted_low", "permuted_high"),
        ("left_out", "left_out_low", "left_out_high"),
    ]
    columns = [name for names in three for name in (*names, f"{names[0]}_rank")]
    assert TOLD.table.columns == ["signal", "features", *columns, "disagree", "words"]
    assert TOLD.table["signal"].to_list() == ["x", "z", "nothing"]
    assert of("x")["features"] == "x_28d, x_91d"
    for name in ("mean_size_rank", "permuted_rank", "left_out_rank"):
        assert TOLD.table[name].to_list() == [1, 2, 3]
    assert of("x")["words"] == of("z")["words"] == "leaned on, and missed when left out"
    assert of("nothing")["words"] == "makes no clear difference"
    assert not TOLD.table["disagree"].any()
    assert (TOLD.n, TOLD.n_customers, TOLD.repeats, TOLD.level) == (len(TEST), 400, 10, 0.95)
    assert "Importances on" in repr(TOLD)
    assert "The model, not the cause" in TOLD._repr_html_()


def test_the_losses_are_those_of_the_definition():
    whole, without = least_squares(TRAIN, None), least_squares(TRAIN, ["x_28d", "x_91d", "nothing"])
    assert TOLD.loss == pytest.approx(whole.losses(TEST).mean())
    assert of("z")["left_out"] == pytest.approx((without.losses(TEST) - whole.losses(TEST)).mean())
    slopes = dict(zip(whole.features, whole.slopes, strict=True))
    customer, z, left = TEST["customer_id"].to_numpy(), TEST["z"].to_numpy(), TEST["y"].to_numpy() - whole.margin(TEST)
    dealt = (left[:, None] - slopes["z"] * (z[None, :] - z[:, None])) ** 2 - left[:, None] ** 2
    dealt = dealt[customer[:, None] != customer[None, :]].mean()
    many = importances(least_squares, TRAIN, TEST, rng=1, repeats=60)
    assert of("z", many)["permuted"] == pytest.approx(dealt, rel=0.03)
    assert of("x")["mean_size"] == pytest.approx(
        np.abs(TEST["x_28d"] * slopes["x_28d"] + TEST["x_91d"] * slopes["x_91d"]).mean(), rel=0.05
    )


def test_the_estimates_hold_the_same_numbers():
    table = TOLD.estimates.table
    assert len(table) == 6
    assert set(table["n"]) == {len(TEST)}
    for row in table.to_dicts():
        mine = of(row["group"])
        assert row["estimate"] == mine[row["metric"]]
        assert (row["low"], row["high"]) == (mine[f"{row['metric']}_low"], mine[f"{row['metric']}_high"])
    assert table.filter(pl.col("metric") == "left_out")["estimand"].unique().to_list() == [
        "loss added by a refit without it, of these two fits"
    ]


def test_twins_stand_in_for_each_other_when_left_out_not_when_dealt():
    for name in ("x_28d", "x_91d"):
        assert of(name, ALONE)["left_out"] < 0.1 * of("x")["left_out"]
    leaned = of("x_28d", ALONE)
    assert leaned["permuted_low"] > 0
    assert leaned["disagree"]
    assert leaned["words"].startswith("leaned on, but not clearly missed when left out: others may stand in for it")


def test_a_signal_is_dealt_as_one():
    """Dealt one by one, twins contradict each other; together they do not."""
    lean = Line(np.array([3.0, -2.0, 0.5, 0.0]), ("x_28d", "x_91d", "z", "nothing"))
    fixed = lambda frame, features: least_squares(frame, features) if features else lean  # noqa: E731
    one, both = (importances(fixed, TRAIN, TEST, rng=1, signals=signals) for signals in (None, SIGNALS))
    assert of("x", both)["permuted"] < 0.5 * of("x_91d", one)["permuted"]


def test_ranks_far_apart_are_told():
    lean = Line(np.array([0.4, 0.35, 0.1, 0.3]), ("x_28d", "x_91d", "z", "nothing"))
    told = importances(lambda f, names: least_squares(f, names) if names else lean, TRAIN, TEST, rng=1)
    assert of("z", told)["words"] == "leaned on, and missed when left out; SHAP ranks it 4, leaving it out 1" or (
        of("z", told)["disagree"] and "SHAP ranks it 4" in of("z", told)["words"]
    )
    assert of("nothing", told)["left_out_high"] < 0
    assert of("nothing", told)["words"] == "the refit without it forecasts better"


def test_everybody_gives_once_and_to_somebody_else():
    customer = np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 9, 60))
    seen = np.zeros((len(customer), len(customer)))
    for seed in range(400):
        giver = _deal(customer, np.random.default_rng(seed))
        assert (np.sort(giver) == np.arange(len(customer))).all()
        assert (customer[giver] != customer).all()
        seen[np.arange(len(customer)), giver] += 1
    counts = [seen[customer == mine].sum(axis=0)[customer != mine].mean() for mine in range(60)]
    expected = [400 * (customer == mine).sum() / (customer != mine).sum() for mine in range(60)]
    np.testing.assert_allclose(counts, expected, rtol=1e-9)
    assert seen.max() < 20, "no pair is dealt again and again"


def test_neither_row_order_nor_names_nor_the_unit_of_the_outcome_decide():
    shuffled = TEST.sample(fraction=1, shuffle=True, seed=3).with_columns((13 * pl.col("customer_id") + 5) % 401)
    again = importances(least_squares, TRAIN, shuffled, signals=SIGNALS, rng=1).table
    for name in ("permuted", "permuted_low", "left_out_high", "mean_size"):
        np.testing.assert_allclose(again[name], TOLD.table[name], rtol=1e-9)
    assert again["words"].to_list() == TOLD.table["words"].to_list()
    other = importances(least_squares, TRAIN, TEST, signals=SIGNALS, rng=2).table
    assert other["left_out"].to_list() == TOLD.table["left_out"].to_list()
    assert other["permuted"].to_list() != TOLD.table["permuted"].to_list()


@pytest.mark.certify
def test_the_intervals_hold_the_population_values(certify):
    """Customers have one to four rows; slopes are wrong on purpose; variance of each signal and of the error is 2."""
    whole, bare = Line(np.array([0.8, 0.3]), ("x_28d", "z")), Line(np.array([0.3]), ("z",))
    permuted = 2 * 0.8 * 1 * 2  # 2 b Cov(y - c z, x), as x and z are independent
    left_out = 2 * (1**2 - 0.2**2)

    def hits(seed):
        test = world(seed, customers=80).select("customer_id", "x_28d", "z", "y")
        fits = lambda frame, features: whole if features is None else bare if features == ["z"] else whole  # noqa: E731
        told = of("x_28d", importances(fits, test, test, rng=seed, level=0.9, rows=5))
        return [
            told["permuted_low"] <= permuted <= told["permuted_high"],
            told["left_out_low"] <= left_out <= told["left_out_high"],
        ]

    certify(hits, level=0.9)


@pytest.mark.certify
def test_under_nothing_zero_is_held_as_often_as_the_level_says(certify):
    """A signal that tells nothing, though the model leans on it; and twins of which one is as good as the other."""
    whole, other = Line(np.array([0.9, 0.3]), ("one", "nothing")), Line(np.array([0.9, 0.3]), ("other", "nothing"))

    def hits(seed):
        test, rng = world(seed, customers=80), np.random.default_rng([1, seed])
        one, two = (test["x_28d"] + 0.5 * rng.normal(size=len(test)) for _ in range(2))
        test = test.select("customer_id", "y", "nothing", one=one, other=two)
        fits = lambda frame, features: whole if features is None or "one" in features else other  # noqa: E731
        told = importances(fits, test, test, rng=seed, level=0.9, rows=5)
        idle, twin = of("nothing", told), of("one", told)
        return [
            idle["permuted_low"] <= 0 <= idle["permuted_high"],
            twin["left_out_low"] <= 0 <= twin["left_out_high"],
        ]

    certify(hits, level=0.9)


def test_a_propensity_is_asked_all_three():
    rng = np.random.default_rng(0)
    n = 3_000
    orders, watched = rng.poisson(2, n), rng.normal(size=n)
    frame = pl.DataFrame(
        {
            "customer_id": np.arange(n) // 2,
            "as_of": [datetime(2025, 1, 1) + timedelta(days=30 * (i % 2)) for i in range(n)],
            "orders_28d": orders,
            "orders_91d": orders + rng.poisson(0.1, n),
            "watched": watched,
            "noise": rng.normal(size=n),
            "bought": rng.random(n) < 1 / (1 + np.exp(2 - 0.8 * orders - 0.6 * watched)),
        }
    )
    how = {"split_at": "2025-01-15", "rng": 1, "rounds": 40, "learning_rate": 0.1, "depth": 2, "replicates": 40}
    told = importances(
        lambda frame, features: fit_propensity(frame, "bought", features=features, **how),
        frame,
        frame.filter(pl.col("as_of") > datetime(2025, 1, 15)),
        signals={"orders_28d": "orders", "orders_91d": "orders"},
        rng=1,
        repeats=3,
        rows=300,
    )
    assert told.table["signal"].to_list() == ["orders", "watched", "noise"]
    assert told.table["words"].to_list()[:2] == ["leaned on, and missed when left out"] * 2
    assert told.scale == "margin"


def test_a_hazard_is_asked_all_three_and_its_period_is_no_signal():
    rng = np.random.default_rng(0)
    visits, came = rng.poisson(3, 600), rng.exponential(40, 600)
    waits = came / (1 + visits)
    spells = pl.DataFrame({"customer_id": np.arange(600), "duration_days": np.minimum(waits, 30), "visits": visits})
    spells = spells.with_columns(repurchased=pl.Series(waits < 30), luck=pl.Series(rng.normal(size=600)))
    told = importances(
        lambda frame, features: fit_hazard(frame, features=features, rng=1, rounds=20, period_days=5.0),
        spells.head(400),
        spells.tail(200),
        explain=lambda fit, frame, *, rows, rng: shap_values(fit, frame.with_columns(period=1), rows=rows, rng=rng),
        rng=1,
        repeats=2,
    )
    assert told.table["signal"].to_list() == ["visits", "luck"]
    assert told.table["mean_size_rank"].to_list() == [1, 2]
    assert of("visits", told)["words"] == "leaned on, and missed when left out"


def test_few_customers_are_refused_an_interval():
    few = TEST.filter(pl.col("customer_id") < 19)
    told = importances(least_squares, TRAIN, few, rng=1)
    assert set(told.table["words"]) == {"too few customers to say"}
    assert told.table["permuted"].null_count() == 4
    assert "19 customers; an interval takes at least 20. Test on more." in repr(told.estimates)
    told._repr_html_()


def test_a_refit_that_fails_says_without_which_signal():
    def fails(frame, features):
        if features and "z" not in features:
            raise ContractError("one class")
        return least_squares(frame, features)

    with pytest.raises(ContractError, match="one class") as caught:
        importances(fails, TRAIN, TEST, rng=1)
    assert caught.value.__notes__ == ["in importances(), the refit without 'z'"]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"repeats": 0}, ValueError, "repeats is 0; it must be a whole number >= 1"),
        ({"repeats": "10"}, ValueError, "repeats is '10'; it must be a whole number"),
        ({"level": 95}, ValueError, "level is 95; it must lie between 0 and 1"),
        ({"id": "user"}, ContractError, "importances: 'user' is missing. It has: customer_id, x_28d"),
        ({"signals": ["x_28d"]}, TypeError, "signals is a list; it must map feature -> signal"),
        ({"signals": {"x": "x_28d"}}, ValueError, "signals names none of the features nothing, x_28d, x_91d, z"),
        ({"signals": dict.fromkeys(TEST.columns, "all")}, ValueError, "there is one signal, all; .* at least 2"),
        ({"test": TEST.filter(pl.col("customer_id") == 3)}, ValueError, "1 customers; importances needs at least 2"),
        (
            {"test": TEST.head(30).with_columns(customer_id=pl.Series([0] * 16 + list(range(1, 15))))},
            ValueError,
            "one customer has 16 of the 30 rows; to deal with others, at most half is allowed",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(options, error, told):
    with pytest.raises(error, match=told):
        importances(least_squares, TRAIN, **{"test": TEST, "rng": 1, **options})
