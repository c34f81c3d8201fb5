"""Remove dead gates: keep the cones of the primary outputs."""

import numpy as np
from numba import njit

from codegen.netlist import Netlist


def sweep(netlist: Netlist) -> Netlist:
    """Drop every gate that no output depends on; the order of the others stays."""
    live = _live(netlist.n_inputs, netlist.fan_in, netlist.arity, netlist.outputs)
    renumbered = np.concatenate([np.arange(netlist.n_inputs), netlist.n_inputs + np.cumsum(live) - 1]).astype(np.int32)
    fan_in = netlist.fan_in[live]
    used = np.arange(fan_in.shape[1]) < netlist.arity[live][:, None]
    return Netlist(
        n_inputs=netlist.n_inputs,
        table=netlist.table[live],
        fan_in=np.where(used, renumbered[fan_in], -1),
        arity=netlist.arity[live],
        outputs=renumbered[netlist.outputs],
        inverted=netlist.inverted,
    )


@njit(cache=True)
def _live(n_inputs, fan_in, arity, outputs):
    live = np.zeros(len(arity), np.bool_)
    for signal in outputs:
        if signal >= n_inputs:
            live[signal - n_inputs] = True
    for gate in range(len(arity) - 1, -1, -1):
        if live[gate]:
            for column in range(arity[gate]):
                if fan_in[gate, column] >= n_inputs:
                    live[fan_in[gate, column] - n_inputs] = True
    return live
