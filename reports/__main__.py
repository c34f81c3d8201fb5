"""python -m reports: the results of jobs as a table, as data or as pictures."""

import argparse
import gc
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Console, RenderableType

from reports.export import STYLES, text
from reports.job import job_tables, notes
from reports.leaderboard import leaderboard
from reports.ordering import ColumnError
from reports.publish import PUBLISHED, publish
from reports.record import Record, RecordError, read_all
from reports.standings import FIGURES, failures, standings_of
from reports.sweep import sweep_table

DEFAULT_RUNS = Path(__file__).resolve().parent.parent / "runs"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    complain = Console(stderr=True, highlight=False)
    records: list[Record] = []
    options.unreadable = []
    for entry in read_all(options.runs):
        if isinstance(entry, RecordError):
            options.unreadable.append(entry)
            complain.print(f"[yellow]skipped:[/] {entry}", markup=True, soft_wrap=True)
        else:
            records.append(entry)
    if not records and options.format == "rich":
        complain.print(
            f"No records in {options.runs}. Make one with `python harness.py method=dlgn task=life`, or name a folder of jobs"
            " with --runs DIR.",
            soft_wrap=True,
        )
        return 1
    try:
        return int(options.action(options, _chosen(options, records)))
    except (ReportError, ColumnError) as error:
        complain.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


class ReportError(ValueError):
    """A report that cannot be made from these records; says what is missing."""


def _chosen(options: argparse.Namespace, records: list[Record]) -> list[Record]:
    """The records of the methods and tasks that were asked for."""
    for name in ("method", "task"):
        pattern = getattr(options, name)
        if pattern is not None:
            known = sorted({getattr(record, name) for record in records})
            records = [record for record in records if fnmatchcase(getattr(record, name), pattern)]
            if not records:
                raise ReportError(f"No job of a {name} like {pattern} here. There are: {', '.join(known) or 'none'}.")
    return records


def _show(tables: Iterable[RenderableType], sentences: Iterable[str] = ()) -> int:
    """In 80 columns where nobody looks: a file or another program."""
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for table in tables:
        console.print(table)
    for sentence in sentences:
        console.print(f"  {sentence}", soft_wrap=True, markup=False)
    return 0


def _show_leaderboard(options: argparse.Namespace, records: list[Record]) -> int:
    if options.html is not None:
        return _write_page(options, records)
    if options.format == "rich":
        standings = standings_of(records)
        return _show(leaderboard(standings, options.sort), failures(standings))
    sys.stdout.write(text(records, options.format, options.sort))
    return 0


def _write_page(options: argparse.Namespace, records: list[Record]) -> int:
    try:
        from reports.html import write_page  # with what draws charts, which the tables do without
    except ModuleNotFoundError as error:
        raise _without(error) from error
    try:
        write_page(standings_of(records), options.unreadable, options.runs, options.html, options.sort)
    except OSError as error:
        raise ReportError(f"The page cannot be written: {error}") from error
    print(options.html)
    return 0


def _plot(options: argparse.Namespace, records: list[Record]) -> int:
    from reports.datasets import Datasets

    try:
        from reports.charts import CHARTS, THEMES, draw_file
    except ModuleNotFoundError as error:
        raise _without(error) from error
    names = options.chart.split(",")
    for name in names:
        if name not in CHARTS:
            raise ReportError(f"There is no chart {name!r}. Choices: {', '.join(CHARTS)}.")
    data = Datasets(standings_of(records), options.runs, options.sort)
    try:
        draw_file(data, [CHARTS[name] for name in names], options.file, THEMES[options.theme], options.width)
    except (ValueError, OSError) as error:
        raise ReportError(f"The picture cannot be written: {error}") from error
    print(options.file)
    return 0


def _without(error: ModuleNotFoundError) -> ReportError:
    """What to install, where a library is missing."""
    return ReportError(f"Charts need {error.name}, which is not installed: pip install 'gatebench[report]'.")


def _show_job(options: argparse.Namespace, records: list[Record]) -> int:
    record = _one(records, options.run)
    return _show(job_tables(record), notes(record))


def _show_sweep(options: argparse.Namespace, records: list[Record]) -> int:
    chosen = [record for record in records if options.experiment in (None, record.choices.get("experiment"))]
    if not chosen:
        known = sorted({record.choices["experiment"] for record in records if "experiment" in record.choices})
        raise ReportError(f"No job of experiment={options.experiment} here. There are: {', '.join(known) or 'none'}.")
    return _show([sweep_table(chosen[::-1])])


def _show_life(options: argparse.Namespace, records: list[Record]) -> int:
    from reports.life import Shape, render  # loads the compiler's modules, which the tables do without

    record = _one([record for record in records if record.task == "life" and record.circuit_file], options.run)
    try:
        shape = Shape(options.height, options.width, options.steps)
        paths = render(record, options.runs / record.key, shape, options.gif, options.png)
    except ValueError as error:
        raise ReportError(str(error)) from error
    print("\n".join(str(path) for path in paths))
    return 0


