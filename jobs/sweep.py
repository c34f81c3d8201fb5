"""Sweeps: the jobs as they were resolved when the sweep began, and what they say while they run, in files of its folder.

Any process that sees the file system can run a job of a sweep and be heard, whichever launcher has started it.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from codegen.whole_file import write_whole
from jobs.config import check
from jobs.events import Event, Hear
from jobs.isolation import run_isolated
from jobs.job import Request
from jobs.store import finished, job_folder
from reports.record import Record

_REQUESTS = "jobs.json"
_EVENTS = "events.jsonl"
_LOOK_SECONDS = 0.5


def new_sweep(runs: Path, requests: list[Request]) -> Path:
    """A folder for a sweep of these jobs, named by the time; two that start in the same second have two."""
    sweeps = runs / "sweeps"
    sweeps.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d_%H-%M-%S_"), dir=sweeps))
    write_whole(folder / _REQUESTS, json.dumps([asdict(one) for one in requests]).encode())
    folder.joinpath(_EVENTS).touch()
    return folder


def run_listed(folder: Path, which: int | Request, threads: int | None) -> Record:
    """Run a job of the sweep in this folder: by its place in the list, or one that a search has chosen.

    threads: to train with, where the job does not say.
    """
    request = which if isinstance(which, Request) else Request(**json.loads(folder.joinpath(_REQUESTS).read_text())[which])
    if request.config["threads"] is None:
        request = replace(request, config={**request.config, "threads": threads})

    def say(event: Event) -> None:
        line = json.dumps(event) + "\n"
        file = os.open(folder / _EVENTS, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line.encode())  # one write to a file opened to append: lines of several processes stay whole
        finally:
            os.close(file)

    record = finished(request.config, request.key) or run_isolated(request, check(request.config), say)
    say({"kind": "record", "job": request.key, "folder": str(job_folder(request.config, request.key).path)})
    return record


@contextmanager
def follow(folder: Path, hear: Hear) -> Iterator[None]:
    """Hear what the jobs of the sweep say, in a thread, until the block ends; then all that is left to hear."""
    over = threading.Event()

    def listen() -> None:
        with folder.joinpath(_EVENTS).open() as file:
            part = ""
            while True:
                ended = over.is_set()
                for line in file.read().splitlines(keepends=True):
                    part += line
                    if part.endswith("\n"):
                        hear(json.loads(part))
                        part = ""
                if ended:
                    return
                over.wait(_LOOK_SECONDS)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
