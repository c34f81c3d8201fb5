"""An order to evaluate gates in that keeps few signals live, so that those of a large circuit stay near the registers."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from codegen.netlist import Netlist

# Gates that may go together: in an adder of two-input gates this many read the same two signals (and, or, exclusive or).
_FEW = 3


class _State(NamedTuple):
    """A netlist's live gates while they are put in order. The live readers of gate g, as often as they read it, are
    readers[starts[g] : starts[g + 1]]; unread and missing say how many of its readers and fan-ins are still to come."""

    n_inputs: int
    fan_in: NDArray[np.int32]
    arity: NDArray[np.int8]
    levels: NDArray[np.int32]
    starts: NDArray[np.int64]
    readers: NDArray[np.int64]
    unread: NDArray[np.int64]
    missing: NDArray[np.int64]
    done: NDArray[np.bool_]


def schedule(netlist: Netlist) -> NDArray[np.int32]:
    """int32 (live gate,): the gates that an output depends on, each after what it reads; the same for the same netlist.

    Depth first from the outputs in their order, deeper fan-ins first. But a gate whose fan-ins are all there goes at once
    if it is the last to read one of them, or if it and two others at most are the last to read what they do, but for fan-ins
    that stay live in any case: that makes hardly more signals live now and fewer later. So a sum's carries do not wait until
    the sum is done. A fan-in that reads inputs and constants alone counts as there, and goes just before.
    """
    return _schedule(netlist.n_inputs, netlist.fan_in, netlist.arity, netlist.outputs, netlist.levels, netlist.live)


def reordered(netlist: Netlist, order: NDArray[np.integer[Any]]) -> Netlist:
    """The netlist with its gates in the given order, and without those that are not in it; it must be topological."""
    moved = np.full(netlist.n_signals, -1, dtype=np.int32)
    moved[: netlist.n_inputs] = np.arange(netlist.n_inputs)
    moved[netlist.n_inputs + order] = netlist.n_inputs + np.arange(len(order))
    fan_in = netlist.fan_in[order]
    return Netlist(
        n_inputs=netlist.n_inputs,
        table=netlist.table[order],
        fan_in=np.where(fan_in < 0, fan_in, moved[fan_in]),
        arity=netlist.arity[order],
        outputs=moved[netlist.outputs],
        inverted=netlist.inverted,
    )


def last_readers(netlist: Netlist) -> NDArray[np.int64]:
    """int64 (gate,): the last gate that reads each gate; the gate itself if none does."""
    gates = np.arange(netlist.n_gates)
    last = gates.copy()
    for position in range(netlist.fan_in.shape[1]):
        reads = netlist.fan_in[:, position] >= netlist.n_inputs
        np.maximum.at(last, netlist.fan_in[reads, position] - netlist.n_inputs, gates[reads])
    return last


@njit(cache=True)
def _schedule(
    n_inputs: int,
    fan_in: NDArray[np.int32],
    arity: NDArray[np.int8],
    outputs: NDArray[np.int32],
    levels: NDArray[np.int32],
    live: NDArray[np.bool_],
) -> NDArray[np.int32]:
    starts, readers = _readers(n_inputs, fan_in, arity, live)
    unread = np.empty(len(arity), np.int64)
    for gate in range(len(arity)):  # a difference of arrays has checks that take seconds to compile
        unread[gate] = starts[gate + 1] - starts[gate]
    missing = np.zeros(len(arity), np.int64)
    for reader in readers:
        missing[reader] += 1
    done = np.zeros(len(arity), np.bool_)
    state = _State(n_inputs, fan_in, arity, levels, starts, readers, unread, missing, done)
    order = np.empty(int(np.sum(live)), np.int32)
    n_done = 0
    path = np.empty(len(arity), np.int64)  # from an output to the gate that is looked at
    # That gate and those that follow it at once, each behind the few that it still misses.
    wave = np.empty(1 + (1 + _FEW) * (1 + fan_in.shape[1]) * len(readers), np.int64)
    for output in outputs:
        depth = 0
        if output >= n_inputs:
            path[0] = output - n_inputs
            depth = 1
        while depth > 0:
            gate = path[depth - 1]
            needed = _deepest_missing(state, gate)
            if needed >= 0:
                path[depth] = needed
                depth += 1
                continue
            depth -= 1
            at = end = 0
            wave[end] = gate
            end += 1  # not a literal 1, for which numba would compile what follows once more
            while at < end:
                gate = wave[at]
                at += 1
                if not done[gate]:
                    order[n_done] = gate
                    n_done += 1
                    end = _do(state, gate, wave, end)
    return order


@njit(cache=True)
def _readers(
    n_inputs: int, fan_in: NDArray[np.int32], arity: NDArray[np.int8], live: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """starts and readers, as in _State."""
    starts = np.zeros(len(arity) + 1, np.int64)
    for gate in range(len(arity)):
        if live[gate]:
            for position in range(arity[gate]):
                if fan_in[gate, position] >= n_inputs:
                    starts[fan_in[gate, position] - n_inputs + 1] += 1
    starts = np.cumsum(starts)
    readers = np.empty(starts[-1], np.int64)
    ends = starts.copy()
    for gate in range(len(arity)):
        if live[gate]:
            for position in range(arity[gate]):
                source = fan_in[gate, position] - n_inputs
                if source >= 0:
                    readers[ends[source]] = gate
                    ends[source] += 1
    return starts, readers


@njit(cache=True)
def _deepest_missing(state: _State, gate: int) -> int:
    """The deepest gate that this one reads and that is not done, of equals the earliest; -1 if there is none."""
    deepest = -1
    level = 0
    if not state.done[gate]:
        for position in range(state.arity[gate]):
            signal = state.fan_in[gate, position]
            source = signal - state.n_inputs
            if source >= 0 and not state.done[source]:
                above = state.levels[signal] - level
                if deepest < 0 or above > 0 or (above == 0 and source < deepest):
                    deepest, level = source, state.levels[signal]
    return deepest


@njit(cache=True)
def _do(state: _State, gate: int, wave: NDArray[np.int64], end: int) -> int:
    """Count the gate as done, and put on the wave what may follow it; returns the wave's new end."""
    state.done[gate] = True
    for i in range(state.starts[gate], state.starts[gate + 1]):
        state.missing[state.readers[i]] -= 1
    for position in range(state.arity[gate]):
        if state.fan_in[gate, position] >= state.n_inputs:
            state.unread[state.fan_in[gate, position] - state.n_inputs] -= 1
    end = _follow(state, gate, wave, end)
    for position in range(state.arity[gate]):
        source = state.fan_in[gate, position] - state.n_inputs
        if source >= 0 and 0 < state.unread[source] <= _FEW:
            end = _follow(state, source, wave, end)
    return end


