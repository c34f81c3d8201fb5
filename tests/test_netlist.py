"""What a netlist accepts, how deep it is, and that the simulator agrees with a gate-by-gate reading of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import all_foldings_netlist, all_tables_netlist, netlists

from codegen import simulate as simulate_module
from codegen.equivalence import all_rows
from codegen.netlist import Netlist, NetlistError
from codegen.simulate import simulate

AND, OR, XOR = 0b1000, 0b1110, 0b0110


def read_gate_by_gate(netlist, item):
    values = [int(bit) for bit in item]
    for table, fan_in, arity in zip(netlist.table.tolist(), netlist.fan_in.tolist(), netlist.arity.tolist(), strict=True):
        row = sum(values[signal] << position for position, signal in enumerate(fan_in[:arity]))
        values.append(table >> row & 1)
    return [bool(values[signal]) != inverted for signal, inverted in zip(netlist.outputs, netlist.inverted, strict=True)]


def assert_simulated_right(netlist, bits):
    expected = np.array([read_gate_by_gate(netlist, item) for item in bits], dtype=bool).reshape(len(bits), netlist.n_outputs)
    np.testing.assert_array_equal(simulate(netlist, bits), expected)


@pytest.fixture
def fields():
    """The arrays of (x AND y), NOT of it."""
    netlist = Netlist.from_gates(2, [(AND, (0, 1)), (0b01, (2,))], [3])
    return {name: getattr(netlist, name).copy() for name in ("table", "fan_in", "arity", "outputs", "inverted")}


def test_gate_that_reads_itself_or_a_later_gate_is_named():
    with pytest.raises(NetlistError, match=r"Gate 1 \(signal 3\) reads signal 3.*Expected 0 to 2.*topological order"):
        Netlist.from_gates(2, [(AND, (0, 1)), (AND, (0, 3))], [3])
    with pytest.raises(NetlistError, match=r"Gate 0 \(signal 2\) reads signal 3"):
        Netlist.from_gates(2, [(AND, (0, 3)), (AND, (0, 1))], [3])


def test_gate_that_reads_a_negative_signal_is_named():
    with pytest.raises(NetlistError, match=r"Gate 0 \(signal 2\) reads signal -1"):
        Netlist.from_gates(2, [(AND, (0, -1))], [2])


def test_gate_with_an_unused_column_that_is_not_minus_one_is_named(fields):
    fields["fan_in"][1, 1] = 0
    with pytest.raises(NetlistError, match=r"Gate 1 has arity 1, so fan_in\[1, 1\] must be -1"):
        Netlist(n_inputs=2, **fields)


def test_gate_with_too_long_a_table_is_named(fields):
    fields["table"][1] = 0b100
    with pytest.raises(NetlistError, match=r"Gate 1 has arity 1 but table 0x4 needs more than 2 rows"):
        Netlist(n_inputs=2, **fields)


@pytest.mark.parametrize("arity", [-1, 3])
def test_gate_with_an_impossible_arity_is_named(fields, arity):
    fields["arity"][1] = arity
    with pytest.raises(NetlistError, match=rf"Gate 1 has arity {arity}; expected 0 to 2"):
        Netlist(n_inputs=2, **fields)


def test_arity_7_is_refused():
    with pytest.raises(NetlistError, match="Gate 0 has arity 7; expected 0 to 6"):
        Netlist.from_gates(7, [(0, tuple(range(7)))], [7])


@pytest.mark.parametrize("signal", [-1, 4])
def test_output_that_is_no_signal_is_named(fields, signal):
    fields.update(outputs=np.array([3, signal]), inverted=np.array([False, False]))
    with pytest.raises(NetlistError, match=rf"Output 1 is signal {signal}; expected 0 to 3 \(2 inputs, then 2 gates\)"):
        Netlist(n_inputs=2, **fields)


def test_negative_number_of_inputs_is_refused():
    with pytest.raises(NetlistError, match="n_inputs >= 0, got -1"):
        Netlist.from_gates(-1, [], [])


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("arity", np.array([2], dtype=np.int8)),
        ("fan_in", np.array([[0, 1]], dtype=np.int32)),
        ("fan_in", np.array([[0, 1], [2, -1], [0, 1]], dtype=np.int32)),
        ("fan_in", np.array([0, 1], dtype=np.int32)),
        ("table", np.array([AND], dtype=np.uint64)),
        ("inverted", np.array([False, True])),
        ("outputs", np.array([[3]], dtype=np.int32)),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(fields, name, array):
    fields[name] = array
    with pytest.raises(NetlistError, match="Expected"):
        Netlist(n_inputs=2, **fields)


def test_arrays_cannot_be_written(fields):
    netlist = Netlist(n_inputs=2, **fields)
    with pytest.raises(ValueError, match="read-only"):
        netlist.table[0] = 0


def test_levels_count_gates_from_the_inputs_and_constants_are_at_level_0():
    netlist = Netlist.from_gates(2, [(1, ()), (AND, (0, 1)), (OR, (2, 3)), (XOR, (0, 4)), (XOR, (4, 5))], [4])
    assert netlist.levels.tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert netlist.depth == 2
    assert (netlist.n_gates, netlist.n_outputs, netlist.n_signals) == (5, 1, 7)


def test_depth_without_gates_or_outputs_is_0():
    assert Netlist.from_gates(3, [], [2]).depth == 0
    assert Netlist.from_gates(3, [(AND, (0, 1))], []).depth == 0


def test_identical_compares_every_array():
    gates = [(AND, (0, 1)), (0b01, (2,))]
    netlist = Netlist.from_gates(2, gates, [3])
    assert netlist.identical(Netlist.from_gates(2, gates, [3], [False]))
    others = [
        Netlist.from_gates(3, [(AND, (0, 1)), (0b01, (2,))], [3]),
        Netlist.from_gates(2, [(OR, (0, 1)), (0b01, (2,))], [3]),
        Netlist.from_gates(2, [(AND, (1, 0)), (0b01, (2,))], [3]),
        Netlist.from_gates(2, gates, [2]),
        Netlist.from_gates(2, gates, [3], [True]),
        Netlist.from_gates(2, gates[:1], [2]),
    ]
    assert not any(netlist.identical(other) for other in others)


@pytest.mark.parametrize("netlist", [all_tables_netlist(2), all_tables_netlist(3), all_foldings_netlist()])
def test_simulator_is_right_on_every_small_gate(netlist):
    assert_simulated_right(netlist, all_rows(netlist.n_inputs))


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 6), outputs=(0, 20)))
def test_simulator_is_right_on_drawn_netlists(netlist):
    assert_simulated_right(netlist, all_rows(netlist.n_inputs))


def test_simulator_handles_more_items_than_one_chunk_holds(monkeypatch):
    monkeypatch.setattr(simulate_module, "_CHUNK_BYTES", 50)
    assert_simulated_right(all_tables_netlist(2), all_rows(2))
    assert_simulated_right(Netlist.from_gates(5, [(XOR, (0, 4))], [5, 2], [True, False]), all_rows(5))


def test_simulator_returns_no_rows_for_no_items():
    assert simulate(all_tables_netlist(2), np.empty((0, 2), dtype=bool)).shape == (0, 32)


@pytest.mark.parametrize("bits", [np.zeros((4, 3), bool), np.zeros((4, 2), np.uint8), np.zeros(2, bool)])
def test_simulator_refuses_items_of_another_shape_or_type(bits):
    with pytest.raises(ValueError, match=r"Expected bool items of shape \(item, 2\)"):
        simulate(all_tables_netlist(2), bits)
