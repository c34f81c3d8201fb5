"""Pruning with data: what is said of the pruned circuit is what the oracle finds, and it costs no more than it may."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import netlists

from codegen.budget import Budget
from codegen.circuit import Circuit
from codegen.encoder import Encoder
from codegen.equivalence import all_rows
from codegen.lower_readout import lowered
from codegen.netlist import Netlist
from codegen.prune import Labelled, gate_count, prune
from codegen.readout import GroupSum, Majority
from codegen.simulate import simulate
from codegen.stand_ins import CONSTANT, StandIns, equal_signals, near_signals, substituted, tapped


@st.composite
def circuits(draw):
    netlist = draw(netlists(inputs=(2, 9), outputs=(4, 24), max_gates=40))
    assume(netlist.n_outputs >= 4)
    kinds = [None, GroupSum(3, 2.0), GroupSum(2, 0.5)]
    kinds += [Majority(netlist.n_outputs // votes, votes, 1.0) for votes in (1, 2, 3) if netlist.n_outputs % votes == 0]
    return Circuit(netlist, {"seed": "0"}, None, draw(st.sampled_from(kinds)))


def labelled(circuit, rng, n_items, wrong):
    """Random items with the circuit's answers, some of them made wrong."""
    bits = rng.random((n_items, circuit.netlist.n_inputs)) < rng.random()
    answers = circuit.answers(bits)
    return Labelled(bits, answers ^ ((rng.random(n_items) < wrong)[:, None] & (rng.random(answers.shape) < 0.5)))


def accuracy(circuit, items):
    return float(np.all(circuit.answers(items.bits) == items.answers, axis=1).mean())


def n_right(circuit, items):
    return round(accuracy(circuit, items) * len(items.bits))


@settings(max_examples=60)
@given(
    circuit=circuits(),
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 200), st.integers(1, 130)),
    budget=st.sampled_from([Budget(points=0), Budget(points=1.5), Budget(points=20), Budget(gates=1), Budget(gates=25)]),
)
def test_a_pruned_circuit_is_what_is_said_of_it(circuit, seed, sizes, budget):
    rng = np.random.default_rng(seed)
    training, validation = (labelled(circuit, rng, n, 0.1) for n in sizes)
    done = prune(circuit, training, validation, budget, seed)
    assert done.accuracy_before == pytest.approx(accuracy(circuit, validation))
    assert done.accuracy_after == pytest.approx(accuracy(done.circuit, validation))
    assert done.gates_before == gate_count(circuit)
    assert done.gates_after == gate_count(done.circuit) <= done.gates_before
    same = np.all(circuit.answers(training.bits) == done.circuit.answers(training.bits), axis=1)
    assert done.agreement == pytest.approx(same.mean())
    assert done.circuit.readout == circuit.readout
    assert done.circuit.provenance == {"seed": "0", "pruned": f"for {budget}"}
    before = [(done.gates_before, done.accuracy_before), *((step.gates_after, step.accuracy_after) for step in done.steps)]
    assert before[:-1] == [(step.gates_before, step.accuracy_before) for step in done.steps]
    assert before[-1] == (done.gates_after, done.accuracy_after)
    if budget.gates is None:
        assert done.reached
        for items in (training, validation):
            assert n_right(circuit, items) - n_right(done.circuit, items) <= budget.points / 100 * len(items.bits) + 1e-6
    elif done.reached:
        assert done.gates_after <= budget.gates
    else:
        assert done.gates_after > budget.gates
        assert f"Not reached: best was {done.gates_after} gates" in done.reason
    if budget.points == 0:
        assert same.all()


