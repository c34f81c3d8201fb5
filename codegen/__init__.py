"""From a netlist of Boolean functions to fast, proven code. Imports no torch, no jax, no method and no task."""

import os
from typing import TYPE_CHECKING

from codegen import cache as cache  # first: it points numba's cache outside the source tree

if TYPE_CHECKING:
    from codegen.circuit import Circuit
    from codegen.predictor import Predictor


def load(
    circuit: "Circuit | str | os.PathLike[str]", isa: str | None = None, threads: int = 1, timeout_seconds: float = 600
) -> "Predictor":
    """Compile a circuit, or the circuit of a file, for this machine: load(path).predict(items). See codegen.predictor."""
    from codegen.predictor import Predictor  # here, so that what needs only a part of codegen does not load all of it

    return Predictor(circuit, isa, threads, timeout_seconds)
