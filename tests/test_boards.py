"""A network on whole boards is the network at each cell, generation after generation, and learns from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import FORMS, STEADY, build, gate_network, rates

from codegen.simulate import simulate
from methods import MethodError
from methods.boards import unrolled
from methods.convolution import ConvolutionConfig
from methods.network import discretise, wired
from methods.relaxations import RELAXATIONS
from methods.stencil import neighbourhoods
from tasks import TASKS
from tasks.life import CONWAY, BoardsConfig, LifeConfig, run

TREES = ConvolutionConfig(kernels=6, size=3, stride=1, padding=1, depth=2, channels=1, pool=2)


def cell_network(convolutions=(), seed=0, **changes):
    places = np.arange(9).reshape(1, 3, 3)
    return gate_network([24, 12, 8, 4, 2], 9, 1, seed, places=places, convolutions=list(convolutions), **changes)


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 6), width=st.integers(1, 6), steps=st.integers(1, 3), convolved=st.booleans(), seed=st.integers(0, 99)
)
def test_it_steps_boards_as_its_circuit_steps_each_cell(height, width, steps, convolved, seed):
    network, parameters = cell_network([TREES] * convolved, seed)
    tables = RELAXATIONS["dlgn"].truth_tables(parameters["theta"])
    cell, whole = (discretise(one, tables) for one in (network, unrolled(network, height, width, steps)))
    boards = np.random.default_rng(seed).random((5, height, width)) < 0.5
    found = simulate(whole, boards.reshape(5, -1)).reshape(boards.shape)
    for board, after in zip(boards, found, strict=True):
        for _ in range(steps):
            board = simulate(cell, neighbourhoods(np, board, True).T)[:, 0].reshape(board.shape)
        assert np.array_equal(after, board)


@settings(deadline=None, max_examples=10)
@given(height=st.integers(1, 5), width=st.integers(1, 5), steps=st.integers(1, 3), convolved=st.booleans())
def test_every_cell_chooses_as_the_network_does(height, width, steps, convolved):
    network, parameters = cell_network([TREES] * convolved, candidates=2)
    logits = np.random.default_rng(0).standard_normal(parameters["choice"].shape).astype(np.float32)
    parameters = {**parameters, "choice": logits}
    chosen = wired(unrolled(network, height, width, steps), parameters)
    expected = unrolled(wired(network, parameters), height, width, steps)
    for found, layer in zip(chosen.layers, expected.layers, strict=True):
        assert np.array_equal(found.fan_in, layer.fan_in)


@pytest.mark.usefixtures("quick_xla")
@pytest.mark.parametrize("form", FORMS)
def test_engines_train_on_boards_and_judge_cells(form):
    network, parameters = cell_network([TREES])
    boards = np.random.default_rng(0).random((6, 20)) < 0.5
    target = np.array([run(board.reshape(4, 5), CONWAY, True, 2).ravel() for board in boards])
    engine = build(form, network, parameters, boards, target, STEADY, trained=unrolled(network, 4, 5, 2))
    losses = engine.run(np.arange(6).reshape(2, 3), rates(2)).losses
    expected = build("torch", unrolled(network, 4, 5, 2), parameters, boards, target, STEADY)
    assert np.allclose(losses, expected.run(np.arange(6).reshape(2, 3), rates(2)).losses, atol=1e-6)
    assert np.allclose(engine.parameters()["theta"], expected.parameters()["theta"], atol=1e-5)
    assert engine.gradient_norms().shape == (len(network.layers),)
    cells = np.random.default_rng(1).random((50, 9)) < 0.5
    circuit = discretise(network, RELAXATIONS["dlgn"].truth_tables(engine.parameters()["theta"]))
    assert np.array_equal(engine.hard(cells), simulate(circuit, cells))


def test_the_task_says_what_boards_become():
    config = LifeConfig("life", "B36/S23", "dead", 8, 8, 0.5, 3, BoardsConfig(5, 6, 7, 4))
    boards = TASKS["life"].build(config).boards
    assert (boards.height, boards.width, boards.steps) == (6, 7, 4)
    assert boards.split.inputs.shape == boards.split.target.shape == (5, 42)
    task = TASKS["life"].build(config)
    for before, after in zip(boards.split.inputs, boards.split.target, strict=True):
        assert np.array_equal(run(before.reshape(6, 7), task.rule, True, 4).ravel(), after)


@pytest.mark.parametrize("change", [{"votes": 3}, {"inputs": 8}, {"n_outputs": 2}])
def test_only_networks_of_nine_bits_to_one_gate_go_on_boards(change):
    network, _ = gate_network([24, 12, 8, 4, 2], **{"inputs": 9, "n_outputs": 1, **change})
    with pytest.raises(MethodError, match="is for networks of nine bits to one gate"):
        unrolled(network, 4, 4, 1)
