"""What a job says while it runs, and who hears it."""

from collections.abc import Callable
from typing import Any, Protocol

# An event: its kind, one of begun, trained, pruning, building, verifying, timing, waiting, ended, and what belongs to it, as
# plain JSON.
Event = dict[str, Any]
Hear = Callable[[Event], None]


class Tell(Protocol):
    """Tells of an event of the job that is running."""

    def __call__(self, kind: str, **values: Any) -> None: ...


def silent(kind: str, **values: Any) -> None:
    """For jobs that no one listens to."""
