"""The arithmetic and the order of the timing, on planted samples and a clock that the test winds."""

import gc
import os
import pickle
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest

from codegen import measure
from codegen.measure import (
    Block,
    Protocol,
    Ratio,
    Samples,
    WrongOutputError,
    check_outputs,
    noise_floor,
    pinned,
    quickest,
    ratio,
    time_arms,
    verdict,
)
from jobs import timing
from tasks.rows import RowsWorkload

BRIEF = Protocol(blocks=12, sample_seconds=0, warmup_seconds=0)

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no processor affinity")


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """A clock that stands still but for what `spend` adds, in nanoseconds, on a machine where nothing is switched or stolen but
    by `switch` and `steal`, the latter in ticks of a processor."""
    now = switches = 0
    stolen = dict.fromkeys((0, 1, 10), 0)
    stat = tmp_path / "stat"

    def spend(ns):
        nonlocal now
        now += ns

    def switch(times):
        nonlocal switches
        switches += times

    def steal(number, ticks):
        stolen[number] += ticks
        fields = [f"cpu{each} 1 2 3 4 5 6 7 {ticks} 9 10" for each, ticks in stolen.items()]
        stat.write_text("\n".join([f"cpu 1 2 3 4 5 6 7 {sum(stolen.values())} 9 10", *fields, "intr 1 2 3 4 5 6 7 8 9"]) + "\n")

    steal(0, 0)
    fake = SimpleNamespace(
        perf_counter_ns=lambda: now, perf_counter=lambda: now / 1e9, spend=spend, switch=switch, steal=steal, stat=stat
    )
    monkeypatch.setattr(measure, "time", fake)
    monkeypatch.setattr(measure, "_STAT", stat)
    monkeypatch.setattr(
        measure, "resource", SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_nivcsw=switches))
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
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
    return time_arms(arms, protocol, np.random.default_rng(seed)).samples, calls


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
    samples = time_arms(arms, Protocol(blocks=3, sample_seconds=1e-5, warmup_seconds=0), np.random.default_rng(0)).samples
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


def disturbed_blocks(clock, disturb, blocks=10):
    """What time_arms tells of blocks of a second in which the arm does what `disturb` says for the number of its call."""
    calls = iter(range(1000))

    def run(loops):
        clock.spend(1_000_000_000)
        disturb(next(calls) - 1)  # the first is the calibration

    return time_arms({"arm": run}, Protocol(blocks, 0, 0), np.random.default_rng(0))


def test_each_block_is_recorded_with_what_disturbed_it(clock):
    def disturb(block):
        if block == 2:
            clock.switch(7)
        if block == 3:
            clock.steal(1, 3)

    timed = disturbed_blocks(clock, disturb)
    assert len(timed.blocks) == 10
    assert all(block.seconds == 1.0 and block.load_average >= 0 for block in timed.blocks)
    assert [block.switches for block in timed.blocks] == [0, 0, 7] + [0] * 7
    assert [block.steal_seconds for block in timed.blocks] == pytest.approx([0, 0, 0, 0.03] + [0] * 6)
    assert timed.n_flagged == 0


def test_only_steal_of_the_processors_that_may_be_used_counts(clock):
    timed = disturbed_blocks(clock, lambda block: (clock.steal(0, 50), clock.steal(10, 50)))
    assert [block.steal_seconds for block in timed.blocks] == [0] * 10


def test_steal_is_none_where_the_system_does_not_tell(clock):
    clock.stat.unlink()
    timed = disturbed_blocks(clock, lambda block: None)
    assert [block.steal_seconds for block in timed.blocks] == [None] * 10
    assert timed.n_flagged == 0


@pytest.mark.parametrize(
    ("block", "flagged"),
    [
        (Block(1.0, 21, 0.05, 9.0), False),
        (Block(1.0, 22, 0.0, 0.0), True),
        (Block(1.0, 0, 0.06, 0.0), True),
        (Block(1.0, 22, None, 0.0), True),
        (Block(0.01, 1, None, 0.0), False),
        (Block(0.01, 2, None, 0.0), True),
        (Block(0.0, 0, 0.0, 0.0), False),
    ],
)
def test_a_block_is_flagged_for_steal_by_share_and_for_switches_by_rate(block, flagged):
    assert block.flagged is flagged


