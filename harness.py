"""Train a logic-gate network, compile it, prove every form equal and time them: `python harness.py method=dlgn task=life`.

The only file that imports hydra, and the only one that knows tasks, methods, codegen and reports at once. A job is a
straight line: task -> train -> circuit -> build and verify every back end -> time -> record.
"""

import csv
import difflib
import hashlib
import json
import logging
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import hydra
import numpy as np
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from codegen.backends import BACKENDS, CircuitExecutable, CompiledCircuit, Executable, HandWritten, second_copy
from codegen.circuit import Circuit
from codegen.encoder import Encoder
from codegen.equivalence import compare
from codegen.lower_readout import lowered
from codegen.measure import Protocol, Samples, check_outputs, pinned, quickest, ratio, time_arms
from codegen.passes import lut_count
from codegen.toolchain import CompileTimeoutError, NoCompilerError, ToolchainError
from methods import ENGINES, METHODS, MethodError, Problem, UnsuitableError, thresholds
from methods.boards import unrolled
from methods.checkpoint import CheckpointError
from methods.engine import Engine, EngineConfig, EngineError, build_engine
from methods.network import Model, Network, Parameters, discretise
from methods.ordinary import Ordinary
from methods.readings import gate_types
from methods.readout import right
from methods.train import DivergedError, Evaluation, Items, TrainConfig, train
from methods.train import Progress as Trained
from reports.environment import commit, environment, machine_id
from reports.leaderboard import job_tables, notes
from reports.record import Record, Row, Training
from reports.sweep import sweep_table
from tasks import TASKS, Task, TaskError, Workload

ROOT = Path(__file__).resolve().parent
CONF = ROOT / "conf"
# The neural-network rows are built by the engines, the hand-written one from the task's C, the others from the circuit.
NETWORK_BACKENDS = ("nn-torch", "nn-jax")
ALL_BACKENDS = (*NETWORK_BACKENDS, *BACKENDS, "reference")
# Not in the key of a job: they change where it runs, not what comes out.
_NOT_IN_KEY = ("runs_dir", "threads")
_EXPECTED_ERRORS = (TaskError, MethodError, EngineError, DivergedError, CheckpointError)

console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
log = logging.getLogger("gatebench")
OmegaConf.register_new_resolver("project_root", lambda: str(ROOT), replace=True)

_failures: list[str] = []  # keys of jobs of this process that did not end ok or skipped
_records: list[Record] = []  # of this process's jobs


Tables = NDArray[np.uint64]  # (param,), the truth tables that a network discretises to
Bits = NDArray[np.bool_]


class UsageError(ValueError):
    """What the user asked for cannot be done; the message says what to change."""


# ---------------------------------------------------------------------------------------------------------- configuration


@dataclass(frozen=True)
class BackendConfig:
    """names: of ALL_BACKENDS, in the order of the table."""

    names: list[str]


@dataclass(frozen=True)
class TimingConfig:
    """conf/timing/default.yaml: see there, and codegen.measure.Protocol."""

    enabled: bool
    blocks: Annotated[int, Field(ge=2)]
    sample_seconds: Annotated[float, Field(gt=0)]
    warmup_seconds: Annotated[float, Field(ge=0)]
    run_seconds: Annotated[float, Field(gt=0)]
    compile_seconds: Annotated[float, Field(gt=0)]
    batches: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    torch_compile: bool


@dataclass(frozen=True)
class JobConfig:
    """A job's settings with their types and ranges; method and task are of the dataclasses that their registries name."""

    seed: Annotated[int, Field(ge=0)]
    threads: Annotated[int, Field(ge=1)] | None
    runs_dir: str
    engine: str
    method: Any
    task: Any
    backend: BackendConfig
    timing: TimingConfig
    train: TrainConfig


def check(config: dict[str, Any]) -> JobConfig:
    """The resolved configuration with every type and range checked. Raises UsageError that names the setting."""
    try:
        job: JobConfig = TypeAdapter(JobConfig).validate_python({**config, "experiment": None})
    except ValidationError as error:
        raise UsageError(_settings_at_fault(error)) from error
    parts: dict[str, Any] = {}
    for group, kind in (("method", METHODS[job.method["name"]]), ("task", TASKS[job.task["name"]])):
        try:
            parts[group] = TypeAdapter(kind.config).validate_python(getattr(job, group))
        except ValidationError as error:
            raise UsageError(_settings_at_fault(error, f"{group}.")) from error
    return replace(job, **parts)


