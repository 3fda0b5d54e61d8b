"""Quotients of estimates: Fieller's set against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from shoptoolkit.incrementality.ratios import ratio_row

TOLD = {"level": 0.9}
sizes = st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3)


@given(sizes, sizes, st.floats(0.01, 2), st.floats(0.01, 2), st.floats(-0.95, 0.95), st.floats(-50, 50))
def test_a_ratio_is_in_the_set_where_its_test_does_not_reject_it(top, bottom, one, two, correlation, null):
    shared = correlation * one * two
    row = ratio_row(top=top, bottom=bottom, covariance=[[one**2, shared], [shared, two**2]], null=null, **TOLD)
    low, high = row["low"], row["high"]
    is_in = {"interval": lambda: low <= null <= high, "rays": lambda: not low < null < high, "line": lambda: True}
    z = abs(top - null * bottom) / np.sqrt(one**2 - 2 * null * shared + null**2 * two**2)
    assert row["p_value"] == pytest.approx(2 * norm.sf(z), rel=1e-9)
    if abs(z - norm.ppf(0.95)) > 1e-6:  # not on the border
        assert is_in[row["set_shape"]]() == (z < norm.ppf(0.95))


@pytest.mark.parametrize(
    ("bottom", "shape"), [(10.0, "interval"), (1.0, "rays"), (0.1, "line")], ids=["strong", "weak", "none"]
)
def test_a_weak_divisor_opens_the_set(bottom, shape):
    row = ratio_row(top=2.0 if shape == "rays" else 0.5, bottom=bottom, covariance=np.eye(2), **TOLD)
    assert row["set_shape"] == shape


def test_a_divisor_without_error_gives_the_plain_interval():
    row = ratio_row(top=3.0, bottom=2.0, covariance=[[0.25, 0], [0, 0]], null=0, level=0.95)
    assert (row["estimate"], row["standard_error"]) == (1.5, 0.25)
    assert (row["low"], row["high"]) == pytest.approx((1.5 - 0.25 * norm.ppf(0.975), 1.5 + 0.25 * norm.ppf(0.975)))


def test_without_any_error_the_set_is_the_ratio():
    row = ratio_row(top=0.0, bottom=2.0, covariance=np.zeros((2, 2)), null=0, level=0.95)
    assert (row["low"], row["high"], row["p_value"]) == (0, 0, 1)
