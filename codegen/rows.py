"""Split a circuit of the 3x3 neighbourhood into what one row of it says and what the three rows then make of a cell.

Gates that read one row only compute functions of three neighbouring cells, and a row of the board is above one cell, at
another and below a third: what is computed of it serves all three.
"""

from dataclasses import dataclass

from codegen.netlist import Netlist
from codegen.passes.sweep import sweep
from codegen.stencil import N_CELLS


@dataclass(frozen=True, eq=False)
class Rows:
    """row: three inputs, the cells of a row from the west, to the signals that are kept of it. rule: the signals of the rows
    above, at and below the cell, in this order, to the cell's next state."""

    row: Netlist
    rule: Netlist


def split_rows(netlist: Netlist) -> Rows:
    """The parts of a netlist that is_stencil; functions of a row that several rows need are computed once."""
    row_of = [cell // 3 for cell in range(N_CELLS)]  # of each signal, the only row it depends on; -1 if there are several
    function_of = [(0xAA, 0xCC, 0xF0)[cell % 3] for cell in range(N_CELLS)]  # of that row's cells, as a table
    gates: list[tuple[int, tuple[int, ...]]] = []  # of the row
    place = {0xAA: 0, 0xCC: 1, 0xF0: 2}  # of each function of a row, its signal there
    fan_ins = [tuple(fan_in[:arity]) for fan_in, arity in zip(netlist.fan_in.tolist(), netlist.arity.tolist(), strict=True)]
    tables = netlist.table.tolist()
    for table, fan_in in zip(tables, fan_ins, strict=True):
        rows = {row_of[signal] for signal in fan_in}
        if len(rows) > 1 or -1 in rows or not fan_in:
            row_of.append(-1)
            function_of.append(-1)
            continue
        function = _composed(table, [function_of[signal] for signal in fan_in])
        row_of.append(rows.pop())
        function_of.append(function)
        if function not in place:
            gates.append((table, tuple(place[function_of[signal]] for signal in fan_in)))
            place[function] = 2 + len(gates)

    across = [gate for gate in range(netlist.n_gates) if row_of[N_CELLS + gate] < 0]
    (output,) = netlist.outputs.tolist()
    read = [signal for gate in across for signal in fan_ins[gate]] + [output]
    kept = list(dict.fromkeys(function_of[signal] for signal in read if row_of[signal] >= 0)) or [0xCC]
    signal_of = {signal: row_of[signal] * len(kept) + kept.index(function_of[signal]) for signal in read if row_of[signal] >= 0}
    signal_of |= {N_CELLS + gate: 3 * len(kept) + index for index, gate in enumerate(across)}
    return Rows(
        sweep(Netlist.from_gates(3, gates, [place[function] for function in kept])),
        Netlist.from_gates(
            3 * len(kept),
            [(tables[gate], tuple(signal_of[signal] for signal in fan_ins[gate])) for gate in across],
            [signal_of[output]],
            netlist.inverted,
        ),
    )


def _composed(table: int, functions: list[int]) -> int:
    """The table, over a row's three cells, of a gate of functions of them."""
    rows = [sum((function >> state & 1) << position for position, function in enumerate(functions)) for state in range(8)]
    return sum((table >> row & 1) << state for state, row in enumerate(rows))
