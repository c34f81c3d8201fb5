"""A process of its own for every job: what it does to itself, it does to no other job and not to the sweep.

Processes are forked from a server that has the heavy modules loaded, so that a job starts in milliseconds. A job's process
leads a session of its own, writes all that it prints to the job's log, and ends when the process that asked for it is gone.
"""

import contextlib
import faulthandler
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from jobs.config import JobConfig, UsageError
from jobs.events import Event, Hear, silent
from jobs.job import Request, begun, held, run_job
from jobs.sources import ROOT
from jobs.store import job_folder, training_folder
from jobs.training import summary
from reports.record import FILE, Record

_LOG = "log.txt"
_TAIL = 20  # lines of the log in the record of a job that did not end by itself
_GRACE = 60.0  # seconds that a job gets to save what it has when it is interrupted


@dataclass(frozen=True)
class Ended:
    """How a job's process ended: status and reason, or None where the job itself has said it in its record."""

    status: str | None
    reason: str | None = None


def start_server() -> None:
    """Start loading what jobs need, in the background: the first job finds it done. Does not wait for it."""
    _context()


def apart(config: JobConfig, function: Callable[..., None], *arguments: Any) -> None:
    """Call the function in a process of its own that has the job's limits, and raise what it raises of UsageError.

    However else it ends, and what it prints, is not told.
    """
    receiver, sender = _context().Pipe(duplex=False)
    process = _context().Process(target=_call, args=(_memory(config), sender, function, arguments))
    process.start()
    sender.close()
    try:
        error = receiver.recv() if receiver.poll(_seconds(config)) else None
    except EOFError:
        return
    finally:
        _kill(process)
    if error is not None:
        raise error


def run_isolated(request: Request, config: JobConfig, hear: Hear) -> Record:
    """Run the job in its own process, blocked on it, and return its record, which tells however it ended.

    Raises KeyboardInterrupt, or what else ends the wait for it, after the job has saved what it reached.
    """
    folder = job_folder(request.config, request.key)
    folder.path.mkdir(parents=True, exist_ok=True)
    log = folder.path / _LOG
    written = log.stat().st_size if log.exists() else 0
    ended = _watch(request, config, log, hear)
    if ended.status is None:
        return Record.read(folder.path / FILE)
    with held(folder, silent, ""):
        record = begun(request)
        record.status, record.reason = ended.status, ended.reason
        record.training = summary(training_folder(request.config).path)
        record.log = _tail(log, written)
        record.write(folder.path)
    return record


def _watch(request: Request, config: JobConfig, log: Path, hear: Hear) -> Ended:
    receiver, sender = _context().Pipe(duplex=False)
    process = _context().Process(target=_child, args=(request, _memory(config), str(log), sender), name=request.key)
    process.start()
    sender.close()
    limit = _seconds(config)
    left, done = limit, False
    try:
        while True:
            since = time.monotonic()
            ready = wait([receiver, process.sentinel], timeout=left)
            if not ready:
                _kill(process)
                return Ended("timeout", f"Took longer than {limit:g} s. Allow it more with limits.seconds=N.")
            if receiver not in ready:
                break
            try:
                event: Event = receiver.recv()
            except EOFError:
                break
            left = max(0.0, left - (time.monotonic() - since))
            done = done or event["kind"] == "ended"
            hear(event)
    except BaseException:  # Ctrl-C, or what a launcher raises to end this process, which would wait for the job else
        _interrupt(process)
        raise
    process.join()
    return Ended(None) if done else _cause(process, config)


def _cause(process: BaseProcess, config: JobConfig) -> Ended:
    """Why a process ended that did not finish its job."""
    code = process.exitcode
    assert code is not None
    if code >= 0:
        return Ended("failed", f"The job's process ended by itself, with exit code {code}, before the job was done.")
    name = signal.Signals(-code).name
    likely = ""
    if -code == signal.SIGKILL:
        likely = ", most likely for want of memory"
    elif -code == signal.SIGABRT:
        likely = f"; it may have reached its memory limit of {_memory(config) / 2**30:.1f} GiB (limits.memory_gib)"
    return Ended("crashed", f"The job's process was ended by {name}{likely}.")


def _interrupt(process: BaseProcess) -> None:
    """Let the job save what it has; a second Ctrl-C, or a minute, ends it at once."""
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGINT)
        process.join(_GRACE)
    finally:
        _kill(process)


def _kill(process: BaseProcess) -> None:
    if process.pid is not None and process.is_alive():
        _end_at_once(process.pid)
    process.join()


def _end_at_once(pid: int) -> None:
    """End a process and all that it started, also those that lead sessions of their own, as compilers do."""
    with contextlib.suppress(psutil.NoSuchProcess):
        ours = psutil.Process(pid)
        for process in [*ours.children(recursive=True), ours]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def interrupt_workers() -> None:
    """Pass Ctrl-C on to the processes that a launcher has started, which not all of them do."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == os.getsid(0):  # a job leads a session of its own, and follows its worker
                process.send_signal(signal.SIGINT)


def _tail(log: Path, since: int) -> str | None:
    if not log.exists():
        return None
    lines = log.read_bytes()[since:].decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL:]) or None


def _seconds(config: JobConfig) -> float:
    return config.limits.seconds or config.train.max_seconds + 3600


def _memory(config: JobConfig) -> int:
    if config.limits.memory_gib is not None:
        return int(config.limits.memory_gib * 2**30)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Settings of the environment for what is started within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _context() -> multiprocessing.context.ForkServerContext:
    """Processes forked from a server, which is told once what to load; it inherits the environment as it is then."""
    # The forms that are timed use one core, and what trains has threads of its own.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # A launcher's worker may have a way of its own to start processes (loky), which the server would be told of and not know.
    if multiprocessing.get_start_method(allow_none=True) not in (None, *multiprocessing.get_all_start_methods()):
        multiprocessing.set_start_method(None, force=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "jobs.preload"])
    # New processes, the server as well as workers of launchers, must load these sources, and neither others of this name that are
    # installed nor, for the server, those of the folder that it is started in.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *(path for path in paths if path not in ("", str(ROOT)))])
    with _environment(PYTHONSAFEPATH="1"):
        forkserver.ensure_running()
    return context


# ------------------------------------------------------------------------------------------------------- the job's process


def _call(memory: int, sender: Connection, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    _print_to(os.open(os.devnull, os.O_WRONLY))
    _limit(memory)
    _follow_parent()
    try:
        function(*arguments)
    except UsageError as error:
        sender.send(error)
    else:
        sender.send(None)


def _child(request: Request, memory: int, log: str, sender: Connection) -> None:
    os.setsid()
    _print_to(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    faulthandler.enable(file=2, all_threads=False)  # the end of the log is in the record: no room for threads that wait
    _limit(memory)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _follow_parent()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING, force=True)
    logging.getLogger("gatebench").setLevel(logging.INFO)

    def tell(kind: str, **values: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            sender.send({"kind": kind, "job": request.key, **values})

    try:
        record = run_job(request, tell)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    tell("ended", status=record.status)


def _print_to(target: int) -> None:
    sys.stdout.flush()
    for standard in (1, 2):
        os.dup2(target, standard)
    os.close(target)
    # Whole lines at once, which a process that crashes would not write else.
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115


def _limit(memory: int) -> None:
    """Data, not address space: frameworks reserve far more addresses than they use."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _follow_parent() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """When whoever asked for the job is gone, no one waits for it: save what there is, and end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_GRACE)
    _end_at_once(os.getpid())
