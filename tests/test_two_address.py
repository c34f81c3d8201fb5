"""Gates that overwrite what they read: every signal keeps its value, and adders leave nothing that has to be copied."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import netlists

from codegen.lower_readout import lower_answer
from codegen.netlist import Netlist
from codegen.readout import GroupSum
from codegen.schedule import last_readers, reordered, schedule
from codegen.simulate import simulate
from codegen.two_address import two_address

PARITY, MAJORITY = 0x96, 0xE8
COPY = 0b10


def all_signals(netlist):
    """The netlist with every gate as an output."""
    outputs = netlist.n_inputs + np.arange(netlist.n_gates)
    return replace(netlist, outputs=outputs, inverted=np.zeros(netlist.n_gates, dtype=bool))


def assert_same_values(before, after):
    bits = np.random.default_rng(0).random((256, before.n_inputs)) < 0.5
    np.testing.assert_array_equal(simulate(all_signals(after), bits), simulate(all_signals(before), bits))
    assert after.n_gates == before.n_gates
    assert np.array_equal(after.arity, before.arity)


@st.composite
def with_adders(draw):
    """A netlist among whose last gates are parities, each before another gate of the same three signals in some order."""
    netlist = draw(netlists(inputs=(1, 8), max_gates=15, max_arity=3))
    gates = [
        (int(table), tuple(fan_in[:arity].tolist()))
        for table, fan_in, arity in zip(netlist.table, netlist.fan_in, netlist.arity, strict=True)
    ]
    for _ in range(draw(st.integers(1, 6))):
        n_signals = netlist.n_inputs + len(gates)
        read = draw(st.lists(st.integers(0, n_signals - 1), min_size=3, max_size=3))
        gates.append((draw(st.sampled_from([PARITY, 0x69])), tuple(draw(st.permutations(read)))))
        gates += [(draw(st.integers(0, 255)), tuple(draw(st.permutations(read)))) for _ in range(draw(st.integers(1, 2)))]
    return Netlist.from_gates(netlist.n_inputs, gates, [netlist.n_inputs + len(gates) - 1])


@settings(deadline=None, max_examples=200)
@given(netlist=with_adders() | netlists())
def test_every_signal_keeps_its_value(netlist):
    after = two_address(netlist)
    assert_same_values(netlist, after)
    assert_same_values(netlist, two_address(after))


@pytest.mark.parametrize("parity", [PARITY, 0x69])
def test_any_second_gate_may_read_the_parity(parity):
    """Every table, with the three signals in every order, of which none, one, two or all are read later."""
    gates, later = [], []
    for table, order, n_later in product(range(256), permutations(range(3)), range(4)):
        first = 3 + len(gates)
        gates += [(COPY, (signal,)) for signal in range(3)]
        gates += [(parity, (first, first + 1, first + 2)), (table, tuple(first + place for place in order))]
        later += [first + place for place in range(n_later)]
    gates += [(COPY, (signal,)) for signal in later]
    netlist = Netlist.from_gates(3, gates, [3 + len(gates) - 1])
    after = two_address(netlist)
    rows = np.array(list(product([False, True], repeat=3)))
    np.testing.assert_array_equal(simulate(all_signals(after), rows), simulate(all_signals(netlist), rows))
    changed = (after.fan_in != netlist.fan_in).any(axis=1)[4 : 5 * 256 * 24 : 5].reshape(256, 6, 4)
    assert changed[..., :3].all()
    assert not changed[..., 3].any()  # what is read later has to be left in any case


def test_adders_overwrite_what_they_add():
    """A class's votes counted: whatever a gate of an adder has as its last fan-in, nothing reads later."""
    votes = Netlist.from_gates(100, [(0b0110, (gate, (gate + 7) % 100)) for gate in range(100)], 100 + np.arange(100))
    counted = lower_answer(votes, GroupSum(2, 1.0), counts=True)
    after = two_address(reordered(counted, schedule(counted)))
    assert_same_values(reordered(counted, schedule(counted)), after)
    adders = np.flatnonzero((after.arity == 3) & (after.table == PARITY) & (np.append(after.arity[1:], 0) == 3))
    assert len(adders) > 80
    last, readers = after.fan_in[:, 2] - after.n_inputs, last_readers(after)
    for gate in [*adders, *adders + 1]:
        assert readers[last[gate]] == gate


def test_other_gates_stay_as_they_are():
    gates = [(PARITY, (0, 1, 2)), (MAJORITY, (0, 1, 2)), (MAJORITY, (0, 3, 4)), (PARITY, (0, 3, 4)), (0b0110, (5, 6))]
    netlist = Netlist.from_gates(3, gates, [7])
    assert two_address(netlist).identical(netlist)  # inputs are never overwritten, and the majority comes first
    for empty in (Netlist.from_gates(2, [], [1]), Netlist.from_gates(2, [(0b0110, (0, 1))], [2])):
        assert two_address(empty).identical(empty)
