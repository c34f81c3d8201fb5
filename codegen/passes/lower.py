"""Lower to the gates that a back end prints: of two inputs, the operators that C, numba and every word-wide instruction set
have, or of up to three, which AVX-512 has an instruction for."""

from functools import cache

from codegen.netlist import Netlist
from codegen.truth_table import complement, depends_on, fix_input

_AND, _OR, _XOR, _AND_NOT, _OR_NOT = 0b1000, 0b1110, 0b0110, 0b0100, 0b1101  # the last two with input 0 inverted

# A recipe computes one table: gates as (two-input table, operands), where operand i < arity is input i and
# operand arity + g is the recipe's gate g. Its last gate is the result.
Recipe = tuple[tuple[int, tuple[int, ...]], ...]


def lower(netlist: Netlist) -> Netlist:
    """Rewrite every gate of three or more inputs as gates of at most two. May add gates; never changes smaller ones."""
    return _lowered(netlist, 2)


def lower_ternary(netlist: Netlist) -> Netlist:
    """The same for gates of four or more inputs; those of three stay."""
    return _lowered(netlist, 3)


def _lowered(netlist: Netlist, widest: int) -> Netlist:
    if netlist.arity.max(initial=0) <= widest:
        return netlist
    gates: list[tuple[int, tuple[int, ...]]] = []
    signal = list(range(netlist.n_inputs))  # where each old signal is found in the new netlist
    for table, fan_in, arity in zip(netlist.table.tolist(), netlist.fan_in.tolist(), netlist.arity.tolist(), strict=True):
        operands = [signal[old] for old in fan_in[:arity]]
        for step, inputs in recipe(table, arity) if arity > widest else [(table, range(arity))]:
            gates.append((step, tuple(operands[i] for i in inputs)))
            operands.append(netlist.n_inputs + len(gates) - 1)
        signal.append(operands[-1])
    return Netlist.from_gates(netlist.n_inputs, gates, [signal[old] for old in netlist.outputs], netlist.inverted)


@cache
def recipe(table: int, arity: int) -> Recipe:
    """The smallest recipe of a table that Shannon expansion finds: for each input, the cofactors decide which forms apply."""
    if arity <= 2:
        return ((table, tuple(range(arity))),)
    return min((_expand(table, arity, position) for position in range(arity)), key=len)


def _expand(table: int, arity: int, position: int) -> Recipe:
    """Split on input x at `position`: f = x ? high : low, in the cheapest form that the two cofactors allow."""
    low, high = (fix_input(table, arity, position, value) for value in (0, 1))
    false, true = 0, complement(0, arity - 1)
    rest = [i for i in range(arity) if i != position]
    if low == high:
        return _compose(arity, rest, [low], [])
    if low == false:
        return _compose(arity, rest, [high], [(_AND, position, 0)])
    if low == true:
        return _compose(arity, rest, [high], [(_OR_NOT, position, 0)])
    if high == false:
        return _compose(arity, rest, [low], [(_AND_NOT, position, 0)])
    if high == true:
        return _compose(arity, rest, [low], [(_OR, position, 0)])
    if low == complement(high, arity - 1):
        return _compose(arity, rest, [low], [(_XOR, position, 0)])
    forms = [_compose(arity, rest, [low ^ high, low], [(_AND, position, 0), (_XOR, -1, 1)])]
    if low & ~high == 0:  # low implies high: f = low | (x & high)
        forms.append(_compose(arity, rest, [high, low], [(_AND, position, 0), (_OR, -1, 1)]))
    if high & ~low == 0:  # high implies low: f = high | (~x & low)
        forms.append(_compose(arity, rest, [low, high], [(_AND_NOT, position, 0), (_OR, -1, 1)]))
    return min(forms, key=len)


def _compose(arity: int, rest: list[int], parts: list[int], steps: list[tuple[int, int, int]]) -> Recipe:
    """Recipes of the parts (functions of the inputs `rest`), then steps (table, x or -1 for the last gate, part)."""
    gates: list[tuple[int, tuple[int, ...]]] = []
    results = []
    for part in parts:
        inputs, part_arity = list(rest), len(rest)
        for position in reversed(range(len(rest))):
            if not depends_on(part, part_arity, position):
                part, part_arity = fix_input(part, part_arity, position, 0), part_arity - 1
                del inputs[position]
        if part_arity == 1 and part == 0b10:
            results.append(inputs[0])
            continue
        operands = list(inputs)
        for table, used in recipe(part, part_arity):
            gates.append((table, tuple(operands[i] for i in used)))
            operands.append(arity + len(gates) - 1)
        results.append(operands[-1])
    for table, x, part in steps:
        gates.append((table, (arity + len(gates) - 1 if x < 0 else x, results[part])))
    if not steps and not gates:  # a copy of one input: as a gate, so that every recipe ends in one
        gates.append((0b10, (results[0],)))
    return tuple(gates)
