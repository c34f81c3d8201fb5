"""A look inside a circuit: its graph if it is small, its layers, what each pass left of it, and which inputs it reads.

Layers and inputs are of the circuit as it is evaluated, covered with gates of three inputs, without the readout, which only adds
up what comes out.
"""

import math
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert
from numpy.typing import NDArray

from codegen.circuit import Circuit
from codegen.lower_readout import lowered
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TERNARY, PassReport, run
from codegen.truth_table import kind_of
from codegen.whole_file import write_whole
from reports.charts import THEMES, Drawing, config

DRAWN = 300  # gates of the largest circuit that is drawn as a graph: of more one sees nothing
_WIDTH, _HEIGHT = 640, 360
# Names of the two-input functions, by truth table; others are written as their table in hexadecimal.
_NAMES = {
    0b0001: "nor", 0b0010: "a and not b", 0b0100: "not a and b", 0b0110: "xor", 0b0111: "nand", 0b1000: "and", 0b1001: "xnor",
    0b1011: "a or not b", 0b1101: "not a or b", 0b1110: "or",
}  # fmt: skip
_SMALL = {(0, 0): "0", (0, 1): "1", (1, 0b01): "not", (1, 0b10): "copy"}
_THREE = {0x96: "xor", 0xE8: "majority", 0x80: "and", 0xFE: "or", 0xCA: "mux", 0xAC: "mux", 0xD8: "mux", 0xB8: "mux", 0xE4: "mux"}


def pictures(circuit: Circuit, to: Path) -> tuple[list[Path], list[str]]:
    """Write the pictures into a folder, which is made; returns them, and what there is to say of those that are left out."""
    to.mkdir(parents=True, exist_ok=True)
    optimised, _ = run(circuit.netlist, OPTIMISE_TERNARY)
    _, passes = run(lowered(circuit), OPTIMISE_TERNARY)
    drawings = {"layers": _layers(optimised), "passes": _passes(passes), "inputs": _inputs(circuit, optimised)}
    written, said = [], []
    if optimised.n_gates > DRAWN:
        said.append(f"{optimised.n_gates} gates are too many to draw as a graph, which ends at {DRAWN}.")
    else:
        path = to / "graph.dot"
        write_whole(path, dot(optimised).encode())
        written.append(path)
        if shutil.which("dot") is None:
            said.append("graph.dot is not drawn: that needs graphviz (Debian/Ubuntu: apt-get install graphviz).")
        else:
            svg = path.with_suffix(".svg")
            subprocess.run(["dot", "-Tsvg", str(path), "-o", str(svg)], check=True)
            written.append(svg)
    for name, drawing in drawings.items():
        path = to / f"{name}.svg"
        spec = drawing.properties(background=THEMES["light"].background, padding=16).to_dict()
        write_whole(path, vl_convert.vegalite_to_svg(spec | {"config": config(THEMES["light"])}).encode())
        written.append(path)
    return written, said


def dot(netlist: Netlist) -> str:
    """The live gates as a graph for graphviz, from inputs on the left to outputs on the right."""
    lines = [
        "digraph circuit {",
        "  rankdir=LR;",
        '  node [fontname="sans-serif", fontsize=11, style=filled, fillcolor="#f6f8fa"];',
    ]
    fan_in, arity = netlist.fan_in.tolist(), netlist.arity.tolist()
    live = np.flatnonzero(netlist.live).tolist()
    read = {signal for gate in live for signal in fan_in[gate][: arity[gate]]} | set(netlist.outputs.tolist())
    lines += [f'  s{one} [label="in {one}", shape=plain, fillcolor=none];' for one in range(netlist.n_inputs) if one in read]
    for gate in live:
        name = gate_name(int(netlist.table[gate]), arity[gate])
        lines.append(f'  s{netlist.n_inputs + gate} [label="{name}", shape=box];')
        for place, signal in enumerate(fan_in[gate][: arity[gate]]):
            lines.append(f'  s{signal} -> s{netlist.n_inputs + gate} [headlabel="{"abc"[place]}", fontsize=8];')
    for output, (signal, inverted) in enumerate(zip(netlist.outputs.tolist(), netlist.inverted.tolist(), strict=True)):
        lines.append(f'  o{output} [label="out {output}", shape=plain, fillcolor=none];')
        lines.append(f"  s{signal} -> o{output} [{'arrowhead=odot' if inverted else ''}];")
    return "\n".join([*lines, "}"]) + "\n"


