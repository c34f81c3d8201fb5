"""Cover a netlist with gates of up to k inputs: as few as can be found, each computing what a cone of the old ones did.

A cut of a gate is a set of signals, its leaves, that decide its value; a cut of at most k leaves is one gate of k inputs. Cuts
are enumerated from the inputs on, a few a gate, those of least area flow (Manohararajah, Brown, Vranesic 2006): the gates that a
leaf's own cover takes, shared among its readers. The cover is then improved by exact area (Mishchenko, Chatterjee, Brayton 2007):
each gate takes the cut that adds fewest gates to the cover as it stands.
"""

import numpy as np
from numba import njit

from codegen.netlist import Netlist
from codegen.passes.share import share
from codegen.passes.sweep import sweep
from codegen.truth_table import MAX_ARITY

# Cuts kept a gate, and rounds of improvement.
_N_CUTS = 8
_FLOW_ROUNDS, _AREA_ROUNDS = 2, 3


def cover_ternary(netlist: Netlist) -> Netlist:
    """cover by gates of up to three inputs, for AVX-512."""
    return cover(netlist, 3)


def cover(netlist: Netlist, k: int) -> Netlist:
    """The netlist in gates of at most k inputs, for those that have no more already. Raises ValueError if one has.

    Covers until that makes it no smaller, so that a second call changes nothing.
    """
    if netlist.arity.max(initial=0) > k:
        raise ValueError(f"Expected gates of at most {k} inputs to cover by such gates; the largest has {netlist.arity.max()}.")
    while True:
        covered = sweep(share(_covered(netlist, k)))
        if covered.n_gates >= netlist.n_gates:
            return netlist
        netlist = covered


def _covered(netlist: Netlist, k: int) -> Netlist:
    kept, table, fan_in, arity = _cover(netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity, netlist.outputs, k)
    moved = np.full(netlist.n_signals, -1, dtype=np.int32)
    moved[: netlist.n_inputs] = np.arange(netlist.n_inputs)
    moved[netlist.n_inputs + kept] = netlist.n_inputs + np.arange(len(kept))
    return Netlist(
        n_inputs=netlist.n_inputs,
        table=table,
        fan_in=np.where(fan_in < 0, fan_in, moved[fan_in]),
        arity=arity,
        outputs=moved[netlist.outputs],
        inverted=netlist.inverted,
    )


@njit(cache=True)
def _cover(n_inputs, table, fan_in, arity, outputs, k):
    """The gates that stay, in order, and what they are: kept (gate,), table, fan_in (gate, k) in old signals, arity."""
    n_gates = len(table)
    readers = np.zeros(n_inputs + n_gates, np.float32)
    for signal in outputs:
        readers[signal] += 1
    for gate in range(n_gates):
        for column in range(arity[gate]):
            readers[fan_in[gate, column]] += 1

    leaves = np.full((n_gates, _N_CUTS, k), -1, np.int32)
    sizes = np.zeros((n_gates, _N_CUTS), np.int8)
    tables = np.zeros((n_gates, _N_CUTS), np.uint64)
    n_cuts = np.zeros(n_gates, np.int64)
    flow = np.zeros(n_inputs + n_gates, np.float32)  # of a signal, for each of its readers
    _enumerate(n_inputs, table, fan_in, arity, k, readers, leaves, sizes, tables, n_cuts, flow)

    best = np.zeros(n_gates, np.int64)
    count = np.zeros(n_inputs + n_gates, np.int64)  # readers within the cover
    stack = np.empty(n_gates + 1, np.int64)
    _count(n_inputs, outputs, leaves, sizes, best, count)
    for _ in range(_FLOW_ROUNDS):
        for signal in range(len(readers)):
            readers[signal] = (readers[signal] + 2 * count[signal]) / 3
        _choose_by_flow(n_inputs, readers, leaves, sizes, n_cuts, flow, best)
        _count(n_inputs, outputs, leaves, sizes, best, count)
    for _ in range(_AREA_ROUNDS):
        _choose_by_area(n_inputs, leaves, sizes, n_cuts, best, count, stack)

    kept = np.flatnonzero(count[n_inputs:])
    new_table = np.empty(len(kept), np.uint64)
    new_fan_in = np.full((len(kept), k), -1, np.int32)
    new_arity = np.empty(len(kept), np.int8)
    for new in range(len(kept)):
        gate = kept[new]
        cut = best[gate]
        new_table[new] = tables[gate, cut]
        _copy(leaves[gate, cut], new_fan_in[new], k)
        new_arity[new] = sizes[gate, cut]
    return kept, new_table, new_fan_in, new_arity


