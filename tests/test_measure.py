"""The arithmetic and the order of the timing, on planted samples and a clock that the test winds."""

import gc
import os
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest

import harness
from codegen import measure
from codegen.measure import Protocol, Ratio, Samples, pinned, quickest, ratio, time_arms
from tasks.rows import RowsWorkload

BRIEF = Protocol(blocks=12, sample_seconds=0, warmup_seconds=0)

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no processor affinity")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what `spend` adds, in nanoseconds."""
    now = 0

    def spend(ns):
        nonlocal now
        now += ns

    fake = SimpleNamespace(perf_counter_ns=lambda: now, perf_counter=lambda: now / 1e9, spend=spend)
    monkeypatch.setattr(measure, "time", fake)
    return fake


def planted(true_ratio, seed, blocks=41):
    """Samples of a reference and an arm `true_ratio` times as fast, on a machine that drifts and hiccups."""
    rng = np.random.default_rng(seed)
    drift = 1000 * np.exp(np.cumsum(rng.normal(0, 0.2, blocks)))
    noise = np.exp(rng.normal(0, 0.01, (2, blocks)))
    noise[rng.integers(0, 2, 3), rng.integers(0, blocks, 3)] *= 5
    return Samples(drift * noise[0], 1), Samples(drift / true_ratio * noise[1], 1)


@pytest.mark.parametrize("true_ratio", [0.4, 1.0, 2.5, 300.0])
def test_ratio_recovers_what_was_planted_under_common_drift(true_ratio):
    found = ratio(*planted(true_ratio, seed=1))
    assert found.estimate == pytest.approx(true_ratio, rel=0.01)
    assert found.low <= true_ratio <= found.high
    assert found.high / found.low < 1.03


def test_interval_covers_the_planted_ratio_about_as_often_as_it_says():
    found = [ratio(*planted(2.5, seed)) for seed in range(40)]
    covered = sum(one.low <= 2.5 <= one.high for one in found)
    assert covered >= 34
    assert all(one.low <= one.estimate <= one.high for one in found)


def test_ratio_of_identical_samples_is_one():
    samples, _ = planted(1.0, seed=2)
    assert ratio(samples, samples) == Ratio(1.0, 1.0, 1.0)


def test_constant_ratio_has_an_interval_of_no_width():
    samples = Samples(np.array([4.0, 8.0, 16.0]), 1)
    assert ratio(samples, Samples(samples.ns / 4, 1)) == Ratio(4.0, 4.0, 4.0)


def test_exchanged_arms_have_the_inverse_ratio():
    reference, arm = planted(2.5, seed=3)
    assert ratio(reference, arm).estimate == pytest.approx(1 / ratio(arm, reference).estimate)


def test_ratio_is_repeatable():
    assert ratio(*planted(2.5, seed=4)) == ratio(*planted(2.5, seed=4))


def timed_calls(protocol, seed, n_arms=4):
    calls = []
    arms = {f"arm{i}": lambda loops, i=i: calls.append((f"arm{i}", loops)) for i in range(n_arms)}
    return time_arms(arms, protocol, np.random.default_rng(seed)), calls


def test_every_arm_runs_once_in_every_block(clock):
    samples, calls = timed_calls(BRIEF, seed=0)
    names = [name for name, _ in calls]
    assert names[:4] == ["arm0", "arm1", "arm2", "arm3"]  # calibration
    blocks = [names[start : start + 4] for start in range(4, len(names), 4)]
    assert len(blocks) == BRIEF.blocks
    assert all(sorted(block) == ["arm0", "arm1", "arm2", "arm3"] for block in blocks)
    assert list(samples) == ["arm0", "arm1", "arm2", "arm3"]
    assert all(one.ns.shape == (BRIEF.blocks,) and one.ns.dtype == np.float64 and one.loops == 1 for one in samples.values())


