"""The training loop: steps, evaluations, early stop, checkpoints. Knows neither the engine's arrays nor the task."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from methods import checkpoint
from methods.engine import Engine, EngineState, Inputs, OptimiserConfig, Positive
from methods.network import Model, Network, Parameters
from methods.readings import mean_entropy, soft_tables, undecided_share
from methods.readout import right
from methods.relaxations import RELAXATIONS

_STEPS_AT_ONCE = 100


@dataclass(frozen=True)
class TrainConfig:
    """max_steps, max_seconds: the budget, whichever ends first; of seconds the loop's own, evaluations included.

    batch_size: items a step, drawn without replacement through all items and then anew; None: all. schedule: of the
    learning rate after warmup_steps of linear rise; cosine falls to zero at max_steps. evaluate_every: steps. confirm: end
    once the discretised network has been exact in this many evaluations in a row; patience: end after this many without a
    better one; 0 never ends early. kernels: the fused CPU kernels instead of torch's own operations. device: cpu, cuda or
    auto, for torch.
    """

    max_steps: Annotated[int, Field(ge=0)]
    max_seconds: Positive
    batch_size: Annotated[int, Field(ge=1)] | None
    schedule: Literal["constant", "cosine"]
    warmup_steps: Annotated[int, Field(ge=0)]
    evaluate_every: Annotated[int, Field(ge=1)]
    confirm: Annotated[int, Field(ge=0)]
    patience: Annotated[int, Field(ge=0)]
    checkpoint_seconds: Positive
    kernels: bool
    device: Literal["auto", "cpu", "cuda"]
    optimiser: OptimiserConfig


@dataclass(frozen=True)
class Items:
    """What a network is trained or judged on: inputs (item, input), bool or real-valued, and target (item, value), the output
    bits or with a readout the class, one-hot: bool, or to train on their probabilities."""

    inputs: Inputs
    target: Inputs


@dataclass(frozen=True)
class Evaluation:
    """One reading. seconds: of the loop so far. loss: the last step's. Accuracies are the share of validation items with
    every output, or the class, right, their difference is the discretisation gap. undecided, entropy: see methods.readings,
    not a number for an ordinary network, whose hard accuracy is its soft one. first_gradient, last_gradient: norm of the last
    gradient to the first and the last layer's theta. steps_per_second: since the reading before, evaluations not counted.
    """

    step: int
    seconds: float
    loss: float
    soft_accuracy: float
    hard_accuracy: float
    undecided: float
    entropy: float
    first_gradient: float
    last_gradient: float
    steps_per_second: float

    @property
    def gap(self) -> float:
        return self.soft_accuracy - self.hard_accuracy


@dataclass
class Progress:
    """How far a training is. best_tables is the discretised network of the best evaluation so far, by (hard, soft) accuracy,
    the later one of equals; None for an ordinary network. exact_since is the first evaluation of the current unbroken run of
    exact ones. compile_seconds is what the engine took to compile, which is not in seconds."""

    step: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    curve: list[Evaluation] = field(default_factory=list)
    best: Evaluation | None = None
    best_tables: NDArray[np.uint64] | None = None
    best_parameters: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    exact_since: Evaluation | None = None
    exact_in_a_row: int = 0
    since_best: int = 0


@dataclass(frozen=True, eq=False)
class Start:
    """What a network's training begins with. config: its budget, of which max_seconds are counted from `seconds` on; steps,
    seconds: what was spent before, on trainings that this one builds on."""

    parameters: Parameters
    items: Items
    config: TrainConfig
    steps: int = 0
    seconds: float = 0.0


class Stage(Protocol):
    """Trains a network that another training builds on, with a checkpoint of its own by this name."""

    def __call__(self, name: str, network: Model, start: Start, validation: Items, /) -> Progress: ...


class DivergedError(RuntimeError):
    """The loss or a gradient stopped being a number; says where it began."""


def train(
    engine: Engine,
    network: Model,
    items: Items,
    validation: Items,
    config: TrainConfig,
    seed: int,
    path: Path,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
    seconds: float = 0.0,
) -> Progress:
    """Train on items, judged on validation, until exact for good, no better for long, or the budget is spent.

    `exact` is the discretised network right on every validation item. A checkpoint found at path is continued, to the same
    result to the bit as an unbroken run. It is written every checkpoint_seconds, when the run is interrupted, and at the
    end, so that what comes after the training can fail without costing it. between is called between runs of steps, and may
    wait; that time is not counted. seconds: already spent on what comes before, which count.
    Raises DivergedError if the loss is not finite, CheckpointError if the checkpoint is unusable and KeyboardInterrupt, once it
    is written, with the step that was reached.
    """
    progress = Progress(seconds=seconds)
    identity = checkpoint.identity(network, seed)
    if path.exists():
        load(path, identity, engine, progress)
    n_items = len(items.target)
    batch_size = None if config.batch_size is None or config.batch_size >= n_items else config.batch_size
    if not _done(progress, config):
        progress.compile_seconds = engine.prepare(batch_size, _chunk(progress, config))
    started = time.perf_counter() - progress.seconds
    saved = time.perf_counter()
    last_evaluation, in_steps = progress.step, 0.0
    with _interrupt_later() as interrupted:
        while not _done(progress, config) and not interrupted():
            paused = time.perf_counter()
            between()
            started += time.perf_counter() - paused
            n = _chunk(progress, config)
            before = engine.state()
            begun = time.perf_counter()
            done = engine.run(batches(seed, progress.step, n, batch_size, n_items), rates(config, progress.step, n))
            in_steps += time.perf_counter() - begun
            if not done.finite or not all(np.isfinite(value).all() for value in engine.parameters().values()):
                save(path, identity, before, progress)
                raise DivergedError(
                    f"Step {progress.step + len(done.losses)} met {_culprit(engine, network, items, float(done.losses[-1]))}."
                    " Lower train.optimiser.learning_rate, or raise method.temperature; the checkpoint at"
                    f" {path} is of step {progress.step}, before it."
                )
            progress.step += n
            progress.seconds = time.perf_counter() - started
            if progress.step % config.evaluate_every == 0 or _done(progress, config):
                rate = (progress.step - last_evaluation) / max(in_steps, 1e-9)
                _record(progress, evaluate(engine, network, validation, progress, float(done.losses[-1]), rate), engine, network)
                on_evaluation(progress.curve[-1])
                last_evaluation, in_steps = progress.step, 0.0
            if time.perf_counter() - saved > config.checkpoint_seconds:
                save(path, identity, engine.state(), progress)
                saved = time.perf_counter()
        if progress.best is None and not interrupted():  # a budget of no steps
            _record(progress, evaluate(engine, network, validation, progress, math.nan, 0.0), engine, network)
        save(path, identity, engine.state(), progress)
        if interrupted():
            raise KeyboardInterrupt(f"at step {progress.step:,} of {config.max_steps:,}, from which {path.name} continues")
    return progress


@contextmanager
def _interrupt_later() -> Iterator[Callable[[], bool]]:
    """Ctrl-C within is only noted: in the middle of a step it would leave parameters that no count of steps belongs to.

    A second one interrupts at once. Only the main thread is interrupted, and only where Ctrl-C is Python's own.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            signal.default_int_handler(number, frame)
        pressed = True

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def batches(seed: int, step: int, n: int, batch_size: int | None, n_items: int) -> NDArray[np.int64] | None:
    """The items of steps step .. step + n - 1, int64 (step, item): a function of the seed and nothing before.

    Each epoch is a permutation of all items; what does not fill a batch at its end is left out.
    """
    if batch_size is None:
        return None
    in_epoch = n_items // batch_size
    rows = []
    permutation, of_epoch = np.empty(0, dtype=np.int64), -1
    for index in range(step, step + n):
        epoch, place = divmod(index, in_epoch)
        if epoch != of_epoch:
            permutation, of_epoch = np.random.default_rng([seed, epoch]).permutation(n_items), epoch
        rows.append(permutation[place * batch_size : (place + 1) * batch_size])
    return np.array(rows)


