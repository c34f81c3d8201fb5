"""What else can be done with jobs than to run them: list, check, compare, merge and export."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from jobs.compare import compare
from jobs.config import UsageError, check
from jobs.contract import contract
from jobs.job import Request
from jobs.store import ROWS, STAGES, finished, job_folder, training_folder
from jobs.training import checkpoints, summary
from reports.environment import environment, machine_id
from reports.export import ENDINGS, text
from reports.record import FILE, Record, RecordError, read_all

# run and time are jobs of their own processes, which the harness starts; the others are below.
ACTIONS = ("run", "list", "check", "time", "compare", "merge", "export")


def run_action(action: str, requests: Sequence[Request], console: Console) -> int:
    """Do it, and return the exit code. Raises UsageError."""
    does: dict[str, Callable[[Sequence[Request], Console], int]] = {
        "list": _list, "check": _check, "compare": _compare, "merge": _merge, "export": _export,
    }  # fmt: skip
    return does[action](requests, console)


def check_trained(requests: Sequence[Request]) -> None:
    """action=time never trains. Raises UsageError that names the jobs that have no training to time."""
    missing = [one.key for one in requests if summary(training_folder(one.config).path) is None]
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UsageError(f"action=time times what is trained, and {named} is not: run the same command without it first.")


def _list(requests: Sequence[Request], console: Console) -> int:
    """What a run of the same command line would do with each job."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("job", "is", "would"):
        table.add_column(name, no_wrap=True)
    for request in requests:
        is_now, would = _state(request)
        table.add_row(request.key, is_now, would)
    console.print(table)
    return 0


def _state(request: Request) -> tuple[str, str]:
    folder, training = job_folder(request.config, request.key).path, training_folder(request.config).path
    forced = request.config["force"]
    try:
        status = Record.read(folder / FILE).status
    except RecordError:
        status = "new"
    if finished(request.config, request.key) is not None:
        return status, "be shown as it is"
    if forced is not None:
        return status, ", ".join(STAGES[STAGES.index(forced) :])
    if summary(training) is not None:
        return status, "time" if (folder / ROWS).exists() else "compile, time"
    return status, "continue to train, compile, time" if checkpoints(training) else "train, compile, time"


def _check(requests: Sequence[Request], console: Console) -> int:
    """Hold each pair of a method and a task to what all of them must do."""
    wrong = 0
    for request in requests:
        console.print(f"{request.config['method']['name']} on {request.config['task']['name']}, seed {request.config['seed']}")
        for name, fault in contract(check(request.config)):
            console.print(f"  [green]ok[/]    {name}" if fault is None else f"  [red]wrong[/] {name}: {fault}", soft_wrap=True)
            wrong += fault is not None
    return 1 if wrong else 0


def _compare(requests: Sequence[Request], console: Console) -> int:
    (request,) = _one(requests, "compare")
    sides = request.config["compare"]
    if not isinstance(sides, list) or len(sides) != 2:
        raise UsageError("action=compare needs two commits, or two jobs by the beginnings of their keys: compare=[A,B].")
    console.print(compare(request.config, str(sides[0]), str(sides[1])))
    return 0


def _merge(requests: Sequence[Request], console: Console) -> int:
    """Take over the records of other runs folders, such as of other machines."""
    (request,) = _one(requests, "merge")
    sources = request.config["merge"]
    if not isinstance(sources, list) or not sources:
        raise UsageError("action=merge needs the folders to take records from: merge=[DIR,...].")
    runs, here = Path(request.config["runs_dir"]), machine_id(environment())
    taken = known = 0
    for source in map(Path, sources):
        if not source.is_dir():
            raise UsageError(f"There is no folder {source} to merge.")
        for path in sorted(source.glob(f"*/{FILE}")):
            try:
                record = Record.read(path)
            except RecordError as error:
                console.print(f"[yellow]skipped:[/] {error}", soft_wrap=True)
                continue
            # Times of another machine are not those that a run here would find: such a job has a folder of its own.
            to = runs / (record.key if record.machine == here else f"{record.key}@{record.machine}")
            if (to / FILE).exists() and Record.read(to / FILE).date >= record.date:
                known += 1
                continue
            shutil.copytree(path.parent, to, ignore=shutil.ignore_patterns(".lock"), dirs_exist_ok=True)
            taken += 1
    console.print(f"{taken} jobs taken over, {known} were there, as new. Records of different machines are kept apart.")
    return 0


def _export(requests: Sequence[Request], console: Console) -> int:
    """Write all records of the runs folder to a file, in the style that its ending tells."""
    (request,) = _one(requests, "export")
    wanted = request.config["export"]
    style = ENDINGS.get(Path(wanted).suffix.removeprefix(".")) if wanted else None
    if style is None:
        raise UsageError(f"action=export needs a file that ends in {', '.join(f'.{one}' for one in ENDINGS)}: export=FILE.")
    records: list[Record] = []
    for entry in read_all(Path(request.config["runs_dir"])):
        if isinstance(entry, RecordError):
            console.print(f"[yellow]skipped:[/] {entry}", soft_wrap=True)
        else:
            records.append(entry)
    Path(wanted).write_text(text(records, style))
    console.print(f"{len(records)} jobs: {wanted}", soft_wrap=True)
    return 0


def _one(requests: Sequence[Request], action: str) -> Sequence[Request]:
    if len(requests) != 1:
        raise UsageError(f"action={action} is one thing, not a sweep: leave -m out.")
    return requests
