"""Networks: discretised forms agree, and kernels agree with torch in value and gradient."""

import os
import subprocess
import sys

import array_api_compat.torch as xp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.equivalence import all_rows
from codegen.simulate import simulate
from methods import RELAXATIONS, MethodError
from methods.dense import DenseConfig, build_dense
from methods.jax_engine import JaxNetwork
from methods.network import Layer, Network, discretise
from methods.readout import bit_error
from methods.stencil import neighbourhoods
from methods.torch_engine import TorchEngine, TorchNetwork, _kernel_run, _torch_run
from methods.train import OptimiserConfig
from tasks.life import CONWAY, step, truth
from tests.conftest import ROOT

ADAMW = OptimiserConfig(learning_rate=0.05, betas=(0.9, 0.99), weight_decay=0.03, epsilon=1e-12, clip_norm=100.0)


def dense(widths, n_inputs=9, n_outputs=1, seed=0, pass_through=None, **changes):
    settings = {"name": "dlgn", "relaxation": "dlgn", "arity": 2, "wiring": "unique", "temperature": 1.0}
    config = DenseConfig(**{**settings, "widths": widths, "pass_through": pass_through, **changes})
    return build_dense(config, n_inputs, n_outputs, np.random.default_rng(seed))


def shared_network():
    """Two layers in which rows share parameters, as the positions of a convolution kernel do."""
    rng = np.random.default_rng(3)
    first = Layer(rng.integers(0, 5, (8, 2), dtype=np.int32), np.array([0, 0, 0, 0, 1, 1, 2, 2], dtype=np.int32))
    second = Layer(rng.integers(0, 8, (3, 2), dtype=np.int32), np.array([3, 3, 4], dtype=np.int32))
    theta = rng.standard_normal((5, 16)).astype(np.float32)
    return Network("dlgn", 5, (first, second), 1.0), theta


@settings(deadline=None, max_examples=25)
@given(
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    n_inputs=st.integers(1, 10),
    n_outputs=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_every_hard_form_is_the_discretised_netlist(widths, n_inputs, n_outputs, seed):
    network, theta = dense(widths, n_inputs, n_outputs, seed)
    tables = RELAXATIONS["dlgn"].truth_tables(theta)
    bits = all_rows(n_inputs)
    expected = simulate(discretise(network, tables), bits)
    assert np.array_equal(TorchEngine(network, theta, ADAMW, 1, True).hard(bits), expected)
    assert np.array_equal(TorchEngine(network, theta, ADAMW, 1, False).hard(bits), expected)
    assert np.array_equal(TorchNetwork(network, tables, batch=7).evaluate(bits), expected)


def test_jax_hard_form_is_the_discretised_netlist_at_any_batch():
    network, theta = dense([12, 6], 9, 2)
    tables = RELAXATIONS["dlgn"].truth_tables(theta)
    expected = simulate(discretise(network, tables), all_rows(9))
    for batch in (None, 1, 100, 512, 1000):
        assert np.array_equal(JaxNetwork(network, tables, batch).evaluate(all_rows(9)), expected)


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 65)])
def test_networks_step_boards_like_the_circuit(shape, torus):
    network, theta = dense([12, 6])
    tables = RELAXATIONS["dlgn"].truth_tables(theta)
    learned = discretise(network, tables)
    board = np.random.default_rng(0).random(shape) < 0.5
    expected = board
    for _ in range(2):
        padded = np.pad(expected, 1, mode="wrap" if torus else "constant")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)
        expected = simulate(learned, windows).reshape(shape)
    for form in (TorchNetwork(network, tables, 50), JaxNetwork(network, tables, 50)):
        stepper = form.stepper(board, torus)
        stepper.run(2)
        assert np.array_equal(stepper.board(), expected)


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (5, 7)])
def test_neighbourhoods_are_in_reading_order(shape, torus):
    board = np.random.default_rng(0).random(shape) < 0.5
    items = neighbourhoods(np, board, torus)
    outputs = truth(CONWAY).target[(items.T << np.arange(9)).sum(1), 0]
    assert np.array_equal(outputs.reshape(shape), step(board, CONWAY, torus))