def test_order_differs_between_blocks_and_follows_the_generator(clock):
    (_, first), (_, again), (_, other) = (timed_calls(BRIEF, seed) for seed in (0, 0, 1))
    orders = {tuple(name for name, _ in first[start : start + 4]) for start in range(4, len(first), 4)}
    assert len(orders) > 3
    assert orders <= set(permutations(["arm0", "arm1", "arm2", "arm3"]))
    assert first == again
    assert first != other


def test_sample_lasts_as_long_as_asked_and_is_given_a_run(clock):
    arms = {"quick": lambda loops: clock.spend(400 * loops), "slow": lambda loops: clock.spend(70_000 * loops)}
    samples = time_arms(arms, Protocol(blocks=3, sample_seconds=1e-5, warmup_seconds=0), np.random.default_rng(0))
    assert (samples["quick"].loops, samples["slow"].loops) == (32, 1)  # 400 ns x 32 is the first power of two beyond 10 us
    assert samples["quick"].ns.tolist() == [400] * 3
    assert samples["slow"].ns.tolist() == [70_000] * 3


def test_arms_warm_up_before_the_first_block(clock):
    spent = []

    def run(loops):
        clock.spend(1000 * loops)
        spent.append(1000 * loops)

    time_arms({"arm": run}, Protocol(blocks=2, sample_seconds=0, warmup_seconds=5e-5), np.random.default_rng(0))
    assert sum(spent[:-2]) >= 50_000


def test_garbage_is_not_collected_meanwhile_but_is_afterwards(clock):
    enabled = []
    time_arms({"arm": lambda _: enabled.append(gc.isenabled())}, BRIEF, np.random.default_rng(0))
    assert not any(enabled)
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error(clock):
    def fail(loops):
        raise RuntimeError("broken arm")

    with pytest.raises(RuntimeError, match="broken arm"):
        time_arms({"arm": fail}, BRIEF, np.random.default_rng(0))
    assert gc.isenabled()


@needs_affinity
def test_pinned_keeps_to_the_last_core_and_gives_the_others_back():
    before = os.sched_getaffinity(0)
    with pinned():
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before


@needs_affinity
def test_pinned_gives_the_other_cores_back_after_an_error():
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError, match="inside"), pinned():
        raise RuntimeError("inside")
    assert os.sched_getaffinity(0) == before


def test_pinned_does_nothing_where_the_system_takes_no_wishes(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    entered = False
    with pinned():
        entered = True
    assert entered


@pytest.mark.parametrize("order", [[50, 900, 700], [900, 700, 50], [700, 50, 900]])
def test_quickest_picks_the_run_that_takes_least(clock, order):
    runs = [lambda loops, ns=ns: clock.spend(ns * loops) for ns in order]
    assert quickest(runs) == order.index(50)


def test_quickest_does_not_count_the_first_run(clock):
    costs = iter([10_000, 100])
    assert quickest([lambda _: clock.spend(500), lambda _: clock.spend(next(costs))]) == 1


class Slow:
    """A form that takes a second for 1,024 items, on a clock of its own."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(harness.time, "perf_counter", lambda: self.now)

    def batch(self, bits):
        self.n_items = len(bits)
        return self

    def run(self, times):
        self.now += times * self.n_items / 1024


@pytest.mark.parametrize(
    ("seconds", "batch", "n_items"),
    [
        (60, 1, 50_000),
        (3, 1, 3072),
        (3, 256, 3072),
        (3, 1000, 3000),
        (0.001, 256, 256),
        (0.001, 1, 1),
        (3, 40_000, 40_000),
    ],
)
def test_what_takes_long_is_timed_on_the_first_items_in_whole_batches(monkeypatch, seconds, batch, n_items):
    rows = np.arange(100_000).reshape(50_000, 2) % 3 == 0
    work = harness.fitting(RowsWorkload(rows, rows, features=rows), Slow(monkeypatch), batch, seconds)
    assert work.n_items == n_items
    for part in (work.bits, work.answers, work.features):
        assert np.array_equal(part, rows[:n_items])
