"""Which signals feed each gate, or may: index arrays, made once from a seed and then part of the network."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

_MAX_REPAIRS = 100
_SWAPS = 50  # that each gate is tried for; where 300 gates then see 62.1 of at most 64 inputs, twice as many find 0.4 more


def unique_wiring(n_signals: int, n_gates: int, arity: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Random fan-ins in which no gate reads a signal twice and no signal is read more than once more often than another.

    No two gates of the layer read the same set of signals either; only where the gates are nearly as many as the sets may
    a few do, and where they are more, every set is used equally often before any is used again.
    Returns int32 (gate, arity). With fewer signals than inputs to a gate, a gate reads all of them and some again. A layer
    too narrow to read every signal reads each at most once.
    Source: the `unique` connections of difflogic (Petersen et al. 2022, arXiv 2210.08277); the construction is our own.
    Raises ValueError if a size is below 1.
    """
    if min(n_signals, n_gates, arity) < 1:
        raise ValueError(f"Expected at least one signal, gate and input a gate; got {n_signals}, {n_gates} and {arity}.")
    if n_signals < arity:
        return np.array([[(gate + i) % n_signals for i in range(arity)] for gate in range(n_gates)], dtype=np.int32)
    n_sets = comb(n_signals, arity)
    listed: list[tuple[int, ...]] = []
    if n_gates >= n_sets:
        listed = list(combinations(range(n_signals), arity)) * (n_gates // n_sets)
    dealt = _distinct(_deal(n_signals, n_gates - len(listed), arity, rng), rng)
    fan_in = np.vstack([np.array(listed, dtype=np.int32).reshape(len(listed), arity), dealt])
    return rng.permuted(rng.permutation(fan_in), axis=1).astype(np.int32)


def aligned_wiring(n_signals: int, n_gates: int, arity: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """The first input of gate i is signal i, so that gates that copy their first input pass every signal straight through.

    Through random wiring, copies of copies leave more of the signals unread with every layer. Where gates are more than
    signals, the signals are gone through again; where they are fewer, the first inputs are spread evenly. The other inputs are
    random, none read twice by a gate and none more than once more often than another as far as that allows.
    Returns int32 (gate, arity); with fewer signals than inputs to a gate as unique_wiring.
    Source: identity-aligned networks (arXiv 2607.21633); the construction is our own.
    Raises ValueError if a size is below 1.
    """
    if n_signals < arity or arity == 1 or n_gates < 1:
        return unique_wiring(n_signals, n_gates, arity, rng)
    gates = np.arange(n_gates)
    first = (gates % n_signals if n_gates >= n_signals else gates * n_signals // n_gates).astype(np.int32)
    hands = _deal(n_signals, n_gates, arity - 1, rng)
    for _ in range(_MAX_REPAIRS):
        for gate in np.flatnonzero(np.any(hands == first[:, None], axis=1)):
            mine = int(np.argmax(hands[gate] == first[gate]))
            other, theirs = rng.integers(n_gates), rng.integers(arity - 1)
            card, offered = hands[gate, mine], hands[other, theirs]
            if card not in (first[other], *hands[other]) and offered not in (first[gate], *hands[gate]):
                hands[gate, mine], hands[other, theirs] = hands[other, theirs], hands[gate, mine]
    for gate in np.flatnonzero(np.any(hands == first[:, None], axis=1)):  # too few gates to swap with
        mine = int(np.argmax(hands[gate] == first[gate]))
        hands[gate, mine] = next(signal for signal in range(n_signals) if signal not in (first[gate], *hands[gate]))
    return np.column_stack([first, hands]).astype(np.int32)


def coverage_wiring(
    n_signals: int, n_gates: int, arity: int, rng: np.random.Generator, below: Sequence[NDArray[np.int32]]
) -> NDArray[np.int32]:
    """Fan-ins whose gates together see as many of the network's inputs as swaps lead to: of two gates of unique_wiring one input
    each is exchanged if both then depend on more inputs than before, counted for each gate. How often a signal is read stays.

    below: the fan-ins of the layers before, the first first. A first layer is unique_wiring's: its gates see what they read.
    Returns int32 (gate, arity), no signal twice in a gate where there are enough.
    Source: the degree-preserving swaps for ancestry of CoverageDLGN (github.com/iraklisanagno/DLCA_DLGN); the construction is our
    own. Raises ValueError if a size is below 1.
    """
    fan_in = unique_wiring(n_signals, n_gates, arity, rng)
    if not below or n_signals <= arity:
        return fan_in
    sees = _seen_inputs(below)

    def seen(gates: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bitwise_count(np.bitwise_or.reduce(sees[gates], axis=1)).sum(axis=1, dtype=np.int64)

    half = n_gates // 2
    rows = np.arange(half)
    for _ in range(_SWAPS):
        pairs = rng.permutation(n_gates)[: 2 * half].reshape(2, half)
        places = rng.integers(arity, size=(2, half))
        old = fan_in[pairs]
        new = old.copy()
        new[0, rows, places[0]] = old[1, rows, places[1]]
        new[1, rows, places[1]] = old[0, rows, places[0]]
        twice = (new[..., :, None] == new[..., None, :]).sum(axis=(-2, -1)) > arity
        gained = (seen(new[0]) + seen(new[1]) > seen(old[0]) + seen(old[1])) & ~twice.any(axis=0)
        fan_in[pairs[:, gained]] = new[:, gained]
    return fan_in


def _seen_inputs(layers: Sequence[NDArray[np.int32]]) -> NDArray[np.uint8]:
    """Of each gate of the last layer, the signals before the first that it depends on: uint8 (gate, bytes), a bit a signal."""
    n_inputs = int(layers[0].max()) + 1
    inputs = np.arange(n_inputs)
    sees = np.zeros((n_inputs, -(-n_inputs // 8)), dtype=np.uint8)
    sees[inputs, inputs // 8] = 1 << inputs % 8
    for fan_in in layers:
        sees = np.bitwise_or.reduce(sees[fan_in], axis=1)
    return sees


def candidates(fan_in: NDArray[np.int32], n_signals: int, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """For each input of each gate n signals to choose among, the first its fan-in's, the others random, none twice.

    fan_in: (gate, k). Returns int32 (gate, k, n), in which no signal stands much more often than another. Raises ValueError if n
    is more than n_signals.
    """
    if n > n_signals:
        raise ValueError(f"Expected at most as many candidates as signals, {n_signals}; got {n}.")
    dealt = _deal(n_signals, fan_in.size, n, rng)
    own = fan_in.reshape(-1)
    held = dealt == own[:, None]
    at = np.where(held.any(axis=1), held.argmax(axis=1), 0)
    rows = np.arange(len(dealt))
    dealt[rows, at] = dealt[:, 0]
    dealt[:, 0] = own
    return dealt.reshape(*fan_in.shape, n)


def _deal(n_signals: int, n_gates: int, arity: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Deal shuffled decks of all signals to the gates: int32 (gate, arity), no signal twice to a gate."""
    cards: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    dealt = 0
    while dealt < n_gates * arity:
        deck = rng.permutation(n_signals)
        # A hand that the last deck did not fill goes on with cards that it does not hold.
        begun = cards[-1][len(cards[-1]) - dealt % arity :]
        held = np.isin(deck, begun)
        cards.append(np.concatenate([deck[~held], deck[held]]))
        dealt += n_signals
    return np.concatenate(cards)[: n_gates * arity].reshape(n_gates, arity).astype(np.int32)


def _distinct(hands: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Swap cards between gates until no two hands are the same, or for long."""
    n_gates, arity = hands.shape
    for _ in range(_MAX_REPAIRS):
        repeated = _repeated_sets(hands)
        if not len(repeated):
            break
        for gate in repeated:
            other, mine, theirs = rng.integers(n_gates), rng.integers(arity), rng.integers(arity)
            if hands[gate, mine] not in hands[other] and hands[other, theirs] not in hands[gate]:
                hands[gate, mine], hands[other, theirs] = hands[other, theirs], hands[gate, mine]
    return hands


def _repeated_sets(hands: NDArray[np.int32]) -> NDArray[np.intp]:
    """The gates that read the same set as an earlier gate."""
    _, first = np.unique(np.sort(hands, axis=1), axis=0, return_index=True)
    repeated = np.ones(len(hands), dtype=bool)
    repeated[first] = False
    return np.flatnonzero(repeated)


# Signals, gates, inputs a gate, randomness, and the fan-ins of the layers before -> fan-ins.
Wiring = Callable[[int, int, int, np.random.Generator, Sequence[NDArray[np.int32]]], NDArray[np.int32]]


def _alone(wiring: Callable[[int, int, int, np.random.Generator], NDArray[np.int32]]) -> Wiring:
    """Of one that does not look at the layers before."""
    return lambda n_signals, n_gates, arity, rng, _: wiring(n_signals, n_gates, arity, rng)


WIRINGS: dict[str, Wiring] = {
    "unique": _alone(unique_wiring),
    "aligned": _alone(aligned_wiring),
    "coverage": coverage_wiring,
}