@njit(cache=True)
def _enumerate(n_inputs, table, fan_in, arity, k, readers, leaves, sizes, tables, n_cuts, flow):
    """Each gate's cuts of least flow, the best first; its own fan-ins are always one of them."""
    merged = np.empty(k, np.int32)
    room = _N_CUTS * (_N_CUTS + 1)
    # Cuts of the fan-ins so far, and which cut of each was taken (-1: the fan-in itself is a leaf).
    partial = np.empty((room, k), np.int32)
    partial_size = np.empty(room, np.int64)
    partial_choice = np.empty((room, MAX_ARITY), np.int64)
    partial_flow = np.empty(room, np.float32)
    some = np.empty((_N_CUTS, k), np.int32)
    some_size = np.empty(_N_CUTS, np.int64)
    some_choice = np.empty((_N_CUTS, MAX_ARITY), np.int64)
    for gate in range(len(table)):
        some_size[0] = 0
        n_some = np.int64(1)
        for column in range(arity[gate]):
            signal = fan_in[gate, column]
            n_below = 0 if signal < n_inputs else n_cuts[signal - n_inputs]
            n_partial = np.int64(0)  # not a literal, for which numba would compile _insert once more
            for first in range(n_some):
                for cut in range(-1, n_below):
                    if cut < 0:
                        size = _union(some[first], some_size[first], fan_in[gate, column : column + 1], 1, merged)
                    else:
                        below = signal - n_inputs
                        size = _union(some[first], some_size[first], leaves[below, cut], sizes[below, cut], merged)
                    if size < 0:
                        continue
                    cost = np.float32(0)
                    for place in range(size):
                        cost += flow[merged[place]]
                    n_partial = _insert(
                        partial, partial_size, partial_choice, partial_flow, n_partial, merged, size, cost, some_choice[first],
                        column, cut,
                    )  # fmt: skip
            n_some = n_partial
            for cut in range(n_some):
                _copy(partial[cut], some[cut], k)
                some_size[cut] = partial_size[cut]
                _copy(partial_choice[cut], some_choice[cut], MAX_ARITY)
        for cut in range(n_some):
            _copy(some[cut], leaves[gate, cut], some_size[cut])
            sizes[gate, cut] = some_size[cut]
            tables[gate, cut] = _composed(
                n_inputs, table[gate], fan_in[gate], arity[gate], leaves, sizes, tables, some_choice[cut], gate, cut
            )
        n_cuts[gate] = n_some
        least = np.float32(0)
        for place in range(sizes[gate, 0]):
            least += flow[leaves[gate, 0, place]]
        flow[n_inputs + gate] = (1 + least) / max(np.float32(1), readers[n_inputs + gate])


@njit(cache=True)
def _union(first, n_first, second, n_second, merged):
    """The sorted union of two sorted sets, into merged; its size, or -1 if there is no room."""
    a = b = size = 0
    while a < n_first or b < n_second:
        if size == len(merged):
            return -1
        if b == n_second or (a < n_first and first[a] <= second[b]):
            merged[size] = first[a]
            if b < n_second and first[a] == second[b]:
                b += 1
            a += 1
        else:
            merged[size] = second[b]
            b += 1
        size += 1
    return size


@njit(cache=True)
def _insert(partial, partial_size, partial_choice, partial_flow, n, leaves, size, cost, choice, column, cut):
    """Put a cut in its place by flow among at most _N_CUTS, unless one there has the same leaves or a part of them.

    The cut of all fan-ins themselves is never pushed out. Returns their new number.
    """
    is_own = cut < 0
    for earlier in range(column):
        is_own = is_own and choice[earlier] < 0
    for other in range(n):
        smaller_will_do = partial_size[other] <= size if not is_own else partial_size[other] == size
        if smaller_will_do and _within(partial[other], partial_size[other], leaves, size):
            return n
    place = n
    while place > 0 and (partial_flow[place - 1] > cost or (partial_flow[place - 1] == cost and partial_size[place - 1] > size)):
        place -= 1
    if n == _N_CUTS:
        last = n - 1
        if _is_own(partial_choice[last], column):
            last -= 1
        if place > last and not is_own:
            return n
        if place > last:
            place = last
        n = n - 1
        for moved in range(last, place, -1):
            _move(partial, partial_size, partial_choice, partial_flow, moved - 1, moved)
    else:
        for moved in range(n, place, -1):
            _move(partial, partial_size, partial_choice, partial_flow, moved - 1, moved)
    _copy(leaves, partial[place], size)
    partial_size[place] = size
    _copy(choice, partial_choice[place], MAX_ARITY)
    partial_choice[place, column] = cut
    partial_flow[place] = cost
    return n + 1


