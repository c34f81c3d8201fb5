"""Fused CPU kernels of a whole network: an acceleration of what methods.network defines, not a second definition.

Items are processed in tiles of sixteen, one vector: signal s of tile t is the sixteen values at values[t, s]. A gate is then
straight-line code on whole vectors, the signals of two layers of a tile fit a cache that the whole batch does not, and
tiles are independent, so threads meet once a pass and not once a layer.

The result is the same to the bit for any number of threads. Within a tile one thread adds up the gradient of each signal in
the order of the rows; each group of tiles adds up the gradient of each parameter on its own; and the groups, which are fixed
by the batch and not by the threads, are added in order.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from methods.dlgn import COEFFICIENTS, N_FUNCTIONS
from methods.lane_gates import gate_gradient, gate_value, prefetch_inputs
from methods.network import Network
from methods.simd import (
    LANES,
    add_four,
    add_where,
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
    true_lanes,
)

Floats = NDArray[np.float32]

# Rows ahead whose inputs are asked for: far enough to hide the latency of the outer caches, measured on layers of 8,000.
_AHEAD = 8
# Tiles are dealt to at most this many groups, each with its own sums of parameter gradients: no more threads than this
# have work in the backward pass.
_MAX_GROUPS = 16
# Layers are taken together in the backward pass as long as the groups' sums stay below the larger of these: a number of
# bytes that fits a cache, and a share of the activations.
_SUMS_BYTES = 1 << 20
_SUMS_SHARE = 0.05
_HUGE_PAGE = 1 << 21
# Choices are dealt to so many chunks: more than threads, as some have more choosers than others.
_CHOICE_CHUNKS = 64

# A row of what tells the kernels a layer: its first gate; its first pool entry and how many each of its signals has, 0 where
# its signals are its gates; the signals where its gates begin, where what it reads begins and where its own begin; how many
# those are.
_FIRST, _POOL, _POOLED, _GATES, _READ, _SIGNALS, _N_SIGNALS = range(7)


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
def _read(values, at, hard):
    """A value as the layers after it see it."""
    value = load(values, at)
    return rounded(value) if hard else value


@njit(cache=True)
def _largest_of(values, gates, pool, start, n, hard):
    """The largest of n values that pool[start:] names, of gates that begin at `gates`."""
    value = _read(values, gates + LANES * pool[start], hard)
    for i in range(start + 1, start + n):
        value = maximum(value, _read(values, gates + LANES * pool[i], hard))
    return value


@njit(cache=True)
def _forward_pool(values, base, layer, low, high, pool, hard):
    """A layer's signals low to high - 1."""
    n = layer[_POOLED]
    for signal in range(low, high):
        value = _largest_of(values, base + LANES * layer[_GATES], pool, layer[_POOL] + n * signal, n, hard)
        store(values, base + LANES * (layer[_SIGNALS] + signal), value)


