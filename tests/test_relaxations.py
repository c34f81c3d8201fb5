"""Relaxations and polynomials: on 0 and 1 they are the truth tables, in between they are probabilities."""

import array_api_compat.torch as torch_namespace
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from codegen.equivalence import all_rows
from methods import RELAXATIONS, dlgn
from methods.multilinear import evaluate, monomial_coefficients


def table_values(tables, arity):
    """float (function, row): the value of each function on each input row, read off its table."""
    return ((np.asarray(tables, dtype=np.uint64)[:, None] >> np.arange(1 << arity, dtype=np.uint64)) & np.uint64(1)).astype(float)


@pytest.mark.parametrize("arity", [1, 2, 3])
def test_polynomials_are_every_function_on_every_row(arity):
    tables = np.arange(1 << (1 << arity), dtype=np.uint64)
    columns = list(all_rows(arity).T.astype(float))
    assert np.array_equal(evaluate(monomial_coefficients(tables, arity), columns), table_values(tables, arity))


@pytest.mark.parametrize("arity", [4, 5, 6])
def test_polynomials_are_random_functions_on_every_row(arity):
    tables = np.random.default_rng(0).integers(0, 1 << (1 << arity) if arity < 6 else 1 << 63, 200, dtype=np.uint64)
    columns = list(all_rows(arity).T.astype(float))
    assert np.array_equal(evaluate(monomial_coefficients(tables, arity), columns), table_values(tables, arity))


def test_between_rows_a_polynomial_is_the_probability_of_true():
    rng = np.random.default_rng(0)
    tables = np.arange(256, dtype=np.uint64)
    p = rng.random(3)
    weights = np.prod(np.where(all_rows(3), p, 1 - p), axis=1)
    expected = table_values(tables, 3) @ weights
    found = evaluate(monomial_coefficients(tables, 3), [np.full((1, 1), value) for value in p])[:, 0]
    assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("name", RELAXATIONS)
@pytest.mark.parametrize("pass_through", [None, 5.0])
def test_init_has_the_stated_shape_and_start(name, pass_through):
    relaxation = RELAXATIONS[name]
    for arity in relaxation.ARITIES:
        theta = relaxation.init(np.random.default_rng(0), 50, arity, pass_through)
        assert theta.shape == (50, relaxation.n_parameters(arity))
        assert theta.dtype == np.float32
        tables = relaxation.truth_tables(theta)
        copies_first = table_values([sum(1 << row for row in range(1 << arity) if row & 1)], arity)
        assert np.all(table_values(tables, arity) == copies_first) == (pass_through is not None)


def test_dlgn_with_one_logit_far_ahead_is_that_function():
    theta = np.full((16, 16), -50.0, dtype=np.float32)
    np.fill_diagonal(theta, 50.0)
    a, b = all_rows(2).T.astype(np.float32)
    values = dlgn.gate(np, theta, [np.tile(a, (16, 1)), np.tile(b, (16, 1))], 1.0)
    assert np.allclose(values, table_values(range(16), 2), atol=1e-6)
    assert np.array_equal(dlgn.truth_tables(theta), np.arange(16))


def test_dlgn_is_the_mean_over_the_sixteen_gates():
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((7, 16)).astype(np.float32)
    a, b = rng.random((2, 7, 5)).astype(np.float32)
    weights = np.exp(theta) / np.exp(theta).sum(1, keepdims=True)
    rows = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])  # probability of each input row
    expected = np.einsum("gt,tr,rgi->gi", weights, table_values(range(16), 2), rows)
    assert np.allclose(dlgn.gate(np, theta, [a, b], 1.0), expected, atol=1e-6)


def test_dlgn_gate_ids_of_difflogic_are_tables_with_bits_0_and_3_exchanged():
    # difflogic numbers gates by the rows 00, 01, 10, 11 from the top bit, its first input being the high one
    for gate_id in range(16):
        table = (gate_id & 0b0110) | (gate_id & 1) << 3 | gate_id >> 3
        for a in (0, 1):
            for b in (0, 1):
                assert (gate_id >> (3 - (2 * a + b))) & 1 == (table >> (a + 2 * b)) & 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_temperature_divides_the_logits(temperature):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((4, 16)).astype(np.float32)
    warm = dlgn.coefficients(np, theta, temperature)
    assert np.allclose(warm, dlgn.coefficients(np, theta / np.float32(temperature), 1.0), atol=1e-6)


def test_engines_agree_on_a_gate():
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((6, 16)).astype(np.float32)
    a, b = rng.random((2, 6, 9)).astype(np.float32)
    expected = dlgn.gate(np, theta, [a, b], 0.7)
    by_torch = dlgn.gate(torch_namespace, torch.tensor(theta), [torch.tensor(a), torch.tensor(b)], 0.7)
    by_jax = dlgn.gate(jnp, jnp.asarray(theta), [jnp.asarray(a), jnp.asarray(b)], 0.7)
    assert np.allclose(by_torch.numpy(), expected, atol=1e-6)
    assert np.allclose(np.asarray(by_jax), expected, atol=1e-6)
