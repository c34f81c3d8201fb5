"""Hypothesis strategies for netlists, and the netlists that hold a whole small domain."""

from itertools import product

import numpy as np
from hypothesis import strategies as st

from codegen.netlist import Netlist
from codegen.truth_table import MAX_ARITY, complement, table_mask, variable


def tables(arity):
    """Truth tables of the arity, with constants, copies and inverters more often than by chance."""
    copies = [variable(position, arity) for position in range(arity)]
    special = [0, table_mask(arity), *copies, *[complement(table, arity) for table in copies]]
    return st.sampled_from(special) | st.integers(0, table_mask(arity))


@st.composite
def netlists(draw, inputs=(1, 12), max_gates=60, outputs=(1, 20), max_arity=MAX_ARITY):
    """Netlists with constants, wires, repeated fan-ins, dead gates, inverted outputs and unused fan_in columns."""
    n_inputs = draw(st.integers(*inputs))
    gates = []
    for _ in range(draw(st.integers(0, max_gates))):
        n_signals = n_inputs + len(gates)
        arity = draw(st.integers(0, max_arity if n_signals else 0))
        fan_in = draw(st.lists(st.integers(0, n_signals - 1), min_size=arity, max_size=arity)) if arity else []
        gates.append((draw(tables(arity)), tuple(fan_in)))
    n_signals = n_inputs + len(gates)
    low, high = outputs if n_signals else (0, 0)
    chosen = draw(st.lists(st.tuples(st.integers(0, n_signals - 1), st.booleans()), min_size=low, max_size=high)) if high else []
    netlist = Netlist.from_gates(n_inputs, gates, [signal for signal, _ in chosen], [inverted for _, inverted in chosen])
    padding = draw(st.integers(0, 2))
    return Netlist(
        n_inputs=n_inputs,
        table=netlist.table,
        fan_in=np.pad(netlist.fan_in, ((0, 0), (0, padding)), constant_values=-1),
        arity=netlist.arity,
        outputs=netlist.outputs,
        inverted=netlist.inverted,
    )


def stencils(max_gates=40):
    """Netlists that step a board: nine inputs, one output."""
    return netlists(inputs=(9, 9), max_gates=max_gates, outputs=(1, 1))


def all_tables_netlist(arity):
    """One gate and two outputs, plain and inverted, for every table of the arity, over as many inputs."""
    gates = [(table, tuple(range(arity))) for table in range(1 << (1 << arity))]
    signals = [arity + gate for gate in range(len(gates))]
    return Netlist.from_gates(arity, gates, signals * 2, [False] * len(gates) + [True] * len(gates))


def all_foldings_netlist():
    """Every three-input table with every choice of two inputs, an inverse and the two constants as its fan-ins."""
    gates = [(0b0, ()), (0b1, ()), (0b01, (0,))]
    known = (0, 1, 2, 3, 4)  # x, y, false, true, not x
    gates += [(table, fan_in) for fan_in in product(known, repeat=3) for table in range(256)]
    return Netlist.from_gates(2, gates, [2 + gate for gate in range(3, len(gates))])


def busy_stencil():
    """A stencil that needs all nine cells, each in its own way, and makes life out of nothing."""
    gates = [(0b10010110, (0, 1, 2)), (0b11101000, (3, 4, 5)), (0b11001010, (6, 7, 8)), (0b01101001, (1, 5, 6)), (0b0111, (0, 8))]
    gates += [(0x6996A5C3, (9, 10, 11, 12, 13)), (0b1001, (14, 2)), (0b0110, (15, 7))]
    return Netlist.from_gates(9, gates, [16], [True])
