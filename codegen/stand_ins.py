"""What may stand in for a signal of a circuit: a constant, or an earlier signal that is equal, or nearly, on given items.

Unlike codegen.merge this proves nothing: what is equal on the items may differ on others. Substituting one signal by another
that is nearly always the same, and simplifying, is the move of approximate logic synthesis (Venkataramani, Roy, Raghunathan
2013, Substitute-and-simplify, DATE).
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from codegen.merge import apply_table, packed_values
from codegen.netlist import Netlist
from codegen.readout import GroupSum, Majority, Readout
from codegen.truth_table import complement_input

CONSTANT = -1
_MOST_CHANGED = 1 << 13  # signals that a substitution may change before it is not looked at any more
_LARGEST_EXPONENT = 500.0  # e to it is a float64, and so is its product with another of half the size
_LEAST = 1e-300  # a total that rounding may have made none
_PER_ADDER = 2  # gates
_ALL, _NONE, _ONE = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0), np.uint64(1)


@dataclass(frozen=True, eq=False)
class StandIns:
    """Substitutions that may be made, at most one of a signal.

    signal: int32 (n,), what is replaced. by: int32 (n,), an earlier signal, or CONSTANT for false. inverted: bool (n,), whether
    the complement of that. gain: int32 (n,), about how many gates each saves.
    """

    signal: NDArray[np.int32]
    by: NDArray[np.int32]
    inverted: NDArray[np.bool_]
    gain: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.signal)

    def part(self, which: NDArray[np.intp]) -> "StandIns":
        return StandIns(*(getattr(self, name)[which] for name in ("signal", "by", "inverted", "gain")))


def substituted(netlist: Netlist, made: StandIns) -> Netlist:
    """The netlist with all of the substitutions; what they leave to simplify is for the passes.

    A primary input stays one, but is read no more.
    """
    n_inputs = netlist.n_inputs
    source = np.arange(netlist.n_signals, dtype=np.int32)
    source[n_inputs:] += 1  # a constant false goes before the gates
    inverted = np.zeros(netlist.n_signals, dtype=bool)
    to = np.where(made.by == CONSTANT, n_inputs, source[made.by])
    of_input = made.signal < n_inputs
    source[made.signal[of_input]], inverted[made.signal[of_input]] = to[of_input], made.inverted[of_input]
    table, arity = netlist.table.copy(), netlist.arity.copy()
    fan_in = np.where(netlist.fan_in < 0, netlist.fan_in, source[netlist.fan_in])
    fan_in = np.pad(fan_in, ((0, 0), (0, max(0, 1 - fan_in.shape[1]))), constant_values=-1)
    _complement(table, netlist.fan_in, arity, inverted)
    gates = made.signal[~of_input] - n_inputs
    fan_in[gates] = -1
    fan_in[gates, 0] = to[~of_input]
    table[gates], arity[gates] = np.where(made.inverted[~of_input], 0b01, 0b10), 1
    return Netlist(
        n_inputs=n_inputs,
        table=np.concatenate([np.zeros(1, dtype=np.uint64), table]),
        fan_in=np.concatenate([np.full((1, fan_in.shape[1]), -1, dtype=np.int32), fan_in]),
        arity=np.concatenate([np.zeros(1, dtype=np.int8), arity]),
        outputs=source[netlist.outputs],
        inverted=netlist.inverted ^ inverted[netlist.outputs],
    )


def tapped(netlist: Netlist, readout: Readout | None) -> Netlist:
    """The netlist with a copy between a group and each signal that counts there and is used elsewhere too, or is a primary input:
    a substitution of the copy takes the signal out of this group alone."""
    group = np.arange(netlist.n_outputs) if readout is None else readout.groups(netlist.n_outputs)
    taps, tap = np.unique(np.stack([netlist.outputs, group], axis=1), axis=0, return_inverse=True)
    uses = np.bincount(netlist.fan_in[netlist.fan_in >= 0], minlength=netlist.n_signals)
    uses += np.bincount(taps[:, 0], minlength=netlist.n_signals)
    needed = (taps[:, 0] < netlist.n_inputs) | (uses[taps[:, 0]] > 1)
    copied = np.where(needed, netlist.n_signals + np.cumsum(needed) - 1, taps[:, 0])
    n, width = int(needed.sum()), max(1, netlist.fan_in.shape[1])
    fan_in = np.full((netlist.n_gates + n, width), -1, dtype=np.int32)
    fan_in[: netlist.n_gates, : netlist.fan_in.shape[1]] = netlist.fan_in
    fan_in[netlist.n_gates :, 0] = taps[needed, 0]
    return Netlist(
        n_inputs=netlist.n_inputs,
        table=np.concatenate([netlist.table, np.full(n, 0b10, dtype=np.uint64)]),
        fan_in=fan_in,
        arity=np.concatenate([netlist.arity, np.ones(n, dtype=np.int8)]),
        outputs=copied[tap.ravel()],
        inverted=netlist.inverted,
    )


# ------------------------------------------------------------------------------------------------ equal on all of the items


def equal_signals(netlist: Netlist, readout: Readout | None, chunks: Iterable[NDArray[np.uint64]]) -> StandIns:
    """For every signal that is constant on the items, or equal to an earlier one or its complement: that. They do no harm there,
    and may all be made at once.

    chunks: the items, uint64 (input, word), some words at a time.
    """
    first = np.full(netlist.n_signals, CONSTANT, dtype=np.int32)
    flip = None
    for inputs in chunks:
        values = packed_values(netlist, inputs)
        if flip is None:
            flip = values[:, 0] & _ONE == 1
        values ^= np.where(flip, _ALL, _NONE)[:, None]
        first = _refined(first, values)
    assert flip is not None
    signal = np.flatnonzero(first != np.arange(netlist.n_signals)).astype(np.int32)
    by = first[signal]
    inverted = np.where(by == CONSTANT, flip[signal], flip[signal] != flip[by])
    return StandIns(signal, by, inverted, _gains(_Parts.of(netlist, readout), signal, by))


@njit(cache=True)
def _refined(first, values):
    """The first of the signals that were equal before and are on these items too, CONSTANT for those that are all false."""
    n_slots = 2
    while n_slots < 2 * len(first):
        n_slots *= 2
    slots = np.full(n_slots, -1, np.int32)
    refined = np.empty(len(first), np.int32)
    last = np.uint64(n_slots - 1)
    for signal in range(len(first)):
        h = np.uint64(first[signal])
        is_false = True
        for w in range(values.shape[1]):
            is_false = is_false and values[signal, w] == np.uint64(0)
            h = (h ^ values[signal, w]) * np.uint64(0xFF51AFD7ED558CCD)
            h ^= h >> np.uint64(32)
        if is_false and first[signal] == CONSTANT:
            refined[signal] = CONSTANT
            continue
        slot = h & last
        while slots[slot] >= 0 and not _same(first, values, slots[slot], signal):
            slot = (slot + np.uint64(1)) & last
        if slots[slot] < 0:
            slots[slot] = signal
        refined[signal] = slots[slot]
    return refined


@njit(cache=True)
def _same(first, values, one, other):
    if first[one] != first[other]:
        return False
    for w in range(values.shape[1]):  # noqa: SIM110, numba has no all() of a generator
        if values[one, w] != values[other, w]:
            return False
    return True


# --------------------------------------------------------------------------------------------- nearly equal, and what it costs


def near_signals(netlist: Netlist, readout: Readout | None, inputs: NDArray[np.uint64], enough: int) -> StandIns:
    """Substitutions of gates by constants or by the nearest earlier signals that were found, in the order in which to make them,
    until they save about so many gates.

    Each is the one that harms the items, uint64 (input, word), least for what it saves, when those before it are made (a lazy
    greedy search: Minoux 1978). Harm is the divergence (Kullback, Leibler 1951) from what the circuit gave: from the softmax of a
    group sum's scores, or from the logistic function of the votes for each bit, where outputs that are the answer are each a
    vote of its own. Measured by the right answers instead, the first to go are signals whose loss improves many training items by
    chance, and little is saved before other items are worse (MNIST, 0.1 points: 1 % of the gates instead of 12 %).
    """
    values = packed_values(netlist, inputs)
    loss = _Loss.of(netlist, readout, values)
    parts = _Parts.of(netlist, readout)
    gates = np.arange(netlist.n_inputs, netlist.n_signals, dtype=np.int32)
    near, near_inverted, mostly_true = _nearest(netlist.n_inputs, netlist.fan_in, netlist.arity, values)
    constant = np.full(len(gates), CONSTANT, dtype=np.int32)
    by, inverted, gain = constant, mostly_true, _gains(parts, gates, constant)
    costs = _costs(parts, loss, values, by, inverted, gain)
    near_gain = _gains(parts, gates, near)
    near_costs = _costs(parts, loss, values, near, near_inverted, near_gain)
    better = (near_costs < costs) & (netlist.arity > 1)  # a copy is what it copies
    by, inverted = np.where(better, near, by), np.where(better, near_inverted, inverted)
    gain, costs = np.where(better, near_gain, gain), np.where(better, near_costs, costs)
    costs[netlist.arity == 0] = np.inf  # a constant is what it is
    order = _greedy(parts, loss, values, by, inverted, gain, costs, enough)
    return StandIns(gates[order], by[order], inverted[order], gain[order])


class _Parts(NamedTuple):
    """A netlist to be changed gate by gate.

    The gates that read signal s are readers[reader_starts[s] : reader_starts[s + 1]], as often as they do, and the copies that
    were made of it: copy[s], and after each copy g the next one, copy[n_inputs + g]; -1 ends them. Its outputs are
    output_starts[s] to output_starts[s + 1] of output_group and output_inverted.
    """

    n_inputs: int
    table: NDArray[np.uint64]
    fan_in: NDArray[np.int32]
    arity: NDArray[np.int8]
    reader_starts: NDArray[np.int64]
    readers: NDArray[np.int64]
    first_copy: NDArray[np.int64]
    next_copy: NDArray[np.int64]
    output_starts: NDArray[np.int64]
    output_group: NDArray[np.int64]
    output_inverted: NDArray[np.bool_]

    @classmethod
    def of(cls, netlist: Netlist, readout: Readout | None) -> "_Parts":
        group = np.arange(netlist.n_outputs) if readout is None else readout.groups(netlist.n_outputs)
        order = np.argsort(netlist.outputs, kind="stable")
        return cls(
            netlist.n_inputs,
            netlist.table.copy(),
            np.pad(netlist.fan_in, ((0, 0), (0, max(0, 1 - netlist.fan_in.shape[1]))), constant_values=-1),
            netlist.arity.copy(),
            *_fan_outs(netlist),
            np.full(netlist.n_signals, -1, dtype=np.int64),
            np.full(netlist.n_gates, -1, dtype=np.int64),
            np.searchsorted(netlist.outputs[order], np.arange(netlist.n_signals + 1)),
            group[order].astype(np.int64),
            netlist.inverted[order],
        )


class _Loss(NamedTuple):
    """counts: int64 (item, group), true outputs. probability: float64 (item, group), of the group's class among the others if
    is_joint, else of the group's bit being true; target: what that was at first. unit: what a count of one more adds to the
    logarithm of the odds. even: the count at which a bit's odds are even."""

    counts: NDArray[np.int64]
    probability: NDArray[np.float64]
    target: NDArray[np.float64]
    unit: float
    even: float
    is_joint: bool

    @classmethod
    def of(cls, netlist: Netlist, readout: Readout | None, values: NDArray[np.uint64]) -> "_Loss":
        readout = readout or Majority(netlist.n_outputs, 1, 1.0)
        words = values[netlist.outputs] ^ np.where(netlist.inverted, _ALL, _NONE)[:, None]
        starts = np.searchsorted(readout.groups(netlist.n_outputs), np.arange(readout.n_groups))
        bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little")
        counts = np.ascontiguousarray(np.add.reduceat(bits, starts, axis=0, dtype=np.int64).T)
        is_joint = isinstance(readout, GroupSum)
        unit = 1 / readout.temperature if is_joint else 2 / readout.temperature
        even = readout.votes / 2 if isinstance(readout, Majority) else 0.0
        loss = cls(counts, np.empty(counts.shape), np.empty(counts.shape), unit, even, is_joint)
        for item in range(len(counts)):
            _set_probability(loss, item)
        loss.target[:] = loss.probability
        return loss


