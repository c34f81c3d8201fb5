"""Cut a large circuit into parts of a limited size, each to be a function of its own.

Gates are in an order that keeps few signals live (see codegen.schedule). What one part makes and a later one reads passes
through memory, whose places are used again as soon as they are free.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codegen.netlist import Netlist
from codegen.schedule import reordered, schedule


@dataclass(frozen=True, eq=False)
class Chunks:
    """netlist: its gates in the order of evaluation, of which `size` at a time are a part. slots: where in memory each gate's
    value waits, -1 if only its own part reads it. n_slots: how many places there are."""

    netlist: Netlist
    size: int
    slots: list[int]
    n_slots: int

    def __iter__(self) -> Iterator[range]:
        """The gates of each part."""
        return (range(start, min(start + self.size, self.netlist.n_gates)) for start in range(0, self.netlist.n_gates, self.size))


def cut(netlist: Netlist, size: int) -> Chunks:
    """Parts of at most `size` gates. Raises ValueError for parts of none."""
    if size < 1:
        raise ValueError(f"Expected chunks of at least one gate, got {size}.")
    netlist = reordered(netlist, schedule(netlist))
    slots, n_slots = _assign_slots(netlist, size)
    return Chunks(netlist, size, slots, n_slots)


def _assign_slots(netlist: Netlist, size: int) -> tuple[list[int], int]:
    """slots and n_slots, as in Chunks. A place is free again after the last gate that reads it."""
    gates = np.arange(netlist.n_gates)
    last_reader = gates.copy()
    for position in range(netlist.fan_in.shape[1]):
        reads = netlist.fan_in[:, position] >= netlist.n_inputs
        np.maximum.at(last_reader, netlist.fan_in[reads, position] - netlist.n_inputs, gates[reads])
    crosses = (last_reader // size > gates // size).tolist()
    freed: list[list[int]] = [[] for _ in range(netlist.n_gates)]  # at each gate, the crossing signals that it reads last
    slots, free, n_slots = [-1] * netlist.n_gates, [], 0
    for gate, reader in enumerate(last_reader.tolist()):
        free += [slots[source] for source in freed[gate]]
        if crosses[gate]:
            freed[reader].append(gate)
            if not free:
                free.append(n_slots)
                n_slots += 1
            slots[gate] = free.pop()  # the one freed last, which is the likeliest to be in the cache
    return slots, n_slots
