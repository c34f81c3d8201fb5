"""One timing at a time on a machine: processes wait for each other, are told for whom, and are refused beside other work."""

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from codegen import timing_lock
from codegen.timing_lock import Alone, BusyMachineError, alone, others_load

ROOT = Path(__file__).resolve().parent.parent
ANY_LOAD = 1e9
HOLD = """
import sys
from pathlib import Path
from codegen.timing_lock import alone
with alone(1e9, folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
SPIN = "while True: pass"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing_lock, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(timing_lock, "_WINDOWS_SECONDS", (0.05, 0.1))


@contextmanager
def running(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def holder(folder, **options):
    """A process that holds the lock until it reads a line or ends."""
    with running(HOLD, folder, **options) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_second_waits_for_the_first_and_is_told_who_it_is(tmp_path):
    told = []
    with holder(tmp_path) as other:

        def waiting(whom):
            told.append(whom)
            other.stdin.write("done\n")
            other.stdin.flush()

        with alone(ANY_LOAD, waiting=waiting, folder=tmp_path) as found:
            assert found.waited_seconds > 0
        assert len(told) == 1
        assert told[0].startswith(f"process {other.pid} of ")
        assert "alone(1e9" in told[0]


def test_a_timing_may_have_a_name(tmp_path):
    with alone(ANY_LOAD, folder=tmp_path, name="dlgn-life-s0"):
        text = (tmp_path / "gatebench-timing" / "lock").read_text()
    assert text.startswith(f"process {os.getpid()} of ")
    assert text.endswith(": dlgn-life-s0")


def test_a_process_that_is_killed_gives_the_lock_free(tmp_path):
    with holder(tmp_path) as other, alone(ANY_LOAD, waiting=lambda _: other.send_signal(signal.SIGKILL), folder=tmp_path):
        assert other.wait(10) == -signal.SIGKILL


def test_nobody_is_told_where_nobody_waits(tmp_path):
    for _ in range(2):
        with alone(ANY_LOAD, waiting=pytest.fail, folder=tmp_path) as found:
            assert (found.forced, found.waited_seconds < 60) == (False, True)


def test_an_error_gives_the_lock_free(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), alone(ANY_LOAD, folder=tmp_path):
        raise RuntimeError("inside")
    with alone(ANY_LOAD, waiting=pytest.fail, folder=tmp_path):
        pass


def test_a_busy_machine_is_refused_and_leaves_the_lock_free(tmp_path):
    with running(SPIN):
        with pytest.raises(BusyMachineError, match="at most 0 processors busy while timing, found "), alone(0, folder=tmp_path):
            pytest.fail("timed")
        with alone(ANY_LOAD, waiting=pytest.fail, folder=tmp_path) as found:
            assert (found.load > 0, found.forced) == (True, False)


def test_a_forced_timing_says_so(tmp_path):
    with running(SPIN), alone(0, force=True, folder=tmp_path) as found:
        assert found.forced
        assert found.load > 0


def loads(monkeypatch, *values):
    values = iter(values)
    monkeypatch.setattr(timing_lock, "others_load", lambda seconds: next(values))


def test_a_burst_is_looked_at_again(tmp_path, monkeypatch):
    loads(monkeypatch, 0.9, 0.5)
    with alone(0.5, folder=tmp_path) as found:
        assert (found.load, found.forced) == (0.5, False)


def test_force_is_not_said_where_it_was_not_needed(tmp_path, monkeypatch):
    loads(monkeypatch, 0.5)
    with alone(0.5, force=True, folder=tmp_path) as found:
        assert found == Alone(0.5, False, found.waited_seconds)


def test_load_is_of_other_processes_now(monkeypatch):
    """Of 4 seconds, others had 3 and this process 1.5; what was idle, stolen or before does not count."""
    idle = {"idle": 100.0, "iowait": 5.0, "steal": 7.0}
    readings = iter(
        [
            SimpleNamespace(user=50.0, nice=1.0, system=10.0, irq=0.0, softirq=0.5, **idle),
            SimpleNamespace(user=53.0, nice=1.5, system=10.5, irq=0.25, softirq=0.75, **dict.fromkeys(idle, 200.0)),
        ]
    )
    monkeypatch.setattr(timing_lock, "psutil", SimpleNamespace(cpu_times=lambda: next(readings)))
    own, now = iter([70.0, 71.5]), iter([1000.0, 1004.0])
    fake = SimpleNamespace(process_time=lambda: next(own), perf_counter=lambda: next(now), sleep=lambda seconds: None)
    monkeypatch.setattr(timing_lock, "time", fake)
    assert others_load(4) == 3 / 4


def test_load_is_never_negative(monkeypatch):
    monkeypatch.setattr(timing_lock, "psutil", SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=5.0, system=1.0)))
    own, now = iter([0.0, 0.5]), iter([0.0, 1.0])
    fake = SimpleNamespace(process_time=lambda: next(own), perf_counter=lambda: next(now), sleep=lambda seconds: None)
    monkeypatch.setattr(timing_lock, "time", fake)
    assert others_load(1) == 0


def test_what_is_shared_is_open_to_all_users_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with alone(ANY_LOAD, folder=tmp_path):
            folder = tmp_path / "gatebench-timing"
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "lock")]
    finally:
        os.umask(before)
    assert modes == [0o777, 0o666]


def hold_as(user, folder, pipe):
    os.setuid(user)
    with alone(ANY_LOAD, folder=folder):
        pipe.send("held")
        pipe.recv()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become other users")
def test_users_share_the_lock():
    """From a server that forks, because another user need not be able to start this Python."""
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)  # as that of temporary files
        for user in (65534, 65533):
            ours, theirs = context.Pipe()
            other = context.Process(target=hold_as, args=(user, folder, theirs))
            other.start()
            assert ours.poll(30)
            told = []

            def waiting(whom, told=told, pipe=ours):
                told.append(whom)
                pipe.send("done")

            with alone(ANY_LOAD, waiting=waiting, folder=folder):
                other.join(30)
            assert told[0].startswith(f"process {other.pid} of ")
            assert other.exitcode == 0
