"""The trained network as a back end in jax (nn-jax): its hard forward, compiled by XLA."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from methods import readout
from methods.multilinear import evaluate, monomial_coefficients
from methods.network import Columns, Network, answers, columns, forward, summed
from methods.stencil import neighbourhoods

Bits = NDArray[np.bool_]
# The layers with their gates' coefficients, and Network.members.
Layers = tuple[list[Columns], jax.Array | None]


class JaxNetwork:
    """The trained network's hard forward in float32 under jax.jit.

    batch: items run at once (the items are padded to a multiple of it); None runs all.
    """

    def __init__(self, network: Network, tables: NDArray[np.uint64], batch: int | None = None) -> None:
        self._network = network
        self._batch_size = batch
        coefficients = monomial_coefficients(tables, network.arity).astype(np.float32)
        # Index arrays are arguments of the compiled function, not constants in it: XLA would fold them at great length.
        layers = [of._replace(gates=coefficients[of.gates]) for of in columns(network, np.asarray)]
        self._layers = jax.tree.map(jnp.asarray, (layers, network.members()))
        self._parts = jax.jit(partial(_evaluate, network))
        self._board = jax.jit(partial(_step, network, batch=batch), static_argnames="torus")

    def evaluate(self, bits: Bits) -> Bits:
        batch = self.batch(bits)
        batch.run(1)
        return batch.outputs()

    def batch(self, bits: Bits) -> "_JaxBatch":
        """The items, bool (item, input), in parts of the batch size."""
        parts = _split(jnp.asarray(bits.T, dtype=jnp.float32), self._batch_size)
        evaluate = partial(self._parts, self._layers)
        nothing = jax.eval_shape(evaluate, parts)
        out = jnp.zeros(nothing.shape, nothing.dtype)
        return _JaxBatch(evaluate, parts.block_until_ready(), out, self._network, len(bits))

    def stepper(self, board: Bits, torus: bool) -> "_JaxStepper":
        return _JaxStepper(self, board, torus)


def _take(x: jax.Array, rows: jax.Array) -> jax.Array:
    return x.at[rows].get(mode="promise_in_bounds")


def _split(x: jax.Array, batch: int | None) -> jax.Array:
    """(input, item) -> (part, input, item), the last part filled up with zeros."""
    n_inputs, n_items = x.shape
    size = max(1, min(batch or n_items, n_items))
    n_parts = max(1, -(-n_items // size))
    padded = jnp.pad(x, ((0, 0), (0, n_parts * size - n_items)))
    return padded.reshape(n_inputs, n_parts, size).transpose(1, 0, 2)


def _evaluate(network: Network, layers: Layers, parts: jax.Array) -> jax.Array:
    """(part, input, item) -> (part, output, item), or where it is a class (part, item); a part at a time."""

    def hard(part: jax.Array) -> jax.Array:
        gates, members = layers
        values = summed(members, forward(jnp, evaluate, _take, network, gates, part))
        said: jax.Array = readout.said(jnp, network.readout, values)
        return said

    return jax.lax.map(hard, parts)


def _join(parts: jax.Array, n_items: int) -> jax.Array:
    """(part, ..., item) -> (..., item), the first n_items."""
    return jnp.moveaxis(parts, 0, -2).reshape(*parts.shape[1:-1], -1)[..., :n_items]


def _step(network: Network, layers: Layers, board: jax.Array, torus: bool, batch: int | None) -> jax.Array:
    items = neighbourhoods(jnp, board, torus)
    return _join(_evaluate(network, layers, _split(items, batch)), board.size).reshape(board.shape)


@dataclass
class _JaxBatch:
    """parts: float32 (part, input, item); out: (part, output, item), or the class, (part, item)."""

    evaluate: Callable[[jax.Array], jax.Array]
    parts: jax.Array
    out: jax.Array
    network: Network
    n_items: int

    def run(self, times: int) -> None:
        for _ in range(times):
            # One run at a time: those that do not wait for each other would run side by side.
            self.out = self.evaluate(self.parts).block_until_ready()

    def outputs(self) -> Bits:
        return answers(self.network, np.asarray(_join(self.out, self.n_items)))


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