@njit(cache=True)
def _is_own(choice, column):
    for earlier in range(column + 1):  # noqa: SIM110, numba has no all() of a generator
        if choice[earlier] >= 0:
            return False
    return True


@njit(cache=True)
def _move(partial, partial_size, partial_choice, partial_flow, source, to):
    _copy(partial[source], partial[to], partial.shape[1])
    partial_size[to] = partial_size[source]
    _copy(partial_choice[source], partial_choice[to], MAX_ARITY)
    partial_flow[to] = partial_flow[source]


@njit(cache=True)
def _copy(source, to, n):
    """The first n of an array. An assignment of arrays has checks that take seconds to compile."""
    for place in range(n):
        to[place] = source[place]


@njit(cache=True)
def _within(few, n_few, many, n_many):
    """Whether all of one sorted set are in another."""
    b = 0
    for a in range(n_few):
        while b < n_many and many[b] < few[a]:
            b += 1
        if b == n_many or many[b] != few[a]:
            return False
    return True


@njit(cache=True)
def _composed(n_inputs, table, fan_in, arity, leaves, sizes, tables, choice, gate, cut):
    """The gate's table over the leaves of its cut."""
    result = np.uint64(0)
    size = sizes[gate, cut]
    for row in range(1 << size):
        index = np.uint64(0)
        for column in range(arity):
            signal = fan_in[column]
            below = signal - n_inputs
            taken = choice[column]
            if taken < 0:
                value = np.uint64(row >> _place(leaves[gate, cut], signal)) & np.uint64(1)
            else:
                of_below = 0
                for position in range(sizes[below, taken]):
                    bit = (row >> _place(leaves[gate, cut], leaves[below, taken, position])) & 1
                    of_below |= bit << position
                value = (tables[below, taken] >> np.uint64(of_below)) & np.uint64(1)
            index |= value << np.uint64(column)
        result |= ((table >> index) & np.uint64(1)) << np.uint64(row)
    return result


@njit(cache=True)
def _place(leaves, signal):
    place = 0
    while leaves[place] != signal:
        place += 1
    return place


@njit(cache=True)
def _count(n_inputs, outputs, leaves, sizes, best, count):
    """How often each signal is read, by outputs and by the best cuts of those that are read."""
    count[:] = 0
    for signal in outputs:
        count[signal] += 1
    for gate in range(len(best) - 1, -1, -1):
        if count[n_inputs + gate] > 0:
            for place in range(sizes[gate, best[gate]]):
                count[leaves[gate, best[gate], place]] += 1


@njit(cache=True)
def _choose_by_flow(n_inputs, readers, leaves, sizes, n_cuts, flow, best):
    for gate in range(len(best)):
        least = np.float32(np.inf)
        for cut in range(n_cuts[gate]):
            cost = np.float32(0)
            for place in range(sizes[gate, cut]):
                cost += flow[leaves[gate, cut, place]]
            if cost < least:
                least = cost
                best[gate] = cut
        flow[n_inputs + gate] = (1 + least) / max(np.float32(1), readers[n_inputs + gate])


@njit(cache=True)
def _choose_by_area(n_inputs, leaves, sizes, n_cuts, best, count, stack):
    """Each gate of the cover takes the cut that needs fewest gates that nothing else needs."""
    for gate in range(len(best)):
        if count[n_inputs + gate] == 0:
            continue
        old = best[gate]
        least = _read(n_inputs, gate, leaves, sizes, best, count, stack, -1)
        chosen = old
        for cut in range(n_cuts[gate]):
            if cut != old:
                best[gate] = cut
                area = _read(n_inputs, gate, leaves, sizes, best, count, stack, 1)
                _read(n_inputs, gate, leaves, sizes, best, count, stack, -1)
                if area < least:
                    least, chosen = area, cut
        best[gate] = chosen
        _read(n_inputs, gate, leaves, sizes, best, count, stack, 1)


@njit(cache=True)
def _read(n_inputs, gate, leaves, sizes, best, count, stack, by):
    """Read the leaves of the gate's cut once more (by 1) or less (by -1), and those of gates that are thereby read for the
    first time or no longer; returns how many gates that takes or frees, this one among them."""
    turned = 1 if by > 0 else 0  # the count of a gate that now is, or is not, needed
    area, depth = 0, 1
    stack[0] = gate
    while depth > 0:
        depth -= 1
        of = stack[depth]
        area += 1
        for place in range(sizes[of, best[of]]):
            leaf = leaves[of, best[of], place]
            count[leaf] += by
            if leaf >= n_inputs and count[leaf] == turned:
                stack[depth] = leaf - n_inputs
                depth += 1
    return area