def rates(config: TrainConfig, step: int, n: int) -> NDArray[np.float32]:
    """The learning rates of steps step .. step + n - 1."""
    steps = np.arange(step, step + n)
    factors = np.minimum(1.0, (steps + 1) / max(config.warmup_steps, 1))
    if config.schedule == "cosine":
        over = np.clip((steps - config.warmup_steps) / max(config.max_steps - config.warmup_steps, 1), 0.0, 1.0)
        factors = factors * 0.5 * (1.0 + np.cos(np.pi * over))
    return (config.optimiser.learning_rate * factors).astype(np.float32)


def evaluate(
    engine: Engine, network: Model, validation: Items, progress: Progress, loss: float, steps_per_second: float
) -> Evaluation:
    soft = right(network.readout, engine.soft(validation.inputs), validation.target).mean()
    hard = right(network.readout, engine.hard(validation.inputs), validation.target).mean()
    undecided = entropy = math.nan
    if isinstance(network, Network):
        tables = soft_tables(network, engine.parameters())
        undecided, entropy = undecided_share(tables), mean_entropy(tables)
    norms = engine.gradient_norms()
    return Evaluation(
        progress.step, progress.seconds, loss, float(soft), float(hard), undecided, entropy,
        float(norms[0]), float(norms[-1]), steps_per_second,
    )  # fmt: skip


