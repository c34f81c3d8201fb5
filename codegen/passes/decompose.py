"""Rebuild a circuit of the 3x3 neighbourhood from its truth table, so that rows of cells are encoded before they are combined.

What a row of three cells tells the rest of the circuit is often less than three bits: by how many of its eight states the
function can tell apart (the distinct cofactors, Ashenhurst 1957, Curtis 1962), one or two functions of the row carry it. The
cells of a board are in the row above one cell, at another and below a third, so that what encodes a row is computed once for
all three (codegen.rows finds it in the circuit). The rest is decomposed in the same way, a few signals at a time, in a beam
search over which signals to encode and how.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from codegen.equivalence import all_rows
from codegen.netlist import Netlist
from codegen.simulate import simulate
from codegen.stencil import N_CELLS, is_stencil

_BEAM = 32
_RAW = (0xAA, 0xCC, 0xF0)  # a row's cells themselves, as functions of the row
_ROWS = ((0, 1, 2), (3, 4, 5), (6, 7, 8))
# Of three or four classes, those that a bit can be true for so that any two of these bits tell the classes apart.
_SPLITS = {3: ((1,), (2,), (1, 2)), 4: ((1, 2), (1, 3), (2, 3))}

Code = tuple[int, ...]  # functions of a row, as tables, that tell what the rest needs to know of it


def decompose(netlist: Netlist) -> Netlist:
    """For nine inputs, the neighbourhood in reading order, and one output: gates of at most three inputs, if those are fewer.

    Any other netlist is returned as it is. The truth table alone decides what comes out.
    """
    if not is_stencil(netlist):
        return netlist
    found = _of_function(simulate(netlist, all_rows(N_CELLS)).tobytes())
    return netlist if found is None or found.n_gates >= netlist.n_gates else found


@cache  # every back end of a job asks for the same function
def _of_function(table: bytes) -> Netlist | None:
    values = np.frombuffer(table, dtype=bool)
    search = _Search()
    found = [state for codes in _row_codes(values) if (state := search.best(search.start(values, codes))) is not None]
    return search.netlist(min(found, key=lambda state: state.cost)) if found else None


def _row_codes(values: NDArray[np.bool_]) -> list[tuple[Code, ...]]:
    """Ways to read the three rows: the cells themselves, or by codes that are the same functions in as many rows as can be."""
    partitions = [_partition(values, row) for row in _ROWS]
    choices: list[tuple[Code, ...]] = [(_RAW, _RAW, _RAW)]
    for above, below in product(_encodings(partitions[0]), _encodings(partitions[2])):
        if partitions[0] != partitions[2] or above == below:
            functions = (*above, *(table for table in below if table not in above))
            choices += [(above, middle, below) for middle in _readings(partitions[1], functions)]
    return choices


def _partition(values: NDArray[np.bool_], row: tuple[int, ...]) -> tuple[int, ...]:
    """For each of a row's eight states, which distinct cofactor it leaves, numbered from 0 in order."""
    cofactors = np.moveaxis(values.reshape((2,) * N_CELLS), [N_CELLS - 1 - cell for cell in row[::-1]], range(3)).reshape(8, -1)
    seen: dict[bytes, int] = {}
    return tuple(seen.setdefault(cofactor.tobytes(), len(seen)) for cofactor in cofactors)


def _encodings(partition: tuple[int, ...]) -> list[Code]:
    """Codes of at most two functions that tell the classes apart, up to complements, or else the cells."""
    n_classes = max(partition) + 1
    if n_classes > 4:
        return [_RAW]
    if n_classes <= 2:
        return [tuple(_indicator(partition, (1,)) for _ in range(n_classes - 1))]
    splits = [
        _indicator(partition, classes) for classes in (((1,), (2,), (1, 2)) if n_classes == 3 else ((1, 2), (1, 3), (2, 3)))
    ]
    return list(combinations(splits, 2))


def _indicator(partition: tuple[int, ...], classes: tuple[int, ...]) -> int:
    return sum(1 << state for state, label in enumerate(partition) if label in classes)


def _readings(partition: tuple[int, ...], functions: Code) -> list[Code]:
    """The smallest choices of these functions, cells and the row's own codes that tell the classes apart."""
    own = [code for code in _encodings(partition) if code != _RAW]
    pool = (*functions, *(cell for cell in _RAW if cell not in functions))
    for size in range(4):
        found = [code for code in combinations(pool, size) if _tells_apart(code, partition)]
        if found:
            return found + [code for code in own if len(code) <= size and code not in found]
    raise AssertionError("the cells tell everything apart")


