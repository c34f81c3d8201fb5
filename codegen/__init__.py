"""From a netlist of Boolean functions to fast, proven code. Imports no torch, no jax, no method and no task."""

from codegen import cache as cache  # first: it points numba's cache outside the source tree
