"""Run a netlist on packed words with numba: the gates are data, so no circuit needs a compilation of its own.

A gate of up to three inputs is a polynomial over the field of two elements, where + is exclusive or and * is and (its
algebraic normal form), and is evaluated by Horner's rule, one level an input:

    level 0 = its 8 coefficients          level j + 1, term m = level j, term 2m + level j, term 2m + 1 * input j

A coefficient is a word of zeros or of ones, so all gates take the same seven steps: the processor has no operator to branch
on, which it could not predict, and a step is one instruction where there is ternary logic (AVX-512), else two. Steps are
written on vectors of sixteen words, which LLVM splits into the registers there are: left to find them in a loop over words, it
takes half of the widest, and one word at a time where a gate overwrites its input.

What then limits a large circuit is how far away its signals are. Gates are evaluated in an order that keeps few signals live
(see codegen.schedule), each on a block of words, and a signal's slot is used again as soon as its last reader is done.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from codegen.netlist import Netlist
from codegen.pack import aligned_words
from codegen.schedule import reordered, schedule
from codegen.vector_ir import address, splat_of

# Words a gate handles at once: long enough that finding its slots and coefficients costs little, short enough that the live
# signals of a large circuit stay in the second-level cache.
BLOCK_WORDS = 32

_VECTOR = 16  # words a step handles at once: two of the widest registers, so that their chains of steps overlap
_WORDS = ir.VectorType(ir.IntType(64), _VECTOR)
_WIDEST = 3  # inputs of a gate


@dataclass(frozen=True, eq=False)
class Program:
    """A netlist of gates of at most three inputs, in the order of evaluation, with its signals in slots that are reused.

    table:    uint8 (gate,), the gate's truth table over three inputs, of which it ignores those that it does not have.
    slots:    int32 (gate, 4), where the gate writes, and where it finds its three inputs.
    n_slots:  slots in all; the primary inputs are in slots 0 .. n_inputs - 1.
    outputs, inverted: slot of each primary output, and whether it is complemented.
    """

    n_inputs: int
    table: NDArray[np.uint8]
    slots: NDArray[np.int32]
    n_slots: int
    outputs: NDArray[np.int32]
    inverted: NDArray[np.bool_]

    @property
    def n_operators(self) -> int:
        """Bitwise operators that one evaluation takes a word: an and and an exclusive or for each of a gate's steps, and an
        exclusive or for each output."""
        return 2 * (_TERMS.shape[1] - 1) * len(self.table) + len(self.outputs)


def program(netlist: Netlist) -> Program:
    """Order the live gates and assign slots. Raises ValueError for gates of more than three inputs."""
    if netlist.arity.max(initial=0) > _WIDEST:
        raise ValueError(f"Expected gates of at most {_WIDEST} inputs; call passes.lower_ternary on the netlist first.")
    netlist = reordered(netlist, schedule(netlist))
    table = netlist.table
    for arity in range(_WIDEST):  # a table is repeated over the rows of an input that it does not have
        table = np.where(netlist.arity <= arity, table | table << np.uint64(1 << arity), table)
    slots, slot_of, n_slots = _assign_slots(netlist.n_inputs, netlist.fan_in, netlist.arity, netlist.outputs)
    return Program(netlist.n_inputs, table.astype(np.uint8), slots, n_slots, slot_of[netlist.outputs], netlist.inverted)


def evaluate(compiled: Program, blocks: NDArray[np.uint64], out: NDArray[np.uint64], times: int = 1) -> None:
    """Evaluate blocks, uint64 (block, input, word), into out, uint64 (block, output, word); all of it `times` times."""
    values = _values(compiled, blocks.shape[2])
    _evaluate(compiled.table, compiled.slots, compiled.outputs, compiled.inverted, values, blocks, out, times)


def step_board(compiled: Program, rows: NDArray[np.uint64], width: int, torus: bool, steps: int) -> NDArray[np.uint64]:
    """Advance a packed board, uint64 (height, word), by `steps` generations of a nine-input stencil; returns the new board."""
    words = rows.shape[1]
    band = max(1, BLOCK_WORDS // words)
    output, inverted = compiled.outputs[0], compiled.inverted[0]
    values = _values(compiled, band * words)
    return _step_board(compiled.table, compiled.slots, output, inverted, values, rows, band, width, torus, steps)


def _values(compiled: Program, words: int) -> NDArray[np.uint64]:
    """Room for the signals, uint64 (slot, word), with as many words as are asked for and up to whole vectors."""
    padded = -(-words // _VECTOR) * _VECTOR
    return aligned_words(compiled.n_slots * padded).reshape(compiled.n_slots, padded)


def _normal_forms() -> NDArray[np.uint64]:
    """uint64 (table, term): the coefficient of the product of those inputs whose bits are set in the term, as a mask.

    It is the sum of the table's rows in which no other input is true (the Moebius transform), summed input by input.
    """
    n_rows = 1 << _WIDEST
    terms = np.arange(1 << n_rows)[:, None] >> np.arange(n_rows) & 1
    for position in range(_WIDEST):
        pairs = terms.reshape(len(terms), -1, 2, 1 << position)
        pairs[:, :, 1] ^= pairs[:, :, 0]
    return np.where(terms == 1, ~np.uint64(0), np.uint64(0))


_TERMS = _normal_forms()


@intrinsic
def _run_gate(typing: Any, values: Any, out: Any, a: Any, b: Any, c: Any, terms: Any, table: Any) -> Any:
    """values[out : out + 16] = the gate of the table on the vectors at a, b and c, all counted in words from the start."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, out, *inputs, terms, table = arguments
        n_terms = 1 << len(inputs)
        first = builder.mul(table, table.type(n_terms))
        level = []
        for term in range(n_terms):
            place = address(context, builder, signature.args[5], terms, builder.add(first, table.type(term)), _WORDS.element)
            level.append(splat_of(builder, builder.load(place), _WORDS))
        for word in inputs:
            vector = builder.load(address(context, builder, signature.args[0], values, word, _WORDS))
            vector.align = 8
            level = [builder.xor(level[i], builder.and_(level[i + 1], vector)) for i in range(0, len(level), 2)]
        builder.store(level[0], address(context, builder, signature.args[0], values, out, _WORDS)).align = 8
        return context.get_dummy_value()

    place = types.intp
    return types.void(values, place, place, place, place, terms, place), generate