def _tells_apart(code: Code, partition: tuple[int, ...]) -> bool:
    label_of: dict[tuple[int, ...], int] = {}
    return all(
        label_of.setdefault(tuple(table >> state & 1 for table in code), label) == label for state, label in enumerate(partition)
    )


@dataclass(frozen=True, eq=False)
class _State:
    """What is left to decompose: a function of signals (the first is the low bit of the index), of which only the values where
    care is true matter; and the gates so far. saved: how many of these are computed once for several rows, less the signals
    that are kept of a row."""

    signals: tuple[int, ...]
    values: NDArray[np.bool_]
    care: NDArray[np.bool_]
    gates: frozenset[int]
    saved: int

    @property
    def cost(self) -> int:
        """Operations a cell: a gate each, and for what is kept of a row a store."""
        return len(self.gates) - self.saved

    @property
    def promise(self) -> float:
        """Cost, and the least that can be left: a gate takes two signals away."""
        return self.cost + (len(self.signals) - 1) / 2


class _Search:
    """A beam search over states. Gates are numbered as they are first seen, so that equal ones are one."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, tuple[int, ...]], int] = {}
        self._gates: list[tuple[int, tuple[int, ...]]] = []

    def start(self, values: NDArray[np.bool_], codes: tuple[Code, ...]) -> _State:
        """The function of the rows' codes, and the gates that compute them."""
        signals: list[int] = []
        index = np.zeros(len(values), dtype=np.int64)
        states = np.arange(len(values))
        gates = []
        for row, code in zip(_ROWS, codes, strict=True):
            of_row = states >> row[0] & 7
            for table in code:
                index |= (table >> of_row & 1) << len(signals)
                if table in _RAW:
                    signals.append(row[_RAW.index(table)])
                else:
                    signals.append(self._gate(table, row))
                    gates.append(table)
        left, care = np.zeros(1 << len(signals), dtype=bool), np.zeros(1 << len(signals), dtype=bool)
        left[index], care[index] = values, True
        saved = len(gates) - len(set(gates)) - len({table for code in codes for table in code})
        return _State(tuple(signals), left, care, frozenset(s for s in signals if s >= N_CELLS), saved)

    def best(self, start: _State) -> _State | None:
        """The cheapest complete state found, whose only signal is the result; None if the function is constant."""
        beam = [start]
        done: _State | None = None
        while beam:
            following: dict[tuple[tuple[int, ...], bytes, bytes], _State] = {}
            for state in beam:
                left = _without_unneeded(state)
                if not left.signals:
                    return None
                if len(left.signals) <= 3:
                    last = self._finished(left)
                    if done is None or last.cost < done.cost:
                        done = last
                    continue
                for one in self._steps(left):
                    key = one.signals, one.values.tobytes(), one.care.tobytes()
                    if key not in following or one.cost < following[key].cost:
                        following[key] = one
            open_states = [state for state in following.values() if done is None or state.cost + 1 < done.cost]
            beam = sorted(open_states, key=lambda state: state.promise)[:_BEAM]
        return done

    def netlist(self, state: _State) -> Netlist:
        numbers = sorted(state.gates)  # fan-ins were seen before what reads them
        place = {number: N_CELLS + index for index, number in enumerate(numbers)}
        gates = [
            (table, tuple(place.get(signal, signal) for signal in fan_in))
            for table, fan_in in (self._gates[number - N_CELLS] for number in numbers)
        ]
        (result,) = state.signals
        return Netlist.from_gates(N_CELLS, gates, [place.get(result, result)])

    def _gate(self, table: int, fan_in: tuple[int, ...]) -> int:
        key = table, fan_in
        if key not in self._numbers:
            self._numbers[key] = N_CELLS + len(self._gates)
            self._gates.append(key)
        return self._numbers[key]

    def _finished(self, state: _State) -> _State:
        if len(state.signals) == 1 and state.values[1]:
            return state
        gate = self._gate(_packed(state.values), state.signals)
        return _State((gate,), np.array([False, True]), np.array([True, True]), state.gates | {gate}, state.saved)

    def _steps(self, state: _State) -> Iterator[_State]:
        """Every way to replace two or three of the signals by functions of them that say as much, in fewer signals."""
        n = len(state.signals)
        for size in (2, 3):
            for chosen in combinations(range(n), size):
                columns = _columns(state, chosen)
                classes = _classes(columns)
                n_classes = max(classes) + 1
                if n_classes <= 2:
                    yield self._encoded(state, chosen, columns, [classes])
                elif size == 3:
                    if n_classes <= 4:
                        for pair in combinations(_SPLITS[n_classes], 2):
                            yield self._encoded(state, chosen, columns, [[int(c in split) for c in classes] for split in pair])
                    yield from self._beside_a_signal(state, chosen, columns)

    def _beside_a_signal(self, state: _State, chosen: tuple[int, ...], columns: list[tuple[int, int]]) -> Iterator[_State]:
        """One of three signals stays, if one function tells the rest, whichever value it has."""
        for kept in range(3):
            sides = [[c for c in range(8) if c >> kept & 1 == value] for value in (0, 1)]
            labels = [_classes([columns[c] for c in side]) for side in sides]
            if max(map(max, labels)) > 1:
                continue
            for flip in (0, 1):
                bits = [0] * 8
                for value in (0, 1):
                    for c, label in zip(sides[value], labels[value], strict=True):
                        bits[c] = label ^ (flip & value)
                yield self._encoded(state, chosen, columns, [[c >> kept & 1 for c in range(8)], bits], kept)

    def _encoded(
        self,
        state: _State,
        chosen: tuple[int, ...],
        columns: list[tuple[int, int]],
        bits: list[list[int]],
        kept: int | None = None,
    ) -> _State:
        """The state with the chosen signals replaced by functions of them: bits[i][column] is the value of function i.

        kept: the chosen signal that is function 0.
        """
        n_rest = len(state.signals) - len(chosen)
        merged = [(0, 0)] * (1 << len(bits))
        for column, (values, care) in enumerate(columns):
            code = sum(bit[column] << place for place, bit in enumerate(bits))
            merged[code] = merged[code][0] | (values & care), merged[code][1] | care
        fan_in = tuple(state.signals[position] for position in chosen)
        coded = []
        for place, bit in enumerate(bits):
            table = sum(value << column for column, value in enumerate(bit))
            coded.append(fan_in[kept] if kept is not None and place == 0 else self._gate(table, fan_in))
        rest = [signal for position, signal in enumerate(state.signals) if position not in chosen]
        return _State(
            (*rest, *coded),
            _unpacked([values for values, _ in merged], n_rest),
            _unpacked([care for _, care in merged], n_rest),
            state.gates | {signal for signal in coded if signal >= N_CELLS},
            state.saved,
        )


