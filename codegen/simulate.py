"""What a netlist means, in plain numpy: the oracle that every pass and every back end is held to."""

import numpy as np
from numpy.typing import NDArray

from codegen.netlist import Netlist

# Bounds the memory of one chunk: signals x items x 1 byte of values.
_CHUNK_BYTES = 1 << 28


def simulate(netlist: Netlist, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Outputs of the netlist for each item.

    bits: bool (item, input), any number of items including none. Returns bool (item, output).
    Raises ValueError if bits is not two-dimensional and boolean with n_inputs columns.
    """
    bits = check_bits(netlist, bits)
    chunk = max(1, _CHUNK_BYTES // max(1, netlist.n_signals))
    parts = [_simulate_chunk(netlist, bits[start : start + chunk]) for start in range(0, len(bits), chunk)]
    return np.concatenate(parts) if parts else np.empty((0, netlist.n_outputs), dtype=bool)


def check_bits(netlist: Netlist, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The items as given, or ValueError with what was expected; shared by all that evaluate a netlist."""
    bits = np.asarray(bits)
    if bits.dtype != np.bool_ or bits.ndim != 2 or bits.shape[1] != netlist.n_inputs:
        raise ValueError(
            f"Expected bool items of shape (item, {netlist.n_inputs}), one column a primary input;"
            f" got {bits.dtype} of shape {bits.shape}."
        )
    return bits


def _simulate_chunk(netlist: Netlist, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    values = np.zeros((netlist.n_signals, len(bits)), dtype=np.uint8)
    values[: netlist.n_inputs] = bits.T
    gate_levels = netlist.levels[netlist.n_inputs :]
    # Gates of one level do not read each other, so a level is evaluated at once.
    for level in np.unique(gate_levels):
        gates = np.flatnonzero(gate_levels == level)
        row = np.zeros((len(gates), len(bits)), dtype=np.uint8)
        for column in range(netlist.fan_in.shape[1]):
            has_input = column < netlist.arity[gates]
            row[has_input] |= values[netlist.fan_in[gates[has_input], column]] << np.uint8(column)
        values[netlist.n_inputs + gates] = (netlist.table[gates, None] >> row.astype(np.uint64)) & np.uint64(1)
    return (values[netlist.outputs] ^ netlist.inverted[:, None]).T.astype(bool)
