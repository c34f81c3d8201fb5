"""From output bits to an answer by sums of groups: one rule in training, in the oracle and in what is compiled."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class Readout(ABC):
    """Outputs are dealt to groups in order, and a group's count is the number of its true outputs.

    temperature: what counts are divided by to give scores, > 0. Which answer the counts give is the subclass's to say.
    """

    temperature: float

    @property
    @abstractmethod
    def n_groups(self) -> int:
        """How many counts there are."""

    @property
    @abstractmethod
    def n_answers(self) -> int:
        """How many bits an answer has."""

    @abstractmethod
    def answers(self, counts: NDArray[np.int32]) -> NDArray[np.bool_]:
        """int (item, group) -> bool (item, answer): the output bits, or the class in binary, low bit first."""

    def groups(self, n_outputs: int) -> NDArray[np.int32]:
        """int32 (output,): the group that each output counts for. Raises ValueError if the outputs cannot be dealt so.

        Groups are as even as can be: where the outputs cannot be divided evenly, the first ones have one more.
        """
        if n_outputs < self.n_groups:
            raise ValueError(f"Expected at least one output a group: got {n_outputs} outputs for {self.n_groups} groups.")
        sizes = [n_outputs // self.n_groups + (group < n_outputs % self.n_groups) for group in range(self.n_groups)]
        return np.repeat(np.arange(self.n_groups, dtype=np.int32), sizes)

    def counts(self, bits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """True outputs of each group: bool (item, output) -> int32 (item, group)."""
        starts = np.searchsorted(self.groups(bits.shape[1]), np.arange(self.n_groups))
        return np.add.reduceat(bits, starts, axis=1, dtype=np.int32)

    def scores(self, counts: NDArray[np.int32]) -> NDArray[np.float32]:
        """counts / temperature, each rounded once to float32."""
        return np.asarray(counts / np.float64(self.temperature), dtype=np.float32)


@dataclass(frozen=True)
class GroupSum(Readout):
    """A class by the largest count, the lowest class of equals (Petersen et al. 2022, arXiv 2210.08277)."""

    n_classes: int
    temperature: float

    @property
    def n_groups(self) -> int:
        return self.n_classes

    @property
    def n_answers(self) -> int:
        return (self.n_classes - 1).bit_length()

    def classes(self, counts: NDArray[np.int32]) -> NDArray[np.int32]:
        """int32 (item,): the class with the largest count, the lowest of equals."""
        return np.argmax(counts, axis=1).astype(np.int32)

    def answers(self, counts: NDArray[np.int32]) -> NDArray[np.bool_]:
        return to_binary(self.classes(counts), self.n_classes)


@dataclass(frozen=True)
class Majority(Readout):
    """Output bits, each by `votes` gates of its own: true where more than half of them are, so that a tie is false."""

    n_bits: int
    votes: int
    temperature: float

    @property
    def n_groups(self) -> int:
        return self.n_bits

    @property
    def n_answers(self) -> int:
        return self.n_bits

    def groups(self, n_outputs: int) -> NDArray[np.int32]:
        if n_outputs != self.n_bits * self.votes:
            raise ValueError(f"Expected {self.votes} outputs for each of {self.n_bits} bits; got {n_outputs}.")
        return super().groups(n_outputs)

    def answers(self, counts: NDArray[np.int32]) -> NDArray[np.bool_]:
        return 2 * counts > self.votes


READOUTS: dict[str, type[Readout]] = {kind.__name__: kind for kind in (GroupSum, Majority)}


def to_binary(classes: NDArray[np.int32], n_classes: int) -> NDArray[np.bool_]:
    """int32 (item,) -> bool (item, bit), low bit first, as many bits as n_classes - 1 needs."""
    return ((classes[:, None] >> np.arange((n_classes - 1).bit_length())) & 1).astype(bool)


def from_binary(bits: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The inverse of to_binary."""
    return (bits @ (1 << np.arange(bits.shape[1]))).astype(np.int32)
