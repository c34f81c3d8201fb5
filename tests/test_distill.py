"""Distillation: blocks that are cut from the student learn the teacher's bits, and what they learned is put together again."""

import numpy as np
import pytest
from networks import ADAMW, build, gates_config, train_config

from harness import compose
from jobs.config import check
from jobs.training import CIRCUIT, build_model, checkpoints, train_stage
from methods import METHODS, MethodError, Problem, UnsuitableError
from methods.distill import DistillConfig, TeacherConfig, _blocks
from methods.network import Network
from methods.ordinary import Ordinary
from methods.train import Items, Progress, Start
from reports.record import Record
from tasks import TASKS
from tests.conftest import run_harness

LIMITS = {"max_steps": 1000, "max_seconds": 100.0, "batch_size": 16}


def distill_config(widths=(16, 12, 10, 8), blocks=(2, 1), blocks_share=0.3, teacher=None, **changes):
    settings = {"channels": [], "widths": [12, 10], "optimiser": ADAMW, "share": 0.2, "weight": 0.25, "temperature": 3.0}
    return DistillConfig(
        **vars(gates_config(name="distill", widths=list(widths), **changes)),
        teacher=TeacherConfig(**{**settings, **(teacher or {})}),
        blocks=list(blocks),
        blocks_share=blocks_share,
    )


def items(n_items=60, classes=True, seed=0):
    """Nine bits, and one of three classes or three output bits."""
    rng = np.random.default_rng(seed)
    target = np.eye(3, dtype=bool)[rng.integers(0, 3, n_items)] if classes else rng.random((n_items, 3)) < 0.5
    return Items(rng.random((n_items, 9)) < 0.5, target)


def student(config, classes=True, places=None):
    problem = Problem(3, classes, places)
    return METHODS["distill"].build(config, items().inputs, problem, np.random.default_rng(5)), problem


class Stages:
    """Remembers what it is given to train. The teacher's weights become random, the parameters of gates those plus a number."""

    def __init__(self):
        self.given = []

    def __call__(self, name, network, start, validation):
        self.given.append((name, network, start, validation))
        parameters = {key: value + np.float32(len(self.given)) for key, value in start.parameters.items()}
        if name == "teacher":
            rng = np.random.default_rng(1)
            parameters = {key: rng.standard_normal(value.shape).astype(np.float32) for key, value in start.parameters.items()}
            self.teacher = parameters
        return Progress(start.config.max_steps, start.seconds + 2.0, best_parameters=parameters)

    def said(self, x):
        """The teacher's layers on x, (item, input), written out."""
        layers, n = [], len(self.teacher) // 2
        for layer in range(n):
            x = x @ self.teacher[f"weight{layer}"].T + self.teacher[f"bias{layer}"]
            layers.append(x)
            x = (x > 0).astype(np.float32)
        return [layer > 0 for layer in layers[:-1]], layers[-1]


def distilled(config, classes=True):
    (network, parameters), problem = student(config, classes)
    stages, given, judged = Stages(), items(5000, classes), items(20, classes, seed=1)
    start = Start(parameters, given, train_config(**LIMITS))
    return stages, METHODS["distill"].prepare(config, problem, network, start, judged, 7, stages), start, judged


def test_the_student_is_the_network_that_would_be_trained_from_scratch():
    config = distill_config()
    (network, parameters), problem = student(config)
    scratch = gates_config(widths=config.widths)
    other, others = METHODS["dlgn"].build(scratch, items().inputs, problem, np.random.default_rng(5))
    assert all(np.array_equal(value, other.identity()[name]) for name, value in network.identity().items())
    assert np.array_equal(parameters["theta"], others["theta"])


