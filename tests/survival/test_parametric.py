"""Parametric survival: what lifelines says when called by hand, in the form of the house."""

from __future__ import annotations

import lifelines
import polars as pl
import pytest

from shoptoolkit.survival import fit_parametric, kaplan_meier

X = ["fin", "age"]


def rossi():
    """Half of the rows entered late, some stand for two."""
    table = pl.from_pandas(lifelines.datasets.load_rossi()).select("week", "arrest", *X).with_row_index("customer_id")
    entry = pl.when(pl.col("week") > 10).then(pl.col("customer_id") % 2 * 5.0)
    return table.with_columns(entry_days=entry.fill_null(0.0), weight=1 + pl.col("customer_id") % 3 // 2)


def fit(model="weibull", covariates=X, frame=None, **options):
    frame = rossi() if frame is None else frame
    return fit_parametric(frame, model=model, covariates=covariates, duration="week", repurchased="arrest", **options)


def by_hand(model):
    frame = rossi().drop("customer_id").to_pandas()
    columns = {"duration_col": "week", "event_col": "arrest", "entry_col": "entry_days", "weights_col": "weight"}
    if model == "generalized_gamma":
        parts = {"mu_": "fin + age", "sigma_": "1", "lambda_": "1"}
        return lifelines.GeneralizedGammaRegressionFitter().fit(frame, regressors=parts, **columns)
    kinds = {"weibull": "Weibull", "log_normal": "LogNormal", "log_logistic": "LogLogistic"}
    return getattr(lifelines, f"{kinds[model]}AFTFitter")().fit(frame, **columns)


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("model", ["weibull", "log_normal", "log_logistic", "generalized_gamma"])
def test_it_says_what_lifelines_says(model):
    ours, theirs = fit(model), by_hand(model)
    table = {row["parameter"]: row for row in ours.table.to_dicts()}
    for (part, name), value in theirs.params_.items():
        assert table[f"{part} {name}"]["estimate"] == pytest.approx(value, abs=1e-4)
        assert table[f"{part} {name}"]["standard_error"] == pytest.approx(theirs.standard_errors_[part, name], rel=1e-3)
    assert ours.log_likelihood == pytest.approx(theirs.log_likelihood_, abs=1e-6)
    assert ours.aic == pytest.approx(2 * len(table) - 2 * ours.log_likelihood)
    weights = rossi()["weight"]
    assert (ours.n, ours.n_observed) == (weights.sum(), weights.filter(rossi()["arrest"] == 1).sum())
    asked = rossi().head(4).with_columns(waited=pl.Series([0.0, 7.0, 20.0, 50.0]))
    told = ours.predict_survival(asked, days=[90, 10], waited="waited")
    curves = theirs.predict_survival_function(asked.to_pandas(), times=[10, 90], conditional_after=asked["waited"])
    assert told.columns == ["customer_id", "duration_days", "survival"]
    assert told["survival"].to_numpy() == pytest.approx(curves.to_numpy()[::-1].T.ravel(), abs=1e-5)


def test_a_spline_of_two_knots_is_a_weibull_and_more_knots_fit_no_worse():
    weibull, line, curve = fit("weibull"), fit("spline", knots=2), fit("spline", knots=3)
    assert line.log_likelihood == pytest.approx(weibull.log_likelihood, abs=1e-4)
    assert curve.log_likelihood >= line.log_likelihood - 1e-4
    days = {"days": [5, 30, 70]}
    told = [one.predict_survival(rossi().head(3), **days)["survival"].to_numpy() for one in (weibull, line)]
    assert told[0] == pytest.approx(told[1], abs=1e-3)


def test_without_covariates_it_is_one_curve_near_kaplan_meier():
    curve = kaplan_meier(rossi(), duration="week", repurchased="arrest").at([20, 40])["survival"]
    for model in ("weibull", "log_normal", "log_logistic", "generalized_gamma"):
        told = fit(model, []).predict_survival(rossi().head(1), days=[20, 40])["survival"]
        assert told.to_numpy() == pytest.approx(curve.to_numpy(), abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gompertz"}, "model is 'gompertz'; it must be one of 'weibull'"),
        ({"model": "spline", "covariates": []}, "'spline' needs covariates"),
        ({"knots": 1}, "knots is 1 and penalty 0.0; they must be at least 2 and 0"),
        ({"penalty": -1}, "knots is 3 and penalty -1"),
        ({"level": 0}, "level is 0"),
        ({"covariates": ["z"]}, "no column 'z'"),
        ({"frame": rossi().with_columns(fin=2)}, "'fin' is always 2"),
        ({"frame": rossi().with_columns(customer_id=1)}, "'customer_id' repeats"),
        ({"frame": rossi().with_columns(arrest=0)}, "none of 432 ended in a repurchase"),
        ({"frame": rossi().with_columns(age=2 * pl.col("fin"))}, r"'age' is collinear: it equals \+2 x 'fin'"),
        (
            {"frame": rossi().with_columns(age="arrest")},
            "model 'weibull': the spells do not tell lambda_ age, .*Take a simpler model",
        ),
        (
            {"model": "spline", "frame": rossi().with_columns(week=10.0, arrest=1)},
            "model 'spline': lifelines' search did not converge. Take fewer knots, a simpler model",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_mend(options, message):
    with pytest.raises(ValueError, match=message):
        fit(**options)


def test_it_reads_well():
    one = fit()
    assert repr(one).startswith("ParametricFit weibull of 576 customers, AIC ")
    assert "Parametric survival: weibull" in one._repr_html_()
