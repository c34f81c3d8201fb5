"""The stage between training and forms that a job may have: the learned circuit pruned with data, and what is said of that."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from codegen.budget import Budget
from codegen.circuit import Circuit
from codegen.prune import Labelled, Pruned, prune
from codegen.readout import to_binary
from codegen.timing_lock import stand_aside
from codegen.whole_file import write_whole
from jobs.events import Tell
from jobs.training import CIRCUIT
from reports.record import Pruning
from tasks import Task
from tasks.base import Split

_SUMMARY = "pruning.json"  # written last: where it is, the circuit beside it is pruned


def prune_stage(
    budget: Budget, task: Task, circuit: Circuit, seed: int, folder: Path, redo: bool, tell: Tell
) -> tuple[Circuit, Pruning]:
    """The pruned circuit and what was done, in the job's folder: read if they are there, else made. Networks are pruned with the
    task's training and validation items; those of the test are only scored."""
    summary = folder / _SUMMARY
    if redo:
        summary.unlink(missing_ok=True)
    if summary.exists():
        return Circuit.load(folder / CIRCUIT), Pruning(**json.loads(summary.read_text()))

    def between(gates: int, accuracy: float) -> None:
        stand_aside()
        tell("pruning", gates=gates, accuracy=accuracy)

    def labelled(split: Split) -> Labelled:
        answers = to_binary(np.argmax(split.target, axis=1).astype(np.int32), task.n_outputs) if task.classes else split.target
        return Labelled(circuit.bits(split.raw), answers)

    start = time.perf_counter()
    pruned = prune(circuit, labelled(task.train), labelled(task.validation), budget, seed, between)
    said = _said(pruned, task, circuit, time.perf_counter() - start)
    pruned.circuit.save(folder / CIRCUIT)
    write_whole(summary, json.dumps(asdict(said), indent=1).encode())
    return pruned.circuit, said


def _said(pruned: Pruned, task: Task, unpruned: Circuit, seconds: float) -> Pruning:
    before, after = (task.score(one.answers(one.bits(task.test.raw)), task.test) for one in (unpruned, pruned.circuit))
    return Pruning(
        budget=str(pruned.budget),
        reached=pruned.reached,
        reason=pruned.reason,
        gates_before=pruned.gates_before,
        gates_after=pruned.gates_after,
        validation_before=pruned.accuracy_before,
        validation_after=pruned.accuracy_after,
        training_agreement=pruned.agreement,
        accuracy_before=before,
        accuracy_after=after,
        seconds=seconds,
        steps=[asdict(step) for step in pruned.steps],
    )
