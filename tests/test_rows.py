"""Circuits of the 3x3 neighbourhood: rebuilt from their truth table, and split into rows, they are what they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import stencils

from codegen.emit_c import count_operators
from codegen.equivalence import all_rows
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT, decompose, run
from codegen.rows import split_rows
from codegen.simulate import simulate
from codegen.stencil import is_stencil
from tasks.life import Rule, truth

# Rules of different kinds, and the most operations a word that they may take with ternary logic.
RULES = {"B3/S23": 9, "B36/S23": 10, "B2/S": 7, "B1357/S1357": 4, "B3678/S34678": 10, "B234/S": 9, "B4678/S35678": 8, "B1/S1": 6}
CELLS = all_rows(9).astype(int)
OTHERS = {  # not by counts: a wind from the west, a majority of corners, one row choosing between two, all rows as numbers
    "wind": CELLS[:, 3] & (1 - CELLS[:, 4]) | CELLS[:, 4] & CELLS[:, 1],
    "corners": CELLS[:, [0, 2, 4, 6, 8]].sum(axis=1) > 2,
    "choice": np.where(CELLS[:, 4], CELLS[:, :3].sum(axis=1) > 1, CELLS[:, 6:].sum(axis=1) > 1),
    "larger": CELLS[:, :3] @ [1, 2, 4] > CELLS[:, 6:] @ [1, 2, 4],
}


def of_truth(values):
    """A circuit of that truth table: tables of six cells, and the other three choose among them."""
    gates = [(int(sum(int(value) << row for row, value in enumerate(part))), tuple(range(6))) for part in values.reshape(8, 64)]
    signals = list(range(9, 17))
    for cell in (6, 7, 8):
        for low, high in zip(signals[::2], signals[1::2], strict=True):
            gates.append((0xCA, (low, high, cell)))
        signals = list(range(9 + len(gates) - len(signals) // 2, 9 + len(gates)))
    return Netlist.from_gates(9, gates, signals)


def rejoined(rows, bits):
    """What the parts make of neighbourhoods, bool (item, cell)."""
    return simulate(rows.rule, np.hstack([simulate(rows.row, bits[:, 3 * row : 3 * row + 3]) for row in range(3)]))


@pytest.mark.parametrize("values", [truth(Rule.parse(rule)).target[:, 0] for rule in RULES] + list(OTHERS.values()))
@pytest.mark.parametrize("pipeline", [OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT], ids=["ternary", "two-input"])
def test_rules_of_all_kinds_are_rebuilt_and_split_exactly(values, pipeline):
    netlist = of_truth(np.asarray(values, dtype=bool))
    optimised, _ = run(netlist, pipeline)
    assert (simulate(optimised, all_rows(9))[:, 0] == values).all()
    assert (rejoined(split_rows(optimised), all_rows(9))[:, 0] == values).all()
    assert run(optimised, pipeline)[0].n_gates <= optimised.n_gates


@pytest.mark.parametrize(("rule", "most"), RULES.items())
def test_operations_a_word_are_those_of_circuits_built_by_hand(rule, most):
    optimised, _ = run(of_truth(truth(Rule.parse(rule)).target[:, 0]), OPTIMISE_TERNARY)
    assert count_operators(optimised, "avx512") <= most


@settings(deadline=None, max_examples=40)
@given(netlist=stencils())
def test_drawn_stencils_keep_their_function_and_never_grow(netlist):
    rebuilt = decompose(netlist)
    assert (simulate(rebuilt, all_rows(9)) == simulate(netlist, all_rows(9))).all()
    assert rebuilt.n_gates <= netlist.n_gates
    assert decompose(rebuilt).identical(rebuilt)
    for one in (netlist, rebuilt):
        assert (rejoined(split_rows(one), all_rows(9)) == simulate(one, all_rows(9))).all()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 999))
def test_functions_without_structure_are_left_as_they_are_or_rebuilt_exactly(seed):
    values = np.random.default_rng(seed).random(512) < 0.5
    netlist = of_truth(values)
    assert (simulate(decompose(netlist), all_rows(9))[:, 0] == values).all()
    assert (rejoined(split_rows(netlist), all_rows(9))[:, 0] == values).all()


def test_what_several_rows_need_is_one_signal():
    gates = [(0x96, (0, 1, 2)), (0x96, (3, 4, 5)), (0x96, (6, 7, 8)), (0x96, (9, 10, 11))]
    rows = split_rows(Netlist.from_gates(9, gates, [12], [True]))
    assert rows.row.identical(Netlist.from_gates(3, [(0x96, (0, 1, 2))], [3]))
    assert rows.rule.identical(Netlist.from_gates(3, [(0x96, (0, 1, 2))], [3], [True]))


@pytest.mark.parametrize("output", [4, 0, 8])
def test_a_cell_itself_is_a_signal_of_its_row(output):
    rows = split_rows(Netlist.from_gates(9, [], [output]))
    assert (rejoined(rows, all_rows(9))[:, 0] == all_rows(9)[:, output]).all()
    assert rows.row.n_gates == rows.rule.n_gates == 0


def test_constants_need_no_row():
    netlist = Netlist.from_gates(9, [(1, ())], [9])
    assert rejoined(split_rows(netlist), all_rows(9)).all()


def test_netlists_of_another_shape_are_no_stencils():
    netlist = Netlist.from_gates(9, [], [0, 1])
    assert not is_stencil(netlist)
    assert decompose(netlist) is netlist
