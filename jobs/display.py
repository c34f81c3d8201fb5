"""What a person sees of jobs: one live display while they run, a line for each that is done, tables and a summary at the end."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from jobs.events import Event
from reports.job import job_tables, notes
from reports.record import FILE, Record
from reports.sweep import sweep_table
from reports.text import quantity

_COLOURS = {"ok": "green", "skipped": "yellow"}
_REFRESH_SECONDS = 0.2
_SHOWN_FAILURES = 10


class Display:
    """Hears what jobs say, and shows it: live on a terminal, in a pipe a line for each job that is done.

    It is drawn when something is heard and not in between, so nothing is drawn while a job is timed.
    total: jobs of the sweep, None if that is not known. cached: records that were there before. alone: there is one job, of
    which all is shown at its end.
    """

    def __init__(self, console: Console, total: int | None, cached: Sequence[Record] = (), alone: bool = False) -> None:
        self.records: list[Record] = []
        self._console = console
        self._total = total
        self._cached = len(cached)
        self._alone = alone
        self._doing: dict[str, Event] = {}
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._drawn = 0.0

    def __enter__(self) -> "Display":
        if self._cached:
            self._console.print(f"{self._cached} of {self._total} jobs are there from before.", style="dim")
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def hear(self, event: Event) -> None:
        if event["kind"] == "record":
            self._doing.pop(event["job"], None)
            record = Record.read(Path(event["folder"]) / FILE)
            self.records.append(record)
            self._console.print(self._line(record), soft_wrap=True)
        elif event["kind"] == "ended":
            self._doing.pop(event["job"], None)
        else:
            self._doing[event["job"]] = event
        if self._live is not None and (event["kind"] != "trained" or time.monotonic() - self._drawn > _REFRESH_SECONDS):
            self._live.update(self._picture(), refresh=True)
            self._drawn = time.monotonic()

    def _line(self, record: Record) -> str:
        done = self._cached + len(self.records)
        width = len(str(self._total or done))
        colour = _COLOURS.get(record.status, "red")
        said = f"{done:>{width}}/{self._total or '?'} [{colour}]{record.status:<7}[/] {record.key}  {_outcome(record)}"
        return said.rstrip()

    def _picture(self) -> Group:
        shown: list[Progress | Table] = []
        if not self._alone:
            failed = sum(record.status not in _COLOURS for record in self.records)
            done = self._cached + len(self.records)
            bar = Progress(
                TextColumn("jobs"), MofNCompleteColumn(), BarColumn(bar_width=None),
                TextColumn(f"{self._cached} cached, [{'red' if failed else 'dim'}]{failed} failed[/]{self._left()}"),
                console=self._console, expand=True,
            )  # fmt: skip
            bar.add_task("", total=self._total, completed=done)
            shown.append(bar)
        jobs = Table.grid(padding=(0, 2))
        for key, event in self._doing.items():
            jobs.add_row(*([] if self._alone else [key]), _doing(event))
        return Group(*shown, jobs)

    def _left(self) -> str:
        """The time that the rest will take if it goes on as it went."""
        if not self.records or self._total is None:
            return ""
        remaining = self._total - self._cached - len(self.records)
        seconds = (time.monotonic() - self._began) / len(self.records) * remaining
        return f", {_duration(seconds)} left"


def _doing(event: Event) -> str:
    match event["kind"]:
        case "trained":
            percent = f"soft {event['soft']:.2%} hard {event['hard']:.2%}"
            return f"step {event['step']}/{event['steps']}  loss {event['loss']:.4f}  {percent}  {event['rate']:.0f}/s"
        case "pruning":
            return f"pruning: {event['gates']} gates, {event['accuracy']:.2%} of the validation items"
        case "building" | "verifying":
            return f"{event['kind']} {event['backend']}"
        case "timing":
            return f"timing {', '.join(event['of'])}"
        case "waiting":
            return f"waiting for {event['of']}"
    return "starting"


def _outcome(record: Record) -> str:
    """A job in half a line."""
    if record.status != "ok" or record.training is None or record.accuracy is None:
        return escape((record.reason or "").splitlines()[0]) if record.reason else ""
    said = [f"{record.accuracy:.2%}{' pruned' if record.pruning else ''}"]
    fastest = min((row for row in record.rows if row.ns_per_item), key=lambda row: row.ns_per_item or 0.0, default=None)
    if fastest is not None and fastest.ns_per_item:
        said.append(f"{fastest.backend} {quantity(1e9 / fastest.ns_per_item)} {record.item}s/s")
    said.append(_duration(record.training.seconds) + " of training")
    return ", ".join(said)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def show(console: Console, record: Record, folder: Path, cached: bool = False) -> None:
    """A job's tables, why rows are missing, and where its files are."""
    for table in job_tables(record):
        console.print(table)
    for note in notes(record):
        console.print(f"  {note}", soft_wrap=True, markup=False)
    exact = record.hard_accuracy == 1.0
    said = f"status {record.status}{', exact' if exact else ''}{', from before (force=train does it again)' if cached else ''}"
    console.print(said, style=_COLOURS.get(record.status, "red"))
    if record.log:
        console.print(f"The end of {folder / 'log.txt'}:", soft_wrap=True, markup=False)
        console.print(record.log, soft_wrap=True, markup=False, style="dim")
    for name in (FILE, record.circuit_file, *(row.source_file for row in record.rows if row.backend == "c")):
        if name:
            console.print(f"  {folder / name}", soft_wrap=True, markup=False)


def summary(console: Console, records: list[Record], asked: int, command: str) -> int:
    """A sweep's table, what became of its jobs and how to go on. Returns the exit code: 1 if a job is neither ok nor skipped."""
    if records:
        console.print(sweep_table(records))
    counts = Counter(record.status for record in records)
    if len(records) < asked:
        counts["not run"] = asked - len(records)
    lines = [", ".join(f"{n} {status}" for status, n in counts.items())]
    bad = [record for record in records if record.status not in _COLOURS]
    lines += [f"[red]{record.status}[/] {record.key}: {_outcome(record)}" for record in bad[:_SHOWN_FAILURES]]
    if len(bad) > _SHOWN_FAILURES:
        lines.append(f"and {len(bad) - _SHOWN_FAILURES} more")
    well = not bad and len(records) == asked
    if not well:
        lines.append(f"What is done is kept. To do the rest: {escape(command)}")
    console.print(Panel.fit("\n".join(lines), title="sweep", border_style="green" if well else "red"))
    return 0 if well else 1
