"""The one trainable shape: layers of rows, each row a gate on rows of the layer before.

    out[r, :] = gate(theta[param[r]], x[fan_in[r, 0], :], ..., x[fan_in[r, k-1], :])      rows r, items on the last axis

A dense layer has a param of its own for each row; rows that share parameters (the positions of a convolution kernel)
have equal param. All layers of a network have one arity, so its parameters are one array, theta (param, value).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.netlist import Netlist


@dataclass(frozen=True, eq=False)
class Layer:
    """fan_in: int32 (row, k), rows of the layer before (or the inputs). param: int32 (row,), the row of theta used."""

    fan_in: NDArray[np.int32]
    param: NDArray[np.int32]

    @property
    def n_rows(self) -> int:
        return len(self.fan_in)


@dataclass(frozen=True, eq=False)
class Network:
    """A network's wiring and what its gates are; the parameters are kept apart from it.

    relaxation: a key of RELAXATIONS. temperature: of every gate's relaxation, > 0.
    """

    relaxation: str
    n_inputs: int
    layers: tuple[Layer, ...]
    temperature: float

    @property
    def arity(self) -> int:
        return self.layers[0].fan_in.shape[1]

    @property
    def n_gates(self) -> int:
        return sum(layer.n_rows for layer in self.layers)

    @property
    def n_outputs(self) -> int:
        return self.layers[-1].n_rows

    def sources(self) -> list[int]:
        """How many signals each layer reads from: the inputs, then each layer's rows."""
        return [self.n_inputs, *(layer.n_rows for layer in self.layers[:-1])]


def forward(
    gate: Callable[[Any, list[Any]], Any], take: Callable[[Any, Any], Any], layers: Sequence[tuple[Sequence[Any], Any]], x: Any
) -> Any:
    """Run layers on x (input, item), in any engine's arrays.

    layers: per layer the fan-in columns and what `gate` needs of its rows. gate: (that, inputs) -> values (row, item).
    take: (x, rows) -> x[rows], the engine's gather. Returns (row of the last layer, item).
    """
    for columns, rows in layers:
        x = gate(rows, [take(x, column) for column in columns])
    return x


def discretise(network: Network, tables: NDArray[np.uint64]) -> Netlist:
    """The trained network as a netlist, gate for gate; tables is uint64 (param,), the function that each theta stands for."""
    offsets = np.cumsum([0, network.n_inputs, *(layer.n_rows for layer in network.layers)])
    return Netlist(
        n_inputs=network.n_inputs,
        table=np.concatenate([tables[layer.param] for layer in network.layers]),
        fan_in=np.concatenate([layer.fan_in + offset for layer, offset in zip(network.layers, offsets, strict=False)]),
        arity=np.full(network.n_gates, network.arity),
        outputs=offsets[-2] + np.arange(network.n_outputs),
        inverted=np.zeros(network.n_outputs, dtype=bool),
    )
