"""Where a number was measured: machine, compiler, versions and commit."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np  # noqa: F401, so that its BLAS is among the pools of threads
import psutil
import pyperf
from threadpoolctl import threadpool_info

from codegen.toolchain import ToolchainError, find_compiler, native_processor

_PACKAGES = ("torch", "jax", "jaxlib", "optax", "numba", "llvmlite", "numpy", "scipy", "scikit-learn", "hydra-core")
# How many threads libraries start, and on which processors.
_THREAD_SETTINGS = ("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "NUMBA_")
# Of what pyperf collects; the rest is of one process or one folder, or is told here already.
_SYSTEM = ("aslr", "cpu_affinity", "cpu_config", "cpu_freq", "cpu_temp", "runnable_threads", "timer", "python_compiler")
_ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, Any]:
    """Facts about this machine and installation now, all plain JSON values; None for what the system does not tell.

    caches: bytes of each cache by its name. compiler: None if there is none. threads: the settings of the environment, and
    pools: the libraries with threads that are loaded. system: pyperf's, as its text or number.
    """
    cpu = _cpu()
    try:
        system = pyperf.Run([1.0]).get_metadata()  # it collects for a run; the time of this one is nobody's
    except ValueError:  # a clock that says it is before the machine was started
        system = {}
    return {
        "cpu": cpu["model"],
        "cpu_flags": cpu["flags"],
        "cores": os.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "caches": _caches(),
        "hypervisor": _hypervisor(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": os.getloadavg()[0],
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "compiler": _compiler(),
        "threads": _thread_settings(),
        "pools": [{name: value for name, value in pool.items() if name != "filepath"} for pool in threadpool_info()],
        "system": {name: system[name] for name in _SYSTEM if name in system},
    }


def machine_id(facts: dict[str, Any]) -> str:
    """A short name of the kind of machine: timings under one name may be compared, under different names never."""
    kind = f"{facts['cpu']} {facts['cpu_flags']} {facts['cores']} {facts['memory_bytes'] >> 30}"
    return f"{platform.machine()}-{facts['cores']}c-{hashlib.sha256(kind.encode()).hexdigest()[:6]}"


def commit() -> tuple[str | None, bool | None]:
    """The commit of this source tree and whether it has uncommitted changes; (None, None) outside a git checkout."""
    head = git("rev-parse", "HEAD")
    return (head, bool(git("status", "--porcelain"))) if head else (None, None)


def git(*arguments: str) -> str | None:
    """What git prints of this source tree, None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> dict[str, str]:
    """Model name and feature flags, as far as the system tells."""
    told = {"model": platform.processor() or platform.machine(), "flags": ""}
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = {"model name": "model", "flags": "flags", "Features": "flags"}
        for line in info.read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            if key.strip() in names:
                told[names[key.strip()]] = value.strip()
    return told


def _compiler() -> dict[str, Any] | None:
    """The C compiler, its flags for this machine, and the processor that it takes it for."""
    try:
        compiler = find_compiler()
    except ToolchainError:
        return None
    return {"version": compiler.version, "native": list(compiler.native), "processor": native_processor(compiler)}


def _thread_settings() -> dict[str, str]:
    """Those of the environment, without folders, which are of this machine only."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(_THREAD_SETTINGS)}
    return {name: value for name, value in sorted(settings.items()) if os.sep not in value}


def _caches() -> dict[str, int] | None:
    found = _lscpu("--caches=NAME,ONE-SIZE", "--bytes")
    return None if found is None else {one["name"]: int(one["one-size"]) for one in found["caches"]}


def _hypervisor() -> str | None:
    found = _lscpu()
    return None if found is None else dict(_fields(found["lscpu"])).get("Hypervisor vendor:")


def _fields(entries: list[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """All fields of lscpu, which some versions nest."""
    for entry in entries:
        yield entry["field"], entry.get("data")
        yield from _fields(entry.get("children", []))


@cache
def _lscpu(*arguments: str) -> dict[str, Any] | None:
    """What lscpu of util-linux tells, None where it is missing or too old."""
    environment = {**os.environ, "LC_ALL": "C"}  # it translates the names of fields
    command = ["lscpu", "--json", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return json.loads(done.stdout) if done.returncode == 0 else None
