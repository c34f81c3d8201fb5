"""Searches: what a sweeper is told of each job that it has chosen, and the best of all."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Literal, get_args

from reports.record import Record, Size, Training
from reports.statistics import undominated

Direction = Literal["maximize", "minimize"]
_GATES = "gates"
OBJECTIVES = (
    _GATES,
    *(one.name for kind in (Training, Size) for one in fields(kind) if {int, float} & {one.type, *get_args(one.type)}),
)


def objectives(record: Record, names: Sequence[str]) -> list[float] | None:
    """The numbers that a search is to improve, of OBJECTIVES: gates, of the circuit as compiled, and fields of Training and Size.

    None for a job that has not all of them, which counts as failed.
    """
    gates = [row.gates for row in record.rows if row.gates is not None]
    known: dict[str, Any] = {_GATES: min(gates, default=None)}
    for part in (record.training, record.size):
        known |= asdict(part) if part else {}
    known |= {"hard_accuracy": record.hard_accuracy, "gap": record.gap}  # of the circuit that runs
    found = [known.get(name) for name in names]
    return None if record.status != "ok" or None in found else [float(one) for one in found if one is not None]


def best(records: Sequence[Record], names: Sequence[str], directions: Sequence[Direction]) -> list[Record]:
    """The records that no other one beats: at least as good in every objective, and better in one. In the first one's order."""
    signs = [-1 if direction == "maximize" else 1 for direction in directions]
    costs = []
    for record in records:
        values = objectives(record, names)
        if values is not None:
            costs.append(([sign * value for sign, value in zip(signs, values, strict=True)], record))
    costs.sort(key=lambda one: one[0])
    front = undominated([cost for cost, _ in costs])
    return [record for (_, record), first in zip(costs, front, strict=True) if first]
