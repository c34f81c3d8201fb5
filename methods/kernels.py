"""Fused CPU kernels of a whole network: an acceleration of what methods.network defines, not a second definition.

Items are processed in tiles of sixteen, one vector: signal s of tile t is the sixteen values at values[t, s]. A gate is then
straight-line code on whole vectors, the signals of two layers of a tile fit a cache that the whole batch does not, and
tiles are independent, so threads meet once a pass and not once a layer.

The result is the same to the bit for any number of threads. Within a tile one thread adds up the gradient of each signal in
the order of the rows; each group of tiles adds up the gradient of each parameter on its own; and the groups, which are fixed
by the batch and not by the threads, are added in order.
"""

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from methods.dlgn import COEFFICIENTS, N_FUNCTIONS
from methods.lane_gates import gate_gradient, gate_value, prefetch_inputs
from methods.simd import (
    LANES,
    equal,
    exp,
    fma,
    four_sums,
    hashed_uniform,
    largest,
    load,
    log,
    maximum,
    mixed,
    rounded,
    splat,
    store,
    store_four,
    total,
)

Floats = NDArray[np.float32]

# Rows ahead whose inputs are asked for: far enough to hide the latency of the outer caches, measured on layers of 8,000.
_AHEAD = 8
# Tiles are dealt to at most this many groups, each with its own sums of parameter gradients: no more threads than this
# have work in the backward pass.
MAX_GROUPS = 16

# A row of what tells the kernels a layer: its first gate; its first pool entry and how many each of its signals has, 0 where
# its signals are its gates; the signals where its gates begin, where what it reads begins and where its own begin; how many
# those are.
FIRST, POOL, POOLED, GATES, READ, SIGNALS, N_SIGNALS = range(7)


# The code of a gate is made for a literal number of inputs, so each has a branch of its own. Inlined, since a call would pass
# vectors through memory: it doubles the time of two-input gates.
@njit(cache=True, inline="always")
def _value(arity, values, base, fan_in, row, coefficients, param, hard):
    if arity == 2:
        return gate_value(2, values, base, fan_in, row, coefficients, param, hard)
    if arity == 4:
        return gate_value(4, values, base, fan_in, row, coefficients, param, hard)
    if arity == 6:
        return gate_value(6, values, base, fan_in, row, coefficients, param, hard)
    if arity == 1:
        return gate_value(1, values, base, fan_in, row, coefficients, param, hard)
    if arity == 3:
        return gate_value(3, values, base, fan_in, row, coefficients, param, hard)
    return gate_value(5, values, base, fan_in, row, coefficients, param, hard)


@njit(cache=True, inline="always")
def _gradient(
    arity, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place
):  # fmt: skip
    if arity == 2:
        gate_gradient(2, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place)
    elif arity == 4:
        gate_gradient(4, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place)
    elif arity == 6:
        gate_gradient(6, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place)
    elif arity == 1:
        gate_gradient(1, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place)
    elif arity == 3:
        gate_gradient(3, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place)
    else:
        gate_gradient(5, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place)


@njit(cache=True, inline="always")
def _ask_for(arity, values, base, fan_in, row):
    if arity == 2:
        prefetch_inputs(2, values, base, fan_in, row)
    elif arity == 4:
        prefetch_inputs(4, values, base, fan_in, row)
    elif arity == 6:
        prefetch_inputs(6, values, base, fan_in, row)
    elif arity == 1:
        prefetch_inputs(1, values, base, fan_in, row)
    elif arity == 3:
        prefetch_inputs(3, values, base, fan_in, row)
    else:
        prefetch_inputs(5, values, base, fan_in, row)


@njit(cache=True)
def _pack(array, tile, tiles, at):
    """Sixteen items of each row of array, (row, item), to one vector a row from tiles[at] on; zeros after the last item."""
    n_rows, n_items = array.shape
    flat = array.reshape(-1)
    first = LANES * tile
    if first + LANES <= n_items:
        for row in range(n_rows):
            store(tiles, at + LANES * row, load(flat, row * n_items + first))
    else:
        for row in range(n_rows):
            for lane in range(LANES):
                item = first + lane
                tiles[at + LANES * row + lane] = array[row, item] if item < n_items else np.float32(0)


