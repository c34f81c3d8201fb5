"""Put a job's record among the published ones: what was measured, without what is only of this machine's folders."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

from reports.record import Record

PUBLISHED = Path(__file__).resolve().parent / "published"
_CURVE = "curve.csv"
_SMALL = 1 << 16  # bytes of a circuit that is published with its record


def publish(record: Record, runs: Path, to: Path = PUBLISHED, circuit: bool = False) -> Path:
    """Write to/<key> with the record, its training curve and, if it is small or asked for, its circuit, and return it.

    runs: the folder of jobs that has them. The runs folder is taken out of settings and command, and files that stay behind
    are no longer named. Raises ValueError for a job that is not ok, or that was run from changed sources, which no commit
    leads back to.
    """
    if record.status != "ok":
        raise ValueError(f"{record.key} has status {record.status}; only jobs that are ok are published.")
    if record.dirty is not False:
        raise ValueError(f"{record.key} was not run from a commit without changes, so that nobody could run it again.")
    folder = to / record.key
    folder.mkdir(parents=True, exist_ok=True)
    kept = record.circuit_file
    if kept is not None:
        file = runs / record.key / kept
        if circuit or file.stat().st_size <= _SMALL:
            shutil.copyfile(file, folder / kept)
        else:
            kept = None
    clean = replace(
        record,
        config={name: value for name, value in record.config.items() if name != "runs_dir"},
        choices={name: value for name, value in record.choices.items() if name != "runs_dir"},
        command=shlex.join(part for part in shlex.split(record.command) if not part.startswith("runs_dir=")),
        circuit_file=kept,
        rows=[replace(row, source_file=None) for row in record.rows],
    )
    clean.write(folder)
    shutil.copyfile(runs / record.key / _CURVE, folder / _CURVE)
    return folder
