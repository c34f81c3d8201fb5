"""Structural sharing: one gate for each function of the same signals, up to the order of inputs and to inversion."""

from codegen.netlist import Netlist
from codegen.passes.shrink import rewrite


def share(netlist: Netlist) -> Netlist:
    """Shrink, then keep one of any gates that compute the same function, or its complement, of the same fan-ins.

    The gates that are left read their fan-ins in rising order and are false when all inputs are, so no gate is an
    inverter in disguise; inversions remain only at the primary outputs.
    """
    return rewrite(netlist, share_structure=True)