@pytest.mark.parametrize("classes", [True, False])
def test_each_block_reads_and_learns_what_the_teacher_says(classes):
    stages, start, before, judged = distilled(distill_config(widths=(16, 12, 10, 9), votes=1), classes)
    (_, teacher, of_teacher, on), *blocks = stages.given
    assert isinstance(teacher, Ordinary)
    assert (of_teacher.items, on) == (before.items, judged)
    assert [name for name, *_ in blocks] == ["block1", "block2", "block3"]
    for given, chosen in ((before.items, lambda one: one[2].items), (judged, lambda one: one[3])):
        bits, values = stages.said(given.inputs.astype(np.float32))
        assert all(0.1 < layer.mean() < 0.9 for layer in bits)
        signals = [given.inputs, *bits]
        for index, block in enumerate(blocks):
            found = chosen(block)
            assert np.mean(found.inputs == signals[index]) > 0.999  # but for sums that are 0 up to rounding
            if index < 2:
                assert np.mean(found.target == signals[index + 1]) > 0.999
    assert np.array_equal(blocks[2][3].target, judged.target)
    bits, values = stages.said(before.items.inputs.astype(np.float32))
    said = values.clip(0, 1)
    if classes:
        said = np.exp(values / 3.0) / np.exp(values / 3.0).sum(axis=1, keepdims=True)
    for target in (blocks[2][2].items.target, start.items.target):
        assert target.dtype == np.float32
        assert np.mean(np.abs(target - (0.75 * before.items.target + 0.25 * said)) < 1e-4) > 0.999
    assert np.array_equal(start.items.inputs, before.items.inputs)


def test_the_budget_is_one_for_all_parts():
    stages, start, _, _ = distilled(distill_config())
    assert [begun.config.max_steps for _, _, begun, _ in stages.given] == [200, 100, 100, 100]
    assert np.allclose([begun.config.max_seconds for _, _, begun, _ in stages.given], [20, 30, 40, 50])
    assert [begun.seconds for _, _, begun, _ in stages.given] == [0.0, 2.0, 4.0, 6.0]
    assert (start.steps, start.seconds) == (500, 8.0)
    assert (start.config.max_steps, start.config.max_seconds) == (500, 100.0)


def test_what_the_blocks_learned_is_what_the_student_starts_with():
    stages, start, before, _ = distilled(distill_config())
    added = np.repeat([2.0, 3.0, 4.0], [16 + 12, 10, 8]).astype(np.float32)
    assert np.array_equal(start.parameters["theta"], before.parameters["theta"] + added[:, None])
    assert [block.n_gates for _, block, *_ in stages.given[1:]] == [28, 10, 8]
    assert [begun.parameters["theta"].shape for _, _, begun, _ in stages.given[1:]] == [(28, 16), (10, 16), (8, 16)]


