"""The work of tasks whose items do not depend on each other: rows of inputs, evaluated in bulk."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.encoder import Encoder
from codegen.interfaces import Batch
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

    def start(self, executable: Any) -> "_Evaluations":
        return _Evaluations(self, executable.batch(self.bits))

    def whole(self, executable: Any) -> "_WholeEvaluations":
        return _WholeEvaluations(self, executable)

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
                same &= _same_bits(predicted, self.answers[:count])
            n_equal += int(same.all(axis=1).sum())
            where = where or self.where_not(same)
        return Verification(sum(counts), n_equal, where)

    def where_not(self, same: Bits) -> str | None:
        """The first row that has an output that is not the same, bool (row, output), and the output; None if all are."""
        right = same.all(axis=1)
        if right.all():
            return None
        row = int(np.argmin(right))
        return f"{self._name(row)}, output {np.argmin(same[row])}"

    def _name(self, row: int) -> str:
        """The row's bits as a number, input 0 the last digit, or its place where that would be too long to read."""
        bits = self.bits[row]
        if len(bits) > _NAMED_BY_BITS:
            return f"{self.item} {row}"
        return f"{self.item} 0b{''.join(str(int(bit)) for bit in bits[::-1])}"


def _same_bits(numbers: NDArray[np.int32], answers: Bits) -> Bits:
    """Which bits of numbers, (row,), are those of answers, bool (row, answer); none of a number that has others besides."""
    n_answers = answers.shape[1]
    return (to_binary(numbers, 1 << n_answers) == answers) & (numbers >> n_answers == 0)[:, None]


@dataclass
class _Evaluations:
    """The rows inside a back end, a codegen.interfaces.CheckedRun."""

    work: RowsWorkload
    batch: Batch

    def __call__(self, times: int) -> None:
        self.batch.run(times)

    def where_wrong(self) -> str | None:
        return self.work.where_not(self.batch.outputs() == self.work.answers)


@dataclass
class _WholeEvaluations:
    """The rows from the caller's arrays and back, a codegen.interfaces.CheckedRun. last: bool (row, answer), or int32 (row,) of a
    back end that gives numbers; None before the first evaluation."""

    work: RowsWorkload
    executable: Any
    last: NDArray[Any] | None = None

    def __call__(self, times: int) -> None:
        work, executable = self.work, self.executable
        for _ in range(times):
            self.last = None  # its memory serves the next, as a caller's would
            if work.features is None or work.encoder is None:
                self.last = executable.evaluate(work.bits)
            elif isinstance(executable, Predictor):
                self.last = executable.predict(work.features)
            else:
                self.last = executable.evaluate(work.encoder.encode(work.features))

    def where_wrong(self) -> str | None:
        answers = self.work.answers
        assert self.last is not None
        return self.work.where_not(self.last == answers if self.last.ndim == 2 else _same_bits(self.last, answers))


def repeated(n_rows: int, least: int = LEAST_ROWS, seed: int = 0) -> NDArray[np.intp]:
    """An order of rows in which each comes equally often, until they are at least `least`; the seed decides it.

    Every repetition is a permutation of all rows.
    """
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(n_rows) for _ in range(-(-max(least, n_rows) // n_rows))])
