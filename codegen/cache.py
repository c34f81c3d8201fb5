"""Where compiled things are kept between runs: outside the source tree, safe to delete at any time."""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

import numba
import platformdirs


@cache
def cache_dir() -> Path:
    """The cache folder: $GATEBENCH_CACHE, else the user's cache folder, else a temporary one if neither can be written."""
    wanted = os.environ.get("GATEBENCH_CACHE")
    folder = Path(wanted).expanduser() if wanted else platformdirs.user_cache_path("gatebench")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.absolute()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="gatebench-cache-"))


def _numba_sources() -> str:
    """A digest of all our modules that numba compiles.

    numba's own cache looks at the file of a function alone, and would keep using code that inlined what another module was.
    """
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted(path for package in ("codegen", "methods") for path in (root / package).rglob("*.py")):
        source = path.read_bytes()
        if b"numba" in source:
            digest.update(path.name.encode() + b"\0" + source)
    return digest.hexdigest()[:16]


# numba reads this when a function is decorated with cache=True, so it is set before any module of ours is.
if not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(cache_dir() / "numba" / _numba_sources())  # type: ignore[attr-defined]
