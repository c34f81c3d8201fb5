"""The trained network as a back end in jax (nn-jax): its hard forward, compiled by XLA."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from methods.multilinear import evaluate, monomial_coefficients
from methods.network import Network, forward
from methods.stencil import neighbourhoods

Bits = NDArray[np.bool_]


class JaxNetwork:
    """The trained network's hard forward in float32 under jax.jit.

    batch: items run at once (the items are padded to a multiple of it); None runs all.
    """

    def __init__(self, network: Network, tables: NDArray[np.uint64], batch: int | None = None) -> None:
        self.batch = batch
        coefficients = monomial_coefficients(tables, network.arity).astype(np.float32)
        # Index arrays are arguments of the compiled function, not constants in it: XLA would fold them at great length.
        layers = [(list(layer.fan_in.T), coefficients[layer.param]) for layer in network.layers]
        self._layers = jax.tree.map(jnp.asarray, layers)
        self._items = jax.jit(partial(_in_batches, batch=batch))
        self._board = jax.jit(partial(_step, batch=batch), static_argnames="torus")

    def evaluate(self, bits: Bits) -> Bits:
        x = jnp.asarray(bits.T, dtype=jnp.float32)
        return np.asarray(self._items(self._layers, x)).T > 0.5

    def stepper(self, board: Bits, torus: bool) -> "_JaxStepper":
        return _JaxStepper(self, board, torus)


def _take(x: jax.Array, rows: jax.Array) -> jax.Array:
    return x.at[rows].get(mode="promise_in_bounds")


def _in_batches(layers: list[tuple[list[jax.Array], jax.Array]], x: jax.Array, batch: int | None) -> jax.Array:
    n_items = x.shape[1]
    size = min(batch or n_items, n_items)
    n_batches = -(-n_items // size)
    padded = jnp.pad(x, ((0, 0), (0, n_batches * size - n_items)))
    parts = padded.reshape(x.shape[0], n_batches, size).transpose(1, 0, 2)
    outputs = jax.lax.map(lambda part: forward(evaluate, _take, layers, part), parts)  # (batch, output, item)
    return outputs.transpose(1, 0, 2).reshape(outputs.shape[1], n_batches * size)[:, :n_items]


def _step(layers: list[tuple[list[jax.Array], jax.Array]], board: jax.Array, torus: bool, batch: int | None) -> jax.Array:
    return _in_batches(layers, neighbourhoods(jnp, board, torus), batch).reshape(board.shape)


class _JaxStepper:
    def __init__(self, network: JaxNetwork, board: Bits, torus: bool) -> None:
        self._network, self._torus = network, torus
        self._now = jnp.asarray(board, dtype=jnp.float32)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._now = self._network._board(self._network._layers, self._now, torus=self._torus)
        self._now.block_until_ready()

    def board(self) -> Bits:
        return np.asarray(self._now) > 0.5
