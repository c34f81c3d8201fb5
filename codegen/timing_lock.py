"""One timing at a time on a machine, and none while other work runs: their times would be of each other."""

import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import psutil

# A folder that is everybody's, and not sticky as that of temporary files around it is: in such a one neither the system nor
# filelock lets a user open a file that another has made.
_FOLDER, _LOCK = "gatebench-timing", "lock"
_POLL_SECONDS = 1.0  # a waiting process wakes up this often, on the machine where the other one times
# The system counts processor time in ticks of 10 ms. What is busy for longer than the second window is work, not a burst.
_WINDOWS_SECONDS = (0.2, 1.0)
_BUSY = ("user", "nice", "system", "irq", "softirq")  # of psutil.cpu_times; not steal, which is of other machines


class BusyMachineError(RuntimeError):
    """Other processes keep more of the machine busy than a timing allows; the message says how much."""


@dataclass(frozen=True)
class Alone:
    """load: how many processors other processes kept busy when the timing began. forced: that was above the limit.
    waited_seconds: for other timings."""

    load: float
    forced: bool
    waited_seconds: float


@contextmanager
def alone(
    max_load: float,
    force: bool = False,
    waiting: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> Iterator[Alone]:
    """Be the only one that times on this machine, whoever the others are.

    max_load: how many processors other processes may keep busy, measured now: what this process has computed before does not
    count, as it does in a load average. force: time all the same, and say so. waiting: told once which process times already, if
    one does. folder: one that all users of the machine share; by default that of temporary files. Raises BusyMachineError. A
    process that ends in any way gives the lock free.
    """
    lock = filelock.FileLock(_shared_folder(folder or Path(tempfile.gettempdir())) / _LOCK, mode=0o666)
    started = time.perf_counter()
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if waiting is not None:
            waiting(_holder(Path(lock.lock_file)))
        lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        waited = time.perf_counter() - started
        Path(lock.lock_file).write_text(_this_process())
        for seconds in _WINDOWS_SECONDS:
            load = others_load(seconds)
            if load <= max_load:
                break
        else:
            if not force:
                raise BusyMachineError(
                    f"Expected other processes to keep at most {max_load:g} processors busy while timing, found {load:.2f}."
                    " Wait for them or end them, allow more, or force the timing."
                )
        yield Alone(load, load > max_load, waited)
    finally:
        lock.release()


def others_load(seconds: float) -> float:
    """How many processors other processes keep busy on average, measured from now on for so long."""
    before, own, started = psutil.cpu_times(), time.process_time(), time.perf_counter()
    time.sleep(seconds)
    after, own_seconds, elapsed = psutil.cpu_times(), time.process_time() - own, time.perf_counter() - started
    busy = sum(getattr(after, kind, 0.0) - getattr(before, kind, 0.0) for kind in _BUSY)
    return max(0.0, (busy - own_seconds) / elapsed)


def _shared_folder(around: Path) -> Path:
    folder = around / _FOLDER
    try:
        folder.mkdir()
        folder.chmod(0o777)  # whatever the umask is
    except FileExistsError:
        pass
    return folder


def _this_process() -> str:
    me = psutil.Process()
    return f"process {me.pid} of {me.username()}: {shlex.join(me.cmdline())}"


def _holder(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip() or "another process"
    except OSError:  # given free meanwhile, or not for us to read
        return "another process"
