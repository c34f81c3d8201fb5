"""The training loop: exactness, resumption to the bit, how it ends, and what goes wrong."""

import signal
import time
from dataclasses import astuple, replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from networks import ADAMW, FORMS, build, gate_network, items, learnable, rates, same_states, train_config
from safetensors.numpy import save_file

from codegen.readout import GroupSum
from methods import RELAXATIONS, checkpoint
from methods.checkpoint import CheckpointError
from methods.engine import Steps
from methods.gates import ThresholdConfig
from methods.readings import mean_entropy, soft_tables, undecided_share
from methods.train import DivergedError, Items, batches, train
from methods.train import rates as rates_of
from tasks.life import CONWAY, truth

pytestmark = pytest.mark.usefixtures("quick_xla")

LIFE = truth(CONWAY)
LIFE_ITEMS = Items(LIFE.inputs, LIFE.target)
WIDTHS = (32, 16, 8, 4, 2)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Where the tests run in the background SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class InterruptAt:
    """Passes an engine's calls on and presses Ctrl-C when so many steps are done, or in the evaluation of that number."""

    def __init__(self, inner, step=None, evaluation=None):
        self._inner, self._left, self._evaluations_left = inner, step, evaluation

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def run(self, batches, rates):
        done, n = Steps(np.empty(0, dtype=np.float32), True), len(rates)
        if self._left is not None and self._left < n:
            if self._left:
                done = self._inner.run(None if batches is None else batches[: self._left], rates[: self._left])
            signal.raise_signal(signal.SIGINT)
            batches, rates = None if batches is None else batches[self._left :], rates[self._left :]
            self._left = None
        elif self._left is not None:
            self._left -= n
        rest = self._inner.run(batches, rates)
        return Steps(np.concatenate([done.losses, rest.losses]), rest.finite)

    def soft(self, inputs):
        if self._evaluations_left is not None:
            self._evaluations_left -= 1
            if not self._evaluations_left:
                signal.raise_signal(signal.SIGINT)
        return self._inner.soft(inputs)


class Scripted:
    """An engine that learns nothing: its hard accuracy is the next of a list, and its parameters say which it was at."""

    def __init__(self, accuracies, seconds=0.0):
        self._accuracies, self._seconds, self.now = list(accuracies), seconds, -1

    def prepare(self, batch_size, n_steps):
        return 1000.0

    def run(self, batches, rates):
        time.sleep(self._seconds)
        return Steps(np.full(len(rates), 0.25, dtype=np.float32), True)

    def soft(self, inputs):
        return np.ones((4, 1), dtype=np.float32)

    def hard(self, inputs):
        self.now += 1
        return np.arange(4)[:, None] < 4 * self._accuracies[min(self.now, len(self._accuracies) - 1)]

    def parameters(self):
        return {"theta": np.eye(16, dtype=np.float32)[[self.now]]}

    def gradient_norms(self):
        return np.array([0.5, 2.0], dtype=np.float32)

    def state(self):
        return {"step": np.array([0])}


def follow(engine, tmp_path, **changes):
    """Train a scripted engine."""
    network, _ = gate_network([2], 2, 1)
    all_right = Items(np.zeros((4, 2), dtype=bool), np.ones((4, 1), dtype=bool))
    return train(engine, network, all_right, all_right, train_config(**{"confirm": 0, **changes}), 0, tmp_path / "scripted")


class Training:
    """A network on items, and engines that start from its parameters."""

    def __init__(
        self, form="torch with kernels", relaxation="dlgn", mode="soft", data=LIFE_ITEMS, widths=WIDTHS, seed=0, **changes
    ):
        self.form, self.data, self.seed = form, data, seed
        settings = {"relaxation": relaxation, "smoothing": mode, "residual": 0.9, **changes}
        self.network, self.parameters = gate_network(widths, data.inputs, data.target.shape[1], seed, **settings)
        self._compiled = None

    def engine(self):
        if self._compiled is None:
            data = self.data
            engine = build(self.form, self.network, self.parameters, data.inputs, data.target, seed=self.seed, threads=1)
            if self.form != "jax":
                return engine
            self._compiled = engine, engine.state()
        # Set back rather than made anew: it would compile anew too.
        engine, start = self._compiled
        engine.load_state(start)
        return engine

    def run(self, engine, path, **changes):
        return train(engine, self.network, self.data, self.data, train_config(**changes), self.seed, path)

    def interrupted(self, path, step=3, **changes):
        with pytest.raises(KeyboardInterrupt):
            self.run(InterruptAt(self.engine(), step), path, **changes)