def _fan_outs(netlist: Netlist) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """reader_starts and readers, as of _Parts."""
    gates, columns = np.nonzero(netlist.fan_in >= 0)
    read = netlist.fan_in[gates, columns]
    order = np.argsort(read, kind="stable")
    return np.searchsorted(read[order], np.arange(netlist.n_signals + 1)), gates[order]


@njit(cache=True)
def _gains(parts, signal, by):
    """About how many gates each substitution saves, at least one: those that only the signal needed; if it becomes constant, its
    readers of two inputs too, and an adder in each group that it is in; otherwise one where the other signal is in the group."""
    n_inputs, fan_in, arity = parts.n_inputs, parts.fan_in, parts.arity
    n_signals = n_inputs + len(arity)
    reads = np.diff(parts.output_starts) + np.diff(parts.reader_starts)
    gains = np.zeros(len(signal), np.int32)
    stack = np.empty(n_signals, np.int64)
    unread = np.empty(fan_in.size + 1, np.int64)
    for place in range(len(signal)):
        of, to = signal[place], by[place]
        if to >= 0:
            reads[to] += 1
        n_stack, n_unread = 0, 0
        if of >= n_inputs:
            stack[0], n_stack = of, 1
        while n_stack > 0:
            n_stack -= 1
            gate = stack[n_stack] - n_inputs
            gains[place] += arity[gate] > 1  # a copy is none that is compiled
            for column in range(arity[gate]):
                source = fan_in[gate, column]
                reads[source] -= 1
                unread[n_unread] = source
                n_unread += 1
                if reads[source] == 0 and source >= n_inputs:
                    stack[n_stack] = source
                    n_stack += 1
        for undone in range(n_unread):
            reads[unread[undone]] += 1
        if to >= 0:
            reads[to] -= 1
        else:
            for reader in range(parts.reader_starts[of], parts.reader_starts[of + 1]):
                gains[place] += arity[parts.readers[reader]] == 2
        gains[place] += _PER_ADDER * _thinned(parts, of, to)
        gains[place] = max(gains[place], 1)
    return gains


