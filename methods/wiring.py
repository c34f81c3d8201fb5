"""Which signals feed each gate: index arrays, made once from a seed and then part of the network."""

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

# Below this many possible fan-in sets they are listed; above it, a collision of two drawn sets is rare and redrawn.
_LISTED = 1 << 12
_MAX_REPAIRS = 100


def unique_wiring(n_signals: int, n_gates: int, arity: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Random fan-ins in which no gate reads a signal twice, no two gates of the layer read the same set, and no signal is
    read more than once more often than another.

    Returns int32 (gate, arity). Where there are more gates than fan-in sets, every set is used equally often first; where
    signals are fewer than inputs to one gate, a gate reads all of them and some again. If the layer is too narrow to read
    every signal, each is read at most once.
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
    fan_in = np.vstack(
        [np.array(listed, dtype=np.int32).reshape(len(listed), arity), _deal(n_signals, n_gates - len(listed), arity, rng)]
    )
    return rng.permuted(rng.permutation(fan_in), axis=1).astype(np.int32)


def _deal(n_signals: int, n_gates: int, arity: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Deal shuffled decks of all signals to the gates; then swap cards between gates until no hand holds or is a double."""
    decks = -(-n_gates * arity // n_signals)
    cards = np.concatenate([rng.permutation(n_signals) for _ in range(decks)] or [np.empty(0, dtype=np.int64)])
    hands = cards[: n_gates * arity].reshape(n_gates, arity).astype(np.int32)
    for _ in range(_MAX_REPAIRS):
        bad = _doubles(hands)
        if not len(bad):
            break
        for gate in bad:
            other, mine, theirs = rng.integers(n_gates), rng.integers(arity), rng.integers(arity)
            hands[gate, mine], hands[other, theirs] = hands[other, theirs], hands[gate, mine]
    return hands


def _doubles(hands: NDArray[np.int32]) -> NDArray[np.intp]:
    """The gates that read a signal twice or the same set as an earlier gate."""
    ordered = np.sort(hands, axis=1)
    repeats_signal = np.any(ordered[:, 1:] == ordered[:, :-1], axis=1)
    _, first = np.unique(ordered, axis=0, return_index=True)
    repeats_set = np.ones(len(hands), dtype=bool)
    repeats_set[first] = False
    return np.flatnonzero(repeats_signal | repeats_set)


Wiring = Callable[[int, int, int, np.random.Generator], NDArray[np.int32]]

WIRINGS: dict[str, Wiring] = {"unique": unique_wiring}
