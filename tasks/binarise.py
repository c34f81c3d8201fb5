"""Thresholds for numbers: the encoders that a task can put in front of a network.

Input f * n_bits + j is bit j of the f-th feature read: a thermometer, its thresholds ascending.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.encoder import Encoder


def fixed(n_features: int, read: NDArray[np.intp], threshold: float) -> Encoder:
    """One bit a feature, the same threshold for all. read: the features that are encoded, of n_features."""
    return Encoder(n_features, read.astype(np.int32), np.full(len(read), threshold, dtype=np.float32))


def uniform(n_features: int, read: NDArray[np.intp], n_bits: int, low: float, high: float) -> Encoder:
    """n_bits thresholds a feature, which cut low .. high into n_bits + 1 equal parts."""
    thresholds = low + (high - low) * np.arange(1, n_bits + 1) / (n_bits + 1)
    return Encoder(n_features, np.repeat(read, n_bits).astype(np.int32), np.tile(thresholds, len(read)).astype(np.float32))


def quantile(features: NDArray[Any], read: NDArray[np.intp], n_bits: int) -> Encoder:
    """n_bits thresholds a feature, at which its values above the least are cut into n_bits + 1 parts of equal number.

    features: (item, feature), of training alone. The least value is left out because most pixels of most images have it:
    quantiles of all values would fall together there. A feature that never varies has its one value, so its bits are false.
    """
    thresholds = np.empty((len(read), n_bits), dtype=np.float32)
    shares = np.arange(1, n_bits + 1) / (n_bits + 1)
    for row, column in enumerate(read):
        values = features[:, column]
        above = values[values > values.min()]
        # Between values, not at them: "lower" keeps each threshold a value that occurs, and a value above it true.
        thresholds[row] = np.quantile(above, shares, method="lower") if len(above) else values[0]
    return Encoder(features.shape[1], np.repeat(read, n_bits).astype(np.int32), thresholds.ravel())


def places(rows: int, columns: int, n_inputs: int) -> NDArray[np.intp]:
    """(channel, row, column): the input at each pixel of the rows x columns that are read; bits of a pixel are channels."""
    return np.arange(n_inputs).reshape(rows, columns, -1).transpose(2, 0, 1)


def centre(rows: int, columns: int, crop: int | None) -> NDArray[np.intp]:
    """The features of a rows x columns image that lie in its crop x crop centre, in reading order; None: all of them.

    Where the border is odd, the left and upper part of it is the narrower one.
    """
    places = np.arange(rows * columns).reshape(rows, columns)
    if crop is None:
        return places.ravel()
    top, left = (rows - crop) // 2, (columns - crop) // 2
    return places[top : top + crop, left : left + crop].ravel()