@njit(cache=True)
def _thinned(parts, signal, by):
    """The groups that have an addend less."""
    n = 0
    for output in range(parts.output_starts[signal], parts.output_starts[signal + 1]):
        group = parts.output_group[output]  # outputs of a signal are in the order of their groups
        if output > parts.output_starts[signal] and parts.output_group[output - 1] == group:
            continue
        found = by < 0
        for other in range(parts.output_starts[by], parts.output_starts[by + 1] if by >= 0 else 0):
            found = found or parts.output_group[other] == group
        n += found
    return n


@njit(cache=True)
def _complement(table, fan_in, arity, inverted):
    """Fold inversions of the gates' fan-ins into their tables."""
    for gate in range(len(table)):
        for column in range(arity[gate]):
            if inverted[fan_in[gate, column]]:
                table[gate] = complement_input(table[gate], arity[gate], column)


@njit(cache=True)
def _ones(word):
    """How many bits are set (Warren, Hacker's Delight, 2nd ed., section 5-1)."""
    x = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def _difference(values, one, other):
    """On how many items two signals differ."""
    n = 0
    for w in range(values.shape[1]):
        n += _ones(values[one, w] ^ values[other, w])
    return n


@njit(cache=True)
def _nearest(n_inputs, fan_in, arity, values):
    """For each gate the nearest earlier signal that was found, itself if there is none; whether that is its complement; and
    whether the gate is true on most items.

    Looked at are its fan-ins, and for each word of items the first signal that is equal on those: what differs on few items is
    equal on some word.
    """
    n_signals, words = values.shape
    n_items = 64 * words
    near = np.arange(n_inputs, n_signals).astype(np.int32)
    inverted = np.zeros(len(arity), np.bool_)
    mostly_true = np.zeros(len(arity), np.bool_)
    best = np.full(len(arity), n_items + 1, np.int64)
    for gate in range(len(arity)):
        n_true = 0
        for w in range(words):
            n_true += _ones(values[n_inputs + gate, w])
        mostly_true[gate] = 2 * n_true > n_items
        for column in range(arity[gate]):
            _try(n_inputs, values, gate, fan_in[gate, column], near, inverted, best)
    n_slots = 2
    while n_slots < 2 * n_signals:
        n_slots *= 2
    last = np.uint64(n_slots - 1)
    slots = np.empty(n_slots, np.int32)
    for w in range(words):
        slots[:] = -1
        for signal in range(n_signals):
            word = _even(values[signal, w])
            if word == np.uint64(0):  # a near constant is one of too many
                continue
            h = word * np.uint64(0xFF51AFD7ED558CCD)
            slot = (h ^ (h >> np.uint64(32))) & last
            while slots[slot] >= 0 and _even(values[slots[slot], w]) != word:
                slot = (slot + np.uint64(1)) & last
            if slots[slot] < 0:
                slots[slot] = signal
            elif signal >= n_inputs:
                _try(n_inputs, values, signal - n_inputs, slots[slot], near, inverted, best)
    return near, inverted, mostly_true


