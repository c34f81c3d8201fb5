"""Paired timing: all arms in one process, pinned to one core, interleaved in fresh random order within every block.

A shared machine drifts by more than the differences that matter. Arms timed next to each other share the drift, so their
ratio within a block is steady where their times are not; the ratio over blocks is what is reported, with its interval. What
disturbed a block is recorded with it. No block is dropped for it, which would be a choice among results: more are timed instead.
"""

import gc
import os
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.interfaces import CheckedRun, Run

# What a block may see before it is flagged: so much of its time stolen by the hypervisor, and so many involuntary context
# switches a second, besides one. A processor to oneself gives none to a few; one that is shared with a busy process, about 100.
STEAL_SHARE = 0.05
SWITCHES_PER_SECOND = 20
FLAGGED_SHARE = 0.2  # of the blocks, above which more are timed, up to MOST_BLOCKS times as many
MOST_BLOCKS = 2

_STAT = Path("/proc/stat")
_STEAL_FIELD = 8  # of a line of _STAT, in ticks; see proc(5)


class WrongOutputError(RuntimeError):
    """What was timed is not what the oracle says, so that its time means nothing. wrong: where, by the name of the arm."""

    def __init__(self, wrong: dict[str, str]) -> None:
        super().__init__(wrong)
        self.wrong = wrong

    def __str__(self) -> str:
        said = "; ".join(f"{name}: {where}" for name, where in self.wrong.items())
        return f"Expected the last timed run to leave what the oracle says, found others. {said}. These times mean nothing."


@dataclass(frozen=True)
class Protocol:
    """blocks: how often every arm is timed, at least 2, and up to MOST_BLOCKS times that on a machine that is disturbed.
    sample_seconds: the least that one sample lasts (one run may last longer). warmup_seconds: what each arm runs before."""

    blocks: int
    sample_seconds: float
    warmup_seconds: float


@dataclass(frozen=True, eq=False)
class Samples:
    """ns: float64 (block,), nanoseconds of one run in each block. loops: runs that one sample was made of."""

    ns: NDArray[np.float64]
    loops: int

    def of(self, n_items: int) -> "Samples":
        """Nanoseconds of one of the items that a run has."""
        return Samples(self.ns / n_items, self.loops)


@dataclass(frozen=True)
class Block:
    """What disturbed a block while all its arms ran.

    seconds: how long it took. switches: involuntary context switches of this process, all threads. steal_seconds: what the
    hypervisor took from the processors that this process may use, in ticks of 10 ms; None where the system does not tell.
    load_average: of the last minute.
    """

    seconds: float
    switches: int
    steal_seconds: float | None
    load_average: float

    @property
    def flagged(self) -> bool:
        """Whether that is more than a timing should see."""
        stolen = (self.steal_seconds or 0.0) > STEAL_SHARE * self.seconds
        return stolen or self.switches > 1 + SWITCHES_PER_SECOND * self.seconds


@dataclass(frozen=True, eq=False)
class Timed:
    """samples: of each arm, one in each of the blocks; n_flagged: how many of those were disturbed."""

    samples: dict[str, Samples]
    blocks: tuple[Block, ...]

    @property
    def n_flagged(self) -> int:
        return sum(block.flagged for block in self.blocks)


@dataclass(frozen=True)
class Ratio:
    """How many times faster than the reference: exp of the median log-ratio over blocks, with its 95 % interval."""

    estimate: float
    low: float
    high: float


def time_arms(arms: Mapping[str, Run], protocol: Protocol, rng: np.random.Generator) -> Timed:
    """Time every arm in every block. Call it under `pinned`, and check_outputs afterwards on arms that have an oracle.

    After the protocol's blocks more follow while more than FLAGGED_SHARE of them are flagged, whatever the times are.
    """
    with _no_garbage_collection():
        loops = {name: _calibrate(run, protocol) for name, run in arms.items()}
        ns: dict[str, list[float]] = {name: [] for name in arms}
        blocks: list[Block] = []
        while len(blocks) < protocol.blocks or (_disturbed(blocks) and len(blocks) < MOST_BLOCKS * protocol.blocks):
            order = rng.permutation(list(arms))
            before = _Counters.now()
            for name in order:
                ns[name].append(_sample(arms[name], loops[name]))
            blocks.append(before.until(_Counters.now()))
    return Timed({name: Samples(np.array(ns[name]), loops[name]) for name in arms}, tuple(blocks))


