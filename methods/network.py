"""The one trainable shape: layers of rows, each row a gate on rows of the layer before.

    out[r, :] = gate(theta[param[r]], x[fan_in[r, 0], :], ..., x[fan_in[r, k-1], :])      rows r, items on the last axis

A dense layer has a param of its own for each row; rows that share parameters (the positions of a convolution kernel)
have equal param. All layers of a network have one arity, so its parameters are one array, theta (param, value).
A layer's rows may be pooled: the layer after it then reads the OR of some of them, which relaxed is their maximum.
Which rows a gate reads may be learned too: each of its inputs is then one of several candidates, by logits of its own.
Where inputs are real-valued, learnable thresholds turn them into the bits that the first layer reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from codegen.netlist import Netlist
from codegen.readout import GroupSum, Readout, to_binary
from codegen.truth_table import MAX_ARITY, table_mask
from methods.multilinear import evaluate
from methods.relaxations import RELAXATIONS
from methods.smoothing import Smoothing, softmax
from methods.thresholds import Thresholds, bits

# What is trained, by name: theta float32 (param, value); thresholds float32 (feature, bit) and choice float32
# (choice, k, candidate) where there are any.
Parameters = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Choice:
    """What the inputs of a layer's gates may be. candidates: int32 (gate, k, candidate), signals that the layer can read.
    param: int32 (gate,), the row of the choice logits used; gates that share their place in theta share that too, and then
    candidate i of one stands where candidate i of the others does, as in the positions of a convolution kernel.
    """

    candidates: NDArray[np.int32]
    param: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Layer:
    """fan_in: int32 (gate, k), signals of the layer before (or the inputs). param: int32 (gate,), the row of theta used.

    pool: int32 (signal, n), the gates of this layer of which each of its signals is the OR, one may stand there repeatedly;
    None where its signals are its gates. padded: a fan_in that is the number of signals of the layer before is constant
    false, which is what lies beyond the edges of an image. parts: so many runs of gates, equally long, each of which reads
    only the same run of the gates before, as the kernels of a convolution do: they can be evaluated part by part. choice: what
    the gates may read while that is learned; fan_in is then what they read at the start, the first candidates.
    """

    fan_in: NDArray[np.int32]
    param: NDArray[np.int32]
    pool: NDArray[np.int32] | None = None
    padded: bool = False
    parts: int = 1
    choice: Choice | None = None

    @property
    def n_gates(self) -> int:
        return len(self.fan_in)

    @cached_property
    def params(self) -> NDArray[np.int32]:
        """The rows of theta that it uses, each once."""
        return np.unique(self.param)

    @property
    def n_signals(self) -> int:
        """What the layer after it can read."""
        return self.n_gates if self.pool is None else len(self.pool)


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
    choice_temperature: of the softmax over candidates, > 0.
    """

    relaxation: str
    n_inputs: int
    layers: tuple[Layer, ...]
    temperature: float
    smoothing: str = "soft"
    thresholds: Thresholds | None = None
    readout: Readout | None = None
    choice_temperature: float = 1.0

    @property
    def arity(self) -> int:
        return self.layers[0].fan_in.shape[1]

    @property
    def n_gates(self) -> int:
        return sum(layer.n_gates for layer in self.layers)

    @property
    def n_outputs(self) -> int:
        return self.layers[-1].n_signals

    @property
    def n_values(self) -> int:
        """What the network says of an item: its output bits, or a value a group."""
        return self.n_outputs if self.readout is None else self.readout.n_groups

    def groups(self) -> NDArray[np.int32]:
        """int32 (output,): the value that each signal of the last layer is or counts for."""
        return np.arange(self.n_outputs, dtype=np.int32) if self.readout is None else self.readout.groups(self.n_outputs)

    def members(self) -> NDArray[np.float32] | None:
        """float32 (value, output): 1 where the output counts for the value. None without a readout, where each is its own."""
        if self.readout is None:
            return None
        return (self.groups() == np.arange(self.n_values)[:, None]).astype(np.float32)

    def sources(self) -> list[int]:
        """How many signals each layer reads from: the inputs, then each layer's."""
        return [self.n_inputs, *(layer.n_signals for layer in self.layers[:-1])]

    def identity(self) -> dict[str, NDArray[Any]]:
        """See Model: the wiring and the settings."""
        ends = f"{self.thresholds} {self.readout}"
        temperatures = f"{self.temperature!r} {self.choice_temperature!r}"
        settings = f"{self.relaxation} {self.n_inputs} {temperatures} {self.smoothing} {ends}"
        # Candidates are many and a checkpoint is written often.
        candidates = b"".join(layer.choice.candidates.tobytes() for layer in self.layers if layer.choice is not None)
        pools = [layer.pool.ravel() for layer in self.layers if layer.pool is not None]
        return {
            "fan_in": np.concatenate([layer.fan_in for layer in self.layers]),
            "param": np.concatenate([layer.param for layer in self.layers]),
            "pool": np.concatenate([np.empty(0, dtype=np.int32), *pools]),
            "candidates": np.frombuffer(sha256(candidates).digest(), dtype=np.uint8).copy(),
            "widths": np.array([(layer.n_gates, layer.n_signals) for layer in self.layers]),
            "settings": np.frombuffer(settings.encode(), dtype=np.uint8).copy(),
        }


