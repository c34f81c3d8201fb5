"""The one trainable shape: layers of rows, each row a gate on rows of the layer before.

    out[r, :] = gate(theta[param[r]], x[fan_in[r, 0], :], ..., x[fan_in[r, k-1], :])      rows r, items on the last axis

A dense layer has a param of its own for each row; rows that share parameters (the positions of a convolution kernel)
have equal param. All layers of a network have one arity, so its parameters are one array, theta (param, value).
Where inputs are real-valued, learnable thresholds turn them into the bits that the first layer reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codegen.netlist import Netlist
from codegen.readout import GroupSum, Readout, to_binary
from methods.multilinear import evaluate
from methods.relaxations import RELAXATIONS
from methods.smoothing import Smoothing
from methods.thresholds import Thresholds, bits

# What is trained, by name: theta float32 (param, value), and thresholds float32 (feature, bit) where there are any.
Parameters = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Layer:
    """fan_in: int32 (row, k), rows of the layer before (or the inputs). param: int32 (row,), the row of theta used."""

    fan_in: NDArray[np.int32]
    param: NDArray[np.int32]

    @property
    def n_rows(self) -> int:
        return len(self.fan_in)


class Model(Protocol):
    """What can be trained: a Network, or an ordinary one (methods.ordinary)."""

    @property
    def n_inputs(self) -> int:
        """What the first layer reads of an item."""

    @property
    def readout(self) -> Readout | None:
        """How its values become the answer, None where they are the output bits."""

    def identity(self) -> dict[str, NDArray[Any]]:
        """What it must have in common with another that a checkpoint of this one can be continued with."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network's wiring and what its gates are; the parameters are kept apart from it.

    relaxation: a key of RELAXATIONS. n_inputs: bits that the first layer reads. temperature: of every gate's relaxation,
    > 0. smoothing: of methods.smoothing.MODES. thresholds: how real-valued inputs become bits, None where inputs are bits.
    readout: how sums of the last layer's rows become the answer, None where the rows are the output bits.
    """

    relaxation: str
    n_inputs: int
    layers: tuple[Layer, ...]
    temperature: float
    smoothing: str = "soft"
    thresholds: Thresholds | None = None
    readout: Readout | None = None

    @property
    def arity(self) -> int:
        return self.layers[0].fan_in.shape[1]

    @property
    def n_gates(self) -> int:
        return sum(layer.n_rows for layer in self.layers)

    @property
    def n_outputs(self) -> int:
        return self.layers[-1].n_rows

    @property
    def n_values(self) -> int:
        """What the network says of an item: its output bits, or a value a group."""
        return self.n_outputs if self.readout is None else self.readout.n_groups

    def groups(self) -> NDArray[np.int32]:
        """int32 (output,): the value that each row of the last layer is or counts for."""
        return np.arange(self.n_outputs, dtype=np.int32) if self.readout is None else self.readout.groups(self.n_outputs)

    def members(self) -> NDArray[np.float32] | None:
        """float32 (value, output): 1 where the output counts for the value. None without a readout, where each is its own."""
        if self.readout is None:
            return None
        return (self.groups() == np.arange(self.n_values)[:, None]).astype(np.float32)

    def sources(self) -> list[int]:
        """How many signals each layer reads from: the inputs, then each layer's rows."""
        return [self.n_inputs, *(layer.n_rows for layer in self.layers[:-1])]

    def identity(self) -> dict[str, NDArray[Any]]:
        """See Model: the wiring and the settings."""
        ends = f"{self.thresholds} {self.readout}"
        settings = f"{self.relaxation} {self.n_inputs} {self.temperature!r} {self.smoothing} {ends}"
        return {
            "fan_in": np.concatenate([layer.fan_in for layer in self.layers]),
            "param": np.concatenate([layer.param for layer in self.layers]),
            "widths": np.array([layer.n_rows for layer in self.layers]),
            "settings": np.frombuffer(settings.encode(), dtype=np.uint8).copy(),
        }

    def unreached_inputs(self) -> NDArray[np.intp]:
        """The inputs from which no path leads to an output."""
        needed = np.ones(self.n_outputs, dtype=bool)
        for layer, n_signals in zip(reversed(self.layers), reversed(self.sources()), strict=True):
            read = np.zeros(n_signals, dtype=bool)
            read[layer.fan_in[needed]] = True
            needed = read
        return np.flatnonzero(~needed)


Columns = tuple[Sequence[Any], Any]  # a layer in an engine's arrays: its fan-in columns, and param


def relaxed(
    xp: Any,
    take: Callable[[Any, Any], Any],
    network: Network,
    layers: Sequence[Columns],
    parameters: dict[str, Any],
    x: Any,
    smoothing: Smoothing | None = None,
) -> Iterator[Any]:
    """The values of the relaxed network in any engine's arrays: the bits it reads, then each layer's, (row, item).

    x: (feature, item) for a network with thresholds, else (input, item). take: (x, rows) -> x[rows], the engine's gather.
    """
    if network.thresholds is not None:
        soft, hard = bits(xp, parameters["thresholds"], x, network.thresholds)
        x = soft if smoothing is None else smoothing.harden(soft, hard)
    yield x
    relaxation = RELAXATIONS[network.relaxation]
    coefficients = relaxation.coefficients(xp, parameters["theta"], network.temperature, smoothing)
    first_row = 0
    for columns, param in layers:
        polynomial = evaluate(take(coefficients, param), [take(x, column) for column in columns])
        x = relaxation.activation(xp, polynomial, network.temperature, smoothing, first_row)
        first_row += x.shape[0]
        yield x


def answers(network: Model, said: NDArray[Any]) -> NDArray[np.bool_]:
    """What the hard network said (methods.readout.said), bits (output, item) or a class (item,), as codegen.circuit.answers."""
    if isinstance(network.readout, GroupSum):
        return to_binary(said.astype(np.int32), network.readout.n_classes)
    return said.T > 0.5


def summed(members: Any, outputs: Any) -> Any:
    """The last layer's values, (output, item), as the network's, (value, item); members: Network.members in the engine's
    arrays."""
    return outputs if members is None else members @ outputs


def forward(
    gate: Callable[[Any, list[Any]], Any], take: Callable[[Any, Any], Any], layers: Sequence[tuple[Sequence[Any], Any]], x: Any
) -> Any:
    """Run layers on x (input, item), in any engine's arrays, without the readout.

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