def _settings_at_fault(error: ValidationError, prefix: str = "") -> str:
    said = []
    for fault in error.errors():
        if fault["type"] == "value_error":  # ours, which name the setting themselves
            said.append(str(fault["ctx"]["error"]))
        else:
            setting = prefix + ".".join(map(str, fault["loc"]))
            said.append(f"{setting}={fault['input']}: {fault['msg'][0].lower()}{fault['msg'][1:]}.")
    return " ".join(said)


def n_threads(config: JobConfig) -> int:
    """Threads to train with: as asked for, else one for each core that this process may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return config.threads or available or 1


# ---------------------------------------------------------------------------------------------------------------- the job


def run_job(config: dict[str, Any], command: str, choices: dict[str, str]) -> Record:
    """One job from its resolved configuration to its record, which is written whatever happens.

    choices: what was set for this job, as written (Record.choices).

    Raises KeyboardInterrupt after saving what training has reached. Other errors of the job are in the record.
    """
    checked = check(config)
    key = job_key(config)
    folder = prepare_folder(Path(config["runs_dir"]), key)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    facts = environment()
    head, dirty = commit()
    record = Record(
        key=key,
        status="ok",
        method=config["method"]["name"],
        relaxation=config["method"]["relaxation"],
        task=config["task"]["name"],
        seed=config["seed"],
        config=config,
        environment=facts,
        machine=machine_id(facts),
        commit=head,
        dirty=dirty,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        choices=choices,
    )
    handler = logging.FileHandler(folder / "log.txt", mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info(command)
    try:
        _fill(record, checked, folder)
    except UnsuitableError as error:
        record.status, record.reason = "skipped", str(error)
    except _EXPECTED_ERRORS as error:
        record.status, record.reason = "failed", str(error)
    except KeyboardInterrupt:
        record.status, record.reason = "failed", "Interrupted."
        raise
    except BaseException as error:
        record.status, record.reason = "failed", f"{type(error).__name__}: {error}"
        log.exception("The job ended early.")
        raise
    finally:
        for note in notes(record):
            log.info(note)
        log.info("status %s", record.status)
        record.write(folder)
        log.removeHandler(handler)
        handler.close()
    if record.status == "ok":
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return record


CHECKPOINT = "checkpoint.safetensors"


def _fill(record: Record, config: JobConfig, folder: Path) -> None:
    task = TASKS[config.task.name].build(config.task)
    engine, network, trained = train_network(config, task, folder)
    if isinstance(network, Ordinary):
        proof: Proof = OrdinaryProof(task, network, trained.best_parameters)
        circuit = None
        learned: Tables | Parameters = trained.best_parameters
        names = [name for name in config.backend.names if name == "nn-torch"]
    else:
        assert isinstance(network, Network)
        assert trained.best_tables is not None
        circuit = learned_circuit(record, network, trained, task)
        circuit.save(folder / "circuit.safetensors")
        record.circuit_file = "circuit.safetensors"
        proof = CircuitProof(task, circuit)
        learned = trained.best_tables
        names = config.backend.names
    record.item = proof.workload.item
    record.training = summarise(config, task, engine, network, trained, circuit)
    write_curve(trained.curve, folder / "curve.csv")

    forms: dict[str, Executable] = {}
    with pinned():
        for name in names:
            row = Row(backend=name)
            record.rows.append(row)
            with status(f"building {name}"):
                form = build_row(row, task, network, learned, proof, config.timing, folder)
            if form is not None:
                with status(f"verifying {name}"):
                    proof.verify_row(row, form)
                forms[name] = form
        if config.timing.enabled:
            time_rows(record, proof.workload, forms, config.timing)
    if any(row.status == "failed" for row in record.rows):
        record.status, record.reason = "failed", "A back end failed; its row says why."


def job_key(config: dict[str, Any]) -> str:
    """The job's name: a hash of what decides its result, the configuration and the source that computes it."""
    decisive = {name: value for name, value in config.items() if name not in _NOT_IN_KEY}
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for folder in ("tasks", "methods", "codegen"):
        for path in sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.c")]):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{config['method']['name']}-{config['task']['name']}-s{config['seed']}-{digest.hexdigest()[:10]}"