def _chunk(progress: Progress, config: TrainConfig) -> int:
    """Steps to run at once: to the next evaluation or the end, and few enough to heed Ctrl-C and the time budget."""
    to_evaluation = config.evaluate_every - progress.step % config.evaluate_every
    return min(to_evaluation, config.max_steps - progress.step, _STEPS_AT_ONCE)


def _done(progress: Progress, config: TrainConfig) -> bool:
    return (
        progress.step >= config.max_steps
        or progress.seconds >= config.max_seconds
        or 0 < config.confirm <= progress.exact_in_a_row
        or 0 < config.patience <= progress.since_best
    )


def _record(progress: Progress, reading: Evaluation, engine: Engine, network: Model) -> None:
    progress.curve.append(reading)
    better = progress.best is None or _rank(reading) > _rank(progress.best)
    progress.since_best = 0 if better else progress.since_best + 1
    if better or (progress.best is not None and _rank(reading) == _rank(progress.best)):
        progress.best = reading
        progress.best_parameters = engine.parameters()
        if isinstance(network, Network):
            progress.best_tables = RELAXATIONS[network.relaxation].truth_tables(progress.best_parameters["theta"])
    if reading.hard_accuracy == 1.0:
        progress.exact_in_a_row += 1
        progress.exact_since = progress.exact_since or reading
    else:
        progress.exact_in_a_row, progress.exact_since = 0, None


def _rank(reading: Evaluation) -> tuple[float, float]:
    return reading.hard_accuracy, reading.soft_accuracy


def _culprit(engine: Engine, network: Model, items: Items, loss: float) -> str:
    """Where numbers stop being finite, from the inputs on: what a diverged step says."""
    if not np.isfinite(items.inputs).all():
        return "inputs that are not finite"
    parameters = engine.parameters()
    for name, value in parameters.items():
        if name != "theta" and not np.isfinite(value).all():
            return f"{name} that {'are' if name.endswith('s') else 'is'} not finite"
    for index, layer in enumerate(network.layers if isinstance(network, Network) else ()):
        if not np.isfinite(parameters["theta"][layer.param]).all():
            return f"parameters of layer {index + 1} that are not finite"
    bad = np.flatnonzero(~np.isfinite(engine.gradient_norms()))
    if len(bad):
        return f"a gradient of layer {bad[-1] + 1} that is not finite, from a loss of {loss}"
    return f"a loss of {loss}"


def save(path: Path, identity: dict[str, Any], state: EngineState, progress: Progress) -> None:
    arrays = {f"engine.{name}": value for name, value in state.items()}
    counters = [progress.step, progress.seconds, progress.exact_in_a_row, progress.since_best]
    arrays["counters"] = np.array(counters, dtype=np.float64)
    arrays["curve"] = _rows(progress.curve)
    arrays["best"] = _rows([progress.best] if progress.best else [])
    arrays["exact_since"] = _rows([progress.exact_since] if progress.exact_since else [])
    if progress.best_tables is not None:
        arrays["best_tables"] = progress.best_tables
    arrays |= {f"best.{name}": value for name, value in progress.best_parameters.items()}
    checkpoint.write(path, identity, arrays)


def load(path: Path, identity: dict[str, Any], engine: Engine, progress: Progress) -> None:
    arrays = checkpoint.read(path, identity)
    engine.load_state(_under("engine.", arrays))
    step, seconds, in_a_row, since_best = arrays["counters"]
    progress.step, progress.seconds = int(step), float(seconds)
    progress.exact_in_a_row, progress.since_best = int(in_a_row), int(since_best)
    progress.curve = _evaluations(arrays["curve"])
    progress.best = next(iter(_evaluations(arrays["best"])), None)
    progress.exact_since = next(iter(_evaluations(arrays["exact_since"])), None)
    progress.best_tables = arrays.get("best_tables")
    progress.best_parameters = _under("best.", arrays)


def _under(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _rows(evaluations: list[Evaluation]) -> NDArray[np.float64]:
    names = Evaluation.__dataclass_fields__
    return np.array([[getattr(reading, name) for name in names] for reading in evaluations], dtype=np.float64).reshape(
        -1, len(names)
    )


def _evaluations(rows: NDArray[np.float64]) -> list[Evaluation]:
    return [Evaluation(int(step), *values) for step, *values in rows.tolist()]
