"""Convolutions of gates: which signals trees and pools read, and networks of them in every engine and as circuits."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import FORMS, STEADY, build, gate_network, items, rates, same_states

from codegen.simulate import simulate
from methods import MethodError, UnsuitableError
from methods import plan as plans
from methods.convolution import ConvolutionConfig, convolution
from methods.gates import ThresholdConfig
from methods.network import Network, discretise
from methods.relaxations import RELAXATIONS


def config(**changes):
    usual = {"kernels": 3, "size": 3, "stride": 1, "padding": 0, "depth": 1, "channels": 2, "pool": 1}
    return ConvolutionConfig(**{**usual, **changes})


def made(settings, shape, arity=2, seed=0, n_candidates=1):
    """The layers on an image of (channel, row, column) in reading order, and where their signals lie."""
    places = np.arange(np.prod(shape)).reshape(shape)
    return convolution(settings, "c", places, places.size, 0, arity, n_candidates, 0, np.random.default_rng(seed))


@st.composite
def convolutions(draw):
    """(settings, shape of the image, arity) that fit each other."""
    arity, depth, size, channels = (draw(st.integers(low, high)) for low, high in ((1, 4), (1, 3), (1, 4), (1, 3)))
    shape = tuple(draw(st.integers(1, high)) for high in (3, 7, 7))
    padding = draw(st.integers(0, 2))
    size = min(size, *(side + 2 * padding for side in shape[1:]))
    while arity**depth > min(channels, shape[0]) * size**2:
        arity, depth = (arity - 1, depth) if arity > 1 else (1, 1)
    settings = config(
        kernels=draw(st.integers(1, 5)), size=size, stride=draw(st.integers(1, 3)), padding=padding, depth=depth,
        channels=channels, pool=draw(st.integers(1, 4)),
    )  # fmt: skip
    return settings, shape, arity


@given(convolutions(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_a_tree_reads_the_same_places_around_each_of_its_positions(convolution, seed):
    settings, (n_channels, height, width), arity = convolution
    layers, _ = made(settings, (n_channels, height, width), arity, seed)
    ys, xs = ((side + 2 * settings.padding - settings.size) // settings.stride + 1 for side in (height, width))
    leaves = layers[0].fan_in.reshape(settings.kernels, -1, ys, xs, arity).transpose(0, 1, 4, 2, 3)
    leaves = leaves.reshape(settings.kernels, -1, ys, xs)
    false = n_channels * height * width
    for tree in leaves:
        seen = []
        for leaf in tree:
            offsets = set()
            for y, x in product(range(ys), range(xs)):
                if leaf[y, x] != false:
                    channel, row, column = np.unravel_index(leaf[y, x], (n_channels, height, width))
                    offsets.add((channel, row - y * settings.stride, column - x * settings.stride))
            assert len(offsets) <= 1  # none if the leaf is beyond the edge at every position
            for channel, row, column in offsets:
                assert 0 <= row + settings.padding < settings.size
                assert 0 <= column + settings.padding < settings.size
                for y, x in product(range(ys), range(xs)):
                    at = row + y * settings.stride, column + x * settings.stride
                    inside = 0 <= at[0] < height and 0 <= at[1] < width
                    assert leaf[y, x] == (np.ravel_multi_index((channel, *at), (n_channels, height, width)) if inside else false)
            seen += offsets
        assert len(set(seen)) == len(seen)
        assert len({channel for channel, _, _ in seen}) <= settings.channels


@given(convolutions(), st.integers(0, 99), st.data())
@settings(deadline=None, max_examples=40)
def test_a_leaf_chooses_among_the_same_places_around_each_position(convolution, seed, data):
    settings, shape, arity = convolution
    n_places = min(settings.channels, shape[0]) * settings.size**2
    n = data.draw(st.integers(2, n_places)) if n_places > 1 else 1
    fixed, _ = made(settings, shape, arity, seed)
    layers, _ = made(settings, shape, arity, seed, n)
    assert np.array_equal(layers[0].fan_in, fixed[0].fan_in)
    assert all(layer.choice is None for layer in layers[1:])
    if n == 1:
        assert layers[0].choice is None
        return
    candidates, param = layers[0].choice.candidates, layers[0].choice.param
    assert np.array_equal(param, layers[0].param)
    assert np.array_equal(candidates[:, :, 0], layers[0].fan_in)
    ys, xs = ((side + 2 * settings.padding - settings.size) // settings.stride + 1 for side in shape[1:])
    false = np.prod(shape)
    by_leaf = candidates.reshape(settings.kernels, -1, ys, xs, arity, n).transpose(0, 1, 4, 5, 2, 3).reshape(-1, n, ys, xs)
    for leaf in by_leaf:
        offsets = []
        for one in leaf:
            y, x = np.nonzero(one != false)
            channel, row, column = np.unravel_index(one[y, x], shape)
            found = {*zip(channel, row - y * settings.stride, column - x * settings.stride, strict=True)}
            assert len(found) <= 1
            offsets += found
        assert len(set(offsets)) == len(offsets)


def test_more_candidates_than_a_receptive_field_has_places_are_refused():
    made(config(size=2), (2, 5, 5), n_candidates=8)
    with pytest.raises(
        MethodError, match=r"method.candidates=9 is more than the 8 places of the receptive field of c \(2x2 in 2"
    ):
        made(config(size=2), (2, 5, 5), n_candidates=9)


@given(convolutions())
@settings(deadline=None, max_examples=40)
def test_the_gates_of_a_tree_share_their_parameters_over_positions_and_read_the_level_below(convolution):
    settings, shape, arity = convolution
    layers, places = made(settings, shape, arity)
    assert len(layers) == settings.depth
    n_positions = layers[-1].n_gates // settings.kernels
    n_params = 0
    for level, layer in enumerate(layers):
        n_gates = arity ** (settings.depth - 1 - level)
        param = layer.param.reshape(settings.kernels, n_gates, n_positions)
        assert np.array_equal(param[:, :, 0].ravel(), np.arange(n_params, n_params + settings.kernels * n_gates))
        assert np.all(param == param[:, :, :1])
        n_params += settings.kernels * n_gates
        assert layer.padded == (level == 0 and settings.padding > 0)
        if level > 0:
            tree, gate, position = np.unravel_index(layer.fan_in, (settings.kernels, n_gates * arity, n_positions))
            mine = np.unravel_index(np.arange(layer.n_gates), (settings.kernels, n_gates, n_positions))
            assert np.all(tree == mine[0][:, None])
            assert np.array_equal(gate, mine[1][:, None] * arity + np.arange(arity))
            assert np.all(position == mine[2][:, None])
    assert np.array_equal(places.ravel(), np.arange(layers[-1].n_signals))


@given(convolutions())
@settings(deadline=None, max_examples=40)
def test_a_pool_is_the_gates_of_a_square_and_the_edge_cuts_squares_off(convolution):
    settings, shape, arity = convolution
    layers, places = made(settings, shape, arity)
    pool = layers[-1].pool
    if settings.pool == 1:
        assert pool is None
        return
    ys, xs = ((side + 2 * settings.padding - settings.size) // settings.stride + 1 for side in shape[1:])
    gates = np.arange(layers[-1].n_gates).reshape(settings.kernels, ys, xs)
    assert places.shape == (settings.kernels, -(-ys // settings.pool), -(-xs // settings.pool))
    for kernel, y, x in np.ndindex(places.shape):
        square = gates[kernel, y * settings.pool : (y + 1) * settings.pool, x * settings.pool : (x + 1) * settings.pool]
        assert set(pool[places[kernel, y, x]]) == set(square.ravel())


TWO = [config(kernels=4, padding=1, depth=2, pool=2), config(kernels=6, padding=1, depth=2, pool=3)]


def conv_network(relaxation="dlgn", arity=2, smoothing="soft", real=False, classes=True, seed=0):
    """Two convolutions of a 5x4 image of one channel (of two bits if real), then a dense layer."""
    places = np.arange(20).reshape(1, 5, 4)
    inputs = items(30, 20, 1, seed, real)[0]
    network, parameters = gate_network(
        [12] if classes else [], inputs, 3, seed, classes, places, relaxation=relaxation, arity=arity, convolutions=TWO,
        smoothing=smoothing, thresholds=ThresholdConfig(2, 0.1) if real else None,
    )  # fmt: skip
    return network, parameters, inputs, np.eye(3, dtype=bool)[np.arange(30) % 3]


@pytest.mark.usefixtures("quick_xla")
@pytest.mark.parametrize(("relaxation", "arity"), [("dlgn", 2), ("warp", 2)])
@pytest.mark.parametrize("smoothing", ["soft", "hard", "gumbel_soft"])
def test_engines_take_the_same_steps_and_give_the_circuit_they_say(relaxation, arity, smoothing):
    training = conv_network(relaxation, arity, smoothing, real=relaxation == "warp")
    expected = None
    for form in FORMS:
        engine = build(form, *training, optimiser=STEADY)
        losses = engine.run(np.arange(24).reshape(3, 8), rates(3)).losses
        found = losses, engine.gradient_norms(), engine.parameters()
        expected = expected or found
        assert np.allclose(found[0], expected[0], rtol=0, atol=1e-6)
        assert np.allclose(found[1], expected[1], rtol=1e-4, atol=1e-7)
        assert all(np.allclose(found[2][name], expected[2][name], rtol=0, atol=1e-5) for name in found[2])


@pytest.mark.parametrize(("relaxation", "arity"), [("dlgn", 2), ("warp", 3)])
@pytest.mark.parametrize("hard", [False, True])
def test_kernels_take_kernels_one_by_one_and_get_the_same_to_the_bit(relaxation, arity, hard, monkeypatch):
    network, parameters, inputs, _ = conv_network(relaxation, arity)
    assert [layer.parts for layer in network.layers] == [1, 4, 1, 6, 1]
    at_once = replace(network, layers=tuple(replace(layer, parts=1) for layer in network.layers))
    coefficients = RELAXATIONS[relaxation].coefficients(np, parameters["theta"], 1.0)
    found = []
    for one, room in ((network, None), (at_once, None), (network, 0)):
        if room is not None:  # each block of layers in a span of its own
            monkeypatch.setattr(plans, "_SUMS_BYTES", room)
            monkeypatch.setattr(plans, "_SUMS_SHARE", 0.0)
        plan = plans.Plan(one, RELAXATIONS[relaxation].SIGMOID)
        for _ in range(2):
            values = plan.forward(inputs.T.astype(np.float32), coefficients, hard=hard, noise=0.5 * (arity > 2), key=3)
            found.append((values, *plan.backward(coefficients, values - 3, hard=hard, want_inputs=True)))
    assert len(plan._spans) == 3
    for other in found[1:]:
        assert all(np.array_equal(*pair) for pair in zip(found[0], other, strict=True))
    assert np.abs(found[0][1]).max() > 0


@pytest.mark.usefixtures("quick_xla")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("relaxation", "arity"), [("dlgn", 2), ("warp", 3)])
def test_the_hard_network_is_its_circuit(form, relaxation, arity):
    network, parameters, inputs, target = conv_network(relaxation, arity, classes=False)
    engine = build(form, network, parameters, inputs, target)
    engine.run(None, rates(5))
    circuit = discretise(network, RELAXATIONS[relaxation].truth_tables(engine.parameters()["theta"]))
    assert np.array_equal(engine.hard(inputs), simulate(circuit, inputs))
    assert network.n_gates == 4 * 20 * (arity + 1) + 6 * 6 * (arity + 1) + 3


def random_circuit(settings, shape, relaxation, arity, residual=None):
    """A convolution alone as a circuit, its tables drawn at random or near to copies."""
    layers, places = made(settings, shape, arity)
    network = Network(relaxation, int(np.prod(shape)), tuple(layers), 1.0)
    n_params = layers[-1].param.max() + 1
    theta = RELAXATIONS[relaxation].init(np.random.default_rng(0), n_params, arity, 1.0, residual)
    return discretise(network, RELAXATIONS[relaxation].truth_tables(theta)), places


def test_a_circuit_moves_with_its_image():
    circuit, places = random_circuit(config(kernels=4, padding=1, depth=2), (1, 6, 8), "dlgn", 2)
    board = np.zeros((20, 6, 8), dtype=bool)
    board[:, 1:4, 1:5] = np.random.default_rng(0).random((20, 3, 4)) < 0.5
    moved = np.roll(board, (1, 2), axis=(1, 2))
    here, there = (simulate(circuit, one.reshape(20, 48))[:, places] for one in (board, moved))
    assert np.array_equal(here[:, :, :5, :6], there[:, :, 1:, 2:])
    assert here.any()


def test_large_pools_are_ors_of_as_many_inputs_as_gates_can_have():
    circuit, _ = random_circuit(config(kernels=2, size=1, pool=4), (1, 4, 4), "warp", 1, residual=0.9)
    assert circuit.arity.max() == 6
    inputs = np.vstack([np.zeros(16, dtype=bool), np.eye(16, dtype=bool), np.ones(16, dtype=bool)])
    assert np.array_equal(simulate(circuit, inputs), np.repeat(inputs.any(axis=1)[:, None], 2, axis=1))


def test_training_continues_from_its_state_with_pools():
    training = conv_network("warp", 2, "gumbel_hard")
    engine, other = (build("torch with kernels", *training) for _ in range(2))
    engine.run(None, rates(2))
    other.load_state(engine.state())
    engine.run(None, rates(2))
    other.run(None, rates(2))
    assert same_states(engine.state(), other.state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 7}, r"method.convolutions\[0\].size=7 is larger than the image of 5x4"),
        ({"depth": 4}, "16 leaves with gates of 2 inputs, and the receptive field has only 9 places"),
        ({"size": 1, "depth": 1}, "2 leaves with gates of 2 inputs, and the receptive field has only 1 places"),
    ],
)
def test_convolutions_that_do_not_fit_are_refused_by_name(change, message):
    with pytest.raises(MethodError, match=message):
        gate_network([4], 20, 2, places=np.arange(20).reshape(1, 5, 4), convolutions=[config(**change)])


def test_items_that_are_no_images_are_refused():
    with pytest.raises(UnsuitableError, match="is for images, and this task's items are not"):
        gate_network([4], 20, 2, convolutions=[config()])


def test_what_convolutions_make_and_dense_layers_do_not_read_is_told():
    with pytest.raises(MethodError, match="of the 18 signals of the convolutions"):
        gate_network([4], 20, 2, places=np.arange(20).reshape(1, 5, 4), convolutions=[config()])