@njit(cache=True, nogil=True)
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
    n_slots = max(n_inputs, 1)  # gates name slot 0 as the inputs that they do not have
    free = np.empty(n_inputs + n_gates, np.int32)
    n_free = 0
    slots = np.zeros((n_gates, 1 + _WIDEST), np.int32)
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


@njit(cache=True, nogil=True)
def _run_gates(table, slots, values, words):
    """Evaluate every gate on values[slot, :words]. A gate may write the slot that it reads: lanes are independent."""
    stride = values.shape[1]
    for gate in range(len(table)):
        out, a, b, c = slots[gate, 0] * stride, slots[gate, 1] * stride, slots[gate, 2] * stride, slots[gate, 3] * stride
        gate_table = table[gate]  # read once: for all LLVM knows, the gate might overwrite it
        for w in range(0, words, _VECTOR):
            _run_gate(values, out + w, a + w, b + w, c + w, _TERMS, gate_table)


@njit(cache=True, nogil=True)
def _evaluate(table, slots, outputs, inverted, values, blocks, out, times):
    n_blocks, n_inputs, words = blocks.shape
    for _ in range(times):
        for block in range(n_blocks):
            for signal in range(n_inputs):
                for w in range(words):
                    values[signal, w] = blocks[block, signal, w]
            _run_gates(table, slots, values, words)
            for output in range(len(outputs)):
                flip = ~np.uint64(0) if inverted[output] else np.uint64(0)
                for w in range(words):
                    out[block, output, w] = values[outputs[output], w] ^ flip


@njit(cache=True, nogil=True)
def _step_board(table, slots, output, inverted, values, rows, band, width, torus, steps):
    """Rows are handled `band` at a time, side by side in a slot."""
    height, words = rows.shape
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
            _run_gates(table, slots, values, n_rows * words)
            for r in range(n_rows):
                for w in range(words):
                    then[top + r, w] = values[output, r * words + w] ^ flip
                then[top + r, words - 1] &= last_word
        now, then = then, now
    return now


@njit(cache=True, nogil=True)
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