# Where most of the time is the compilation.
SMALL = {"data": Items(*items(100, 5, 4)), "widths": (8,)}


def features(n=100):
    """Real-valued inputs."""
    return Items(*items(n, 5, 2, real=True))


def told(progress):
    """All that a training says, but for times."""
    readings = [replace(reading, seconds=0.0, steps_per_second=0.0) for reading in progress.curve]
    best = progress.best and progress.curve.index(progress.best)
    return progress.step, [astuple(reading) for reading in readings], best, progress.exact_in_a_row, progress.since_best


def test_a_small_function_is_learned_exactly_and_training_stops(tmp_path):
    conjunction = Items(LIFE.inputs, LIFE.inputs[:, :1] & LIFE.inputs[:, 4:5])
    training = Training(data=conjunction, widths=(64, 32, 16, 8, 4, 2))
    engine = training.engine()
    progress = training.run(engine, tmp_path / "c", max_steps=2000, confirm=3)
    assert progress.exact_in_a_row == 3
    assert progress.step < 2000
    assert progress.best.hard_accuracy == 1.0
    assert progress.exact_since.step == progress.step - 10
    assert np.array_equal(engine.hard(LIFE.inputs), conjunction.target)
    assert same_states(progress.best_parameters, engine.parameters())
    assert np.array_equal(progress.best_tables, RELAXATIONS["dlgn"].truth_tables(progress.best_parameters["theta"]))


RESUMED = {
    "kernels": ({}, {}),
    "minibatches": ({}, {"batch_size": 100, "schedule": "cosine", "warmup_steps": 10}),
    "noise": ({"relaxation": "warp", "mode": "gumbel_hard"}, {"batch_size": 64}),
    "torch": ({"form": "torch", "relaxation": "warp", "mode": "hard"}, {}),
    "thresholds": ({"data": features(), "thresholds": ThresholdConfig(3, 0.1)}, {}),
    "jax": ({"form": "jax", "mode": "gumbel_hard", **SMALL}, {"batch_size": 30}),
}


@cache
def unbroken(name):
    """(the training, what it comes to, the engine's state at its end)."""
    settings, changes = RESUMED[name]
    training = Training(**settings)
    engine = training.engine()
    with TemporaryDirectory() as folder:
        return training, training.run(engine, Path(folder) / "c", **changes), engine.state()


# Between runs of steps and, as Ctrl-C mostly comes, in the middle of one, or in an evaluation.
@pytest.mark.parametrize("place", [{"step": 0}, {"step": 7}, {"step": 20}, {"step": 33}, {"evaluation": 2}], ids=str)
@pytest.mark.parametrize("name", RESUMED)
def test_interrupted_and_continued_is_unbroken_to_the_bit(tmp_path, name, place):
    changes = RESUMED[name][1]
    training, expected, state = unbroken(name)
    with pytest.raises(KeyboardInterrupt):
        training.run(InterruptAt(training.engine(), **place), tmp_path / "c", **changes)
    continued = training.engine()
    found = training.run(continued, tmp_path / "c", **changes)
    assert told(found) == told(expected)
    assert same_states(continued.state(), state)
    assert np.array_equal(found.best_tables, expected.best_tables)
    assert same_states(found.best_parameters, expected.best_parameters)
    assert found.seconds > 0


def test_a_training_interrupted_again_and_again_is_unbroken_to_the_bit(tmp_path):
    training = Training(relaxation="warp", mode="gumbel_soft")
    expected = training.run(training.engine(), tmp_path / "whole")
    for _ in range(3):
        training.interrupted(tmp_path / "broken", 6)
    assert told(training.run(training.engine(), tmp_path / "broken")) == told(expected)


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    training = Training()

    class Stuck(InterruptAt):
        def run(self, batches, rates):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("went on")

    with pytest.raises(KeyboardInterrupt):
        training.run(Stuck(training.engine()), tmp_path / "c")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert training.run(training.engine(), tmp_path / "c", max_steps=5).step == 5


def test_the_last_steps_are_evaluated_too(tmp_path):
    training = Training()
    progress = training.run(training.engine(), tmp_path / "c", max_steps=13)
    assert [reading.step for reading in progress.curve] == [5, 10, 13]


def test_a_finished_training_is_not_trained_again(tmp_path):
    training = Training()
    first = training.run(training.engine(), tmp_path / "c")
    again = training.run(InterruptAt(training.engine(), 0, 1), tmp_path / "c")
    assert told(again) == told(first)
    assert np.array_equal(again.best_tables, first.best_tables)


