"""A network of the 3x3 neighbourhood on whole boards: the same wiring at every cell, for one generation after another.

It is a convolution that the network itself is the kernel of: all cells and generations share its parameters, so it can learn
from boards as they are, and from what they have become after several generations (the perception and update of
differentiable logic cellular automata: Miotti, Niklasson, Randazzo, Mordvintsev 2025, Differentiable Logic CA).
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.base import MethodError
from methods.network import Choice, Layer, Network
from methods.stencil import neighbourhoods


def unrolled(network: Network, height: int, width: int, steps: int) -> Network:
    """The network at every cell of a torus of height x width, steps times over: (cell, in reading order) -> (cell,).

    Its inputs are those of methods.stencil.neighbourhoods. The parameters are the network's own. Raises MethodError if it has
    not nine inputs as they come and one output bit that is a gate of its own.
    """
    if (network.n_inputs, network.n_outputs) != (9, 1) or network.readout is not None or network.thresholds is not None:
        raise MethodError(
            "Training on boards (task.boards) is for networks of nine bits to one gate. Set method.votes=1 and"
            " method.thresholds=null, or task.boards=null."
        )
    n_cells = height * width
    cells = np.arange(n_cells).reshape(height, width)
    # (signal, cell): where the network's inputs lie, and constant false behind them.
    inputs = np.vstack([neighbourhoods(np, cells, torus=True), np.full(n_cells, n_cells)])

    def rows(at: NDArray[Any]) -> NDArray[np.int32]:
        """(row, ..., cell) -> (row * cell, ...)."""
        return np.moveaxis(at, -1, 1).reshape(-1, *at.shape[1:-1]).astype(np.int32)

    def everywhere(signals: NDArray[np.int32], n_signals: int) -> NDArray[np.int32]:
        """(row, ...) of one cell -> (row * cell, ...); a signal past the last, constant false, stays the one past the last."""
        return rows(signals[..., None] * n_cells + np.arange(n_cells) * (signals < n_signals)[..., None])

    def of_board(signals: NDArray[np.int32]) -> NDArray[np.int32]:
        """The same of what the first layer reads."""
        return rows(inputs[signals])

    layers = []
    for index, (layer, n_signals) in enumerate(zip(network.layers, network.sources(), strict=True)):
        read = partial(everywhere, n_signals=n_signals) if index > 0 else of_board
        pool = None if layer.pool is None else everywhere(layer.pool, layer.n_gates)
        choice = layer.choice
        if choice is not None:
            choice = Choice(read(choice.candidates), np.repeat(choice.param, n_cells))
        layers.append(Layer(read(layer.fan_in), np.repeat(layer.param, n_cells), pool, layer.padded, layer.parts, choice))
    return replace(network, n_inputs=n_cells, layers=tuple(layers) * steps)
