"""Paired timing: all arms in one process, pinned to one core, interleaved in fresh random order within every block.

A shared machine drifts by more than the differences that matter. Arms timed next to each other share the drift, so their
ratio within a block is steady where their times are not; the ratio over blocks is what is reported, with its interval.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

Run = Callable[[int], None]  # runs the work the given number of times


@dataclass(frozen=True)
class Protocol:
    """blocks: how often every arm is timed, at least 2. sample_seconds: the least that one sample lasts (one run may last
    longer). warmup_seconds: what each arm runs before."""

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
class Ratio:
    """How many times faster than the reference: exp of the median log-ratio over blocks, with its 95 % interval."""

    estimate: float
    low: float
    high: float


def time_arms(arms: dict[str, Run], protocol: Protocol, rng: np.random.Generator) -> dict[str, Samples]:
    """Time every arm in every block. Call it under `pinned`."""
    with _no_garbage_collection():
        loops = {name: _calibrate(run, protocol) for name, run in arms.items()}
        ns: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(protocol.blocks):
            for name in rng.permutation(list(arms)):
                ns[name].append(_sample(arms[name], loops[name]))
    return {name: Samples(np.array(ns[name]), loops[name]) for name in arms}


def ratio(reference: Samples, arm: Samples) -> Ratio:
    """How many times faster arm is than reference, from the same blocks."""
    log_ratios = np.log(reference.ns / arm.ns)
    if np.ptp(log_ratios) == 0:
        return Ratio(*[float(np.exp(log_ratios[0]))] * 3)
    interval = bootstrap((log_ratios,), np.median, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    estimate, low, high = np.exp([np.median(log_ratios), interval.low, interval.high])
    return Ratio(float(estimate), float(low), float(high))


def quickest(candidates: Sequence[Run]) -> int:
    """The index of the run that takes least, each tried once after one run to warm up: to choose by, not to report."""
    ns = []
    for run in candidates:
        run(1)
        ns.append(_sample(run, 1))
    return int(np.argmin(ns))


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