def test_more_steps_continue_a_finished_training(tmp_path):
    training = Training()
    training.run(training.engine(), tmp_path / "c", max_steps=20)
    continued = training.run(training.engine(), tmp_path / "c")
    assert told(continued) == told(training.run(training.engine(), tmp_path / "whole"))


def test_checkpoints_are_written_while_it_trains(tmp_path):
    training = Training()

    class Killed(BaseException):
        pass

    class Dies(InterruptAt):
        def run(self, batches, rates):
            if self._left <= 0:
                raise Killed
            return super().run(batches, rates)

    with pytest.raises(Killed):
        training.run(Dies(training.engine(), 15), tmp_path / "c", checkpoint_seconds=1e-9)
    continued = training.run(training.engine(), tmp_path / "c")
    assert told(continued) == told(training.run(training.engine(), tmp_path / "whole"))
    assert {path.name for path in tmp_path.iterdir()} == {"c", "whole"}


def test_an_evaluation_is_what_the_engine_and_the_readings_say(tmp_path):
    training = Training()
    validation = Items(LIFE.inputs[:100], ~LIFE.target[:100])
    engine = training.engine()
    seen = []
    progress = train(engine, training.network, LIFE_ITEMS, validation, train_config(max_steps=10), 0, tmp_path / "c", seen.append)
    assert seen == progress.curve
    assert [reading.step for reading in seen] == [5, 10]
    last, tables = seen[-1], soft_tables(training.network, engine.parameters())
    assert last.hard_accuracy == np.mean(engine.hard(validation.inputs) == validation.target)
    assert last.soft_accuracy == np.mean((engine.soft(validation.inputs) > 0.5) == validation.target)
    assert last.gap == last.soft_accuracy - last.hard_accuracy
    assert (last.undecided, last.entropy) == (undecided_share(tables), mean_entropy(tables))
    norms = engine.gradient_norms()
    assert (last.first_gradient, last.last_gradient) == (norms[0], norms[-1])
    assert last.steps_per_second > 0
    reference = training.engine()
    assert last.loss == reference.run(None, rates(10)).losses[-1]


def test_an_item_counts_only_with_all_its_outputs_right(tmp_path):
    inputs, target = items(200, 5, 4)
    training = Training(data=Items(inputs, target), widths=(8,))
    engine = training.engine()
    progress = training.run(engine, tmp_path / "c", max_steps=5)
    assert progress.curve[-1].hard_accuracy == np.mean(np.all(engine.hard(inputs) == target, axis=1))
    assert 0 < progress.curve[-1].hard_accuracy < 0.5


def test_the_best_evaluation_is_kept_not_the_last(tmp_path):
    progress = follow(Scripted([0.5, 1.0, 0.25]), tmp_path, max_steps=15)
    assert [reading.hard_accuracy for reading in progress.curve] == [0.5, 1.0, 0.25]
    assert progress.best == progress.curve[1]
    assert progress.best_tables.tolist() == [1]
    assert progress.exact_since is None
    assert progress.exact_in_a_row == 0


def test_of_equal_evaluations_the_later_is_kept(tmp_path):
    progress = follow(Scripted([0.5, 0.75, 0.75, 0.5]), tmp_path, max_steps=20)
    assert progress.best == progress.curve[2]
    assert progress.best_tables.tolist() == [2]
    assert progress.since_best == 2


@pytest.mark.parametrize(("confirm", "steps"), [(1, 10), (2, 25), (3, 30), (0, 40)])
def test_training_ends_once_exact_often_enough_in_a_row(tmp_path, confirm, steps):
    progress = follow(Scripted([0.5, 1.0, 0.75, 1.0, 1.0, 1.0]), tmp_path, confirm=confirm)
    assert progress.step == steps
    assert progress.exact_since.step == (10 if confirm == 1 else 20)


@pytest.mark.parametrize(("patience", "steps"), [(1, 15), (2, 20), (3, 40), (0, 60)])
def test_training_ends_once_no_better_for_long(tmp_path, patience, steps):
    progress = follow(Scripted([0.25, 0.5, 0.25, 0.25, 0.75, 0.25, 0.75, 0.75]), tmp_path, patience=patience, max_steps=60)
    assert progress.step == steps


def test_training_ends_when_its_seconds_are_spent_and_compiling_costs_none(tmp_path):
    progress = follow(Scripted([0.5], seconds=0.02), tmp_path, max_steps=10**6, max_seconds=0.1)
    assert 0 < progress.step <= 25
    assert 0.1 <= progress.seconds < 500
    assert progress.compile_seconds == 1000.0