@njit(cache=True)
def _unpack(tiles, at, tile, array):
    """The inverse of _pack."""
    n_rows, n_items = array.shape
    flat = array.reshape(-1)
    first = LANES * tile
    for row in range(n_rows):
        if first + LANES <= n_items:
            store(flat, row * n_items + first, load(tiles, at + LANES * row))
        else:
            for item in range(first, n_items):
                array[row, item] = tiles[at + LANES * row + item - first]


@njit(cache=True)
def _forward_rows(values, tile, base, at, low, high, fan_in, param, number, coefficients, sigmoid, hard, noise, key):
    """Gates low to high - 1 of a tile that begins at base; the values go to signals from `at` on."""
    arity = fan_in.shape[1]
    one = splat(np.float32(1))
    for row in range(low, high):
        if row + _AHEAD < high:
            _ask_for(arity, values, base, fan_in, row + _AHEAD)
        value = _value(arity, values, base, fan_in, row, coefficients, param[row], hard)
        if sigmoid:
            if noise != np.float32(0):
                u = hashed_uniform(np.uint32(mixed(np.uint32(number[row]) + key) + np.uint32(LANES * tile)))
                value = fma(splat(noise), log(u) - log(one - u), value)
            value = one / (one + exp(splat(np.float32(0)) - value))
        store(values, base + LANES * (at + row - low), value)


@njit(cache=True, inline="always")
def as_read(values, at, hard):
    """A value as the layers after it see it."""
    value = load(values, at)
    return rounded(value) if hard else value


@njit(cache=True)
def _largest_of(values, gates, pool, start, n, hard):
    """The largest of n values that pool[start:] names, of gates that begin at `gates`."""
    value = as_read(values, gates + LANES * pool[start], hard)
    for i in range(start + 1, start + n):
        value = maximum(value, as_read(values, gates + LANES * pool[i], hard))
    return value


@njit(cache=True)
def _forward_pool(values, base, layer, low, high, pool, hard):
    """A layer's signals low to high - 1."""
    n = layer[POOLED]
    for signal in range(low, high):
        value = _largest_of(values, base + LANES * layer[GATES], pool, layer[POOL] + n * signal, n, hard)
        store(values, base + LANES * (layer[SIGNALS] + signal), value)


