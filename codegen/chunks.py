"""Cut a large circuit into parts of a limited size, each to be a function of its own.

Gates are in an order that keeps few signals live (see codegen.schedule). What one part makes and a later one reads passes
through memory, whose places are used again as soon as they are free; so a part ends where few signals are live.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from codegen.netlist import Netlist
from codegen.schedule import last_readers, reordered, schedule
from codegen.two_address import two_address


@dataclass(frozen=True, eq=False)
class Chunks:
    """netlist: its gates in the order of evaluation. ends: the gate after each part's last. slots: where in memory each gate's
    value waits, -1 if only its own part reads it. n_slots: how many places there are."""

    netlist: Netlist
    ends: list[int]
    slots: list[int]
    n_slots: int

    def __iter__(self) -> Iterator[range]:
        """The gates of each part."""
        return (range(start, end) for start, end in pairwise([0, *self.ends]))


def cut(netlist: Netlist, size: int) -> Chunks:
    """Parts of at most `size` gates, and, but for the last, of half as many at least. Raises ValueError for parts of none."""
    if size < 1:
        raise ValueError(f"Expected chunks of at least one gate, got {size}.")
    netlist = two_address(reordered(netlist, schedule(netlist)))
    last_reader = last_readers(netlist)
    ends = _ends(last_reader, size)
    slots, n_slots = _assign_slots(last_reader, ends)
    return Chunks(netlist, ends, slots, n_slots)


def _ends(last_reader: NDArray[np.int64], size: int) -> list[int]:
    """Where parts end: within each one's second half, where the fewest signals are live, of equal places the last."""
    n_gates = len(last_reader)
    gates = np.arange(n_gates)
    # A gate's value is live before each of the gates from the next one to its last reader.
    born = np.bincount(gates[last_reader > gates] + 1, minlength=n_gates + 1)
    read = np.bincount(last_reader[last_reader > gates] + 1, minlength=n_gates + 1)
    n_live = np.cumsum(born - read)
    ends = [0]
    while n_gates - ends[-1] > size:
        first, last = ends[-1] + (size + 1) // 2, ends[-1] + size
        ends.append(last - int(np.argmin(n_live[first : last + 1][::-1])))
    return [*ends[1:], n_gates] if n_gates else []


def _assign_slots(last_reader: NDArray[np.int64], ends: list[int]) -> tuple[list[int], int]:
    """slots and n_slots, as in Chunks. A place is free again after the last gate that reads it."""
    n_gates = len(last_reader)
    part = np.searchsorted(ends, np.arange(n_gates), side="right")
    crosses = (part[last_reader] > part).tolist()
    freed: list[list[int]] = [[] for _ in range(n_gates)]  # at each gate, the crossing signals that it reads last
    slots, free, n_slots = [-1] * n_gates, [], 0
    for gate, reader in enumerate(last_reader.tolist()):
        free += [slots[source] for source in freed[gate]]
        if crosses[gate]:
            freed[reader].append(gate)
            if not free:
                free.append(n_slots)
                n_slots += 1
            slots[gate] = free.pop()  # the one freed last, which is the likeliest to be in the cache
    return slots, n_slots
