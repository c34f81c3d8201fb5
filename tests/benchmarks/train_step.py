"""One full training step (forward, backward, AdamW) of the engines on the same networks: `make bench-train`.

All forms of a network are timed in one process, interleaved in fresh random order in each block, so that a busy machine
slows them alike; the figures are medians. Compilation comes before and is shown apart. Memory is measured in a process of
its own: the growth of its peak from before the engine was built.
"""

import argparse
import gc
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from codegen.measure import Protocol, time_arms
from methods.base import Problem
from methods.convolution import ConvolutionConfig
from methods.engine import EngineConfig, OptimiserConfig, build_engine
from methods.gates import GatesConfig, build_gates

ADAMW = OptimiserConfig(learning_rate=0.01, betas=(0.9, 0.999), weight_decay=0.0, epsilon=1e-8, clip_norm=100.0)


@dataclass(frozen=True)
class Case:
    """layers of width gates of the arity, on 400 inputs; the last layer's gates are summed into ten classes. candidates: of each
    input of a gate, 1 where it is fixed."""

    relaxation: str
    arity: int
    width: int
    layers: int = 6
    batch: int = 100
    candidates: int = 1
    shape = (1, 20, 20)

    @property
    def name(self) -> str:
        choice = f" of {self.candidates}" if self.candidates > 1 else ""
        return f"{self.relaxation} k={self.arity}{choice} {self.layers}×{self.width:,}"

    @property
    def config(self) -> GatesConfig:
        return _config(self.relaxation, self.arity, [], [self.width] * self.layers, self.candidates)


@dataclass(frozen=True)
class Convolutional:
    """The convolutional network for MNIST of arXiv 2411.04732 with so many kernels in its first layer: S has 16, M 64."""

    kernels: int
    batch: int
    shape = (1, 28, 28)

    @property
    def name(self) -> str:
        return f"conv k={self.kernels}"

    @property
    def config(self) -> GatesConfig:
        k = self.kernels
        shared = {"stride": 1, "depth": 3, "channels": 2, "pool": 2}
        trees = [ConvolutionConfig(kernels=k, size=5, padding=0, **shared)]
        trees += [ConvolutionConfig(kernels=n * k, size=3, padding=1, **shared) for n in (3, 9)]
        return _config("dlgn", 2, trees, [1280 * k, 640 * k, 320 * k])


def _config(
    relaxation: str, arity: int, convolutions: list[ConvolutionConfig], widths: list[int], candidates: int = 1
) -> GatesConfig:
    return GatesConfig(
        name="benchmark", relaxation=relaxation, arity=arity, convolutions=convolutions, wiring="unique", candidates=candidates,
        choice_temperature=1.0, widths=widths, residual=None, temperature=1.0, votes=1, group_temperature=10.0, smoothing="soft",
        thresholds=None,
    )  # fmt: skip


CASES = (Case("dlgn", 2, 8000), Case("warp", 2, 8000), Case("warp", 4, 4000), Case("warp", 6, 2330))
SIZES = (Case("dlgn", 2, 1333), Case("dlgn", 2, 8000), Case("dlgn", 2, 21333), Case("dlgn", 2, 85333))
CHOICES = tuple(Case("dlgn", 2, 4000, layers=2, candidates=n) for n in (1, 8, 16, 32))
CONVOLUTIONS = (Case("dlgn", 2, 8000, batch=128), Convolutional(16, 128), Convolutional(64, 256))


def parts(case: Case | Convolutional):
    """The network, its parameters, and random items."""
    rng = np.random.default_rng(0)
    places = np.arange(np.prod(case.shape)).reshape(case.shape)
    inputs = rng.integers(0, 2, (case.batch, places.size), dtype=np.uint8).astype(bool)
    network, parameters = build_gates(case.config, inputs, Problem(10, True, places), rng)
    target = np.eye(10, dtype=bool)[rng.integers(0, 10, case.batch)]
    return network, parameters, inputs, target


