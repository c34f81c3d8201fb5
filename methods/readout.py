"""From the last layer's values to what the network says, and to a loss: bits, bits that are voted on, or a class.

Without a readout (codegen.readout) every row of the last layer is an output bit, and the loss is the mean squared error.
With one the values of a group are added up: to a class's logit, with the cross-entropy as the loss (Petersen et al. 2022,
arXiv 2210.08277), or to the logit of a bit, with the binary cross-entropy. Targets are bits in every case: for classes
one-hot.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.readout import GroupSum, Majority, Readout


def loss(xp: Any, readout: Readout | None, values: Any, target: Any) -> Any:
    """A scalar: mean squared error of bits, cross-entropy of classes, or binary cross-entropy of bits that are voted on.

    values, target: (value, item); with a readout values are the groups' sums, not yet divided by the temperature.
    """
    if readout is None:
        return xp.mean((values - target) ** 2)
    if isinstance(readout, Majority):
        logits = (values - readout.votes / 2) / readout.temperature
        positive = xp.where(logits > 0, logits, xp.zeros_like(logits))
        return xp.mean(positive - logits * target + xp.log(1 + xp.exp(-xp.abs(logits))))
    logits = values / readout.temperature
    shifted = logits - xp.max(logits, axis=0, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(shifted), axis=0)) - xp.sum(shifted * target, axis=0))


def right(readout: Readout | None, values: NDArray[np.float32], target: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which items have every bit, or the class, right; values and target: (item, value). Ties go to the lowest class and to
    false."""
    if isinstance(readout, GroupSum):
        return np.asarray(np.argmax(values, axis=1) == np.argmax(target, axis=1))
    return np.asarray(np.all((values > bound(readout)) == target, axis=1))


def bound(readout: Readout | None) -> float:
    """What the value of an output bit must exceed for it to be true."""
    return readout.votes / 2 if isinstance(readout, Majority) else 0.5


def said(xp: Any, readout: Readout | None, values: Any) -> Any:
    """What a hard network says of items, in any engine's arrays: output bits, float32 (output, item), or the class, (item,).

    values: (value, item), bits or the groups' sums.
    """
    if isinstance(readout, GroupSum):
        return xp.argmax(values, axis=0)
    return values if readout is None else xp.astype(values > bound(readout), values.dtype)
