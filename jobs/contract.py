"""What every method and task must do, tried on a pair of them in seconds: for those who write one."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from codegen.circuit import Circuit
from jobs.config import JobConfig, TimingConfig
from jobs.events import silent
from jobs.forms import build_row
from jobs.proof import CircuitProof
from jobs.training import Learned, build_model, engine_config, train_stage
from methods.engine import Engine, build_engine
from methods.network import Network
from methods.readout import right
from methods.train import TrainConfig
from reports.record import Row
from tasks import TASKS, Task
from tasks.base import Split

_STEPS = 4
_BATCH = 64
_ITEMS = 4096  # of each split, at most
_LARGEST = 5_000  # gates of a circuit that is compiled to C for this


def contract(config: JobConfig) -> Iterator[tuple[str, str | None]]:
    """(what must hold, what was found instead or None), one after another. What fails ends in its error."""
    quick: TrainConfig = replace(
        config.train, max_steps=_STEPS, batch_size=_BATCH, evaluate_every=_STEPS, confirm=0, patience=0, checkpoint_seconds=1e9
    )
    config = replace(config, train=quick)
    task = TASKS[config.task.name].build(config.task)
    yield "the task's splits fit each other", _splits(task)
    first, second = build_model(config, task), build_model(config, task)
    equal = all(np.array_equal(first[1][name], second[1][name]) for name in first[1])
    same = all(np.array_equal(value, second[0].identity()[name]) for name, value in first[0].identity().items())
    yield "a seed builds one network", None if equal and same else "wiring or parameters differ between two builds"
    with tempfile.TemporaryDirectory() as folder:
        learned = train_stage(config, task, Path(folder), {}, False, silent)
        yield "it trains to numbers that are finite", _finite(learned)
        yield "an interrupted training continues to the same bits", _continued(config, task)
        if learned.circuit is None:
            return
        again = Circuit.load(Path(folder) / "circuit.safetensors")
        items = task.test.raw[:_ITEMS]
        answers = learned.circuit.answers(learned.circuit.bits(items))
        reloaded = np.array_equal(again.answers(again.bits(items)), answers)
        yield "the circuit file holds the circuit", None if reloaded else "answers differ after it was saved and loaded"
        yield "the relaxed network, made hard, is its circuit", _hard(config, task, learned)
        proof = CircuitProof(task, learned.circuit)
        for name in ("nn-torch", "numba", "c"):
            if name == "c" and proof.netlist.n_gates > _LARGEST:
                continue
            row = Row(backend=name)
            form = build_row(row, learned, proof, _one_batch(config.timing), Path(folder))
            if form is None:
                yield f"{name} is built", row.reason
                continue
            proof.verify_row(row, form)
            yield f"{name} gives the circuit's answers", row.reason if row.status == "failed" else None


def _one_batch(timing: TimingConfig) -> TimingConfig:
    return replace(timing, batches=timing.batches[:1], torch_compile=False)


def _splits(task: Task) -> str | None:
    for name, split in (("train", task.train), ("validation", task.validation), ("test", task.test)):
        if split.inputs.ndim != 2 or split.target.ndim != 2 or len(split.inputs) != len(split.target):
            return (
                f"{name} has inputs {split.inputs.shape} and targets {split.target.shape}; expected (item, input), (item, value)"
            )
        if split.inputs.shape[1] != task.n_inputs:
            return f"{name} has {split.inputs.shape[1]} inputs, the task says {task.n_inputs}"
        if split.target.dtype != bool:
            return f"{name} has targets of {split.target.dtype}, expected bool"
        if task.classes and not (split.target.sum(axis=1) == 1).all():
            return f"{name} has items that are not of exactly one class"
    return None


def _finite(learned: Learned) -> str | None:
    bad = [name for name, value in learned.parameters.items() if not np.isfinite(value).all()]
    if bad:
        return f"{', '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite after {_STEPS} steps"
    return None


def _continued(config: JobConfig, task: Task) -> str | None:
    """Whether steps in two runs, with the state handed over, give what they give in one."""
    network, parameters = build_model(config, task)
    settings = engine_config(config)
    data = (task.train.inputs[:_ITEMS], task.train.target[:_ITEMS])
    rates = np.full(_STEPS, config.train.optimiser.learning_rate, dtype=np.float32)

    def engine() -> Engine:
        return build_engine(settings, network, parameters, config.train.optimiser, *data, config.seed)

    whole, begun, continued = engine(), engine(), engine()
    whole.run(None, rates)
    begun.run(None, rates[:2])
    continued.load_state(begun.state())
    continued.run(None, rates[2:])
    expected, found = whole.parameters(), continued.parameters()
    wrong = [name for name in expected if not np.array_equal(expected[name], found[name])]
    return f"{', '.join(wrong)} differ" if wrong else None


def _hard(config: JobConfig, task: Task, learned: Learned) -> str | None:
    """Whether the engine's hard forward is the circuit, on items of the test split."""
    assert learned.circuit is not None
    assert isinstance(learned.network, Network)
    settings = engine_config(config)
    optimiser = config.train.optimiser
    items = task.test.inputs[:_ITEMS]
    engine = build_engine(settings, learned.network, learned.parameters, optimiser, items, task.test.target[:_ITEMS], config.seed)
    hard = right(learned.network.readout, engine.hard(items), task.test.target[:_ITEMS]).mean()
    part = Split(items, task.test.target[:_ITEMS])
    circuit = task.score(learned.circuit.answers(learned.circuit.bits(task.test.raw[:_ITEMS])), part)
    return None if hard == circuit else f"{hard:.4%} of items right by the engine, {circuit:.4%} by the circuit"
