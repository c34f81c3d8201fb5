"""Shrink gates: constants, repeated, inverted and unused inputs are folded into the truth tables.

The rules are four operations on tables, at any arity: fix an input that is constant, complement one that is inverted,
merge two that are the same signal, drop one that the value does not depend on. What is then a constant, a copy or an
inverter is a gate no more: its readers take the source, with the constant or the inversion folded into their tables.
"""

import numpy as np
from numba import njit

from codegen.netlist import Netlist
from codegen.truth_table import (
    MAX_ARITY,
    complement,
    complement_input,
    depends_on,
    fix_input,
    merge_inputs,
    swap_inputs,
)

_CONSTANT = -1


def shrink(netlist: Netlist) -> Netlist:
    """Every gate left has at least two inputs, all different and all needed (but for one constant, if an output is)."""
    return rewrite(netlist, share_structure=False)


def rewrite(netlist: Netlist, share_structure: bool) -> Netlist:
    """One sweep in topological order is enough, because the fan-ins of a gate are resolved before the gate is looked at.

    share_structure: also replace a gate by an earlier one of the same function of the same signals (see passes.share).
    """
    table, fan_in, arity, source, inverted = _rewrite(
        netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity, share_structure
    )
    outputs = source[netlist.outputs]
    if np.any(outputs == _CONSTANT):
        # All constant outputs read one constant-false gate and keep their value in the inversion.
        outputs = np.where(outputs == _CONSTANT, netlist.n_inputs + len(table), outputs)
        table = np.append(table, np.uint64(0))
        arity = np.append(arity, np.int8(0))
        fan_in = np.vstack([fan_in, np.full((1, fan_in.shape[1]), -1, dtype=np.int32)])
    return Netlist(netlist.n_inputs, table, fan_in, arity, outputs, netlist.inverted ^ inverted[netlist.outputs])


@njit(cache=True)
def _rewrite(n_inputs, table, fan_in, arity, share_structure):
    n_gates = len(table)
    # What each old signal is now: a new signal or a constant, inverted or not. A constant's value is in `inverted`.
    source = np.arange(n_inputs + n_gates).astype(np.int32)
    inverted = np.zeros(n_inputs + n_gates, np.bool_)

    new_table = np.empty(n_gates, np.uint64)
    new_fan_in = np.full(fan_in.shape, -1, np.int32)
    new_arity = np.empty(n_gates, np.int8)
    n_kept = 0

    n_slots = 1
    while share_structure and n_slots < 2 * n_gates:
        n_slots *= 2
    slots = np.full(n_slots, -1, np.int32)

    signals = np.empty(MAX_ARITY, np.int32)
    for gate in range(n_gates):
        t, k = _reduce(table[gate], arity[gate], fan_in[gate], source, inverted, signals)
        signal = n_inputs + gate
        if k == 0:
            source[signal] = _CONSTANT
            inverted[signal] = t == np.uint64(1)
        elif k == 1:
            source[signal] = signals[0]
            inverted[signal] = t == np.uint64(0b01)
        else:
            found = -1
            if share_structure:
                t, inverted[signal] = _canonical(t, k, signals)
                slot = _find_slot(slots, new_table, new_arity, new_fan_in, t, k, signals)
                found = slots[slot]
                if found < 0:
                    slots[slot] = n_kept
            if found < 0:
                found = n_kept
                new_table[found] = t
                new_arity[found] = k
                for position in range(k):  # an assignment of arrays has checks that take seconds to compile
                    new_fan_in[found, position] = signals[position]
                n_kept += 1
            source[signal] = n_inputs + found
    return new_table[:n_kept], new_fan_in[:n_kept], new_arity[:n_kept], source, inverted


@njit(cache=True)
def _reduce(table, arity, fan_in, source, inverted, signals):
    """Fold what is known of the inputs into the table. Returns (table, arity) and leaves the fan-ins in signals[:arity]."""
    t = table
    k = np.int64(arity)
    for position in range(k):
        signals[position] = source[fan_in[position]]
    for position in range(k - 1, -1, -1):
        is_inverted = inverted[fan_in[position]]
        if signals[position] == _CONSTANT:
            t = fix_input(t, k, position, int(is_inverted))
            k = _remove(signals, k, position)
        elif is_inverted:
            t = complement_input(t, k, position)
    for dropped in range(k - 1, 0, -1):
        for kept in range(dropped):
            if signals[kept] == signals[dropped]:
                t = merge_inputs(t, k, kept, dropped)
                k = _remove(signals, k, dropped)
                break
    for position in range(k - 1, -1, -1):
        if not depends_on(t, k, position):
            t = fix_input(t, k, position, 0)
            k = _remove(signals, k, position)
    return t, k


@njit(cache=True)
def _remove(signals, arity, position):
    for later in range(position, arity - 1):
        signals[later] = signals[later + 1]
    return arity - 1


@njit(cache=True)
def _canonical(table, arity, signals):
    """Sort the fan-ins and make the value on row 0 false, so that equal functions look equal. Returns (table, inverted)."""
    t = table
    for end in range(1, arity):
        position = end
        while position > 0 and signals[position - 1] > signals[position]:
            signals[position - 1], signals[position] = signals[position], signals[position - 1]
            t = swap_inputs(t, arity, position - 1, position)
            position -= 1
    if t & np.uint64(1):
        return complement(t, arity), True
    return t, False


@njit(cache=True)
def _find_slot(slots, table, arity, fan_in, t, k, signals):
    """The hash slot that holds this gate, or the empty one where it belongs (open addressing, linear probing)."""
    h = np.uint64(t) * np.uint64(0x9E3779B97F4A7C15)
    for position in range(k):
        h = (h ^ np.uint64(signals[position])) * np.uint64(0xFF51AFD7ED558CCD)
        h ^= h >> np.uint64(32)
    last = np.uint64(len(slots) - 1)
    slot = h & last
    while slots[slot] >= 0:
        gate = slots[slot]
        same = table[gate] == t and arity[gate] == k
        for position in range(k):
            same = same and fan_in[gate, position] == signals[position]
        if same:
            break
        slot = (slot + np.uint64(1)) & last
    return slot
