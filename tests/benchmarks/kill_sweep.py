"""kill -9 of a sweep at random moments, until it is done: what is finished stays finished, and nothing is damaged.

Run it with `python -m tests.benchmarks.kill_sweep [--kills 20] [--jobs 12]`.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from reports.record import FILE, Record
from tests.conftest import HARNESS

# Each takes a second or two: a training with checkpoints, and two forms that are verified.
_JOB = [
    "method=dlgn", "task=boolean", "method.widths=[64,32,16,8,4,2]", "train.max_steps=300", "train.confirm=0",
    "train.checkpoint_seconds=0.1", "timing=none", "backend.names=[numba,c]", "threads=1",
]  # fmt: skip


def finished(runs: Path) -> dict[str, int]:
    """The time at which each finished job's record was written, in nanoseconds, by its key. Raises on a damaged record."""
    paths = {path.parent.name: path for path in runs.glob(f"*/{FILE}")}
    return {key: path.stat().st_mtime_ns for key, path in paths.items() if Record.read(path).status == "ok"}


def kill_sweep(folder: Path, n_jobs: int, n_kills: int, longest: float, rng: random.Random) -> None:
    """Start the sweep, kill it at a random moment, n_kills times; then let it end. Raises AssertionError."""
    runs = folder / "runs"
    command = [*HARNESS, "-m", f"seed=range(0,{n_jobs})", f"runs_dir={runs}", *_JOB]
    seen: dict[str, int] = {}
    for kill in range(n_kills):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
            try:
                sweep.wait(rng.uniform(0.5, longest))
            except subprocess.TimeoutExpired:
                sweep.send_signal(signal.SIGKILL)
        time.sleep(0.5)  # what the killed sweep had running may still end what it does
        now = finished(runs) if runs.exists() else {}
        assert seen.items() <= now.items(), "a finished job was run again, or is gone"
        seen = now
        Console().print(f"kill {kill + 1}: {len(seen)} of {n_jobs} jobs finished")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    now = finished(runs)
    assert seen.items() <= now.items(), "a finished job was run again, or is gone"
    assert len(now) == n_jobs, f"{len(now)} of {n_jobs} records"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds until a kill, at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kill_sweep(Path(folder), options.jobs, options.kills, options.longest, random.Random(options.seed))
    Console().print(f"all {options.jobs} records are whole, and no finished job was run twice")


if __name__ == "__main__":
    sys.exit(main())