def gate_name(table: int, arity: int) -> str:
    """What a gate does, by its truth table: a name where there is one, else the table in hexadecimal."""
    names = _SMALL | {(2, one): name for one, name in _NAMES.items()} | {(3, one): name for one, name in _THREE.items()}
    return names.get((arity, table), f"{table:0{max(1, (1 << arity) // 4)}X}")


def fan_out(circuit: Circuit, netlist: Netlist) -> NDArray[np.int64]:
    """int64 (feature,): how many gates and outputs read each of an item's numbers, all of its bits together; of an item of bits,
    each input."""
    read = netlist.fan_in[netlist.live]
    signals = np.concatenate([read[read >= 0], netlist.outputs])
    counts = np.bincount(signals[signals < netlist.n_inputs], minlength=netlist.n_inputs)
    if circuit.encoder is None:
        return counts
    return np.bincount(circuit.encoder.feature, weights=counts, minlength=circuit.encoder.n_features).astype(np.int64)


def _layers(netlist: Netlist) -> Drawing:
    levels = netlist.levels[netlist.n_inputs :]
    kinds = [kind_of(table, arity) for table, arity in zip(netlist.table.tolist(), netlist.arity.tolist(), strict=True)]
    counted = Counter((int(level), kind) for level, kind, live in zip(levels, kinds, netlist.live, strict=True) if live)
    rows = [{"level": level, "kind": kind, "gates": n} for (level, kind), n in sorted(counted.items())]
    title = f"{int(netlist.live.sum()):,} gates by how many gates are before them, at most {netlist.depth}"
    return (
        alt.Chart(alt.InlineData(values=rows), title=title)
        .mark_bar()
        .encode(
            x=alt.X("level:O", title="gates on the longest way from an input"),
            y=alt.Y("gates:Q", title="gates"),
            color=alt.Color("kind:N", title=None),
        )
        .properties(width=_WIDTH, height=_HEIGHT)
    )


def _passes(passes: list[PassReport]) -> Drawing:
    rows: list[dict[str, Any]] = [{"step": "as learned", "gates": passes[0].gates_before, "order": 0}]
    rows += [{"step": one.name, "gates": one.gates_after, "order": place} for place, one in enumerate(passes, 1)]
    base = alt.Chart(alt.InlineData(values=rows), title="gates after each pass, those of the readout among them").encode(
        x=alt.X("gates:Q", title="gates"),
        y=alt.Y("order:O", title=None, axis=alt.Axis(labelExpr=_names([row["step"] for row in rows]), ticks=False)),
    )
    words = base.mark_text(align="left", dx=4).encode(text=alt.Text("gates:Q", format=",d"))
    return (base.mark_bar() + words).properties(width=_WIDTH, height=_HEIGHT)


def _names(steps: list[str]) -> str:
    """Labels of an axis of places: a step may come twice."""
    return f"{steps}[datum.value]"


def _inputs(circuit: Circuit, netlist: Netlist) -> Drawing:
    counts = fan_out(circuit, netlist)
    side = math.isqrt(len(counts))
    square = side * side == len(counts) and side > 1
    width = side if square else len(counts)
    rows = [{"row": place // width, "column": place % width, "reads": int(n)} for place, n in enumerate(counts)]
    axis = None if square else alt.Axis(title="input")
    return (
        alt.Chart(
            alt.InlineData(values=rows), title=f"how often each input is read: {(counts > 0).sum():,} of {len(counts):,} are"
        )
        .mark_rect()
        .encode(
            x=alt.X("column:O", axis=axis),
            y=alt.Y("row:O", axis=None),
            color=alt.Color("reads:Q", scale=alt.Scale(scheme="blues"), title="reads", legend=alt.Legend(orient="right")),
        )
        .properties(width=_WIDTH if not square else _HEIGHT, height=_HEIGHT if square else 60)
    )