def prepare_folder(runs: Path, key: str) -> Path:
    """Make runs/key and be sure that it can be written, before any work is spent. Raises UsageError."""
    folder = runs / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UsageError(f"The runs folder {runs} cannot be written ({error}). Name another with runs_dir=DIR.") from error


# --------------------------------------------------------------------------------------------------------------- training


def train_network(config: JobConfig, task: Task, folder: Path) -> tuple[Engine, Model, Trained]:
    """Build the method's network from the seed and train it on the task, with a progress bar on a terminal."""
    method = METHODS[config.method.name]
    rng = np.random.default_rng(config.seed)
    network, parameters = method.build(config.method, task.train.inputs, Problem(task.n_outputs, task.classes, task.places), rng)
    settings = EngineConfig(config.engine, n_threads(config), config.train.kernels, config.train.device)
    items = Items(task.train.inputs, task.train.target)
    trained_on = None
    if task.boards is not None:
        if not isinstance(network, Network):
            raise UnsuitableError(f"method={config.method.name} does not train on boards. Set task.boards=null.")
        trained_on = unrolled(network, task.boards.height, task.boards.width, task.boards.steps)
        items = Items(task.boards.split.inputs, task.boards.split.target)
    engine = build_engine(
        settings, network, parameters, config.train.optimiser, items.inputs, items.target, config.seed, trained_on
    )
    columns = (
        TextColumn("step {task.completed}/{task.total}"),
        BarColumn(bar_width=None),
        TextColumn("loss {task.fields[loss]:.4f} soft {task.fields[soft]:.2%} hard {task.fields[hard]:.2%}"),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, expand=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task("", total=config.train.max_steps, loss=float("nan"), soft=0.0, hard=0.0, rate=0.0)

        def show(reading: Evaluation) -> None:
            bar.update(
                shown,
                completed=reading.step,
                loss=reading.loss,
                soft=reading.soft_accuracy,
                hard=reading.hard_accuracy,
                rate=reading.steps_per_second,
            )

        validation = Items(task.validation.inputs, task.validation.target)
        trained = train(engine, network, items, validation, config.train, config.seed, folder / CHECKPOINT, show)
    return engine, network, trained


def learned_circuit(record: Record, network: Network, trained: Trained, task: Task) -> Circuit:
    """What the network has become, with its encoder: the task's, or of the thresholds that it trained."""
    assert trained.best_tables is not None
    encoder = task.encoder
    if network.thresholds is not None:
        omega = thresholds.values(np, trained.best_parameters["thresholds"])
        n_features, n_bits = omega.shape
        encoder = Encoder(n_features, np.repeat(np.arange(n_features), n_bits), omega.ravel())
    origin = {"method": record.method, "task": record.task, "seed": str(record.seed), "key": record.key}
    return Circuit(discretise(network, trained.best_tables), origin, encoder, network.readout)


def summarise(
    config: JobConfig, task: Task, engine: Engine, network: Model, trained: Trained, circuit: Circuit | None
) -> Training:
    """circuit: what the network has become, None if it is an ordinary one."""
    best = trained.best
    assert best is not None
    engine.load_state({**engine.state(), **trained.best_parameters})
    soft = float(right(network.readout, engine.soft(task.test.inputs), task.test.target).mean())
    exact = trained.exact_since
    batch = config.train.batch_size or len(task.train.target)
    if task.boards is not None:  # the network is evaluated at each cell
        n_boards, n_cells = task.boards.split.target.shape
        batch = min(config.train.batch_size or n_boards, n_boards) * n_cells * task.boards.steps
    steps_per_second = float(np.median([reading.steps_per_second for reading in trained.curve])) if trained.step else None
    training = Training(
        engine=config.engine,
        threads=n_threads(config),
        parameters=sum(value.size for value in trained.best_parameters.values()),
        steps=trained.step,
        seconds=trained.seconds,
        compile_seconds=trained.compile_seconds,
        steps_to_exact=exact.step if exact else None,
        seconds_to_exact=exact.seconds if exact else None,
        loss=None if np.isnan(best.loss) else best.loss,
        soft_accuracy=soft,
        validation_accuracy=best.hard_accuracy,
        first_gradient=_first_finite([reading.first_gradient for reading in trained.curve]),
        last_gradient=_first_finite([reading.last_gradient for reading in trained.curve]),
        steps_per_second=steps_per_second,
    )
    if circuit is None:
        return training
    assert isinstance(network, Network)
    assert trained.best_tables is not None
    hard = task.score(circuit.answers(circuit.bits(task.test.raw)), task.test)
    return replace(
        training,
        gates_learned=network.n_gates,
        hard_accuracy=hard,
        gap=soft - hard,
        undecided=best.undecided,
        entropy=best.entropy,
        gate_evaluations_per_second=steps_per_second * network.n_gates * batch if steps_per_second else None,
        gate_types=gate_types(network, trained.best_tables),
        luts4=lut_count(circuit.netlist, 4),
        luts6=lut_count(circuit.netlist, 6),
    )


def _first_finite(values: list[float]) -> float | None:
    return next((value for value in values if np.isfinite(value)), None)


def write_curve(curve: list[Evaluation], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*Evaluation.__dataclass_fields__, "gap"])
        writer.writeheader()
        for reading in curve:
            values = {**asdict(reading), "gap": reading.gap}
            writer.writerow({name: "" if np.isnan(value) else value for name, value in values.items()})


