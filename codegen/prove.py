"""Prove two circuits equal on every input, however many inputs there are: what codegen.equivalence does up to 20.

Both are put side by side in one netlist. Random items show most differences. What windows prove equal is merged
(codegen.merge), which leaves little or nothing of a circuit and what passes made of it; the rest is for SAT, on and-inverter
graphs, by aigverse: signals that look the same but that windows do not prove, those that read merged signals only and then
those after them, and in the end the outputs that still differ in structure. Neither the passes nor what they are made of has
a part in it, but for the arithmetic of truth tables.

aigverse is optional: pip install "gatebench[proof]".
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from codegen.merge import merged, packed_values
from codegen.netlist import Netlist
from codegen.pack import WORD
from codegen.simulate import simulate

if TYPE_CHECKING:
    from aigverse.networks import Aig, AigSignal

# Random items, and the conflicts after which the SAT solver gives a question up.
_ITEM_WORDS = 64
CONFLICTS = 10_000
_SIGNAL_CONFLICTS = 1_000  # for one signal of many


class ProverMissingError(ImportError):
    """aigverse is not installed; the message says how to."""


@dataclass(frozen=True, eq=False)
class Proof:
    """Whether two netlists agree on every input row, and what showed it.

    equal: None if it was not decided within the limits, which is not to be taken for equal. how: what decided, or was tried
    last: random items ("simulation"), signals merged over windows alone ("windows"), or a SAT solver too ("SAT").
    counterexample: bool (input,), an item on which the two differ, as simulate confirms; None if they are not known to.
    """

    equal: bool | None
    how: Literal["simulation", "windows", "SAT"]
    counterexample: NDArray[np.bool_] | None = None


def prove_equal(first: Netlist, second: Netlist, conflicts: int = CONFLICTS, seed: int = 0) -> Proof:
    """Do the netlists compute the same outputs on every input row?

    conflicts: the SAT solver's limit for the outputs. seed: of the random items. Raises ValueError for different numbers of
    inputs or of outputs, ProverMissingError without aigverse.
    """
    if (first.n_inputs, first.n_outputs) != (second.n_inputs, second.n_outputs):
        raise ValueError(
            f"Expected circuits with the same inputs and outputs; got {first.n_inputs} inputs and {first.n_outputs} outputs,"
            f" and {second.n_inputs} and {second.n_outputs}."
        )
    solver = _Solver()
    both = _side_by_side(first, second)
    drawn = np.random.default_rng(seed).integers(0, 1 << WORD, (both.n_inputs, _ITEM_WORDS), dtype=np.uint64)
    values = packed_values(both, drawn)
    item = _differing_item(both, drawn, values)
    if item is not None:
        return _refuted(first, second, item, "simulation")

    rest, asked_sat = _unproven(solver, both, values, second.n_gates)
    if rest.n_outputs == 0:
        return Proof(True, "SAT" if asked_sat else "windows")
    equal = solver.equal(rest, {}, conflicts)
    if equal is not False:
        return Proof(equal, "SAT")
    item = _solved_item(solver, rest, conflicts)
    return Proof(None, "SAT") if item is None else _refuted(first, second, item, "SAT")


def _unproven(solver: "_Solver", both: Netlist, values: NDArray[np.uint64], n_second: int) -> tuple[Netlist, bool]:
    """The two circuits, merged as far as can be, with the outputs that are not one signal; and whether it took SAT."""
    known = np.full(both.n_signals, -1, dtype=np.int32)
    refused: set[int] = set()
    while True:
        found = merged(both, values, known)
        rest = _open_outputs(found.netlist)
        n_known = int(np.count_nonzero(known >= 0))
        for signal in _frontier(rest, found.lookalike, n_second):
            if signal in refused:
                continue
            other = found.lookalike[signal]
            inverted = (values[signal, 0] ^ values[other, 0]) & np.uint64(1) == 1
            pair = replace(rest, outputs=np.array([signal, other]), inverted=np.array([False, inverted]))
            if solver.equal(pair, {}, _SIGNAL_CONFLICTS):
                known[signal] = other
            else:
                refused.add(signal)
        if np.count_nonzero(known >= 0) == n_known:
            return rest, n_known > 0


def _refuted(first: Netlist, second: Netlist, item: NDArray[np.bool_], how: Literal["simulation", "SAT"]) -> Proof:
    if np.array_equal(simulate(first, item[None]), simulate(second, item[None])):
        raise AssertionError("The oracle does not confirm a counterexample: codegen.prove and codegen.simulate disagree.")
    return Proof(False, how, item)


def _side_by_side(first: Netlist, second: Netlist) -> Netlist:
    """One netlist over the same inputs: a constant, the gates of the first, those of the second; outputs likewise."""
    n_inputs, width = first.n_inputs, max(first.fan_in.shape[1], second.fan_in.shape[1])

    def moved(signals: NDArray[np.int32], by: int) -> NDArray[np.int32]:
        return np.where(signals < n_inputs, signals, signals + by)

    def fan_in(netlist: Netlist, by: int) -> NDArray[np.int32]:
        return moved(np.pad(netlist.fan_in, ((0, 0), (0, width - netlist.fan_in.shape[1])), constant_values=-1), by)

    # With a constant in front, what is constant in either circuit has an earlier signal to be merged with.
    return Netlist(
        n_inputs=n_inputs,
        table=np.concatenate([np.zeros(1, dtype=np.uint64), first.table, second.table]),
        fan_in=np.concatenate([np.full((1, width), -1), fan_in(first, 1), fan_in(second, 1 + first.n_gates)]),
        arity=np.concatenate([np.zeros(1, dtype=np.int8), first.arity, second.arity]),
        outputs=np.concatenate([moved(first.outputs, 1), moved(second.outputs, 1 + first.n_gates)]),
        inverted=np.concatenate([first.inverted, second.inverted]),
    )


def _halves(netlist: Netlist) -> tuple[tuple[NDArray[np.int32], NDArray[np.bool_]], tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """The outputs of the two circuits of one netlist, and whether they are inverted."""
    half = netlist.n_outputs // 2
    return (netlist.outputs[:half], netlist.inverted[:half]), (netlist.outputs[half:], netlist.inverted[half:])


def _with_outputs(netlist: Netlist, which: NDArray[np.integer]) -> Netlist:
    """Both circuits with only some of their outputs, by number."""
    which = np.concatenate([which, which + netlist.n_outputs // 2])
    return replace(netlist, outputs=netlist.outputs[which], inverted=netlist.inverted[which])


def _open_outputs(netlist: Netlist) -> Netlist:
    """The outputs that are not one signal in both circuits."""
    (first, first_inverted), (second, second_inverted) = _halves(netlist)
    return _with_outputs(netlist, np.flatnonzero((first != second) | (first_inverted != second_inverted)))


def _frontier(netlist: Netlist, lookalike: NDArray[np.int32], n_second: int) -> list[int]:
    """The signals of the second circuit, its last n_second, that look like another and read only what was merged."""
    start = netlist.n_gates - n_second
    merged_only = (netlist.fan_in < netlist.n_inputs + start).all(axis=1)
    wanted = netlist.live & merged_only & (lookalike[netlist.n_inputs :] >= 0)
    wanted[:start] = False
    return [netlist.n_inputs + int(gate) for gate in np.flatnonzero(wanted)]


def _differing_item(netlist: Netlist, drawn: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.bool_] | None:
    """The first of the drawn items on which the two circuits differ."""
    (first, first_inverted), (second, second_inverted) = _halves(netlist)
    flip = np.where(first_inverted != second_inverted, ~np.uint64(0), np.uint64(0))
    words = np.bitwise_or.reduce(values[first] ^ values[second] ^ flip[:, None], axis=0)
    if not words.any():
        return None
    word = int(np.flatnonzero(words)[0])
    lane = int(words[word]) & -int(words[word])
    return (drawn[:, word] & np.uint64(lane)) != 0


def _solved_item(solver: "_Solver", netlist: Netlist, conflicts: int) -> NDArray[np.bool_] | None:
    """An item on which the two circuits, which do differ, differ; None if that takes too many conflicts.

    The solver says yes or no and gives no item, so inputs are fixed one after the other to where the two still differ.
    """
    outputs = np.arange(netlist.n_outputs // 2)
    while len(outputs) > 1:
        half = outputs[: len(outputs) // 2]
        equal = solver.equal(_with_outputs(netlist, half), {}, conflicts)
        if equal is None:
            return None
        outputs = outputs[len(half) :] if equal else half
    netlist = _with_outputs(netlist, outputs)
    read = np.unique(np.concatenate([netlist.fan_in[netlist.live].ravel(), netlist.outputs]))
    fixed: dict[int, bool] = {}
    for signal in read[(read >= 0) & (read < netlist.n_inputs)].tolist():
        equal = solver.equal(netlist, {**fixed, signal: False}, conflicts)
        if equal is None:
            return None
        fixed[signal] = equal
    item = np.zeros(netlist.n_inputs, dtype=bool)
    item[list(fixed)] = list(fixed.values())
    return item


class _Solver:
    """aigverse's SAT solver on netlists of two circuits. Raises ProverMissingError if it is not installed."""

    def __init__(self) -> None:
        try:
            from aigverse import algorithms, networks
        except ImportError as error:
            raise ProverMissingError(
                'Proving two circuits equal needs aigverse; install it with: pip install "gatebench[proof]"'
            ) from error
        self._algorithms, self._networks = algorithms, networks

    def equal(self, netlist: Netlist, fixed: dict[int, bool], conflicts: int) -> bool | None:
        """Whether the two circuits' outputs are the same wherever the inputs are as fixed; None after so many conflicts."""
        aigs = [self._aig(replace(netlist, outputs=outputs, inverted=inverted), fixed) for outputs, inverted in _halves(netlist)]
        # Its own merging of equal signals takes very long on large circuits, and ours has been done.
        return self._algorithms.equivalence_checking(*aigs, conflict_limit=conflicts, functional_reduction=False)

    def _aig(self, netlist: Netlist, fixed: dict[int, bool]) -> "Aig":
        aig = self._networks.Aig()
        signals = {signal: aig.create_pi() for signal in range(netlist.n_inputs)}
        signals |= {signal: aig.get_constant(value) for signal, value in fixed.items()}
        gates = np.flatnonzero(netlist.live)
        parts = (gates, netlist.table[gates], netlist.arity[gates], netlist.fan_in[gates])
        for gate, table, arity, fan_in in zip(*(part.tolist() for part in parts), strict=True):
            signals[netlist.n_inputs + gate] = _expanded(aig, table, [signals[signal] for signal in fan_in[:arity]])
        for signal, inverted in zip(netlist.outputs.tolist(), netlist.inverted.tolist(), strict=True):
            aig.create_po(signals[signal] ^ inverted)
        return aig


def _expanded(aig: "Aig", table: int, operands: "list[AigSignal]") -> "AigSignal":
    """A truth table of the operands as nodes, by Shannon expansion."""
    if not operands:
        return aig.get_constant(bool(table))
    *rest, choice = operands
    rows = 1 << len(rest)
    low, high = table & ((1 << rows) - 1), table >> rows
    if low == high:
        return _expanded(aig, low, rest)
    return aig.create_ite(choice, _expanded(aig, high, rest), _expanded(aig, low, rest))
