"""From what a product has, numbers, to the bits that a circuit reads: comparisons with thresholds, stored with the circuit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What features may be; all of these are exact in float32, in which they are compared, but float64, which is rounded first.
FEATURE_TYPES = (np.bool_, np.uint8, np.float32, np.float64)


class EncoderError(ValueError):
    """Thresholds that make no encoder, or items that are not what it encodes; says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """Input i of a circuit is true where features[feature[i]] > threshold[i].

    A feature exactly at its threshold is false, and so is one that is not a number, in every form of the circuit.

    n_features: numbers in an item, >= 1. feature: int32 (input,). threshold: float32 (input,), finite.
    """

    n_features: int
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]

    def __post_init__(self) -> None:
        feature = np.ascontiguousarray(self.feature, dtype=np.int32)
        threshold = np.ascontiguousarray(self.threshold, dtype=np.float32)
        if feature.ndim != 1 or feature.shape != threshold.shape:
            raise EncoderError(f"Expected one feature and one threshold an input, got {feature.shape} and {threshold.shape}.")
        outside = np.flatnonzero((feature < 0) | (feature >= self.n_features))
        if len(outside):
            raise EncoderError(f"Input {outside[0]} reads feature {feature[outside[0]]}; expected 0 to {self.n_features - 1}.")
        if not np.isfinite(threshold).all():
            raise EncoderError(f"Expected finite thresholds; that of input {np.argmin(np.isfinite(threshold))} is not.")
        object.__setattr__(self, "n_features", int(self.n_features))
        object.__setattr__(self, "feature", feature)
        object.__setattr__(self, "threshold", threshold)

    @classmethod
    def of_bits(cls, n_inputs: int) -> "Encoder":
        """That of a circuit which reads bits as they come: a feature an input, true above 0."""
        return cls(n_inputs, np.arange(n_inputs, dtype=np.int32), np.zeros(n_inputs, dtype=np.float32))

    @property
    def n_inputs(self) -> int:
        return len(self.feature)

    def encode(self, features: NDArray[Any]) -> NDArray[np.bool_]:
        """(item, feature) of one of FEATURE_TYPES -> bool (item, input). Raises EncoderError for anything else."""
        features = self.check(features)
        if features.dtype == np.float64:
            features = features.astype(np.float32)
        bits: NDArray[np.bool_] = features[:, self.feature] > self.threshold  # compared in float32, bytes are not copied to it
        return bits

    def check(self, features: NDArray[Any]) -> NDArray[Any]:
        """The items as given, or EncoderError with what was expected."""
        features = np.asarray(features)
        if features.dtype.type not in FEATURE_TYPES or features.ndim != 2 or features.shape[1] != self.n_features:
            names = ", ".join(np.dtype(one).name for one in FEATURE_TYPES)
            raise EncoderError(
                f"Expected items of shape (item, {self.n_features}) and type {names}; got {features.dtype} of shape"
                f" {features.shape}."
            )
        return features