def test_seconds_of_what_came_before_count(tmp_path):
    network, parameters, inputs, target = learnable()
    given, spent = Items(inputs, target), {}
    for max_seconds in (99.0, 500.0):
        config = train_config(max_steps=10, confirm=0, max_seconds=max_seconds)
        engine = build("torch", network, parameters, inputs, target)
        spent[max_seconds] = train(engine, network, given, given, config, 0, tmp_path / str(max_seconds), seconds=100.0)
    assert [progress.step for progress in spent.values()] == [0, 10]
    assert spent[99.0].seconds == 100.0
    assert 100.0 < spent[500.0].curve[0].seconds <= spent[500.0].seconds < 500.0


@pytest.mark.parametrize("max_steps", [0, 2])
def test_a_budget_shorter_than_an_evaluation_still_gives_a_circuit(tmp_path, max_steps):
    training = Training()
    progress = training.run(training.engine(), tmp_path / "c", max_steps=max_steps)
    assert progress.step == max_steps
    assert progress.best_tables.shape == (training.network.n_gates,)
    assert [reading.step for reading in progress.curve] == [max_steps]
    assert np.isnan(progress.curve[0].loss) == (max_steps == 0)


@pytest.mark.parametrize(("n_items", "batch_size"), [(12, 4), (13, 4), (10, 10), (5, 1)])
def test_each_epoch_is_a_permutation_of_the_items(n_items, batch_size):
    in_epoch = n_items // batch_size
    drawn = batches(0, 0, 3 * in_epoch, batch_size, n_items)
    assert drawn.shape == (3 * in_epoch, batch_size)
    assert drawn.dtype == np.int64
    epochs = drawn.reshape(3, -1)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == in_epoch * batch_size
        assert set(epoch.tolist()) <= set(range(n_items))
    assert not np.array_equal(epochs[0], epochs[1])


