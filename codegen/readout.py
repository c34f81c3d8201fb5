"""From a circuit's output bits to a class: group sums, the same rule in training, in the oracle and in what is compiled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupSum:
    """Outputs are dealt to classes in order, and a class's score is the number of its true outputs / temperature.

    Groups are as even as can be: where n_classes does not divide the outputs, the first ones have one output more. The
    class is that of the largest count, the lowest of equals. (Petersen et al. 2022, arXiv 2210.08277.)
    """

    n_classes: int
    temperature: float

    def groups(self, n_outputs: int) -> NDArray[np.int32]:
        """int32 (output,): the class that each output counts for. Raises ValueError if a class would have none."""
        if n_outputs < self.n_classes:
            raise ValueError(f"Expected at least one output a class: got {n_outputs} outputs for {self.n_classes} classes.")
        sizes = [n_outputs // self.n_classes + (c < n_outputs % self.n_classes) for c in range(self.n_classes)]
        return np.repeat(np.arange(self.n_classes, dtype=np.int32), sizes)

    def counts(self, bits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """True outputs of each class: bool (item, output) -> int32 (item, class)."""
        starts = np.searchsorted(self.groups(bits.shape[1]), np.arange(self.n_classes))
        return np.add.reduceat(bits, starts, axis=1, dtype=np.int32)

    def scores(self, counts: NDArray[np.int32]) -> NDArray[np.float32]:
        """counts / temperature, each rounded once to float32."""
        return np.asarray(counts / np.float64(self.temperature), dtype=np.float32)

    def classes(self, counts: NDArray[np.int32]) -> NDArray[np.int32]:
        """int32 (item,): the class with the largest count, the lowest of equals."""
        return np.argmax(counts, axis=1).astype(np.int32)


def to_binary(classes: NDArray[np.int32], n_classes: int) -> NDArray[np.bool_]:
    """int32 (item,) -> bool (item, bit), low bit first, as many bits as n_classes - 1 needs."""
    return ((classes[:, None] >> np.arange((n_classes - 1).bit_length())) & 1).astype(bool)


def from_binary(bits: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The inverse of to_binary."""
    return (bits @ (1 << np.arange(bits.shape[1]))).astype(np.int32)
