"""The training loop: steps, evaluations, early stop, checkpoints. Knows neither the engine's arrays nor the task."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

Bits = NDArray[np.bool_]
EngineState = dict[str, NDArray[Any]]


Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW, with decoupled weight decay (times the learning rate) and gradients clipped to a global norm of clip_norm.

    epsilon: added to the root of the second moment. It must be far below the gradients or it brakes the steps, and through
    a dozen nearly discrete layers gradients fall below the usual 1e-8: training then stalls with one item wrong.
    """

    learning_rate: Positive
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    weight_decay: Annotated[float, Field(ge=0)]
    epsilon: Positive
    clip_norm: Positive


@dataclass(frozen=True)
class TrainConfig:
    """max_steps, max_seconds: the budget, whichever ends first. evaluate_every, checkpoint_seconds: in steps and seconds.

    confirm: end once the discretised network has been exact in this many evaluations in a row; 0 never ends early.
    kernels: the fused CPU kernels, instead of the framework's own operations.
    """

    max_steps: Annotated[int, Field(ge=0)]
    max_seconds: Positive
    evaluate_every: Annotated[int, Field(ge=1)]
    confirm: Annotated[int, Field(ge=0)]
    checkpoint_seconds: Positive
    kernels: bool
    optimiser: OptimiserConfig


class Engine(Protocol):
    """What the loop needs of an engine (see methods.torch_engine)."""

    def step(self, bits: Bits, target: Bits) -> float: ...
    def soft(self, bits: Bits) -> NDArray[np.float32]: ...
    def hard(self, bits: Bits) -> Bits: ...
    def tables(self) -> NDArray[np.uint64]: ...
    def state(self) -> EngineState: ...
    def load_state(self, state: EngineState) -> None: ...


@dataclass(frozen=True)
class Evaluation:
    """One reading: accuracies are the share of items with every output right, loss is the last step's."""

    step: int
    seconds: float
    loss: float
    soft_accuracy: float
    hard_accuracy: float


@dataclass
class Progress:
    """How far a training is. best_tables is the discretised network of the best evaluation so far, by (hard, soft) accuracy,
    the later one of equals. exact_since is the first evaluation of the current unbroken run of exact ones."""

    step: int = 0
    seconds: float = 0.0
    curve: list[Evaluation] = field(default_factory=list)
    best: Evaluation | None = None
    best_tables: NDArray[np.uint64] | None = None
    exact_since: Evaluation | None = None
    exact_in_a_row: int = 0


class DivergedError(RuntimeError):
    """The loss stopped being a number."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; says which file to delete."""


def train(
    engine: Engine,
    bits: Bits,
    target: Bits,
    config: TrainConfig,
    checkpoint: Path,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
) -> Progress:
    """Train full-batch on items, bool (item, input) and (item, output), until exact for good or the budget is spent.

    `exact` is the discretised network right on every item. A checkpoint found at the path is continued, to the same
    result to the bit as an unbroken run. It is written every checkpoint_seconds, when the run is interrupted, and at the
    end, so that what comes after the training can fail without costing it.
    Raises DivergedError if the loss is not finite and CheckpointError if the checkpoint is unusable.
    """
    progress = Progress()
    if checkpoint.exists():
        load_checkpoint(checkpoint, engine, progress)
    started = time.perf_counter() - progress.seconds
    saved = time.perf_counter()
    try:
        while not _done(progress, config):
            loss = engine.step(bits, target)
            progress.step += 1
            progress.seconds = time.perf_counter() - started
            if not np.isfinite(loss):
                raise DivergedError(
                    f"The loss became {loss} at step {progress.step}. Lower train.optimiser.learning_rate and start again;"
                    f" the checkpoint at {checkpoint} is from before that step."
                )
            if progress.step % config.evaluate_every == 0:
                _record(progress, evaluate(engine, bits, target, progress, loss), engine)
                on_evaluation(progress.curve[-1])
            if time.perf_counter() - saved > config.checkpoint_seconds:
                save_checkpoint(checkpoint, engine, progress)
                saved = time.perf_counter()
        if progress.best is None:  # a budget shorter than evaluate_every
            _record(progress, evaluate(engine, bits, target, progress, float("nan")), engine)
    except KeyboardInterrupt:
        save_checkpoint(checkpoint, engine, progress)
        raise
    save_checkpoint(checkpoint, engine, progress)
    return progress


