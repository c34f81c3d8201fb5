"""Add a readout to a circuit as gates: the outputs of the result are its groups' counts in binary, or its answer.

A word of lanes holds 64 to 512 items. To count groups outside the circuit, every output of every item has to be taken out
of its lane, which costs more than the circuit itself; as gates, the counting is as parallel as the rest and a handful of
words is left to unpack.

Counts are bit-sliced population counts by carry-save adders (Dadda 1965; as code: Harley and Seal, in Warren, Hacker's
Delight, 2nd ed., section 5-2): a full adder makes of three signals of equal weight one of that weight and one of the next,
in two gates of three inputs, a half adder of two in two gates of two. A group of n outputs takes n - popcount(n) adders, of
which n - n.bit_length() are full. No weight keeps more than two signals pending, so that an evaluation in this order has few
signals live at once. Outputs of gates that read the same input are added one after the other, while it is near. Those that
are constant, the same or each other's complements take fewer adders, or none. The class is a tournament of comparators, of
ties the lowest class.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

from codegen.circuit import Circuit
from codegen.encoder import Encoder
from codegen.netlist import Netlist
from codegen.readout import GroupSum, Majority, Readout
from codegen.truth_table import complement_input, table_mask

_SUM, _CARRY = 0x96, 0xE8  # of three: exclusive or, majority
_HALF_SUM, _HALF_CARRY = 0b0110, 0b1000
_FIRST_GREATER = 0b0100  # of (a, b): b and not a
_GREATER = 0xD4  # of (a, b, greater below): b where a and b differ, else what the lower bits say
_SELECT = 0xCA  # of (a, b, choice): b if choice, else a
_UNLESS = 0b0010  # of (a, choice): a and not choice
_AND, _OR = 0b1000, 0b1110


def lowered(circuit: Circuit, counts: bool = False) -> Netlist:
    """The circuit as one netlist from bits to answer, its readout as gates; see lower_answer."""
    return circuit.netlist if circuit.readout is None else lower_answer(circuit.netlist, circuit.readout, counts)


@dataclass(frozen=True, eq=False)
class Compilable:
    """All that is compiled of a circuit: encoder -> netlist -> answer bits, and behind them a classifier's counts in binary.

    readout: of a classifier, what makes scores of the counts; None for others, whose outputs are all answer bits.
    """

    encoder: Encoder
    netlist: Netlist
    readout: GroupSum | None

    @property
    def n_answers(self) -> int:
        return self.netlist.n_outputs if self.readout is None else self.readout.n_answers


def compilable(circuit: Circuit) -> Compilable:
    """The circuit with its readout as gates; one without an encoder takes bits, false up to 0."""
    readout = circuit.readout if isinstance(circuit.readout, GroupSum) else None
    netlist = lowered(circuit, counts=readout is not None)
    return Compilable(circuit.encoder or Encoder.of_bits(netlist.n_inputs), netlist, readout)


def lower_answer(netlist: Netlist, readout: Readout, counts: bool = False) -> Netlist:
    """The netlist with, as outputs, the answer, as Readout.answers: the class in binary, or the bits that were voted on.

    counts: behind the answer, each group's count of true outputs in binary. Groups are in order, with count_bits outputs each,
    least significant bit first. Raises ValueError if the outputs cannot be dealt to the groups.
    """
    gates = _Gates(netlist)
    groups = _groups(netlist, readout)
    counted: list[list[int]] = []  # as far as the answer needs them, in the order that it needs them in
    if isinstance(readout, GroupSum):
        answer = _class(gates, groups, counted)
    else:
        assert isinstance(readout, Majority)
        counted += [_count(gates, group) for group in groups]
        answer = [_exceeds(gates, count, readout.votes // 2) for count in counted]
    if counts:
        counted += [_count(gates, group) for group in groups[len(counted) :]]
        width = count_bits(netlist.n_outputs, readout)
        answer += [bit for count in counted for bit in [*count, *(gates.false() for _ in range(width - len(count)))]]
    return gates.netlist(answer)


def _class(gates: "_Gates", groups: list[list[int]], counted: list[list[int]]) -> list[int]:
    """The class in binary, (n_classes - 1).bit_length() bits; groups that had to be counted are appended to counted."""
    if len(groups) == 1:
        return []
    # Classes play as soon as they are counted, against the winner of as many just before them: few counts are ever live.
    winners: list[_Player] = []
    for label, group in enumerate(groups):
        counted.append(_count(gates, group))
        winners.append(_Player(1, counted[-1], []))
        is_last = label == len(groups) - 1
        while len(winners) > 1 and (is_last or winners[-2].n_classes == winners[-1].n_classes):
            challenger = winners.pop()
            defender = winners.pop()
            winners.append(_play(gates, defender, challenger, is_final=is_last and not winners))
    return winners[0].index


def count_bits(n_outputs: int, readout: Readout) -> int:
    """How many bits hold the count of the largest group, all of its outputs true."""
    return int(np.bincount(readout.groups(n_outputs)).max()).bit_length()


class _Gates:
    """A netlist's gates and those that are added. A signal is read as a literal: 2 x signal, plus 1 for its complement."""

    def __init__(self, netlist: Netlist) -> None:
        self._netlist = netlist
        self._tables: list[int] = []
        self._fan_ins: list[tuple[int, ...]] = []
        self._false: int | None = None

    def add(self, table: int, *literals: int) -> int:
        """The literal of a new gate that applies the table to the literals, whose complements go into the table."""
        flips = sum((literal & 1) << position for position, literal in enumerate(literals))
        self._tables.append(_flipped(table, len(literals), flips))
        self._fan_ins.append(tuple(literal >> 1 for literal in literals))
        return 2 * (self._netlist.n_signals + len(self._tables) - 1)

    def false(self) -> int:
        """The literal of constant false: one gate, made when it is first asked for."""
        if self._false is None:
            self._false = self.add(0)
        return self._false

    def constant(self, literal: int) -> bool | None:
        """The value of a literal of one of the netlist's gates that is constant, None of any other."""
        gate = (literal >> 1) - self._netlist.n_inputs
        if gate < 0:
            return None
        table = int(self._netlist.table[gate])
        if table not in (0, int(table_mask(int(self._netlist.arity[gate])))):
            return None
        return bool(table) != bool(literal & 1)

    def netlist(self, literals: list[int]) -> Netlist:
        """All gates, with the literals as the outputs."""
        old = self._netlist
        added_arity = np.array([len(fan_in) for fan_in in self._fan_ins], dtype=np.int8)
        width = max(old.fan_in.shape[1], int(added_arity.max(initial=0)))
        padded = [fan_in + (-1,) * (width - len(fan_in)) for fan_in in self._fan_ins]
        return Netlist(
            n_inputs=old.n_inputs,
            table=np.concatenate([old.table, np.array(self._tables, dtype=np.uint64)]),
            fan_in=np.concatenate(
                [
                    np.pad(old.fan_in, ((0, 0), (0, width - old.fan_in.shape[1])), constant_values=-1),
                    np.array(padded, dtype=np.int32).reshape(len(padded), width),
                ]
            ),
            arity=np.concatenate([old.arity, added_arity]),
            outputs=np.array([literal >> 1 for literal in literals], dtype=np.int32),
            inverted=np.array([literal & 1 for literal in literals], dtype=bool),
        )


