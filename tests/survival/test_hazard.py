"""Hazards are probabilities that come true, whatever is thinned, weighted, entered late or cut; the rest is refused."""

from __future__ import annotations

import json
import warnings
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit import features, figures, simulate
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import shap_values
from shoptoolkit.survival import fit_hazard, kaplan_meier, landmark_spells, load_hazard
from shoptoolkit.survival.hazard.rows import Waits, incidence, pieces

DAILY = np.array([0.01, 0.03])  # chance of each day, by group
OTHER = np.array([0.004, 0.002])  # of unsubscribing


def world(n=12_000, seed=0, *, causes=False):
    """Customers of two kinds whose wait has no memory, watched for 10 to 90 days."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, n)
    other = OTHER[x] if causes else 0.0
    came, limit = rng.geometric(DAILY[x] + other), rng.integers(10, 91, n)
    seen = came <= limit
    buys = rng.random(n) * (DAILY[x] + other) < DAILY[x]
    days = {"duration_days": np.minimum(came, limit).astype(float), "repurchased": seen & buys}
    frame = pl.DataFrame({"customer_id": np.arange(n), **days, "x": x, "noise": rng.random(n)})
    if causes:
        named = pl.Series(np.where(buys, "repurchase", "unsubscribe"))
        frame = frame.with_columns(cause=pl.when(pl.Series(seen)).then(named))
    start = datetime(2025, 1, 1)
    return frame.with_columns(started_at=pl.Series([start + timedelta(days=int(one)) for one in 90 - limit]))


def fit(frame, **options):
    return fit_hazard(frame, **{"rng": 1, "rounds": 120, "nthread": 1, **options})


WORLD, RIVALS = world(), world(causes=True)
FIT, BOTH = fit(WORLD), fit(RIVALS)
TWO = pl.DataFrame({"customer_id": ["a", "b"], "x": [0, 1], "noise": [0.5, 0.5]})
DAYS = [5, 7, 30, 60]


def survival(one, **options):
    told = one.predict_survival(TWO, **{"days": DAYS, **options})
    return told["survival"].to_numpy().reshape(2, -1)


def truth(days=DAYS):
    return (1 - DAILY[:, None]) ** np.array(days)


def test_survival_is_that_of_the_world():
    told = FIT.predict_survival(TWO, days=DAYS)
    assert told.columns == ["customer_id", "duration_days", "survival"]
    assert told["customer_id"].to_list() == ["a"] * 4 + ["b"] * 4
    assert told["duration_days"].to_list() == [5.0, 7.0, 30.0, 60.0] * 2
    assert survival(FIT) == pytest.approx(truth(), abs=0.03)


def test_the_hazards_foreseen_are_those_seen():
    for one in (FIT, BOTH):
        sums = one.table.group_by("cause").agg(
            seen=pl.col("n_observed").sum(), foreseen=(pl.col("predicted") * pl.col("n_at_risk")).sum()
        )
        for _, seen, foreseen in sums.rows():
            assert abs(seen - foreseen) < 3.5 * np.sqrt(seen)
        assert one.table["low"].is_between(0, one.table["observed"]).all()


def test_incidences_are_those_of_the_world_and_add_up():
    told = BOTH.predict_incidence(TWO, days=[14, 60])
    assert told["cause"].to_list() == ["repurchase", "unsubscribe"] * 4
    gone = 1 - (1 - (DAILY + OTHER)[:, None]) ** np.array([14, 60])
    share = np.column_stack([DAILY, OTHER]) / (DAILY + OTHER)[:, None]
    assert told["incidence"].to_numpy() == pytest.approx((gone[:, :, None] * share[:, None]).ravel(), abs=0.035)
    left = told.group_by("customer_id", "duration_days", maintain_order=True).agg(left=1 - pl.col("incidence").sum())
    assert left["left"].to_numpy() == pytest.approx(survival(BOTH, days=[14, 60]).ravel(), abs=1e-12)


def test_a_wait_already_waited_is_given():
    whole = survival(FIT, days=[20, 50])
    assert survival(FIT, days=[30], waited=20)[:, 0] == pytest.approx(whole[:, 1] / whole[:, 0], abs=1e-12)
    waited = TWO.with_columns(waited=pl.Series([20.0, None]))
    told = FIT.predict_survival(waited, days=[30, 70], waited="waited")["survival"].to_list()
    assert told[0] == pytest.approx(whole[0, 1] / whole[0, 0], abs=1e-12)
    assert told[1:] == [None, None, None]  # beyond what was learnt; not known


def test_survival_falls_at_a_constant_rate_within_a_period():
    hazard = np.array([[[0.2], [0.5]]])
    ended = incidence(hazard, np.array([[0.0, 0.5, 1.0, 1.25, 2.0]]))[0, :, 0]
    assert 1 - ended == pytest.approx([1, 0.8**0.5, 0.8, 0.8 * 0.5**0.25, 0.4])


def test_the_curve_is_the_product_of_the_hazards():
    told = FIT.hazard(TWO)
    assert told.columns == ["customer_id", "period", "until_days", "cause", "hazard"]
    until = told["until_days"].unique().sort().to_list()
    product = (1 - told["hazard"].to_numpy().reshape(2, -1)).cumprod(axis=1)
    assert survival(FIT, days=until) == pytest.approx(product, abs=1e-9)


def rates(end, code, entry=0.0, *, weight=1, thin=1.0, periods=8):
    """Hazard by period, straight from the rows."""
    n, number = len(end), np.arange(1, periods + 1)
    waits = Waits(features=np.zeros((n, 1), np.float32), entry=np.broadcast_to(entry, n), end=end, code=code,
                  weight=np.broadcast_to(weight, n))  # fmt: skip
    rows = pieces(waits.until(periods), thin=thin, rng=np.random.default_rng(1))
    period, label, weights = (
        np.concatenate([getattr(one, name) for one in rows]) for name in ("period", "label", "weight")
    )
    at_risk = [(weights[period == k]).sum() for k in number]
    return np.array([weights[(period == k) & (label > 0)].sum() for k in number]) / at_risk


def long_waits(seed=0, n=1_000_000):
    """Whole days with a chance of 2 % each, watched for 1 to 70 days: most are cut within a week."""
    rng = np.random.default_rng(seed)
    came, limit = rng.geometric(0.02, n), rng.integers(1, 71, n)
    return rng, np.minimum(came, limit) / 7, (came <= limit).astype(np.int64), came, limit


@pytest.mark.parametrize("thin", [1.0, 0.2])
def test_weeks_cut_by_the_end_of_the_log_do_not_bias_the_hazard(thin):
    _, end, code, _, _ = long_waits()
    assert rates(end, code, thin=thin) == pytest.approx(1 - 0.98**7, rel=0.02)
    assert rates(end, code)[:5] == pytest.approx(1 - 0.98**7, rel=0.012)


def test_late_entries_are_at_risk_from_then_on():
    rng, end, code, came, limit = long_waits()
    entry = rng.integers(0, 40, len(end))
    seen = (came > entry) & (limit > entry)
    assert rates(end[seen], code[seen], entry[seen] / 7) == pytest.approx(1 - 0.98**7, rel=0.03)


def test_counts_give_the_rates_of_the_rows():
    _, end, code, _, _ = long_waits(n=5_000)
    counts = pl.DataFrame({"end": end, "code": code}).group_by("end", "code").agg(weight=pl.len().cast(pl.Int64))
    by_counts = rates(counts["end"].to_numpy(), counts["code"].to_numpy(), weight=counts["weight"].to_numpy())
    assert by_counts == pytest.approx(rates(end, code), rel=1e-5)


def test_counts_give_the_survival_of_the_rows():
    columns = ["duration_days", "repurchased", "x"]
    counts = WORLD.group_by(columns).agg(weight=pl.len()).sort(columns)
    assert fit(counts).n == len(WORLD)
    told = fit(counts).predict_survival(TWO, days=DAYS)["survival"].to_numpy().reshape(2, -1)
    assert told == pytest.approx(truth(), abs=0.03)


def test_thinned_rows_and_a_split_in_time_give_the_same_survival():
    thinned = fit(WORLD, thin=0.3)
    assert thinned.n_periods < 0.75 * FIT.n_periods
    assert survival(thinned) == pytest.approx(truth(), abs=0.035)
    timed = fit(WORLD, split_at="2025-03-10")
    assert "2025-03-10" in timed.validation
    assert survival(timed) == pytest.approx(truth(), abs=0.03)


def test_neither_order_of_rows_nor_of_columns_decides_anything():
    shuffled = WORLD.sample(fraction=1, shuffle=True, seed=3).select(reversed(WORLD.columns))
    assert survival(fit(shuffled)).tolist() == survival(FIT).tolist()


def test_landmarks_of_a_shop_come_back_as_foreseen():
    """From the log to features, spells, a fit, and a later time that the fit has not seen."""
    shop = simulate.shop(rng=1, n_customers=1_500, days=240)
    orders = features.orders(shop.events, history_known=True)
    known = orders.filter(pl.col("order_number") == 1).select("customer_id", first="ordered_at")
    moments = pl.DataFrame({"as_of": [shop.as_of - timedelta(days=days) for days in (150, 120, 90, 40)]})
    requests = known.join(moments, how="cross").filter(pl.col("first") < pl.col("as_of")).drop("first")
    spec = features.FeatureSpec(windows_days=(28,), kinds=("purchase", "view"), sums=())
    asked = features.as_of_features(shop.events, requests, spec=spec)
    split = moments["as_of"][3]
    early, late = asked.filter(pl.col("as_of") < split), asked.filter(pl.col("as_of") == split)
    one = fit(landmark_spells(orders, early, as_of=split), time="as_of")
    scored = landmark_spells(orders, late, as_of=split)  # no day of follow-up yet, but days waited
    assert scored["duration_days"].null_count() == len(late)
    told = one.predict_survival(scored, days=28)
    assert told.columns == ["customer_id", "as_of", "duration_days", "survival"]
    seen = kaplan_meier(landmark_spells(orders, late, as_of=shop.as_of)).at(28)
    assert told["survival"].mean() == pytest.approx(seen["survival"][0], abs=0.04)
    assert figures.hazard(one).get_xlabel()


def test_a_monotone_feature_never_turns():
    grid = pl.DataFrame({"x": 0, "noise": np.linspace(0, 1, 50)})
    bound = fit(WORLD, monotone={"noise": -1}).hazard(grid.with_row_index("customer_id"))
    assert (bound["hazard"].to_numpy().reshape(50, -1)[1:] <= bound["hazard"].to_numpy().reshape(50, -1)[:-1]).all()


@pytest.mark.parametrize("one", [FIT, BOTH], ids=["one cause", "two causes"])
def test_a_saved_fit_says_the_same(one, tmp_path):
    back = load_hazard(one.save(tmp_path / "fit"))
    assert back.predict_incidence(TWO, days=DAYS).equals(one.predict_incidence(TWO, days=DAYS))
    assert back.table.equals(one.table)
    assert repr(back) == repr(one)
    assert "HazardFit by" in repr(one)
    assert "Hazard by period" in one._repr_html_()
    told = json.loads((tmp_path / "fit" / "fit.json").read_text())
    (tmp_path / "fit" / "fit.json").write_text(json.dumps({**told, "version": "0.0.1"}))
    with pytest.warns(UserWarning, match=r"was written by shoptoolkit 0\.0\.1"):
        load_hazard(tmp_path / "fit")


def test_the_log_odds_of_the_hazard_can_be_explained():
    frame = TWO.with_columns(period=pl.lit(2))
    hazard = FIT.hazard(TWO).filter(pl.col("period") == 2)["hazard"].to_numpy()
    assert FIT.margin(frame) == pytest.approx(np.log(hazard / (1 - hazard)), abs=1e-4)
    assert FIT.features[-1] == "period"
    values, base = FIT.explain_margin(frame)
    assert values.sum(axis=1) + base == pytest.approx(FIT.margin(frame), abs=1e-5)
    assert shap_values(FIT, frame).importance()["feature"][0] == "x"
    values, base = BOTH.explain_margin(frame, cause="unsubscribe")
    assert values.sum(axis=1) + base == pytest.approx(BOTH.margin(frame, cause="unsubscribe"), abs=1e-5)
    with pytest.raises(ValueError, match=r"cause is None; this fit has several: 'repurchase', 'unsubscribe'"):
        BOTH.margin(frame)
    with pytest.raises(ValueError, match=r"cause is 'refund'; it must be one of"):
        BOTH.margin(frame, cause="refund")


def test_an_empty_frame_and_one_in_slices_are_predicted_alike():
    assert FIT.predict_survival(TWO.clear(), days=DAYS).is_empty()
    assert FIT.hazard(TWO.clear()).is_empty()
    parts = pl.concat(FIT.predict_survival(part, days=DAYS) for part in WORLD.head(9).iter_slices(4))
    assert parts.equals(FIT.predict_survival(WORLD.head(9), days=DAYS))


def test_a_category_never_seen_counts_as_missing_and_is_told():
    text = pl.col("x").cast(pl.String).replace({"0": "rare", "1": "often"})
    one = fit(WORLD.with_columns(text), rounds=20)
    with pytest.warns(UserWarning, match=r"1 rows have a category of 'x' that training has not seen"):
        one.predict_survival(TWO.with_columns(x=pl.Series(["new", "rare"])), days=7)


def test_the_figure_draws_the_table():
    ax = figures.hazard(BOTH)
    lines = {line.get_ydata()[0]: line for line in ax.lines}
    for cause in BOTH.causes:
        part = BOTH.table.filter(pl.col("cause") == cause)
        for name in ("observed", "predicted"):
            assert lines[part[name][0]].get_ydata() == pytest.approx(part[name].to_numpy())
    assert {"repurchase", "unsubscribe"} <= {text.get_text() for text in ax.texts}
    assert ax.get_xlabel() == "Days waited, end of the period"


def spoilt(**columns):
    return WORLD.head(400).with_columns(**columns)


NO_NUMBER = pl.when(pl.int_range(pl.len()) == 3).then(float("inf")).otherwise(pl.col("noise"))
REFUSED = {
    "a zero duration": (spoilt(duration_days=pl.col("duration_days") - 1), {}, r"duration_days is not above 0"),
    "no duration": (spoilt(duration_days=pl.lit(None, pl.Float64)), {}, r"null in 400 of 400 rows: not watched"),
    "all censored": (spoilt(repurchased=False), {}, r"none of 400 has ended"),
    "a constant": (spoilt(noise=1.0), {}, r"'noise' is always 1\.0"),
    "an infinite value": (spoilt(noise=NO_NUMBER), {}, r"'noise' has 1 infinite values"),
    "the id": (WORLD, {"features": ["x", "customer_id"]}, r"features has 'customer_id': what is known only after"),
    "an outcome": (WORLD, {"features": ["x", "duration_days"]}, r"features has 'duration_days'"),
    "the period": (spoilt(period=1), {}, r"features has 'period'"),
    "an id in words": (
        world(1_200).with_columns(key=pl.col("customer_id").cast(pl.String)), {}, r"1,200 categories, .*is it an id"),
    "a moment": (spoilt(at=pl.col("started_at")), {}, r"'at' is Datetime.*turn a time into days"),
    "no such feature": (WORLD, {"features": ["y"]}, r"spells: 'y' is missing"),
    "no feature": (WORLD.drop("x", "noise"), {}, r"there are no features"),
    "too many periods": (WORLD, {"period_days": 0.3}, r"300 periods, more than 255.*period_days=2"),
    "periods nobody waited": (WORLD, {"periods": 14}, r"periods is 14; the longest spell fills 12\.9"),
    "no length": (WORLD, {"period_days": 0}, r"period_days is 0; it must be a number of days above 0"),
    "nothing kept": (WORLD, {"thin": 0.0}, r"thin is 0\.0; it must be above 0"),
    "no share": (WORLD, {"validation_share": 1.0}, r"validation_share is 1\.0"),
    "half a tree": (WORLD, {"rounds": 1.5}, r"rounds is 1\.5; it must be a whole number"),
    "a level": (WORLD, {"level": 95}, r"level is 95"),
    "a split before all": (WORLD, {"split_at": "2025-01-02"}, r"what is left to grow the trees has 0 person-periods"),
    "a split after all": (WORLD, {"split_at": "2026-01-02"}, r"the validation part \(periods not over by 2026"),
    "a split without a start": (WORLD.drop("started_at"), {"split_at": "2025-02-01"}, r"'started_at' is missing"),
    "monotone words": (spoilt(x=pl.col("x").cast(pl.String)), {"monotone": {"x": 1}}, r"monotone names 'x'"),
    "monotone by two": (WORLD, {"monotone": {"x": 2}}, r"monotone\['x'\] is 2; it must be 1"),
    "monotone of two": (RIVALS, {"monotone": {"x": 1}}, r"one cause only; .* 'repurchase', 'unsubscribe'"),
    "no cause": (RIVALS.with_columns(cause=pl.lit(None, pl.String)), {}, r"rows are repurchased, but their cause is"),
    "a cause too rare": (
        RIVALS.with_columns(cause=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("refund")).otherwise("cause")),
        {}, r"none that ended by 'refund'\. .*, or count that cause as censored"),
    "many causes": (
        spoilt(repurchased=True, cause=pl.col("customer_id").cast(pl.String)), {}, r"400 causes, more than 20"),
    "no such cause": (WORLD, {"cause": "why"}, r"no column 'why' \(cause\)"),
    "no weight": (spoilt(weight=pl.lit(None, pl.Int64)), {}, r"'weight' is null in 400"),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "options", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learnt_is_refused(frame, options, told):
    with pytest.raises((ValueError, ContractError), match=told):
        fit(frame, **options)


UNTOLD = {
    "beyond": ({"days": 100}, r"all beyond the 84 days"),
    "waited beyond": ({"days": 10, "waited": 80}, r"all beyond the 84 days"),
    "a negative day": ({"days": [-1]}, r"days is \[-1\]; give days >= 0"),
    "no day": ({"days": []}, r"days is \[\]"),
    "a negative wait": ({"days": 10, "waited": -1}, r"waited has -1"),
    "no such wait": ({"days": 10, "waited": "y"}, r"waited is 'y', no such column"),
}


@pytest.mark.parametrize(("options", "told"), UNTOLD.values(), ids=UNTOLD)
def test_what_was_not_learnt_is_not_told(options, told):
    with pytest.raises(ValueError, match=told):
        FIT.predict_survival(TWO, **options)


def test_days_in_words_and_other_types_of_features_are_refused():
    with pytest.raises(TypeError, match=r"days is '30'; give a number"):
        FIT.predict_survival(TWO, days="30")
    with pytest.raises(ContractError, match=r"'noise' is String, must be a number \(Float64 in training\)"):
        FIT.predict_survival(TWO.with_columns(noise=pl.lit("a")), days=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FIT.predict_survival(TWO.with_columns(noise=None), days=7)
