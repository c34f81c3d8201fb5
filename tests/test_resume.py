"""Runs that end before their time, and those that go on from there."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import time

import pytest

from jobs.job import Request, run_job, source
from jobs.store import finished, job_key, training_folder
from reports.record import FILE, Record
from tests.benchmarks.kill_sweep import kill_sweep
from tests.conftest import HARNESS, run_harness

TINY = ["task=boolean", "method.widths=[16,8,4,2]", "train.max_steps=20", "timing=none", "backend.names=[numba]"]


def records(runs):
    return {path.parent.name: Record.read(path) for path in runs.glob(f"*/{FILE}")}


def written(runs):
    return {path.parent.name: path.stat().st_mtime_ns for path in runs.glob(f"*/{FILE}")}


def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path):
    kill_sweep(tmp_path, n_jobs=2, n_kills=1, longest=6.0, rng=random.Random(1))


def test_a_finished_job_is_shown_and_not_run_again_and_a_longer_sweep_runs_what_is_new(tmp_path):
    assert run_harness(*TINY, "seed=0", "runs_dir=r", cwd=tmp_path).returncode == 0
    before = written(tmp_path / "r")
    again = run_harness(*TINY, "seed=0", "runs_dir=r", cwd=tmp_path)
    assert again.returncode == 0
    assert "from before" in again.stdout
    swept = run_harness("-m", *TINY, "seed=0,1", "runs_dir=r", cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    assert "1 of 2 jobs are there from before." in swept.stdout
    assert "2 ok" in swept.stdout
    after = written(tmp_path / "r")
    assert len(after) == 2
    assert before.items() <= after.items()


def test_force_does_a_stage_and_those_after_it_again(tmp_path):
    arguments = [*TINY, "runs_dir=r"]
    run_harness(*arguments, cwd=tmp_path)
    (trained,) = (tmp_path / "r" / "trainings").glob("*/training.json")
    (rows,) = (tmp_path / "r").glob("*/rows.json")
    stamps = []
    for force in ("time", "compile", "train"):
        before = [path.stat().st_mtime_ns for path in (trained, rows)]
        assert run_harness(*arguments, f"force={force}", cwd=tmp_path).returncode == 0
        stamps.append([path.stat().st_mtime_ns > old for path, old in zip((trained, rows), before, strict=True)])
    assert stamps == [[False, False], [False, True], [True, True]]


def test_jobs_that_differ_in_what_they_compile_share_a_training(tmp_path):
    for names in ("numba", "c"):
        run_harness(*TINY[:-1], f"backend.names=[{names}]", "runs_dir=r", cwd=tmp_path)
    one, other = records(tmp_path / "r").values()
    assert one.key != other.key
    assert one.trained_in == other.trained_in
    assert one.training == other.training


def test_what_a_sweep_does_is_decided_when_it_begins(tmp_path):
    """Editing conf/ while it runs changes none of its jobs: they are in its folder as they were resolved."""
    run_harness("-m", *TINY, "seed=0,1", "runs_dir=r", cwd=tmp_path)
    (listed,) = (tmp_path / "r" / "sweeps").glob("*/jobs.json")
    kept = {request["key"]: request["config"] for request in json.loads(listed.read_text())}
    assert {key: record.config | {"threads": None} for key, record in records(tmp_path / "r").items()} == kept


def test_a_job_of_other_sources_than_it_was_asked_of_is_not_run(tmp_path):
    run_harness(*TINY, "runs_dir=r", cwd=tmp_path)
    (record,) = records(tmp_path / "r").values()
    stale = Request({**record.config, "runs_dir": str(tmp_path / "s")}, record.key, "", {}, "another digest")
    ended = run_job(stale)
    assert ended.status == "failed"
    assert "edited after this was started" in ended.reason


def test_two_sweeps_at_once_run_each_job_once(tmp_path):
    command = [*HARNESS, "-m", *TINY, "seed=0,1,2", "runs_dir=r"]
    sweeps = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [sweep.communicate(timeout=300)[0] for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], said
    found = records(tmp_path / "r")
    assert sorted(record.seed for record in found.values()) == [0, 1, 2]
    for name in found:
        log = (tmp_path / "r" / name / "log.txt").read_text()
        assert log.count("status ok") == 1


def test_a_record_of_a_newer_release_is_named_and_its_job_runs_again(tmp_path):
    run_harness(*TINY, "runs_dir=r", cwd=tmp_path)
    (path,) = (tmp_path / "r").glob(f"*/{FILE}")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    listed = run_harness(*TINY, "runs_dir=r", "action=list", cwd=tmp_path)
    assert "be shown as it is" not in listed.stdout
    assert run_harness(*TINY, "runs_dir=r", cwd=tmp_path).returncode == 0
    assert Record.read(path).status == "ok"


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_a_full_disk_is_said_and_loses_nothing_that_was_there(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        assert run_harness(*TINY, f"runs_dir={small}/r", cwd=tmp_path).returncode == 0
        before = written(small / "r")
        with contextlib.suppress(OSError), (small / "rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(bytes(4096))
        filled = run_harness(*TINY, "seed=1", f"runs_dir={small}/r", "method.widths=[512,256,128,64,8,4,2]", cwd=tmp_path)
        assert filled.returncode != 0
        assert "No space left on device" in filled.stdout + filled.stderr
        assert "Traceback" not in filled.stderr
        assert written(small / "r") == before
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_clock_that_is_set_back_changes_no_duration(tmp_path, monkeypatch):
    run_harness(*TINY, "runs_dir=r", cwd=tmp_path)
    (record,) = records(tmp_path / "r").values()
    moments = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr(time, "time", lambda: next(moments))
    config = {**record.config, "runs_dir": str(tmp_path / "s")}
    again = run_job(Request(config, job_key(config), "", {}, source()))
    assert again.status == "ok"
    assert again.training.seconds >= 0
    assert finished(config, again.key) is not None
    assert training_folder(config).path.exists()
