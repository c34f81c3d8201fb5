"""The command line as a user runs it, and one finished job that many tests look at."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import harness
from jobs.fit import check_fit
from tasks import images

ROOT = Path(__file__).resolve().parent.parent
HARNESS = [sys.executable, str(ROOT / "harness.py")]
# A network that learns the rule in seconds, a small board, few samples.
QUICK = ["timing=quick", "task.height=40", "task.width=100"]


def run_harness_process(*arguments, cwd, env=None, timeout=300):
    """python harness.py in a folder of the user's; returns the finished process with its text."""
    return subprocess.run([*HARNESS, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def run_harness(*arguments, cwd):
    """The same in this process, without the seconds that starting one takes; jobs have their own processes all the same."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["harness.py", *map(str, arguments)]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            harness.main()
    except SystemExit as ended:
        return SimpleNamespace(returncode=ended.code, stdout=out.getvalue(), stderr=err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("harness.main returned")


def check_line(arguments):
    """All that is checked of a command line before any work. Raises UsageError."""
    asked = harness.parse(arguments)
    check_fit([job.config for job in harness.jobs_of(asked)], asked.multirun)


def run_reports(*arguments, cwd, timeout=120):
    command = [sys.executable, "-m", "reports", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def finished_job(tmp_path_factory):
    """(process, runs folder) of `harness.py method=dlgn task=life` with every back end, run from another folder."""
    folder = tmp_path_factory.mktemp("user")
    done = run_harness_process("method=dlgn", "task=life", "seed=0", "runs_dir=my runs", *QUICK, cwd=folder)
    return done, folder / "my runs"


@pytest.fixture
def blank_images(monkeypatch):
    """Tasks of images that are fetched have blank ones: enough to check settings."""
    blank = np.zeros((6000, 28, 28), dtype=np.uint8), np.zeros(6000, dtype=np.uint8)
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setitem(images.SOURCES, name, lambda _: images.Images(blank, blank, 255))


@pytest.fixture
def quick_xla():
    """jax compiles with few of XLA's optimisations: half the time of a test that trains a network only just big enough."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def in_chunks(monkeypatch):
    """Small circuits are cut into functions as large ones are."""
    monkeypatch.setattr("codegen.emit_c.WHOLE", 20)
    monkeypatch.setattr("codegen.emit_c.CHUNK", 7)