def unreached(layers: Sequence[Layer], n_signals: int) -> NDArray[np.intp]:
    """Of the n_signals that the first of the layers reads, those from which no path leads to a signal of the last."""
    needed = np.ones(layers[-1].n_signals, dtype=bool)
    for layer, n_read in zip(reversed(layers), [*(layer.n_signals for layer in layers[-2::-1]), n_signals], strict=True):
        gates = needed
        if layer.pool is not None:
            gates = np.zeros(layer.n_gates, dtype=bool)
            gates[layer.pool[needed]] = True
        read = np.zeros(n_read + 1, dtype=bool)
        read[(layer.fan_in if layer.choice is None else layer.choice.candidates)[gates]] = True
        needed = read[:n_read]
    return np.flatnonzero(~needed)


def wired(network: Network, parameters: Parameters) -> Network:
    """The network with every input of a gate where its choice logits are largest, the first of equal ones: nothing to choose."""

    def of(layer: Layer) -> Layer:
        if layer.choice is None:
            return layer
        best = parameters["choice"].argmax(axis=2)[layer.choice.param]
        return replace(layer, fan_in=np.take_along_axis(layer.choice.candidates, best[:, :, None], axis=2)[:, :, 0], choice=None)

    return replace(network, layers=tuple(of(layer) for layer in network.layers))


class Columns(NamedTuple):
    """A layer in an engine's arrays. fan_in: by input. gates: something for its gates, such as param. pool: its columns, none
    where it has no pool. candidates: by input and candidate, and choice: their param, none where fan_in is what is read."""

    fan_in: Sequence[Any]
    gates: Any
    pool: Sequence[Any]
    candidates: Sequence[Sequence[Any]] = ()
    choice: Any = None


def columns(network: Network, put: Callable[[NDArray[np.int32]], Any]) -> list[Columns]:
    """The layers in an engine's arrays, with their param; put: makes one of numpy's."""
    found = []
    for layer in network.layers:
        one = Columns(
            [put(column) for column in layer.fan_in.T],
            put(layer.param),
            [] if layer.pool is None else [put(column) for column in layer.pool.T],
        )
        if layer.choice is not None:
            by_input = [[put(column) for column in one.T] for one in layer.choice.candidates.transpose(1, 0, 2)]
            one = one._replace(candidates=by_input, choice=put(layer.choice.param))
        found.append(one)
    return found


def _inputs(xp: Any, take: Callable[[Any, Any], Any], layer: Layer, of: Columns, x: Any, weights: Any = None) -> list[Any]:
    """What the gates of a layer read of the signals before it, x (signal, item); weights: (choice, k, candidate), of the
    candidates, where there are any."""
    if layer.padded:
        x = xp.concat([x, xp.zeros_like(x[:1])])
    if not of.candidates:
        return [take(x, column) for column in of.fan_in]
    mine = take(weights, of.choice)
    return [
        sum(mine[:, j, i, None] * take(x, column) for i, column in enumerate(by_candidate))
        for j, by_candidate in enumerate(of.candidates)
    ]


def choice_weights(xp: Any, logits: Any, temperature: float, smoothing: Smoothing) -> Any:
    """Of each candidate, (choice, k, candidate): 1 for the one with the largest logit and 0 for the others, exactly, with the
    gradient of the softmax (straight-through)."""
    return smoothing.straight_through(softmax(xp, logits / temperature), smoothing.largest(xp, logits))


def _pooled(xp: Any, take: Callable[[Any, Any], Any], pool: Sequence[Any], gates: Any) -> Any:
    """A layer's signals from its gates' values; of equal largest ones, each has the same share of the gradient."""
    return xp.max(xp.stack([take(gates, column) for column in pool]), axis=0) if pool else gates


