"""The work of tasks whose items do not depend on each other: rows of inputs, evaluated in bulk."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.base import Bits, Split, Verification

LEAST_ROWS = 1 << 16
_NAMED_BY_BITS = 32  # up to this many inputs a row is named by its bits


@dataclass(frozen=True, eq=False)
class RowsWorkload:
    """Evaluations of all rows at once: bits bool (row, input), and target bool (row, output) that the task wants of them."""

    bits: Bits
    target: Bits

    item = "row"
    # Besides the timed rows, the first few of them, around the corners of a packed layout: partial words and blocks.
    SMALL_COUNTS = (1, 63, 64, 65, 511, 512, 513, 4095, 4097)

    @classmethod
    def of(cls, split: Split, least: int = LEAST_ROWS, seed: int = 0) -> "RowsWorkload":
        """The split's rows, each equally often, until they are at least `least`; the seed decides their order.

        Every repetition of the split is a permutation of it.
        """
        rng = np.random.default_rng(seed)
        n_rows = len(split.bits)
        order = np.concatenate([rng.permutation(n_rows) for _ in range(-(-max(least, n_rows) // n_rows))])
        return cls(split.bits[order], split.target[order])

    @property
    def n_items(self) -> int:
        return len(self.bits)

    def start(self, executable: Any) -> Callable[[int], None]:
        run_times: Callable[[int], None] = executable.batch(self.bits).run
        return run_times

    def verify(self, executable: Any, quick: bool) -> Verification:
        """Compare all timed rows with the target after one run; and, unless quick, after two, and small numbers of rows."""
        counts = (self.n_items,) if quick else (self.n_items, *(count for count in self.SMALL_COUNTS if count < self.n_items))
        n_equal = 0
        where = None
        for count in counts:
            batch = executable.batch(self.bits[:count])
            batch.run(1 if quick else 2)
            same = batch.outputs() == self.target[:count]
            right = same.all(axis=1)
            n_equal += int(right.sum())
            if where is None and not right.all():
                row = int(np.argmin(right))
                where = f"{self._name(row)}, output {np.argmin(same[row])}"
        return Verification(sum(counts), n_equal, where)

    def _name(self, row: int) -> str:
        """The row's bits as a number, input 0 the last digit, or its place where that would be too long to read."""
        bits = self.bits[row]
        return f"row 0b{''.join(str(int(bit)) for bit in bits[::-1])}" if len(bits) <= _NAMED_BY_BITS else f"row {row}"
