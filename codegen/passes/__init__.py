"""Circuit passes: small pure functions Netlist -> Netlist in an explicit pipeline.

Each pass keeps the function of every output, is idempotent and never adds a gate; lowering, which rewrites gates
into the kinds that a back end prints, is the one exception to the last.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from codegen.netlist import Netlist
from codegen.passes.copies import copies
from codegen.passes.cover import cover, cover_ternary
from codegen.passes.decompose import decompose
from codegen.passes.lower import lower, lower_ternary
from codegen.passes.share import share
from codegen.passes.shrink import shrink
from codegen.passes.sweep import sweep

Pass = Callable[[Netlist], Netlist]

# What the published tools do before they print: follow copies, drop what no output needs.
NAIVE: tuple[Pass, ...] = (copies, sweep)
OPTIMISE: tuple[Pass, ...] = (shrink, share, sweep)
# For what prints two-input gates. Gates of three and more that were lowered have parts in common: of the two of a full adder,
# six gates, one.
_LOWER: tuple[Pass, ...] = (lower, share, sweep)
OPTIMISE_TWO_INPUT: tuple[Pass, ...] = (*OPTIMISE, *_LOWER, decompose, *_LOWER)
# For what has an instruction for every gate of three inputs.
OPTIMISE_TERNARY: tuple[Pass, ...] = (*OPTIMISE, lower_ternary, share, sweep, cover_ternary, decompose)

__all__ = [
    "NAIVE", "OPTIMISE", "OPTIMISE_TERNARY", "OPTIMISE_TWO_INPUT", "Pass", "PassReport", "copies", "cover_ternary", "decompose",
    "lower", "lower_ternary", "lut_count", "run", "share", "shrink", "sweep",
]  # fmt: skip


@dataclass(frozen=True)
class PassReport:
    """One pass's effect, for the record."""

    name: str
    gates_before: int
    gates_after: int
    depth_after: int
    seconds: float


def run(netlist: Netlist, pipeline: Iterable[Pass]) -> tuple[Netlist, list[PassReport]]:
    """Apply the passes in order; returns the result and each pass's report."""
    reports = []
    for step in pipeline:
        before = netlist.n_gates
        start = time.perf_counter()
        netlist = step(netlist)
        seconds = time.perf_counter() - start
        reports.append(PassReport(step.__name__, before, netlist.n_gates, netlist.depth, seconds))
    return netlist, reports


def lut_count(netlist: Netlist, k: int) -> int:
    """How many look-up tables of k inputs, 2 to 6, a cover of the netlist takes: how FPGAs, which are made of them, are filled.

    The fewer of two covers, of its gates as they are, if none has more inputs, and of what they are lowered to.
    """
    forms = (run(netlist, pipeline)[0] for pipeline in (OPTIMISE, OPTIMISE_TWO_INPUT))
    return min(cover(form, k).n_gates for form in forms if form.arity.max(initial=0) <= k)
