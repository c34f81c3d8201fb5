"""One HTML file of the results: leaderboard, charts, circuits that run, failures and origin, without a network or another file.

A section of the page is a template reports/page/NAME.html and, where there are such files, its style NAME.css and its script
NAME.js; it is named in SECTIONS. What it knows of the records it takes from the template's variables or, in the browser, from
`Gatebench.data`, the JSON of page_data. Nothing of a record is ever markup: templates escape, JSON has no "<", scripts set text,
and the browser is told to run only the scripts that are of this file, WebAssembly where there is any, and to load nothing.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from codegen.cache import cache_dir
from codegen.whole_file import write_whole
from reports.alive import Alive, alive
from reports.charts import CHARTS, FONT, MOST_LINES, THEMES, config, specs
from reports.configuration import Settings
from reports.datasets import Dataset, Datasets, Line, common_settings, rounded
from reports.environment import commit
from reports.record import Record, RecordError
from reports.standings import Standing, Standings, failures
from reports.text import figure, percent, quantity

SECTIONS = ("leaderboard", "charts", "alive", "failures", "origin")
_FOLDER = Path(__file__).resolve().parent / "page"
_REASON = 1000  # characters
# Of an environment: what changes from job to job is of the job, and would make each of them another one.
_ENVIRONMENT = ("cpu", "cores", "physical_cores", "caches", "hypervisor", "memory_bytes", "os", "python", "packages", "compiler",
                "threads")  # fmt: skip


@dataclass(frozen=True)
class Column:
    """Of the leaderboard. field: of a line, with a point between it and a back end. form: of reports.text, or text as it is."""

    field: str
    title: str
    group: str
    meaning: str
    form: str = "text"

    def value(self, line: Line) -> Any:
        name, _, part = self.field.partition(".")
        return line[name].get(part) if part else line[name]

    def cell(self, line: Line) -> str:
        value = self.value(line)
        return "" if value is None else _FORMS[self.form](value, line)


def _mean(value: float, line: Line) -> str:
    if line["accuracy_high"] is None:
        return percent(value)
    return f"{percent(value)} ± {100 * (line['accuracy_high'] - value):.2f}"


def _seeds(value: int, line: Line) -> str:
    return f"{value}" if value == line["jobs"] else f"{value} of {line['jobs']}"


def _between(value: float, line: Line) -> str:
    return "" if line["ratio_low"] == line["ratio_high"] else f"{figure(value)} – {figure(line['ratio_high'])}"


_FORMS: dict[str, Callable[[Any, Line], str]] = {
    "text": lambda value, _: str(value),
    "percent": lambda value, _: percent(value),
    "worst": lambda value, line: percent(value) if line["seeds"] > 1 else "",
    "mean": _mean,
    "seeds": _seeds,
    "count": lambda value, _: f"{value:,.0f}",
    "quantity": lambda value, _: quantity(value),
    "figure": lambda value, _: figure(value),
    "between": _between,
    "noise": lambda value, _: f"{100 * value:.1f} %",
    "mark": lambda value, _: "★" if value else "",
}


def _columns(backends: Sequence[str]) -> list[Column]:
    """All that there may be, from left to right; the line's label stands before them."""
    per_second = "Items a second of this back end, median over seeds"
    against = "Fastest form against the fastest neural-network row of its job"
    speeds = [Column(f"speeds.{name}", name, "items a second", per_second, "quantity") for name in backends]
    return [
        Column("pareto", "best", "line", "No other line of its table has more accuracy, fewer gates and more speed", "mark"),
        Column("task", "task", "line", "What is learned"),
        Column("seeds", "seeds", "line", "Jobs with a result, of those that there are", "seeds"),
        Column("accuracy", "mean", "accuracy, %", "Of what the job ends in: mean over seeds with its 95 % interval", "mean"),
        Column("worst", "worst", "accuracy, %", "Of the worst seed", "worst"),
        Column("soft_accuracy", "soft", "accuracy, %", "Of the network as trained", "percent"),
        Column(
            "hard_accuracy",
            "hard",
            "accuracy, %",
            "Of the network with every gate fixed, or of what pruning left of it",
            "percent",
        ),
        Column("compiled_accuracy", "compiled", "accuracy, %", "Of the compiled circuit", "percent"),
        Column("gap", "gap", "accuracy, %", "Soft less hard accuracy, in points", "percent"),
        Column("gates_learned", "learned", "gates", "As trained, median over seeds", "count"),
        Column("gates_compiled", "compiled", "gates", "Of the circuit that runs, median over seeds", "count"),
        Column("gates_logic", "logic", "gates", "Of two inputs, optimised, without the readout, median over seeds", "count"),
        Column("gates_whole", "whole", "gates", "Of two inputs, optimised, with the readout, median over seeds", "count"),
        Column("ratio_vs_nn", "× nn", "speed-up", f"{against}, geometric mean over seeds", "figure"),
        Column("ratio_low", "95 %", "speed-up", "Of the speed-up: over seeds, or of a single seed's own measurement", "between"),
        Column("noise_floor", "noise", "speed-up", "By how much a second copy of the same library differs", "noise"),
        *speeds,
        Column("parameters", "parameters", "training", "Numbers that were trained", "count"),
        Column("train_seconds", "seconds", "training", "Of the training loop, median over seeds", "quantity"),
        Column("compile_seconds", "seconds", "compiling", "To compile, median over seeds", "quantity"),
        Column("machine", "machine", "timed on", "Times of different machines are never taken together"),
        Column("threads", "threads", "timed on", "Nor are those of different numbers of threads", "count"),
    ]


