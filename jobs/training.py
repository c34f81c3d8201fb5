"""The first stage of a job: a task and a method to what the network has become, and what is said of its training."""

import csv
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from codegen.circuit import Circuit
from codegen.encoder import Encoder
from codegen.timing_lock import stand_aside
from codegen.whole_file import write_whole
from jobs.config import JobConfig, n_threads
from jobs.events import Tell
from methods import METHODS, Problem, UnsuitableError, thresholds
from methods.boards import unrolled
from methods.engine import Engine, EngineConfig, build_engine
from methods.network import Model, Network, Parameters, discretise, wired
from methods.readings import gate_types
from methods.readout import right
from methods.train import Evaluation, Items, Progress, Start, train
from reports.record import Training
from tasks import Task

_CHECKPOINT = "checkpoint.safetensors"
CIRCUIT = "circuit.safetensors"
CURVE = "curve.csv"
_LEARNED = "learned.safetensors"
_SUMMARY = "training.json"  # written last: where it is, the training is whole

Tables = NDArray[np.uint64]  # (param,), the truth tables that a network discretises to


@dataclass(frozen=True, eq=False)
class Learned:
    """What came out of a training. network: wired. tables and circuit: None for an ordinary network, which has no gates."""

    network: Model
    parameters: Parameters
    tables: Tables | None
    circuit: Circuit | None
    training: Training


def build_model(config: JobConfig, task: Task) -> tuple[Model, Parameters]:
    """The method's network and its starting parameters, by the seed alone. Raises MethodError."""
    rng = np.random.default_rng(config.seed)
    network, parameters = METHODS[config.method.name].build(config.method, task.train.inputs, _problem(task), rng)
    if task.boards is not None and (METHODS[config.method.name].prepare or not isinstance(network, Network)):
        raise UnsuitableError(f"method={config.method.name} does not train on boards. Set task.boards=null.")
    if config.prune is not None and not isinstance(network, Network):
        raise UnsuitableError(f"prune is for circuits of gates, and method={config.method.name} has none. Set prune=null.")
    return network, parameters


def _problem(task: Task) -> Problem:
    return Problem(task.n_outputs, task.classes, task.places)


def engine_config(config: JobConfig) -> EngineConfig:
    return EngineConfig(config.engine, n_threads(config), config.train.kernels, config.train.device)


def train_stage(config: JobConfig, task: Task, folder: Path, origin: dict[str, str], redo: bool, tell: Tell) -> Learned:
    """What the training in this folder came to: read if it is finished there, else begun or continued.

    origin: what the circuit file says of where it comes from. redo: begin anew whatever is there.
    """
    network, parameters = build_model(config, task)
    if redo:
        for path in (folder / _SUMMARY, *checkpoints(folder)):
            path.unlink(missing_ok=True)
    if folder.joinpath(_SUMMARY).exists():
        return _read(folder, network)
    engine, progress, steps_before = _train(config, task, network, parameters, folder, tell)
    final = _wired(network, progress.best_parameters)
    circuit = _circuit(final, progress, task, origin) if isinstance(final, Network) else None
    learned = Learned(
        final,
        progress.best_parameters,
        progress.best_tables,
        circuit,
        _summary(config, task, engine, network, progress, steps_before, circuit),
    )
    _write(folder, learned, progress.curve)
    return learned


def checkpoints(folder: Path) -> list[Path]:
    """The files from which the training in a folder continues, none before it began and once it is finished."""
    return sorted(folder.glob(f"*{_CHECKPOINT}"))


def summary(folder: Path) -> Training | None:
    """What is said of the training in a folder, None if it is not finished."""
    path = folder / _SUMMARY
    return Training(**json.loads(path.read_text())) if path.exists() else None