@pytest.mark.parametrize(
    ("bad", "n_blocks", "n_flagged"),
    [
        ({0, 1}, 10, 2),  # a fifth
        ({0, 1, 2}, 15, 3),  # until it is a fifth
        ({0, 1, 2, 10}, 20, 4),
        (set(range(100)), 20, 20),  # the cap
        ({7, 8, 9, 12, 13}, 20, 5),
    ],
)
@pytest.mark.parametrize("kind", ["switch", "steal"])
def test_disturbed_runs_are_extended_and_keep_all_blocks(clock, bad, n_blocks, n_flagged, kind):
    disturb = {"switch": lambda: clock.switch(22), "steal": lambda: clock.steal(1, 6)}[kind]
    timed = disturbed_blocks(clock, lambda block: disturb() if block in bad else None)
    assert (len(timed.blocks), timed.n_flagged) == (n_blocks, n_flagged)
    assert timed.samples["arm"].ns.shape == (n_blocks,)


def test_the_real_counters_are_read():
    timed = time_arms({"arm": lambda loops: None}, Protocol(2, 0, 0), np.random.default_rng(0))
    assert 2 <= len(timed.blocks) <= 4
    for block in timed.blocks:
        assert block.seconds > 0
        assert block.switches >= 0
        assert block.steal_seconds is None or block.steal_seconds >= 0


def drifting(slow_down, seed, blocks=30, own=0.02, shared=0.25):
    """Samples of a reference, an arm that takes `slow_down` times as long, and a second copy of the reference."""
    rng = np.random.default_rng(seed)
    drift = 1000 * np.exp(rng.normal(0, shared, blocks))
    noise = np.exp(rng.normal(0, own, (3, blocks)))
    return tuple(Samples(drift * factor * each, 1) for factor, each in zip((1, slow_down, 1), noise, strict=True))


def judged(slow_down, seed):
    reference, arm, again = drifting(slow_down, seed)
    return verdict(ratio(reference, arm), noise_floor(reference, again))


def test_a_slow_down_of_three_percent_is_found_under_drift_of_25():
    verdicts = [judged(1.03, seed) for seed in range(30)]
    assert set(verdicts) <= {"slower", "~"}
    assert verdicts.count("slower") >= 24
    assert [judged(1 / 1.06, seed) for seed in range(10)] == ["faster"] * 10


def test_equal_arms_are_mostly_not_told_apart():
    assert [judged(1.0, seed) for seed in range(60)].count("~") >= 54


@pytest.mark.parametrize(
    ("found", "floor", "said"),
    [
        (Ratio(1.0, 0.9, 1.1), 0.0, "~"),
        (Ratio(1.02, 1.01, 1.03), 0.03, "~"),
        (Ratio(1.02, 1.01, 1.03), 0.029, "faster"),
        (Ratio(0.98, 1 / 1.03, 0.99), 0.030001, "~"),
        (Ratio(0.98, 1 / 1.03, 0.99), 0.029, "slower"),
        (Ratio(1.0, 1.0, 1.0), 0.0, "~"),
        (Ratio(2.0, 2.0, 2.0), 0.0, "faster"),
        (Ratio(0.5, 0.5, 0.5), 0.5, "slower"),
    ],
)
def test_a_difference_must_reach_beyond_the_noise_floor(found, floor, said):
    assert verdict(found, floor) == said


def test_the_noise_floor_is_the_same_for_exchanged_copies_and_hides_their_own_difference():
    reference, _, again = drifting(1.0, seed=5)
    floor = noise_floor(reference, again)
    assert floor == pytest.approx(noise_floor(again, reference), rel=1e-9)
    assert floor > 0
    assert verdict(ratio(reference, again), floor) == "~"


def test_outputs_that_are_wrong_are_named_by_arm_and_place():
    def arm(where):
        return SimpleNamespace(where_wrong=lambda: where)

    check_outputs({"a": arm(None)})
    with pytest.raises(WrongOutputError, match="b: row 3; c: row 5") as caught:
        check_outputs({"a": arm(None), "b": arm("row 3"), "c": arm("row 5")})
    assert caught.value.wrong == {"b": "row 3", "c": "row 5"}
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


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
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

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
    work = timing.fitting(RowsWorkload(rows, rows, features=rows), Slow(monkeypatch), batch, seconds)
    assert work.n_items == n_items
    for part in (work.bits, work.answers, work.features):
        assert np.array_equal(part, rows[:n_items])
