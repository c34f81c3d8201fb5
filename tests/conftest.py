"""The command line as a user runs it, and one finished job that many tests look at."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HARNESS = [sys.executable, str(ROOT / "harness.py")]
# A network that learns the rule in seconds, a small board, few samples.
QUICK = ["timing=quick", "task.height=40", "task.width=100"]


def run_harness(*arguments, cwd, env=None, timeout=300):
    """python harness.py in a folder of the user's; returns the finished process with its text."""
    return subprocess.run([*HARNESS, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def run_reports(*arguments, cwd, timeout=120):
    command = [sys.executable, "-m", "reports", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def finished_job(tmp_path_factory):
    """(process, runs folder) of `harness.py method=dlgn task=life` with every back end, run from another folder."""
    folder = tmp_path_factory.mktemp("user")
    done = run_harness("method=dlgn", "task=life", "seed=0", "runs_dir=my runs", *QUICK, cwd=folder)
    return done, folder / "my runs"


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
