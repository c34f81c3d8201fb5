"""The training loop: exactness, resumption to the bit, and what goes wrong."""

import numpy as np
import pytest

from methods.dense import DenseConfig, build_dense
from methods.torch_engine import TorchEngine
from methods.train import CheckpointError, DivergedError, OptimiserConfig, TrainConfig, train
from tasks.life import CONWAY, truth

ADAMW = OptimiserConfig(learning_rate=0.05, betas=(0.9, 0.99), weight_decay=0.03, epsilon=1e-12, clip_norm=100.0)
LIFE = truth(CONWAY)


def loop(**changes):
    settings = {
        "max_steps": 40,
        "max_seconds": 600.0,
        "evaluate_every": 5,
        "confirm": 1,
        "checkpoint_seconds": 600.0,
        "kernels": True,
        "optimiser": ADAMW,
    }
    return TrainConfig(**{**settings, **changes})


def engine(widths=(32, 32, 16), seed=0, optimiser=ADAMW):
    config = DenseConfig("dlgn", "dlgn", 2, "unique", list(widths), 5.0, 1.0)
    network, theta = build_dense(config, 9, 1, np.random.default_rng(seed))
    return TorchEngine(network, theta, optimiser, 2, True)


class InterruptAt:
    """Passes an engine's calls on and presses Ctrl-C before a step."""

    def __init__(self, inner, step):
        self._inner, self._left = inner, step

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def step(self, bits, target):
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        return self._inner.step(bits, target)


def and_items():
    bits = LIFE.bits
    return bits, (bits[:, :1] & bits[:, 4:5])


def test_a_small_function_is_learned_exactly_and_training_stops(tmp_path):
    bits, target = and_items()
    learner = engine((64, 32, 16, 8))
    progress = train(learner, bits, target, loop(max_steps=2000, confirm=3), tmp_path / "c")
    assert progress.exact_in_a_row == 3
    assert progress.step < 2000
    assert progress.best.hard_accuracy == 1.0
    assert progress.exact_since.step == progress.step - 10
    assert np.array_equal(learner.hard(bits), target)


@pytest.mark.parametrize("stop", [1, 7, 20, 33])
def test_interrupted_and_continued_is_unbroken_to_the_bit(tmp_path, stop):
    whole = engine()
    expected = train(whole, LIFE.bits, LIFE.target, loop(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(InterruptAt(engine(), stop), LIFE.bits, LIFE.target, loop(), tmp_path / "broken")
    continued = engine()
    found = train(continued, LIFE.bits, LIFE.target, loop(), tmp_path / "broken")
    assert all(np.array_equal(continued.state()[name], value) for name, value in whole.state().items())
    assert np.array_equal(found.best_tables, expected.best_tables)
    assert [(r.step, r.loss, r.soft_accuracy, r.hard_accuracy) for r in found.curve] == [
        (r.step, r.loss, r.soft_accuracy, r.hard_accuracy) for r in expected.curve
    ]
    assert found.seconds > 0


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = train(engine(), LIFE.bits, LIFE.target, loop(), tmp_path / "c")
    again = train(InterruptAt(engine(), 0), LIFE.bits, LIFE.target, loop(), tmp_path / "c")
    assert np.array_equal(again.best_tables, first.best_tables)
    assert again.step == first.step


def test_the_best_evaluation_is_kept_not_the_last(tmp_path):
    class Scripted:
        """Hard accuracy rises to 1 and falls again."""

        outputs = iter([0.5, 1.0, 0.25])

        def step(self, bits, target):
            return 0.1

        def soft(self, bits):
            return np.ones((4, 1))

        def hard(self, bits):
            self.now = next(self.outputs)
            return np.arange(4)[:, None] < self.now * 4

        def tables(self):
            return np.array([int(self.now * 100)], dtype=np.uint64)

        def state(self):
            return {}

    bits, target = np.zeros((4, 1), dtype=bool), np.ones((4, 1), dtype=bool)
    progress = train(Scripted(), bits, target, loop(max_steps=15, confirm=0), tmp_path / "c")
    assert [reading.hard_accuracy for reading in progress.curve] == [0.5, 1.0, 0.25]
    assert progress.best_tables.tolist() == [100]
    assert progress.exact_since is None


def test_a_budget_shorter_than_an_evaluation_still_gives_a_circuit(tmp_path):
    progress = train(engine(), LIFE.bits, LIFE.target, loop(max_steps=2), tmp_path / "c")
    assert progress.step == 2
    assert progress.best_tables is not None


def test_a_loss_that_is_not_a_number_stops_at_once_and_keeps_the_last_checkpoint(tmp_path):
    checkpoint = tmp_path / "c"

    class Diverging(InterruptAt):
        def step(self, bits, target):
            if self._left == 0:
                return float("nan")
            return super().step(bits, target)

    with pytest.raises(DivergedError, match=r"nan at step 11. Lower train.optimiser.learning_rate"):
        train(Diverging(engine(), 10), LIFE.bits, LIFE.target, loop(checkpoint_seconds=1e-9), checkpoint)
    continued = train(engine(), LIFE.bits, LIFE.target, loop(max_steps=10), checkpoint)
    assert continued.step == 10


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    checkpoint = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        train(InterruptAt(engine(), 3), LIFE.bits, LIFE.target, loop(), checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50] if content is None else content)
    with pytest.raises(CheckpointError, match="Delete it to train from the start"):
        train(engine(), LIFE.bits, LIFE.target, loop(), checkpoint)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    checkpoint = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        train(InterruptAt(engine((32, 16)), 3), LIFE.bits, LIFE.target, loop(), checkpoint)
    with pytest.raises(CheckpointError, match=r"of another network: its theta is .* here it is"):
        train(engine((16, 16)), LIFE.bits, LIFE.target, loop(), checkpoint)