def test_blocks_learn_what_they_read_too():
    stages, start, before, _ = distilled(distill_config(candidates=5))
    added = np.repeat([2.0, 3.0, 4.0], [16 + 12, 10, 8]).astype(np.float32)
    for name in ("theta", "choice"):
        moved = (start.parameters[name] - before.parameters[name]).reshape(len(added), -1)
        assert np.allclose(moved, added[:, None], atol=1e-5)
    for (_, block, begun, _), n_gates in zip(stages.given[1:], (28, 10, 8), strict=True):
        assert begun.parameters["choice"].shape == (n_gates, 2, 5)
        assert np.array_equal(np.concatenate([layer.choice.param for layer in block.layers]), np.arange(n_gates))


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("blocks", [[2, 1], [3], [1, 1, 1]])
def test_blocks_one_after_another_are_the_student(blocks, classes):
    widths = [16, 12, 10, 9]
    hidden = [widths[end - 1] for end in np.cumsum(blocks)]
    config = distill_config(widths=widths, blocks=blocks, teacher={"widths": hidden})
    (network, parameters), _ = student(config, classes)
    given = items(100, classes)
    signals = given.inputs
    for block, own in _blocks(config, network):
        of_block = {name: parameters[name][rows] for name, rows in own.items()}
        signals = build("torch", block, of_block, signals, np.zeros((100, block.n_values))).hard(signals)
    assert np.array_equal(signals, build("torch", network, parameters, given.inputs, given.target).hard(given.inputs))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": {"widths": [12, 11]}}, r"have \[12, 11\] bits, but the layers of gates .* have \[12, 10\], and each bit is"),
        ({"blocks": [1, 2]}, r"have \[12, 10\] bits, but the layers of gates .* have \[16, 10\]"),
        ({"blocks": [3]}, r"method.blocks=\[3\] must say .* each of the teacher's 2 hidden layers"),
        ({"blocks": [2, 2]}, r"leave some of the 4 that there are for the answers"),
        ({"blocks_share": 0.8}, r"method.teacher.share=0.2 and method.blocks_share=0.8 leave nothing of the budget"),
        ({"thresholds": {"bits": 2, "softness": 0.1}}, r"Leave method.convolutions=\[\] and method.thresholds=null"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    with pytest.raises(MethodError, match=said):
        student(distill_config(**changes))


def test_a_convolutional_teacher_has_the_bits_that_its_pools_leave():
    places = np.arange(9).reshape(1, 3, 3)
    fits = {"channels": [12], "widths": [10]}
    student(distill_config(teacher=fits), places=places)
    with pytest.raises(MethodError, match=r"have \[11, 10\] bits"):
        student(distill_config(teacher={**fits, "channels": [11]}), places=places)
    with pytest.raises(UnsuitableError, match="method=distill is for images"):
        student(distill_config(teacher=fits))


SMALL = [
    "method=distill", "task=digits", "method.widths=[60,40,30]", "method.teacher.widths=[40]", "method.blocks=[2]",
    "train.max_steps=60", "train.evaluate_every=5", "train.checkpoint_seconds=1e-9", "train.kernels=false", "threads=1",
]  # fmt: skip


class KilledError(Exception):
    pass


def test_wherever_it_is_killed_it_ends_with_the_same_bits(tmp_path):
    config = check(compose(SMALL))
    task = TASKS["digits"].build(config.task)
    (tmp_path / "whole").mkdir()
    whole = train_stage(config, task, tmp_path / "whole", {}, False, lambda *_, **__: None)
    assert isinstance(whole.network, Network)
    assert whole.training.steps == 60
    assert checkpoints(tmp_path / "whole") == []
    for at in (1, 4, 5, 8, 9):  # in the teacher, the blocks and the student
        folder, readings = tmp_path / str(at), iter(range(1, 1000))

        def tell(*_, at=at, readings=readings, **__):
            if next(readings) == at:
                raise KilledError

        folder.mkdir()
        with pytest.raises(KilledError):
            train_stage(config, task, folder, {}, False, tell)
        if at > 1:
            assert checkpoints(folder)
        again = train_stage(config, task, folder, {}, False, lambda *_, **__: None)
        assert again.training.steps == 60
        assert np.array_equal(again.parameters["theta"], whole.parameters["theta"])
        assert (folder / CIRCUIT).read_bytes() == (tmp_path / "whole" / CIRCUIT).read_bytes()


def test_boards_are_refused():
    for boards in ("null", "{count: 4, height: 4, width: 4, steps: 1}"):
        config = check(compose(["method=distill", "task=life", f"task.boards={boards}"]))
        task = TASKS["life"].build(config.task)
        if boards == "null":
            build_model(config, task)
        else:
            with pytest.raises(UnsuitableError, match="method=distill does not train on boards"):
                build_model(config, task)


def test_a_job_learns_and_its_record_counts_all_parts(tmp_path):
    steps = ["train.max_steps=400", "train.evaluate_every=50", "timing=none", "backend.names=[numba]", "runs_dir=r"]
    done = run_harness(*SMALL[:5], *steps, "train.checkpoint_seconds=60", "threads=1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("r/*/record.json")
    record = Record.read(path)
    assert record.training.steps == 400
    assert record.training.gates_learned == 130
    assert record.training.hard_accuracy > 0.3  # of ten classes by three gates each
    assert record.row("numba").exact