@pytest.mark.parametrize("make", [lambda: dense([20, 11, 4], 6, 3), shared_network], ids=["dense", "shared"])
def test_kernels_give_the_values_and_gradients_of_torch(make):
    network, theta = make()
    x = torch.rand(network.n_inputs, 37)
    target = torch.rand(network.n_outputs, 37)
    results = []
    for run in (_torch_run(network), _kernel_run(network)):
        parameters = torch.tensor(theta, requires_grad=True)
        outputs = run(x, RELAXATIONS["dlgn"].coefficients(xp, parameters, 1.0))
        bit_error(xp, outputs, target).backward()
        results.append((outputs.detach().numpy(), parameters.grad.numpy()))
    (values, gradients), (kernel_values, kernel_gradients) = results
    assert np.allclose(values, kernel_values, atol=1e-6)
    assert np.allclose(gradients, kernel_gradients, atol=1e-7)
    assert np.abs(gradients).max() > 1e-4


def test_gradients_are_finite_differences():
    network, theta = dense([8, 5], 4, 2)
    relaxation = RELAXATIONS["dlgn"]
    x, target = torch.rand(4, 16, dtype=torch.float64), torch.rand(2, 16, dtype=torch.float64)

    def loss(parameters):
        coefficients = relaxation.coefficients(xp, parameters, 1.0)
        return bit_error(xp, _torch_run(network)(x, coefficients), target)

    assert torch.autograd.gradcheck(loss, torch.tensor(theta, dtype=torch.float64, requires_grad=True))


def test_training_is_the_same_to_the_bit_for_any_number_of_threads():
    network, theta = dense([64, 64, 32], pass_through=5.0)
    split = truth(CONWAY)
    states = []
    for threads in (1, 2, 2):
        engine = TorchEngine(network, theta, ADAMW, threads, True)
        for _ in range(20):
            engine.step(split.bits, split.target)
        states.append(engine.state())
    for state in states[1:]:
        assert all(np.array_equal(state[name], states[0][name]) for name in states[0])


KERNEL_RESULTS = """
import hashlib, numpy as np
from methods import RELAXATIONS
from methods.dense import DenseConfig, build_dense
from methods.kernels import Plan

config = DenseConfig("dlgn", "dlgn", 2, "unique", [40, 30], None, 1.0)
network, theta = build_dense(config, 9, 1, np.random.default_rng(0))
coefficients = RELAXATIONS["dlgn"].coefficients(np, theta, 1.0)
plan = Plan(network)
x = np.random.default_rng(1).random((9, 301), dtype=np.float32)
values = plan.forward(x, coefficients)
gradient = plan.backward(x, coefficients, values - 0.5)
print(hashlib.sha256(values.tobytes() + gradient.tobytes()).hexdigest())
"""


def test_kernels_just_compiled_and_from_the_cache_agree_to_the_bit(tmp_path):
    environment = {**os.environ, "GATEBENCH_CACHE": str(tmp_path)}
    digests = [
        subprocess.run(
            [sys.executable, "-c", KERNEL_RESULTS], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert digests[0].stdout == digests[1].stdout
    assert len(digests[0].stdout.strip()) == 64


def test_a_network_of_other_arity_has_no_kernels_and_says_so():
    layer = Layer(np.zeros((2, 3), dtype=np.int32), np.arange(2, dtype=np.int32))
    with pytest.raises(ValueError, match=r"have 3. Use train.kernels=false"):
        _kernel_run(Network("dlgn", 3, (layer,), 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relaxation": "dlgm"}, "There is no method.relaxation=dlgm here. Choices: dlgn"),
        ({"wiring": "none"}, "There is no method.wiring=none"),
        ({"arity": 3}, "There is no method.arity=3 here. Choices: 2"),
    ],
)
def test_choices_that_do_not_exist_are_named(change, message):
    with pytest.raises(MethodError, match=message):
        dense([4], **change)


def test_a_last_layer_is_added_only_where_the_widths_do_not_end_in_the_outputs():
    assert [layer.n_rows for layer in dense([5, 3], n_outputs=3)[0].layers] == [5, 3]
    assert [layer.n_rows for layer in dense([5], n_outputs=3)[0].layers] == [5, 3]
    assert [layer.n_rows for layer in dense([], n_outputs=3)[0].layers] == [3]
