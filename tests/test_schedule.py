"""The order of evaluation: every live gate once, after what it reads, with few signals live; the function stays."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import netlists

from codegen.equivalence import all_rows
from codegen.lower_readout import lower_answer
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT, lower, run, sweep
from codegen.readout import GroupSum
from codegen.schedule import reordered, schedule
from codegen.simulate import simulate

XOR = 0b0110


def most_live(netlist, order):
    """The most gates at once that are computed and still to be read."""
    place = np.full(netlist.n_gates, -1)
    place[order] = np.arange(len(order))
    last = place.copy()
    for gate in order:
        for signal in netlist.fan_in[gate, : netlist.arity[gate]] - netlist.n_inputs:
            if signal >= 0:
                last[signal] = max(last[signal], place[gate])
    changes = np.bincount(place[order], minlength=len(order) + 1) - np.bincount(last[order], minlength=len(order) + 1)
    return np.cumsum(changes).max(initial=0)


def layered(n_inputs, width, depth, seed=0):
    """A random netlist of two-input gates in layers; its outputs are the last."""
    rng = np.random.default_rng(seed)
    starts = [0, *(n_inputs + width * layer for layer in range(depth))]
    widths = [n_inputs] + [width] * (depth - 1)
    return Netlist(
        n_inputs=n_inputs,
        table=rng.integers(16, size=width * depth).astype(np.uint64),
        fan_in=np.concatenate([start + rng.integers(n, size=(width, 2)) for start, n in zip(starts[:-1], widths, strict=True)]),
        arity=np.full(width * depth, 2),
        outputs=starts[-1] + np.arange(width),
        inverted=np.zeros(width, dtype=bool),
    )


@settings(deadline=None, max_examples=30)
@given(netlist=netlists(inputs=(0, 9), outputs=(0, 20)))
def test_every_live_gate_comes_once_after_what_it_reads(netlist):
    order = schedule(netlist)
    assert np.array_equal(order, schedule(netlist))
    result = reordered(netlist, order)  # refuses what is not in topological order
    assert result.n_gates == len(set(order.tolist())) == sweep(netlist).n_gates
    bits = all_rows(netlist.n_inputs)
    np.testing.assert_array_equal(simulate(result, bits), simulate(netlist, bits))


def test_outputs_come_in_their_order_each_with_its_cone():
    gates = [(XOR, (0, 1)), (XOR, (1, 2)), (XOR, (2, 0)), (XOR, (3, 0)), (XOR, (4, 1)), (XOR, (5, 2))]
    assert schedule(Netlist.from_gates(3, gates, [7, 6])).tolist() == [1, 4, 0, 3]


def test_a_gate_goes_as_soon_as_it_frees_what_it_reads():
    """The first output does not need gate 1, but gates 1 and 2 are all that read gate 0, which is then forgotten."""
    gates = [(XOR, (0, 1)), (XOR, (2, 0)), (0b1000, (2, 1)), (XOR, (4, 0)), (XOR, (3, 5))]
    assert schedule(Netlist.from_gates(2, gates, [5, 6])).tolist() == [0, 1, 2, 3, 4]


def test_trees_side_by_side_are_evaluated_one_after_another():
    """64 trees of 32 leaves, level by level: in that order 1024 signals are live, tree by tree a handful."""
    n_trees, n_leaves = 64, 32
    gates, tops = [], [list(range(tree * n_leaves, (tree + 1) * n_leaves)) for tree in range(n_trees)]
    while len(tops[0]) > 1:
        for tree in range(n_trees):
            pairs = list(zip(tops[tree][::2], tops[tree][1::2], strict=True))
            tops[tree] = [n_trees * n_leaves + len(gates) + i for i in range(len(pairs))]
            gates += [(XOR, pair) for pair in pairs]
    netlist = Netlist.from_gates(n_trees * n_leaves, gates, [top for (top,) in tops])
    assert most_live(netlist, np.arange(netlist.n_gates)) == n_trees * n_leaves // 2
    assert most_live(netlist, schedule(netlist)) <= 5


def test_counting_keeps_few_outputs_waiting():
    """In the order of the netlist all 900 outputs are made, then counted; in that of the schedule each as it is made."""
    gates = [(XOR, (gate % 30, gate % 31 + 30)) for gate in range(900)]
    netlist = Netlist.from_gates(61, gates, 61 + np.arange(900))
    for lowered in (lower_answer(netlist, GroupSum(3, 1.0), counts) for counts in (False, True)):
        for form in (lowered, lower(lowered), run(lowered, OPTIMISE_TWO_INPUT)[0]):
            assert most_live(form, np.arange(form.n_gates)) >= 900
            assert most_live(form, schedule(form)) < 50


def test_counting_gates_that_share_inputs_keeps_few_outputs_waiting():
    """Sums of gates of the same inputs are simpler than the gates, so that carries read gates that the sums do not need."""
    rng = np.random.default_rng(0)
    gates = [(int(rng.choice([XOR, 0b1000, 0b1110, 0b0010])), tuple(rng.choice(61, 2, replace=False))) for _ in range(900)]
    lowered = lower_answer(Netlist.from_gates(61, gates, 61 + np.arange(900)), GroupSum(3, 1.0))
    for passes in (OPTIMISE_TWO_INPUT, OPTIMISE_TERNARY):
        form, _ = run(lowered, passes)
        assert most_live(form, schedule(form)) < 60


def test_carries_do_not_wait_for_votes_that_another_class_shares():
    """One vote in ten is read by two classes and stays live in any case; the adders that read it as well go on."""
    rng = np.random.default_rng(0)
    gates = [(XOR, tuple(rng.choice(61, 2, replace=False))) for _ in range(900)]
    outputs = 61 + np.arange(900)
    outputs[600::3] = outputs[rng.choice(300, 100, replace=False)]
    form, _ = run(lower_answer(Netlist.from_gates(61, gates, outputs), GroupSum(3, 1.0)), OPTIMISE_TERNARY)
    assert most_live(form, schedule(form)) < 140


@pytest.mark.parametrize("n_gates", [100_000])
def test_deep_and_wide_circuits_take_a_second_and_do_not_recurse(n_gates):
    chain = Netlist(
        n_inputs=1,
        table=np.full(n_gates, XOR, dtype=np.uint64),
        fan_in=np.column_stack([np.arange(n_gates), np.zeros(n_gates)]).astype(np.int32),
        arity=np.full(n_gates, 2),
        outputs=np.array([n_gates]),
        inverted=np.array([False]),
    )
    star = Netlist.from_gates(2, [(XOR, (0, 1)), *[(XOR, (2, gate % 2)) for gate in range(n_gates)]], 2 + np.arange(n_gates))
    schedule(Netlist.from_gates(1, [], []))  # what numba takes to compile is not counted
    for netlist in (chain, star, layered(100, n_gates // 10, 10)):
        start = time.perf_counter()
        order = schedule(netlist)
        assert time.perf_counter() - start < 3
        assert len(order) == sweep(netlist).n_gates
