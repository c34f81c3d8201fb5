"""One timing at a time on a machine, and none while other work runs: their times would be of each other."""

import itertools
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


def stand_aside(folder: Path | None = None) -> None:
    """Wait while another process times. Work that takes long calls it now and then, so that nobody's times are beside it."""
    with filelock.FileLock(_lock_path(folder), mode=0o666).acquire(poll_interval=_POLL_SECONDS):
        pass


@contextmanager
def alone(
    max_load: float,
    patience_seconds: float = 0.0,
    force: bool = False,
    waiting: Callable[[str], None] | None = None,
    folder: Path | None = None,
    name: str | None = None,
) -> Iterator[Alone]:
    """Be the only one that times on this machine, whoever the others are.

    max_load: how many processors other processes may keep busy, measured now: what this process has computed before does not
    count, as it does in a load average. patience_seconds: how long to wait until they are few enough, for work that stands aside.
    force: time all the same, and say so. waiting: told once which process times already, if
    one does. folder: one that all users of the machine share; by default that of temporary files. name: what those who wait are
    told of this timing, by default the command of the process. Raises BusyMachineError. A process that ends in any way gives the
    lock free.
    """
    lock = filelock.FileLock(_lock_path(folder), mode=0o666)
    started = time.perf_counter()
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if waiting is not None:
            waiting(_holder(Path(lock.lock_file)))
        lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        waited = time.perf_counter() - started
        Path(lock.lock_file).write_text(_this_process(name))
        begun = time.perf_counter()
        for seconds in itertools.chain(_WINDOWS_SECONDS, itertools.repeat(_WINDOWS_SECONDS[-1])):
            load = others_load(seconds)
            if load <= max_load:
                break
            if seconds < _WINDOWS_SECONDS[-1]:
                continue  # a burst, perhaps
            if force:
                break
            if time.perf_counter() - begun > patience_seconds:
                raise BusyMachineError(
                    f"Expected other processes to keep at most {max_load:g} processors busy while timing, found {load:.2f}."
                    " Wait for them or end them, allow more (timing.max_load), or time all the same (timing.force=true)."
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


def _lock_path(around: Path | None) -> Path:
    folder = (around or Path(tempfile.gettempdir())) / _FOLDER
    try:
        folder.mkdir()
        folder.chmod(0o777)  # whatever the umask is
    except FileExistsError:
        pass
    return folder / _LOCK


def _this_process(name: str | None) -> str:
    me = psutil.Process()
    return f"process {me.pid} of {me.username()}: {shlex.join(me.cmdline()) if name is None else name}"


def _holder(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip() or "another process"
    except OSError:  # given free meanwhile, or not for us to read
        return "another process"
