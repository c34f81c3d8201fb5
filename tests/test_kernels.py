"""Kernels: the values and gradients of torch's own operations, the same to the bit however they are run."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import GATES, NAMESPACES, choosing, random_network, shared_network, smoothing, take, torch_columns

from codegen.readout import GroupSum
from codegen.simulate import simulate
from methods import RELAXATIONS, dlgn, kernels
from methods import plan as plans
from methods.kernels import softmax_coefficients, softmax_gradient
from methods.multilinear import monomial_coefficients
from methods.network import discretise, relaxed, summed, wired
from tests.conftest import ROOT

N_ITEMS = [1, 15, 16, 17, 37, 300]
xp = NAMESPACES["torch"]


def by_torch(network, coefficients, x, grad, noise=None, choice=None):
    """(outputs, gradient to the coefficients, gradient to x) of the relaxed network, by autograd; and to the choice logits, if
    there are any."""
    given = SimpleNamespace(coefficients=lambda xp, theta, *_: theta, activation=RELAXATIONS[network.relaxation].activation)
    leaves = [torch.tensor(coefficients, requires_grad=True), torch.tensor(x, requires_grad=True)]
    parameters = {"theta": leaves[0]}
    if choice is not None:
        leaves.append(torch.tensor(choice, requires_grad=True))
        parameters["choice"] = leaves[2]
    with patch.dict(RELAXATIONS, {network.relaxation: given}):
        *_, outputs = relaxed(xp, take, network, torch_columns(network), parameters, leaves[1], noise)
    members = network.members()
    outputs = summed(members if members is None else torch.tensor(members), outputs)
    outputs.backward(torch.tensor(grad))
    return outputs.detach().numpy(), *(np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves)


def by_kernels(plan, network, coefficients, x, grad, noise=None, choice=None):
    settings = {}
    if noise is not None:
        settings = {"hard": noise.hard, "noise": noise.noisy / network.temperature, "key": noise.key}
    if choice is not None:
        plan.choose(choice)
    outputs = plan.forward(x, coefficients, **settings)
    *found, to_logits = plan.backward(coefficients, grad, hard=settings.get("hard", False), want_inputs=True)
    if choice is None:
        assert to_logits is None
        return outputs, *found
    return outputs, *found, to_logits


def plan_of(network):
    return plans.Plan(network, RELAXATIONS[network.relaxation].SIGMOID)


def work(network, parameters, n_items, bits=False, seed=0):
    """(coefficients, x, gradient to the outputs); half of x is 0 or 1."""
    rng = np.random.default_rng(seed)
    x = rng.random((network.n_inputs, n_items), dtype=np.float32)
    x = np.where(np.full(x.shape, bits) | (rng.random(x.shape) < 0.5), np.round(x), x)
    grad = rng.standard_normal((network.n_values, n_items)).astype(np.float32)
    return RELAXATIONS[network.relaxation].coefficients(np, parameters["theta"], network.temperature), x, grad


def assert_same(found, expected):
    values, *gradients = zip(found, expected, strict=True)
    assert np.allclose(*values, atol=1e-5)
    for kernel, torchs in gradients:
        assert kernel.shape == torchs.shape
        assert np.allclose(kernel, torchs, rtol=1e-4, atol=2e-6 * max(1.0, np.abs(torchs).max()))


@pytest.mark.parametrize("n_items", N_ITEMS)
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_values_and_gradients_are_those_of_torch(relaxation, arity, n_items):
    network, parameters = random_network(relaxation, arity, 6, [20, 11, 4], temperature=0.8)
    given = work(network, parameters, n_items)
    expected = by_torch(network, *given)
    assert_same(by_kernels(plan_of(network), network, *given), expected)
    assert np.abs(expected[1]).max() > 1e-3
    assert np.abs(expected[2]).max() > 1e-4


@pytest.mark.parametrize("n_items", N_ITEMS)
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_rows_and_layers_that_share_parameters_add_their_gradients(relaxation, arity, n_items):
    network, parameters = shared_network(relaxation, arity)
    given = work(network, parameters, n_items)
    found = by_kernels(plan_of(network), network, *given)
    assert_same(found, by_torch(network, *given))
    assert np.all(found[1][[4, 7]] == 0)  # which nobody uses


def summed_network(relaxation, arity):
    """Three classes of four, four and three outputs."""
    network, parameters = random_network(relaxation, arity, 6, [20, 11])
    return replace(network, readout=GroupSum(3, 2.0)), parameters


@pytest.mark.parametrize("n_items", N_ITEMS)
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_sums_of_groups_have_the_values_and_gradients_of_torch(relaxation, arity, n_items):
    network, parameters = summed_network(relaxation, arity)
    given = work(network, parameters, n_items)
    found = by_kernels(plan_of(network), network, *given)
    assert found[0].shape == (3, n_items)
    assert_same(found, by_torch(network, *given))


@pytest.mark.parametrize("n_items", [1, 17, 300])
@pytest.mark.parametrize("n_candidates", [1, 3, 4, 9])
@pytest.mark.parametrize("gate", [("dlgn", 2), ("warp", 1), ("warp", 3), ("warp", 6)])
def test_choices_have_the_values_and_gradients_of_torch(gate, n_candidates, n_items):
    for network, parameters in (
        random_network(*gate, 6, [20, 11, 4], temperature=0.8),
        summed_network(*gate),
        shared_network(*gate, 0.8),
    ):
        network, parameters = choosing(network, parameters, n_candidates)
        given = work(network, parameters, n_items, bits=True)
        for mode in ("soft", "hard") if gate[0] == "warp" else ("soft",):
            noise = smoothing(mode)
            found = by_kernels(plan_of(network), network, *given, noise, parameters["choice"])
            expected = by_torch(network, *given, noise, parameters["choice"])
            assert_same(found, expected)
            assert (np.abs(expected[3]).max() > 1e-4) == (n_candidates > 1)


@pytest.mark.parametrize("n_candidates", [15, 16, 17, 40])
def test_choices_among_many_have_the_gradients_of_torch_whether_or_not_what_they_read_is_bits(n_candidates):
    network, parameters = choosing(*random_network("dlgn", 2, 40, [50, 4]), n_candidates)
    parameters["choice"] *= 30  # most of a softmax is nothing then
    coefficients, x, grad = work(network, parameters, 33, bits=True)
    almost = x.copy()
    almost[7, 32] = 0.25
    found = {}
    for name, inputs in (("bits", x), ("almost", almost)):
        given = coefficients, inputs, grad
        found[name] = by_kernels(plan_of(network), network, *given, choice=parameters["choice"])
        assert_same(found[name], by_torch(network, *given, smoothing("soft"), parameters["choice"]))
    assert not np.array_equal(found["bits"][3], found["almost"][3])


def test_choices_are_made_anew_for_every_step():
    network, parameters = choosing(*random_network("dlgn", 2, 6, [20, 11]), 5)
    given = work(network, parameters, 40)
    plan = plan_of(network)
    rng = np.random.default_rng(0)
    for _ in range(3):
        logits = rng.standard_normal(parameters["choice"].shape).astype(np.float32)
        fixed = wired(network, {**parameters, "choice": logits})
        found = by_kernels(plan, network, *given, choice=logits)
        for one, other in zip(found[:3], by_kernels(plan_of(fixed), fixed, *given), strict=True):
            assert np.allclose(one, other, atol=1e-5)  # in another order of the rows


@pytest.mark.parametrize("widths", [[1], [1, 1, 1], [5, 1, 3], [1, 40, 1]])
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_a_layer_may_have_one_gate(relaxation, arity, widths):
    network, parameters = random_network(relaxation, arity, 4, widths)
    given = work(network, parameters, 33)
    assert_same(by_kernels(plan_of(network), network, *given), by_torch(network, *given))


@settings(deadline=None, max_examples=40)
@given(
    gate=st.sampled_from(GATES),
    widths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    n_inputs=st.integers(1, 10),
    n_items=st.integers(1, 50),
    seed=st.integers(0, 99),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_any_network_has_the_values_and_gradients_of_torch(gate, widths, n_inputs, n_items, seed, temperature):
    network, parameters = random_network(*gate, n_inputs, widths, seed, temperature)
    given = work(network, parameters, n_items, seed=seed)
    assert_same(by_kernels(plan_of(network), network, *given), by_torch(network, *given))


@pytest.mark.parametrize("n_items", [1, 17, 300])
@pytest.mark.parametrize("mode", ["hard", "gumbel_soft", "gumbel_hard"])
@pytest.mark.parametrize("arity", [1, 2, 3, 6])
def test_noise_and_hard_gates_are_those_of_torch(arity, mode, n_items):
    for network, parameters in (
        random_network("warp", arity, 6, [20, 11, 4], temperature=0.8),
        summed_network("warp", arity),
        shared_network("warp", arity, 0.8),
    ):
        given = work(network, parameters, n_items, bits=True)
        noise = smoothing(mode, seed=1, step=5)
        found = by_kernels(plan_of(network), network, *given, noise)
        assert_same(found, by_torch(network, *given, noise))
        assert noise.hard == np.array_equal(found[0], np.round(found[0]))


@pytest.mark.parametrize("n_items", [1, 17, 300])
def test_hard_dlgn_gates_are_those_of_torch(n_items):
    network, _ = random_network("dlgn", 2, 6, [20, 11, 4])
    tables = np.random.default_rng(0).integers(0, 16, network.n_gates).astype(np.uint64)
    _, x, grad = work(network, {"theta": np.zeros((1, 16), dtype=np.float32)}, n_items, bits=True)
    given = dlgn.COEFFICIENTS[tables], x, grad
    found = by_kernels(plan_of(network), network, *given, smoothing("hard"))
    assert_same(found, by_torch(network, *given, smoothing("hard")))
    assert np.array_equal(found[0].T > 0.5, simulate(discretise(network, tables), x.T > 0.5))


def test_hard_gates_read_every_signal_as_0_or_1():
    network, parameters = random_network("warp", 3, 6, [10, 4])
    coefficients, x, grad = work(network, parameters, 40)
    plan = plan_of(network)
    rounded = by_kernels(plan, network, coefficients, np.float32(x > 0.5), grad, smoothing("hard"))
    for found, expected in zip(by_kernels(plan, network, coefficients, x, grad, smoothing("hard")), rounded, strict=True):
        assert np.array_equal(found, expected)


@settings(deadline=None, max_examples=30)
@given(
    arity=st.integers(1, 6),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    n_inputs=st.integers(1, 8),
    n_items=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_without_the_activation_truth_tables_go_through_exactly(arity, widths, n_inputs, n_items, seed):
    network, parameters = random_network("warp", arity, n_inputs, widths, seed)
    tables = RELAXATIONS["warp"].truth_tables(parameters["theta"])
    bits = np.random.default_rng(seed).random((n_items, n_inputs)) < 0.5
    exact = monomial_coefficients(tables, arity).astype(np.float32)
    outputs = plan_of(network).forward(bits.T.astype(np.float32), exact, activation=False)
    assert np.array_equal(outputs.T, simulate(discretise(network, tables), bits))


@pytest.mark.parametrize("shared", [False, True], ids=["dense", "shared"])
@pytest.mark.parametrize("gate", [("dlgn", 2), ("warp", 2), ("warp", 5)])
def test_several_spans_of_layers_give_the_gradients_of_one(gate, shared, monkeypatch):
    network, parameters = shared_network(*gate) if shared else random_network(*gate, 6, [20, 11, 4])
    given = work(network, parameters, 300)
    expected = by_torch(network, *given)
    n_spans = []
    monkeypatch.setattr(plans, "_SUMS_SHARE", 0.0)
    for room in (0, 4 * 16 * 15 << network.arity, 1 << 30):  # for no, for fifteen and for all parameters
        monkeypatch.setattr(plans, "_SUMS_BYTES", room)
        plan = plan_of(network)
        for _ in range(2):
            assert_same(by_kernels(plan, network, *given), expected)
        n_spans.append(len(plan._spans))
    assert n_spans[0] == len(network.layers)
    assert n_spans[-1] == 1


@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_a_plan_is_as_new_after_every_step(relaxation, arity):
    network, parameters = random_network(relaxation, arity, 6, [20, 11, 4])
    plan = plan_of(network)
    first = {n_items: by_kernels(plan_of(network), network, *work(network, parameters, n_items)) for n_items in (37, 5, 300)}
    for n_items in (37, 37, 5, 300, 300, 37):
        coefficients, x, grad = work(network, parameters, n_items)
        plan.forward(x[:, :3], coefficients)  # an evaluation that no backward pass follows
        without_inputs = plan.forward(x, coefficients), plan.backward(coefficients, grad)[0]
        again = by_kernels(plan, network, coefficients, x, grad)
        for found, expected in zip((*again, *without_inputs), (*first[n_items], *first[n_items][:2]), strict=True):
            assert np.array_equal(found, expected)


def test_the_gradient_to_the_inputs_is_none_where_nobody_wants_it():
    network, parameters = random_network("dlgn", 2, 6, [4])
    coefficients, x, grad = work(network, parameters, 20)
    plan = plan_of(network)
    plan.forward(x, coefficients)
    assert plan.backward(coefficients, grad)[1] is None


def test_arrays_may_have_any_memory_layout():
    network, parameters = random_network("warp", 3, 6, [20, 4])
    given = work(network, parameters, 37)
    expected = by_kernels(plan_of(network), network, *given)
    other = [np.asfortranarray(given[0]), np.repeat(given[1], 2, axis=1)[:, ::2], given[2][::-1].copy()[::-1]]
    for found, wanted in zip(by_kernels(plan_of(network), network, *other), expected, strict=True):
        assert np.array_equal(found, wanted)


@pytest.fixture
def threads():
    """Sets the kernels' threads for one test."""
    yield kernels.set_threads
    kernels.set_threads(2)


