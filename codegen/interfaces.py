"""What back ends, and work that is timed, look like to those who use them. Loads nothing but numpy."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Run = Callable[[int], None]  # runs the work the given number of times


class Stepper(Protocol):
    """A board inside a back end: steps without conversion, so that only the steps are timed."""

    def run(self, steps: int) -> None:
        """Advance the board by `steps` generations."""

    def board(self) -> Bits:
        """The board now, bool (height, width)."""


class Batch(Protocol):
    """Items inside a back end, in its own layout: evaluated without conversion, so that only the evaluation is timed."""

    def run(self, times: int) -> None:
        """Evaluate the whole circuit on every item, `times` times over."""

    def outputs(self) -> Bits:
        """What the last run computed, bool (item, output); all false before the first."""


class CheckedRun(Protocol):
    """A Run that knows what it should have computed."""

    def __call__(self, times: int, /) -> None:
        """Run the work the given number of times."""

    def where_wrong(self) -> str | None:
        """Where what the last call computed is not what the oracle says, None if it is right throughout. Asked for once, after
        the last call."""