# ---------------------------------------------------------------------------------------------------- building and proving


def build_row(
    row: Row, task: Task, network: Model, learned: Tables | Parameters, proof: "Proof", timing: TimingConfig, folder: Path
) -> Executable | None:
    """Build the row's back end and fill in what it is. None, with the reason in the row, if it cannot be had here."""
    try:
        if row.backend in NETWORK_BACKENDS:
            return build_network(row, proof.workload, network, learned, timing)
        if row.backend == "reference":
            functions = task.reference_source()
            if functions is None:
                row.status, row.reason = "skipped", f"Task {task.name} has no hand-written form."
                return None
            form: CircuitExecutable = HandWritten(functions, timing.compile_seconds)
        else:
            assert isinstance(proof, CircuitProof)
            form = BACKENDS[row.backend](proof.netlist, timing.compile_seconds, proof.encoder)
    except NoCompilerError as error:
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
        (folder / row.source_file).write_text(facts.source)
    return form


def build_network(row: Row, workload: Workload, network: Model, learned: Tables | Parameters, timing: TimingConfig) -> Executable:
    """The trained network in a framework at the fastest of the batch sizes, compiled by the framework if that is faster."""
    if isinstance(network, Network):
        row.gates, row.depth = network.n_gates, len(network.layers)
    row.isa = row.backend.removeprefix("nn-")
    sizes = sorted({min(batch, workload.n_items) for batch in timing.batches})
    tried = workload.part(sizes[-1])

    def choose(forms: Sequence[Executable]) -> int:
        return quickest([tried.start(form) for form in forms])

    if row.backend == "nn-jax":
        from methods.jax_network import JaxNetwork

        assert isinstance(network, Network)
        assert isinstance(learned, np.ndarray)
        jitted = [JaxNetwork(network, learned, batch) for batch in sizes]
        best = choose(jitted)
        row.batch = sizes[best]
        return jitted[best]

    from methods import torch_network
    from methods.torch_engine import use_threads

    use_threads(1)
    eager = [torch_network.TorchNetwork(network, learned, batch) for batch in sizes]
    best = choose(eager)
    row.batch = sizes[best]
    if timing.torch_compile:
        try:
            start = time.perf_counter()
            compiled = torch_network.compiled(network, learned, row.batch)
            seconds = time.perf_counter() - start
        except torch_network.CompileUnavailableError as error:
            log.info("nn-torch runs without torch.compile: %s", error)
            return eager[best]
        if choose([eager[best], compiled]) == 1:
            row.isa, row.compile_seconds = "torch.compile", seconds
            return compiled
    return eager[best]