@cache
def _flipped(table: int, arity: int, flips: int) -> int:
    """The table with the inputs whose bits are set in `flips` inverted before they are read."""
    for position in range(arity):
        if flips >> position & 1:
            table = int(complement_input(table, arity, position))
    return table


def _groups(netlist: Netlist, readout: Readout) -> list[list[int]]:
    """The literals of each group's outputs, in the order to add them in."""
    literals = 2 * netlist.outputs.astype(np.int64) + netlist.inverted
    starts = np.searchsorted(readout.groups(netlist.n_outputs), np.arange(1, readout.n_groups))
    return [_neighbouring(netlist, group.tolist()) for group in np.split(literals, starts)]


def _neighbouring(netlist: Netlist, literals: list[int]) -> list[int]:
    """The literals in an order in which gates of one primary input follow each other, as far as a walk from gate to gate leads:
    to the input of the last one that fewest are left to read, and of its readers to the first."""
    gates = [(literal >> 1) - netlist.n_inputs for literal in literals]
    read = [netlist.fan_in[gate][: netlist.arity[gate]].tolist() if gate >= 0 else [] for gate in gates]
    read = [[signal for signal in signals if signal < netlist.n_inputs] for signals in read]
    readers: dict[int, dict[int, None]] = {}
    for place, signals in enumerate(read):
        for signal in signals:
            readers.setdefault(signal, {})[place] = None
    order: dict[int, None] = {}
    for start in range(len(literals)):
        near = [] if start in order else [(0, start)]
        while near:
            _, place = min(near)
            order[place] = None
            for signal in set(read[place]):
                del readers[signal][place]
            near = [(len(readers[signal]), other) for signal in read[place] for other in readers[signal]]
    return [literals[place] for place in order]


