"""Do two forms of a circuit compute the same outputs? Exhaustively where that is possible, else on drawn items."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Up to this many inputs every input row is tried: 2**20 rows.
EXHAUSTIVE_INPUTS = 20
_RANDOM_ITEMS = 1 << 14
_CHUNK = 1 << 16

Evaluate = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Agreement:
    """What a comparison found. `counterexample` is the first item, bool (input,), on which the two differ."""

    items_checked: int
    items_equal: int
    exhaustive: bool
    counterexample: NDArray[np.bool_] | None

    @property
    def equal(self) -> bool:
        return self.items_equal == self.items_checked


def all_rows(n_inputs: int, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
    """Input rows start .. stop - 1 (all by default) as bool (row, input); input 0 is the low bit of the row number."""
    rows = np.arange(start, 1 << n_inputs if stop is None else stop)
    return ((rows[:, None] >> np.arange(n_inputs)) & 1).astype(bool)


def compare(first: Evaluate, second: Evaluate, n_inputs: int, items: NDArray[np.bool_] | None = None, seed: int = 0) -> Agreement:
    """Compare two evaluators, bool (item, input) -> bool (item, output), on the same items.

    Up to EXHAUSTIVE_INPUTS inputs: on every input row. Beyond: on 16,384 random items and on `items` (a task's own).
    """
    exhaustive = n_inputs <= EXHAUSTIVE_INPUTS
    if exhaustive:
        total = 1 << n_inputs
        chunks: Iterable[NDArray[np.bool_]] = (
            all_rows(n_inputs, start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)
        )
    else:
        drawn = np.random.default_rng(seed).random((_RANDOM_ITEMS, n_inputs)) < 0.5
        chunks = [drawn] if items is None else [drawn, items]
    n_checked = n_equal = 0
    counterexample = None
    for chunk in chunks:
        same = np.all(first(chunk) == second(chunk), axis=1)
        n_checked += len(same)
        n_equal += int(same.sum())
        if counterexample is None and not same.all():
            counterexample = chunk[np.argmin(same)]
    return Agreement(n_checked, n_equal, exhaustive, counterexample)