@njit(cache=True)
def _follow(state: _State, source: int, wave: NDArray[np.int64], end: int) -> int:
    """Put on the wave those readers of the source that may go at once; returns the wave's new end."""
    for i in range(state.starts[source], state.starts[source + 1]):
        gate = state.readers[i]
        if not state.done[gate] and _within_reach(state, gate) and _frees(state, gate):
            for position in range(state.arity[gate]):
                other = state.fan_in[gate, position] - state.n_inputs
                if other >= 0 and not state.done[other]:
                    wave[end] = other
                    end += 1
            wave[end] = gate
            end += 1
    return end


@njit(cache=True)
def _within_reach(state: _State, gate: int) -> bool:
    """Whether all that the gate reads is done, but for gates of inputs and constants alone, which could be done now."""
    missing = state.missing[gate]
    if missing > 0:
        for position in range(state.arity[gate]):
            signal = state.fan_in[gate, position]
            source = signal - state.n_inputs
            if source >= 0 and state.levels[signal] <= 1 and not state.done[source] and state.missing[source] == 0:
                missing -= 1
    return missing == 0


@njit(cache=True)
def _frees(state: _State, gate: int) -> bool:
    """Whether the gate is the last to read one of its fan-ins, or is among the few that are and that can all go now.

    Fan-ins that others will still read stay live in any case: they are not counted.
    """
    n_freed = n_readers = 0
    freed = 0  # a bit for each of the gate's fan-ins
    for position in range(state.arity[gate]):
        source = state.fan_in[gate, position] - state.n_inputs
        if source < 0 or not _only_few_left(state, source):
            continue
        if state.unread[source] == 1:
            return True
        for i in range(state.starts[source], state.starts[source + 1]):
            if not state.done[state.readers[i]]:
                n_readers += not _reads_one(state, state.readers[i], gate, freed)
        n_freed += 1
        freed |= 1 << position
    return 0 < n_readers <= n_freed + 1


@njit(cache=True)
def _only_few_left(state: _State, source: int) -> bool:
    """Whether few have still to read it, and all of them could now."""
    if state.unread[source] > _FEW:
        return False
    for i in range(state.starts[source], state.starts[source + 1]):
        reader = state.readers[i]
        if not state.done[reader] and not _within_reach(state, reader):
            return False
    return True


@njit(cache=True)
def _reads_one(state: _State, reader: int, gate: int, positions: int) -> bool:
    """Whether the reader reads one of the gate's fan-ins at these positions, a bit each."""
    for position in range(state.arity[gate]):
        if positions >> position & 1:
            for column in range(state.arity[reader]):
                if state.fan_in[reader, column] == state.fan_in[gate, position]:
                    return True
    return False