def _show_circuit(options: argparse.Namespace, records: list[Record]) -> int:
    try:
        from reports.inside import pictures
    except ModuleNotFoundError as error:
        raise _without(error) from error
    from codegen.circuit import Circuit, CircuitFileError

    record = _one([record for record in records if record.circuit_file], options.run)
    folder = options.output or options.runs / record.key / "pictures"
    try:
        circuit = Circuit.load(options.runs / record.key / str(record.circuit_file))
        written, said = pictures(circuit, folder)
    except (CircuitFileError, OSError) as error:
        raise ReportError(str(error)) from error
    print("\n".join([*map(str, written), *said]))
    return 0


def _publish(options: argparse.Namespace, records: list[Record]) -> int:
    for key in options.keys:
        try:
            print(publish(_one(records, key), options.runs, circuit=options.circuit))
        except (ValueError, OSError) as error:
            raise ReportError(f"Not published: {error}") from error
    return 0


def _write_results(options: argparse.Namespace, records: list[Record]) -> int:  # noqa: ARG001, an action is given all options
    try:
        from reports.results import MarkerError, write

        print("\n".join(map(str, write(records))))
    except ModuleNotFoundError as error:
        raise _without(error) from error
    except (MarkerError, OSError) as error:
        raise ReportError(str(error)) from error
    return 0


def _one(records: list[Record], key: str | None) -> Record:
    """The newest record, or the newest whose key starts with the one asked for."""
    chosen = [record for record in records if record.key.startswith(key or "")]
    if not chosen:
        asked = f" with key {key}" if key else ""
        raise ReportError(f"No job{asked} to show here. Keys: {', '.join(record.key for record in records) or 'none'}.")
    return chosen[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports", description="Show the results of jobs. Without a command: the leaderboard."
    )
    common = argparse.ArgumentParser(add_help=False)
    # Suppressed, because a subcommand's own default would overwrite what came before it on the command line.
    common.add_argument("--runs", type=Path, default=argparse.SUPPRESS, metavar="DIR", help="folder of jobs")
    parser.add_argument("--runs", type=Path, default=DEFAULT_RUNS, metavar="DIR", help="folder of jobs (default: %(default)s)")
    parser.add_argument(
        "--format",
        choices=("rich", *STYLES),
        default="rich",
        help="rich, md, latex: a line for each method as configured; csv, json: one row a job and back end",
    )
    for name, example in (("method", "warp"), ("task", "'*mnist'")):
        parser.add_argument(f"--{name}", metavar="GLOB", help=f"only jobs of {name}s whose name is like this, such as {example}")
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help=f"order of the lines, numbers from the largest: {', '.join(FIGURES)}; of csv and json any of their columns",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="the leaderboard with charts and what is behind it, as one file for a browser",
    )
    parser.set_defaults(action=_show_leaderboard)
    commands = parser.add_subparsers(title="commands")

    job = commands.add_parser("job", parents=[common], help="one job's table")
    job.add_argument("--run", metavar="KEY", help="the job's key or its beginning (default: the newest)")
    job.set_defaults(action=_show_job)

    sweep = commands.add_parser("sweep", parents=[common], help="training compared: a line for each choice, over its seeds")
    sweep.add_argument("--experiment", metavar="NAME", help="only the jobs of this experiment (default: all jobs)")
    sweep.set_defaults(action=_show_sweep)

    life = commands.add_parser("life", parents=[common], help="a picture of a learned Life circuit beside the rule")
    life.add_argument("--run", metavar="KEY", help="the job's key or its beginning (default: the newest Life job)")
    life.add_argument("--gif", type=Path, metavar="FILE", help="an animation")
    life.add_argument("--png", type=Path, metavar="FILE", help="a strip of generations")
    life.add_argument("--height", type=int, default=64, help="cells (default: %(default)s)")
    life.add_argument("--width", type=int, default=96, help="cells (default: %(default)s)")
    life.add_argument("--steps", type=int, default=100, help="generations (default: %(default)s)")
    life.set_defaults(action=_show_life)

    plot = commands.add_parser("plot", parents=[common], help="a chart of the page as a picture")
    plot.add_argument("file", type=Path, metavar="FILE", help="what to write: .svg or .png")
    plot.add_argument("--chart", default="pareto", metavar="NAMES", help="which, with commas between (default: %(default)s)")
    plot.add_argument("--theme", choices=("light", "dark"), default="light", help="its colours (default: %(default)s)")
    plot.add_argument("--width", type=int, default=640, help="of what is within the axes, in pixels (default: %(default)s)")
    plot.set_defaults(action=_plot)

    circuit = commands.add_parser("circuit", parents=[common], help="pictures of what is inside a learned circuit")
    circuit.add_argument("run", nargs="?", metavar="KEY", help="the job's key or its beginning (default: the newest circuit)")
    circuit.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to (default: the job's folder)")
    circuit.set_defaults(action=_show_circuit)

    published = commands.add_parser("publish", parents=[common], help="put jobs' records into reports/published")
    published.add_argument("keys", nargs="+", metavar="KEY", help="the job's key or its beginning")
    published.add_argument("--circuit", action="store_true", help="with the circuit, however large (small ones always are)")
    published.set_defaults(action=_publish)

    results = commands.add_parser("results", help="docs/results.md and the head of it in README.md, from reports/published")
    results.set_defaults(action=_write_results, runs=PUBLISHED)
    return parser


if __name__ == "__main__":
    gc.disable()  # thousands of records are many objects to look through again and again, and all are needed until the end
    sys.exit(main())
