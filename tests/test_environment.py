"""The record of where a number was measured: plain values, quickly, and a name for the kind of machine that stays."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from codegen import toolchain
from reports import environment as module
from reports.environment import environment, machine_id
from reports.publish import PUBLISHED
from reports.record import read_all

ROOT = Path(__file__).resolve().parent.parent
LISTED = {"lscpu": [{"field": "Vendor ID:", "data": "x"}, {"field": "Hypervisor vendor:", "data": "KVM"}]}
NESTED = {"lscpu": [{"field": "Virtualization features:", "data": None, "children": LISTED["lscpu"]}]}
BARE = {"lscpu": [{"field": "Vendor ID:", "data": "x"}]}


@pytest.fixture(scope="module")
def facts():
    return environment()


def test_facts_are_plain_json(facts):
    assert json.loads(json.dumps(facts)) == facts


def test_facts_are_of_this_machine(facts):
    assert facts["cores"] == os.cpu_count()
    assert facts["physical_cores"] is None or 1 <= facts["physical_cores"] <= facts["cores"]
    assert facts["memory_bytes"] > 1 << 27
    assert facts["caches"] is None or all(size > 0 for size in facts["caches"].values())
    assert facts["packages"]["numpy"] == sys.modules["numpy"].__version__
    compiler = toolchain.find_compiler()
    assert (facts["compiler"]["version"], facts["compiler"]["native"]) == (compiler.version, list(compiler.native))
    assert facts["system"]["python_compiler"] == platform.python_compiler()
    assert any(pool["user_api"] == "blas" for pool in facts["pools"])


def test_facts_name_no_folder_or_host(facts, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/home/me/cache")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = environment()
    assert found["threads"]["OMP_NUM_THREADS"] == "3"
    assert "NUMBA_CACHE_DIR" not in found["threads"]
    text = json.dumps(found)
    for private in (str(Path.home()), sys.prefix, sys.executable, platform.node()):
        assert len(private) < 3 or private not in text


def test_frameworks_are_not_loaded_for_it():
    code = "import sys; from reports.environment import environment; environment(); print(*{'torch', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_takes_long_is_asked_once_in_a_process(monkeypatch, facts):
    run, programs = subprocess.run, []
    monkeypatch.setattr(
        subprocess, "run", lambda command, *args, **kwargs: programs.append(command[0]) or run(command, *args, **kwargs)
    )
    assert environment()["compiler"] == facts["compiler"]
    assert not {"lscpu", *toolchain.find_compiler().command} & set(programs)


def test_there_may_be_no_compiler(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert environment()["compiler"] is None


@pytest.mark.parametrize(("told", "vendor"), [(LISTED, "KVM"), (NESTED, "KVM"), (BARE, None), (None, None)])
def test_the_hypervisor_is_told_by_all_versions_of_lscpu(monkeypatch, told, vendor):
    monkeypatch.setattr(module, "_lscpu", lambda *arguments: told)
    assert module._hypervisor() == vendor


@pytest.mark.parametrize("program", [None, "exit 1"])
def test_lscpu_may_be_missing_or_too_old(monkeypatch, tmp_path, program):
    if program:
        (tmp_path / "lscpu").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "lscpu").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    module._lscpu.cache_clear()
    try:
        assert (module._caches(), module._hypervisor()) == (None, None)
    finally:
        module._lscpu.cache_clear()


def test_the_name_of_a_machine_is_of_what_decides_its_speed():
    kind = {"cpu": "Some CPU", "cpu_flags": "a b", "cores": 2, "memory_bytes": (8 << 30) - 5}
    name = machine_id(kind)
    assert name == f"{platform.machine()}-2c-abf65d"
    assert machine_id({**kind, "memory_bytes": (8 << 30) - 99_999, "load_average": 3.0, "os": "other", "caches": {}}) == name
    for change in ({"cpu": "Other CPU"}, {"cpu_flags": "a b c"}, {"cores": 4}, {"memory_bytes": 4 << 30}):
        assert machine_id({**kind, **change}) != name


def test_published_records_keep_the_names_of_their_machines():
    records = read_all(PUBLISHED)
    assert records
    for record in records:
        assert machine_id(record.environment).split("-", 1)[1] == record.machine.split("-", 1)[1]