def create(network, parameters, inputs, target, engine: str, kernels: bool, threads: int):
    """The engine, as the harness would build it."""
    settings = EngineConfig(engine, threads, kernels, "cpu")
    return build_engine(settings, network, parameters, ADAMW, inputs, target, 0)


def arm(engine):
    def run(times: int) -> None:
        engine.run(None, np.full(times, 0.01, dtype=np.float32))

    return run


def step_times(cases, forms, blocks: int, threads: int, console: Console) -> None:
    table = Table(title=f"ms a step, {threads} threads, median of {blocks} blocks")
    table.add_column("network")
    table.add_column("batch", justify="right")
    table.add_column("gates", justify="right")
    for name in forms:
        table.add_column(name, justify="right")
    table.add_column("ns a gate and item", justify="right")
    table.add_column("compile s", justify="right")
    for case in cases:
        arms, compiled = {}, {}
        for name, (engine, kernels) in forms.items():
            network, *rest = parts(case)
            built, gates = create(network, *rest, engine, kernels, threads), network.n_gates
            compiled[name] = built.prepare(None, 1)
            arms[name] = arm(built)
        samples = time_arms(arms, Protocol(blocks, 0.0, 0.0), np.random.default_rng(0)).samples
        ms = {name: float(np.median(sample.ns)) / 1e6 for name, sample in samples.items()}
        first = next(iter(ms.values()))
        table.add_row(
            case.name, str(case.batch), f"{gates:,}", *(f"{value:.1f}" for value in ms.values()),
            f"{1e6 * first / gates / case.batch:.2f}", " ".join(f"{seconds:.1f}" for seconds in compiled.values()),
        )  # fmt: skip
    console.print(table)


def _resident(line: str) -> int:
    """VmRSS, the process's memory now, or VmHWM, its peak since the last reset, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(found.split()[1] for found in lines if found.startswith(line)))


def _memory(case: Case | Convolutional, threads: int, results) -> None:
    few = Case(case.config.relaxation, case.config.arity, 200)
    create(*parts(few), "torch", True, threads).run(None, np.full(2, 0.01, dtype=np.float32))
    network, parameters, inputs, target = parts(case)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _resident("VmRSS")
    engine = create(network, parameters, inputs, target, "torch", True, threads)
    engine.run(None, np.full(3, 0.01, dtype=np.float32))
    grown = _resident("VmHWM") - before
    # parameters with their gradients and two moments
    results.put((grown, 4 * case.batch * network.n_gates, 4 * sum(value.nbytes for value in parameters.values())))


def memory(cases, threads: int, console: Console) -> None:
    table = Table(title="MB at the peak of training, fused kernels")
    for name in ("network", "activations", "parameters ×4", "measured growth", "over both"):
        table.add_column(name, justify="left" if name == "network" else "right")
    context = multiprocessing.get_context("spawn")
    for case in cases:
        results = context.Queue()
        process = context.Process(target=_memory, args=(case, threads, results))
        process.start()
        grown, activations, parameters = results.get(timeout=600)
        process.join()
        share = grown / (activations + parameters) - 1
        table.add_row(case.name, *(f"{size / 1e6:.1f}" for size in (activations, parameters, grown)), f"{100 * share:+.0f} %")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=15)
    options = parser.parse_args()
    console = Console(highlight=False)
    started = time.perf_counter()
    engines = {"kernels": ("torch", True), "torch's own": ("torch", False), "jax": ("jax", False)}
    step_times(CASES, engines, options.blocks, options.threads, console)
    step_times(SIZES, {"kernels": ("torch", True)}, options.blocks, options.threads, console)
    step_times(CHOICES, {"kernels": ("torch", True)}, options.blocks, options.threads, console)
    step_times(CONVOLUTIONS, {"kernels": ("torch", True)}, options.blocks, options.threads, console)
    memory(SIZES[:3] + CASES[1:] + CONVOLUTIONS[1:], options.threads, console)
    console.print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
