"""The work of tasks whose items do not depend on each other: rows of inputs, evaluated in bulk."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.encoder import Encoder
from codegen.readout import to_binary
from tasks.base import Bits, Predictor, Verification

LEAST_ROWS = 1 << 16
_NAMED_BY_BITS = 32  # up to this many inputs a row is named by its bits


@dataclass(frozen=True, eq=False)
class RowsWorkload:
    """Evaluations of all rows at once: bits bool (row, input), and answers bool (row, answer), which are right.

    item: what a row is called. features, encoder: the numbers, (row, feature), that the bits come from, if they do.
    """

    bits: Bits
    answers: Bits
    item: str = "row"
    features: NDArray[Any] | None = None
    encoder: Encoder | None = None

    # Besides the timed rows, the first few of them, around the corners of a packed layout: partial words and blocks.
    SMALL_COUNTS = (1, 63, 64, 65, 511, 512, 513, 4095, 4097)

    @property
    def n_items(self) -> int:
        return len(self.bits)

    def part(self, n_items: int) -> "RowsWorkload":
        features = None if self.features is None else self.features[:n_items]
        return replace(self, bits=self.bits[:n_items], answers=self.answers[:n_items], features=features)

    def start(self, executable: Any) -> Callable[[int], None]:
        run_times: Callable[[int], None] = executable.batch(self.bits).run
        return run_times

    def whole(self, executable: Any) -> Callable[[int], None]:
        def run(times: int) -> None:
            for _ in range(times):
                if self.features is None or self.encoder is None:
                    executable.evaluate(self.bits)
                elif isinstance(executable, Predictor):
                    executable.predict(self.features)
                else:
                    executable.evaluate(self.encoder.encode(self.features))

        return run

    def verify(self, executable: Any, quick: bool) -> Verification:
        """Compare all timed rows with the answers after one run; and, unless quick, after two, and small numbers of rows.

        A back end that takes numbers is compared on those as well.
        """
        counts = (self.n_items,) if quick else (self.n_items, *(count for count in self.SMALL_COUNTS if count < self.n_items))
        n_equal = 0
        where = None
        for count in counts:
            batch = executable.batch(self.bits[:count])
            batch.run(1 if quick else 2)
            same = batch.outputs() == self.answers[:count]
            if self.features is not None and isinstance(executable, Predictor):
                predicted = executable.predict(self.features[:count])
                same &= to_binary(predicted, 1 << same.shape[1]) == self.answers[:count]
            right = same.all(axis=1)
            n_equal += int(right.sum())
            if where is None and not right.all():
                row = int(np.argmin(right))
                where = f"{self._name(row)}, output {np.argmin(same[row])}"
        return Verification(sum(counts), n_equal, where)

    def _name(self, row: int) -> str:
        """The row's bits as a number, input 0 the last digit, or its place where that would be too long to read."""
        bits = self.bits[row]
        if len(bits) > _NAMED_BY_BITS:
            return f"{self.item} {row}"
        return f"{self.item} 0b{''.join(str(int(bit)) for bit in bits[::-1])}"


def repeated(n_rows: int, least: int = LEAST_ROWS, seed: int = 0) -> NDArray[np.intp]:
    """An order of rows in which each comes equally often, until they are at least `least`; the seed decides it.

    Every repetition is a permutation of all rows.
    """
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(n_rows) for _ in range(-(-max(least, n_rows) // n_rows))])