def write_page(standings: Standings, unreadable: Sequence[RecordError], runs: Path, path: Path, sort: str | None = None) -> None:
    """Write the page of these standings. unreadable: what is named beside them. runs: the folder of jobs. Raises ColumnError,
    OSError."""
    write_whole(path, page(standings, unreadable, runs, sort).encode())


def page(standings: Standings, unreadable: Sequence[RecordError], runs: Path, sort: str | None = None) -> str:
    """The HTML of these standings."""
    data = Datasets(standings, runs, sort)
    circuits = alive(data, runs)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = [column for column in _columns(data.backends) if any(column.cell(line) for line in data.lines)]
    names = ("page", *SECTIONS)
    scripts = [_script(text) for text in (_vega(), *_texts(names, "js"))]
    digests = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts]
    allowed = [*digests, "'wasm-unsafe-eval'"] if circuits.runs else digests
    return templates.get_template("page.html").render(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {' '.join(allowed)};"
        " base-uri 'none'; form-action 'none'",
        style=Markup("\n".join(_texts(names, "css"))),
        scripts=scripts,
        data=_json(page_data(data, circuits)),
        alive=circuits,
        sections=SECTIONS,
        themes=THEMES,
        font=Markup(FONT),
        lines=data.lines,
        columns=columns,
        groups=Counter(column.group for column in columns),
        tasks=sorted({line["task"] for line in data.lines}),
        methods=sorted({line["method"] for line in data.lines}),
        charts=[chart for chart in CHARTS.values() if chart.rows(data)],
        most_lines=MOST_LINES,
        failures=[_short(sentence) for sentence in failures(standings)],
        unreadable=[_short(str(error)) for error in unreadable],
        origin=_origin(data, runs),
    )


def page_data(data: Datasets, circuits: Alive) -> dict[str, Any]:
    """What the page's scripts know.

    datasets: those of reports.datasets and `jobs`, by columns (see packed). specs, themes, charts: of the charts. shared: by
    method the settings that all of its lines have. settings: for each line those of its own. life, images: the circuits
    that run in the page (see reports.alive).
    """
    shared = common_settings(data.standings)
    jobs = [{"line": line, **_job(job)} for line, one in enumerate(data.standings) for job in one.jobs.values()]
    return {
        "datasets": {name: packed(rows) for name, rows in (*data.named().items(), ("jobs", jobs))},
        "specs": specs(data),
        "themes": {name: config(theme) for name, theme in THEMES.items()},
        "charts": {
            name: {field: getattr(chart, field) for field in ("title", "dataset", "columns", "each", "positive", "papers")}
            for name, chart in CHARTS.items()
        },
        "mostLines": MOST_LINES,
        "life": circuits.life,
        "images": circuits.images,
        "shared": shared,
        "settings": [_own(one, shared[one.method]) for one in data.standings],
    }