@njit(cache=True)
def _even(word):
    """The word or its complement, whichever is even."""
    return ~word if word & np.uint64(1) else word


@njit(cache=True)
def _try(n_inputs, values, gate, other, near, inverted, best):
    if other == near[gate]:
        return
    n = _difference(values, n_inputs + gate, other)
    opposite = 64 * values.shape[1] - n
    if min(n, opposite) < best[gate]:
        best[gate], near[gate], inverted[gate] = min(n, opposite), other, opposite < n


class _Work(NamedTuple):
    """Room for one substitution: the signals that it changed and what their values were; by how much it shifted the counts of
    which items."""

    saved: NDArray[np.uint64]
    changed: NDArray[np.int64]
    waiting: NDArray[np.bool_]
    shift: NDArray[np.int32]
    touched: NDArray[np.int64]
    is_touched: NDArray[np.bool_]


@njit(cache=True)
def _room(parts, loss, values):
    n_items, n_groups = loss.counts.shape
    n_changed = min(_MOST_CHANGED, len(parts.table))
    return _Work(
        np.empty((n_changed, values.shape[1]), np.uint64),
        np.empty(n_changed, np.int64),
        np.zeros(len(parts.table), np.bool_),
        np.zeros((n_items, n_groups), np.int32),
        np.empty(n_items, np.int64),
        np.zeros(n_items, np.bool_),
    )


