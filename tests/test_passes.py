"""Every pass: the same function, nothing left to do a second time, no gate more; and one drawn example of each rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import all_foldings_netlist, all_tables_netlist, netlists

from codegen.equivalence import all_rows
from codegen.lower_readout import lower_answer
from codegen.netlist import Netlist
from codegen.passes import (
    NAIVE,
    OPTIMISE,
    OPTIMISE_TWO_INPUT,
    copies,
    cover_ternary,
    lower,
    lower_ternary,
    lut_count,
    run,
    share,
    shrink,
    sweep,
)  # fmt: skip
from codegen.passes.cover import cover
from codegen.readout import GroupSum
from codegen.simulate import simulate

AND, OR, XOR, NOT, COPY = 0b1000, 0b1110, 0b0110, 0b01, 0b10


def naive(netlist):
    return run(netlist, NAIVE)[0]


def optimise(netlist):
    return run(netlist, OPTIMISE)[0]


def cover_by_six(netlist):
    return cover(netlist, 6)


SHRINKING = [copies, shrink, share, sweep, naive, optimise, cover_by_six]


def assert_equivalent(first, second):
    bits = all_rows(first.n_inputs)
    assert (first.n_inputs, first.n_outputs) == (second.n_inputs, second.n_outputs)
    np.testing.assert_array_equal(simulate(first, bits), simulate(second, bits))


def assert_keeps_the_contract(step, netlist):
    result = step(netlist)
    assert_equivalent(netlist, result)
    assert step(result).identical(result)
    assert result.n_gates <= netlist.n_gates


def assert_lowered(netlist):
    for step, widest in ((lower, 2), (lower_ternary, 3)):
        result = step(netlist)
        assert_equivalent(netlist, result)
        assert result.arity.max(initial=0) <= widest
        assert step(result).identical(result)


def single_gates():
    """Each two-input and each three-input table alone, as it is and complemented."""
    for arity in (2, 3):
        for table in range(1 << (1 << arity)):
            yield Netlist.from_gates(arity, [(table, tuple(range(arity)))], [arity, arity], [False, True])


@pytest.mark.parametrize("step", SHRINKING)
@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20)))
def test_pass_keeps_its_contract_on_drawn_netlists(step, netlist):
    assert_keeps_the_contract(step, netlist)


@pytest.mark.parametrize("step", SHRINKING)
def test_pass_keeps_its_contract_on_every_small_gate(step):
    for netlist in single_gates():
        assert_keeps_the_contract(step, netlist)


@pytest.mark.parametrize("step", SHRINKING)
@pytest.mark.parametrize("netlist", [all_tables_netlist(2), all_tables_netlist(3), all_foldings_netlist()])
def test_pass_keeps_its_contract_on_all_small_gates_at_once(step, netlist):
    assert_keeps_the_contract(step, netlist)


@settings(deadline=None, max_examples=50)
@given(netlist=netlists(max_gates=30))
def test_lowering_drawn_netlists(netlist):
    assert_lowered(netlist)


def test_lowering_every_small_gate():
    for netlist in single_gates():
        assert_lowered(netlist)
    assert_lowered(all_foldings_netlist())


@settings(deadline=None, max_examples=40)
@given(netlist=netlists(max_arity=2))
def test_lowering_leaves_lowered_netlists_alone(netlist):
    assert lower(netlist).identical(netlist)


@pytest.mark.parametrize(
    ("table", "arity", "n_gates"),
    [
        (0b10010110, 3, 2),  # x ^ y ^ z
        (0b11001010, 3, 3),  # z ? y : x
        (1 << 63, 6, 5),  # all of six
        (0xFFFFFFFFFFFFFFFE, 6, 5),  # any of six
        (0x6996966996696996, 6, 5),  # parity of six
        (0b11110000, 3, 1),  # z
        (0b00000000, 3, 1),
    ],
)
def test_lowered_gate_takes_as_many_two_input_gates_as_it_must(table, arity, n_gates):
    assert lower(Netlist.from_gates(arity, [(table, tuple(range(arity)))], [arity])).n_gates == n_gates


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 9), outputs=(0, 20)), k=st.integers(2, 6))
def test_covers_have_gates_of_k_inputs_at_most_and_keep_the_contract(netlist, k):
    lowered = lower(netlist) if k == 2 else lower_ternary(netlist)
    assert_keeps_the_contract(lambda given: cover(given, k), lowered)
    assert cover(lowered, k).arity.max(initial=0) <= k


@pytest.mark.parametrize(("k", "n_gates"), [(2, 8), (3, 4), (4, 3), (5, 2), (6, 2)])
def test_a_parity_of_nine_is_covered_by_as_few_gates_as_can_be(k, n_gates):
    gates = [(XOR, (0, 1)), *((XOR, (9 + i, 2 + i)) for i in range(7))]
    assert cover(Netlist.from_gates(9, gates, [16]), k).n_gates == n_gates


def test_counters_of_two_input_gates_are_covered_by_two_ternary_gates_an_adder():
    counter = lower_answer(Netlist.from_gates(63, [], range(63)), GroupSum(1, 1.0), counts=True)
    lowered, _ = run(counter, OPTIMISE_TWO_INPUT)
    assert lowered.n_gates == 5 * 57
    assert cover_ternary(lowered).n_gates == 2 * 57


def test_wider_gates_than_are_to_cover_are_refused():
    with pytest.raises(ValueError, match=r"at most 2 inputs.*the largest has 3"):
        cover(Netlist.from_gates(3, [(0x96, (0, 1, 2))], [3]), 2)


def test_copies_are_bypassed_but_stay():
    netlist = Netlist.from_gates(2, [(COPY, (0,)), (0b1100, (0, 2)), (AND, (3, 1))], [4, 3])
    expected = Netlist.from_gates(2, [(COPY, (0,)), (0b1100, (0, 0)), (AND, (0, 1))], [4, 0])
    assert copies(netlist).identical(expected)


def test_sweep_keeps_the_cones_of_the_outputs_in_order():
    netlist = Netlist.from_gates(2, [(AND, (0, 1)), (OR, (0, 1)), (XOR, (2, 0)), (XOR, (3, 1)), (AND, (4, 5))], [5, 0])
    expected = Netlist.from_gates(2, [(OR, (0, 1)), (XOR, (2, 1))], [3, 0])
    assert sweep(netlist).identical(expected)


def test_exclusive_or_of_a_signal_with_itself_becomes_a_constant():
    netlist = Netlist.from_gates(1, [(XOR, (0, 0)), (OR, (0, 1))], [1, 2], [True, False])
    shrunk = shrink(netlist)
    assert shrunk.table.tolist() == [0]
    assert shrunk.arity.tolist() == [0]
    assert shrunk.outputs.tolist() == [1, 0]
    assert shrunk.inverted.tolist() == [True, False]


def test_constants_spread_to_their_readers():
    netlist = Netlist.from_gates(2, [(1, ()), (AND, (0, 2)), (OR, (1, 2)), (XOR, (3, 4))], [5])
    shrunk = shrink(netlist)
    assert shrunk.n_gates == 0
    assert (shrunk.outputs.tolist(), shrunk.inverted.tolist()) == ([0], [True])


@pytest.mark.parametrize("length", [7, 8])
def test_chain_of_inverters_vanishes(length):
    netlist = Netlist.from_gates(1, [(NOT, (signal,)) for signal in range(length)], [length])
    shrunk = shrink(netlist)
    assert shrunk.n_gates == 0
    assert (shrunk.outputs.tolist(), shrunk.inverted.tolist()) == ([0], [length % 2 == 1])


def test_inverter_is_folded_into_the_table_of_its_reader():
    netlist = Netlist.from_gates(2, [(NOT, (0,)), (AND, (2, 1))], [3])
    assert shrink(netlist).identical(Netlist.from_gates(2, [(0b0100, (0, 1))], [2]))


def test_shrunk_gates_need_all_their_inputs():
    netlist = Netlist.from_gates(3, [(0b11001100, (0, 1, 2)), (0b1010_0000, (2, 1, 0))], [3, 4])
    shrunk = shrink(netlist)
    assert shrunk.arity.tolist() == [2]
    assert shrunk.fan_in[0, :2].tolist() == [2, 0]
    assert shrunk.outputs.tolist() == [1, 3]


def test_twin_chains_are_merged_in_one_share():
    gates = []
    tops = [0, 0]
    for depth in range(16):
        for twin in (0, 1):
            gates.append(((AND, OR)[depth % 2], (tops[twin], 1 + depth % 3)))
            tops[twin] = 4 + len(gates) - 1
    shared = share(Netlist.from_gates(4, gates, tops))
    assert shared.n_gates == 16
    assert shared.outputs[0] == shared.outputs[1]


def test_gates_that_differ_in_order_or_inversion_are_shared():
    netlist = Netlist.from_gates(2, [(0b0010, (0, 1)), (0b0100, (1, 0)), (0b1101, (0, 1)), (0b1011, (0, 1))], [2, 3, 4, 5])
    shared = share(netlist)
    assert shared.identical(Netlist.from_gates(2, [(0b0010, (0, 1)), (0b0100, (0, 1))], [2, 2, 2, 3], [False, False, True, True]))


@settings(deadline=None, max_examples=60)
@given(netlist=netlists())
def test_shared_gates_are_false_on_row_0_and_read_in_rising_order(netlist):
    shared = share(netlist)
    assert not np.any(shared.table & np.uint64(1))
    gates = [tuple(fan_in[:arity]) for fan_in, arity in zip(shared.fan_in.tolist(), shared.arity.tolist(), strict=True)]
    assert gates == [tuple(sorted(set(fan_in))) for fan_in in gates]
    assert len(set(zip(shared.table.tolist(), gates, strict=True))) == shared.n_gates


def test_every_folding_of_two_inputs_ends_in_six_gates():
    optimised = optimise(all_foldings_netlist())
    two_input = sorted(optimised.table[optimised.arity == 2].tolist())
    assert two_input == [0b0010, 0b0100, 0b0110, 0b1000, 0b1110]
    assert optimised.n_gates == len(two_input) + 1


@pytest.mark.parametrize("step", [*SHRINKING, lower])
@pytest.mark.parametrize("table", [0b0110, 0b10010110])
def test_long_chain_does_not_recurse(step, table):
    n_gates = 5_000
    arity = {0b0110: 2, 0b10010110: 3}[table]
    gates = [(table, (2 + gate, 0, 1)[:arity]) for gate in range(n_gates)]
    netlist = Netlist.from_gates(3, gates, [3 + n_gates - 1])
    assert netlist.depth == n_gates
    assert_equivalent(netlist, step(netlist))


def test_reports_say_what_each_pass_did():
    netlist = Netlist.from_gates(2, [(COPY, (0,)), (AND, (2, 1)), (XOR, (0, 1))], [3])
    result, reports = run(netlist, NAIVE)
    facts = [(report.name, report.gates_before, report.gates_after, report.depth_after) for report in reports]
    assert facts == [("copies", 3, 3, 1), ("sweep", 3, 1, 1)]
    assert result.identical(Netlist.from_gates(2, [(AND, (0, 1))], [2]))


def test_a_full_adder_becomes_five_gates():
    adder = Netlist.from_gates(3, [(0x96, (0, 1, 2)), (0xE8, (0, 1, 2))], [3, 4])
    lowered, _ = run(adder, OPTIMISE_TWO_INPUT)
    assert lowered.n_gates == 5
    assert np.array_equal(simulate(lowered, all_rows(3)), simulate(adder, all_rows(3)))


@pytest.mark.parametrize(("k", "expected"), [(2, 15), (3, 8), (4, 5), (5, 4), (6, 3)])
def test_a_conjunction_takes_as_many_tables_as_its_inputs_need(k, expected):
    """A table of k inputs joins k signals into one, so a chain of 16 takes ceil(15 / (k - 1))."""
    gates = [(AND, (15 + gate if gate else 0, gate + 1)) for gate in range(15)]
    assert lut_count(Netlist.from_gates(16, gates, [30]), k) == expected


def test_gates_wider_than_a_table_are_split_and_others_kept():
    mixed = Netlist.from_gates(6, [(0x6996966996696996, tuple(range(6))), (0x1668, (0, 1, 2, 3))], [6, 7])
    assert (lut_count(mixed, 4), lut_count(mixed, 6)) == (3, 2)


@settings(deadline=None, max_examples=30)
@given(netlist=netlists(max_gates=30), k=st.sampled_from([4, 6]))
def test_a_circuit_takes_no_more_tables_than_gates(netlist, k):
    if netlist.arity.max(initial=0) <= k:
        assert lut_count(netlist, k) <= optimise(netlist).n_gates
