"""Readouts as gates: the counts and the class that they compute are the readout's own, bit for bit."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import netlists

from codegen.equivalence import all_rows
from codegen.lower_readout import count_bits, lower_answer
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TWO_INPUT, run
from codegen.readout import GroupSum, Majority, from_binary
from codegen.simulate import simulate


def wires(n_outputs, inverted=None):
    """Outputs that are the primary inputs themselves."""
    return Netlist.from_gates(n_outputs, [], np.arange(n_outputs), inverted)


def assert_counts(netlist, readout, bits):
    """Behind the answer, which is as without them, the counts in binary."""
    lowered = lower_answer(netlist, readout, counts=True)
    width = count_bits(netlist.n_outputs, readout)
    assert lowered.n_outputs == readout.n_answers + width * readout.n_groups
    answers, binary = np.split(simulate(lowered, bits), [readout.n_answers], axis=1)
    counts = readout.counts(simulate(netlist, bits))
    np.testing.assert_array_equal(answers, readout.answers(counts))
    np.testing.assert_array_equal(from_binary(binary.reshape(-1, width)).reshape(counts.shape), counts)


def assert_lowers(netlist, readout, bits):
    counts = readout.counts(simulate(netlist, bits))
    assert_counts(netlist, readout, bits)
    lowered = lower_answer(netlist, readout)
    assert lowered.n_outputs == (readout.n_classes - 1).bit_length()
    found = from_binary(simulate(lowered, bits))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, readout.classes(counts))


def assert_votes(netlist, readout, bits):
    counts = readout.counts(simulate(netlist, bits))
    np.testing.assert_array_equal(simulate(lower_answer(netlist, readout), bits), 2 * counts > readout.votes)
    assert_counts(netlist, readout, bits)


@pytest.mark.parametrize("votes", range(1, 10))
def test_every_row_of_a_majority(votes):
    assert_votes(wires(votes), Majority(1, votes, 1.0), all_rows(votes))


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 9), outputs=(1, 40)), data=st.data())
def test_lowered_majorities_agree_on_drawn_netlists(netlist, data):
    assume(netlist.n_outputs)
    votes = data.draw(st.sampled_from([n for n in range(1, 41) if netlist.n_outputs % n == 0]))
    assert_votes(netlist, Majority(netlist.n_outputs // votes, votes, 1.0), all_rows(netlist.n_inputs))


def adders(n_outputs):
    """(full adders, half adders) that count the outputs of one class."""
    gates = lower_answer(wires(n_outputs), GroupSum(1, 1.0), counts=True).arity.tolist()
    return gates.count(3) / 2, gates.count(2) / 2


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 9), outputs=(1, 40)), n_classes=st.integers(1, 12))
def test_lowered_readouts_agree_on_drawn_netlists(netlist, n_classes):
    assume(netlist.n_outputs >= n_classes)
    assert_lowers(netlist, GroupSum(n_classes, 1.0), all_rows(netlist.n_inputs))


@settings(deadline=None, max_examples=30)
@given(netlist=netlists(inputs=(1, 9), outputs=(5, 30)), n_classes=st.integers(1, 5))
def test_passes_keep_lowered_readouts(netlist, n_classes):
    readout, bits = GroupSum(n_classes, 1.0), all_rows(netlist.n_inputs)
    optimised, _ = run(lower_answer(netlist, readout), OPTIMISE_TWO_INPUT)
    np.testing.assert_array_equal(
        from_binary(simulate(optimised, bits)), readout.classes(readout.counts(simulate(netlist, bits)))
    )


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("inverted", [False, True])
def test_every_row_of_small_groups(n_classes, inverted):
    for n_outputs in range(n_classes, 7):
        netlist = wires(n_outputs, np.full(n_outputs, inverted))
        assert_lowers(netlist, GroupSum(n_classes, 1.0), all_rows(n_outputs))


@pytest.mark.parametrize("n_classes", range(1, 20))
def test_any_number_of_classes_of_one_output_each(n_classes):
    bits = np.concatenate([np.eye(n_classes, dtype=bool), np.random.default_rng(0).random((200, n_classes)) < 0.2])
    assert_lowers(wires(n_classes), GroupSum(n_classes, 1.0), bits)


@pytest.mark.parametrize("n_classes", [2, 3, 5, 8, 10])
def test_of_equal_counts_the_lowest_class_wins(n_classes):
    n_outputs = 7 * n_classes
    lowered = lower_answer(wires(n_outputs), GroupSum(n_classes, 1.0))
    for n_true in range(8):
        equal = np.tile(np.arange(7) < n_true, (1, n_classes))
        assert from_binary(simulate(lowered, equal)).tolist() == [0]
        if n_true:
            for first in range(n_classes):  # the classes before it have one true output fewer
                item = equal.copy()
                item[0, : 7 * first : 7] = False
                assert from_binary(simulate(lowered, item)).tolist() == [first % n_classes]


def test_one_class_takes_no_bits():
    netlist = Netlist.from_gates(2, [(0b1000, (0, 1))], [2, 0])
    lowered = lower_answer(netlist, GroupSum(1, 1.0))
    assert lowered.identical(Netlist.from_gates(2, [(0b1000, (0, 1))], []))
    assert from_binary(simulate(lowered, all_rows(2))).tolist() == [0, 0, 0, 0]


def test_an_output_that_is_its_own_count_keeps_its_inversion():
    netlist = wires(2, [True, False])
    lowered = lower_answer(netlist, GroupSum(2, 1.0), counts=True)
    assert lowered.outputs[1:].tolist() == [0, 1]
    assert lowered.inverted[1:].tolist() == [True, False]


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("n_classes", [1, 3])
def test_fewer_outputs_than_classes_are_refused(counts, n_classes):
    with pytest.raises(ValueError, match="at least one output a group"):
        lower_answer(wires(n_classes - 1), GroupSum(n_classes, 1.0), counts)


def test_constants_duplicates_and_inverses_count_as_often_as_they_are_outputs():
    gates = [(0, ()), (1, ()), (0b0110, (0, 1))]
    netlist = Netlist.from_gates(2, gates, [2, 3, 3, 4, 4, 0, 0, 0, 4, 1, 2], [0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 1])
    for n_classes in range(1, 12):
        assert_lowers(netlist, GroupSum(n_classes, 1.0), all_rows(2))


def test_gates_before_the_readout_stay_as_they_are():
    netlist = Netlist.from_gates(3, [(0b1000, (0, 1)), (0b0110, (3, 2))], [3, 4, 0, 1], [False, True, False, False])
    for counts in (False, True):
        lowered = lower_answer(netlist, GroupSum(2, 1.0), counts)
        assert lowered.table[:2].tolist() == [0b1000, 0b0110]
        assert lowered.fan_in[:2, :2].tolist() == [[0, 1], [3, 2]]


@pytest.mark.parametrize("n_outputs", [1, 2, 3, 4, 7, 8, 9, 100, 127, 128, 800])
def test_a_count_takes_as_many_adders_as_promised(n_outputs):
    full, half = adders(n_outputs)
    assert full == n_outputs - n_outputs.bit_length()
    assert full + half == n_outputs - n_outputs.bit_count()


@pytest.mark.parametrize(
    ("n_outputs", "n_classes", "bits"), [(1, 1, 1), (7, 1, 3), (8, 1, 4), (8, 3, 2), (10, 3, 3), (8000, 10, 10)]
)
def test_count_bits_hold_the_largest_group(n_outputs, n_classes, bits):
    assert count_bits(n_outputs, GroupSum(n_classes, 1.0)) == bits


@given(st.lists(st.integers(0, 2**31 - 1), max_size=8))
def test_numbers_are_read_from_their_bits(numbers):
    bits = (np.array(numbers, dtype=np.int64).reshape(-1, 1) >> np.arange(31) & 1).astype(bool)
    found = from_binary(bits)
    assert found.dtype == np.int32
    assert found.tolist() == numbers


def test_large_circuits_are_lowered():
    rng = np.random.default_rng(0)
    layers = [rng.integers(400, size=(8000, 2))] + [400 + 8000 * layer + rng.integers(8000, size=(8000, 2)) for layer in range(5)]
    netlist = Netlist(
        n_inputs=400,
        table=rng.integers(16, size=48_000).astype(np.uint64),
        fan_in=np.concatenate(layers),
        arity=np.full(48_000, 2),
        outputs=400 + 40_000 + np.arange(8000),
        inverted=np.zeros(8000, dtype=bool),
    )
    lowered = lower_answer(netlist, GroupSum(10, 1.0))
    bits = rng.random((64, 400)) < 0.5
    expected = GroupSum(10, 1.0).classes(GroupSum(10, 1.0).counts(simulate(netlist, bits)))
    np.testing.assert_array_equal(from_binary(simulate(lowered, bits)), expected)


def test_outputs_that_are_constant_equal_or_complements_take_fewer_adders():
    gates = [(0b0, ()), (0b1, ()), (0b1111, (0, 1))]  # over two inputs: signals 2 to 4

    def n_gates(outputs, inverted=None):
        netlist = Netlist.from_gates(2, gates, outputs, inverted)
        assert_counts(netlist, GroupSum(1, 1.0), all_rows(2))
        return run(lower_answer(netlist, GroupSum(1, 1.0), counts=True), OPTIMISE_TWO_INPUT)[0].n_gates

    constant = n_gates([2])
    assert n_gates([2, 2, 2, 0]) == n_gates([2, 3, 4, 3]) == n_gates([0, 0]) == n_gates([0, 0, 0, 0]) == constant
    assert n_gates([0, 0], [False, True]) == constant
    assert n_gates([0, 1, 0, 1]) == n_gates([0, 1, 2, 2]) == 2 + constant  # one half adder


def test_gates_of_the_same_input_are_counted_one_after_the_other():
    """Gates that each read an input and the next, in any order: a walk counts them along the row, and seldom begins anew."""
    order = np.random.default_rng(0).permutation(99)
    netlist = Netlist.from_gates(100, [(0b1000, (one, one + 1)) for one in order.tolist()], 100 + np.arange(99))
    lowered = lower_answer(netlist, GroupSum(1, 1.0), counts=True)
    read = [signal for fan_in in lowered.fan_in[99:].tolist() for signal in fan_in if 100 <= signal < 199]
    first_read = [int(order[signal - 100]) for signal in dict.fromkeys(read)]
    assert sorted(first_read) == list(range(99))
    assert sum(abs(a - b) == 1 for a, b in pairwise(first_read)) >= 90
