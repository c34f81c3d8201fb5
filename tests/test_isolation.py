"""What jobs do to themselves: one sweep of methods that end their process in every way, under every launcher there is."""

import itertools
from collections import Counter
from importlib.util import find_spec

import pytest

from reports.record import Record
from tests.conftest import run_copy

BAD = '''"""Networks that end their process while they are built."""

import ctypes
import os
import sys
import time
from dataclasses import dataclass

from methods.base import Method
from methods.gates import GatesConfig, build_gates


@dataclass(frozen=True)
class BadConfig(GatesConfig):
    """conf/method/bad_*.yaml. how: it ends."""

    how: str


def build_bad(config, inputs, problem, rng):
    print(f"about to {config.how}")
    match config.how:
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            time.sleep(1000)
        case "exit":
            os._exit(3)
        case "leave":
            sys.exit(4)
        case "allocate":
            kept = []
            while True:
                kept.append(bytearray(1 << 26))
    return build_gates(config, inputs, problem, rng)


METHOD = Method(BadConfig, build_bad)
'''
# How each method ends: status, what its reason says, and the end of its log.
ENDS = {
    "segfault": ("crashed", "was ended by SIGSEGV", "string_at"),
    "hang": ("timeout", "Took longer than 3 s. Allow it more with limits.seconds=N.", None),  # it may say nothing before
    "exit": ("failed", "ended by itself, with exit code 3", "about to exit"),
    "leave": ("failed", "SystemExit: 4", "SystemExit"),
    "allocate": ("failed", "MemoryError", "MemoryError"),
}
LIMITS = {"hang": "{seconds: 3}", "allocate": "{memory_gib: 3}"}
# Nothing that needs numba's compiler, which would compile all anew for other source files than it has in its cache.
TINY = ["task=boolean", "task.inputs=3", "train.max_steps=3", "train.kernels=false", "timing=none", "backend.names=[numpy]"]
# What each runs. submitit starts everything anew for each job, which costs seconds.
LAUNCHERS = {
    "basic": (list(ENDS), [0]),
    "joblib": (list(ENDS), [0, 1]),
    "submitit_local": (["segfault", "exit"], [0]),
    "ray": (list(ENDS), [0]),
}


@pytest.fixture(scope="module")
def sources(copied_sources):
    """A copy of the sources to which a user has added a method: a module, and its YAML files."""
    (copied_sources / "methods/bad.py").write_text(BAD)
    for how in ENDS:
        (copied_sources / f"conf/method/{how}.yaml").write_text(f"defaults: [dlgn]\nname: bad\nhow: {how}\n")
    for how, limits in LIMITS.items():
        (copied_sources / f"conf/pair/{how}_boolean.yaml").write_text(f"# @package _global_\nlimits: {limits}\n")
    return copied_sources


def run(sources, *arguments, cwd):
    return run_copy(sources, *TINY, *arguments, cwd=cwd)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_survives_all_that_its_jobs_do_to_themselves(launcher, sources, tmp_path):
    package = f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher"
    if launcher != "basic" and (find_spec("hydra_plugins") is None or find_spec(package) is None):
        pytest.skip(f'pip install "gatebench[{launcher.removesuffix("_local")}]"')
    bad, seeds = LAUNCHERS[launcher]
    swept = [f"method={','.join([*bad, 'dlgn'])}", f"seed={','.join(map(str, seeds))}"]
    done = run(sources, "-m", *swept, f"hydra/launcher={launcher}", "runs_dir=r", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    records = {(one.choices["method"], one.seed): one for one in map(Record.read, tmp_path.glob("r/*/record.json"))}
    assert set(records) == set(itertools.product([*bad, "dlgn"], seeds))
    lines = {words[2]: words[1] for words in map(str.split, done.stdout.splitlines()) if len(words) > 2 and "/" in words[0]}
    for (method, _), record in records.items():
        status, reason, said = ENDS.get(method, ("ok", None, None))
        assert (record.status, lines[record.key]) == (status, status)
        assert reason is None or reason in record.reason
        assert said is None or said in record.log
    assert records["dlgn", 0].rows[0].compiled_accuracy == records["dlgn", 0].training.hard_accuracy
    counts = Counter(record.status for record in records.values())
    assert all(f"{n} {status}" in done.stdout for status, n in counts.items())
