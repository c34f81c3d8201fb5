"""Fused CPU kernels of learned wiring: which signals are read, and the gradient to what chooses them.

An input of a gate reads the candidate with the largest logit; the gradient is that of a softmax over all of them
(straight-through), for which the gradient to the input is multiplied with every candidate's value.
"""

import numpy as np
from numba import njit, prange

from methods.kernels import MAX_GROUPS, as_read
from methods.simd import (
    LANES,
    add_four,
    add_where,
    exp,
    fma,
    four_sums,
    load,
    maximum,
    rounded,
    splat,
    store,
    total,
    true_lanes,
)

# Choices are dealt to so many chunks: more than threads, as some have more choosers than others.
_CHUNKS = 64


@njit(parallel=True, cache=True)
def choose(best, starts, rows, candidates, fan_in):
    """Put into fan_in, (row, k), what each input of a row that chooses has chosen.

    best: (choice, k), the number of the candidate. starts: choosers starts[c] to starts[c + 1] - 1 are those of choice c. rows,
    candidates: of choosers, int32 (chooser,) and (chooser, k, candidate).
    """
    n_choices, arity = best.shape
    n_chunks = min(MAX_GROUPS, n_choices)
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
        a = fma(slope, as_read(values, p + on, hard), a)
        b = fma(slope, as_read(values, q + on, hard), b)
        c = fma(slope, as_read(values, r + on, hard), c)
        d = fma(slope, as_read(values, s + on, hard), d)
    return four_sums(a, b, c, d)


@njit(cache=True)
def _four_sums_where(slopes, at, bits, n_tiles, step, four):
    """As _four_dots with signals that are bits, uint16 (signal, tile) of pack_bits."""
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
def pack_bits(values, n_signals, n_tiles, n, hard, bits):
    """The first n signals to bits, uint16 (signal, tile), as they are read. Returns whether they are bits: 0 and 1 alone."""
    zero = splat(np.float32(0))
    off = zero
    for tile in range(n_tiles):
        for signal in range(n):
            value = as_read(values, LANES * (n_signals * tile + signal), hard)
            bits[n_tiles * signal + tile] = true_lanes(value)
            apart = value - rounded(value)
            off = maximum(off, apart * apart)
    found = np.empty(LANES, dtype=np.float32)
    store(found, 0, off)
    return found.max() == 0


@njit(parallel=True, cache=True)
def gradient(slopes, values, n_signals, n_tiles, starts, candidates, hard, bits, n_bits, grads):
    """To grads, (choice, k, candidate), zero before, the gradients to the weights of the candidates: sums over the choosers of
    a choice, and over the items, of the gradient to the input times the candidate's value. The number of candidates is a
    multiple of four. The first n_bits signals are read from bits, see pack_bits: a sum over the items where a bit is set reads
    a thirty-second of what a product with floats does.

    One thread has all of a choice, so that its sums are in the same order for any number of them.
    """
    n_choices, arity, n = grads.shape
    step, of_tile = slopes.shape[1], LANES * n_signals
    n_chunks = min(_CHUNKS, n_choices)
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
def softmax_gradient(logits, best, inverse_temperature, grads):
    """In place of the gradients to the weights of candidates, (choice, k, candidate or more), those to the logits, of which best
    has the number of the largest."""
    n_choices, arity, n = logits.shape
    room = -(-n // LANES) * LANES
    n_chunks = min(_CHUNKS, n_choices)
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
