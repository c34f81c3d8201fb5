"""What papers report: numbers to stand beside what was obtained here."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from reports.configuration import PRUNE, Settings
from reports.standings import Standing

_FILE = Path(__file__).resolve().parent / "papers.yaml"


@dataclass(frozen=True)
class Published:
    """An entry of papers.yaml, which says what its fields are."""

    task: str
    method: str
    what: str
    of: Settings
    gates: int
    accuracy: float
    source: str
    spread: float | None = None
    best: float | None = None

    def is_of(self, task: str, standing: Standing) -> bool:
        """Whether a line is of the same network, trained and not pruned: papers' circuits are as learned."""
        expected = {PRUNE: None, **self.of}
        same = all(standing.settings.get(name) == value for name, value in expected.items())
        return same and (task, standing.method) == (self.task, self.method) and standing.accuracy is not None


@cache
def published() -> tuple[Published, ...]:
    """In the order of papers.yaml."""
    return tuple(Published(**entry) for entry in yaml.safe_load(_FILE.read_text()))
