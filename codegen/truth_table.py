"""Truth tables of Boolean functions with up to six inputs, as unsigned 64-bit integers.

Bit i of a table is the function's value on input row i, and input 0 is the low bit of i: over two inputs (a, b),
AND is 0b1000, a alone is 0b1010, b alone is 0b1100 and XOR is 0b0110. Bits above 2**arity are zero.

The operations are numba functions so that passes can call them for a million gates; called from Python they take
and return plain integers. All are total for 0 <= arity <= 6 and positions below the arity. Their types are fixed,
because numba would otherwise take a small table for a signed integer and turn mixed arithmetic into floats.
"""

import numpy as np
from numba import njit

MAX_ARITY = 6

# Table of the projection onto input i, for six inputs; mask it for fewer.
VARIABLE = np.array(
    [
        0xAAAAAAAAAAAAAAAA,
        0xCCCCCCCCCCCCCCCC,
        0xF0F0F0F0F0F0F0F0,
        0xFF00FF00FF00FF00,
        0xFFFF0000FFFF0000,
        0xFFFFFFFF00000000,
    ],
    dtype=np.uint64,
)


@njit("uint64(int64)", cache=True)
def table_mask(arity):
    """The table of constant true: 2**arity low bits set."""
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - (1 << arity))


@njit("uint64(int64, int64)", cache=True)
def variable(position, arity):
    """The table of the projection onto input `position` of `arity` inputs."""
    return VARIABLE[position] & table_mask(arity)


@njit("uint64(uint64, int64)", cache=True)
def complement(table, arity):
    """The table of NOT f."""
    return ~table & table_mask(arity)


@njit("uint64(uint64, int64)", cache=True)
def value_at(table, row):
    """The function's value, 0 or 1, on input row `row`."""
    return (table >> np.uint64(row)) & np.uint64(1)


@njit("uint64(uint64, int64, int64, int64)", cache=True)
def fix_input(table, arity, position, value):
    """The cofactor with input `position` held at `value` (0 or 1), as a table of arity - 1 inputs."""
    low = (1 << position) - 1
    result = np.uint64(0)
    for row in range(1 << (arity - 1)):
        wide = ((row & ~low) << 1) | (row & low) | (value << position)
        result |= value_at(table, wide) << np.uint64(row)
    return result


@njit("boolean(uint64, int64, int64)", cache=True)
def depends_on(table, arity, position):
    """Whether the function's value ever changes with input `position`."""
    return fix_input(table, arity, position, 0) != fix_input(table, arity, position, 1)


@njit("uint64(uint64, int64, int64)", cache=True)
def complement_input(table, arity, position):
    """The table of f with input `position` inverted before it is read."""
    result = np.uint64(0)
    for row in range(1 << arity):
        result |= value_at(table, row ^ (1 << position)) << np.uint64(row)
    return result


@njit("uint64(uint64, int64, int64, int64)", cache=True)
def merge_inputs(table, arity, kept, dropped):
    """The table, of arity - 1 inputs, of f when input `dropped` always equals input `kept` (kept < dropped)."""
    low = (1 << dropped) - 1
    result = np.uint64(0)
    for row in range(1 << (arity - 1)):
        copy = (row >> kept) & 1
        wide = ((row & ~low) << 1) | (row & low) | (copy << dropped)
        result |= value_at(table, wide) << np.uint64(row)
    return result


@njit("uint64(uint64, int64, int64, int64)", cache=True)
def swap_inputs(table, arity, first, second):
    """The table of f with its inputs `first` and `second` exchanged."""
    result = np.uint64(0)
    for row in range(1 << arity):
        a = (row >> first) & 1
        b = (row >> second) & 1
        swapped = (row & ~(1 << first) & ~(1 << second)) | (b << first) | (a << second)
        result |= value_at(table, swapped) << np.uint64(row)
    return result


@njit("int64(uint64, int64)", cache=True)
def copied_input(table, arity):
    """The position of the input that the function just copies, or -1 if it is no projection."""
    for position in range(arity):
        if table == variable(position, arity):
            return position
    return -1


def kind_of(table: int, arity: int) -> str:
    """What kind of function a table is: constant, pass-through and inverter for functions of no or one input; for those of two
    and/or and xor, inverted inputs and outputs not distinguished; for more "n inputs", by how many the function really reads."""
    used = [position for position in range(arity) if depends_on(np.uint64(table), arity, position)]
    if not used:
        return "constant"
    if len(used) == 1:
        return "pass-through" if table == int(variable(used[0], arity)) else "inverter"
    if len(used) > 2:
        return f"{len(used)} inputs"
    ones = int(table).bit_count() >> (arity - 2)  # of the function's own four rows
    return "xor" if ones == 2 else "and/or"
