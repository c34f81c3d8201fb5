"""Where compiled things are kept between runs: outside the source tree, safe to delete at any time."""

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


# numba reads this when a function is decorated with cache=True, so it is set before any module of ours is.
if not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(cache_dir() / "numba")  # type: ignore[attr-defined]
