"""Learnable thresholds: real-valued features become bits, by comparisons that are trained with the gates.

Bit j of feature f is x_f > omega[f, j]; its relaxation is sigmoid((x_f - omega[f, j]) / softness). The thresholds of a feature
are ordered by construction: the first is a parameter itself, each next one adds the softplus of its own.
WARP, arXiv 2602.03527 (learnable thresholds).

A feature exactly at a threshold, and one that is not a number, gives false.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.smoothing import sigmoid


@dataclass(frozen=True)
class Thresholds:
    """n_bits thresholds on each of n_features; bit j of feature f is input f * n_bits + j of the gates. softness: > 0, in
    the features' units."""

    n_features: int
    n_bits: int
    softness: float


def init(features: NDArray[Any], n_bits: int) -> NDArray[np.float32]:
    """Starting parameters, float32 (feature, bit): thresholds at the quantiles of features, (item, feature), evenly apart.

    Where quantiles coincide they are spread by a thousandth of the feature's range. Raises ValueError if a feature is not
    finite, naming it.
    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=0))
    if len(bad):
        raise ValueError(f"Expected finite features; feature {bad[0]} has values that are not. Fill or drop them.")
    omega = np.quantile(features, np.arange(1, n_bits + 1) / (n_bits + 1), axis=0).T
    spread = 1e-3 * np.maximum(np.ptp(features, axis=0), 1e-3)
    for bit in range(1, n_bits):
        omega[:, bit] = np.maximum(omega[:, bit], omega[:, bit - 1] + spread)
    raw = np.diff(omega, axis=1)
    steps = np.log(np.expm1(np.minimum(raw, 30.0))) + np.maximum(raw - 30.0, 0.0)  # the inverse of softplus
    return np.ascontiguousarray(np.hstack([omega[:, :1], steps]), dtype=np.float32)


def values(xp: Any, parameters: Any) -> Any:
    """The thresholds omega, (feature, bit), ascending along each row, from their parameters."""
    first, steps = parameters[:, :1], parameters[:, 1:]
    softplus = xp.maximum(steps, xp.zeros_like(steps)) + xp.log1p(xp.exp(-xp.abs(steps)))
    return xp.concat([first, first + xp.cumulative_sum(softplus, axis=1)], axis=1)


def bits(xp: Any, parameters: Any, x: Any, spec: Thresholds) -> tuple[Any, Any]:
    """Features x, (feature, item), as relaxed bits in [0, 1] and as Booleans, both (feature * bit, item)."""
    above = x[:, None, :] - values(xp, parameters)[:, :, None]
    above = xp.reshape(above, (spec.n_features * spec.n_bits, x.shape[1]))
    return sigmoid(xp, above * (1 / spec.softness)), above > 0
