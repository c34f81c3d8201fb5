"""What pages and pictures are made from: the leaderboard's lines and what belongs to them, as plain lists that JSON can hold.

A dataset is a list of dicts, one a mark of a picture. `lines` has one for each method as configured, task, machine and number of
threads; the others refer to it by `line`, its index. Absent values are None. Numbers are rounded to what a picture shows.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from reports.configuration import Settings
from reports.papers import Published, published
from reports.record import Record
from reports.standings import FIGURES, NETWORK, Place, Standing, Standings, median_of, ratio_of
from reports.standings import lines as lines_of

Line = dict[str, Any]
Dataset = list[dict[str, Any]]

REFERENCE = "reference"
CURVE = "curve.csv"
POINTS = 24_000  # of all training curves together, and
POINTS_OF_CURVE = 8, 80  # of one at least and at most
_DIGITS = 5


class Datasets:
    """Of standings. runs: the folder of jobs, which has the curves. sort: of reports.standings.lines. Raises ColumnError.

    lines: by task, in the order of the standings' places, and then in this order. timings: a line and back end, over seeds.
    curves: a job, with a list of steps and the soft and hard validation accuracies at them. kinds: a line, layer and kind of
    gate. batches: a line, back end and number of items that are given at once. papers: what is published of a task that has
    lines, of no line.
    """

    def __init__(self, standings: Standings, runs: Path, sort: str | None = None) -> None:
        self.standings: list[Standing] = []
        self.lines: Dataset = []
        for place, here in sorted(standings.items(), key=lambda entry: entry[0].task):
            for found in lines_of(here, sort):
                self.standings.append(found["of"])
                self.lines.append({"line": len(self.lines), **_line(place, found)})
        _name(self.lines)
        of = list(enumerate(self.standings))
        self.timings: Dataset = [found for line, one in of for found in _timings(line, one)]
        self.kinds: Dataset = [found for line, one in of for found in _kinds(line, one)]
        self.batches: Dataset = [found for line, one in of for found in _batches(line, one)]
        n_jobs = sum(len(one.jobs) for one in self.standings)
        least, most = POINTS_OF_CURVE
        n_points = min(most, max(least, POINTS // max(1, n_jobs)))
        self.curves: Dataset = [found for line, one in of for found in _curves(line, one, runs, n_points)]
        tasks = {line["task"] for line in self.lines}
        self.papers: Dataset = [_paper(one) for one in published() if one.task in tasks]
        for timing in self.timings:
            self.lines[timing["line"]]["speeds"][timing["backend"]] = timing["items_per_second"]

    @property
    def backends(self) -> list[str]:
        """Those that were timed, in the order in which jobs have them."""
        return list(dict.fromkeys(timing["backend"] for timing in self.timings))

    def named(self) -> dict[str, Dataset]:
        return {name: getattr(self, name) for name in ("lines", "timings", "curves", "kinds", "batches", "papers")}


def _line(place: Place, found: dict[str, Any]) -> Line:
    """found: of reports.standings.lines."""
    standing: Standing = found["of"]
    jobs = list(standing.jobs.values())
    newest = max(jobs, key=lambda job: job.date)
    speeds = sorted(1e9 / row.ns_per_item for row in standing.fastest if row.ns_per_item)
    line = {
        "label": found["label"],
        "task": place.task,
        "machine": place.machine,
        "threads": place.threads,
        "item": next((job.item for job in jobs if job.item), None),
        "jobs": len(jobs),
        "status": _status(jobs),
        **{name: found[name] for name in FIGURES if not name.endswith("_items_per_second")},  # these are in speeds
        "items_low": speeds[0] if speeds else None,
        "items_high": speeds[-1] if speeds else None,
        "key": newest.key,
        "commit": newest.commit and newest.commit[:10],
        "command": newest.command,
    }
    return {name: rounded(value) for name, value in line.items()} | {"speeds": {}}


def _status(jobs: list[Record]) -> str:
    """ok if all are, else the commonest of what else became of them."""
    others = Counter(job.status for job in jobs if job.status != "ok")
    return others.most_common(1)[0][0] if others else "ok"


def _name(lines: Dataset) -> None:
    """Give each line a name of its own: its label, with as much of where it stands as tells it from the others."""
    apart = [name for name in ("task", "machine", "threads") if len({line[name] for line in lines}) > 1]
    for line in lines:
        place = [f"{line[name]} threads" if name == "threads" else line[name] for name in apart]
        line["name"] = ", ".join([line["label"], *place])
    taken: Counter[str] = Counter()
    for line in lines:
        taken[line["name"]] += 1
        if taken[line["name"]] > 1:
            line["name"] += f" ({taken[line['name']]})"


def _paper(one: Published) -> dict[str, Any]:
    """With the name and the fields of lines that say the same."""
    return {
        "name": f"{one.source}: {one.what}",
        "task": one.task,
        "accuracy": rounded(one.accuracy / 100),
        "gates_logic": one.gates,
    }


def _timings(line: int, standing: Standing) -> Iterator[dict[str, Any]]:
    """Medians over seeds; ratios as the leaderboard has them."""
    for backend, rows in standing.rows.items():
        timed = [row for row in rows if row.ns_per_item]
        if not timed:
            continue
        ns = median_of(row.ns_per_item for row in timed)
        middle, low, high = ratio_of(timed) if backend != NETWORK else (None, None, None)
        found = {
            "line": line,
            "backend": backend,
            "seeds": len(timed),
            "items_per_second": 1e9 / ns if ns else None,
            "ns_per_item": ns,
            "gates": median_of(row.gates for row in rows) if backend not in (NETWORK, REFERENCE) else None,
            "compile_seconds": median_of(row.compile_seconds for row in rows) if backend != NETWORK else None,
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
            "as_c": any(row.versus_c == "~" for row in timed),
        }
        yield {name: rounded(value) for name, value in found.items()}


def _kinds(line: int, standing: Standing) -> Iterator[dict[str, Any]]:
    """The mean over seeds of how many gates of a layer, counted from 1, are of a kind."""
    trained = [job.training for job in standing.jobs.values() if job.training and job.training.gate_types]
    for layer in range(max((len(one.gate_types) for one in trained), default=0)):
        counts: Counter[str] = Counter()
        for one in trained:
            counts.update(one.gate_types[layer] if layer < len(one.gate_types) else {})
        for kind, count in counts.items():
            yield {"line": line, "layer": layer + 1, "kind": kind, "gates": rounded(count / len(trained))}


def _batches(line: int, standing: Standing) -> Iterator[dict[str, Any]]:
    """End to end for a few items, and of packed bits for all that are timed."""
    for backend, rows in standing.rows.items():
        times: dict[tuple[int, bool], list[float]] = {}
        for row in rows:
            for n_items, ns in row.few_items_ns.items():
                times.setdefault((int(n_items), False), []).append(ns)
            whole = row.end_to_end_ns_per_item
            if row.few_items_ns and whole and row.items_timed:
                times.setdefault((row.items_timed, True), []).append(whole)
        for (batch, every), found in sorted(times.items()):
            yield {"line": line, "backend": backend, "batch": batch, "ns": rounded(median(found)), "all": every}


def _curves(line: int, standing: Standing, runs: Path, n_points: int) -> Iterator[dict[str, Any]]:
    for seed, job in standing.jobs.items():
        readings = _readings(runs / job.key / CURVE, n_points)
        if readings:
            step, soft, hard = ([rounded(reading[i], 4) for reading in readings] for i in range(3))
            yield {"line": line, "seed": seed, "step": step, "soft": soft, "hard": hard}


def _readings(path: Path, n_points: int) -> list[list[float | None]]:
    """Step, soft and hard accuracy of the first reading, the last and as many between them, evenly; none where there is no such
    file or it is not of this form."""
    try:
        header, *lines = path.read_text().splitlines()
        if len(lines) > n_points:
            lines = [lines[round(i * (len(lines) - 1) / (n_points - 1))] for i in range(n_points)]
        at = [header.split(",").index(name) for name in ("step", "soft_accuracy", "hard_accuracy")]
        return [[float(cells[i]) if cells[i] else None for i in at] for cells in csv.reader(lines)]
    except (OSError, ValueError, IndexError):
        return []


def rounded(value: Any, digits: int = _DIGITS) -> Any:
    """Numbers that are not whole to so many digits, None for those that are not finite; other values as they are."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.{digits}g}")


def common_settings(standings: Iterable[Standing]) -> dict[str, Settings]:
    """By method the settings that all of its lines share."""
    found: dict[str, Settings] = {}
    for one in standings:
        shared = found.setdefault(one.method, dict(one.settings))
        for name in [name for name, value in shared.items() if one.settings.get(name) != value]:
            del shared[name]
    return found
