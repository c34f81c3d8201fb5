"""From the last layer's values to a loss: what the network is trained to make true."""

from typing import Any


def bit_error(xp: Any, outputs: Any, target: Any) -> Any:
    """Mean squared error of output bits, both (output, item) in [0, 1]; a scalar."""
    return xp.mean((outputs - target) ** 2)
