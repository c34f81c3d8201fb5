"""Signals of a netlist that compute the same function on all inputs, found by simulation and proven over windows.

Equal signals have equal values on random items, so those are the candidates; each is compared with the earlier ones that look
the same. A window is a few signals, its leaves, and the gates between them and the two: if the two agree on every row of the
leaves, whatever values these can take together, they agree on every input. As merged signals are read through the first of
them, two circuits of the same function, side by side in one netlist, grow together from the inputs on, and windows stay small
however large the circuits are (Kuehlmann, Krohm 1997, Equivalence checking using cuts and heaps; with simulation and SAT:
Mishchenko, Chatterjee, Brayton, Een 2006, Improvements to combinational equivalence checking).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from codegen.netlist import Netlist
from codegen.truth_table import VARIABLE, complement_input

# A window's leaves and inner signals at most, and how many of the signals that look the same one is compared with.
_LEAVES = 10
_INNER = 160
_TRIES = 1000
_WINDOW_WORDS = (1 << _LEAVES) // 64


def packed_values(netlist: Netlist, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every signal's values, uint64 (signal, word), for packed items, uint64 (input, word) with an item a bit."""
    values = np.empty((netlist.n_signals, inputs.shape[1]), dtype=np.uint64)
    values[: netlist.n_inputs] = inputs
    _fill(netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity, values)
    return values


@dataclass(frozen=True, eq=False)
class Merged:
    """A netlist of which equal signals were merged.

    netlist: the same gates, each where it was, those that are no longer read too; every signal that was proven equal to an
    earlier one, or to its complement, is read through that one. lookalike: int32 (signal,), for a signal that was not merged
    an earlier one that it may still equal, since all items say so; -1 if there is none.
    """

    netlist: Netlist
    lookalike: NDArray[np.int32]


def merged(netlist: Netlist, values: NDArray[np.uint64], known: NDArray[np.int32]) -> Merged:
    """Merge what windows prove equal.

    values: of every signal on some items, as packed_values gives them; the more items, the fewer vain proofs. known: int32
    (signal,), for a signal of which that is proven already the earlier one that it, or its complement, equals; else -1.
    """
    table, fan_in, source, inverted, lookalike = _merge(
        netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity, values, known
    )
    read_through = Netlist(
        n_inputs=netlist.n_inputs,
        table=table,
        fan_in=fan_in,
        arity=netlist.arity,
        outputs=source[netlist.outputs],
        inverted=netlist.inverted ^ inverted[netlist.outputs],
    )
    return Merged(read_through, lookalike)


class _Gates(NamedTuple):
    """The netlist's gates, those that were looked at with merged signals as their fan-ins."""

    n_inputs: int
    table: NDArray[np.uint64]
    fan_in: NDArray[np.int32]
    arity: NDArray[np.int8]


class _Window(NamedTuple):
    """Leaves, the first n_leaves of them, and inner signals; row is where each signal's values are, -1 for one not in it."""

    leaves: NDArray[np.int32]
    inner: NDArray[np.int32]
    row: NDArray[np.int32]
    values: NDArray[np.uint64]


@njit(cache=True)
def _fill(n_inputs, table, fan_in, arity, values):
    rows = np.empty(fan_in.shape[1], np.int32)
    for gate in range(len(table)):
        for column in range(arity[gate]):
            rows[column] = fan_in[gate, column]
        apply_table(table[gate], arity[gate], rows, values, n_inputs + gate, values.shape[1])


@njit(cache=True)
def apply_table(table, arity, rows, values, out, words):
    """A gate on packed values: values[out] of values[rows], as the sum of the table's true rows."""
    for w in range(words):
        result = np.uint64(0)
        for row in range(1 << arity):
            if (table >> np.uint64(row)) & np.uint64(1):
                term = ~np.uint64(0)
                for position in range(arity):
                    value = values[rows[position], w]
                    term &= value if (row >> position) & 1 else ~value
                result |= term
        values[out, w] = result


@njit(cache=True)
def _merge(n_inputs, table, fan_in, arity, values, known):
    n_signals = n_inputs + len(table)
    gates = _Gates(n_inputs, table.copy(), fan_in.copy(), arity)
    source = np.arange(n_signals).astype(np.int32)
    inverted = np.zeros(n_signals, np.bool_)
    lookalike = np.full(n_signals, -1, np.int32)
    n_slots = 2
    while n_slots < 2 * n_signals:
        n_slots *= 2
    slots = np.full(n_slots, -1, np.int32)  # the first of those that look the same, and after each, the next
    following = np.full(n_signals, -1, np.int32)
    window = _Window(
        np.empty(_LEAVES + 2, np.int32),
        np.empty(_INNER, np.int32),
        np.full(n_signals, -1, np.int32),
        np.empty((_LEAVES + _INNER, _WINDOW_WORDS), np.uint64),
    )
    for signal in range(n_signals):
        if signal >= n_inputs:
            _read_through(gates, signal - n_inputs, source, inverted)
        if known[signal] >= 0:
            other = known[signal]
            source[signal] = source[other]
            inverted[signal] = _flip(values, signal) != _flip(values, source[other])
            continue
        slot = _find_slot(slots, values, signal)
        other = slots[slot]
        if other < 0:
            slots[slot] = signal
            continue
        lookalike[signal] = other
        for _ in range(_TRIES):
            flip = _flip(values, signal) != _flip(values, other)
            if signal >= n_inputs and _equal(gates, window, signal, other, flip):
                source[signal], inverted[signal], lookalike[signal] = other, flip, -1
                break
            if following[other] < 0:
                following[other] = signal
                break
            other = following[other]
    return gates.table, gates.fan_in, source, inverted, lookalike