@pytest.mark.parametrize("n_items", [17, 300, 1000])
@pytest.mark.parametrize(("relaxation", "arity"), [("dlgn", 2), ("warp", 1), ("warp", 4)])
def test_results_are_the_same_to_the_bit_for_any_number_of_threads(relaxation, arity, n_items, threads):
    network, parameters = random_network(relaxation, arity, 9, [64, 64, 32])
    given = work(network, parameters, n_items)
    plan, results = plan_of(network), []
    for n in (1, 2, 2):
        threads(n)
        noise = smoothing("gumbel_soft") if relaxation == "warp" else None
        results.append(by_kernels(plan, network, *given, noise))
    for result in results[1:]:
        assert all(np.array_equal(found, expected) for found, expected in zip(result, results[0], strict=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("n_params", [1, 7, 40])
def test_the_softmax_has_the_values_and_gradients_of_torch(n_params, temperature):
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((n_params, 16))).astype(np.float32)
    grad = rng.standard_normal((n_params, 4)).astype(np.float32)
    leaf = torch.tensor(logits, requires_grad=True)
    soft = dlgn.coefficients(xp, leaf, temperature)
    soft.backward(torch.tensor(grad))
    for hard, expected in ((False, soft.detach().numpy()), (True, dlgn.COEFFICIENTS[np.argmax(logits, axis=1)])):
        weights = np.empty_like(logits)
        assert np.allclose(softmax_coefficients(logits, temperature, hard, weights), expected, atol=1e-6)
        softmax_gradient(weights, temperature, grad)
        assert np.allclose(weights, leaf.grad.numpy(), atol=1e-6)


def test_the_softmax_of_far_apart_logits_is_one_function_and_of_equal_ones_their_mean():
    logits = np.full((18, 16), -1000.0, dtype=np.float32)
    logits[np.arange(16), np.arange(16)] = 1000.0
    logits[16:] = [[0.0], [500.0]]
    coefficients = softmax_coefficients(logits, 1.0, False, None)
    assert np.allclose(coefficients[:16], dlgn.COEFFICIENTS, atol=1e-6)
    assert np.allclose(coefficients[16:], dlgn.COEFFICIENTS.mean(axis=0), atol=1e-6)
    lowest_table = dlgn.COEFFICIENTS[[0, 0]]
    assert np.array_equal(softmax_coefficients(logits, 1.0, True, None)[16:], lowest_table)


# No engine: importing the frameworks would take longer than the work.
KERNEL_RESULTS = """
import hashlib
import numpy as np
from methods import RELAXATIONS
from methods.plan import Plan
from methods.network import Layer, Network

rng = np.random.default_rng(0)
digest = hashlib.sha256()
for relaxation, arity in (("dlgn", 2), ("warp", 2), ("warp", 4)):
    layers = tuple(Layer(rng.integers(0, 9, (9, arity), dtype=np.int32), np.arange(9 * i, 9 * i + 9, dtype=np.int32))
                   for i in range(3))
    network = Network(relaxation, 9, layers, 1.0)
    theta = RELAXATIONS[relaxation].init(rng, 27, arity, 1.0, None)
    plan = Plan(network, RELAXATIONS[relaxation].SIGMOID)
    coefficients = RELAXATIONS[relaxation].coefficients(np, theta, 1.0)
    values = plan.forward(rng.random((9, 301), dtype=np.float32), coefficients, noise=1.0, key=7)
    for result in (values, *plan.backward(coefficients, values - np.float32(0.5), want_inputs=True)[:2]):
        digest.update(result.tobytes())
print(digest.hexdigest())
"""


def test_kernels_just_compiled_and_from_the_cache_agree_to_the_bit(tmp_path):
    environment = {**os.environ, "GATEBENCH_CACHE": str(tmp_path)}
    digests = [
        subprocess.run(
            [sys.executable, "-c", KERNEL_RESULTS], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 64
    assert list(tmp_path.rglob("kernels*.nbi"))
