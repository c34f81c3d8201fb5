"""Back ends as parameters of tests. One that cannot be built here is skipped, and the reason says what it lacks."""

from collections.abc import Iterable
from typing import Any

import pytest

from codegen.backends import BACKENDS, missing


def parameters(names: Iterable[str]) -> list[Any]:
    found = []
    for name in names:
        reason = missing(name)
        found.append(pytest.param(name, marks=() if reason is None else pytest.mark.skip(reason)))
    return found


ALL = parameters(BACKENDS)
IN_C = parameters(name for name in BACKENDS if name.startswith("c"))
NOT_IN_C = parameters(name for name in BACKENDS if not name.startswith("c"))
LACKING = {name for name in BACKENDS if missing(name) is not None}
