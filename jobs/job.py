"""One job, a straight line: task -> train -> circuit -> prune, if asked for -> build and verify every form -> time -> record.

Runs in the process it is called in; jobs.isolation gives it one of its own.
"""

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from filelock import Timeout

from codegen.backends import Executable
from codegen.circuit import Circuit
from codegen.measure import WrongOutputError, pinned
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TWO_INPUT, lut_count, run
from codegen.timing_lock import BusyMachineError, stand_aside
from codegen.whole_file import write_whole
from jobs.config import JobConfig, TimingConfig, check
from jobs.events import Tell, silent
from jobs.forms import build_row, count, form_of
from jobs.proof import CircuitProof, OrdinaryProof, Proof, Proofs
from jobs.pruning import prune_stage
from jobs.sources import digest
from jobs.store import ROWS, STAGES, Folder, can_be_had_now, finished, job_folder, training_folder
from jobs.timing import same_choices, time_rows, timeable
from jobs.training import CIRCUIT, CURVE, Learned, train_stage
from methods import MethodError, UnsuitableError
from methods.checkpoint import CheckpointError
from methods.engine import EngineError
from methods.ordinary import Ordinary
from methods.train import DivergedError
from reports.environment import commit, environment, machine_id
from reports.record import Record, Row, Size
from tasks import TASKS, Task, TaskError


class StaleError(RuntimeError):
    """The sources are not those that the job was asked of."""


_EXPECTED_ERRORS = (
    TaskError, MethodError, EngineError, DivergedError, CheckpointError, BusyMachineError, WrongOutputError, StaleError,
)  # fmt: skip

log = logging.getLogger("gatebench")


@dataclass(frozen=True)
class Request:
    """A job as asked for: all that its process is given, plain values.

    config: resolved. command, choices: as in Record. source: the digest of the sources that key was made from.
    """

    config: dict[str, Any]
    key: str
    command: str
    choices: dict[str, str]
    source: str


def source() -> str:
    """The digest of all sources that decide what a job comes to."""
    return digest(__name__)


def run_job(request: Request, tell: Tell = silent) -> Record:
    """The record of the job, which is written whatever happens; that of an earlier run, if it needs no other.

    Raises KeyboardInterrupt after saving what training has reached. Other errors of the job are in the record.
    """
    config = check(request.config)
    folder = job_folder(request.config, request.key)
    with held(folder, tell, "another process that runs the same job"):
        earlier = finished(request.config, request.key)
        if earlier is not None:
            return earlier
        write_whole(folder.path / "config.yaml", yaml.safe_dump(request.config, sort_keys=False).encode())
        record = begun(request)
        tell("begun")
        log.info(request.command)
        try:
            if source() != request.source:
                raise StaleError("The sources were edited after this was started. Run the same command again.")
            _fill(record, config, folder, tell)
        except UnsuitableError as error:
            record.status, record.reason = "skipped", str(error)
        except _EXPECTED_ERRORS as error:
            record.status, record.reason = "failed", str(error)
        except KeyboardInterrupt as error:
            record.status, record.reason = "failed", f"Interrupted{f' {error}' if error.args else ''}."
            raise
        except (Exception, SystemExit) as error:
            record.status, record.reason = "failed", f"{type(error).__name__}: {error}"
            record.log = traceback.format_exc()
            log.exception("The job ended early.")
        finally:
            log.info("status %s", record.status)
            record.write(folder.path)
    return record


@contextmanager
def held(folder: Folder, tell: Tell, by: str) -> Iterator[None]:
    """Hold the folder's lock, after it was told for whom this waits, if it must."""
    lock = folder.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell("waiting", of=by)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def begun(request: Request) -> Record:
    """The record of a job of which nothing is known but what was asked for, and where."""
    facts = environment()
    head, dirty = commit()
    return Record(
        key=request.key,
        status="ok",
        method=request.config["method"]["name"],
        relaxation=request.config["method"]["relaxation"],
        task=request.config["task"]["name"],
        seed=request.config["seed"],
        config=request.config,
        environment=facts,
        machine=machine_id(facts),
        commit=head,
        dirty=dirty,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        choices=request.choices,
    )