@njit(cache=True)
def _costs(parts, loss, values, by, inverted, gain):
    """The cost of each gate's substitution, by itself."""
    work = _room(parts, loss, values)
    costs = np.empty(len(parts.table), np.float64)
    for gate in range(len(parts.table)):
        n_changed = _substitute(parts, values, work, gate, by[gate], inverted[gate])
        harm, n_touched = _harm(parts, loss, values, work, n_changed)
        costs[gate] = _cost(harm, gain[gate])
        _forget(loss, work, n_touched)
        _restore(values, work, n_changed)
    return costs


@njit(cache=True)
def _greedy(parts, loss, values, by, inverted, gain, costs, enough):
    """The gates in the order in which to substitute them. What one costs is measured again, and it waits if others cost less."""
    work = _room(parts, loss, values)
    queue = [(costs[gate], gate) for gate in range(len(costs))]
    heapq.heapify(queue)
    order = np.empty(len(costs), np.int64)
    n_kept, saved = 0, 0
    while len(queue) > 0 and saved < enough and queue[0][0] < np.inf:
        _, gate = heapq.heappop(queue)
        n_changed = _substitute(parts, values, work, gate, by[gate], inverted[gate])
        harm, n_touched = _harm(parts, loss, values, work, n_changed)
        cost = _cost(harm, gain[gate])
        if len(queue) > 0 and cost > queue[0][0]:
            _forget(loss, work, n_touched)
            _restore(values, work, n_changed)
            heapq.heappush(queue, (cost, gate))
            continue
        for item in work.touched[:n_touched]:
            for group in range(loss.counts.shape[1]):
                loss.counts[item, group] += work.shift[item, group]
            _set_probability(loss, item)
        _forget(loss, work, n_touched)
        _keep(parts, gate, by[gate], inverted[gate])
        order[n_kept] = gate
        n_kept += 1
        saved += gain[gate]
    return order[:n_kept]


@njit(cache=True)
def _cost(harm, gain):
    """Harm for each gate saved; what does good does the more the more it saves."""
    return harm / gain if harm > 0 else harm * gain


@njit(cache=True)
def _keep(parts, gate, by, inverted):
    """Let the gate be what it was substituted by."""
    parts.fan_in[gate, 0] = by
    if by < 0:
        parts.arity[gate], parts.table[gate] = 0, np.uint64(inverted)
        return
    parts.arity[gate], parts.table[gate] = 1, np.uint64(1 if inverted else 2)
    parts.next_copy[gate] = parts.first_copy[by]
    parts.first_copy[by] = gate


