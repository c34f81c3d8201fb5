"""What a task is: items and targets to learn from, a score, and the work on which back ends are timed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from codegen.encoder import Encoder
from codegen.interfaces import CheckedRun

Bits = NDArray[np.bool_]


class TaskError(ValueError):
    """A task's configuration that makes no task; names the setting, what was expected and what came."""


@dataclass(frozen=True, eq=False)
class Split:
    """Items of a task: inputs (item, input), bool, or float32 for a network to set thresholds on; and target bool
    (item, output), one-hot for a task of classes. features: the numbers that an encoder made bits of, (item, feature)."""

    inputs: NDArray[Any]
    target: Bits
    features: NDArray[Any] | None = None

    @property
    def raw(self) -> NDArray[Any]:
        """What a circuit with its encoder takes: the features, or the inputs where those are bits as they come."""
        return self.inputs if self.features is None else self.features


@dataclass(frozen=True, eq=False)
class Boards:
    """Whole boards to learn a stencil from. split: inputs and target (board, cell), in reading order, of tori of height x
    width, and what they are after so many steps."""

    height: int
    width: int
    steps: int
    split: Split


@runtime_checkable
class Predictor(Protocol):
    """A back end that takes an item's own numbers, with the encoder compiled in."""

    def predict(self, features: NDArray[Any]) -> NDArray[np.int32]:
        """(item, feature) -> int32 (item,): the answers as binary numbers."""


class Learned(Protocol):
    """What a task needs of what was learned, such as a circuit: the answers that its forms must give."""

    @property
    def encoder(self) -> Encoder | None:
        """What makes bits of an item's own numbers, None where there is nothing to make."""

    def bits(self, features: NDArray[Any]) -> NDArray[Any]:
        """(item, feature) -> (item, input), what the forms are given."""

    def answers(self, bits: NDArray[Any]) -> Bits:
        """(item, input) -> bool (item, answer)."""


class Workload(Protocol):
    """What is timed, the same for every back end."""

    @property
    def item(self) -> str:
        """What one item is called, in the singular."""

    @property
    def n_items(self) -> int:
        """Items in one run."""

    def part(self, n_items: int) -> "Workload":
        """Its first items, for back ends that take long over all of them; all of it where there are no parts, as of a board."""

    def start(self, executable: Any) -> CheckedRun:
        """Put the work into a back end; the result runs it the given number of times, and is all that is timed."""

    def whole(self, executable: Any) -> CheckedRun:
        """The same from the caller's own arrays and back to them, conversions included."""

    def verify(self, executable: Any, quick: bool) -> "Verification":
        """Hold the back end to the task's own oracle. quick: a smaller check, for forms that take long."""


@dataclass(frozen=True)
class Verification:
    """items_checked outputs were compared with the oracle's, the first wrong one was in `where` (None if all agreed)."""

    items_checked: int
    items_equal: int
    where: str | None

    @property
    def exact(self) -> bool:
        return self.items_equal == self.items_checked


class Task(Protocol):
    """A task with its splits; for a task whose items are all there are, the splits are the same.

    Networks are chosen on validation, and the test split is only ever scored.
    """

    name: str
    n_inputs: int
    n_outputs: int
    classes: bool  # whether the outputs are classes, of which an item has one
    places: NDArray[np.intp] | None  # (channel, row, column): the input at each place of an image; None if items are none
    train: Split
    boards: Boards | None  # to train on instead, where a task has them
    validation: Split
    test: Split
    encoder: Encoder | None  # what made the inputs of numbers, None where there are none, or where the network does it

    def workload(self, learned: Learned) -> Workload:
        """The work on which back ends are timed. learned: says what is right, for tasks that have no oracle of their own."""

    def score(self, answers: Bits, split: Split) -> float:
        """The fraction of items, 0 to 1, that answers, bool (item, answer), get right: output bits, or a class in binary."""

    def reference_source(self) -> str | None:
        """Hand-written C that does the task's work (see codegen.backends.HandWritten), or None if there is none."""


@dataclass(frozen=True)
class TaskKind:
    """An entry of TASKS. config: the dataclass that checks conf/task/<name>.yaml; build makes the task from one."""

    config: type
    build: Callable[[Any], Task]
