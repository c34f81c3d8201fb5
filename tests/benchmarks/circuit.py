"""What compiling a circuit gives and costs: `make bench-circuit CIRCUIT=runs/KEY/circuit.safetensors`.

Of the circuit in every form: items a second from packed bits and from the caller's numbers, and the time of one item alone.
All forms are timed in one process on one core, interleaved in fresh random order in each block; figures are medians, and
ratios are to `c`, and with --naive to `c-naive`, in the same blocks. Then, with --random, what circuits of random gates cost to
compile.
"""

import argparse
import gc
import resource
import time
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from codegen.backends import BACKENDS, CompiledCircuit, compiler_flags, missing, pipeline
from codegen.circuit import Circuit
from codegen.emit_c import LANES, emit_c
from codegen.encoder import Encoder
from codegen.lower_readout import lowered
from codegen.measure import Protocol, pinned, ratio, time_arms
from codegen.netlist import Netlist
from codegen.passes import run
from codegen.toolchain import find_compiler

N_ITEMS = 10_000
SECONDS = 3600  # for one run of the compiler


def forms(circuit: Circuit, with_naive: bool):
    """Each back end, and `c` forced to the other instruction sets: name to executable."""
    netlist, encoder = lowered(circuit), circuit.encoder or Encoder.of_bits(circuit.netlist.n_inputs)
    names = ["c", "c-portable", "numba", *(["wasm"] if missing("wasm") is None else []), *(["c-naive"] if with_naive else [])]
    found = {name: BACKENDS[name](netlist, SECONDS, encoder) for name in names}
    for isa in LANES:
        if isa not in ("c99", find_compiler().isa):
            optimised, passes = run(netlist, pipeline(isa))
            found[f"c {isa}"] = CompiledCircuit(optimised, passes, isa, compiler_flags(optimised), True, SECONDS, encoder)
    return found


def predicting(form, items):
    def run_times(times: int) -> None:
        for _ in range(times):
            form.predict(items)

    return run_times


def show_circuit(path: Path, blocks: int, with_naive: bool, console: Console) -> None:
    circuit = Circuit.load(path)
    encoder = circuit.encoder or Encoder.of_bits(circuit.netlist.n_inputs)
    items = np.random.default_rng(0).integers(0, 256, (N_ITEMS, encoder.n_features)).astype(np.uint8)
    bits = encoder.encode(items)
    found = forms(circuit, with_naive)
    arms = {}
    for name, form in found.items():
        assert np.array_equal(form.evaluate(bits[:2000]), circuit.answers(bits[:2000])), f"{name} is wrong"
        arms[f"{name} packed"] = form.batch(bits).run
        if isinstance(form, CompiledCircuit):
            arms[f"{name} numbers"] = predicting(form, items)
            arms[f"{name} one"] = predicting(form, items[:1])
    samples = time_arms(arms, Protocol(blocks, 0.01, 0.1), np.random.default_rng(0)).samples
    title = f"{circuit.netlist.n_gates} gates: million items/s from packed bits and from bytes, us of one item"
    caption = f"{N_ITEMS} items, one thread, median of {blocks} blocks"
    table = Table(title=title, caption=caption, box=box.SIMPLE, pad_edge=False)
    references = ["c", *(["c-naive"] if with_naive else [])]
    ratios = [f"of {reference}" for reference in references]
    for heading in ("form", "words", "gates", "compiled s", "packed", *ratios, "bytes", "one"):
        table.add_column(heading, justify="left" if heading in ("form", "words") else "right")
    for name, form in found.items():
        kinds = [kind for kind in ("packed", "numbers", "one") if f"{name} {kind}" in samples]
        ns = {kind: float(np.median(samples[f"{name} {kind}"].ns)) for kind in kinds}
        made = form.facts.library or form.facts.module
        table.add_row(
            name,
            form.facts.isa,
            str(form.facts.gates),
            f"{made.compile_seconds:.1f}" if made else "",
            f"{1e3 * N_ITEMS / ns['packed']:.2f}",
            *(f"{ratio(samples[f'{of} packed'], samples[f'{name} packed']).estimate:.3f}" for of in references),
            f"{1e3 * N_ITEMS / ns['numbers']:.2f}" if "numbers" in ns else "",
            f"{ns['one'] / 1e3:.1f}" if "one" in ns else "",
        )
    console.print(table)


def random_circuit(n_gates: int) -> Netlist:
    """Layers of two-input gates on 400 inputs, wired at random, the last of which is the output: as networks begin."""
    rng = np.random.default_rng(0)
    width = n_gates // 6
    layers = [rng.integers(400, size=(width, 2))]
    layers += [400 + width * layer + rng.integers(width, size=(width, 2)) for layer in range(5)]
    return Netlist(
        n_inputs=400,
        table=rng.integers(16, size=6 * width).astype(np.uint64),
        fan_in=np.concatenate(layers),
        arity=np.full(6 * width, 2),
        outputs=400 + 5 * width + np.arange(width),
        inverted=np.zeros(width, dtype=bool),
    )


def show_random(sizes: list[int], console: Console) -> None:
    isa = find_compiler().isa
    emit_c(run(random_circuit(6000), pipeline(isa))[0], isa)  # so that numba has compiled what it has to
    table = Table(title=f"random gates to a library for {isa}", box=box.SIMPLE, pad_edge=False)
    for heading in ("gates", "printed", "passes s", "C s", "gcc s", "us a gate", "us printed", "peak MiB", "of gcc"):
        table.add_column(heading, justify="right")
    for n_gates in sizes:
        netlist = random_circuit(n_gates)
        gc.collect()
        start = time.perf_counter()
        optimised, passes = run(netlist, pipeline(isa))
        passed = time.perf_counter()
        form = CompiledCircuit(optimised, passes, isa, compiler_flags(optimised), True, SECONDS)
        done = time.perf_counter()
        library = form.facts.library
        assert library is not None
        printing = done - passed - (0 if library.cached else library.compile_seconds)
        seconds = (passed - start, printing, library.compile_seconds)
        a_gate = (f"{1e6 * sum(seconds) / n:.0f}" for n in (n_gates, optimised.n_gates))
        peaks = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cells = (str(n_gates), str(optimised.n_gates), *(f"{each:.1f}" for each in seconds), *a_gate)
        table.add_row(*cells, *(f"{peak:.0f}" for peak in peaks))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("circuit", type=Path, nargs="?", help="a circuit.safetensors")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--naive", action="store_true", help="also c-naive, which takes a compiler minutes for 48,000 gates")
    parser.add_argument("--random", type=int, nargs="+", default=[], help="numbers of random gates to compile")
    options = parser.parse_args()
    console = Console(highlight=False)
    with pinned():
        if options.circuit is not None:
            show_circuit(options.circuit, options.blocks, options.naive, console)
        if options.random:
            show_random(options.random, console)


if __name__ == "__main__":
    main()