def test_batches_do_not_depend_on_how_the_steps_are_run():
    whole = batches(3, 0, 40, 7, 30)
    for cuts in ([0, 40], [0, 1, 2, 17, 40], list(range(41))):
        parts = [batches(3, low, high - low, 7, 30) for low, high in pairwise(cuts)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(batches(4, 0, 40, 7, 30), whole)
    assert batches(3, 0, 40, None, 30) is None


def test_a_batch_of_all_items_or_more_is_all_of_them_in_order(tmp_path):
    training = Training(**SMALL)
    losses = [training.run(training.engine(), tmp_path / str(size), batch_size=size).best.loss for size in (None, 100, 1000)]
    assert losses[0] == losses[1] == losses[2]


def test_rates_rise_in_the_warmup_and_then_follow_the_schedule():
    constant = train_config(max_steps=100, warmup_steps=10)
    found = rates_of(constant, 0, 100)
    assert found.dtype == np.float32
    assert np.allclose(found[:10], 0.05 * np.arange(1, 11) / 10)
    assert np.allclose(found[10:], 0.05)
    cosine = rates_of(replace(constant, schedule="cosine"), 0, 100)
    assert np.allclose(cosine[:10], found[:10])
    assert np.all(np.diff(cosine[10:]) < 0)
    assert cosine[55] == pytest.approx(0.025)
    assert 0 < cosine[-1] < 0.05 * 1e-3
    assert np.array_equal(rates_of(replace(constant, schedule="cosine"), 37, 5), cosine[37:42])
    assert np.allclose(rates_of(train_config(max_steps=100), 0, 100), 0.05)


@pytest.mark.parametrize("form", FORMS)
def test_inputs_that_are_not_finite_are_named(tmp_path, form):
    network, parameters, inputs, target = learnable(real=True)
    spoilt = inputs.copy()
    spoilt[7, 2] = np.nan
    engine = build(form, network, parameters, spoilt, target)
    data = Items(spoilt, target)
    with pytest.raises(DivergedError, match=r"Step 1 met inputs that are not finite"):
        train(engine, network, data, data, train_config(max_steps=5), 0, tmp_path / "c")


@pytest.mark.parametrize("layer", [1, 3, 6])
@pytest.mark.parametrize("form", FORMS[:2])
def test_parameters_that_are_not_finite_name_their_layer(tmp_path, form, layer):
    training = Training(form, "warp")
    engine = training.engine()
    state = engine.state()
    state["theta"][training.network.layers[layer - 1].param[1 if layer < 6 else 0], 1] = np.inf
    engine.load_state(state)
    with pytest.raises(DivergedError, match=rf"parameters of layer {layer} that are not finite. Lower .*learning_rate"):
        training.run(engine, tmp_path / "c")


def test_thresholds_that_are_not_finite_are_named(tmp_path):
    network, parameters, inputs, target = learnable(real=True)
    engine = build("torch", network, parameters, inputs, target)
    state = engine.state()
    state["thresholds"][1, 1] = np.nan
    engine.load_state(state)
    with pytest.raises(DivergedError, match=r"thresholds that are not finite"):
        train(engine, network, Items(inputs, target), Items(inputs, target), train_config(), 0, tmp_path / "c")


@pytest.mark.parametrize(("form", "relaxation"), [*product(FORMS[:2], ["dlgn", "warp"]), ("jax", "warp")])
def test_a_rate_so_large_that_it_diverges_is_named_and_the_checkpoint_is_sound(tmp_path, form, relaxation):
    # Weight decay times this rate is 30: each step multiplies the parameters by -29, until they overflow.
    config = {"optimiser": replace(ADAMW, learning_rate=1e3)}
    training = Training(form, relaxation, **SMALL)
    with pytest.raises(DivergedError, match=r"Lower train.optimiser.learning_rate"):
        training.run(training.engine(), tmp_path / "c", **config)
    arrays = checkpoint.read(tmp_path / "c", checkpoint.identity(training.network, 0))
    for name, value in arrays.items():
        if name.startswith("engine."):
            assert np.all(np.isfinite(value)), name


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_training_that_diverged_continues_from_the_step_before(tmp_path, form):
    training = Training(form)
    expected = training.run(training.engine(), tmp_path / "whole")

    class Diverging(InterruptAt):
        """A loss that is not a number in the middle of a run of steps."""

        def run(self, batches, rates):
            if self._left >= len(rates):
                return super().run(batches, rates)
            done = self._inner.run(None, rates[: self._left])
            return Steps(np.append(done.losses, np.float32(np.nan)), False)

    with pytest.raises(DivergedError, match=rf"Step 13 met a loss of nan. Lower .*; the checkpoint at {tmp_path / 'c'}"):
        training.run(Diverging(training.engine(), 12), tmp_path / "c")
    assert told(training.run(training.engine(), tmp_path / "c")) == told(expected)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path, training = tmp_path / "c", Training()
    training.interrupted(path)
    path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    with pytest.raises(CheckpointError, match=rf"{path} cannot be read .* Delete it to train from the start"):
        training.run(training.engine(), path)


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"widths": (16, 16, 8, 4, 2)}, r"fan_in is \(63, 2\), here \(47, 2\)"),
        ({"widths": (16, 32, 8, 4, 2)}, "fan_in is"),
        ({"seed": 1}, "fan_in is"),
        ({"relaxation": "warp"}, "settings is"),
        ({"mode": "hard"}, "settings is"),
        ({"temperature": 2.0}, "settings is"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path, other, part):
    path, different = tmp_path / "c", Training(**other)
    Training().interrupted(path)
    with pytest.raises(CheckpointError, match=rf"of another network: its {part}.* Delete it to train from the start"):
        different.run(different.engine(), path)


def test_a_checkpoint_of_another_seed_is_refused_where_the_network_is_the_same(tmp_path):
    path, training = tmp_path / "c", Training()
    training.interrupted(path)
    training.seed = 1
    with pytest.raises(CheckpointError, match="of another network: its seed"):
        training.run(training.engine(), path)


def test_a_checkpoint_of_another_readout_is_refused(tmp_path):
    network, _ = gate_network([8, 6], 5, 3, classes=True)
    other = replace(network, readout=GroupSum(3, 9.0))
    checkpoint.write(tmp_path / "c", checkpoint.identity(network, 0), {})
    assert checkpoint.read(tmp_path / "c", checkpoint.identity(network, 0)) == {}
    for different in (other, replace(network, readout=None)):
        with pytest.raises(CheckpointError, match="of another network: its settings"):
            checkpoint.read(tmp_path / "c", checkpoint.identity(different, 0))


def test_a_checkpoint_of_another_version_names_both(tmp_path, monkeypatch):
    path, training = tmp_path / "c", Training()
    monkeypatch.setattr(checkpoint, "VERSION", 1)
    training.interrupted(path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=rf"has format version 1, this release writes {checkpoint.VERSION}. Delete it"):
        training.run(training.engine(), path)
    save_file({"theta": np.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=rf"has format version none, this release writes {checkpoint.VERSION}"):
        training.run(training.engine(), path)
