"""Readings: what gates are called, and how decided they are."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import GATES, random_network, shared_network
from strategies import tables

from codegen.equivalence import all_rows
from codegen.truth_table import complement, complement_input, swap_inputs
from methods import RELAXATIONS
from methods.network import Layer, Network
from methods.readings import gate_types, mean_entropy, soft_tables, undecided_share

# By the table itself: bit i is the value on row i, the first input is the low bit of i.
OF_TWO_INPUTS = {
    "constant": [0b0000, 0b1111],
    "pass-through": [0b1010, 0b1100],
    "inverter": [0b0101, 0b0011],
    "xor": [0b0110, 0b1001],
    "and/or": [0b1000, 0b0111, 0b1110, 0b0001, 0b0010, 0b0100, 0b1011, 0b1101],
}


def kind(table, arity):
    layer = Layer(np.zeros((1, arity), dtype=np.int32), np.zeros(1, dtype=np.int32))
    ((name, count),) = gate_types(Network("warp", 1, (layer,), 1.0), np.array([table], dtype=np.uint64))[0].items()
    assert count == 1
    return name


def test_all_sixteen_functions_of_two_inputs_have_their_kind():
    for name, of_kind in OF_TWO_INPUTS.items():
        assert {kind(table, 2) for table in of_kind} == {name}
    assert sorted(chain(*OF_TWO_INPUTS.values())) == list(range(16))


@pytest.mark.parametrize("arity", [3, 4, 5, 6])
def test_a_function_of_two_of_more_inputs_has_the_kind_that_it_has_alone(arity):
    rows = all_rows(arity)
    for first, second in ((0, 1), (arity - 1, 1), (2, 0)):
        alone = rows[:, first] + 2 * rows[:, second].astype(int)
        for name, of_kind in OF_TWO_INPUTS.items():
            for table in of_kind:
                wide = sum((table >> int(row) & 1) << place for place, row in enumerate(alone))
                assert kind(wide, arity) == name


@pytest.mark.parametrize(
    ("table", "arity", "name"),
    [
        (0b00, 1, "constant"),
        (0b10, 1, "pass-through"),
        (0b01, 1, "inverter"),
        (0b11101000, 3, "3 inputs"),
        (0b10010110, 3, "3 inputs"),
        (0b10010110_01101001, 4, "4 inputs"),
        (0b10010110_10010110, 4, "3 inputs"),
        (0xFFFFFFFFFFFFFFFF, 6, "constant"),
        (0xFFFFFFFF00000000, 6, "pass-through"),
        (0x00000000FFFFFFFF, 6, "inverter"),
        (0x8000000000000000, 6, "6 inputs"),
        (0x6996966996696996, 6, "6 inputs"),
    ],
)
def test_larger_functions_have_their_kind(table, arity, name):
    assert kind(table, arity) == name


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_inverting_or_exchanging_inputs_keeps_the_kind_but_for_single_inverters(data):
    arity = data.draw(st.integers(2, 6))
    table = data.draw(tables(arity))
    position, other = data.draw(st.permutations(range(arity)))[:2]

    def plain(name):
        return {"inverter": "pass-through"}.get(name, name)

    for changed in (
        complement(table, arity),
        complement_input(table, arity, position),
        swap_inputs(table, arity, position, other),
    ):
        assert plain(kind(int(changed), arity)) == plain(kind(int(table), arity))


def test_gates_that_share_a_parameter_count_each():
    network, _ = shared_network()
    tables = np.array([0b0110, 0, 0b1000, 0b1010, 7, 0b0011, 0b1111, 7], dtype=np.uint64)
    assert gate_types(network, tables) == [
        {"xor": 4, "constant": 2, "and/or": 2},
        {"pass-through": 3, "constant": 1, "xor": 1, "inverter": 1},
        {"and/or": 2, "constant": 2},
    ]


def test_the_share_of_undecided_gates_counts_those_with_a_row_in_doubt():
    tables = np.array(
        [[0.0, 1.0, 0.05, 0.95], [0.0, 1.0, 0.0, 0.8], [0.5, 0.5, 0.5, 0.5], [0.11, 0.0, 0.0, 0.0]], dtype=np.float32
    )
    assert undecided_share(tables) == 0.75
    assert undecided_share(tables[:1]) == 0.0


def test_entropy_is_one_bit_in_full_doubt_and_none_without():
    assert mean_entropy(np.full((3, 4), 0.5, dtype=np.float32)) == 1.0
    assert mean_entropy(np.array([[0.0, 1.0]], dtype=np.float32)) == pytest.approx(0.0, abs=1e-9)
    of_a_quarter = 0.811278
    assert mean_entropy(np.array([[0.25, 0.75], [0.25, 0.0]], dtype=np.float32)) == pytest.approx(0.75 * of_a_quarter, abs=1e-5)


@pytest.mark.parametrize(("name", "arity"), GATES)
def test_soft_tables_are_the_gates_on_every_row(name, arity):
    network, parameters = random_network(name, arity, 5, [6, 4], temperature=0.3)
    found = soft_tables(network, parameters)
    assert found.shape == (10, 1 << arity)
    inputs = [np.tile(column.astype(np.float32), (10, 1)) for column in all_rows(arity).T]
    assert np.allclose(found, RELAXATIONS[name].gate(np, parameters["theta"], inputs, 0.3), atol=1e-6)


@pytest.mark.parametrize(("name", "arity"), GATES)
def test_gates_far_from_doubt_are_decided(name, arity):
    network, parameters = random_network(name, arity, 5, [6, 4])
    parameters["theta"] = RELAXATIONS[name].init(np.random.default_rng(0), 10, arity, 1.0, 0.9999)
    tables = soft_tables(network, parameters)
    assert undecided_share(tables) == 0.0
    assert mean_entropy(tables) < 0.01
