"""Learned circuits that run in the page itself: WebAssembly of what jobs left behind, and what a browser needs to feed it.

Bytes are deflated and written in base64, which the browser undoes: a module of 184 kB is 85 kB of the page.
"""

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from codegen.circuit import Circuit, CircuitFileError
from codegen.emit_wasm import emit_wasm
from codegen.encoder import Encoder
from codegen.lower_readout import lowered
from codegen.netlist import Netlist
from codegen.passes import OPTIMISE_TWO_INPUT, run
from codegen.readout import GroupSum
from codegen.stencil import is_stencil
from reports.datasets import Datasets
from reports.record import Record
from tasks.base import TaskError
from tasks.life import Rule

MOST_LIFE = 6  # circuits; of each task of images there is one
MOST_BYTES = 600_000  # of the page, for all of them
_LIFE = "life"
_DIGITS = tuple("0123456789")
# By task: what the brightest pixel is, and the names of classes.
_IMAGES = {
    "mnist": (255, _DIGITS),
    "digits": (16, _DIGITS),
    "fashion_mnist": (
        255,
        ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}


@dataclass
class Alive:
    """life, images: what the page's script is told of each circuit. left_out: why others are not there, a sentence each.

    wanted: whether there are jobs of such tasks at all.
    """

    life: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    wanted: bool = False

    @property
    def runs(self) -> bool:
        """Whether any circuit is there."""
        return bool(self.life or self.images)


class _UnfitError(ValueError):
    """A circuit that cannot run in the page, and why."""


def alive(data: Datasets, runs: Path) -> Alive:
    """The circuits of the newest Life jobs as configured, and of the newest job of each task of images, as far as they fit.

    runs: the folder of jobs, where the circuit files are. A job without one is passed over.
    """
    jobs = sorted(_newest(data), key=lambda found: found[1].date, reverse=True)
    found = Alive(wanted=any(job.task in (_LIFE, *_IMAGES) for one in data.standings for job in one.jobs.values()))
    room = MOST_BYTES
    chosen = [(name, job) for name, job in jobs if job.task == _LIFE][:MOST_LIFE]
    chosen += [
        next(pair for pair in jobs if pair[1].task == task) for task in _IMAGES if any(job.task == task for _, job in jobs)
    ]
    for name, job in chosen:
        try:
            circuit = Circuit.load(runs / job.key / str(job.circuit_file))
            told = _life(job, circuit) if job.task == _LIFE else _image(job, circuit)
            size = sum(len(value) for value in told.values() if isinstance(value, str))
            if size > room:
                raise _UnfitError(
                    f"It would take {size / 1e6:.1f} MB of the page, of which {room / 1e6:.1f} are left for circuits."
                )
        except (CircuitFileError, TaskError, _UnfitError) as error:
            found.left_out.append(f"{job.key}: {error}")
            continue
        room -= size
        (found.life if job.task == _LIFE else found.images).append({"name": name, "key": job.key, **told})
    return found


def _newest(data: Datasets) -> Iterator[tuple[str, Record]]:
    """Of each line, named, the newest job that has a circuit file."""
    for line, standing in zip(data.lines, data.standings, strict=True):
        jobs = [job for job in standing.jobs.values() if job.circuit_file]
        if jobs:
            job = max(jobs, key=lambda job: job.date)
            yield f"{line['name']}, seed {job.seed}", job


def _life(job: Record, circuit: Circuit) -> dict[str, Any]:
    netlist = lowered(circuit)
    if not is_stencil(netlist):
        raise _UnfitError(f"Expected 9 inputs and 1 output of a circuit of Life, got {netlist.n_inputs} and {netlist.n_outputs}.")
    return {"rule": str(Rule.parse(job.config.get("task", {}).get("rule", ""))), **_module(netlist)}


def _image(job: Record, circuit: Circuit) -> dict[str, Any]:
    """The outputs are counted in the page: a single image has no use for adders of 128 lanes."""
    brightest, classes = _IMAGES[job.task]
    encoder = circuit.encoder or Encoder.of_bits(circuit.netlist.n_inputs)
    side = isqrt(encoder.n_features)
    readout = circuit.readout
    if side * side != encoder.n_features or not isinstance(readout, GroupSum) or readout.n_classes != len(classes):
        raise _UnfitError(f"Expected a square image and a sum of groups for each of {len(classes)} classes.")
    learned = job.config.get("task", {}).get("encoder", {}).get("kind") == "learned"  # on pixels from 0 to 1
    return {
        "task": job.task,
        "classes": classes,
        "side": side,
        "brightest": brightest,
        "divisor": brightest if learned else 1,
        "feature": _text(encoder.feature.astype("<i4").tobytes()),
        "threshold": _text(encoder.threshold.astype("<f4").tobytes()),
        "groups": np.bincount(readout.groups(circuit.netlist.n_outputs)).tolist(),
        "temperature": readout.temperature,
        **_module(circuit.netlist),
    }


def _module(learned: Netlist) -> dict[str, Any]:
    netlist, _ = run(learned, OPTIMISE_TWO_INPUT)
    return {"gates": netlist.n_gates, "module": _text(emit_wasm(netlist))}


def _text(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()
