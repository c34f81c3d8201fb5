"""Lanes: each operation on sixteen float32 is what numpy makes of them."""

import operator

import numpy as np
import pytest
from networks import smoothing
from numba import njit

from methods import simd
from methods.simd import LANES
from methods.smoothing import mix


def on_lanes(operation, *arguments):
    """operation on each sixteen values of the arguments, float32 of one length."""

    @njit
    def unary(a, out):
        for at in range(0, len(out), LANES):
            simd.store(out, at, operation(simd.load(a, at)))

    @njit
    def binary(a, b, out):
        for at in range(0, len(out), LANES):
            simd.store(out, at, operation(simd.load(a, at), simd.load(b, at)))

    n = len(arguments[0])
    padded = [np.resize(np.asarray(argument, dtype=np.float32), -(-n // LANES) * LANES) for argument in arguments]
    out = np.empty_like(padded[0])
    (unary, binary)[len(arguments) - 1](*padded, out)
    return out[:n]


def drawn(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def test_exp_is_accurate_and_goes_no_further_than_87():
    x = np.linspace(-87, 87, 400_001, dtype=np.float32)
    far = np.array([-1e30, -1000.0, -87.5, 87.5, 1000.0, 1e30, -np.inf, np.inf], dtype=np.float32)
    found = on_lanes(simd.exp, np.concatenate([x, far]))
    exact = np.exp(x.astype(float))
    error = np.abs(found[: len(x)] / exact - 1)
    assert error[np.abs(x) <= 15].max() < 1e-6
    assert error.max() < 5e-6
    assert np.array_equal(found[len(x) :], np.where(far > 0, found[len(x) - 1], found[0]))
    assert found[len(x) // 2] == 1.0
    assert np.isnan(on_lanes(simd.exp, [np.nan])).all()
    # Then a sigmoid is finite and within [0, 1] everywhere.
    sigmoid = 1 / (1 + found)
    assert sigmoid.min() > 0
    assert sigmoid.max() == 1


def test_log_is_accurate_over_all_normal_numbers():
    powers = np.exp2(np.linspace(-126, 127.99, 400_001)).astype(np.float32)
    near_one = np.linspace(0.5, 2, 400_001, dtype=np.float32)
    small = (np.arange(1000, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0**-23)  # the least that noise is made of
    x = np.concatenate([powers, near_one, small, 1 - small[:10]])
    exact = np.log(x.astype(float))
    found = on_lanes(simd.log, x)
    assert np.all(np.abs(found - exact) <= 1e-6 * np.abs(exact))


def test_rounded_is_1_above_a_half_only():
    half, one = np.float32(0.5), np.float32(1)
    x = [0.0, 0.5, np.nextafter(half, one), np.nextafter(half, 0), 1.0, -3.0, 7.0, np.inf, -np.inf, np.nan]
    assert on_lanes(simd.rounded, x).tolist() == [0, 0, 1, 0, 1, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_arithmetic_is_that_of_numpy_to_the_bit(operation):
    a, b = drawn(160), drawn(160, 1)
    assert np.array_equal(on_lanes(operation, a, b), operation(a, b))


def test_fma_rounds_once():
    @njit
    def run(a, b, c, out):
        simd.store(out, 0, simd.fma(simd.load(a, 0), simd.load(b, 0), simd.load(c, 0)))

    a = np.full(16, 1 + 2.0**-12, dtype=np.float32)
    out = np.empty(16, dtype=np.float32)
    run(a, a, np.full(16, -(1 + 2.0**-11), dtype=np.float32), out)
    assert np.all(out == np.float32(2.0**-24))  # rounding the product too gives 0


def test_total_is_in_every_lane():
    x = np.random.default_rng(0).integers(-1000, 1000, (5, 16)).astype(np.float32)
    assert np.array_equal(on_lanes(simd.total, x.ravel()), np.repeat(x.sum(axis=1), 16))


def test_four_sums_are_those_of_four_vectors_in_order():
    @njit
    def run(vectors, out):
        first, second = simd.load(vectors, 0), simd.load(vectors, LANES)
        third, fourth = simd.load(vectors, 2 * LANES), simd.load(vectors, 3 * LANES)
        simd.store_four(out, 3, simd.four_sums(first, second, third, fourth))

    vectors = np.random.default_rng(0).integers(-1000, 1000, (4, 16)).astype(np.float32)
    out = np.full(10, -1.0, dtype=np.float32)
    run(vectors.ravel(), out)
    assert out.tolist() == [-1, -1, -1, *vectors.sum(axis=1), -1, -1, -1]


def test_largest_is_in_every_lane():
    x = np.vstack([np.where(np.eye(16), 9.0, drawn(16)), -np.arange(1, 17)])
    assert np.array_equal(on_lanes(simd.largest, x.ravel()), np.repeat([9.0] * 16 + [-1.0], 16))


def test_splat_load_and_store_work_from_any_element_on():
    @njit
    def run(source, target, start, to):
        simd.store(target, to, simd.load(source, start) * simd.splat(np.float32(3)))

    source = drawn(64)
    for start, to in ((0, 0), (1, 3), (17, 46), (48, 48)):
        target = np.zeros(64, dtype=np.float32)
        run(source, target, start, to)
        assert np.array_equal(target[to : to + 16], source[start : start + 16] * np.float32(3))
        assert np.count_nonzero(target) == 16


def test_one_number_is_mixed_as_all_are():
    for x in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, *np.random.default_rng(0).integers(0, 1 << 32, 100).tolist()):
        assert int(simd.mixed(np.uint32(x))) == mix(x)


@njit
def hashed(start):
    out = np.empty(LANES, dtype=np.float32)
    simd.store(out, 0, simd.hashed_uniform(start))
    return out


@pytest.mark.parametrize("seed", [0, 7])
def test_hashed_numbers_are_those_of_the_smoothing_to_the_bit(seed):
    noise = smoothing("gumbel_soft", seed, 3, "numpy")
    expected = noise.uniform(0, 50, 64)
    for row in range(50):
        for tile in range(4):
            start = (mix((row + mix(noise.key)) & 0xFFFFFFFF) + LANES * tile) & 0xFFFFFFFF
            assert np.array_equal(hashed(np.uint32(start)), expected[row, LANES * tile : LANES * (tile + 1)])


def test_counters_wrap_around():
    numbers = [mix((0xFFFFFFF8 + lane) & 0xFFFFFFFF) for lane in range(LANES)]
    expected = ((np.array(numbers) >> 9).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    assert np.array_equal(hashed(np.uint32(0xFFFFFFF8)), expected)


def test_what_is_added_where_bits_are_set_is_added_in_those_lanes_and_no_other():
    @njit
    def added(x, y, out, bits):
        for at in range(0, len(out), LANES):
            bits[at // LANES] = simd.true_lanes(simd.load(x, at))
            simd.store(out, at, simd.add_where(bits[at // LANES], simd.load(x, at), simd.load(y, at)))

    x = np.concatenate([drawn(160), [0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0, 1, np.nan, np.inf, -np.inf, -0.0] * 2])
    x = x.astype(np.float32)
    y = np.where(np.arange(len(x)) % 7 == 0, np.float32(np.inf), drawn(len(x), 1))
    out, bits = np.empty_like(y), np.empty(len(x) // LANES, dtype=np.uint16)
    added(x, y, out, bits)
    assert np.array_equal(bits, np.packbits(x > 0.5, bitorder="little").view(np.uint16))
    assert np.array_equal(out, np.where(x > 0.5, x + y, x), equal_nan=True)
