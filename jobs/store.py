"""Where jobs keep what they have: a folder for each job, and one for each training, which jobs share.

Folders are named by a hash of what decides their content, so a finished one never needs to be made again. Whoever makes one
holds its lock; what is in it is written whole or not at all.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from codegen.backends import BACKENDS, missing
from jobs.config import UsageError
from jobs.sources import digest
from reports.record import FILE, Record, RecordError, Row

STAGES = ("train", "compile", "time")
ROWS = "rows.json"  # of a job: its forms as built and verified, before they are timed
# What a job does and where, not what comes out of it.
_NOT_IN_KEY = ("action", "compare", "export", "force", "job", "limits", "merge", "objectives", "runs_dir", "threads")
_OF_TRAINING = ("method", "task", "seed", "engine", "train")
_TRAININGS = "trainings"


def job_key(config: dict[str, Any]) -> str:
    """The job's name: a hash of what decides its result, the configuration and the source that computes it."""
    return _key(config, [name for name in config if name not in _NOT_IN_KEY], "jobs.job")


def training_key(config: dict[str, Any]) -> str:
    """The same of its training alone: jobs that differ in what they compile and time share it."""
    return _key(config, [name for name in _OF_TRAINING if name in config], "jobs.training")


def _key(config: dict[str, Any], decisive: list[str], module: str) -> str:
    settings = json.dumps({name: config[name] for name in decisive}, sort_keys=True)
    # A method or a task may be a module of its own, which no other names (see codegen.registry).
    method, task = config["method"], config["task"]
    chosen = {f"methods.{method['name']}", f"methods.{method.get('relaxation')}", f"tasks.{task['name']}"}
    found = hashlib.sha256(settings.encode() + digest(module, *sorted(chosen)).encode()).hexdigest()
    return f"{method['name']}-{task['name']}-s{config['seed']}-{found[:10]}"


@dataclass(frozen=True)
class Folder:
    """runs/<key>/, or runs/trainings/<key>/."""

    path: Path

    def lock(self) -> FileLock:
        """To hold while anything in the folder is written. It goes with the process that holds it, however that ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / ".lock")


def job_folder(config: dict[str, Any], key: str) -> Folder:
    return Folder(Path(config["runs_dir"]) / key)


def finished(config: dict[str, Any], key: str) -> Record | None:
    """The record of a job that needs no run: ok, or skipped for good. With `force` every job does, and so does one
    that lacked what is there now."""
    if config["force"]:
        return None
    try:
        record = Record.read(job_folder(config, key).path / FILE)
    except RecordError:
        return None
    if record.status not in ("ok", "skipped") or can_be_had_now(record.rows):
        return None
    return record


def can_be_had_now(rows: Iterable[Row]) -> bool:
    """Whether forms of a circuit were left out for want of something, the only reason to leave one out, that is there now."""
    return any(row.status == "skipped" and row.backend in BACKENDS and missing(row.backend) is None for row in rows)


def training_folder(config: dict[str, Any]) -> Folder:
    return Folder(Path(config["runs_dir"]) / _TRAININGS / training_key(config))


def check_writable(runs: Path) -> None:
    """Be sure that the runs folder can be written, before any work is spent. Raises UsageError."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs):
            pass
    except OSError as error:
        raise UsageError(f"The runs folder {runs} cannot be written ({error}). Name another with runs_dir=DIR.") from error
