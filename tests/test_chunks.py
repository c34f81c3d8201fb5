"""A circuit cut into parts: every gate once and in order, parts of the size asked for, and signals that keep their places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import netlists

from codegen.chunks import cut
from codegen.netlist import Netlist
from codegen.passes import sweep

XOR = 0b0110


def fan_ins(netlist, gate):
    """The gates that a gate reads."""
    return [source for source in netlist.fan_in[gate, : netlist.arity[gate]] - netlist.n_inputs if source >= 0]


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(), size=st.integers(1, 20))
def test_parts_hold_every_live_gate_in_order(netlist, size):
    chunks = cut(netlist, size)
    parts = list(chunks)
    assert [gate for part in parts for gate in part] == list(range(chunks.netlist.n_gates))
    assert chunks.netlist.n_gates == sweep(netlist).n_gates
    assert all((size + 1) // 2 <= len(part) <= size for part in parts[:-1])
    assert all(0 < len(part) <= size for part in parts[-1:])


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(), size=st.integers(1, 20))
def test_what_a_later_part_reads_is_in_its_place_until_then(netlist, size):
    chunks = cut(netlist, size)
    memory = {}
    for part in chunks:
        for gate in part:
            for source in fan_ins(chunks.netlist, gate):
                if source < part.start:
                    assert memory[chunks.slots[source]] == source
            if chunks.slots[gate] >= 0:
                memory[chunks.slots[gate]] = gate
    assert sorted(memory) == list(range(chunks.n_slots))


def test_parts_end_where_few_signals_are_live():
    """Eight pairs of a parity of ten inputs each, all of which one signal joins at the end of the pair: parts of up to 30 gates
    end between pairs, not within one, where a second signal is live."""
    gates, ends = [], []
    for pair in range(8):
        first = []
        for _ in range(2):
            signal = pair
            for place in range(9):
                gates.append((XOR, (signal, (pair + place) % 80)))
                signal = 80 + len(gates) - 1
            first.append(signal)
        gates.append((XOR, tuple(first)))
        if ends:
            gates.append((XOR, (ends[-1], 80 + len(gates) - 1)))
        ends.append(80 + len(gates) - 1)
    netlist = Netlist.from_gates(80, gates, [ends[-1]])
    chunks = cut(netlist, 30)
    assert [sum(chunks.slots[gate] >= 0 for gate in part) for part in list(chunks)[:-1]] == [1] * (len(list(chunks)) - 1)


def test_parts_of_no_gates_are_refused():
    with pytest.raises(ValueError, match="at least one gate, got 0"):
        cut(Netlist.from_gates(1, [], [0]), 0)
    assert list(cut(Netlist.from_gates(1, [], [0]), 3)) == []
    assert np.array_equal(cut(Netlist.from_gates(1, [], [0]), 3).netlist.outputs, [0])