def check_outputs(arms: Mapping[str, CheckedRun]) -> None:
    """Hold what the last run of each arm computed to the oracle. Raises WrongOutputError that names all that are wrong."""
    wrong = {name: where for name, arm in arms.items() if (where := arm.where_wrong()) is not None}
    if wrong:
        raise WrongOutputError(wrong)


def ratio(reference: Samples, arm: Samples) -> Ratio:
    """How many times faster arm is than reference, from the same blocks."""
    from scipy.stats import bootstrap  # here: a second and a half of every command that measures nothing

    log_ratios = np.log(reference.ns / arm.ns)
    if np.ptp(log_ratios) == 0:
        return Ratio(*[float(np.exp(log_ratios[0]))] * 3)
    interval = bootstrap((log_ratios,), np.median, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    estimate, low, high = np.exp([np.median(log_ratios), interval.low, interval.high])
    return Ratio(float(estimate), float(low), float(high))


def noise_floor(first: Samples, second: Samples) -> float:
    """By how much two arms of equal code seem to differ at most: the further end of the interval of their ratio, as a factor
    above 1 less 1."""
    same = ratio(first, second)
    return max(same.high, 1 / same.low) - 1


def verdict(found: Ratio, floor: float) -> Literal["faster", "slower", "~"]:
    """Whether an arm is faster or slower than the reference of its ratio, or that cannot be said: "~".

    That is so if the interval includes 1, or lies within 1 / (1 + floor) and 1 + floor, the noise_floor of the same blocks.
    """
    if found.low <= 1 <= found.high or max(found.high, 1 / found.low) <= 1 + floor:
        return "~"
    return "faster" if found.low > 1 else "slower"


def quickest(candidates: Sequence[Run]) -> int:
    """The index of the run that takes least, each tried once after one run to warm up: to choose by, not to report."""
    ns = []
    for run in candidates:
        run(1)
        ns.append(_sample(run, 1))
    return int(np.argmin(ns))


@dataclass(frozen=True)
class _Counters:
    """What only ever grows, read between blocks."""

    seconds: float
    switches: int
    steal_seconds: float | None

    @classmethod
    def now(cls) -> "_Counters":
        return cls(time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw, _steal_seconds())

    def until(self, later: "_Counters") -> Block:
        steal = None
        if self.steal_seconds is not None and later.steal_seconds is not None:
            steal = later.steal_seconds - self.steal_seconds
        return Block(later.seconds - self.seconds, later.switches - self.switches, steal, os.getloadavg()[0])


def _steal_seconds() -> float | None:
    """What the hypervisor has taken since the start from the processors that this process may use."""
    if not (_STAT.exists() and hasattr(os, "sched_getaffinity")):
        return None
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = (line.split() for line in _STAT.read_text().splitlines() if line.startswith("cpu"))
    return sum(int(fields[_STEAL_FIELD]) for fields in lines if fields[0] in mine) / os.sysconf("SC_CLK_TCK")


def _disturbed(blocks: Sequence[Block]) -> bool:
    return sum(block.flagged for block in blocks) > FLAGGED_SHARE * len(blocks)


def _sample(run: Run, loops: int) -> float:
    start = time.perf_counter_ns()
    run(loops)
    return (time.perf_counter_ns() - start) / loops


def _calibrate(run: Run, protocol: Protocol) -> int:
    """Warm up, and find the loops, a power of two, that make a sample last sample_seconds."""
    loops = 1
    started = time.perf_counter()
    while _sample(run, loops) * loops < protocol.sample_seconds * 1e9:
        loops *= 2
    while time.perf_counter() - started < protocol.warmup_seconds:
        run(loops)
    return loops


@contextmanager
def pinned() -> Iterator[None]:
    """Keep this thread, and threads that start meanwhile, on one core: the last of those that the process may use.

    Frameworks make their thread pools when first used, so forms are built under it too, not only timed.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS: the scheduler takes no wishes
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
