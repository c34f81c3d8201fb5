"""The leaderboard: a line for each method as configured, over its seeds, in tables of what may be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from reports.configuration import Settings, distinguishing, newest_by_seed, said, settings
from reports.leaderboard import in_order, learned_rows
from reports.record import Record, Row
from reports.statistics import Estimate
from reports.text import figure, interval, percent, quantity, seeds, threads

# What a table of the leaderboard may be sorted by; names are those of the tidy table where they say the same.
SORTS = (
    "method", "seeds", "accuracy", "worst", "gates_compiled", "train_seconds", "backend", "items_per_second", "ratio_vs_nn",
)  # fmt: skip
_CAPTION = (
    "accuracy: mean in % with its 95 % interval (Student's t over seeds), and the worst seed; one seed has no interval. gates,"
    " train s and speeds: medians over seeds, speeds of the fastest form. × nn: times faster than the fastest neural-network row"
    " of the same job."
)


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
        found = [job.training.accuracy for job in self.jobs.values() if job.training is not None]
        return Estimate.of(found) if found else None

    @cached_property
    def fastest(self) -> list[Row]:
        """The rows of the learned form that takes least time in the median over seeds."""
        timed: dict[str, list[Row]] = {}
        for job in self.jobs.values():
            for row in learned_rows(job):
                timed.setdefault(row.backend, []).append(row)
        return min(timed.values(), key=lambda rows: median(row.ns_per_item or 0 for row in rows), default=[])

    def figures(self) -> dict[str, Any]:
        """By SORTS; absent values are None."""
        compiled = [row for job in self.jobs.values() if (row := job.row("c") or job.row("numba")) is not None]
        ns = _median(row.ns_per_item for row in self.fastest)
        return {
            "method": self.method,
            "seeds": self.accuracy.n if self.accuracy else 0,
            "accuracy": self.accuracy.mean if self.accuracy else None,
            "worst": self.accuracy.worst if self.accuracy else None,
            "gates_compiled": _median(row.gates for row in compiled),
            "train_seconds": _median(job.training.seconds if job.training else None for job in self.jobs.values()),
            "backend": self.fastest[0].backend if self.fastest else None,
            "items_per_second": 1e9 / ns if ns else None,
            "ratio_vs_nn": _median(row.ratio for row in self.fastest),
        }


Standings = dict[Place, list[Standing]]


def leaderboard(standings: Standings, sort: str | None = None) -> list[Table]:
    """A table for each place, the most accurate first.

    sort: another of SORTS to order each table by; raises reports.leaderboard.ColumnError for what is none of them.
    """
    return [_table(place, here, sort or "accuracy") for place, here in standings.items()]


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
    """By task, machine and the number of threads that jobs were timed on: times of different ones are never taken together."""
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
    """By method the settings that tell its lines apart, after those of the task that are not the same in all of the table."""
    task = distinguishing([_of_task(standing.settings) for standing in standings])
    told = {}
    for method in {standing.method for standing in standings}:
        of_method = [standing.settings for standing in standings if standing.method == method]
        told[method] = [*task, *distinguishing(of_method, task)]
    return told


def _of_task(found: Settings) -> Settings:
    return {name: value for name, value in found.items() if name.startswith("task.")}


def _table(place: Place, standings: list[Standing], sort: str) -> Table:
    table = Table(
        title=f"{place.task} on {place.machine}, timed on {threads(place.threads)}",
        caption=_CAPTION,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    items = {job.item for standing in standings for job in standing.jobs.values() if job.item}
    table.add_column("method", overflow="fold")
    per_second = f"{items.pop() if len(items) == 1 else 'item'}s\nper s"
    for name in ("seeds", "accuracy", "worst", "gates", "train\ns", "fastest", per_second, "× nn"):
        table.add_column(name, justify="left" if name == "fastest" else "right", no_wrap=True)
    told = _told(standings)
    rows = [{"of": standing, **standing.figures()} for standing in standings]
    for row in in_order(rows, sort, SORTS):
        standing: Standing = row["of"]
        accuracy, statuses = standing.accuracy, {job.status for job in standing.jobs.values()}
        table.add_row(
            " ".join([standing.method, said(told[standing.method], standing.settings)]).strip(),
            seeds(row["seeds"], len(standing.jobs)),
            interval(accuracy) if accuracy else "",
            percent(accuracy.worst) if accuracy and accuracy.n > 1 else "",
            *("" if row[name] is None else quantity(row[name]) for name in ("gates_compiled", "train_seconds")),
            row["backend"] or "",
            "" if row["items_per_second"] is None else quantity(row["items_per_second"]),
            figure(row["ratio_vs_nn"]),
            style=None if statuses == {"ok"} else "yellow" if statuses <= {"ok", "skipped"} else "red",
        )
    return table


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None
