"""Where a number was measured: machine, compiler, versions and commit."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "jax", "jaxlib", "numba", "numpy", "hydra-core", "scipy")
_ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, Any]:
    """Facts about this machine and installation, all plain JSON values."""
    cpu = _cpu()
    return {
        "cpu": cpu["model"],
        "cpu_flags": cpu["flags"],
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": os.getloadavg()[0],
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def machine_id(facts: dict[str, Any]) -> str:
    """A short name of the kind of machine: timings under one name may be compared, under different names never."""
    kind = f"{facts['cpu']} {facts['cpu_flags']} {facts['cores']} {facts['memory_bytes'] >> 30}"
    return f"{platform.machine()}-{facts['cores']}c-{hashlib.sha256(kind.encode()).hexdigest()[:6]}"


def commit() -> tuple[str | None, bool | None]:
    """The commit of this source tree and whether it has uncommitted changes; (None, None) outside a git checkout."""
    head = _git("rev-parse", "HEAD")
    return (head, bool(_git("status", "--porcelain"))) if head else (None, None)


def _git(*arguments: str) -> str | None:
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
