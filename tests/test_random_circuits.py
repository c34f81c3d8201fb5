"""Three hundred random circuits with every readout, before and after every pass, saved, proven, and in every back end.

They read the same twelve inputs, so that all rows are tried, and stand side by side in one netlist, so that a compiler is
asked once for all of them.
"""

import back_ends
import numpy as np
import pytest

from codegen.backends import BACKENDS, CompiledCircuit, pipeline
from codegen.circuit import Circuit
from codegen.emit_c import LANES
from codegen.equivalence import all_rows
from codegen.lower_readout import lowered
from codegen.netlist import Netlist
from codegen.passes import NAIVE, OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT
from codegen.prove import prove_equal
from codegen.readout import GroupSum, Majority
from codegen.simulate import simulate
from codegen.truth_table import MAX_ARITY, table_mask

N_INPUTS, N_CIRCUITS = 12, 300
BATCH_SIZES = (0, 1, 2, 7, 8, 31, 33, 63, 64, 65, 511, 512, 513, 1000, 1 << N_INPUTS)


def drawn_circuit(seed):
    """Gates of one to six inputs, of which some read a signal twice, constants, wires and inverted outputs; a third each have
    classes, votes and plain bits. Most have few outputs, every tenth up to two hundred."""
    rng = np.random.default_rng(seed)
    gates = [(0, ()), (1, ())] if seed % 5 == 0 else []
    for _ in range(int(rng.integers(1, 30))):
        arity = int(rng.integers(1, MAX_ARITY + 1))
        fan_in = rng.integers(0, N_INPUTS + len(gates), arity).tolist()
        gates.append((int(rng.integers(table_mask(arity), endpoint=True, dtype=np.uint64)), tuple(fan_in)))
    n_outputs = int(rng.integers(1, 201 if seed % 10 == 0 else 12))
    readout = None
    if seed % 3 == 1:
        readout = GroupSum(int(rng.integers(1, n_outputs + 1)), 1.7)
    elif seed % 3 == 2:
        votes = int(rng.choice([votes for votes in range(1, n_outputs + 1) if n_outputs % votes == 0]))
        readout = Majority(n_outputs // votes, votes, 1.7)
    outputs = rng.integers(0, N_INPUTS + len(gates), n_outputs).tolist()
    return Circuit(Netlist.from_gates(N_INPUTS, gates, outputs, rng.random(n_outputs) < 0.3), {"seed": str(seed)}, None, readout)


def side_by_side(netlists):
    """One netlist over the same inputs, with all outputs."""
    gates, outputs, inverted = [], [], []
    for netlist in netlists:
        by = len(gates)
        moved = [signal if signal < N_INPUTS else signal + by for signal in range(netlist.n_signals)]
        for table, fan_in, arity in zip(netlist.table.tolist(), netlist.fan_in.tolist(), netlist.arity.tolist(), strict=True):
            gates.append((table, tuple(moved[signal] for signal in fan_in[:arity])))
        outputs += [moved[signal] for signal in netlist.outputs.tolist()]
        inverted += netlist.inverted.tolist()
    return Netlist.from_gates(N_INPUTS, gates, outputs, inverted)


@pytest.fixture(scope="module")
def circuits():
    return [drawn_circuit(seed) for seed in range(N_CIRCUITS)]


@pytest.fixture(scope="module")
def netlist(circuits):
    return side_by_side([lowered(circuit) for circuit in circuits])


@pytest.fixture(scope="module")
def expected(circuits):
    """What the oracle says, of each circuit by itself."""
    rows = all_rows(N_INPUTS)
    return np.concatenate([circuit.answers(rows) for circuit in circuits], axis=1)


def assert_evaluates(form, expected):
    rows = all_rows(N_INPUTS)
    for n_items in BATCH_SIZES:
        np.testing.assert_array_equal(form.evaluate(rows[:n_items]), expected[:n_items])


def test_saved_circuits_are_the_same(circuits, tmp_path):
    rows = all_rows(N_INPUTS)[::7]
    for circuit in circuits:
        circuit.save(tmp_path / "circuit.safetensors")
        loaded = Circuit.load(tmp_path / "circuit.safetensors")
        assert loaded.netlist.identical(circuit.netlist)
        np.testing.assert_array_equal(loaded.answers(rows), circuit.answers(rows))
        if circuit.readout is not None:
            np.testing.assert_array_equal(loaded.scores(rows), circuit.scores(rows))


@pytest.mark.parametrize("passes", [NAIVE, OPTIMISE_TWO_INPUT, OPTIMISE_TERNARY], ids=["naive", "two-input", "ternary"])
def test_every_pass_keeps_them_and_what_comes_out_is_proven(netlist, expected, passes):
    now = netlist
    for step in passes:
        now = step(now)
        np.testing.assert_array_equal(simulate(now, all_rows(N_INPUTS)), expected, err_msg=step.__name__)
    assert prove_equal(netlist, now).equal


@pytest.mark.parametrize("backend", back_ends.parameters(["numpy", "numba", "c-portable", "c", "wasm"]))
def test_every_back_end_gives_the_oracles_answers(netlist, expected, backend):
    assert_evaluates(BACKENDS[backend](netlist, 300), expected)


def test_the_published_style_gives_the_oracles_answers(circuits, expected):
    """Of fewer circuits: its one function of all gates takes a compiler minutes."""
    netlist = side_by_side([lowered(circuit) for circuit in circuits[:30]])
    assert_evaluates(BACKENDS["c-naive"](netlist, 300), expected[:, : netlist.n_outputs])


@pytest.mark.parametrize("level", ["-O0", "-O3"])
@pytest.mark.parametrize("isa", LANES)
def test_every_instruction_set_gives_the_oracles_answers(netlist, expected, isa, level):
    optimised = netlist
    for step in pipeline(isa):
        optimised = step(optimised)
    assert_evaluates(CompiledCircuit(optimised, [], isa, (level,), True, 300), expected)


def test_all_kinds_are_among_them(circuits):
    readouts = [circuit.readout for circuit in circuits]
    outputs = [circuit.netlist.n_outputs for circuit in circuits]
    assert min(outputs) == 1
    assert max(outputs) > 150
    assert {type(readout) for readout in readouts} == {type(None), GroupSum, Majority}
    assert any(isinstance(r, GroupSum) and n % r.n_classes for r, n in zip(readouts, outputs, strict=True))
    assert {int(arity) for circuit in circuits for arity in circuit.netlist.arity} == set(range(MAX_ARITY + 1))