@settings(max_examples=60)
@given(netlist=netlists(inputs=(1, 7), outputs=(1, 10)), seed=st.integers(0, 2**32 - 1), words=st.integers(1, 3))
def test_signals_that_are_equal_on_the_items_are_found_all_of_them(netlist, seed, words):
    assume(netlist.n_outputs)
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 4, (netlist.n_inputs, words), dtype=np.uint64)  # few different items
    bits = ((inputs[:, :, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).astype(bool).reshape(netlist.n_inputs, -1).T
    every = Netlist(
        netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity, np.arange(netlist.n_signals), np.zeros(netlist.n_signals)
    )
    values = simulate(every, bits).T
    found = equal_signals(netlist, None, (inputs[:, word : word + 1] for word in range(words)))
    even = values ^ values[:, :1]
    first = [next((s for s in range(signal) if (even[s] == even[signal]).all()), signal) for signal in range(len(even))]
    constant = ~even.any(axis=1)
    expected = {s: CONSTANT if constant[s] else first[s] for s in range(len(even)) if constant[s] or first[s] != s}
    assert dict(zip(found.signal.tolist(), found.by.tolist(), strict=True)) == expected
    assert (simulate(substituted(netlist, found), bits) == simulate(netlist, bits)).all()


@settings(max_examples=60)
@given(circuit=circuits(), seed=st.integers(0, 2**32 - 1))
def test_substituted_signals_are_what_they_are_substituted_by(circuit, seed):
    netlist = tapped(circuit.netlist, circuit.readout)
    bits = all_rows(netlist.n_inputs)
    assert (simulate(netlist, bits) == simulate(circuit.netlist, bits)).all()
    rng = np.random.default_rng(seed)
    found = near_signals(netlist, circuit.readout, rng.integers(0, 2**64, (netlist.n_inputs, 2), dtype=np.uint64), 10**6)
    assert ((found.by == CONSTANT) | (found.by < found.signal)).all()
    assert len(np.unique(found.signal)) == len(found)
    values = simulate_all(netlist, bits)
    expected = values.copy()
    made = dict(zip(found.signal.tolist(), zip(found.by.tolist(), found.inverted.tolist(), strict=True), strict=True))
    for gate in range(netlist.n_gates):
        signal, arity = netlist.n_inputs + gate, netlist.arity[gate]
        if signal in made:
            by, inverted = made[signal]
            expected[signal] = (expected[by] if by != CONSTANT else False) ^ inverted
        else:
            row = (expected[netlist.fan_in[gate, :arity]] << np.arange(arity)[:, None]).sum(axis=0)
            expected[signal] = (int(netlist.table[gate]) >> row.astype(object)) & 1
    outputs = expected[netlist.outputs] ^ netlist.inverted[:, None]
    assert (outputs == simulate(substituted(netlist, found), bits).T).all()


def simulate_all(netlist, bits):
    every = Netlist(
        netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity, np.arange(netlist.n_signals), np.zeros(netlist.n_signals)
    )
    return simulate(every, bits).T


def test_what_the_data_never_show_is_pruned_and_nothing_else():
    """Inputs 0 and 1 are never true together: their conjunction is constant, their disjunction an exclusive or."""
    gates = [(0b1000, (0, 1)), (0b1110, (0, 1)), (0b0110, (0, 1)), (0b0110, (2, 2)), (0b0110, (5, 2)), (0b1110, (6, 3))]
    circuit = Circuit(Netlist.from_gates(3, gates, [3, 4, 5, 7, 8], [False] * 5))
    seen = all_rows(3)[[0, 1, 2, 4, 5, 6]]
    items = Labelled(seen, circuit.answers(seen))
    done = prune(circuit, items, items, Budget(points=0))
    (step,) = done.steps
    assert (step.what, step.accuracy_after) == ("on all training items", 1.0)
    assert (done.circuit.answers(seen) == items.answers).all()
    assert done.gates_after < done.gates_before
    whole = Labelled(all_rows(3), circuit.answers(all_rows(3)))
    kept = prune(circuit, items, whole, Budget(points=0))  # the validation items show what would be lost
    assert (kept.circuit.answers(all_rows(3)) == whole.answers).all()
    exact = prune(circuit, whole, whole, Budget(points=0))  # all inputs are enumerated: nothing may change
    assert (exact.circuit.answers(all_rows(3)) == whole.answers).all()


def test_group_sums_are_thinned():
    """Of ten outputs a class five are noise that the answer does not need."""
    rng = np.random.default_rng(0)
    n = 600
    label = rng.integers(0, 2, n)
    signal, noise = np.repeat(np.eye(2, dtype=bool)[label], 5, axis=1), rng.random((n, 10)) < 0.5
    bits = np.concatenate([signal[:, :5], noise[:, :5] & signal[:, :5], signal[:, 5:], noise[:, 5:] & signal[:, 5:]], axis=1)
    circuit = Circuit(Netlist.from_gates(20, [], np.arange(20)), readout=GroupSum(2, 1.0))
    items = [
        Labelled(part, label_[:, None].astype(bool)) for part, label_ in zip(np.split(bits, 2), np.split(label, 2), strict=True)
    ]
    done = prune(circuit, *items, Budget(points=0.5))
    assert done.accuracy_before == done.accuracy_after == 1.0
    assert done.steps[0].copies == 9  # ten outputs are one signal or its complement
    assert done.gates_after < 0.6 * done.gates_before
    assert lowered(done.circuit).n_outputs == 1


def test_the_encoder_stays_and_the_same_seed_prunes_alike():
    rng = np.random.default_rng(1)
    netlist = Netlist.from_gates(
        8, [(t, (i % 8, (3 * i + 1) % 8)) for i, t in enumerate([6, 8, 14, 9, 7, 1] * 4)], np.arange(8, 32)
    )
    circuit = Circuit(netlist, encoder=Encoder.of_bits(8), readout=GroupSum(4, 2.0))
    training, validation = labelled(circuit, rng, 300, 0.1), labelled(circuit, rng, 200, 0.1)
    told = []
    one = prune(circuit, training, validation, Budget(points=5), 3, lambda *so_far: told.append(so_far))
    other = prune(circuit, training, validation, Budget(points=5), 3)
    assert one.circuit.netlist.identical(other.circuit.netlist)
    assert one.circuit.encoder is circuit.encoder
    assert one.gates_after < one.gates_before
    assert told[0] == (one.gates_before, one.accuracy_before)


@pytest.mark.parametrize("given_", [{}, {"points": 1.0, "gates": 5}, {"points": -0.1}, {"points": 101}, {"gates": 0}])
def test_a_budget_is_one_that_can_be_kept(given_):
    with pytest.raises(ValueError, match=r"Expected (one|a) budget"):
        Budget(**given_)


def test_items_that_do_not_fit_are_refused():
    circuit = Circuit(Netlist.from_gates(2, [(0b1000, (0, 1))], [2]))
    good = Labelled(np.zeros((3, 2), bool), np.zeros((3, 1), bool))
    for bad in (
        Labelled(np.zeros((3, 1), bool), good.answers),
        Labelled(good.bits, np.zeros((3, 2), bool)),
        Labelled(good.bits, np.zeros((2, 1), bool)),
        Labelled(good.bits, np.zeros((3, 1), int)),
        Labelled(good.bits[:0], good.answers[:0]),
    ):
        for items in ((bad, good), (good, bad)):
            with pytest.raises(ValueError, match="Expected"):
                prune(circuit, *items, Budget(points=0))


def test_stand_ins_of_none_change_nothing():
    netlist = Netlist.from_gates(2, [(0b1000, (0, 1))], [2, 0])
    none = StandIns(*(np.empty(0, dtype=kind) for kind in (np.int32, np.int32, bool, np.int32)))
    assert (simulate(substituted(netlist, none), all_rows(2)) == simulate(netlist, all_rows(2))).all()
