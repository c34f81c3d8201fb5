"""Thresholds: ordered whatever the parameters, at the quantiles to begin with, false where there is doubt."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from networks import NAMESPACES

from methods.thresholds import Thresholds, bits, init, values

# Sums of five of the largest stay finite. Engines in this process may have had subnormal numbers flushed to zero.
finite = st.floats(-(2.0**125), 2.0**125, width=32, allow_subnormal=False) | st.floats(-100, 100, width=32, allow_subnormal=False)


@settings(deadline=None)
@given(parameters=arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=finite))
def test_thresholds_ascend_whatever_the_parameters(parameters):
    omega = values(np, parameters)
    assert omega.shape == parameters.shape
    assert omega.dtype == np.float32
    assert np.all(np.isfinite(omega))
    assert np.all(np.diff(omega, axis=1) >= 0)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 50.0, 1e30])
@pytest.mark.parametrize("n_bits", [1, 4])
def test_engines_agree_on_thresholds(n_bits, scale):
    parameters = (scale * np.random.default_rng(0).standard_normal((50, n_bits))).astype(np.float32)
    omega = values(np, parameters)
    for xp in (NAMESPACES["torch"], NAMESPACES["jax"]):
        found = np.asarray(values(xp, xp.asarray(parameters)))
        assert np.allclose(found, omega, rtol=1e-5, atol=1e-6 * max(1.0, scale))
        assert np.all(np.diff(found, axis=1) >= 0)


@pytest.mark.parametrize("n_bits", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_thresholds_start_at_the_quantiles(n_bits, dtype, scale):
    features = (scale * np.random.default_rng(0).standard_normal((500, 3))).astype(dtype)
    start = init(features, n_bits)
    assert start.shape == (3, n_bits)
    assert start.dtype == np.float32
    expected = np.quantile(features, np.arange(1, n_bits + 1) / (n_bits + 1), axis=0).T
    assert np.allclose(values(np, start), expected, rtol=1e-4, atol=1e-4 * scale)


def test_each_of_three_thresholds_splits_off_a_quarter():
    features = np.random.default_rng(0).random((4000, 2))
    _, above = bits(np, init(features, 3), features.T.astype(np.float32), Thresholds(2, 3, 0.1))
    assert np.allclose(above.mean(axis=1), [0.75, 0.5, 0.25] * 2, atol=0.002)


def test_equal_quantiles_are_spread_by_a_thousandth_of_the_range():
    features = np.zeros((100, 1))
    features[-1] = 20.0
    omega = values(np, init(features, 4))[0]
    assert np.allclose(omega, [0.0, 0.02, 0.04, 0.06], atol=1e-6)


def test_a_feature_with_two_values_and_one_with_a_single_value_have_finite_ascending_thresholds():
    features = np.column_stack([np.repeat([0.0, 1.0], 10), np.full(20, 0.5)])
    omega = values(np, init(features, 4))
    assert np.all(np.isfinite(omega))
    assert np.all(np.diff(omega, axis=1) > 0)
    assert np.allclose(omega[1], 0.5, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_named(bad):
    features = np.random.default_rng(0).random((20, 4))
    features[7, 2] = features[3, 3] = bad
    with pytest.raises(ValueError, match="feature 2 has values that are not"):
        init(features, 3)


@pytest.mark.parametrize("engine", NAMESPACES)
def test_exactly_at_a_threshold_and_without_a_number_a_bit_is_false(engine):
    xp = NAMESPACES[engine]
    omega = xp.asarray(np.array([[0.25]], dtype=np.float32))
    above = np.nextafter(np.float32(0.25), np.float32(1))
    x = xp.asarray(np.array([[0.25, above, 0.0, np.nan, np.inf, -np.inf]], dtype=np.float32))
    soft, hard = bits(xp, omega, x, Thresholds(1, 1, 0.1))
    assert np.asarray(hard).tolist() == [[False, True, False, False, True, False]]
    assert np.asarray(soft)[0, 0] == 0.5
    assert np.asarray(soft)[0, 4:].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("engine", NAMESPACES)
def test_bits_are_those_of_the_first_feature_then_of_the_second(engine):
    rng = np.random.default_rng(0)
    xp, parameters, x = NAMESPACES[engine], rng.standard_normal((2, 3)).astype(np.float32), rng.standard_normal((2, 50))
    x = x.astype(np.float32)
    soft, hard = bits(xp, xp.asarray(parameters), xp.asarray(x), Thresholds(2, 3, 0.2))
    omega = values(np, parameters)
    for feature in range(2):
        for bit in range(3):
            above = x[feature] - omega[feature, bit]
            assert np.array_equal(np.asarray(hard)[3 * feature + bit], above > 0)
            assert np.allclose(np.asarray(soft)[3 * feature + bit], 1 / (1 + np.exp(-above / 0.2)), atol=1e-5)


def test_every_threshold_has_a_gradient_and_it_is_right():
    rng = np.random.default_rng(0)
    parameters = torch.tensor(rng.standard_normal((2, 4)), requires_grad=True)
    x = torch.tensor(rng.standard_normal((2, 10)))
    xp = NAMESPACES["torch"]
    assert torch.autograd.gradcheck(lambda given: bits(xp, given, x, Thresholds(2, 4, 0.3))[0], parameters)
    (gradient,) = torch.autograd.grad(bits(xp, parameters, x, Thresholds(2, 4, 0.3))[0].sum(), parameters)
    assert torch.all(gradient != 0)