def relaxed(
    xp: Any,
    take: Callable[[Any, Any], Any],
    network: Network,
    layers: Sequence[Columns],
    parameters: dict[str, Any],
    x: Any,
    smoothing: Smoothing | None = None,
) -> Iterator[Any]:
    """The values of the relaxed network in any engine's arrays: the bits it reads, then each layer's, (signal, item).

    x: (feature, item) for a network with thresholds, else (input, item). take: (x, rows) -> x[rows], the engine's gather.
    smoothing: of a training step; None to evaluate, where layers are those of a wired network.
    """
    if network.thresholds is not None:
        soft, hard = bits(xp, parameters["thresholds"], x, network.thresholds)
        x = soft if smoothing is None else smoothing.harden(soft, hard)
    yield x
    relaxation = RELAXATIONS[network.relaxation]
    coefficients = relaxation.coefficients(xp, parameters["theta"], network.temperature, smoothing)
    weights = None
    if any(of.candidates for of in layers):
        assert smoothing is not None
        weights = choice_weights(xp, parameters["choice"], network.choice_temperature, smoothing)
    first_gate = 0
    for layer, of in zip(network.layers, layers, strict=True):
        polynomial = evaluate(take(coefficients, of.gates), _inputs(xp, take, layer, of, x, weights))
        gates = relaxation.activation(xp, polynomial, network.temperature, smoothing, first_gate)
        first_gate += layer.n_gates
        x = _pooled(xp, take, of.pool, gates)
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
    xp: Any,
    gate: Callable[[Any, list[Any]], Any],
    take: Callable[[Any, Any], Any],
    network: Network,
    layers: Sequence[Columns],
    x: Any,
) -> Any:
    """Run layers, of a wired network, on x (input, item), in any engine's arrays, without the readout.

    layers: with what `gate` needs of a layer's gates. gate: (that, inputs) -> values (gate, item). take: (x, rows) -> x[rows],
    the engine's gather. Returns (signal of the last layer, item).
    """
    for layer, of in zip(network.layers, layers, strict=True):
        x = _pooled(xp, take, of.pool, gate(of.gates, _inputs(xp, take, layer, of, x)))
    return x


def discretise(network: Network, tables: NDArray[np.uint64]) -> Netlist:
    """The trained network as a netlist, gate for gate, with ORs for the pools and a constant for what lies beyond an edge.

    network: wired. tables: uint64 (param,), the function that each theta stands for.
    """
    gates = _Gates(network.n_inputs)
    false = gates.add(np.zeros(1, dtype=np.uint64), np.empty((1, 0)))[0] if any(one.padded for one in network.layers) else -1
    signals = np.arange(network.n_inputs)
    for layer in network.layers:
        signals = gates.add(tables[layer.param], np.append(signals, false)[layer.fan_in])
        if layer.pool is not None:
            signals = gates.any_of(signals[layer.pool])
    return gates.netlist(signals)


class _Gates:
    """A netlist as it grows, a set of gates of one arity at a time."""

    def __init__(self, n_inputs: int) -> None:
        self._n_inputs = self._n_signals = n_inputs
        self._tables: list[NDArray[np.uint64]] = []
        self._fan_ins: list[NDArray[np.intp]] = []

    def add(self, tables: NDArray[np.uint64], fan_in: NDArray[Any]) -> NDArray[np.intp]:
        """tables (gate,), fan_in (gate, k), signals -> the gates' own signals."""
        self._tables.append(tables)
        self._fan_ins.append(fan_in.astype(np.intp))
        self._n_signals += len(tables)
        return np.arange(self._n_signals - len(tables), self._n_signals)

    def any_of(self, signals: NDArray[np.intp]) -> NDArray[np.intp]:
        """(or, n) -> (or,), by gates of as many inputs as there may be."""
        while signals.shape[1] > 1:
            parts = np.array_split(signals, -(-signals.shape[1] // MAX_ARITY), axis=1)
            either = [np.full(len(part), table_mask(part.shape[1]) - 1, dtype=np.uint64) for part in parts]
            signals = np.column_stack([self.add(tables, part) for tables, part in zip(either, parts, strict=True)])
        return signals[:, 0]

    def netlist(self, outputs: NDArray[np.intp]) -> Netlist:
        arity = np.concatenate([np.full(len(fan_in), fan_in.shape[1]) for fan_in in self._fan_ins])
        widest = arity.max()
        padded = [np.pad(one, ((0, 0), (0, widest - one.shape[1])), constant_values=-1) for one in self._fan_ins]
        return Netlist(
            n_inputs=self._n_inputs,
            table=np.concatenate(self._tables),
            fan_in=np.concatenate(padded),
            arity=arity,
            outputs=outputs.astype(np.int32),
            inverted=np.zeros(len(outputs), dtype=bool),
        )
