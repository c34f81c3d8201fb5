"""Run a netlist on packed words with numba: the gates are data, so no circuit needs a compilation of its own."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from codegen.netlist import Netlist

# Words a gate handles at once: long enough that the choice of operator costs nothing, short enough that the live
# signals of a few hundred gates stay in the first-level caches.
BLOCK_WORDS = 64


@dataclass(frozen=True, eq=False)
class Program:
    """A netlist of gates of at most two inputs, with its signals in slots that are reused once nobody reads them.

    op:       uint8 (gate,), the gate's two-input truth table (one-input gates and constants ignore what they do not read).
    slots:    int32 (gate, 3), where the gate writes, and where it finds its two inputs.
    n_slots:  slots in all; the primary inputs are in slots 0 .. n_inputs - 1.
    outputs, inverted: slot of each primary output, and whether it is complemented.
    """

    n_inputs: int
    op: NDArray[np.uint8]
    slots: NDArray[np.int32]
    n_slots: int
    outputs: NDArray[np.int32]
    inverted: NDArray[np.bool_]


def program(netlist: Netlist) -> Program:
    """Assign operators and slots. The netlist must be lowered to two-input gates."""
    fan_in = np.zeros((netlist.n_gates, 2), dtype=np.int32)
    for position in range(min(2, netlist.fan_in.shape[1])):
        has_input = netlist.arity > position
        fan_in[has_input, position] = netlist.fan_in[has_input, position]
    # A table over fewer inputs is repeated over the rows of those it does not have.
    op = netlist.table.astype(np.uint8)
    op = np.where(netlist.arity < 1, op * 0b11, op)
    op = np.where(netlist.arity < 2, op * 0b101, op).astype(np.uint8)
    slots, slot_of, n_slots = _assign_slots(netlist.n_inputs, fan_in, netlist.arity, netlist.outputs)
    return Program(netlist.n_inputs, op, slots, n_slots, slot_of[netlist.outputs], netlist.inverted)


def evaluate(compiled: Program, blocks: NDArray[np.uint64], out: NDArray[np.uint64], times: int = 1) -> None:
    """Evaluate blocks, uint64 (block, input, word), into out, uint64 (block, output, word); all of it `times` times."""
    _evaluate(compiled.op, compiled.slots, compiled.n_slots, compiled.outputs, compiled.inverted, blocks, out, times)


def step_board(compiled: Program, rows: NDArray[np.uint64], width: int, torus: bool, steps: int) -> NDArray[np.uint64]:
    """Advance a packed board, uint64 (height, word), by `steps` generations of a nine-input stencil; returns the new board."""
    return _step_board(
        compiled.op, compiled.slots, compiled.n_slots, compiled.outputs[0], compiled.inverted[0], rows, width, torus, steps
    )


@njit(cache=True)
def _assign_slots(n_inputs, fan_in, arity, outputs):
    n_gates = len(arity)
    last_reader = np.full(n_inputs + n_gates, -1, np.int64)
    for gate in range(n_gates):
        for position in range(arity[gate]):
            last_reader[fan_in[gate, position]] = gate
    for signal in outputs:
        last_reader[signal] = n_gates  # never freed
    slot_of = np.zeros(n_inputs + n_gates, np.int32)
    slot_of[:n_inputs] = np.arange(n_inputs)
    n_slots = max(n_inputs, 1)  # constants name slot 0 as the input that they ignore
    free = np.empty(n_inputs + n_gates, np.int32)
    n_free = 0
    slots = np.zeros((n_gates, 3), np.int32)
    for gate in range(n_gates):
        for position in range(arity[gate]):
            slots[gate, 1 + position] = slot_of[fan_in[gate, position]]
        for position in range(arity[gate]):
            signal = fan_in[gate, position]
            if last_reader[signal] == gate and signal >= n_inputs:
                free[n_free] = slot_of[signal]
                n_free += 1
                last_reader[signal] = -1  # a gate may read a signal twice; its slot is freed once
        if n_free > 0:
            n_free -= 1
            slots[gate, 0] = free[n_free]
        else:
            slots[gate, 0] = n_slots
            n_slots += 1
        slot_of[n_inputs + gate] = slots[gate, 0]
        if last_reader[n_inputs + gate] < 0:  # dead: its slot may be overwritten at once
            free[n_free] = slots[gate, 0]
            n_free += 1
    return slots, slot_of, n_slots


@njit(cache=True)
def _run_gates(op, slots, values, words):
    """Evaluate every gate on values[slot, :words]. A gate may write the slot that it reads: lanes are independent."""
    for gate in range(len(op)):
        out = values[slots[gate, 0]]
        a = values[slots[gate, 1]]
        b = values[slots[gate, 2]]
        table = op[gate]
        if table == 0b1000:
            for w in range(words):
                out[w] = a[w] & b[w]
        elif table == 0b0110:
            for w in range(words):
                out[w] = a[w] ^ b[w]
        elif table == 0b1110:
            for w in range(words):
                out[w] = a[w] | b[w]
        elif table == 0b0010:
            for w in range(words):
                out[w] = a[w] & ~b[w]
        elif table == 0b0100:
            for w in range(words):
                out[w] = ~a[w] & b[w]
        else:
            # Any table as exclusive-or of 1, a, b and ab (its algebraic normal form).
            ones = ~np.uint64(0)
            bit0, bit1, bit2, bit3 = table & 1, (table >> 1) & 1, (table >> 2) & 1, (table >> 3) & 1
            c = ones if bit0 else np.uint64(0)
            ca = ones if bit0 ^ bit1 else np.uint64(0)
            cb = ones if bit0 ^ bit2 else np.uint64(0)
            cab = ones if bit0 ^ bit1 ^ bit2 ^ bit3 else np.uint64(0)
            for w in range(words):
                out[w] = c ^ (ca & a[w]) ^ (cb & b[w]) ^ (cab & a[w] & b[w])


@njit(cache=True)
def _evaluate(op, slots, n_slots, outputs, inverted, blocks, out, times):
    n_blocks, n_inputs, words = blocks.shape
    values = np.zeros((n_slots, words), np.uint64)
    for _ in range(times):
        for block in range(n_blocks):
            values[:n_inputs] = blocks[block]
            _run_gates(op, slots, values, words)
            for output in range(len(outputs)):
                flip = ~np.uint64(0) if inverted[output] else np.uint64(0)
                for w in range(words):
                    out[block, output, w] = values[outputs[output], w] ^ flip


@njit(cache=True)
def _step_board(op, slots, n_slots, output, inverted, rows, width, torus, steps):
    height, words = rows.shape
    band = max(1, BLOCK_WORDS // words)  # rows handled at once
    values = np.zeros((n_slots, band * words), np.uint64)
    flip = ~np.uint64(0) if inverted else np.uint64(0)
    used = width % 64
    last_word = np.uint64((1 << used) - 1) if used else ~np.uint64(0)
    now = rows.copy()
    then = np.empty_like(now)
    for _ in range(steps):
        for top in range(0, height, band):
            n_rows = min(band, height - top)
            for r in range(n_rows):
                at = r * words
                for third in range(3):
                    y = top + r + third - 1
                    if torus or 0 <= y < height:
                        _shifted(now[y % height], width, torus, values[3 * third : 3 * third + 3, at : at + words])
                    else:
                        values[3 * third : 3 * third + 3, at : at + words] = 0
            _run_gates(op, slots, values, n_rows * words)
            for r in range(n_rows):
                for w in range(words):
                    then[top + r, w] = values[output, r * words + w] ^ flip
                then[top + r, words - 1] &= last_word
        now, then = then, now
    return now


@njit(cache=True)
def _shifted(row, width, torus, out):
    """The cells west of, at and east of each cell of a packed row, into out[0], out[1], out[2]."""
    words = len(row)
    for w in range(words):
        out[1, w] = row[w]
    out[0, 0] = row[0] << np.uint64(1)
    for w in range(1, words):
        out[0, w] = (row[w] << np.uint64(1)) | (row[w - 1] >> np.uint64(63))
    for w in range(words - 1):
        out[2, w] = (row[w] >> np.uint64(1)) | (row[w + 1] << np.uint64(63))
    out[2, words - 1] = row[words - 1] >> np.uint64(1)
    if torus:
        last = np.uint64((width - 1) % 64)
        out[0, 0] |= (row[words - 1] >> last) & np.uint64(1)
        out[2, words - 1] |= (row[0] & np.uint64(1)) << last