def _columns(state: _State, chosen: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each value of the chosen signals the cofactor as (values, care), bits of integers."""
    index = _column_index(len(state.signals), chosen)
    return [(_packed(values), _packed(care)) for values, care in zip(state.values[index], state.care[index], strict=True)]


@cache
def _column_index(n: int, chosen: tuple[int, ...]) -> NDArray[np.int64]:
    """int64 (column, rest): where the function's table has each value of the chosen and of the other signals."""
    rest = [position for position in range(n) if position not in chosen]
    columns = _spread(len(chosen), chosen)
    return columns[:, None] | _spread(len(rest), tuple(rest))[None, :]


def _spread(n: int, positions: tuple[int, ...]) -> NDArray[np.int64]:
    numbers = np.arange(1 << n)
    return sum(((numbers >> place & 1) << position for place, position in enumerate(positions)), np.zeros(1 << n, dtype=np.int64))


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _unpacked(numbers: list[int], n: int) -> NDArray[np.bool_]:
    """The low 2**n bits of each number, one after the other."""
    n_bytes = max(1, (1 << n) // 8)
    data = np.frombuffer(b"".join(number.to_bytes(n_bytes, "little") for number in numbers), dtype=np.uint8)
    bits = np.unpackbits(data.reshape(len(numbers), n_bytes), axis=1, bitorder="little", count=1 << n)
    return bits.astype(bool).ravel()


def _classes(columns: list[tuple[int, int]]) -> list[int]:
    """A number for each cofactor, the same for those that agree wherever both matter, in order of first use."""
    merged: list[tuple[int, int]] = []
    labels = []
    for values, care in columns:
        for label, (others, their_care) in enumerate(merged):
            if (values ^ others) & care & their_care == 0:
                merged[label] = others | (values & care), their_care | care
                break
        else:
            label = len(merged)
            merged.append((values & care, care))
        labels.append(label)
    return labels


def _without_unneeded(state: _State) -> _State:
    """Drop signals on whose value nothing depends that matters."""
    position = 0
    while position < len(state.signals):
        (low, low_care), (high, high_care) = _columns(state, (position,))
        if (low ^ high) & low_care & high_care:
            position += 1
            continue
        n_rest = len(state.signals) - 1
        state = _State(
            state.signals[:position] + state.signals[position + 1 :],
            _unpacked([(low & low_care) | (high & high_care)], n_rest),
            _unpacked([low_care | high_care], n_rest),
            state.gates,
            state.saved,
        )
    return state