@njit(parallel=True, cache=True)
def forward_pass(
    x, values, n_signals, layers, blocks, fan_in, pool, param, number, coefficients, sigmoid, hard, noise, key, group, outputs,
    room,
):  # fmt: skip
    """x, (input, item), through all layers, and the last one's signals, summed by group, to outputs, (value, item).

    values: float32 (tile * signal * 16,), a buffer. layers, blocks: see _layout and _blocks.
    """
    n_items = x.shape[1]
    for unsigned in prange(-(-n_items // LANES)):
        tile = np.int64(unsigned)  # or numba compiles what is called for both types
        base = LANES * tile * n_signals
        _pack(x, tile, values, base)
        for block in range(len(blocks) - 1):
            n_parts, end = blocks[block, 1], blocks[block + 1, 0]
            for part in range(n_parts):
                for index in range(blocks[block, 0], end):
                    layer = layers[index]
                    n = (layers[index + 1, FIRST] - layer[FIRST]) // n_parts
                    low = layer[FIRST] + n * part
                    _forward_rows(
                        values, tile, base, layer[GATES] + n * part, low, low + n, fan_in, param, number, coefficients, sigmoid,
                        hard, noise, key,
                    )  # fmt: skip
                layer = layers[end - 1]
                if layer[POOLED] > 0:
                    n = layer[N_SIGNALS] // n_parts
                    _forward_pool(values, base, layer, n * part, n * (part + 1), pool, hard)
        sums = room[numba.get_thread_id()]
        sums[:] = np.float32(0)
        last = base + LANES * layers[len(layers) - 2, SIGNALS]
        for row in range(len(group)):
            value = as_read(values, last + LANES * row, hard)
            at = LANES * group[row]
            store(sums, at, load(sums, at) + value)
        _unpack(sums, 0, tile, outputs)


@njit(cache=True)
def _take_gradient(above, row, values, at, sigmoid):
    """The gradient to a row's polynomial, from that to its value in above, which is zero again. The value is values[at]."""
    grad = load(above, LANES * row)
    store(above, LANES * row, splat(np.float32(0)))
    if sigmoid:
        value = load(values, at)
        grad = grad * value * (splat(np.float32(1)) - value)
    return grad


@njit(cache=True)
def _unpool(values, base, layer, low, high, pool, hard, above, first, gates):
    """From the gradient to a layer's signals low to high - 1, in above and taken out as it is read, add those to its gates'
    values to `gates`, of which the first is the layer's gate `first`: those with the largest value have equal shares."""
    n = layer[POOLED]
    for signal in range(low, high):
        grad = load(above, LANES * signal)
        store(above, LANES * signal, splat(np.float32(0)))
        start = layer[POOL] + n * signal
        at = base + LANES * layer[GATES]
        value = _largest_of(values, at, pool, start, n, hard)
        shares = splat(np.float32(0))
        for i in range(start, start + n):
            shares = shares + equal(as_read(values, at + LANES * pool[i], hard), value)
        share = grad / shares
        for i in range(start, start + n):
            mine = equal(as_read(values, at + LANES * pool[i], hard), value)
            to = LANES * (pool[i] - first)
            store(gates, to, fma(share, mine, load(gates, to)))


@njit(cache=True)
def _backward_rows(
    values, base, at, fan_in, param, slot, coefficients, low, high, sigmoid, hard, above, first, below, sums, chooser, slopes,
):  # fmt: skip
    """Gates low to high - 1, whose values are signals from `at` on: add their coefficients' gradients to sums, and their
    inputs' to below, whose signal 0 is `first`.

    above: the gradient to the gates' values, taken out as it is read. first < 0: nobody wants the inputs'. slopes: where those
    of choosers go, see backward_pass.
    """
    arity = fan_in.shape[1]
    choosing = len(chooser) > 0
    for row in range(low, high):
        if row + _AHEAD < high:
            _ask_for(arity, values, base, fan_in, row + _AHEAD)
            if first >= 0:
                _ask_for(arity, below, -LANES * first, fan_in, row + _AHEAD)
        grad = _take_gradient(above, row - low, values, base + LANES * (at + row - low), sigmoid)
        place = np.int64(chooser[row]) if choosing else np.int64(-1)
        _gradient(
            arity, values, base, fan_in, row, coefficients, param[row], hard, grad, sums, slot[row], below, first, slopes, place
        )


@njit(parallel=True, cache=True)
def backward_pass(
    grad_outputs, values, n_signals, layers, blocks, fan_in, pool, param, slot, coefficients, low, high, sigmoid, hard, group,
    grad_inputs, grads, sums, room, chooser, slopes,
):  # fmt: skip
    """Blocks high - 1 down to low on all tiles; sums: float32 (batch group, slot * 2**k), zero before.

    grad_outputs, (value, item), is read if the span has the last layer; grad_inputs, (input, item), is written if it has
    the first and there is anything to write. chooser: int32 (row,), which of those that choose their inputs a row is, -1 for
    none, empty if none do; slopes: float32 (tile, chooser * k * 16), the gradients to their inputs.
    """
    n_groups = sums.shape[0]
    n_items = grad_outputs.shape[1]
    n_tiles = -(-n_items // LANES)
    last = high == len(blocks) - 1
    for unsigned in prange(n_groups):
        batch_group = np.int64(unsigned)
        thread = numba.get_thread_id()
        above, below, of_values = grads[thread, 0], grads[thread, 1], room[thread]
        for tile in range(batch_group * n_tiles // n_groups, (batch_group + 1) * n_tiles // n_groups):
            base = LANES * tile * n_signals
            if last:
                _pack(grad_outputs, tile, of_values, 0)
                for row in range(len(group)):
                    store(above, LANES * row, load(of_values, LANES * group[row]))
            else:
                layer = layers[blocks[high, 0] - 1]
                _copy(values, base + LANES * layer[SIGNALS], above, 0, layer[N_SIGNALS])
            for block in range(high - 1, low - 1, -1):
                # Gradients that an earlier span left in place of the values have the activation behind them.
                activated = sigmoid and (last or block < high - 1)
                first = layers[blocks[block, 0], READ] if block > 0 or grad_inputs.shape[0] > 0 else -1
                for part in range(blocks[block, 1]):
                    _backward_part(
                        values, base, layers, blocks[block, 0], blocks[block + 1, 0] - 1, part, blocks[block, 1], fan_in, pool,
                        param, slot, coefficients, sigmoid, activated, hard, above, first, below, grads[thread, 2],
                        grads[thread, 3], sums[batch_group], chooser, slopes[tile],
                    )  # fmt: skip
                if first >= 0:  # nobody takes that to constant false
                    store(below, LANES * _n_read(layers, blocks[block, 0]), splat(np.float32(0)))
                above, below = below, above
            if low == 0:
                _unpack(above, 0, tile, grad_inputs)
                above[: LANES * grad_inputs.shape[0]] = np.float32(0)
            else:
                layer = layers[blocks[low, 0] - 1]
                at = base + LANES * layer[SIGNALS]
                of_gates = sigmoid and layer[POOLED] == 0
                for row in range(layer[N_SIGNALS]):
                    store(values, at + LANES * row, _take_gradient(above, row, values, at + LANES * row, of_gates))


@njit(cache=True)
def _backward_part(
    values, base, layers, bottom, top, part, n_parts, fan_in, pool, param, slot, coefficients, sigmoid, activated, hard, above,
    first, below, these, those, sums, chooser, slopes,
):  # fmt: skip
    """One part of layers top down to bottom.

    above: the gradient to all signals of the top one, taken out as it is read; activated: it is yet to go through their
    activation. below: to which those to what the bottom one reads are added. these, those: room for gradients to the gates
    of a part, zero before and after.
    """
    layer = layers[top]
    n_signals = layer[N_SIGNALS] // n_parts
    of_gates = above[LANES * n_signals * part :]
    if layer[POOLED] > 0:
        activated = sigmoid
        n = (layers[top + 1, FIRST] - layer[FIRST]) // n_parts
        _unpool(values, base, layer, n_signals * part, n_signals * (part + 1), pool, hard, above, n * part, these)
        of_gates = these
        these, those = those, these
    for index in range(top, bottom - 1, -1):
        layer = layers[index]
        n = (layers[index + 1, FIRST] - layer[FIRST]) // n_parts
        low = layer[FIRST] + n * part
        read, to = first, below
        if index > bottom:
            read = layers[index - 1, GATES] + (layer[FIRST] - layers[index - 1, FIRST]) // n_parts * part
            to = these
        _backward_rows(
            values, base, layer[GATES] + n * part, fan_in, param, slot, coefficients, low, low + n, activated, hard, of_gates,
            read, to, sums, chooser, slopes,
        )  # fmt: skip
        activated = sigmoid
        of_gates = these
        these, those = those, these


@njit(cache=True)
def _n_read(layers, index):
    """How many signals a layer reads from, constant false not counted."""
    return layers[index - 1, N_SIGNALS] if index > 0 else layers[0, GATES] - layers[0, READ] - 1


@njit(cache=True)
def _copy(source, at, target, to, n):
    for i in range(n):
        store(target, to + LANES * i, load(source, at + LANES * i))


@njit(parallel=True, cache=True)
def add_groups(sums):
    """sums[0] = the sum over groups, in order; the others are zero again. sums: (group, n), n a multiple of 16."""
    n_groups, n = sums.shape
    n_blocks = n // LANES
    n_chunks = min(MAX_GROUPS, n_blocks)
    for chunk in prange(n_chunks):
        flat, zero = sums.reshape(-1), splat(np.float32(0))
        for block in range(chunk * n_blocks // n_chunks, (chunk + 1) * n_blocks // n_chunks):
            total = load(flat, LANES * block)
            for group in range(1, n_groups):
                total = total + load(flat, group * n + LANES * block)
                store(flat, group * n + LANES * block, zero)
            store(flat, LANES * block, total)


_FUNCTIONS = np.ascontiguousarray(COEFFICIENTS.T).ravel()  # (4 * 16,)


@njit(parallel=True, cache=True)
def _softmax_coefficients(logits, inverse_temperature, hard, functions, weights, coefficients):
    """DLGN's coefficients, (param, 4), from logits, (param, 16), and the softmax weights if that array has room for any."""
    n_chunks = min(MAX_GROUPS, len(logits))
    for chunk in prange(n_chunks):
        flat, out, kept = logits.reshape(-1), coefficients.reshape(-1), weights.reshape(-1)
        for p in range(chunk * len(logits) // n_chunks, (chunk + 1) * len(logits) // n_chunks):
            scaled = load(flat, LANES * p) * splat(inverse_temperature)
            unnormalised = exp(scaled - largest(scaled))
            weight = unnormalised / total(unnormalised)
            if len(kept) > 0:
                store(kept, LANES * p, weight)
            if hard:
                chosen = np.argmax(logits[p])
                for j in range(4):
                    coefficients[p, j] = functions[LANES * j + chosen]
            else:
                c0, c1 = weight * load(functions, 0), weight * load(functions, LANES)
                c2, c3 = weight * load(functions, 2 * LANES), weight * load(functions, 3 * LANES)
                store_four(out, 4 * p, four_sums(c0, c1, c2, c3))


@njit(parallel=True, cache=True)
def _softmax_gradient(weights, inverse_temperature, functions, grad_coefficients):
    """In place of the weights the gradient to the logits, (param, 16), from that to the coefficients, (param, 4)."""
    n_chunks = min(MAX_GROUPS, len(weights))
    for chunk in prange(n_chunks):
        kept = weights.reshape(-1)
        for p in range(chunk * len(weights) // n_chunks, (chunk + 1) * len(weights) // n_chunks):
            grad = splat(np.float32(0))
            for j in range(4):
                grad = fma(splat(grad_coefficients[p, j]), load(functions, LANES * j), grad)
            weight = load(kept, LANES * p)
            mean = total(weight * grad)
            store(kept, LANES * p, weight * (grad - mean) * splat(inverse_temperature))


def set_threads(threads: int) -> None:
    """Threads of the kernels, at most those of the machine."""
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def most_threads() -> int:
    """Threads that a kernel may ever run on: buffers have room for each."""
    return int(numba.config.NUMBA_NUM_THREADS)


def softmax_coefficients(logits: Floats, temperature: float, hard: bool, weights: Floats | None) -> Floats:
    """DLGN's coefficients, (param, 4), from logits, (param, 16); hard: those of the function with the largest logit.

    weights: where to leave the softmax, for softmax_gradient; None if no gradient will be wanted.
    """
    coefficients = np.empty((len(logits), 4), dtype=np.float32)
    kept = _NONE if weights is None else weights
    _softmax_coefficients(logits, np.float32(1 / temperature), hard, _FUNCTIONS, kept, coefficients)
    return coefficients


def softmax_gradient(weights: Floats, temperature: float, grad_coefficients: Floats) -> None:
    """Put into weights, of a softmax_coefficients, the gradient to its logits; straight-through if that was hard."""
    _softmax_gradient(weights, np.float32(1 / temperature), _FUNCTIONS, grad_coefficients)


_NONE = np.empty((0, N_FUNCTIONS), dtype=np.float32)
