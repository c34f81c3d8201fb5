"""Noise that is a hash: the same everywhere, of the right distribution; and hard forwards with soft gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from networks import NAMESPACES, smoothing

from methods import dlgn, light, warp
from methods.multilinear import evaluate
from methods.smoothing import MODES, mix, step_key

EULER = 0.5772156649
COUNTERS = [0, 1, 2, 511, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
COUNTERS += np.random.default_rng(0).integers(0, 1 << 32, 1000).tolist()


def mixed_by_hand(x):
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def test_mixing_is_the_same_for_every_kind_of_integer():
    expected = [mixed_by_hand(x) for x in COUNTERS]
    assert [mix(x) for x in COUNTERS] == expected
    assert mix(np.array(COUNTERS, dtype=np.int64)).tolist() == expected
    assert mix(np.array(COUNTERS, dtype=np.uint32)).tolist() == expected
    assert mix(torch.tensor(COUNTERS)).tolist() == expected
    assert mix(jnp.array(np.array(COUNTERS, dtype=np.uint32))).tolist() == expected
    assert len(set(expected)) == len(set(COUNTERS))


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
def test_a_steps_key_is_the_same_in_every_engine(seed):
    for step in (0, 1, 999_999):
        key = step_key(seed, step)
        assert 0 <= key < 2**32
        assert int(step_key(seed, jnp.asarray(step, dtype=jnp.uint32))) == key


def test_keys_of_steps_and_seeds_differ():
    assert len({step_key(seed, step) for seed in range(100) for step in range(100)}) == 10_000


def test_uniform_numbers_are_uniform_and_never_0_or_1():
    u = smoothing("gumbel_soft", engine="numpy").uniform(0, 2000, 1000)
    assert u.dtype == np.float32
    assert u.min() > 0
    assert u.max() < 1
    u = u.astype(float)
    assert abs(u.mean() - 1 / 2) < 1e-3
    assert abs(u.var() - 1 / 12) < 5e-4
    counts, _ = np.histogram(u, 100, (0, 1))
    assert np.all(np.abs(counts / u.size - 0.01) < 5e-4)


@pytest.mark.parametrize("bits", [0, 0xFFFFFFFF])
def test_the_extreme_hashes_are_still_strictly_between_0_and_1(bits, monkeypatch):
    monkeypatch.setattr("methods.smoothing.mix", lambda x: x * 0 + bits)
    assert 0 < smoothing("gumbel_soft", engine="numpy").uniform(0, 1, 1)[0, 0] < 1


def test_uniform_numbers_of_other_rows_columns_steps_and_seeds_are_independent():
    def drawn(seed, step):
        return smoothing("gumbel_soft", seed, step, "numpy").uniform(0, 500, 500).astype(float)

    u, above = drawn(0, 0), np.triu_indices(500, 1)
    pairs = [(u[1:], u[:-1]), (u[:, 1:], u[:, :-1]), (u[above], u.T[above])]
    pairs += [(u, drawn(0, 1)), (u, drawn(1, 0)), (drawn(0, 1), drawn(1, 0))]
    for first, second in pairs:
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01


def test_a_rows_numbers_do_not_depend_on_the_rows_drawn_with_it():
    noise = smoothing("gumbel_soft", 3, 7, "numpy")
    assert np.array_equal(noise.uniform(5, 3, 20), noise.uniform(0, 8, 30)[5:, :20])


def test_engines_draw_the_same_numbers_to_the_bit():
    expected = smoothing("gumbel_soft", 3, 7, "numpy").uniform(4, 20, 30)
    for engine in ("torch", "jax"):
        assert np.array_equal(np.asarray(smoothing("gumbel_soft", 3, 7, engine).uniform(4, 20, 30)), expected)


def test_gumbel_and_logistic_noise_have_their_mean_and_variance():
    noise = smoothing("gumbel_soft", engine="numpy")
    gumbel = noise.gumbel(np, 1000, 1000).astype(float)
    assert abs(gumbel.mean() - EULER) < 0.005
    assert abs(gumbel.var() - math.pi**2 / 6) < 0.02
    logistic = noise.logistic(np, 0, 1000, 1000).astype(float)
    assert abs(logistic.mean()) < 0.01
    assert abs(logistic.var() - math.pi**2 / 3) < 0.03


def test_engines_agree_on_gumbel_and_logistic_noise():
    by_numpy = smoothing("gumbel_soft", 3, 7, "numpy")
    for engine in ("torch", "jax"):
        noise, xp = smoothing("gumbel_soft", 3, 7, engine), NAMESPACES[engine]
        assert np.allclose(np.asarray(noise.gumbel(xp, 20, 30)), by_numpy.gumbel(np, 20, 30), atol=1e-5)
        assert np.allclose(np.asarray(noise.logistic(xp, 4, 20, 30)), by_numpy.logistic(np, 4, 20, 30), atol=1e-5)


def test_hardened_torch_values_are_hard_with_the_gradient_of_soft():
    x = torch.linspace(-3, 3, 1001, requires_grad=True)
    for mode in MODES:
        soft = torch.tanh(x) / 3
        value = smoothing(mode).harden(soft, x > 0.3)
        expected = (x > 0.3).to(torch.float32) if mode.endswith("hard") else soft
        assert torch.equal(value, expected)
        (found,) = torch.autograd.grad(value.sum(), x)
        (wanted,) = torch.autograd.grad((torch.tanh(x) / 3).sum(), x)
        assert torch.equal(found, wanted)


def test_hardened_jax_values_are_hard_with_the_gradient_of_soft():
    x = jnp.linspace(-3, 3, 1001)

    def soft(x):
        return jnp.tanh(x) / 3

    for mode in MODES:

        def hardened(x, mode=mode):
            return smoothing(mode, engine="jax").harden(soft(x), x > 0.3)

        expected = (x > 0.3).astype(jnp.float32) if mode.endswith("hard") else soft(x)
        assert np.array_equal(hardened(x), expected)
        assert np.array_equal(jax.grad(lambda x: hardened(x).sum())(x), jax.grad(lambda x: soft(x).sum())(x))


def parameters_and_inputs():
    rng = np.random.default_rng(0)
    theta = torch.tensor(rng.standard_normal((30, 16)).astype(np.float32))
    return theta, [torch.tensor(x) for x in rng.random((2, 30, 9), dtype=np.float32)]


def values(relaxation, mode, step=0):
    theta, inputs = parameters_and_inputs()
    theta = theta if relaxation is dlgn else theta[:, :4]
    return relaxation.gate(NAMESPACES["torch"], theta, inputs, 0.7, None if mode is None else smoothing(mode, 0, step))


@pytest.mark.parametrize("relaxation", [dlgn, warp, light])
def test_the_soft_mode_is_the_plain_relaxation(relaxation):
    assert torch.equal(values(relaxation, "soft"), values(relaxation, None))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("relaxation", [dlgn, warp, light])
def test_only_gumbel_modes_change_with_the_step(relaxation, mode):
    assert torch.equal(values(relaxation, mode, 1), values(relaxation, mode, 2)) == (mode in ("soft", "hard"))


@pytest.mark.parametrize("mode", ["hard", "gumbel_hard"])
def test_hard_dlgn_gates_are_single_functions(mode):
    theta, _ = parameters_and_inputs()
    noise = smoothing(mode)
    coefficients = dlgn.coefficients(NAMESPACES["torch"], theta, 0.7, noise).numpy()
    logits = theta.numpy() + noise.gumbel(NAMESPACES["torch"], 30, 16).numpy() * noise.noisy
    assert np.array_equal(coefficients, dlgn.COEFFICIENTS[np.argmax(logits, axis=1)])


@pytest.mark.parametrize("mode", ["hard", "gumbel_hard"])
def test_hard_warp_gates_are_0_or_1(mode):
    assert set(values(warp, mode).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("mode", ["hard", "gumbel_hard"])
def test_hard_light_gates_are_single_functions(mode):
    theta, noise = parameters_and_inputs()[0][:, :4], smoothing(mode)
    coefficients = light.coefficients(NAMESPACES["torch"], theta, 0.7, noise).numpy()
    logits = theta.numpy() + noise.logistic(NAMESPACES["torch"], 0, 30, 4).numpy() * noise.noisy
    assert np.array_equal(coefficients, dlgn.COEFFICIENTS[light.truth_tables(logits).astype(int)])


@pytest.mark.parametrize(("hard", "soft"), [("hard", "soft"), ("gumbel_hard", "gumbel_soft")])
def test_a_hard_mode_has_the_gradient_of_its_soft_mode(hard, soft):
    theta, inputs = parameters_and_inputs()
    inputs = [x.round() for x in inputs]  # what hard gates read
    for relaxation, n_values in ((dlgn, 16), (warp, 4), (light, 4)):
        gradients = []
        for mode in (hard, soft):
            leaf = theta[:, :n_values].clone().requires_grad_()
            relaxation.gate(NAMESPACES["torch"], leaf, inputs, 0.7, smoothing(mode)).sum().backward()
            gradients.append(leaf.grad)
        assert torch.allclose(*gradients, atol=1e-6)
        assert gradients[0].abs().max() > 0.1


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_noise_on_dlgns_logits_is_divided_by_the_temperature_with_them(temperature):
    theta, _ = parameters_and_inputs()
    noise, xp = smoothing("gumbel_soft"), NAMESPACES["torch"]
    expected = dlgn.coefficients(xp, theta + noise.gumbel(xp, 30, 16), temperature)
    assert torch.allclose(dlgn.coefficients(xp, theta, temperature, noise), expected, atol=1e-6)


def test_noisy_hard_dlgn_gates_draw_functions_with_their_softmax_weights():
    theta = np.random.default_rng(0).standard_normal((1, 16)).astype(np.float32)
    logits = np.tile(theta, (100_000, 1)) + smoothing("gumbel_hard", engine="numpy").gumbel(np, 100_000, 16)
    shares = np.bincount(dlgn.truth_tables(logits), minlength=16) / 100_000
    weights = np.exp(theta[0]) / np.exp(theta[0]).sum()
    assert np.all(np.abs(shares - weights) < 0.005)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_noisy_hard_warp_gates_are_true_with_the_probability_of_their_polynomial(temperature):
    z = np.linspace(-3, 3, 7, dtype=np.float32)[:, None]
    polynomial = np.tile(z / np.float32(temperature), (1, 100_000))
    hard = warp.activation(np, polynomial, temperature, smoothing("gumbel_hard", engine="numpy"))
    assert np.all(np.abs(hard.mean(axis=1) - 1 / (1 + np.exp(-z[:, 0]))) < 0.006)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_noisy_hard_light_gates_draw_their_rows_with_the_probability_of_their_logits(temperature):
    theta = np.array([[-2.0, -0.5, 0.0, 1.5]], dtype=np.float32)
    noise = smoothing("gumbel_hard", engine="numpy")
    polynomials = light.coefficients(np, np.tile(theta, (100_000, 1)), temperature, noise)
    rows = evaluate(polynomials, [np.array([[0, 1, 0, 1]]), np.array([[0, 0, 1, 1]])])
    assert set(np.unique(rows)) == {0.0, 1.0}
    assert np.all(np.abs(rows.mean(axis=0) - 1 / (1 + np.exp(-theta[0]))) < 0.006)
    assert np.all(np.abs(np.corrcoef(rows.T) - np.eye(4)) < 0.015)


def test_noise_of_warp_belongs_to_the_row_and_the_item():
    polynomial = np.zeros((10, 8), dtype=np.float32)
    noise = smoothing("gumbel_soft", engine="numpy")
    whole = warp.activation(np, polynomial, 1.0, noise)
    assert np.array_equal(warp.activation(np, polynomial[4:, :5], 1.0, noise, first_row=4), whole[4:, :5])
    assert len(np.unique(whole)) == whole.size
