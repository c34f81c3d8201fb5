"""Fan-ins: distinct, balanced, reproducible, at every size."""

from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.wiring import WIRINGS, aligned_wiring, candidates, coverage_wiring, unique_wiring

sizes = {"n_signals": st.integers(1, 40), "n_gates": st.integers(1, 120), "arity": st.integers(1, 6), "seed": st.integers(0, 99)}


@settings(deadline=None)
@given(wiring=st.sampled_from(sorted(WIRINGS)), **sizes)
def test_fan_ins_are_in_range_and_read_no_signal_twice_where_there_are_enough(wiring, n_signals, n_gates, arity, seed):
    fan_in = WIRINGS[wiring](n_signals, n_gates, arity, np.random.default_rng(seed), [])
    assert fan_in.shape == (n_gates, arity)
    assert fan_in.dtype == np.int32
    assert fan_in.min() >= 0
    assert fan_in.max() < n_signals
    if n_signals >= arity:
        assert all(len(set(row)) == arity for row in fan_in.tolist())


@settings(deadline=None)
@given(**sizes)
def test_usage_of_signals_differs_by_at_most_one(n_signals, n_gates, arity, seed):
    fan_in = unique_wiring(n_signals, n_gates, arity, np.random.default_rng(seed))
    usage = np.bincount(fan_in.ravel(), minlength=n_signals)
    if n_signals >= arity:
        assert usage.max() - usage.min() <= 1


@pytest.mark.parametrize(
    ("n_signals", "n_gates", "arity"), [(128, 128, 2), (256, 128, 2), (128, 256, 2), (50, 400, 2), (30, 100, 4)]
)
def test_no_two_gates_read_the_same_set_where_sets_abound(n_signals, n_gates, arity):
    fan_in = unique_wiring(n_signals, n_gates, arity, np.random.default_rng(0))
    assert len({frozenset(row) for row in fan_in.tolist()}) == n_gates


@pytest.mark.parametrize(("n_signals", "n_gates"), [(9, 128), (9, 36), (3, 7), (2, 5)])
def test_with_more_gates_than_sets_every_set_is_used_equally_often(n_signals, n_gates):
    fan_in = unique_wiring(n_signals, n_gates, 2, np.random.default_rng(0))
    uses = Counter(frozenset(row) for row in fan_in.tolist())
    n_sets = comb(n_signals, 2)
    assert len(uses) == n_sets
    assert max(uses.values()) - min(uses.values()) <= 1


def test_the_seed_decides():
    first, again, other = (unique_wiring(100, 100, 2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [(0, 3, 2), (3, 0, 2), (3, 3, 0)])
def test_sizes_below_one_are_refused(size):
    with pytest.raises(ValueError, match="at least one signal, gate and input"):
        unique_wiring(*size, np.random.default_rng(0))


@settings(deadline=None)
@given(**sizes)
def test_aligned_gates_read_the_signal_of_their_own_place_first(n_signals, n_gates, arity, seed):
    first = aligned_wiring(n_signals, n_gates, arity, np.random.default_rng(seed))[:, 0]
    if 1 < arity <= n_signals and n_gates >= n_signals:
        assert first.tolist() == [gate % n_signals for gate in range(n_gates)]
    elif 1 < arity <= n_signals:
        assert len(set(first.tolist())) == n_gates
        assert first.tolist() == sorted(first.tolist())


def test_the_other_inputs_of_aligned_gates_are_balanced_and_the_same_from_a_seed():
    fan_in = aligned_wiring(40, 400, 4, np.random.default_rng(1))
    assert np.ptp(np.bincount(fan_in.ravel(), minlength=40)) <= 1
    assert np.array_equal(fan_in, aligned_wiring(40, 400, 4, np.random.default_rng(1)))
    assert not np.array_equal(fan_in, aligned_wiring(40, 400, 4, np.random.default_rng(2)))


@settings(deadline=None)
@given(n_inputs=st.integers(1, 40), **sizes)
def test_coverage_of_a_second_layer_is_no_less_and_reads_each_signal_as_often(n_inputs, n_signals, n_gates, arity, seed):
    below = [unique_wiring(n_inputs, n_signals, arity, np.random.default_rng(seed + 1))]
    plain = unique_wiring(n_signals, n_gates, arity, np.random.default_rng(seed))
    fan_in = coverage_wiring(n_signals, n_gates, arity, np.random.default_rng(seed), below)
    assert fan_in.shape == plain.shape
    assert fan_in.dtype == np.int32
    assert np.array_equal(np.sort(fan_in, axis=None), np.sort(plain, axis=None))
    if n_signals >= arity:
        assert all(len(set(row)) == arity for row in fan_in.tolist())
    assert sum(map(len, inputs_of([*below, fan_in]))) >= sum(map(len, inputs_of([*below, plain])))


def inputs_of(layers):
    """Of each gate of the last layer, the set of inputs that it depends on."""
    seen = None
    for fan_in in layers:
        seen = [set(row) if seen is None else set().union(*(seen[signal] for signal in row)) for row in fan_in.tolist()]
    return seen


def test_coverage_comes_near_what_a_tree_of_gates_can_see():
    """Gates of two inputs see at most 2 ** depth of them; by random wiring fewer the deeper they are."""
    seen = {}
    for kind in ("unique", "coverage"):
        rng, below, n_signals = np.random.default_rng(0), [], 192
        for _ in range(6):
            below.append(WIRINGS[kind](n_signals, 100, 2, rng, below))
            n_signals = 100
        seen[kind] = np.mean([len(one) for one in inputs_of(below)])
    assert seen["unique"] < 57
    assert seen["coverage"] > 60


def test_coverage_is_the_same_from_a_seed():
    below = [unique_wiring(60, 80, 2, np.random.default_rng(9))]
    first, again, other = (coverage_wiring(80, 80, 2, np.random.default_rng(seed), below) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@settings(deadline=None)
@given(n=st.integers(1, 40), **sizes)
def test_candidates_are_distinct_signals_of_which_the_first_is_the_fan_in(n, n_signals, n_gates, arity, seed):
    rng = np.random.default_rng(seed)
    fan_in = unique_wiring(n_signals, n_gates, arity, rng)
    if n > n_signals:
        with pytest.raises(ValueError, match=f"as many candidates as signals, {n_signals}; got {n}"):
            candidates(fan_in, n_signals, n, rng)
        return
    found = candidates(fan_in, n_signals, n, rng)
    assert found.shape == (n_gates, arity, n)
    assert found.dtype == np.int32
    assert np.array_equal(found[:, :, 0], fan_in)
    assert found.min() >= 0
    assert found.max() < n_signals
    assert all(len(set(row)) == n for row in found.reshape(-1, n).tolist())


def test_candidates_are_of_all_signals_alike_and_the_same_from_a_seed():
    fan_in = unique_wiring(100, 400, 2, np.random.default_rng(0))
    found, again, other = (candidates(fan_in, 100, 16, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(found, again)
    assert not np.array_equal(found, other)
    assert np.ptp(np.bincount(found.ravel(), minlength=100)) < 0.3 * found.size / 100