def packed(rows: Dataset) -> dict[str, Any]:
    """Columns by name, without what takes a page's room: names in each row, and texts, lists or dicts that come again and again.
    A column is a list, or `of`, what there is, and `at`, where in it each row's value is."""
    return {name: _packed([row.get(name) for row in rows]) for name in dict.fromkeys(name for row in rows for name in row)}


def _packed(values: list[Any]) -> list[Any] | dict[str, list[Any]]:
    if not any(isinstance(value, str | list | dict) for value in values):
        return values
    where: dict[str, int] = {}
    at = [where.setdefault(json.dumps(value), len(where)) for value in values]
    return {"of": [json.loads(text) for text in where], "at": at} if 2 * len(where) <= len(values) else values


def _own(standing: Standing, shared: Settings) -> Settings:
    return {name: value for name, value in standing.settings.items() if name not in shared}


def _job(job: Record) -> dict[str, Any]:
    training = job.training
    states = [
        {"backend": row.backend, "status": row.status, "exact": row.exact, "checked": row.items_checked, "isa": row.isa,
         "reason": row.reason and _short(row.reason)}
        for row in job.rows
    ]  # fmt: skip
    return {
        "seed": job.seed,
        "key": job.key,
        "status": job.status,
        "date": job.date,
        "soft": rounded(training.soft_accuracy) if training else None,
        "hard": rounded(job.hard_accuracy),
        "steps": training.steps if training else None,
        "seconds": rounded(training.seconds) if training else None,
        "commit": job.commit,
        "dirty": job.dirty,
        "command": job.command,
        "reason": job.reason and _short(job.reason),
        "forced": job.conditions.forced if job.conditions else None,
        "environment": {name: job.environment.get(name) for name in _ENVIRONMENT},
        "rows": states,
    }


def _origin(data: Datasets, runs: Path) -> dict[str, Any]:
    """Where the page comes from: plain text by what it is."""
    jobs = [job for one in data.standings for job in one.jobs.values()]
    head, dirty = commit()
    machines = {job.machine: job.environment.get("cpu", "unknown") for job in jobs}
    days = [job.date[:10] for job in jobs]
    commits = {job.commit[:10] for job in jobs if job.commit}
    return {
        "Gatebench": version("gatebench"),
        "commit": f"{head[:10]}{' with changes' if dirty else ''}" if head else "not in a git checkout",
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "folder": runs.name,
        "jobs": f"{len(jobs)}, of which {sum(job.status == 'ok' for job in jobs)} ok",
        "timed": " – ".join(dict.fromkeys([min(days), max(days)])) if days else "",
        "of commits": ", ".join(sorted(commits)[:12]) + (f" and {len(commits) - 12} more" if len(commits) > 12 else ""),
        "machines": ", ".join(f"{machine} ({cpu})" for machine, cpu in sorted(machines.items())),
    }


def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, which takes seconds to put together and is kept in the cache."""
    path = cache_dir() / f"vega-{version('vl-convert-python')}.js"
    if not path.exists():
        write_whole(path, vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode())
    return path.read_text()


def _texts(names: Sequence[str], ending: str) -> list[str]:
    return [path.read_text() for name in names if (path := _FOLDER / f"{name}.{ending}").exists()]


def _script(text: str) -> Markup:
    """A script that no text in it ends before its end."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _json(value: Any) -> Markup:
    """JSON in which nothing begins or ends an element."""
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _short(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[:_REASON]} …"