def _count(gates: _Gates, literals: list[int]) -> list[int]:
    """How many of the literals are true, in binary, as len(literals).bit_length() literals.

    They are added as they come, but for constants, of which those that are true are one number, and for a signal's literals:
    equal ones have the weight of their number, and the signal and its complement are one true literal.
    """
    pending: list[list[int]] = []

    def put(literal: int, weight: int) -> None:
        """Add a signal of weight 2**weight; of three that then wait, one stays and one is carried."""
        while True:
            while weight >= len(pending):
                pending.append([])
            waiting = pending[weight]
            waiting.append(literal)
            if len(waiting) < 3:
                return
            pending[weight] = [gates.add(_SUM, *waiting)]
            literal, weight = gates.add(_CARRY, *waiting), weight + 1

    def put_times(literal: int, times: int) -> None:
        for weight in range(times.bit_length()):
            if times >> weight & 1:
                put(literal, weight)

    times = Counter(literals)
    n_true = 0
    for literal, n in times.items():
        value = gates.constant(literal)
        opposite = times.get(literal ^ 1, 0)
        if value is not None:
            n_true += n * value
        elif literal & 1 and n == opposite:
            n_true += n
        elif n > opposite:
            n_true += opposite
            put_times(literal, n - opposite)
    if n_true:
        put_times(gates.false() ^ 1, n_true)
    weight = 0
    while weight < len(pending):  # the last carries may make another weight
        if len(pending[weight]) == 2:
            pair = pending[weight]
            pending[weight] = [gates.add(_HALF_SUM, *pair)]
            put(gates.add(_HALF_CARRY, *pair), weight + 1)
        weight += 1
    pending += [[]] * (len(literals).bit_length() - len(pending))
    return [waiting[0] if waiting else gates.false() for waiting in pending]


def _exceeds(gates: _Gates, number: list[int], bound: int) -> int:
    """Whether the number > bound, a constant of no more bits than the number, from the low bit up."""
    exceeds = None  # by the bits so far; None: it cannot
    for place, bit in enumerate(number):
        if bound >> place & 1:
            exceeds = None if exceeds is None else gates.add(_AND, bit, exceeds)
        else:
            exceeds = bit if exceeds is None else gates.add(_OR, bit, exceeds)
    return gates.false() if exceeds is None else exceeds


@dataclass(frozen=True)
class _Player:
    """The best of some classes: its count, and its place among them in binary, both as literals, low bit first.

    n_classes: how many it is the best of, a power of two but where the classes run out.
    """

    n_classes: int
    count: list[int]
    index: list[int]


def _play(gates: _Gates, a: _Player, b: _Player, is_final: bool) -> _Player:
    """The better of two, where a's classes come just before b's and are a power of two no smaller than b's."""
    b_wins = _greater(gates, a.count, b.count)
    count = [] if is_final else _select(gates, a.count, b.count, b_wins)  # nobody asks for the count of the last winner
    return _Player(a.n_classes + b.n_classes, count, [*_select(gates, a.index, b.index, b_wins), b_wins])


def _select(gates: _Gates, a: list[int], b: list[int], choice: int) -> list[int]:
    """The number b if choice, else a, where a has at least as many bits."""
    chosen = [gates.add(_SELECT, *bits, choice) for bits in zip(a, b, strict=False)]
    return chosen + [gates.add(_UNLESS, bit, choice) for bit in a[len(b) :]]


def _greater(gates: _Gates, a: list[int], b: list[int]) -> int:
    """Whether the number b > the number a, where a has at least as many bits, from the low bit up."""
    greater = gates.add(_FIRST_GREATER, a[0], b[0])
    for bits in zip(a[1:], b[1:], strict=False):
        greater = gates.add(_GREATER, *bits, greater)
    for bit in a[len(b) :]:
        greater = gates.add(_UNLESS, greater, bit)
    return greater
