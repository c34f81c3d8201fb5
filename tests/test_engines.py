"""Engines: torch with the kernels, torch without and jax keep one contract, and each can continue another's training."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from networks import (
    ADAMW,
    FORMS,
    NAMESPACES,
    STEADY,
    build,
    gate_network,
    items,
    learnable,
    rates,
    same_states,
    smoothing,
    take,
    torch_columns,
)

from codegen.readout import GroupSum, Majority
from codegen.simulate import simulate
from methods import RELAXATIONS, readout
from methods.engine import EngineConfig, EngineError, build_engine
from methods.gates import ThresholdConfig
from methods.network import columns, discretise, relaxed, summed, wired
from methods.smoothing import MODES
from methods.thresholds import bits, values

pytestmark = pytest.mark.usefixtures("quick_xla")

GATES = [("dlgn", 2), ("warp", 2), ("warp", 4), ("light", 3)]


def after_steps(form, training, optimiser=STEADY, n=3, batches=None, seed=3):
    """(losses, gradient norms, parameters) after a few steps."""
    engine = build(form, *training, optimiser=optimiser, seed=seed)
    done = engine.run(batches, rates(n))
    assert done.finite
    assert done.losses.shape == (n,)
    assert done.losses.dtype == np.float32
    return done.losses, engine.gradient_norms(), engine.parameters()


def assert_same_steps(found, expected):
    assert np.allclose(found[0], expected[0], rtol=0, atol=1e-6)
    assert np.allclose(found[1], expected[1], rtol=1e-4, atol=1e-7)
    assert found[2].keys() == expected[2].keys()
    for name in found[2]:
        assert np.allclose(found[2][name], expected[2][name], rtol=0, atol=1e-5), name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_engines_take_the_same_steps(relaxation, arity, mode):
    for real in (False, True):
        training = learnable(relaxation, arity, mode, real, temperature=0.8)
        expected = after_steps("torch", training)
        assert np.all(expected[1] > 1e-5)
        assert_same_steps(after_steps("torch with kernels", training), expected)
        # jax takes long to compile and has no code of its own for a mode, so each of its modes is tried with one kind of inputs;
        # two-input WARP gates are tried below.
        if (relaxation, arity) != ("warp", 2) and real == ((arity // 2 + MODES.index(mode)) % 2 == 0):
            assert_same_steps(after_steps("jax", training), expected)


@pytest.mark.parametrize(("relaxation", "arity", "mode"), [("dlgn", 2, "soft"), ("warp", 3, "hard"), ("light", 2, "gumbel_hard")])
def test_engines_take_the_same_steps_in_what_gates_read(relaxation, arity, mode):
    training = learnable(relaxation, arity, mode, widths=(16, 8), candidates=5)
    expected = after_steps("torch", training)
    assert np.abs(expected[2]["choice"] - training[1]["choice"]).max() > 0.01
    assert_same_steps(after_steps("torch with kernels", training), expected)
    assert_same_steps(after_steps("jax", training), expected)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_evaluated_reads_what_is_chosen(form):
    network, parameters, inputs, target = learnable("warp", 2, widths=(16, 8), candidates=5)
    engine = build(form, network, parameters, inputs, target)
    found = []
    for _ in range(2):
        now = engine.parameters()
        fixed = wired(network, now)
        assert all(layer.choice is None for layer in fixed.layers)
        circuit = discretise(fixed, RELAXATIONS["warp"].truth_tables(now["theta"]))
        assert np.array_equal(engine.hard(inputs), simulate(circuit, inputs))
        del now["choice"]
        assert np.allclose(engine.soft(inputs), build("torch", fixed, now, inputs, target).soft(inputs), atol=1e-6)
        found.append(np.concatenate([layer.fan_in for layer in fixed.layers]))
        engine.run(None, rates(30))
    assert not np.array_equal(*found)


def test_engines_take_the_same_steps_in_minibatches_at_changing_rates():
    training = learnable("warp", 2, "gumbel_hard", real=True, widths=(16, 8))
    jax.config.update("jax_disable_most_optimizations", False)  # what a training really runs
    batches = np.random.default_rng(0).permuted(np.tile(np.arange(40), (4, 1)), axis=1)[:, :17].astype(np.int64)
    found = {}
    for form in FORMS:
        engine = build(form, *training, optimiser=STEADY)
        done = engine.run(batches, np.array([0.01, 0.1, 0.0, 0.03], dtype=np.float32))
        found[form] = done.losses, engine.gradient_norms(), engine.parameters()
    for form in FORMS[::2]:
        assert_same_steps(found[form], found["torch"])


def test_a_minibatch_is_a_step_on_those_items_alone():
    network, parameters, inputs, target = learnable()
    batch = np.array([3, 39, 0, 17, 5], dtype=np.int64)
    found = after_steps("torch", (network, parameters, inputs, target), n=1, batches=batch[None])
    assert_same_steps(found, after_steps("torch", (network, parameters, inputs[batch], target[batch]), n=1))


def test_engines_clip_alike_and_report_the_gradient_before():
    training = learnable(real=True)
    optimiser = replace(STEADY, clip_norm=1e-3)
    unclipped, expected = (after_steps("torch", training, chosen, n=1) for chosen in (STEADY, optimiser))
    assert not np.allclose(expected[2]["theta"], unclipped[2]["theta"], rtol=0, atol=1e-3)
    for form in FORMS:
        found = after_steps(form, training, optimiser, n=1)
        # torch adds 1e-6 to the norm that it divides by
        assert all(np.allclose(found[2][name], expected[2][name], rtol=0, atol=1e-4) for name in found[2])
        assert np.allclose(found[1], unclipped[1], rtol=1e-4), form


def test_weight_decay_pulls_at_the_gates_and_not_at_the_thresholds():
    training = learnable(real=True)
    with_decay, without = (after_steps("torch", training, replace(STEADY, weight_decay=decay), n=1)[2] for decay in (2.0, 0.0))
    assert np.array_equal(with_decay["thresholds"], without["thresholds"])
    start = training[1]["theta"]
    assert np.allclose(without["theta"] - with_decay["theta"], 0.05 * 2.0 * start, rtol=0, atol=1e-6)


def test_a_first_step_goes_by_the_rate_against_the_gradient():
    # Adam's first step is the rate times the gradient's sign, where epsilon is far below the gradient.
    network, parameters, inputs, target = learnable()
    engine = build("torch", network, parameters, inputs, target, replace(ADAMW, weight_decay=0.0))
    before = np.mean((engine.soft(inputs) - target) ** 2)
    losses = engine.run(None, rates(1, 1e-3)).losses
    moved = engine.parameters()["theta"] - parameters["theta"]
    assert np.allclose(losses[0], before, atol=1e-6)
    assert np.mean((engine.soft(inputs) - target) ** 2) < before
    assert np.allclose(np.abs(moved), 1e-3, rtol=0.01)


@pytest.mark.parametrize("form", FORMS[:2])
def test_noise_is_of_the_seed_and_the_step(form):
    training = learnable("dlgn", 2, "gumbel_soft")
    losses = [build(form, *training, seed=seed).run(None, rates(3, 0.0)).losses.tolist() for seed in (1, 2)]
    assert len({*losses[0], *losses[1]}) == 6


def numeric_gradient(loss, leaf, step=1e-6):
    gradient = np.zeros_like(leaf)
    for index in np.ndindex(leaf.shape):
        there, back = leaf.copy(), leaf.copy()
        there[index] += step
        back[index] -= step
        gradient[index] = (loss(there) - loss(back)) / (2 * step)
    return gradient


@pytest.mark.parametrize("engine", ["torch", "jax"])
@pytest.mark.parametrize(
    ("relaxation", "arity", "summed_by"),
    [("dlgn", 2, GroupSum(3, 0.5)), ("warp", 3, None), ("warp", 2, Majority(1, 4, 0.5)), ("light", 3, None)],
)
def test_gradients_are_finite_differences(relaxation, arity, summed_by, engine):
    network, parameters, inputs, target = learnable(relaxation, arity, real=True, n_items=6, temperature=0.7)
    if summed_by is not None:
        network = replace(network, readout=summed_by)
        target = np.eye(3, dtype=bool)[np.arange(6) % 3][:, : summed_by.n_groups]
    names, leaves = list(parameters), [value.astype(np.float64) for value in parameters.values()]
    xp = NAMESPACES[engine]

    def loss(layers, *leaves):
        x, wanted = xp.asarray(inputs.T.astype(np.float64)), xp.asarray(target.T.astype(np.float64))
        *_, outputs = relaxed(xp, take, network, layers, dict(zip(names, leaves, strict=True)), x)
        members = network.members()
        values = summed(members if members is None else xp.asarray(members.astype(np.float64)), outputs)
        return readout.loss(xp, network.readout, values, wanted)

    if engine == "torch":
        tensors = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
        assert torch.autograd.gradcheck(lambda *given: loss(torch_columns(network), *given), tensors)
        return
    with jax.enable_x64(True):
        layers = columns(network, jnp.asarray)
        of_leaves = jax.jit(jax.value_and_grad(lambda *given: loss(layers, *given), (0, 1)))
        _, gradients = of_leaves(*leaves)
        for place, gradient in enumerate(gradients):
            others = leaves[:place], leaves[place + 1 :]
            expected = numeric_gradient(lambda leaf, others=others: of_leaves(*others[0], leaf, *others[1])[0], leaves[place])
            assert gradient.dtype == np.float64
            assert np.allclose(gradient, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("real", [False, True], ids=["bits", "thresholds"])
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_soft_and_hard_outputs_agree_and_hard_ones_are_the_netlists(relaxation, arity, real):
    network, parameters, inputs, target = learnable(relaxation, arity, "gumbel_hard", real)
    tables = RELAXATIONS[relaxation].truth_tables(parameters["theta"])
    other, _ = items(1500, 5, 4, seed=1, real=real)  # more than an engine evaluates at once
    if real:
        other[0] = np.nan
        other[1, 0], other[2, 1] = np.inf, -np.inf
    read = bits(np, parameters["thresholds"], other.T, network.thresholds)[1].T if real else other
    expected = simulate(discretise(network, tables), read)
    soft = {}
    for form in FORMS:
        engine = build(form, network, parameters, inputs, target)
        hard = engine.hard(other)
        assert hard.dtype == np.float32
        assert np.array_equal(hard, expected), form
        soft[form] = engine.soft(other[3:])
        assert soft[form].dtype == np.float32
        assert soft[form].shape == (1497, 4)
        assert np.allclose(soft[form], soft[FORMS[0]], rtol=0, atol=1e-5)
        assert np.all((soft[form] > -1e-6) & (soft[form] < 1 + 1e-6))


def test_the_hard_mode_trains_what_the_hard_outputs_are():
    # The loss of a hard network is the share of wrong bits.
    for relaxation, arity in GATES:
        network, parameters, inputs, target = learnable(relaxation, arity, "hard", real=True)
        for form in FORMS[:2]:
            engine = build(form, network, parameters, inputs, target)
            wrong = np.mean(engine.hard(inputs) != target)
            assert engine.run(None, rates(1)).losses[0] == pytest.approx(wrong, abs=1e-6)


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_feature_barely_above_a_threshold_is_true_in_the_hard_mode(form):
    # As wide a step as this makes exactly a half of such a feature in float32, and thresholds start on features.
    network, parameters = gate_network(
        [8], items(40, 5, 4, real=True)[0], 4, smoothing="hard", thresholds=ThresholdConfig(3, 1.0)
    )
    second = values(np, parameters["thresholds"])[:, 1]
    found = []
    for features in (np.nextafter(second, np.float32(2)), second):
        inputs = np.tile(features, (4, 1))
        found.append(build(form, network, parameters, inputs, np.zeros((4, 4), dtype=bool)).hard(inputs))
        assert build(form, network, parameters, inputs, found[-1]).run(None, rates(1)).losses[0] == 0
    assert not np.array_equal(*found)


def test_any_engine_continues_from_the_state_of_any():
    training = learnable("warp", 2, "gumbel_soft", real=True)
    engines = {form: build(form, *training, optimiser=STEADY) for form in FORMS}
    start = engines["torch"].state()

    def outcome(engine):
        return engine.run(None, rates(2)).losses, engine.gradient_norms(), engine.parameters()

    for first, second in product(FORMS, FORMS):
        engines[first].load_state(start)
        engines[first].run(None, rates(2))
        halfway = engines[first].state()
        unbroken = outcome(engines[first])
        engines[second].load_state(halfway)
        assert same_states(engines[second].state(), halfway)
        assert_same_steps(outcome(engines[second]), unbroken)
        assert engines[second].state()["step"].item() == 4


@pytest.mark.parametrize("form", FORMS)
def test_what_an_engine_hands_out_is_a_copy(form):
    training = learnable(real=True)
    engine = build(form, *training)
    engine.run(None, rates(1))
    kept = {name: value.copy() for name, value in engine.state().items()}
    for arrays in (engine.state(), engine.parameters()):
        for value in arrays.values():
            value[...] = 7
    given = {name: value.copy() for name, value in kept.items()}
    engine.load_state(given)
    engine.gradient_norms()[:] = 7
    for value in given.values():
        value[...] = 7
    assert same_states(engine.state(), kept)
    assert np.all(engine.gradient_norms() != 7)
    assert not np.any(training[1]["theta"] == 7)


@pytest.mark.parametrize("form", FORMS)
def test_preparing_and_loading_a_state_of_no_steps_change_nothing(form):
    engine = build(form, *learnable("dlgn", 2, "gumbel_soft"))
    before = engine.state()
    assert engine.prepare(None, 3) >= 0
    assert same_states(engine.state(), before)
    assert engine.gradient_norms().shape == (2,)
    assert np.isnan(engine.gradient_norms()).all()
    losses, after = engine.run(None, rates(3)).losses, engine.state()
    assert not same_states(after, before)
    engine.load_state(before)
    assert np.array_equal(engine.run(None, rates(3)).losses, losses)
    assert same_states(engine.state(), after)


@pytest.mark.parametrize(("form", "relaxation"), [*product(FORMS[:2], ["dlgn", "warp"]), ("jax", "warp")])
def test_a_step_on_parameters_that_are_not_finite_is_none(form, relaxation):
    network, *rest = learnable(relaxation)
    engine = build(form, network, *rest)
    engine.run(None, rates(3))
    good = engine.state()
    for layer in network.layers:
        for bad in (np.inf, np.nan):
            state = {name: value.copy() for name, value in good.items()}
            state["theta"][layer.param[0], 1] = bad
            engine.load_state(state)
            done = engine.run(None, rates(3))
            assert (done.finite, len(done.losses)) == (False, 1), (layer.param[0], bad)
            after = engine.state()
            assert all(np.array_equal(after[name], state[name], equal_nan=True) for name in state)
    engine.load_state(good)
    assert engine.run(None, rates(3)).finite


def test_steps_after_one_that_is_not_finite_are_not_taken():
    network, parameters, inputs, target = learnable("dlgn", 2, "gumbel_soft", real=True)
    inputs = inputs.copy()
    inputs[7, 0] = np.nan  # an item of the second minibatch
    batches = np.array([[0, 1, 2], [6, 7, 8], [3, 4, 5]])
    expected = build("torch", network, parameters, inputs, target, STEADY)
    expected.run(batches[:1], rates(1))
    for form in FORMS:
        engine = build(form, network, parameters, inputs, target, STEADY)
        done = engine.run(batches, rates(3))
        assert not done.finite
        assert np.isfinite(done.losses).tolist() == [True, False], form
        state = engine.state()
        assert state["step"].item() == 1, form
        for name, value in expected.state().items():
            assert np.allclose(state[name], value, rtol=1e-4, atol=1e-5), (form, name)


@pytest.mark.parametrize("mode", ["soft", "gumbel_hard"])
@pytest.mark.parametrize(("relaxation", "arity"), GATES)
def test_kernels_train_the_same_to_the_bit_for_any_number_of_threads(relaxation, arity, mode):
    training = learnable(relaxation, arity, mode, real=True, widths=(40, 40, 20, 10), n_items=500, candidates=4)
    states = []
    for threads in (1, 2, 2):
        engine = build("torch with kernels", *training, threads=threads)
        engine.run(None, rates(10))
        states.append(engine.state())
    assert same_states(states[1], states[0])
    assert same_states(states[2], states[0])


def test_an_engine_that_does_not_exist_is_named():
    training = learnable()
    with pytest.raises(EngineError, match=r"There is no engine=tensorflow. Choices: torch, jax"):
        build("tensorflow", *training)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_an_error_that_says_what_to_use():
    network, parameters, inputs, target = learnable()
    with pytest.raises(EngineError, match=r"no CUDA device here. Use train.device=auto or cpu"):
        build_engine(EngineConfig("torch", 2, True, "cuda"), network, parameters, ADAMW, inputs, target, 0)
    engine = build_engine(EngineConfig("torch", 2, True, "auto"), network, parameters, ADAMW, inputs, target, 0)
    assert engine.run(None, rates(1)).finite


def test_a_network_yields_the_bits_that_it_reads_and_then_each_layer():
    network, parameters, inputs, _ = learnable(real=True)
    tensors = {name: torch.tensor(value) for name, value in parameters.items()}
    x = torch.tensor(inputs.T.copy())
    for noise in (None, smoothing("hard")):
        read, *values = relaxed(NAMESPACES["torch"], take, network, torch_columns(network), tensors, x, noise)
        assert [len(value) for value in values] == [8, 4]
        soft, hard = bits(NAMESPACES["torch"], tensors["thresholds"], x, network.thresholds)
        assert torch.equal(read, soft if noise is None else hard.to(torch.float32))
