"""From the last layer's values to what the network says, and to a loss: bits, or a class by group sums.

Without a readout (codegen.readout.GroupSum) every row of the last layer is an output bit, and the loss is the mean squared
error. With one the values of a group are added up to a class's logit, and the loss is the cross-entropy
(Petersen et al. 2022, arXiv 2210.08277). Targets are bits in both cases: for classes one-hot.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.readout import GroupSum


def loss(xp: Any, readout: GroupSum | None, values: Any, target: Any) -> Any:
    """A scalar: mean squared error of bits, or cross-entropy of classes.

    values, target: (value, item); for classes values are the groups' sums, not yet divided by the temperature.
    """
    if readout is None:
        return xp.mean((values - target) ** 2)
    logits = values / readout.temperature
    shifted = logits - xp.max(logits, axis=0, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(shifted), axis=0)) - xp.sum(shifted * target, axis=0))


def right(readout: GroupSum | None, values: NDArray[np.float32], target: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which items have every bit, or the class, right; values and target: (item, value). Ties go to the lowest class."""
    if readout is None:
        return np.asarray(np.all((values > 0.5) == target, axis=1))
    return np.asarray(np.argmax(values, axis=1) == np.argmax(target, axis=1))