def evaluate(engine: Engine, bits: Bits, target: Bits, progress: Progress, loss: float) -> Evaluation:
    soft = np.all((engine.soft(bits) > 0.5) == target, axis=1).mean()
    hard = np.all(engine.hard(bits) == target, axis=1).mean()
    return Evaluation(progress.step, progress.seconds, loss, float(soft), float(hard))


def _done(progress: Progress, config: TrainConfig) -> bool:
    return (
        progress.step >= config.max_steps
        or progress.seconds >= config.max_seconds
        or 0 < config.confirm <= progress.exact_in_a_row
    )


def _record(progress: Progress, reading: Evaluation, engine: Engine) -> None:
    progress.curve.append(reading)
    if progress.best is None or _rank(reading) >= _rank(progress.best):
        progress.best, progress.best_tables = reading, engine.tables()
    if reading.hard_accuracy == 1.0:
        progress.exact_in_a_row += 1
        progress.exact_since = progress.exact_since or reading
    else:
        progress.exact_in_a_row, progress.exact_since = 0, None


def _rank(reading: Evaluation) -> tuple[float, float]:
    return reading.hard_accuracy, reading.soft_accuracy


_CHECKPOINT_VERSION = 1


def save_checkpoint(path: Path, engine: Engine, progress: Progress) -> None:
    """Write the engine's state and the progress as one safetensors file, atomically."""
    arrays = {f"engine.{name}": value for name, value in engine.state().items()}
    arrays["version"] = np.array([_CHECKPOINT_VERSION])
    arrays["counters"] = np.array([progress.step, progress.seconds, progress.exact_in_a_row], dtype=np.float64)
    arrays["curve"] = _rows(progress.curve)
    arrays["best"] = _rows([progress.best] if progress.best else [])
    arrays["exact_since"] = _rows([progress.exact_since] if progress.exact_since else [])
    if progress.best_tables is not None:
        arrays["best_tables"] = progress.best_tables
    aside = path.with_suffix(".tmp")
    aside.write_bytes(save(arrays))
    os.replace(aside, path)


def load_checkpoint(path: Path, engine: Engine, progress: Progress) -> None:
    """Put a checkpoint's state into the engine and the progress."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read ({error}). Delete it to train from the start.") from error
    if "version" not in arrays or arrays["version"][0] != _CHECKPOINT_VERSION:
        raise CheckpointError(f"The checkpoint {path} is of another version. Delete it to train from the start.")
    prefix = "engine."
    state = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    theta, found = engine.state()["theta"], state["theta"]
    if found.shape != theta.shape:
        raise CheckpointError(
            f"The checkpoint {path} is of another network: its theta is {found.shape}, here it is {theta.shape}."
            " Delete it to train from the start."
        )
    engine.load_state(state)
    step, seconds, in_a_row = arrays["counters"]
    progress.step, progress.seconds, progress.exact_in_a_row = int(step), float(seconds), int(in_a_row)
    progress.curve = _evaluations(arrays["curve"])
    progress.best = next(iter(_evaluations(arrays["best"])), None)
    progress.exact_since = next(iter(_evaluations(arrays["exact_since"])), None)
    progress.best_tables = arrays.get("best_tables")


def _rows(evaluations: list[Evaluation]) -> NDArray[np.float64]:
    return np.array([list(asdict(evaluation).values()) for evaluation in evaluations], dtype=np.float64).reshape(-1, 5)


def _evaluations(rows: NDArray[np.float64]) -> list[Evaluation]:
    return [Evaluation(int(step), *values) for step, *values in rows.tolist()]