class CircuitProof:
    """Every form of a circuit must agree with its oracle on inputs, and with the task's on the work that is timed."""

    def __init__(self, task: Task, circuit: Circuit) -> None:
        self._task = task
        self.workload = task.workload(circuit)
        self.encoder = circuit.encoder
        self.netlist = lowered(circuit)
        self._test_bits = circuit.bits(task.test.raw)
        # The oracle is the slowest form there is, and every other one is asked for the same items.
        self._oracle = remembered(circuit.answers)

    def verify_row(self, row: Row, form: Executable) -> None:
        """Fill in the row's accuracy on the test split, and what it was checked on."""
        row.compiled_accuracy = self._task.score(form.evaluate(self._test_bits), self._task.test)
        agreement = (
            compare(self._oracle, form.evaluate, self.netlist.n_inputs, items=self._test_bits)
            if row.backend != "reference"
            else None
        )
        outcome = self.workload.verify(form, quick=row.backend in (*NETWORK_BACKENDS, "numpy"))
        row.items_checked = outcome.items_checked + (agreement.items_checked if agreement else 0)
        row.exact = outcome.exact and (agreement is None or agreement.equal)
        if agreement is not None and not agreement.equal:
            row.status = "failed"
            row.reason = (
                f"Disagrees with the circuit's oracle on {agreement.items_checked - agreement.items_equal} of"
                f" {agreement.items_checked} inputs, first {agreement.counterexample}: a defect of this back end. Not timed."
            )
        elif not outcome.exact:
            row.reason = (
                f"Computes what was learned, but that is wrong on {outcome.items_checked - outcome.items_equal} of"
                f" {outcome.items_checked} {self.workload.item}s, first {outcome.where}. Not timed."
            )


class OrdinaryProof:
    """The form of an ordinary network is scored: there is no circuit that it must agree with, and `exact` stays empty."""

    def __init__(self, task: Task, network: Ordinary, learned: Parameters) -> None:
        from methods.torch_network import TorchNetwork

        self._task = task
        self._network = TorchNetwork(network, learned, batch=1024)
        self.encoder = task.encoder
        self.workload = task.workload(self)

    def bits(self, features: NDArray[Any]) -> NDArray[Any]:
        """What the network reads of items: their numbers, or the bits that the task makes of them."""
        return features if self.encoder is None else self.encoder.encode(features)

    def answers(self, bits: NDArray[Any]) -> Bits:
        return self._network.evaluate(bits)

    def verify_row(self, row: Row, form: Executable) -> None:
        """Fill in the row's accuracy on the test split."""
        row.compiled_accuracy = self._task.score(form.evaluate(self._task.test.inputs), self._task.test)
        row.items_checked = len(self._task.test.inputs)


Proof = CircuitProof | OrdinaryProof


def remembered(evaluate: Callable[[Bits], Bits]) -> Callable[[Bits], Bits]:
    """The same function, which does not evaluate the same items twice."""
    known: dict[tuple[Any, ...], Bits] = {}

    def recall(bits: Bits) -> Bits:
        key = (bits.shape, hashlib.sha256(bits.tobytes()).digest())
        if key not in known:
            known[key] = evaluate(bits)
        return known[key]

    return recall


# ----------------------------------------------------------------------------------------------------------------- timing


