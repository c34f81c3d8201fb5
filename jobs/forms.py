"""The forms of what was learned: networks from the engines, the hand-written one from the task's C, others from the circuit."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from codegen.backends import BACKENDS, CircuitExecutable, Executable, HandWritten
from codegen.instructions import instructions_per_cell, instructions_per_item
from codegen.measure import quickest
from codegen.toolchain import CompileTimeoutError, MissingToolError, ToolchainError
from codegen.whole_file import write_whole
from jobs.config import TimingConfig
from jobs.proof import NETWORK_BACKENDS, CircuitProof, Proof
from jobs.training import Learned
from methods.network import Network
from reports.record import Row
from tasks import Workload
from tasks.life import BoardWorkload

# The neural-network rows are built by the engines, the hand-written one from the task's C, the others from the circuit.
ALL_BACKENDS = (*NETWORK_BACKENDS, *BACKENDS, "reference")

log = logging.getLogger("gatebench")


def build_row(row: Row, learned: Learned, proof: Proof, timing: TimingConfig, folder: Path) -> Executable | None:
    """Build the row's back end and fill in what it is. None, with the reason in the row, if it cannot be had here."""
    try:
        if row.backend in NETWORK_BACKENDS:
            return _network(row, proof.workload, learned, timing)
        if row.backend == "reference":
            functions = proof.task.reference_source()
            if functions is None:
                row.status, row.reason = "skipped", f"Task {proof.task.name} has no hand-written form."
                return None
            form: CircuitExecutable = HandWritten(functions, timing.compile_seconds)
        else:
            assert isinstance(proof, CircuitProof)
            form = BACKENDS[row.backend](proof.netlist, timing.compile_seconds, proof.encoder)
    except MissingToolError as error:
        row.status, row.reason = "skipped", str(error)
        return None
    except CompileTimeoutError as error:
        row.status, row.reason = "timeout", str(error)
        return None
    except ToolchainError as error:
        row.status, row.reason = "failed", str(error)
        return None
    facts = form.facts
    row.isa, row.gates, row.depth, row.operators = facts.isa, facts.gates, facts.depth, facts.operators
    row.passes = [asdict(step) for step in facts.passes]
    if facts.library is not None:
        row.compile_seconds, row.compile_cached = facts.library.compile_seconds, facts.library.cached
        row.compile_command = facts.library.command
    if facts.source is not None:
        row.source_file = f"{row.backend}.c"
        row.c_bytes = len(facts.source.encode())
        write_whole(folder / row.source_file, facts.source.encode())
    if facts.module is not None:
        row.compile_seconds, row.compile_cached = facts.module.compile_seconds, False
        row.source_file = f"{row.backend}.wasm"
        write_whole(folder / row.source_file, facts.module.code)
    return form


def count(row: Row, proof: Proof, timing: TimingConfig) -> None:
    """Fill in the instructions that an item takes, the same on any day, where they can be counted."""
    if row.source_file is None or row.backend != "c" or not timing.instructions:
        return
    assert isinstance(proof, CircuitProof)
    if isinstance(proof.workload, BoardWorkload):
        height, width = proof.workload.board.shape
        counted = instructions_per_cell(proof.netlist, height, width, proof.workload.torus, timing.compile_seconds)
    else:
        counted = instructions_per_item(proof.netlist, timing.compile_seconds)
    row.instructions_per_item = counted.per_item
    if counted.reason is not None:
        log.info("Instructions are not counted: %s", counted.reason)


def form_of(forms: dict[str, Executable], learned: Learned, name: str, n_items: int) -> Executable:
    """The form by its name, for so many items at once: a network is built for them, a circuit takes any number."""
    if name == "nn-jax":
        return _jax(learned, n_items)
    return _torch(learned, n_items) if name == "nn-torch" else forms[name]


def _jax(learned: Learned, batch: int) -> Executable:
    from methods.jax_network import JaxNetwork

    assert isinstance(learned.network, Network)
    assert learned.tables is not None
    return JaxNetwork(learned.network, learned.tables, batch)


def _torch(learned: Learned, batch: int, compiled: bool = False) -> Executable:
    from methods import torch_network

    what = learned.parameters if learned.tables is None else learned.tables
    return (torch_network.compiled if compiled else torch_network.TorchNetwork)(learned.network, what, batch)


def _network(row: Row, workload: Workload, learned: Learned, timing: TimingConfig) -> Executable:
    """The trained network in a framework at the fastest of the batch sizes, compiled by the framework if that is faster."""
    network = learned.network
    if isinstance(network, Network):
        row.gates, row.depth = network.n_gates, len(network.layers)
    row.isa = row.backend.removeprefix("nn-")
    sizes = sorted({min(batch, workload.n_items) for batch in timing.batches})
    tried = workload.part(sizes[-1])

    def choose(forms: Sequence[Executable]) -> int:
        return quickest([tried.start(form) for form in forms])

    if row.backend == "nn-jax":
        jitted = [_jax(learned, batch) for batch in sizes]
        best = choose(jitted)
        row.batch = sizes[best]
        return jitted[best]

    from methods.torch_engine import use_threads
    from methods.torch_network import CompileUnavailableError

    use_threads(timing.n_threads)
    eager = [_torch(learned, batch) for batch in sizes]
    best = choose(eager)
    row.batch = sizes[best]
    if timing.torch_compile:
        try:
            start = time.perf_counter()
            compiled = _torch(learned, row.batch, compiled=True)
            seconds = time.perf_counter() - start
        except CompileUnavailableError as error:
            log.info("nn-torch runs without torch.compile: %s", error)
            return eager[best]
        if choose([eager[best], compiled]) == 1:
            row.isa, row.compile_seconds = "torch.compile", seconds
            return compiled
    return eager[best]
