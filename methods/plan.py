"""A network's rows as the kernels take them, and their working memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods import choice_kernels, kernels
from methods.kernels import FIRST, GATES, MAX_GROUPS, SIGNALS, Floats, most_threads
from methods.network import Network
from methods.simd import LANES, mixed

# Layers are taken together in the backward pass as long as the groups' sums stay below the larger of these: a number of
# bytes that fits a cache, and a share of the activations.
_SUMS_BYTES = 1 << 20
_SUMS_SHARE = 0.05
_HUGE_PAGE = 1 << 21


@dataclass(frozen=True)
class Span:
    """Blocks low to high - 1, taken together in the backward pass; params: those that their rows use, ascending, as a slice
    if they are a run."""

    low: int
    high: int
    n_params: int
    params: NDArray[np.int32] | slice


class Plan:
    """A network's rows as the kernels take them, and their working memory.

    forward keeps the activations that backward turns into gradients in place, so each forward has at most one backward.
    Buffers are made anew only when the number of items changes, because fresh memory every step costs more in page faults
    than the arithmetic.
    """

    def __init__(self, network: Network, sigmoid: bool) -> None:
        """sigmoid: the gates' activation, else none (Relaxation.SIGMOID)."""
        self._sigmoid = sigmoid
        self._n_inputs = network.n_inputs
        self._n_values = network.n_values
        self._n_terms = 1 << network.arity
        self._layers, self._blocks = _layout(network), _blocks(network)
        self._n_signals = int(self._layers[-1, SIGNALS])
        self._bounds = self._layers[self._blocks[:, 0], FIRST]
        rows = _by_first_input(network, self._layers)
        self._fan_in, self._param, self._number = rows.fan_in, rows.param, rows.number
        self._choosers = _choosers(rows)
        self._inverse_temperature = np.float32(1 / network.choice_temperature)
        self._logits, self._best = np.empty((0, 0, 0), dtype=np.float32), np.empty((0, 0), dtype=np.intp)
        self._slopes = np.empty((0, 0), dtype=np.float32)
        self._bits = np.empty(0, dtype=np.uint16)
        pools = [layer.pool.ravel() for layer in network.layers if layer.pool is not None]
        self._pool = np.concatenate([np.empty(0, dtype=np.int32), *pools]).astype(np.int32)
        self._group = network.groups()[rows.last]
        widest = max(network.n_inputs, *(max(layer.n_gates, layer.n_signals) for layer in network.layers)) + 1
        self._room = _arena(most_threads() * self._n_values * LANES).reshape(most_threads(), -1)
        self._grads = _arena(most_threads() * 4 * widest * LANES).reshape(most_threads(), 4, -1)
        self._grads[:] = 0
        self._n_items = -1
        self._values = self._sums = np.empty(0, dtype=np.float32)
        self._slot = np.empty(0, dtype=np.int32)
        self._spans: list[Span] = []

    @property
    def n_choices(self) -> int:
        """Rows of the choice logits, 0 where all that is read is fixed."""
        return len(self._choosers.starts) - 1

    def choose(self, logits: Floats) -> None:
        """From now on, each input that chooses reads the candidate with the largest logit, the first of equal ones.

        logits: (choice, k, candidate), kept for the next backward pass.
        """
        chosen = self._choosers
        self._logits = logits
        self._best = logits.argmax(axis=2)
        choice_kernels.choose(self._best, chosen.starts, chosen.rows, chosen.candidates, self._fan_in)

    def forward(
        self, x: Floats, coefficients: Floats, activation: bool = True, hard: bool = False, noise: float = 0.0, key: int = 0
    ) -> Floats:
        """x (input, item), coefficients (param, 2**k) -> (value, item): the outputs, or the sums of the readout's groups.

        activation: with the sigmoid, if the gates have one. hard: every signal is read as 0 or 1, the outputs too. noise:
        factor of the logistic noise in front of the sigmoid, drawn by key.
        """
        n_items = x.shape[1]
        self._resize(n_items)
        outputs = np.empty((self._n_values, n_items), dtype=np.float32)
        kernels.forward_pass(
            np.ascontiguousarray(x), self._values, self._n_signals, self._layers, self._blocks, self._fan_in, self._pool,
            self._param, self._number, np.ascontiguousarray(coefficients), self._sigmoid and activation, hard,
            np.float32(noise), np.uint32(mixed(np.uint32(key))), self._group, outputs, self._room,
        )  # fmt: skip
        return outputs

    def backward(
        self, coefficients: Floats, grad: Floats, hard: bool = False, want_inputs: bool = False
    ) -> tuple[Floats, Floats | None, Floats | None]:
        """The gradients to the coefficients, if wanted to x of the last forward, and where there are choices to their logits,
        (choice, k, candidate), as of a softmax (straight-through), from that to its outputs."""
        grad, coefficients = np.ascontiguousarray(grad), np.ascontiguousarray(coefficients)
        grad_coefficients = np.zeros_like(coefficients)
        grad_inputs = np.empty((self._n_inputs if want_inputs else 0, self._n_items), dtype=np.float32)
        chosen = self._choosers
        for span in reversed(self._spans):
            kernels.backward_pass(
                grad, self._values, self._n_signals, self._layers, self._blocks, self._fan_in, self._pool, self._param,
                self._slot, coefficients, span.low, span.high, self._sigmoid, hard, self._group, grad_inputs, self._grads,
                self._sums, self._room, chosen.of_row, self._slopes,
            )  # fmt: skip
            kernels.add_groups(self._sums)
            used = self._sums[0, : span.n_params * self._n_terms]
            grad_coefficients[span.params] += used.reshape(-1, self._n_terms)
            used[:] = 0
        to_logits = None
        if self.n_choices > 0:
            n = chosen.n_candidates
            grads = np.zeros((self.n_choices, chosen.candidates.shape[1], -(-n // 4) * 4), dtype=np.float32)
            n_tiles = -(-self._n_items // LANES)
            n_bits = self._n_signals if hard else self._n_inputs + 1
            if not choice_kernels.pack_bits(self._values, self._n_signals, n_tiles, n_bits, hard, self._bits):
                n_bits = 0
            choice_kernels.gradient(
                self._slopes, self._values, self._n_signals, n_tiles, chosen.starts, chosen.candidates, hard, self._bits, n_bits,
                grads,
            )  # fmt: skip
            choice_kernels.softmax_gradient(self._logits, self._best, self._inverse_temperature, grads)
            to_logits = np.ascontiguousarray(grads[:, :, :n])
        return grad_coefficients, grad_inputs if want_inputs else None, to_logits

    def _resize(self, n_items: int) -> None:
        if n_items == self._n_items:
            return
        self._n_items = n_items
        n_tiles = -(-n_items // LANES)
        self._values = _arena(n_tiles * self._n_signals * LANES)
        of_tiles = self._values.reshape(n_tiles, self._n_signals, LANES)
        of_tiles[:, self._layers[:-1, GATES] - 1] = 0  # constant false
        n_groups = min(n_tiles, MAX_GROUPS)
        bytes_of_a_param = 4 * n_groups * self._n_terms
        limit = max(_SUMS_BYTES, int(_SUMS_SHARE * self._values.nbytes)) // bytes_of_a_param
        self._slopes = np.empty((n_tiles, 0), dtype=np.float32)
        if self.n_choices > 0:
            self._bits = np.empty(self._n_signals * n_tiles, dtype=np.uint16)
            limit = len(self._param)  # one span: another would take the place of values that the choices' gradients need
            self._slopes = _arena(n_tiles * self._choosers.candidates[:, :, 0].size * LANES).reshape(n_tiles, -1)
        self._slot, self._spans = _spans(self._param, self._bounds, limit)
        n_slots = max(span.n_params for span in self._spans)
        self._sums = np.zeros((n_groups, -(-n_slots * self._n_terms // LANES) * LANES), dtype=np.float32)


def _layout(network: Network) -> NDArray[np.int64]:
    """The layers as the kernels take them, (layer, see FIRST and so on), and one more that says where all of them end.

    Signals are the inputs and then each layer's gates and, where it has a pool, what that makes of them; behind the inputs,
    and behind each layer, there is one that is always false.
    """
    rows = []
    first = pool = read = 0
    at = network.n_inputs + 1
    for layer in network.layers:
        pooled = 0 if layer.pool is None else layer.pool.shape[1]
        signals = at + layer.n_gates if pooled else at
        rows.append([first, pool, pooled, at, read, signals, layer.n_signals])
        first, pool, read, at = first + layer.n_gates, pool + pooled * layer.n_signals, signals, signals + layer.n_signals + 1
    return np.array([*rows, [first, pool, 0, at, read, at, 0]], dtype=np.int64)


def _blocks(network: Network) -> NDArray[np.int64]:
    """Runs of layers that are taken part by part, so that what passes between them stays in the cache: (block, the first layer
    and how many parts), and one more that begins past the last layer."""
    starts = [index for index, layer in enumerate(network.layers) if layer.parts == 1]
    ends = [*starts[1:], len(network.layers)]
    return np.array([*((start, network.layers[end - 1].parts) for start, end in zip(starts, ends, strict=True)), (ends[-1], 0)])


@dataclass(frozen=True)
class _Rows:
    """A network's gates in the order of the kernels. fan_in: int32 (row, k), over all signals. param, number: int32 (row,), in
    theta and in the network. choosers: the rows that choose their inputs, candidates, int32 (chooser, k, candidate), and choices,
    (chooser,), theirs. last: the gates of the last layer in this order, or its signals where it is pooled."""

    fan_in: NDArray[np.int32]
    param: NDArray[np.int32]
    number: NDArray[np.int32]
    choosers: NDArray[np.intp]
    candidates: NDArray[np.int32]
    choices: NDArray[np.int32]
    last: NDArray[np.intp]


def _by_first_input(network: Network, layout: NDArray[np.int64]) -> _Rows:
    """The gates reordered within their layers.

    Gates sorted by their first input read that one in order: a quarter less time on layers of 8,000. Those that share
    parameters, are pooled or in parts stay in place: their neighbours read neighbouring signals as it is.
    """
    fan_ins, params, numbers = [], [], []
    choosers, candidates, choices = [], [], []
    place = np.arange(network.n_inputs, dtype=np.int32)  # where the signals of the layer before have gone
    order: NDArray[np.intp] = np.arange(0)
    in_parts = np.array([layer.parts > 1 for layer in (*network.layers, network.layers[0])])
    for layer, (first_gate, _, _, _, read, *_), kept in zip(network.layers, layout, in_parts[:-1] | in_parts[1:], strict=False):
        places = np.append(place, len(place))
        fan_in = places[layer.fan_in]
        order = np.arange(layer.n_gates, dtype=np.intp)
        if not kept and layer.pool is None and len(layer.params) == layer.n_gates:
            order = np.argsort(fan_in[:, 0], kind="stable")
        fan_ins.append(fan_in[order] + read)
        params.append(layer.param[order])
        numbers.append(first_gate + order)
        if layer.choice is not None:
            choosers.append(first_gate + np.arange(layer.n_gates))
            candidates.append(places[layer.choice.candidates[order]] + read)
            choices.append(layer.choice.param[order])
        place = np.argsort(order).astype(np.int32) if layer.pool is None else np.arange(layer.n_signals, dtype=np.int32)
    return _Rows(
        np.ascontiguousarray(np.concatenate(fan_ins), dtype=np.int32),
        np.concatenate(params).astype(np.int32),
        np.concatenate(numbers).astype(np.int32),
        np.concatenate([np.empty(0, dtype=np.intp), *choosers]),
        np.concatenate(candidates).astype(np.int32) if candidates else np.empty((0, network.arity, 0), dtype=np.int32),
        np.concatenate([np.empty(0, dtype=np.int32), *choices]),
        order if network.layers[-1].pool is None else np.arange(network.n_outputs, dtype=np.intp),
    )


@dataclass(frozen=True)
class _Choosers:
    """The rows that choose their inputs, in the order of their choices; see choose and, for of_row, backward_pass. candidates: as
    many more of the last as make a multiple of four, n_candidates without them."""

    starts: NDArray[np.intp]
    rows: NDArray[np.intp]
    candidates: NDArray[np.int32]
    n_candidates: int
    of_row: NDArray[np.int32]


def _choosers(rows: _Rows) -> _Choosers:
    order = np.argsort(rows.choices, kind="stable")
    chosen, n = rows.choosers[order], rows.candidates.shape[2]
    of_row = np.empty(0, dtype=np.int32)
    if len(chosen):
        of_row = np.full(len(rows.param), -1, dtype=np.int32)
        of_row[chosen] = np.arange(len(chosen))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows.choices))])
    candidates = np.pad(rows.candidates[order], ((0, 0), (0, 0), (0, -n % 4)), mode="edge" if n else "constant")
    return _Choosers(starts, chosen, np.ascontiguousarray(candidates), n, of_row)


def _spans(param: NDArray[np.int32], bounds: NDArray[Any], limit: int) -> tuple[NDArray[np.int32], list[Span]]:
    """Runs of layers with at most limit params (or one layer), and for each row its param's place among those of its span."""
    slot = np.empty(len(param), dtype=np.int32)
    spans: list[Span] = []
    high = len(bounds) - 1
    while high > 0:
        low = high - 1
        while low > 0 and len(np.unique(param[bounds[low - 1] : bounds[high]])) <= limit:
            low -= 1
        rows = slice(bounds[low], bounds[high])
        params, slot[rows] = np.unique(param[rows], return_inverse=True)
        first, last = int(params[0]), int(params[-1])
        run = last - first + 1 == len(params)
        spans.insert(0, Span(low, high, len(params), slice(first, last + 1) if run else params))
        high = low
    return slot, spans


def _arena(n: int) -> Floats:
    """n float32 in memory that the system can map in huge pages: gathers from small ones miss the TLB."""
    raw = np.empty(4 * n + _HUGE_PAGE, dtype=np.uint8)
    first = -raw.ctypes.data % _HUGE_PAGE
    return raw[first : first + 4 * n].view(np.float32)
