"""Fused CPU kernels for one layer of two-input gates: an acceleration of methods.multilinear, not a second definition.

Items are on the last axis, so each gather is a contiguous row that streams through the cache. The gradient to x is a
gather as well, over the consumers of each signal, so no two threads write one place and the result is the same to the
bit for any number of threads.

Only `_reduce_row` leaves the order of its sums to the compiler (fastmath), and it is a function of its own because numba
optimises a parallel kernel once more when it loads it from its cache: a sum inside one would then be added in another order
than in the process that compiled it, and a first run would train to other bits than a second.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from methods.network import Network

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Consumers:
    """Who reads each signal: rows[start[s] : start[s + 1]] are the gates that read signal s, at input `positions`."""

    start: NDArray[np.int32]
    rows: NDArray[np.int32]
    positions: NDArray[np.int32]


def consumers(fan_in: NDArray[np.int32], n_signals: int) -> Consumers:
    """The inverse of fan_in, int32 (row, k), over n_signals signals."""
    flat = fan_in.ravel()
    order = np.argsort(flat, kind="stable").astype(np.int32)
    start = np.zeros(n_signals + 1, dtype=np.int32)
    np.cumsum(np.bincount(flat, minlength=n_signals), out=start[1:])
    return Consumers(start, order // fan_in.shape[1], order % fan_in.shape[1])


@njit("(float32[:, ::1], int32[:, ::1], float32[:, ::1], float32[:, ::1])", parallel=True, cache=True)
def forward(x, fan_in, coefficients, out):
    """out[r] = c0 + c1 a + c2 b + c3 ab of row r, with a, b = x[fan_in[r]]; x (signal, item), out (row, item)."""
    for row in prange(out.shape[0]):
        a = x[fan_in[row, 0]]
        b = x[fan_in[row, 1]]
        c0, c1, c2, c3 = coefficients[row, 0], coefficients[row, 1], coefficients[row, 2], coefficients[row, 3]
        o = out[row]
        for item in range(out.shape[1]):
            o[item] = c0 + c1 * a[item] + (c2 + c3 * a[item]) * b[item]


@njit("(float32[::1], float32[::1], float32[::1], float32[::1])", fastmath=True, cache=True)
def _reduce_row(a, b, g, out):
    """The sums over items of g, g a, g b and g a b."""
    g0, g1, g2, g3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for item in range(len(g)):
        g_b = g[item] * b[item]
        g0 += g[item]
        g1 += g[item] * a[item]
        g2 += g_b
        g3 += g_b * a[item]
    out[0], out[1], out[2], out[3] = g0, g1, g2, g3


@njit("(float32[:, ::1], int32[:, ::1], float32[:, ::1], float32[:, ::1])", parallel=True, cache=True)
def backward_coefficients(x, fan_in, grad, grad_coefficients):
    """The gradient to the coefficients, (row, 4), from that to the outputs, (row, item)."""
    for row in prange(grad.shape[0]):
        _reduce_row(x[fan_in[row, 0]], x[fan_in[row, 1]], grad[row], grad_coefficients[row])


@njit(
    "(float32[:, ::1], int32[:, ::1], float32[:, ::1], float32[:, ::1], int32[::1], int32[::1], int32[::1], float32[:, ::1])",
    parallel=True,
    cache=True,
)
def backward_inputs(x, fan_in, coefficients, grad, start, rows, positions, grad_x):
    """The gradient to x, (signal, item): for each signal the sum over its consumers, in a fixed order."""
    for signal in prange(grad_x.shape[0]):
        o = grad_x[signal]
        o[:] = np.float32(0)
        for edge in range(start[signal], start[signal + 1]):
            row = rows[edge]
            position = positions[edge]
            other = x[fan_in[row, 1 - position]]
            slope, cross = coefficients[row, 1 + position], coefficients[row, 3]
            g = grad[row]
            for item in range(grad_x.shape[1]):
                o[item] += g[item] * (slope + cross * other[item])


def set_threads(threads: int) -> None:
    """Threads of the kernels, at most those of the machine."""
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


class Plan:
    """A network's layers as the kernels take them, and their working memory.

    forward keeps the activations that backward needs; both write into buffers that are made anew only when the number of
    items changes, because fresh memory every step costs more in page faults than the arithmetic.
    Raises ValueError for a network whose gates do not have two inputs.
    """

    def __init__(self, network: Network) -> None:
        if network.arity != 2:
            raise ValueError(f"The kernels run two-input gates; this network's have {network.arity}. Use train.kernels=false.")
        self._layers = network.layers
        self._consumers = [consumers(layer.fan_in, n) for layer, n in zip(network.layers, network.sources(), strict=True)]
        self._n_items = -1
        self._values: list[Floats] = []
        self._grads: list[Floats] = []

    def forward(self, x: Floats, coefficients: Floats) -> Floats:
        """x (input, item), coefficients (param, 4) -> (output, item), a buffer that the next call overwrites."""
        if x.shape[1] != self._n_items:
            self._n_items = x.shape[1]
            self._values, self._grads = (
                [np.empty((layer.n_rows, self._n_items), dtype=np.float32) for layer in self._layers] for _ in range(2)
            )
        for layer, values in zip(self._layers, self._values, strict=True):
            forward(x, layer.fan_in, coefficients[layer.param], values)
            x = values
        return x

    def backward(self, x: Floats, coefficients: Floats, grad: Floats) -> Floats:
        """The gradient to the coefficients, (param, 4), of the last forward, from that to its outputs."""
        grad_coefficients = np.zeros_like(coefficients)
        for index in reversed(range(len(self._layers))):
            layer = self._layers[index]
            inputs = self._values[index - 1] if index else x
            of_rows = np.empty((layer.n_rows, 4), dtype=np.float32)
            backward_coefficients(inputs, layer.fan_in, grad, of_rows)
            np.add.at(grad_coefficients, layer.param, of_rows)
            if index:
                readers, below = self._consumers[index], self._grads[index - 1]
                of_layer = coefficients[layer.param]
                backward_inputs(inputs, layer.fan_in, of_layer, grad, readers.start, readers.rows, readers.positions, below)
                grad = below
        return grad_coefficients
