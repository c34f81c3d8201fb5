"""Proofs that circuits are equal: never one that the oracle contradicts, and on circuits that are too wide to enumerate too."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import all_foldings_netlist, netlists

from codegen import backends
from codegen.circuit import Circuit
from codegen.emit_c import LANES
from codegen.equivalence import all_rows, compare
from codegen.lower_readout import lowered
from codegen.merge import merged, packed_values
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT, copies, lower, run
from codegen.prove import ProverMissingError, prove_equal
from codegen.readout import GroupSum
from codegen.simulate import simulate

AND, OR, XOR = 0b1000, 0b1110, 0b0110
PIPELINES = [OPTIMISE_TWO_INPUT, OPTIMISE_TERNARY]


def layered(n_inputs, widths, seed=0):
    """A circuit like those that are learned: layers of two-input gates of any kind, wired at random; the last is the output."""
    rng = np.random.default_rng(seed)
    gates, below = [], np.arange(n_inputs)
    for width in widths:
        gates += [(int(rng.integers(16)), tuple(rng.choice(below, 2).tolist())) for _ in range(width)]
        below = n_inputs + np.arange(len(gates) - width, len(gates))
    return Netlist.from_gates(n_inputs, gates, below)


def chained(order, table):
    """Inputs through one two-input table, one after the other."""
    n_inputs = len(order)
    gates = [(table, (n_inputs + gate - 1 if gate else order[0], order[gate + 1])) for gate in range(len(order) - 1)]
    return Netlist.from_gates(n_inputs, gates, [n_inputs + len(gates) - 1])


def flipped(netlist, gate, row):
    table = netlist.table.copy()
    table[gate] ^= np.uint64(1) << np.uint64(row)
    return replace(netlist, table=table)


def assert_right(first, second):
    """The proof decides, and as trying every row does."""
    proof = prove_equal(first, second)
    tried = compare(lambda bits: simulate(first, bits), lambda bits: simulate(second, bits), first.n_inputs)
    assert tried.exhaustive
    assert proof.equal is tried.equal
    assert (proof.counterexample is None) is tried.equal
    if not tried.equal:
        assert_differ(first, second, proof.counterexample)


def assert_differ(first, second, item):
    assert not np.array_equal(simulate(first, item[None]), simulate(second, item[None]))


@pytest.mark.parametrize("pipeline", [*PIPELINES, (copies,), (lower,)])
@settings(deadline=None, max_examples=20)
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20)))
def test_what_passes_make_is_proven_equal(pipeline, netlist):
    assert prove_equal(netlist, run(netlist, pipeline)[0]).equal


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(outputs=(1, 20)), data=st.data())
def test_one_changed_table_is_refuted_or_makes_no_difference(netlist, data):
    if netlist.n_gates:
        gate = data.draw(st.integers(0, netlist.n_gates - 1))
        row = data.draw(st.integers(0, (1 << int(netlist.arity[gate])) - 1))
        assert_right(flipped(netlist, gate, row), run(netlist, OPTIMISE_TERNARY)[0])


@pytest.mark.parametrize("arity", [0, 1, 2, 3])
def test_every_table_is_told_from_every_other(arity):
    tables = range(1 << (1 << arity)) if arity < 3 else (0x00, 0x96, 0xE8, 0xCA, 0x80, 0xFE, 0xFF)
    alone = [Netlist.from_gates(arity, [(table, tuple(range(arity)))], [arity]) for table in tables]
    for i, first in enumerate(alone):
        for j, second in enumerate(alone):
            assert prove_equal(first, second).equal is (i == j)


def test_every_folding_is_proven():
    for pipeline in PIPELINES:
        assert prove_equal(all_foldings_netlist(), run(all_foldings_netlist(), pipeline)[0]).equal


@pytest.mark.parametrize("n_inputs", [21, 64])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_wide_circuits_are_proven(n_inputs, pipeline):
    netlist = layered(n_inputs, [80, 80, 80, 40])
    assert prove_equal(netlist, run(netlist, pipeline)[0]).equal


@pytest.mark.parametrize("table", [AND, OR])
def test_another_structure_is_left_to_sat(table):
    """No part of one chain is a part of the other, and 24 inputs are more than a window has leaves."""
    proof = prove_equal(chained(range(24), table), chained(range(23, -1, -1), table))
    assert (proof.equal, proof.how, proof.counterexample) == (True, "SAT", None)


@pytest.mark.parametrize("wrong", [0, 20, 39])
def test_a_difference_on_one_row_of_2_to_the_40_is_found(wrong):
    """Of 40 inputs all but one must be true: no random item is such a row."""
    n_inputs = 40
    item = np.ones(n_inputs, dtype=bool)
    item[wrong] = False
    gates = [(AND, (n_inputs + gate - 1 if gate else 0, gate + 1)) for gate in range(n_inputs - 1)]
    gates[max(0, wrong - 1)] = (0b0010 if wrong else 0b0100, gates[max(0, wrong - 1)][1])
    never = Netlist.from_gates(n_inputs, [(0, ())], [n_inputs])
    once = Netlist.from_gates(n_inputs, gates, [n_inputs + len(gates) - 1])
    proof = prove_equal(never, once)
    assert (proof.equal, proof.how) == (False, "SAT")
    assert proof.counterexample.tolist() == item.tolist()


def test_the_wrong_one_of_many_outputs_is_found():
    fine = layered(40, [60, 30])
    rare = chained(range(40), AND)
    gates = [(int(table), tuple(fan_in)) for table, fan_in in zip(fine.table, fine.fan_in.tolist(), strict=True)]
    shift = len(gates)
    gates += [
        (int(table), tuple(signal + shift if signal >= 40 else signal for signal in fan_in))
        for table, fan_in in zip(rare.table, rare.fan_in.tolist(), strict=True)
    ]
    gates.append((0, ()))
    right = Netlist.from_gates(40, gates, [*fine.outputs, 40 + len(gates) - 1, *fine.outputs])
    wrong = Netlist.from_gates(40, gates, [*fine.outputs, 40 + len(gates) - 2, *fine.outputs])
    proof = prove_equal(right, wrong)
    assert proof.equal is False
    assert proof.counterexample.all()


def test_random_items_show_most_differences():
    netlist = layered(40, [60, 30])
    other = replace(netlist, inverted=~netlist.inverted)
    proof = prove_equal(netlist, other)
    assert (proof.equal, proof.how) == (False, "simulation")
    assert_differ(netlist, other, proof.counterexample)


def test_what_takes_too_many_conflicts_is_not_decided():
    """Parity in two orders, which is hard for clause learning."""
    first, second = (chained(order, XOR) for order in (range(40), np.random.default_rng(0).permutation(40).tolist()))
    proof = prove_equal(first, second, conflicts=10)
    assert (proof.equal, proof.how, proof.counterexample) == (None, "SAT", None)


@pytest.mark.parametrize("isa", sorted(LANES))
def test_a_circuit_with_a_readout_is_proven_equal_to_what_is_printed(isa):
    learned = lowered(Circuit(layered(30, [90, 90, 90]), readout=GroupSum(5, 1.0)), counts=True)
    assert prove_equal(learned, run(learned, backends.pipeline(isa))[0]).equal


def test_a_wrong_vote_is_refuted_behind_the_readout():
    circuit = Circuit(layered(30, [90, 90]), readout=GroupSum(5, 1.0))
    wrong = Circuit(replace(circuit.netlist, inverted=np.arange(90) == 7), readout=circuit.readout)
    proof = prove_equal(lowered(circuit), lowered(wrong))
    assert proof.equal is False
    assert_differ(lowered(circuit), lowered(wrong), proof.counterexample)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (4, 2)])
def test_circuits_of_other_inputs_or_outputs_are_not_compared(inputs, outputs):
    first = Netlist.from_gates(4, [], [0, 1, 2])
    second = Netlist.from_gates(inputs, [], list(range(outputs)))
    with pytest.raises(ValueError, match=rf"4 inputs and 3 outputs, and {inputs} and {outputs}\."):
        prove_equal(first, second)


def test_without_aigverse_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "aigverse", None)
    with pytest.raises(ProverMissingError, match=r'pip install "gatebench\[proof\]"'):
        prove_equal(chained(range(3), AND), chained(range(3), AND))


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(1, 10), outputs=(1, 20)), n_words=st.integers(1, 2))
def test_merging_keeps_the_function(netlist, n_words):
    """Few items: many signals look the same that are not."""
    drawn = np.random.default_rng(0).integers(0, 1 << 64, (netlist.n_inputs, n_words), dtype=np.uint64)
    values = packed_values(netlist, drawn)
    found = merged(netlist, values, np.full(netlist.n_signals, -1, dtype=np.int32))
    bits = all_rows(netlist.n_inputs)
    np.testing.assert_array_equal(simulate(found.netlist, bits), simulate(netlist, bits))
    for signal in np.flatnonzero(found.lookalike >= 0):
        assert found.lookalike[signal] < signal


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(outputs=(1, 20)))
def test_packed_values_are_the_oracles(netlist):
    drawn = np.random.default_rng(0).integers(0, 1 << 64, (netlist.n_inputs, 1), dtype=np.uint64)
    bits = (drawn[:, 0][None] >> np.arange(64, dtype=np.uint64)[:, None] & np.uint64(1)).astype(bool)
    values = packed_values(netlist, drawn)[netlist.outputs, 0]
    outputs = (values[None] >> np.arange(64, dtype=np.uint64)[:, None] & np.uint64(1)).astype(bool) ^ netlist.inverted
    np.testing.assert_array_equal(outputs, simulate(netlist, bits))