def _write(folder: Path, learned: Learned, curve: list[Evaluation]) -> None:
    arrays: dict[str, NDArray[Any]] = {f"parameter.{name}": value for name, value in learned.parameters.items()}
    if learned.tables is not None:
        arrays["tables"] = learned.tables
    write_whole(folder / _LEARNED, save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))
    if learned.circuit is not None:
        learned.circuit.save(folder / CIRCUIT)
    write_curve(curve, folder / CURVE)
    write_whole(folder / _SUMMARY, json.dumps(asdict(learned.training), indent=1).encode())
    for path in checkpoints(folder):
        path.unlink()


def _read(folder: Path, network: Model) -> Learned:
    arrays = load_file(folder / _LEARNED)
    parameters = {name.removeprefix("parameter."): value for name, value in arrays.items() if name.startswith("parameter.")}
    circuit = Circuit.load(folder / CIRCUIT) if isinstance(network, Network) else None
    training = summary(folder)
    assert training is not None
    return Learned(_wired(network, parameters), parameters, arrays.get("tables"), circuit, training)


def _wired(network: Model, parameters: Parameters) -> Model:
    """The network with what it has learned to read."""
    return wired(network, parameters) if isinstance(network, Network) else network


def _train(
    config: JobConfig, task: Task, network: Model, parameters: Parameters, folder: Path, tell: Tell
) -> tuple[Engine, Progress, int]:
    """The network's training, after those that its method has it build on, and how many steps these took."""
    validation = Items(task.validation.inputs, task.validation.target)
    start, trained_on = Start(parameters, Items(task.train.inputs, task.train.target), config.train), None
    if task.boards is not None:
        assert isinstance(network, Network)
        trained_on = unrolled(network, task.boards.height, task.boards.width, task.boards.steps)
        start = replace(start, items=Items(task.boards.split.inputs, task.boards.split.target))

    def stage(name: str, model: Model, begun: Start, judged_on: Items) -> Progress:
        return _run(config, model, begun, judged_on, folder / f"{name}.{_CHECKPOINT}", tell)[1]

    prepare = METHODS[config.method.name].prepare
    if prepare is not None:
        start = prepare(config.method, _problem(task), network, start, validation, config.seed, stage)
    engine, progress = _run(config, network, start, validation, folder / _CHECKPOINT, tell, trained_on)
    return engine, progress, start.steps


def _run(
    config: JobConfig,
    network: Model,
    start: Start,
    validation: Items,
    checkpoint: Path,
    tell: Tell,
    trained_on: Network | None = None,
) -> tuple[Engine, Progress]:
    items, budget = start.items, start.config
    engine = build_engine(
        engine_config(config), network, start.parameters, budget.optimiser, items.inputs, items.target, config.seed, trained_on
    )

    def show(reading: Evaluation) -> None:
        tell(
            "trained", step=reading.step, steps=budget.max_steps, loss=reading.loss, soft=reading.soft_accuracy,
            hard=reading.hard_accuracy, rate=reading.steps_per_second,
        )  # fmt: skip

    trained = train(engine, network, items, validation, budget, config.seed, checkpoint, show, stand_aside, start.seconds)
    return engine, trained


def _circuit(network: Network, trained: Progress, task: Task, origin: dict[str, str]) -> Circuit:
    """What the network has become, with its encoder: the task's, or of the thresholds that it trained."""
    assert trained.best_tables is not None
    encoder = task.encoder
    if network.thresholds is not None:
        omega = thresholds.values(np, trained.best_parameters["thresholds"])
        n_features, n_bits = omega.shape
        encoder = Encoder(n_features, np.repeat(np.arange(n_features), n_bits), omega.ravel())
    return Circuit(discretise(network, trained.best_tables), origin, encoder, network.readout)


def _summary(
    config: JobConfig,
    task: Task,
    engine: Engine,
    network: Model,
    trained: Progress,
    steps_before: int,
    circuit: Circuit | None,
) -> Training:
    """steps_before: of the trainings that this one began with. circuit: what the network has become, None if it is an
    ordinary one."""
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
        steps=steps_before + trained.step,
        seconds=trained.seconds,
        compile_seconds=trained.compile_seconds,
        steps_to_exact=steps_before + exact.step if exact else None,
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
