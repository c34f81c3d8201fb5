"""Circuits of the 3x3 neighbourhood, which step boards: what makes a netlist one of them."""

from codegen.netlist import Netlist

N_CELLS = 9


def is_stencil(netlist: Netlist) -> bool:
    """Whether the netlist can step a board: nine inputs, the 3x3 neighbourhood in reading order, and one output."""
    return netlist.n_inputs == N_CELLS and netlist.n_outputs == 1