@njit(cache=True)
def _read_through(gates, gate, source, inverted):
    """Let the gate read what its fan-ins were merged with, inversions folded into its table."""
    for position in range(gates.arity[gate]):
        signal = gates.fan_in[gate, position]
        gates.fan_in[gate, position] = source[signal]
        if inverted[signal]:
            gates.table[gate] = complement_input(gates.table[gate], gates.arity[gate], position)


@njit(cache=True)
def _find_slot(slots, values, signal):
    """The hash slot of the first signal with these values or their complement, or the empty one where this one belongs."""
    flip = _flip(values, signal)
    h = np.uint64(0)
    for w in range(values.shape[1]):
        h = (h ^ values[signal, w] ^ flip) * np.uint64(0xFF51AFD7ED558CCD)
        h ^= h >> np.uint64(32)
    last = np.uint64(len(slots) - 1)
    slot = h & last
    while slots[slot] >= 0 and not _look_the_same(values, slots[slot], signal):
        slot = (slot + np.uint64(1)) & last
    return slot


@njit(cache=True)
def _flip(values, signal):
    """What makes the first item's value false: all ones if it is true."""
    return ~np.uint64(0) if values[signal, 0] & np.uint64(1) else np.uint64(0)


@njit(cache=True)
def _look_the_same(values, first, second):
    flip = _flip(values, first) ^ _flip(values, second)
    for w in range(values.shape[1]):  # noqa: SIM110, numba has no all() of a generator
        if values[first, w] ^ values[second, w] != flip:
            return False
    return True


@njit(cache=True)
def _equal(gates, window, first, second, flip):
    """Whether the two signals, or one and the other's complement, agree on every row of a window's leaves."""
    n_leaves, n_inner = _grow(gates, window, first, second)
    words = 1 << max(0, n_leaves - 6)
    for leaf in range(n_leaves):
        window.row[window.leaves[leaf]] = leaf
        for w in range(words):
            if leaf < 6:
                window.values[leaf, w] = VARIABLE[leaf]
            else:
                window.values[leaf, w] = ~np.uint64(0) if (w >> (leaf - 6)) & 1 else np.uint64(0)
    rows = np.empty(gates.fan_in.shape[1], np.int32)
    inner = np.sort(window.inner[:n_inner])  # signals are in topological order
    for place in range(n_inner):
        gate = inner[place] - gates.n_inputs
        for column in range(gates.arity[gate]):
            rows[column] = window.row[gates.fan_in[gate, column]]
        window.row[inner[place]] = n_leaves + place
        apply_table(gates.table[gate], gates.arity[gate], rows, window.values, n_leaves + place, words)
    wanted = ~np.uint64(0) if flip else np.uint64(0)
    equal = True
    for w in range(words):
        equal = equal and window.values[window.row[first], w] ^ window.values[window.row[second], w] == wanted
    for leaf in range(n_leaves):
        window.row[window.leaves[leaf]] = -1
    for place in range(n_inner):
        window.row[inner[place]] = -1
    return equal


@njit(cache=True)
def _grow(gates, window, first, second):
    """Grow the window from the two down: the leaf that is replaced by its fan-ins is the one that adds fewest leaves, of
    equals the last (a reconvergence-driven cut). Returns how many leaves and how many inner signals there are."""
    window.leaves[0], window.leaves[1] = first, second
    window.row[first] = window.row[second] = 0
    n_leaves, n_inner = 2, 0
    while True:
        best, fewest = -1, np.int64(_LEAVES + 1)
        for place in range(n_leaves):
            signal = window.leaves[place]
            if signal >= gates.n_inputs:
                added = _new_leaves(gates, window, signal)
                if added < fewest or (added == fewest and signal > window.leaves[best]):
                    best, fewest = place, added
        if best < 0 or n_leaves + fewest - 1 > _LEAVES or n_inner == _INNER:
            return n_leaves, n_inner
        signal = window.leaves[best]
        window.inner[n_inner] = signal
        n_inner += 1
        window.leaves[best] = window.leaves[n_leaves - 1]
        n_leaves -= 1
        gate = signal - gates.n_inputs
        for column in range(gates.arity[gate]):
            if window.row[gates.fan_in[gate, column]] < 0:
                window.row[gates.fan_in[gate, column]] = 0
                window.leaves[n_leaves] = gates.fan_in[gate, column]
                n_leaves += 1


@njit(cache=True)
def _new_leaves(gates, window, signal):
    """How many different fan-ins of the signal's gate are not in the window."""
    gate = signal - gates.n_inputs
    n = 0
    for column in range(gates.arity[gate]):
        if window.row[gates.fan_in[gate, column]] < 0:
            seen = False
            for earlier in range(column):
                seen = seen or gates.fan_in[gate, earlier] == gates.fan_in[gate, column]
            n += not seen
    return n