def _fill(record: Record, config: JobConfig, folder: Folder, tell: Tell) -> None:
    redo = STAGES[STAGES.index(config.force) :] if config.force else ()
    task = TASKS[config.task.name].build(config.task)
    learned = _learned(record, config, task, folder, "train" in redo, tell)
    if isinstance(learned.network, Ordinary):
        proof: Proof = OrdinaryProof(task, learned)
        proofs = Proofs(proof, proof)
        names = [name for name in config.backend.names if name == "nn-torch"]
    else:
        assert learned.circuit is not None
        proof = CircuitProof(task, learned.circuit)
        names = config.backend.names
        pruned = _pruned(record, config, task, learned.circuit, folder.path, "compile" in redo, tell)
        of_circuit = proof if pruned is None else CircuitProof(task, pruned)
        proofs = Proofs(proof, of_circuit)
        record.size = _size(pruned or learned.circuit, of_circuit.netlist)
    record.item = proof.workload.item
    with pinned() if config.timing.n_threads == 1 else nullcontext():
        forms = _forms(record, config.timing, learned, proofs, names, folder.path, "compile" in redo, tell)
        if config.timing.enabled:
            few_items = partial(form_of, forms, learned)
            time_rows(record, proofs, forms, few_items, config.timing, tell)
    if any(row.status == "failed" for row in record.rows):
        record.status, record.reason = "failed", "A back end failed; its row says why."


def _learned(record: Record, config: JobConfig, task: Task, folder: Folder, redo: bool, tell: Tell) -> Learned:
    """The first stage, whose files the job's folder gets a copy of; but for the circuit where the job's own is a pruned one."""
    store = training_folder(record.config)
    record.trained_in = f"{store.path.parent.name}/{store.path.name}"
    origin = {"method": record.method, "task": record.task, "seed": str(record.seed), "key": store.path.name}
    with held(store, tell, "another job that has the same training"):
        learned = train_stage(config, task, store.path, origin, redo, tell)
        for name in (CURVE, CIRCUIT) if config.prune is None else (CURVE,):
            if store.path.joinpath(name).exists():
                write_whole(folder.path / name, store.path.joinpath(name).read_bytes())
    record.training = learned.training
    record.circuit_file = CIRCUIT if learned.circuit is not None else None
    return learned


def _pruned(
    record: Record, config: JobConfig, task: Task, circuit: Circuit, folder: Path, redo: bool, tell: Tell
) -> Circuit | None:
    """The stage between, in jobs that ask for it."""
    if config.prune is None:
        return None
    pruned, record.pruning = prune_stage(config.prune, task, circuit, config.seed, folder, redo, tell)
    return pruned


def _size(circuit: Circuit, whole: Netlist) -> Size:
    """whole: the circuit with its readout as gates."""
    logic, counted = (run(netlist, OPTIMISE_TWO_INPUT)[0].n_gates for netlist in (circuit.netlist, whole))
    return Size(logic, counted, lut_count(circuit.netlist, 4), lut_count(circuit.netlist, 6))


def _forms(
    record: Record, timing: TimingConfig, learned: Learned, proofs: Proofs, names: list[str], folder: Path, redo: bool, tell: Tell
) -> dict[str, Executable]:
    """The second stage: the rows of the record, built and verified, and what is to be timed.

    Rows that an earlier run of the job has verified are built again, which caches make quick, and not verified again, unless
    it lacked something that is there now.
    """
    known = folder / ROWS
    if redo:
        known.unlink(missing_ok=True)
    verified = [Row(**row) for row in json.loads(known.read_text())] if known.exists() else None
    if verified is not None and can_be_had_now(verified):
        verified = None
    forms: dict[str, Executable] = {}
    if verified is None:
        for name in names:
            row = Row(backend=name)
            record.rows.append(row)
            stand_aside()
            tell("building", backend=name)
            proof = proofs.of(name)
            form = build_row(row, learned, proof, timing, folder)
            if form is not None:
                tell("verifying", backend=name)
                proof.verify_row(row, form)
                count(row, proof, timing)
                forms[name] = form
        if all(row.status != "failed" for row in record.rows):  # else it is tried again
            write_whole(known, json.dumps([asdict(row) for row in record.rows]).encode())
        return forms
    record.rows = verified
    for row in verified if timing.enabled else ():
        if timeable(row):
            tell("building", backend=row.backend)
            form = build_row(replace(row), learned, proofs.of(row.backend), same_choices(timing, row), folder)
            if form is not None:
                forms[row.backend] = form
    return forms
