"""Two circuits, or two commits on one circuit, timed against each other in one process, interleaved."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from codegen.backends import BACKENDS, CompiledCircuit, on_library, second_copy
from codegen.circuit import Circuit
from codegen.lower_readout import lowered
from codegen.measure import check_outputs, noise_floor, pinned, ratio, time_arms, verdict
from codegen.timing_lock import alone
from codegen.toolchain import ToolchainError
from jobs.config import JobConfig, UsageError, check
from jobs.store import job_folder, job_key, training_folder
from jobs.timing import protocol
from jobs.training import CIRCUIT
from reports.environment import git
from reports.record import FILE, Record
from tasks import TASKS

# Run in the sources of a commit: build what its row c is, and say where the library is.
_BUILD = """
import json, sys
from codegen.backends import BACKENDS
from codegen.circuit import Circuit
from codegen.lower_readout import lowered
circuit = Circuit.load(sys.argv[1])
facts = BACKENDS["c"](lowered(circuit), float(sys.argv[2]), circuit.encoder).facts
print(json.dumps({"library": str(facts.library.path), "gates": facts.gates, "operators": facts.operators}))
"""


@dataclass(frozen=True, eq=False)
class _Side:
    """One of two: what it is called, what it computes with, and of how many gates and bitwise operators a word."""

    name: str
    circuit: Circuit
    form: CompiledCircuit
    gates: int
    operators: int


def compare(config: dict[str, Any], first: str, second: str) -> Table:
    """A table of both and their ratio. Each is the beginning of a job's key in the runs folder, or a commit.

    Commits compile the circuit of the job that config describes, which must have been trained. Raises UsageError.
    """
    job = check(config)
    runs = Path(config["runs_dir"])
    with tempfile.TemporaryDirectory() as folder:
        sides = [_side(one, config, job, runs, Path(folder)) for one in (first, second)]
        return _timed(sides, job, Path(folder))


def _side(name: str, config: dict[str, Any], job: JobConfig, runs: Path, folder: Path) -> _Side:
    jobs = [path for path in sorted(runs.glob(f"{name}*/{FILE}")) if (path.parent / CIRCUIT).exists()]
    if len(jobs) > 1:
        raise UsageError(f"{name} is the beginning of several keys: {', '.join(path.parent.name for path in jobs)}.")
    if jobs:
        record = Record.read(jobs[0])
        if record.config["task"] != config["task"]:
            raise UsageError(
                f"{record.key} is of another task than this command line: give its settings, such as task={record.task}."
            )
        circuit = Circuit.load(jobs[0].parent / CIRCUIT)
        form = _compiled(circuit, job)
        return _Side(record.key, circuit, form, form.facts.gates or 0, form.facts.operators or 0)
    commit = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit is None:
        raise UsageError(f"{name} is neither the beginning of a job's key in {runs}, nor a commit.")
    folder_of = training_folder(config) if job.prune is None else job_folder(config, job_key(config))
    path = folder_of.path / CIRCUIT
    if not path.exists():
        raise UsageError("To compare commits a trained circuit is needed: run this job first, with timing=none if you like.")
    circuit = Circuit.load(path)
    built = _built_by(commit, path, job.timing.compile_seconds, folder)
    try:
        form = on_library(_compiled(circuit, job), Path(built["library"]))
    except AttributeError as error:
        raise UsageError(f"The library that {name} makes cannot be called from these sources: {error}.") from error
    return _Side(f"{name} ({commit[:10]})", circuit, form, built["gates"], built["operators"])


def _compiled(circuit: Circuit, job: JobConfig) -> CompiledCircuit:
    try:
        form = BACKENDS["c"](lowered(circuit), job.timing.compile_seconds, circuit.encoder)
    except ToolchainError as error:
        raise UsageError(str(error)) from error
    assert isinstance(form, CompiledCircuit)
    return form


def _built_by(commit: str, circuit: Path, seconds: float, folder: Path) -> dict[str, Any]:
    """What the sources of a commit make of a circuit file, in a work tree and a process of their own."""
    tree = folder / commit
    if not tree.exists() and git("worktree", "add", "--detach", str(tree), commit) is None:
        raise UsageError(f"git cannot check out {commit}.")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, str(circuit), str(seconds)],
            cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        git("worktree", "remove", "--force", str(tree))
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"The sources of {commit[:10]} cannot compile this circuit: {last}")
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def _timed(sides: list[_Side], job: JobConfig, folder: Path) -> Table:
    task = TASKS[job.task.name].build(job.task)
    timing = job.timing
    with pinned(), alone(timing.load_limit, timing.patience_seconds, timing.force) as quiet:
        works = [task.workload(side.circuit) for side in sides]
        arms = {str(i): work.start(side.form) for i, (work, side) in enumerate(zip(works, sides, strict=True))}
        arms["again"] = works[0].start(second_copy(sides[0].form, folder))
        timed = time_arms(arms, protocol(timing), np.random.default_rng(0))
        check_outputs(arms)
    floor = noise_floor(timed.samples["0"], timed.samples["again"])
    found = ratio(timed.samples["0"], timed.samples["1"])
    item = works[0].item
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold")
    for name in ("gates", "operators", f"ns/{item}", "× first", "95 %", "is"):
        table.add_column(name, justify="right", no_wrap=True)
    for i, side in enumerate(sides):
        ns = np.median(timed.samples[str(i)].ns) / works[i].n_items
        compared = (f"{found.estimate:.3f}", f"{found.low:.3f}-{found.high:.3f}", verdict(found, floor)) if i else ("1", "", "")
        table.add_row(side.name, f"{side.gates:,}", f"{side.operators:,}", f"{ns:.4g}", *compared)
    stamp = f" Other work kept {quiet.load:.2f} cores busy." if quiet.forced else ""
    disturbed = f"{timed.n_flagged} of {len(timed.blocks)} blocks were disturbed"
    table.caption = f"A second copy of the first differs by up to {floor:.1%}; {disturbed}.{stamp}"
    return table
