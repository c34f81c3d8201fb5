"""Networks: how dense ones are built, and discretised forms that agree."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import GATES, build, gate_network, gates_config, items, random_network

from codegen.circuit import Circuit
from codegen.equivalence import all_rows
from codegen.simulate import simulate
from methods import RELAXATIONS, MethodError, torch_network
from methods.base import Problem
from methods.gates import ThresholdConfig, build_gates
from methods.jax_network import JaxNetwork
from methods.network import Layer, Network, discretise, unreached, wired
from methods.stencil import neighbourhoods
from methods.thresholds import values
from methods.torch_network import TorchNetwork
from methods.wiring import WIRINGS
from tasks.life import CONWAY, step, truth

pytestmark = pytest.mark.usefixtures("quick_xla")

THRESHOLDS = ThresholdConfig(bits=3, softness=0.1)


@settings(deadline=None, max_examples=40)
@given(
    gate=st.sampled_from(GATES),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    n_inputs=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_every_hard_form_is_the_discretised_netlist(gate, widths, n_inputs, seed):
    network, parameters = random_network(*gate, n_inputs, widths, seed)
    tables = RELAXATIONS[network.relaxation].truth_tables(parameters["theta"])
    bits = all_rows(n_inputs)
    expected = simulate(discretise(network, tables), bits)
    for form in ("torch with kernels", "torch"):
        assert np.array_equal(build(form, network, parameters, bits, expected).hard(bits), expected)
    assert np.array_equal(TorchNetwork(network, tables, batch=7).evaluate(bits), expected)


@pytest.mark.parametrize(("relaxation", "arity"), [("dlgn", 2), ("warp", 5)])
def test_jax_hard_form_is_the_discretised_netlist_at_any_batch(relaxation, arity):
    network, parameters = random_network(relaxation, arity, 9, [12, 6, 2])
    tables = RELAXATIONS[relaxation].truth_tables(parameters["theta"])
    expected = simulate(discretise(network, tables), all_rows(9))
    for batch in (None, 100, 1000):
        assert np.array_equal(JaxNetwork(network, tables, batch).evaluate(all_rows(9)), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about its own code
def test_networks_with_a_readout_give_the_class_in_binary():
    network, parameters = gate_network([12, 11], 9, 3, classes=True, relaxation="warp", arity=3)
    tables = RELAXATIONS["warp"].truth_tables(parameters["theta"])
    bits = all_rows(9)
    expected = Circuit(discretise(network, tables), {}, None, network.readout).answers(bits)
    assert len(np.unique(expected, axis=0)) == 3
    for form in (TorchNetwork(network, tables, batch=100), JaxNetwork(network, tables, 100)):
        assert np.array_equal(form.evaluate(bits), expected)
        assert form.evaluate(bits[:0]).shape == (0, 2)
    try:
        form = torch_network.compiled(network, tables, 100)
    except torch_network.CompileUnavailableError as error:
        pytest.skip(f"torch.compile: {error}")
    assert np.array_equal(form.evaluate(bits), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about its own code
@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 65)])
def test_networks_step_boards_like_the_circuit(shape, torus, votes):
    network, parameters = gate_network([12, 6, 3], votes=votes)
    tables = RELAXATIONS["dlgn"].truth_tables(parameters["theta"])
    learned = Circuit(discretise(network, tables), readout=network.readout)
    board = np.random.default_rng(0).random(shape) < 0.5
    expected = board
    for _ in range(2):
        padded = np.pad(expected, 1, mode="wrap" if torus else "constant")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)
        expected = learned.answers(windows).reshape(shape)
    for form in (TorchNetwork(network, tables, 50), JaxNetwork(network, tables, 50)):
        stepper = form.stepper(board, torus)
        stepper.run(2)
        assert np.array_equal(stepper.board(), expected)


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (5, 7)])
def test_neighbourhoods_are_in_reading_order(shape, torus):
    board = np.random.default_rng(0).random(shape) < 0.5
    windows = neighbourhoods(np, board, torus)
    outputs = truth(CONWAY).target[(windows.T << np.arange(9)).sum(1), 0]
    assert np.array_equal(outputs.reshape(shape), step(board, CONWAY, torus))


def test_inputs_from_which_no_path_leads_to_an_output_are_unreached():
    # The output reads gates 1 and 2 of three, which read inputs 0, 2 and 4.
    first = Layer(np.array([[1, 3], [0, 2], [2, 4]], dtype=np.int32), np.arange(3, dtype=np.int32))
    second = Layer(np.array([[1, 2]], dtype=np.int32), np.array([3], dtype=np.int32))
    network = Network("warp", 6, (first, second), 1.0)
    assert unreached(network.layers, 6).tolist() == [1, 3, 5]
    assert (network.arity, network.n_gates, network.n_outputs, network.sources()) == (2, 4, 1, [6, 3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relaxation": "dlgm"}, r"There is no method.relaxation=dlgm here. Choices: dlgn, warp, light"),
        ({"wiring": "none"}, r"There is no method.wiring=none here. Choices: unique"),
        ({"smoothing": "harder"}, r"There is no method.smoothing=harder here. Choices: soft, hard, gumbel_soft, gumbel_hard"),
        ({"arity": 3}, r"There is no method.arity=3 here. Choices: 2\."),
        ({"relaxation": "warp", "arity": 7}, r"There is no method.arity=7 here. Choices: 1, 2, 3, 4, 5, 6"),
        ({"relaxation": "warp", "arity": 0}, r"There is no method.arity=0 here"),
    ],
)
def test_choices_that_do_not_exist_are_named(change, message):
    with pytest.raises(MethodError, match=message):
        gates_config(**change)


def test_thresholds_and_inputs_must_fit():
    with pytest.raises(MethodError, match=r"this task's are bits. Set it to null"):
        gate_network([4], thresholds=THRESHOLDS)
    with pytest.raises(MethodError, match=r"inputs are real-valued. Set method.thresholds"):
        gate_network([4], items(20, 3, 1, real=True)[0])


@pytest.mark.parametrize(
    ("widths", "arity", "found"),
    [
        ([4], 2, "5 of the 9 inputs"),
        ([9], 1, "8 of the 9 inputs"),
        ([12, 8], 2, "of the 9 inputs"),
        ([1], 6, "3 of the 9 inputs"),
    ],
)
def test_an_input_that_reaches_no_output_is_an_error_that_says_to_widen(widths, arity, found):
    said = f"{found}.* reach no output through layers of {', '.join(map(str, widths))}.* Widen .* method.widths"
    with pytest.raises(MethodError, match=said):
        gate_network(widths, 9, relaxation="warp", arity=arity)


@settings(deadline=None, max_examples=100)
@given(
    widths=st.lists(st.integers(1, 30), max_size=5),
    n_inputs=st.integers(1, 20),
    n_outputs=st.integers(1, 5),
    arity=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_layers_of_any_size_work_that_can_read_the_one_before(widths, n_inputs, n_outputs, arity, seed):
    layers = widths if widths[-1:] == [n_outputs] else [*widths, n_outputs]
    wide_enough = all(arity * width >= n for width, n in zip(layers, [n_inputs, *layers], strict=False))
    if not wide_enough:
        with suppress(MethodError):
            network, _ = gate_network(widths, n_inputs, n_outputs, seed, relaxation="warp", arity=arity)
            assert not len(unreached(network.layers, n_inputs))
        return
    network, parameters = gate_network(widths, n_inputs, n_outputs, seed, relaxation="warp", arity=arity)
    assert not len(unreached(network.layers, n_inputs))
    assert [layer.n_gates for layer in network.layers] == layers
    assert [layer.fan_in.shape for layer in network.layers] == [(width, arity) for width in layers]
    assert np.array_equal(np.concatenate([layer.param for layer in network.layers]), np.arange(network.n_gates))
    assert parameters["theta"].shape == (network.n_gates, 1 << arity)
    assert parameters.keys() == {"theta"}
    discretise(network, RELAXATIONS["warp"].truth_tables(parameters["theta"]))


def test_a_last_layer_is_added_only_where_the_widths_do_not_end_in_the_outputs():
    assert [layer.n_gates for layer in gate_network([5, 3], 6, 3)[0].layers] == [5, 3]
    assert [layer.n_gates for layer in gate_network([5], 6, 3)[0].layers] == [5, 3]
    assert [layer.n_gates for layer in gate_network([], 6, 3)[0].layers] == [3]


def test_thresholds_turn_each_feature_into_so_many_inputs():
    inputs = items(5000, 4, 2, real=True)[0]
    network, parameters = gate_network([8], inputs, 4, thresholds=THRESHOLDS)
    assert network.n_inputs == 12
    assert network.thresholds.n_features == 4
    assert parameters["thresholds"].shape == (4, 3)
    assert np.allclose(values(np, parameters["thresholds"]), [[0.25, 0.5, 0.75]], atol=0.05)


def test_candidates_start_where_fixed_wiring_is_and_must_be_signals():
    fixed, _ = gate_network([20, 12, 4], 9, 4, relaxation="warp", arity=3)
    network, parameters = gate_network([20, 12, 4], 9, 4, relaxation="warp", arity=3, candidates=7)
    assert parameters["choice"].shape == (36, 3, 7)
    assert np.array_equal(np.concatenate([layer.choice.param for layer in network.layers]), np.arange(36))
    for layer, other in zip(network.layers[:1], fixed.layers[:1], strict=True):
        assert np.array_equal(layer.fan_in, other.fan_in)
    for layer, at_start in zip(network.layers, wired(network, parameters).layers, strict=True):
        assert np.array_equal(layer.fan_in, layer.choice.candidates[:, :, 0])
        assert np.array_equal(at_start.fan_in, layer.fan_in)
    with pytest.raises(MethodError, match=r"method.candidates=10 is more than the 9 signals that a layer of 20 gates reads"):
        gate_network([20, 12, 4], 9, 4, candidates=10)


def test_each_wiring_of_dense_layers_is_of_the_layers_before():
    sizes = [60, 50, 40]
    for kind, wiring in WIRINGS.items():
        network, _ = gate_network(sizes, 30, 40, wiring=kind)
        rng, below, n_signals = np.random.default_rng(0), [], 30
        for width, layer in zip(sizes, network.layers, strict=True):
            below.append(wiring(n_signals, width, 2, rng, below))
            assert np.array_equal(layer.fan_in, below[-1])
            n_signals = width


def test_inputs_that_are_candidates_of_a_gate_are_not_lost():
    with pytest.raises(MethodError, match="of the 9 inputs"):
        gate_network([4], 9, 4)
    network, _ = gate_network([4], 9, 4, candidates=9)
    assert not len(unreached(network.layers, 9))


def test_a_network_is_a_function_of_its_settings_and_seed():
    config = gates_config(widths=[20, 10, 5, 3], residual=None)

    def made(seed):
        return build_gates(config, np.zeros((1, 9), dtype=bool), Problem(2, False), np.random.default_rng(seed))

    (network, parameters), (same, same_parameters), (other, other_parameters) = made(0), made(0), made(1)
    assert np.array_equal(same.layers[1].fan_in, network.layers[1].fan_in)
    assert np.array_equal(same_parameters["theta"], parameters["theta"])
    assert not np.array_equal(other.layers[1].fan_in, network.layers[1].fan_in)
    assert not np.array_equal(other_parameters["theta"], parameters["theta"])
