"""Ordinary networks: they learn by the same loop, continue from checkpoints, are timed, and claim no circuit."""

import numpy as np
import pytest
import torch
from networks import ADAMW, same_states, train_config

from methods import METHODS, MethodError, Problem, UnsuitableError, torch_network
from methods.checkpoint import CheckpointError
from methods.engine import EngineConfig, build_engine
from methods.ordinary import CNNConfig, MLPConfig, activated
from methods.torch_network import TorchNetwork
from methods.train import Items, train
from reports.record import Record
from tasks.life import CONWAY, truth
from tests.conftest import run_harness

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "step": lambda x: (x > 0).astype(np.float32)}


def mlp(inputs, size=1, classes=False, widths=(16, 16), seed=0, activation="relu"):
    config = MLPConfig("mlp", None, list(widths), activation)
    return METHODS["mlp"].build(config, inputs, Problem(size, classes), np.random.default_rng(seed))


def cnn(inputs, shape, size=1, classes=False, channels=(4,), widths=(8,), seed=0, activation="relu"):
    places = np.arange(np.prod(shape)).reshape(shape)
    config = CNNConfig("cnn", None, list(channels), list(widths), activation)
    return METHODS["cnn"].build(config, inputs, Problem(size, classes, places), np.random.default_rng(seed))


def engine_of(network, parameters, items, name="torch", threads=1):
    return build_engine(EngineConfig(name, threads, True, "cpu"), network, parameters, ADAMW, items.inputs, items.target, 0)


@pytest.fixture
def life():
    split = truth(CONWAY)
    return Items(split.inputs, split.target)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(), (5,), (16, 16)])
def test_the_engine_and_the_timed_form_compute_the_network_written_out(life, widths, activation):
    network, parameters = mlp(life.inputs, 3, widths=widths, activation=activation)
    x = life.inputs.astype(np.float32)
    for layer in range(len(widths) + 1):
        x = x @ parameters[f"weight{layer}"].T + parameters[f"bias{layer}"].T
        x = ACTIVATIONS[activation](x) if layer < len(widths) else x
    items = Items(life.inputs, np.tile(life.target, (1, 3)))
    engine = engine_of(network, parameters, items)
    assert np.allclose(engine.soft(life.inputs), x, rtol=1e-4, atol=1e-5)
    assert np.array_equal(engine.hard(life.inputs), engine.soft(life.inputs))
    sure = np.abs(x - 0.5).min(axis=1) > 1e-4
    said = TorchNetwork(network, parameters, batch=100).evaluate(life.inputs)
    assert np.array_equal(said[sure], (x > 0.5)[sure])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_convolutional_one_computes_the_network_written_out(activation):
    shape = (2, 5, 6)
    numbers = np.random.default_rng(0).random((7, 60), dtype=np.float32)
    network, parameters = cnn(numbers, shape, 3, classes=True, channels=(4,), widths=(8,), activation=activation)
    padded = np.pad(numbers.reshape(7, *shape), ((0, 0), (0, 0), (1, 1), (1, 1)))
    convolved = np.empty((7, 4, 5, 6))
    for y, x in np.ndindex(5, 6):
        convolved[:, :, y, x] = np.einsum("icyx,ocyx->io", padded[:, :, y : y + 3, x : x + 3], parameters["weight0"])
    convolved = ACTIVATIONS[activation](convolved + parameters["bias0"][:, None, None])
    pooled = convolved[:, :, :4].reshape(7, 4, 2, 2, 3, 2).max(axis=(3, 5)).reshape(7, -1)
    hidden = ACTIVATIONS[activation](pooled @ parameters["weight1"].T + parameters["bias1"])
    logits = hidden @ parameters["weight2"].T + parameters["bias2"]
    layers = network.layers({name: torch.from_numpy(value) for name, value in parameters.items()}, torch.from_numpy(numbers.T))
    assert network.widths == tuple(layer.shape[1] for layer in (pooled, hidden))
    for layer, expected in zip(layers, (pooled, hidden, logits), strict=True):
        assert np.allclose(layer.T, expected, rtol=1e-4, atol=1e-5)
    engine = engine_of(network, parameters, Items(numbers, np.eye(3, dtype=bool)[np.arange(7) % 3]))
    assert np.allclose(engine.soft(numbers), logits, rtol=1e-4, atol=1e-5)
    said = TorchNetwork(network, parameters, batch=4).evaluate(numbers)
    assert np.array_equal(said @ [1, 2], np.argmax(logits, axis=1))


