"""Follow copies: whoever reads a gate that only passes one of its inputs on reads that input instead."""

import numpy as np
from numba import njit

from codegen.netlist import Netlist
from codegen.truth_table import copied_input


def copies(netlist: Netlist) -> Netlist:
    """Bypass every pass-through gate. The bypassed gates stay, unread, until `sweep` removes them."""
    source = _sources(netlist.n_inputs, netlist.table, netlist.fan_in, netlist.arity)
    used = np.arange(netlist.fan_in.shape[1]) < netlist.arity[:, None]
    return Netlist(
        n_inputs=netlist.n_inputs,
        table=netlist.table,
        fan_in=np.where(used, source[netlist.fan_in], -1),
        arity=netlist.arity,
        outputs=source[netlist.outputs],
        inverted=netlist.inverted,
    )


@njit(cache=True)
def _sources(n_inputs, table, fan_in, arity):
    """int32 (signal,): the signal that each signal is a copy of, itself if it is none."""
    source = np.arange(n_inputs + len(table)).astype(np.int32)
    for gate in range(len(table)):
        position = copied_input(table[gate], arity[gate])
        if position >= 0:
            source[n_inputs + gate] = source[fan_in[gate, position]]
    return source
