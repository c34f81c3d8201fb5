"""Files that are there whole or not at all, whoever reads or writes them meanwhile."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, contents: bytes) -> None:
    """Write a file, or put another in its place, such that any reader sees all of it or none. Raises OSError, of one name."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        aside.write_bytes(contents)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
