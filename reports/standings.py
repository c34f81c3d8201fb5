"""What is known of each method as configured, over its seeds, among those that it may be compared with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

from reports.configuration import ASKED, PRUNE, Settings, distinguishing, newest_by_seed, said, settings
from reports.ordering import in_order
from reports.record import Record, Row
from reports.statistics import Estimate, ratio, undominated

NETWORK = "nn"  # the faster of a job's neural-network rows
# Forms that every job may have, and whose speeds a line tells.
FORMS = (NETWORK, "numba", "c-naive", "c-portable", "c", "wasm")


def speed_of(form: str) -> str:
    """The name of a form's speed among FIGURES."""
    return f"{form.replace('-', '_')}_items_per_second"


# What is known of a line, and what a table may be sorted by; names are those of the tidy table where they say the same.
FIGURES = (
    "method", "seeds", "accuracy", "accuracy_low", "accuracy_high", "worst", "soft_accuracy", "hard_accuracy",
    "compiled_accuracy", "gap", "gates_learned", "gates_compiled", "gates_logic", "gates_whole", "parameters", "train_seconds",
    "compile_seconds", "backend",
    "items_per_second", "ratio_vs_nn", "ratio_low", "ratio_high", "noise_floor", "pareto", *map(speed_of, FORMS),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where and how jobs were timed. Lines of different places are in different tables."""

    task: str
    machine: str
    threads: int

    @classmethod
    def of(cls, record: Record) -> "Place":
        """threads: of the timed rows; of a job that was not timed, those that it would have been timed on."""
        asked = record.config.get("timing", {}).get("threads", 1)  # there was no choice before
        used = asked or record.environment.get("cores") or 1
        return cls(record.task, record.machine, next((row.threads for row in record.rows if row.ns_per_item), used))


@dataclass(frozen=True)
class Standing:
    """One method as configured. jobs: the newest of each seed."""

    method: str
    settings: Settings
    jobs: dict[int, Record]

    @cached_property
    def accuracy(self) -> Estimate | None:
        """Of what the jobs that were trained end in."""
        found = [job.accuracy for job in self.jobs.values() if job.accuracy is not None]
        return Estimate.of(found) if found else None

    @cached_property
    def fastest(self) -> list[Row]:
        """The rows of the learned form that takes least time in the median over seeds."""
        timed: dict[str, list[Row]] = {}
        for job in self.jobs.values():
            for row in job.learned:
                timed.setdefault(row.backend, []).append(row)
        return min(timed.values(), key=lambda rows: median(row.ns_per_item or 0 for row in rows), default=[])

    @cached_property
    def rows(self) -> dict[str, list[Row]]:
        """Those that are ok, by back end, a row a job; of a job's neural-network rows the fastest one, as NETWORK."""
        found: dict[str, list[Row]] = {}
        for job in self.jobs.values():
            networks = [row for row in job.rows if _of_network(row) and row.ns_per_item]
            if networks:
                found.setdefault(NETWORK, []).append(min(networks, key=lambda row: row.ns_per_item or 0))
            for row in job.rows:
                if row.status == "ok" and not _of_network(row):
                    found.setdefault(row.backend, []).append(row)
        return found

    def figures(self) -> dict[str, Any]:
        """By FIGURES but for pareto, which is of all lines; absent values are None. Accuracies, gates, parameters: means and
        medians over seeds; speeds: medians; ratio_vs_nn: of the fastest form, its geometric mean with an interval."""
        trained = [job.training for job in self.jobs.values() if job.training is not None]
        compiled = [row for job in self.jobs.values() if (row := job.row("c") or job.row("numba")) is not None]
        ratio_vs_nn, low, high = ratio_of(self.fastest)
        accuracy = self.accuracy
        found: dict[str, Any] = {
            "method": self.method,
            "seeds": accuracy.n if accuracy else 0,
            "accuracy": accuracy.mean if accuracy else None,
            "accuracy_low": accuracy.mean - accuracy.half_width if accuracy and accuracy.half_width is not None else None,
            "accuracy_high": accuracy.mean + accuracy.half_width if accuracy and accuracy.half_width is not None else None,
            "worst": accuracy.worst if accuracy else None,
            "soft_accuracy": _mean(training.soft_accuracy for training in trained),
            "hard_accuracy": _mean(job.hard_accuracy for job in self.jobs.values()),
            "compiled_accuracy": _mean(row.compiled_accuracy for row in compiled),
            "gap": _mean(job.gap for job in self.jobs.values()),
            "gates_learned": median_of(training.gates_learned for training in trained),
            "gates_compiled": median_of(row.gates for row in compiled),
            "gates_logic": median_of(job.size.logic if job.size else None for job in self.jobs.values()),
            "gates_whole": median_of(job.size.whole if job.size else None for job in self.jobs.values()),
            "parameters": median_of(training.parameters for training in trained),
            "train_seconds": median_of(training.seconds for training in trained),
            "compile_seconds": median_of(row.compile_seconds for row in compiled),
            "backend": self.fastest[0].backend if self.fastest else None,
            "items_per_second": _per_second(row.ns_per_item for row in self.fastest),
            "ratio_vs_nn": ratio_vs_nn,
            "ratio_low": low,
            "ratio_high": high,
            "noise_floor": max((job.noise_floor for job in self.jobs.values() if job.noise_floor is not None), default=None),
        }
        for name in FORMS:
            found[speed_of(name)] = _per_second(row.ns_per_item for row in self.rows.get(name, []))
        return found


def ratio_of(rows: Iterable[Row]) -> tuple[float | None, float | None, float | None]:
    """The geometric mean of a form's ratios over seeds, with its interval, as reports.statistics.ratio; None if it has none."""
    compared = [(row.ratio, row.ratio_low, row.ratio_high) for row in rows if row.ratio]
    return ratio([one for one, _, _ in compared], *compared[0][1:]) if compared else (None, None, None)


Standings = dict[Place, list[Standing]]


def lines(standings: Sequence[Standing], sort: str | None = None) -> list[dict[str, Any]]:
    """What is known of each line of a table, by FIGURES, and the standing itself as "of" and its name as "label".

    pareto: no other line of the table is as good in accuracy, gates and speed and better in one; None for what has no gates.
    sort: one of FIGURES, by default the most accurate first. Raises reports.ordering.ColumnError for what is none of them.
    """
    told = _told(standings)
    rows: list[dict[str, Any]] = []
    for standing in standings:
        label = " ".join([standing.method, said(told[standing.method], standing.settings)]).strip()
        rows.append({"of": standing, "label": label, **standing.figures(), "pareto": None})
    circuits = [row for row in rows if row["accuracy"] is not None and row["gates_compiled"] is not None]
    costs = [(-row["accuracy"], row["gates_compiled"], -(row["items_per_second"] or 0.0)) for row in circuits]
    for row, first in zip(circuits, undominated(costs), strict=True):
        row["pareto"] = first
    return in_order(rows, sort or "accuracy", FIGURES)


def failures(standings: Standings) -> list[str]:
    """What became of the jobs that are not ok, a sentence for all seeds that say the same."""
    said_of: dict[tuple[str, ...], list[int]] = {}
    for place, here in standings.items():
        told = _told(here)
        for standing in here:
            what = " ".join([standing.method, said(told[standing.method], standing.settings)]).strip()
            for seed, job in standing.jobs.items():
                if job.status != "ok":
                    reasons = [f"{row.backend}: {row.reason}" for row in job.rows if row.status == "failed" and row.reason]
                    key = (job.status, f"{what} on {place.task}", " ".join([job.reason or "", *reasons]).strip())
                    said_of.setdefault(key, []).append(seed)
    return [
        f"{status}: {what}, seed{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}: {reason}"
        for (status, what, reason), of in said_of.items()
    ]


def standings_of(records: Iterable[Record]) -> Standings:
    """By task, machine and the number of threads that jobs were timed on: times of different ones are never taken together.

    In the order of the records, which are read the newest first.
    """
    groups: dict[Place, dict[tuple[object, ...], list[Record]]] = {}
    configured: dict[tuple[object, ...], Settings] = {}
    for record in records:
        found = settings(record)
        key = (record.method, frozenset(found.items()))
        configured[key] = found
        groups.setdefault(Place.of(record), {}).setdefault(key, []).append(record)
    return {
        place: [Standing(jobs[0].method, configured[key], newest_by_seed(jobs)) for key, jobs in found_here.items()]
        for place, found_here in groups.items()
    }


def _told(standings: Sequence[Standing]) -> dict[str, list[str]]:
    """By method the settings that tell its lines apart, after what is not asked alike in all of the table; where circuits were
    pruned, that is told in any case."""
    asked = distinguishing([_asked(standing.settings) for standing in standings])
    told = {}
    for method in {standing.method for standing in standings}:
        of_method = [standing.settings for standing in standings if standing.method == method]
        known = [*asked, *([PRUNE] if any(PRUNE in one for one in of_method) else [])]
        told[method] = [*known, *distinguishing(of_method, known)]
    return told


def _asked(found: Settings) -> Settings:
    return {name: value for name, value in found.items() if name in ASKED}


def _of_network(row: Row) -> bool:
    return row.backend.startswith(f"{NETWORK}-")


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def median_of(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None if none is."""
    found = [value for value in values if value is not None]
    return median(found) if found else None


def _per_second(nanoseconds: Iterable[float | None]) -> float | None:
    """Of the median of those that are known."""
    ns = median_of(nanoseconds)
    return 1e9 / ns if ns else None