@njit(cache=True)
def _substitute(parts, values, work, first, by, inverted):
    """Put the substitute's values in the place of the gate's, and evaluate what reads it again, as far as it changes. Returns how
    many signals did; more than there is room for are not evaluated, and then the result is -1 and nothing has changed."""
    words = values.shape[1]
    rows = np.empty(parts.fan_in.shape[1], np.int32)
    queue = [np.int64(first)]
    n_changed = 0
    while len(queue) > 0:
        gate = heapq.heappop(queue)
        work.waiting[gate] = False
        if n_changed == len(work.changed):
            for other in queue:
                work.waiting[other] = False
            _restore(values, work, n_changed)
            return -1
        signal = parts.n_inputs + gate
        for w in range(words):
            work.saved[n_changed, w] = values[signal, w]
        if gate == first:
            flip = ~np.uint64(0) if inverted else np.uint64(0)
            for w in range(words):
                values[signal, w] = flip if by < 0 else values[by, w] ^ flip
        else:
            for column in range(parts.arity[gate]):
                rows[column] = parts.fan_in[gate, column]
            apply_table(parts.table[gate], parts.arity[gate], rows, values, signal, words)
        differs = False
        for w in range(words):
            differs = differs or values[signal, w] != work.saved[n_changed, w]
        if not differs:
            continue
        work.changed[n_changed] = signal
        n_changed += 1
        for place in range(parts.reader_starts[signal], parts.reader_starts[signal + 1]):
            _wait(work, queue, parts.readers[place])
        copy = parts.first_copy[signal]
        while copy >= 0:
            _wait(work, queue, copy)
            copy = parts.next_copy[copy]
    return n_changed


@njit(cache=True)
def _wait(work, queue, gate):
    if not work.waiting[gate]:
        work.waiting[gate] = True
        heapq.heappush(queue, gate)


@njit(cache=True)
def _restore(values, work, n_changed):
    for place in range(n_changed):
        for w in range(values.shape[1]):
            values[work.changed[place], w] = work.saved[place, w]


@njit(cache=True)
def _harm(parts, loss, values, work, n_changed):
    """By how much the loss has grown with what was changed, and how many items' counts were touched."""
    if n_changed < 0:
        return np.inf, 0
    n_touched = 0
    for place in range(n_changed):
        signal = work.changed[place]
        for output in range(parts.output_starts[signal], parts.output_starts[signal + 1]):
            flip = ~np.uint64(0) if parts.output_inverted[output] else np.uint64(0)
            group = parts.output_group[output]
            for w in range(values.shape[1]):
                differs = values[signal, w] ^ work.saved[place, w]
                now = values[signal, w] ^ flip
                while differs:
                    lowest = differs & (~differs + np.uint64(1))
                    differs ^= lowest
                    item = 64 * w + _ones(lowest - np.uint64(1))
                    work.shift[item, group] += 1 if now & lowest else -1
                    if not work.is_touched[item]:
                        work.is_touched[item] = True
                        work.touched[n_touched] = item
                        n_touched += 1
    harm = 0.0
    for item in work.touched[:n_touched]:
        total = 1.0
        for group in range(loss.counts.shape[1]):
            if work.shift[item, group] != 0:
                exponent = loss.unit * work.shift[item, group]
                total += loss.probability[item, group] * (np.exp(_bounded(exponent)) - 1.0)
                harm -= exponent * loss.target[item, group]
                if not loss.is_joint:
                    harm += np.log(max(total, _LEAST))
                    total = 1.0
        harm += np.log(max(total, _LEAST))
    return harm, n_touched


@njit(cache=True)
def _forget(loss, work, n_touched):
    for item in work.touched[:n_touched]:
        work.is_touched[item] = False
        for group in range(loss.counts.shape[1]):
            work.shift[item, group] = 0


@njit(cache=True)
def _set_probability(loss, item):
    """From the item's counts."""
    if not loss.is_joint:
        for group in range(loss.counts.shape[1]):
            odds = loss.unit * (loss.counts[item, group] - loss.even)
            loss.probability[item, group] = 1.0 / (1.0 + np.exp(_bounded(-odds)))
        return
    most = loss.counts[item].max()
    total = 0.0
    for group in range(loss.counts.shape[1]):
        loss.probability[item, group] = np.exp(loss.unit * (loss.counts[item, group] - most))
        total += loss.probability[item, group]
    for group in range(loss.counts.shape[1]):
        loss.probability[item, group] /= total


@njit(cache=True)
def _bounded(exponent):
    return min(max(exponent, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
