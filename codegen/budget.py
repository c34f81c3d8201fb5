"""What pruning is asked for. Apart from codegen.prune, whose passes settings have no need of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a pruning may cost, or what it is to come to: one of the two.

    points: percentage points of the validation items' accuracy that it may lose. With none, only what makes no difference to any
    training item is replaced. gates: to come down to, as gate_count, for as little accuracy as is found. Raises ValueError.
    """

    points: float | None = None
    gates: int | None = None

    def __post_init__(self) -> None:
        if (self.points is None) == (self.gates is None):
            given = "neither points nor gates" if self.points is None else f"points={self.points:g} and gates={self.gates}"
            raise ValueError(f"Expected one budget, such as prune={{points: 0.1}} or prune={{gates: 5000}}; got {given}.")
        if self.points is not None and not 0 <= self.points <= 100:
            raise ValueError(f"Expected a budget of 0 to 100 percentage points, got {self.points}.")
        if self.gates is not None and self.gates < 1:
            raise ValueError(f"Expected a budget of at least one gate, got {self.gates}.")

    def __str__(self) -> str:
        if self.gates is not None:
            return f"{self.gates} gates"
        return f"{self.points:g} point{'' if self.points == 1 else 's'}"