@njit(parallel=True, cache=True)
def _forward(
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
                    n = (layers[index + 1, _FIRST] - layer[_FIRST]) // n_parts
                    low = layer[_FIRST] + n * part
                    _forward_rows(
                        values, tile, base, layer[_GATES] + n * part, low, low + n, fan_in, param, number, coefficients, sigmoid,
                        hard, noise, key,
                    )  # fmt: skip
                layer = layers[end - 1]
                if layer[_POOLED] > 0:
                    n = layer[_N_SIGNALS] // n_parts
                    _forward_pool(values, base, layer, n * part, n * (part + 1), pool, hard)
        sums = room[numba.get_thread_id()]
        sums[:] = np.float32(0)
        last = base + LANES * layers[len(layers) - 2, _SIGNALS]
        for row in range(len(group)):
            value = _read(values, last + LANES * row, hard)
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
    n = layer[_POOLED]
    for signal in range(low, high):
        grad = load(above, LANES * signal)
        store(above, LANES * signal, splat(np.float32(0)))
        start = layer[_POOL] + n * signal
        at = base + LANES * layer[_GATES]
        value = _largest_of(values, at, pool, start, n, hard)
        shares = splat(np.float32(0))
        for i in range(start, start + n):
            shares = shares + equal(_read(values, at + LANES * pool[i], hard), value)
        share = grad / shares
        for i in range(start, start + n):
            mine = equal(_read(values, at + LANES * pool[i], hard), value)
            to = LANES * (pool[i] - first)
            store(gates, to, fma(share, mine, load(gates, to)))


@njit(cache=True)
def _backward_rows(
    values, base, at, fan_in, param, slot, coefficients, low, high, sigmoid, hard, above, first, below, sums, chooser, slopes,
):  # fmt: skip
    """Gates low to high - 1, whose values are signals from `at` on: add their coefficients' gradients to sums, and their
    inputs' to below, whose signal 0 is `first`.

    above: the gradient to the gates' values, taken out as it is read. first < 0: nobody wants the inputs'. slopes: where those
    of choosers go, see _backward.
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
def _backward(
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
                _copy(values, base + LANES * layer[_SIGNALS], above, 0, layer[_N_SIGNALS])
            for block in range(high - 1, low - 1, -1):
                # Gradients that an earlier span left in place of the values have the activation behind them.
                activated = sigmoid and (last or block < high - 1)
                first = layers[blocks[block, 0], _READ] if block > 0 or grad_inputs.shape[0] > 0 else -1
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
                at = base + LANES * layer[_SIGNALS]
                of_gates = sigmoid and layer[_POOLED] == 0
                for row in range(layer[_N_SIGNALS]):
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
    n_signals = layer[_N_SIGNALS] // n_parts
    of_gates = above[LANES * n_signals * part :]
    if layer[_POOLED] > 0:
        activated = sigmoid
        n = (layers[top + 1, _FIRST] - layer[_FIRST]) // n_parts
        _unpool(values, base, layer, n_signals * part, n_signals * (part + 1), pool, hard, above, n * part, these)
        of_gates = these
        these, those = those, these
    for index in range(top, bottom - 1, -1):
        layer = layers[index]
        n = (layers[index + 1, _FIRST] - layer[_FIRST]) // n_parts
        low = layer[_FIRST] + n * part
        read, to = first, below
        if index > bottom:
            read = layers[index - 1, _GATES] + (layer[_FIRST] - layers[index - 1, _FIRST]) // n_parts * part
            to = these
        _backward_rows(
            values, base, layer[_GATES] + n * part, fan_in, param, slot, coefficients, low, low + n, activated, hard, of_gates,
            read, to, sums, chooser, slopes,
        )  # fmt: skip
        activated = sigmoid
        of_gates = these
        these, those = those, these


@njit(cache=True)
def _n_read(layers, index):
    """How many signals a layer reads from, constant false not counted."""
    return layers[index - 1, _N_SIGNALS] if index > 0 else layers[0, _GATES] - layers[0, _READ] - 1


@njit(cache=True)
def _copy(source, at, target, to, n):
    for i in range(n):
        store(target, to + LANES * i, load(source, at + LANES * i))


@njit(parallel=True, cache=True)
def _add_groups(sums):
    """sums[0] = the sum over groups, in order; the others are zero again. sums: (group, n), n a multiple of 16."""
    n_groups, n = sums.shape
    n_blocks = n // LANES
    n_chunks = min(_MAX_GROUPS, n_blocks)
    for chunk in prange(n_chunks):
        flat, zero = sums.reshape(-1), splat(np.float32(0))
        for block in range(chunk * n_blocks // n_chunks, (chunk + 1) * n_blocks // n_chunks):
            total = load(flat, LANES * block)
            for group in range(1, n_groups):
                total = total + load(flat, group * n + LANES * block)
                store(flat, group * n + LANES * block, zero)
            store(flat, LANES * block, total)


@njit(parallel=True, cache=True)
def _choose(best, starts, rows, candidates, fan_in):
    """Put into fan_in, (row, k), what each input of a row that chooses has chosen.

    best: (choice, k), the number of the candidate. starts: choosers starts[c] to starts[c + 1] - 1 are those of choice c. rows,
    candidates: of choosers, int32 (chooser,) and (chooser, k, candidate).
    """
    n_choices, arity = best.shape
    n_chunks = min(_MAX_GROUPS, n_choices)
    for chunk in prange(n_chunks):
        for choice in range(chunk * n_choices // n_chunks, (chunk + 1) * n_choices // n_chunks):
            for chooser in range(starts[choice], starts[choice + 1]):
                for j in range(arity):
                    fan_in[rows[chooser], j] = candidates[chooser, j, best[choice, j]]


@njit(cache=True)
def _four_dots(slopes, at, values, n_tiles, step, of_tile, four, hard):
    """Lanes 0 to 3: sums over all items of a chooser's slopes times the values of four signals.

    The slopes of tile t are slopes[at + step * t:], a signal's values are values[16 * signal + of_tile * t:].
    """
    a = splat(np.float32(0))
    b, c, d = a, a, a
    p, q, r, s = LANES * np.int64(four[0]), LANES * np.int64(four[1]), LANES * np.int64(four[2]), LANES * np.int64(four[3])
    for tile in range(n_tiles):
        slope, on = load(slopes, at + step * tile), of_tile * tile
        a = fma(slope, _read(values, p + on, hard), a)
        b = fma(slope, _read(values, q + on, hard), b)
        c = fma(slope, _read(values, r + on, hard), c)
        d = fma(slope, _read(values, s + on, hard), d)
    return four_sums(a, b, c, d)


@njit(cache=True)
def _four_sums_where(slopes, at, bits, n_tiles, step, four):
    """As _four_dots with signals that are bits, uint16 (signal, tile) of _pack_bits."""
    a = splat(np.float32(0))
    b, c, d = a, a, a
    n = np.int64(n_tiles)
    p, q, r, s = n * np.int64(four[0]), n * np.int64(four[1]), n * np.int64(four[2]), n * np.int64(four[3])
    for tile in range(n_tiles):
        slope = load(slopes, at + step * tile)
        a = add_where(bits[p + tile], a, slope)
        b = add_where(bits[q + tile], b, slope)
        c = add_where(bits[r + tile], c, slope)
        d = add_where(bits[s + tile], d, slope)
    return four_sums(a, b, c, d)


@njit(cache=True)
def _pack_bits(values, n_signals, n_tiles, n, hard, bits):
    """The first n signals to bits, uint16 (signal, tile), as they are read. Returns whether they are bits: 0 and 1 alone."""
    zero = splat(np.float32(0))
    off = zero
    for tile in range(n_tiles):
        for signal in range(n):
            value = _read(values, LANES * (n_signals * tile + signal), hard)
            bits[n_tiles * signal + tile] = true_lanes(value)
            apart = value - rounded(value)
            off = maximum(off, apart * apart)
    found = np.empty(LANES, dtype=np.float32)
    store(found, 0, off)
    return found.max() == 0


@njit(parallel=True, cache=True)
def _choice_gradient(slopes, values, n_signals, n_tiles, starts, candidates, hard, bits, n_bits, grads):
    """To grads, (choice, k, candidate), zero before, the gradients to the weights of the candidates: sums over the choosers of
    a choice, and over the items, of the gradient to the input times the candidate's value. The number of candidates is a
    multiple of four. The first n_bits signals are read from bits, see _pack_bits: a sum over the items where a bit is set reads
    a thirty-second of what a product with floats does.

    One thread has all of a choice, so that its sums are in the same order for any number of them.
    """
    n_choices, arity, n = grads.shape
    step, of_tile = slopes.shape[1], LANES * n_signals
    n_chunks = min(_CHOICE_CHUNKS, n_choices)
    for unsigned in prange(n_chunks):
        chunk = np.int64(unsigned)
        flat, to = slopes.reshape(-1), grads.reshape(-1)
        for choice in range(chunk * n_choices // n_chunks, (chunk + 1) * n_choices // n_chunks):
            for chooser in range(starts[choice], starts[choice + 1]):
                for j in range(arity):
                    at = LANES * (arity * chooser + j)
                    are_bits = candidates[chooser, j, 0] < n_bits  # all of them are signals of one layer
                    for i in range(0, n, 4):
                        four = candidates[chooser, j, i : i + 4]
                        if are_bits:
                            found = _four_sums_where(flat, at, bits, n_tiles, step, four)
                        else:
                            found = _four_dots(flat, at, values, n_tiles, step, of_tile, four, hard)
                        add_four(to, n * (arity * choice + j) + i, found)


@njit(parallel=True, cache=True)
def _choice_softmax_gradient(logits, best, inverse_temperature, grads):
    """In place of the gradients to the weights of candidates, (choice, k, candidate or more), those to the logits, of which best
    has the number of the largest."""
    n_choices, arity, n = logits.shape
    room = -(-n // LANES) * LANES
    n_chunks = min(_CHOICE_CHUNKS, n_choices)
    for chunk in prange(n_chunks):
        weights, slopes = np.empty(room, dtype=np.float32), np.zeros(room, dtype=np.float32)
        for choice in range(chunk * n_choices // n_chunks, (chunk + 1) * n_choices // n_chunks):
            for j in range(arity):
                top = logits[choice, j, best[choice, j]]
                weights[n:] = np.float32(-np.inf)
                for i in range(n):
                    weights[i] = (logits[choice, j, i] - top) * inverse_temperature
                    slopes[i] = grads[choice, j, i]
                all_of_them = mean = splat(np.float32(0))
                for at in range(0, room, LANES):
                    weight = exp(load(weights, at))  # 1e-38 where there is no candidate
                    store(weights, at, weight)
                    all_of_them = all_of_them + weight
                    mean = fma(weight, load(slopes, at), mean)
                all_of_them = total(all_of_them)
                mean = total(mean) / all_of_them
                factor = splat(inverse_temperature) / all_of_them
                for at in range(0, room, LANES):
                    store(weights, at, factor * load(weights, at) * (load(slopes, at) - mean))
                for i in range(n):
                    grads[choice, j, i] = weights[i]


_FUNCTIONS = np.ascontiguousarray(COEFFICIENTS.T).ravel()  # (4 * 16,)


@njit(parallel=True, cache=True)
def _softmax_coefficients(logits, inverse_temperature, hard, functions, weights, coefficients):
    """DLGN's coefficients, (param, 4), from logits, (param, 16), and the softmax weights if that array has room for any."""
    n_chunks = min(_MAX_GROUPS, len(logits))
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
    n_chunks = min(_MAX_GROUPS, len(weights))
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
        self._n_signals = int(self._layers[-1, _SIGNALS])
        self._bounds = self._layers[self._blocks[:, 0], _FIRST]
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
        self._room = _arena(_n_threads() * self._n_values * LANES).reshape(_n_threads(), -1)
        self._grads = _arena(_n_threads() * 4 * widest * LANES).reshape(_n_threads(), 4, -1)
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
        _choose(self._best, chosen.starts, chosen.rows, chosen.candidates, self._fan_in)

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
        _forward(
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
            _backward(
                grad, self._values, self._n_signals, self._layers, self._blocks, self._fan_in, self._pool, self._param,
                self._slot, coefficients, span.low, span.high, self._sigmoid, hard, self._group, grad_inputs, self._grads,
                self._sums, self._room, chosen.of_row, self._slopes,
            )  # fmt: skip
            _add_groups(self._sums)
            used = self._sums[0, : span.n_params * self._n_terms]
            grad_coefficients[span.params] += used.reshape(-1, self._n_terms)
            used[:] = 0
        to_logits = None
        if self.n_choices > 0:
            n = chosen.n_candidates
            grads = np.zeros((self.n_choices, chosen.candidates.shape[1], -(-n // 4) * 4), dtype=np.float32)
            n_tiles = -(-self._n_items // LANES)
            n_bits = self._n_signals if hard else self._n_inputs + 1
            if not _pack_bits(self._values, self._n_signals, n_tiles, n_bits, hard, self._bits):
                n_bits = 0
            _choice_gradient(
                self._slopes, self._values, self._n_signals, n_tiles, chosen.starts, chosen.candidates, hard, self._bits, n_bits,
                grads,
            )  # fmt: skip
            _choice_softmax_gradient(self._logits, self._best, self._inverse_temperature, grads)
            to_logits = np.ascontiguousarray(grads[:, :, :n])
        return grad_coefficients, grad_inputs if want_inputs else None, to_logits

    def _resize(self, n_items: int) -> None:
        if n_items == self._n_items:
            return
        self._n_items = n_items
        n_tiles = -(-n_items // LANES)
        self._values = _arena(n_tiles * self._n_signals * LANES)
        of_tiles = self._values.reshape(n_tiles, self._n_signals, LANES)
        of_tiles[:, self._layers[:-1, _GATES] - 1] = 0  # constant false
        n_groups = min(n_tiles, _MAX_GROUPS)
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
    """The layers as the kernels take them, (layer, see _FIRST and so on), and one more that says where all of them end.

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
    """The rows that choose their inputs, in the order of their choices; see _choose and, for of_row, _backward. candidates: as
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


def _n_threads() -> int:
    """The most threads that a kernel may ever run on: buffers have room for each."""
    return int(numba.config.NUMBA_NUM_THREADS)


def _arena(n: int) -> Floats:
    """n float32 in memory that the system can map in huge pages: gathers from small ones miss the TLB."""
    raw = np.empty(4 * n + _HUGE_PAGE, dtype=np.uint8)
    first = -raw.ctypes.data % _HUGE_PAGE
    return raw[first : first + 4 * n].view(np.float32)