def time_rows(record: Record, workload: Workload, forms: dict[str, Executable], timing: TimingConfig) -> None:
    """Time every row that is not wrong, interleaved, and fill in times and ratios to the fastest neural-network row."""
    protocol = Protocol(timing.blocks, timing.sample_seconds, timing.warmup_seconds)
    rows = {row.backend: row for row in record.rows if row.exact is not False and row.status == "ok"}
    works = {name: fitting(workload, forms[name], row.batch or 1, timing.run_seconds) for name, row in rows.items()}
    arms = {name: works[name].start(forms[name]) for name in rows}
    rng = np.random.default_rng(record.seed)
    with tempfile.TemporaryDirectory() as folder, status(f"timing {', '.join(arms)}"):
        compiled = forms.get("c")
        if "c" in rows and isinstance(compiled, CompiledCircuit):
            works["c again"] = works["c"]
            arms["c again"] = works["c"].start(second_copy(compiled, Path(folder)))
        samples = {name: one.of(works[name].n_items) for name, one in time_arms(arms, protocol, rng).samples.items()}
        few = Protocol(max(2, timing.blocks // 4), timing.sample_seconds, 0.0)
        whole_arms = {name: works[name].whole(forms[name]) for name in rows}
        whole = time_arms(whole_arms, few, rng).samples
        if all(row.exact for row in rows.values()):  # there is an oracle
            check_outputs({**arms, **{f"{name} from arrays": arm for name, arm in whole_arms.items()}})
    baseline = min((samples[name] for name in rows if name in NETWORK_BACKENDS), key=_median_ns, default=None)
    for name, row in rows.items():
        ns = samples[name].ns
        row.ns_samples, row.loops, row.items_timed = ns.tolist(), samples[name].loops, works[name].n_items
        row.ns_per_item, row.ns_per_item_min = float(np.median(ns)), float(ns.min())
        row.end_to_end_ns_per_item = _median_ns(whole[name]) / works[name].n_items
        if baseline is not None:
            speed_up = ratio(baseline, samples[name])
            row.ratio, row.ratio_low, row.ratio_high = speed_up.estimate, speed_up.low, speed_up.high
    if "c again" in samples:
        same = ratio(samples["c"], samples["c again"])
        record.noise_floor = max(abs(same.low - 1), abs(same.high - 1))


_TRIED_ITEMS = 1024  # more than a word of any back end, which costs the same however few of its lanes are used


def fitting(workload: Workload, form: Executable, batch: int, seconds: float) -> Workload:
    """The first items of the work that the form does in about so many seconds, in whole batches of its own, at least one."""
    tried = workload.part(max(batch, _TRIED_ITEMS))
    run = tried.start(form)
    run(1)
    start = time.perf_counter()
    run(1)
    n_items = int(seconds / (time.perf_counter() - start) * tried.n_items)
    return workload if n_items >= workload.n_items else workload.part(max(1, n_items // batch) * batch)


def _median_ns(samples: Samples) -> float:
    return float(np.median(samples.ns))


# ------------------------------------------------------------------------------------------------------- the command line


def status(text: str) -> AbstractContextManager[object]:
    """A spinner on a terminal, nothing elsewhere. It stops refreshing while the main thread is busy in C."""
    return console.status(text) if console.is_terminal else nullcontext()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def hydra_main(composed: DictConfig) -> None:
    command = shlex.join(["python", "harness.py", *sys.argv[1:]])
    try:
        config = resolve(composed)
        overrides = [line.split("=", 1) for line in HydraConfig.get().overrides.task]
        record = run_job(config, command, {name.lstrip("+"): value for name, value in overrides if not name.startswith("~")})
    except KeyboardInterrupt:
        console.print("Interrupted. What was trained is kept: the same command continues from there.")
        sys.exit(130)
    except UsageError as error:
        Console(stderr=True, highlight=False).print(f"[red]{error}[/]", soft_wrap=True)
        _failures.append("usage")
        return
    show(record, Path(config["runs_dir"]) / record.key)
    _records.append(record)
    if record.status not in ("ok", "skipped"):
        _failures.append(record.key)


def compose(overrides: list[str]) -> dict[str, Any]:
    """The resolved configuration of one job, as hydra will make it from these overrides."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(hydra.compose("config", overrides=overrides))


def resolve(composed: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, with the runs folder absolute."""
    config: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
    config["runs_dir"] = str(Path(config["runs_dir"]).expanduser().absolute())
    return config


def show(record: Record, folder: Path) -> None:
    """The job's tables, why rows are missing, and where its files are."""
    for table in job_tables(record):
        console.print(table)
    for note in notes(record):
        console.print(f"  {note}", soft_wrap=True, markup=False)
    exact = record.training is not None and record.training.hard_accuracy == 1.0
    console.print(f"status {record.status}{', exact' if exact else ''}", style="green" if record.status == "ok" else "red")
    for name in ("record.json", record.circuit_file, *(row.source_file for row in record.rows if row.backend == "c")):
        if name:
            console.print(f"  {folder / name}", soft_wrap=True)


# Hydra's, such as --cfg job: what follows them is no override.
_OPTIONS_WITH_A_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i", "--config-name", "-cn", "--config-dir", "-cd")


def check_arguments(arguments: list[str]) -> None:
    """Compose every job that the command line asks for, so that mistakes are told in one line and before any work.

    Raises UsageError.
    """
    values_of_options = {i + 1 for i, argument in enumerate(arguments) if argument in _OPTIONS_WITH_A_VALUE}
    overrides = [argument for i, argument in enumerate(arguments) if not argument.startswith("-") and i not in values_of_options]
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    groups = {group: _names(CONF / group) for group in ("method", "task", "backend", "timing", "experiment")}
    settings: list[list[str]] = []  # for each override, the forms that it takes in the jobs of a sweep
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        for override in parsed:
            if override.key_or_group == "experiment" and (CONF / "experiment" / f"{override.value()}.yaml").exists():
                swept = _swept(str(override.value()))
                multirun = multirun or bool(swept)
                given = {one.key_or_group for one in parsed}
                parsed += [one for one in OverridesParser.create().parse_overrides(swept) if one.key_or_group not in given]
        for override in parsed:
            if not override.is_hydra_override():
                settings.append(_forms(override, groups.get(override.key_or_group, []), multirun))
                if override.key_or_group in groups:
                    for form in settings[-1]:
                        _check_name(override.key_or_group, form.split("=", 1)[1], groups[override.key_or_group])
    except HydraException as error:
        raise UsageError(f"{_first_line(error)} Overrides are written name=value; quote special characters.") from error
    # Each form once beside the first forms of the others: every value is seen without composing the whole product.
    first = [forms[0] for forms in settings]
    jobs = [first] + [[*first[:i], form, *first[i + 1 :]] for i, forms in enumerate(settings) for form in forms[1:]]
    for job in jobs:
        try:
            _check_job(job)
        except UnsuitableError as error:
            if not multirun:
                raise UsageError(str(error)) from error


def _swept(experiment: str) -> list[str]:
    """What an experiment varies by itself, as overrides."""
    settings = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text())
    params = settings.get("hydra", {}).get("sweeper", {}).get("params", {})
    return [f"{name}={values}" for name, values in params.items()]


def _forms(override: Override, group: list[str], multirun: bool) -> list[str]:
    """The override as each job of the sweep sees it; a range stands for all of its values by the first."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not multirun:
        raise UsageError(f"{override.input_line} names several values: add -m to run a job for each.")
    key = override.get_key_element()
    if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        names = cast(Glob, override.value()).filter(group)
        if not names:
            raise UsageError(f"No {key} matches {override.input_line}. Choices: {', '.join(group)}.")
        return [f"{key}={name}" for name in names]
    values = [f"{key}={one}" for one in override.sweep_string_iterator()]
    return values[:1] if override.is_range_sweep() else values


def _check_job(overrides: list[str]) -> None:
    """Raises UsageError; and UnsuitableError for a pair of method and task that a sweep skips."""
    try:
        config = compose(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(_explain(error, overrides)) from error
    checked = check(config)
    for name in checked.backend.names:
        _check_name("backend.names", name, list(ALL_BACKENDS))
    _check_name("engine", checked.engine, list(ENGINES))
    try:
        task = TASKS[checked.task.name].build(checked.task)
        problem = Problem(task.n_outputs, task.classes, task.places)
        METHODS[checked.method.name].build(checked.method, task.train.inputs, problem, np.random.default_rng(checked.seed))
    except UnsuitableError:
        raise
    except (TaskError, MethodError) as error:
        raise UsageError(str(error)) from error
    prepare_folder(Path(config["runs_dir"]), ".")


def _names(group: Path) -> list[str]:
    return sorted(path.stem for path in group.glob("*.yaml"))


def _check_name(group: str, name: str, known: list[str]) -> None:
    if name in known or name == "null":
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"There is no {group}={name}.{guess} Choices: {', '.join(known)}.")


def _explain(error: Exception, overrides: list[str]) -> str:
    """Hydra's first line, and for an unknown setting the near ones."""
    message = _first_line(error)
    known = _paths(compose([]))
    for line in overrides:
        name = line.split("=")[0].lstrip("+~")
        if name not in known and f"'{name}'" in message:
            near = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.6)
            return f"There is no setting {name}.{f' Did you mean {_or(near)}?' if near else ''} All are shown by --cfg job."
    return message


def _or(names: list[str]) -> str:
    return " or ".join(names)


def _paths(config: Any, prefix: str = "") -> list[str]:
    if not isinstance(config, dict):
        return [prefix.rstrip(".")]
    return [path for name, value in config.items() for path in [f"{prefix}{name}", *_paths(value, f"{prefix}{name}.")]]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def main() -> None:
    try:
        check_arguments(sys.argv[1:])
    except UsageError as error:
        Console(stderr=True, highlight=False).print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(2)
    hydra_main()
    if len(_records) > 1:
        console.print(sweep_table(_records))
    sys.exit(1 if _failures else 0)


if __name__ == "__main__":
    main()
