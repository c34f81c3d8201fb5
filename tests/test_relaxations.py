"""Relaxations and polynomials: on 0 and 1 they are the truth tables, in between they are probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import GATES, NAMESPACES

from codegen.equivalence import all_rows
from methods import RELAXATIONS, dlgn, light, warp
from methods.multilinear import (
    evaluate,
    monomial_coefficients,
    rows_of_tables,
    rows_to_monomials,
    tables_of_rows,
    walsh_matrix,
    walsh_to_monomials,
)

ARITIES = [1, 2, 3, 4, 5, 6]


def some_tables(arity):
    """All tables up to three inputs, and a thousand beyond."""
    if arity <= 3:
        return np.arange(1 << (1 << arity), dtype=np.uint64)
    return np.random.default_rng(arity).integers(0, (1 << (1 << arity)) - 1, 1000, dtype=np.uint64, endpoint=True)


def table_values(tables, arity):
    """float (function, row): the value of each function on each input row, read off its table."""
    return np.array([[int(table) >> row & 1 for row in range(1 << arity)] for table in tables], dtype=float)


def corners(n_gates, arity):
    """The inputs of gates on every Boolean row, one array (gate, row) for each input."""
    return [np.tile(column.astype(np.float32), (n_gates, 1)) for column in all_rows(arity).T]


def saturated(name, tables, arity):
    """Parameters that leave no doubt that the gates are these functions."""
    if name == "dlgn":
        return np.where(np.arange(16) == tables[:, None], 50.0, -50.0).astype(np.float32)
    logits = 30.0 * (2 * table_values(tables, arity) - 1)
    return (logits @ walsh_matrix(arity) / (1 << arity) if name == "warp" else logits).astype(np.float32)


@pytest.mark.parametrize("arity", ARITIES)
def test_polynomials_are_the_functions_on_every_row(arity):
    tables = some_tables(arity)
    inputs = list(all_rows(arity).T.astype(float))
    assert np.array_equal(evaluate(monomial_coefficients(tables, arity), inputs), table_values(tables, arity))


@pytest.mark.parametrize("arity", ARITIES)
def test_tables_and_their_rows_are_each_others_inverse(arity):
    tables = some_tables(arity)
    assert np.array_equal(rows_of_tables(tables, arity), table_values(tables, arity))
    assert np.array_equal(tables_of_rows(rows_of_tables(tables, arity), arity), tables)


def test_between_rows_a_polynomial_is_the_probability_of_true():
    rng = np.random.default_rng(0)
    tables = np.arange(256, dtype=np.uint64)
    p = rng.random(3)
    weights = np.prod(np.where(all_rows(3), p, 1 - p), axis=1)
    expected = table_values(tables, 3) @ weights
    found = evaluate(monomial_coefficients(tables, 3), [np.full((1, 1), value) for value in p])[:, 0]
    assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("arity", ARITIES)
def test_the_walsh_matrix_is_its_own_inverse_but_for_its_size(arity):
    matrix = walsh_matrix(arity)
    assert np.array_equal(matrix @ matrix, np.eye(1 << arity) * (1 << arity))
    assert np.array_equal(matrix, matrix.T)


@pytest.mark.parametrize("arity", ARITIES)
def test_walsh_coefficients_become_those_of_the_same_polynomial(arity):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((5, 1 << arity))
    inputs = list(rng.standard_normal((arity, 5, 7)))
    direct = np.zeros((5, 7))
    for members in range(1 << arity):
        signs = [1 - 2 * inputs[j] for j in range(arity) if members >> j & 1]
        direct += theta[:, members, None] * np.prod([np.ones((5, 7)), *signs], axis=0)
    assert np.allclose(evaluate(theta @ walsh_to_monomials(arity), inputs), direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arity", ARITIES)
def test_values_on_rows_become_the_polynomial_that_has_them(arity):
    values = np.random.default_rng(0).standard_normal((5, 1 << arity))
    found = evaluate(values @ rows_to_monomials(arity), list(all_rows(arity).T.astype(float)))
    assert np.allclose(found, values, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "arity"), GATES)
def test_without_doubt_a_gate_is_its_truth_table(name, arity):
    relaxation = RELAXATIONS[name]
    tables = some_tables(arity)
    theta = saturated(name, tables, arity)
    assert np.array_equal(relaxation.truth_tables(theta), tables)
    values = relaxation.gate(np, theta, corners(len(tables), arity), 1.0)
    assert np.allclose(values, table_values(tables, arity), atol=1e-6)


@pytest.mark.parametrize(("name", "arity"), GATES)
def test_a_gates_value_is_a_probability(name, arity):
    rng = np.random.default_rng(0)
    theta = RELAXATIONS[name].init(rng, 300, arity, 1.0, None) * np.float32(5)
    values = RELAXATIONS[name].gate(np, theta, list(rng.random((arity, 300, 50), dtype=np.float32)), 0.3)
    assert values.min() >= -1e-6
    assert values.max() <= 1 + 1e-6


@pytest.mark.parametrize("arity", ARITIES)
def test_warp_with_a_positive_constant_is_true_and_with_a_negative_one_false(arity):
    theta = np.zeros((3, 1 << arity), dtype=np.float32)
    theta[:, 0] = [1.0, -1.0, 0.0]
    assert warp.truth_tables(theta).tolist() == [(1 << (1 << arity)) - 1, 0, 0]  # a tie is false
    values = warp.gate(np, theta, corners(3, arity), 1.0)
    assert np.all(values[0] > 0.5)
    assert np.all(values[1] < 0.5)
    assert np.all(values[2] == 0.5)


@pytest.mark.parametrize("arity", ARITIES)
def test_warp_reads_a_false_input_as_plus_one(arity):
    for position in range(arity):
        theta = np.zeros((1, 1 << arity), dtype=np.float32)
        theta[0, 1 << position] = 1.0
        values = warp.gate(np, theta, corners(1, arity), 1.0)[0]
        assert np.array_equal(values > 0.5, ~all_rows(arity)[:, position])


def test_warps_table_is_true_where_the_transform_is_positive():
    theta = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    theta[0] = [1, 1, 0, 0, 0, 0, 0, 0]  # 2 where the first input is false, else an exact tie
    for table, of_gate in zip(warp.truth_tables(theta).tolist(), theta.tolist(), strict=True):
        for row in range(8):
            z = sum(value * (-1) ** (members & row).bit_count() for members, value in enumerate(of_gate))
            assert (table >> row & 1) == (z > 0)


def test_dlgn_keeps_the_lowest_table_on_a_tie():
    theta = np.zeros((2, 16), dtype=np.float32)
    theta[1, [6, 9]] = 1.0
    assert dlgn.truth_tables(theta).tolist() == [0, 6]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("residual", [0.6, 0.908, 0.99])
@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize("relaxation", [warp, light])
def test_rows_start_as_those_of_a_copy_of_the_first_input_with_the_stated_probability(relaxation, arity, residual, temperature):
    theta = relaxation.init(np.random.default_rng(0), 4, arity, temperature, residual)
    expected = np.where(all_rows(arity)[:, 0], residual, 1 - residual)
    assert np.allclose(relaxation.gate(np, theta, corners(4, arity), temperature), expected, atol=1e-5)
    assert np.array_equal(table_values(relaxation.truth_tables(theta), arity), np.tile(all_rows(arity)[:, 0], (4, 1)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("residual", [0.5, 0.908, 0.99])
def test_dlgn_starts_as_a_copy_of_the_first_input_with_the_stated_weight(residual, temperature):
    theta = dlgn.init(np.random.default_rng(0), 4, 2, temperature, residual).astype(float)
    weights = np.exp(theta / temperature) / np.exp(theta / temperature).sum(axis=1, keepdims=True)
    expected = np.full((4, 16), (1 - residual) / 15)
    expected[:, 0b1010] = residual
    assert np.allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize("residual", [None, 0.9])
@pytest.mark.parametrize(("name", "arity"), GATES)
def test_init_has_the_stated_shape(name, arity, residual):
    theta = RELAXATIONS[name].init(np.random.default_rng(0), 50, arity, 1.0, residual)
    assert theta.shape == (50, RELAXATIONS[name].n_parameters(arity))
    assert theta.dtype == np.float32


@pytest.mark.parametrize(("name", "arity"), GATES)
def test_a_random_start_is_a_function_of_the_seed(name, arity):
    first, again, other = (RELAXATIONS[name].init(np.random.default_rng(seed), 50, arity, 1.0, None) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first, axis=0)) == 50


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize("relaxation", [warp, light])
def test_a_random_gate_is_equally_undecided_at_every_arity(relaxation, arity, temperature):
    theta = relaxation.init(np.random.default_rng(0), 4000, arity, temperature, None)
    p = relaxation.gate(np, theta, corners(4000, arity), temperature).astype(float)
    logits = np.log(p / (1 - p))
    assert abs(logits.mean()) < 0.05
    assert abs(logits.std() - 1) < 0.05


def test_the_number_of_parameters_is_sixteen_for_dlgn_and_a_power_of_two_for_the_others():
    assert dlgn.n_parameters(2) == 16
    for relaxation in (warp, light):
        assert [relaxation.n_parameters(arity) for arity in ARITIES] == [2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("arity", ARITIES)
def test_light_is_the_expectation_of_its_rows(arity, temperature):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((7, 1 << arity)).astype(np.float32)
    rows = 1 / (1 + np.exp(-theta.astype(float) / temperature))
    assert np.allclose(light.gate(np, theta, corners(7, arity), temperature), rows, atol=1e-5)
    x = rng.random((arity, 7, 5), dtype=np.float32)
    expected = np.zeros((7, 5))
    for row, bits in enumerate(all_rows(arity)):
        expected += rows[:, row, None] * np.prod([x[j] if bit else 1 - x[j] for j, bit in enumerate(bits)], axis=0)
    assert np.allclose(light.gate(np, theta, list(x), temperature), expected, atol=1e-5)


def test_light_has_the_polynomials_of_dlgn_where_the_rows_are_those_of_its_mixture():
    theta = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    mixture = dlgn.coefficients(np, theta, 1.0)
    p = evaluate(mixture.astype(float), [np.tile(column, (50, 1)) for column in all_rows(2).T])
    assert np.allclose(light.coefficients(np, np.log(p / (1 - p)), 1.0), mixture, atol=1e-5)
    everything = saturated("light", np.arange(16, dtype=np.uint64), 2)
    assert np.allclose(light.coefficients(np, everything, 1.0), dlgn.COEFFICIENTS, atol=1e-6)


def test_a_row_of_light_is_false_on_a_tie():
    theta = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 1e-30, -1e-30, 1.0]], dtype=np.float32)
    assert light.truth_tables(theta).tolist() == [0b0000, 0b1010]


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
@pytest.mark.parametrize(("name", "arity"), GATES)
def test_temperature_divides_the_parameters(name, arity, temperature):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((4, RELAXATIONS[name].n_parameters(arity))).astype(np.float32)
    inputs = list(rng.random((arity, 4, 9), dtype=np.float32))
    warm = RELAXATIONS[name].gate(np, theta, inputs, temperature)
    assert np.allclose(warm, RELAXATIONS[name].gate(np, theta / np.float32(temperature), inputs, 1.0), atol=1e-5)


@pytest.mark.parametrize(("name", "arity"), GATES)
def test_engines_agree_on_a_gate(name, arity):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((6, RELAXATIONS[name].n_parameters(arity))).astype(np.float32)
    inputs = list(rng.random((arity, 6, 9), dtype=np.float32))
    expected = RELAXATIONS[name].gate(np, theta, inputs, 0.7)
    assert expected.dtype == np.float32
    for xp in NAMESPACES.values():
        found = RELAXATIONS[name].gate(xp, xp.asarray(theta), [xp.asarray(x) for x in inputs], 0.7)
        assert np.allclose(np.asarray(found), expected, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(gate=st.sampled_from(GATES), temperature=st.sampled_from([0.1, 1.0, 10.0]), scale=st.sampled_from([0.0, 1.0, 1e4, 1e30]))
def test_a_gate_of_any_finite_parameters_is_finite(gate, temperature, scale):
    name, arity = gate
    rng = np.random.default_rng(0)
    theta = (scale * rng.standard_normal((20, RELAXATIONS[name].n_parameters(arity)))).astype(np.float32)
    assert np.all(np.isfinite(RELAXATIONS[name].gate(np, theta, corners(20, arity), temperature)))