def test_a_step_has_the_gradient_of_a_ramp_and_is_a_bit():
    x = torch.tensor([-2.0, -0.9, 0.0, 1e-9, 0.7, 3.0], requires_grad=True)
    bits = activated("step", x)
    assert bits.tolist() == [0, 0, 0, 1, 1, 1]
    bits.sum().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5, 0.5, 0.5, 0]


def test_images_that_are_none_or_too_small_are_refused():
    numbers = np.zeros((1, 9), dtype=np.float32)
    with pytest.raises(UnsuitableError, match="method=cnn is for images"):
        METHODS["cnn"].build(CNNConfig("cnn", None, [4], [], "relu"), numbers, Problem(1, False), np.random.default_rng(0))
    with pytest.raises(MethodError, match=r"method.channels=\[4, 4\] halves images of 3x3 2 times"):
        cnn(numbers, (1, 3, 3), channels=(4, 4))


def test_the_timed_form_says_the_class_in_binary_from_numbers(life):
    numbers = np.random.default_rng(0).random((50, 9), dtype=np.float32)
    network, parameters = mlp(numbers, 5, classes=True)
    said = TorchNetwork(network, parameters, batch=7).evaluate(numbers)
    values = engine_of(network, parameters, Items(numbers, np.eye(5, dtype=bool)[np.arange(50) % 5])).soft(numbers)
    assert np.array_equal(said @ [1, 2, 4], np.argmax(values, axis=1))
    assert torch_network.TorchNetwork(network, parameters).evaluate(numbers[:0]).shape == (0, 3)


def test_it_learns_life_and_an_interrupted_training_ends_the_same(tmp_path, life):
    network, parameters = mlp(life.inputs, widths=(64, 64))
    config = train_config(max_steps=400, confirm=2)
    progress = train(engine_of(network, parameters, life), network, life, life, config, 0, tmp_path / "a")
    assert progress.best.hard_accuracy == progress.best.soft_accuracy == 1.0
    assert progress.best_tables is None
    assert np.isnan(progress.best.undecided)
    part = train_config(max_steps=10, confirm=2)
    train(engine_of(network, parameters, life), network, life, life, part, 0, tmp_path / "b")
    again = train(engine_of(network, parameters, life), network, life, life, config, 0, tmp_path / "b")
    assert again.step == progress.step
    assert same_states(again.best_parameters, progress.best_parameters)


def test_it_trains_the_same_to_the_bit_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    items = Items(rng.random((1000, 784), dtype=np.float32), np.eye(10, dtype=bool)[rng.integers(0, 10, 1000)])
    network, parameters = mlp(items.inputs, 10, classes=True, widths=(128, 128))
    states = []
    for threads in (1, 2):
        engine = engine_of(network, parameters, items, threads=threads)
        engine.run(None, np.full(5, 0.01, dtype=np.float32))
        states.append(engine.state())
    assert same_states(*states)


def test_a_checkpoint_of_another_width_is_refused(tmp_path, life):
    for widths, refused in (((8,), False), ((9,), True)):
        network, parameters = mlp(life.inputs, widths=widths)
        arguments = (network, life, life, train_config(max_steps=5), 0, tmp_path / "c")
        if refused:
            with pytest.raises(CheckpointError, match="of another network"):
                train(engine_of(network, parameters, life), *arguments)
        else:
            train(engine_of(network, parameters, life), *arguments)


def test_jax_does_not_train_it(life):
    with pytest.raises(UnsuitableError, match=r"method=mlp, train with engine=torch"):
        engine_of(*mlp(life.inputs), life, name="jax")


def test_a_job_is_scored_and_timed_and_leaves_no_circuit(tmp_path):
    done = run_harness("method=cnn", "task=digits", "timing=quick", "train.max_steps=150", "runs_dir=r", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("r/*/record.json")
    record = Record.read(path)
    assert (record.status, record.relaxation, record.circuit_file) == ("ok", None, None)
    training = record.training
    assert training.soft_accuracy > 0.9
    assert (training.hard_accuracy, training.gap, training.gates_learned, training.gate_types) == (None, None, None, [])
    (row,) = record.rows
    assert (row.backend, row.status, row.exact, row.gates) == ("nn-torch", "ok", None, None)
    assert abs(row.compiled_accuracy - training.soft_accuracy) < 0.01
    assert row.ns_per_item > 0
    assert row.end_to_end_ns_per_item > 0
    assert "discretised" not in done.stdout
    assert max(map(len, (line for line in done.stdout.splitlines() if "/record.json" not in line))) <= 80
