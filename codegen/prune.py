"""Prune a trained circuit with data: fewer gates, for answers that may change.

No pass: what comes out computes something else, and only labelled items say how much is lost. What is judged by is apart from
what is chosen by: training items say which signals may stand in for which (codegen.stand_ins), and a substitution is kept only
if the validation items allow it. Items of a test have no part in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.budget import Budget
from codegen.circuit import Circuit
from codegen.lower_readout import lowered
from codegen.merge import packed_values
from codegen.netlist import Netlist
from codegen.pack import WORD, pack_items
from codegen.passes import OPTIMISE, run
from codegen.simulate import check_bits
from codegen.stand_ins import CONSTANT, StandIns, equal_signals, near_signals, substituted, tapped

_CHUNK_WORDS = 16  # of each signal at a time, so that a large circuit's stay near the processor
_NEAR_WORDS = 128  # of the training items that near signals are looked for and harm is measured on,
_NEAR_VALUES = 1 << 27  # and of all signals together, 1 GiB
_JUDGED = 1 << 15  # training items, at most, that every circuit is tried on
_TRIALS = 24  # circuits of a round that are tried at most
_SHRINK = 0.1  # the part of the gates that a round may take away before all is measured again;
_LEAST = 0.01  # one that takes away less is the last
_FIRST_POINTS = 0.05  # that a budget in gates may cost at first; doubled until it is met


@dataclass(frozen=True, eq=False)
class Labelled:
    """Items and what is right: bits bool (item, input), answers bool (item, answer) as of Circuit.answers."""

    bits: NDArray[np.bool_]
    answers: NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """One round of substitutions that were kept. what: on which items the signals were alike. constants, copies: how many signals
    became constant or were replaced by others. gates: as gate_count. accuracy: fractions of the validation items."""

    what: Literal["on all training items", "on most training items"]
    constants: int
    copies: int
    gates_before: int
    gates_after: int
    accuracy_before: float
    accuracy_after: float


@dataclass(frozen=True, eq=False)
class Pruned:
    """reached: whether the budget was met; reason: if not, what was. agreement: the fraction of training items whose answer is
    the unpruned circuit's. Gates and accuracies are those of the steps, from the first to the last."""

    circuit: Circuit
    budget: Budget
    gates_before: int
    gates_after: int
    accuracy_before: float
    accuracy_after: float
    agreement: float
    steps: list[Step]
    reason: str | None

    @property
    def reached(self) -> bool:
        return self.reason is None


def gate_count(circuit: Circuit) -> int:
    """Gates of the circuit, optimised by the passes that every form begins with, and then with its readout as gates once more:
    what there is to save."""
    return _optimised(circuit)[1].n_gates


def prune(
    circuit: Circuit,
    training: Labelled,
    validation: Labelled,
    budget: Budget,
    seed: int = 0,
    between: Callable[[int, float], None] | None = None,
) -> Pruned:
    """The circuit with what the data show to be of little use replaced, for the budget.

    First, signals that are constant on all training items, or equal to an earlier one or its complement. Then, if the budget
    allows changes, those that nearly are, in rounds: those that change the scores of training items least for what they save. A
    batch of them is kept if the accuracy stays within the budget on the validation items, and
    on training items: so many circuits are tried that some lose nothing on a few validation items by luck alone. A batch that
    fails is cut. Outputs of a group sum are thinned by the same means: a constant one is not added.

    seed: of the training items that are drawn to measure on. between: is told now and then how far it has come, gates and
    accuracy as of Step. Deterministic. Raises ValueError for items that do not fit the circuit, or none.
    """
    n_answers = circuit.netlist.n_outputs if circuit.readout is None else circuit.readout.n_answers
    for name, items in (("training", training), ("validation", validation)):
        check_bits(circuit.netlist, items.bits)
        if len(items.bits) == 0 or items.answers.shape != (len(items.bits), n_answers) or items.answers.dtype != np.bool_:
            raise ValueError(
                f"Expected {name} items with bool answers of {n_answers} bits each; got {len(items.bits)} items and"
                f" {items.answers.dtype} answers of shape {items.answers.shape}."
            )
    search = _Search(circuit, training, validation, budget, np.random.default_rng(seed), between)
    steps = [*search.exact()]
    if budget.points != 0:
        steps += search.near()
    best, before = search.best, search.first
    reason = None
    if budget.gates is not None and best.gates > budget.gates:
        reason = (
            f"Not reached: best was {best.gates} gates, with {best.right / search.n:.2%} of the validation items right. Nothing"
            " was found that takes away more and leaves it better than the commonest answer, right of"
            f" {search.commonest / search.n:.2%}."
        )
    pruned = replace(circuit, netlist=best.netlist, provenance={**circuit.provenance, "pruned": f"for {budget}"})
    return Pruned(
        pruned,
        budget,
        before.gates,
        best.gates,
        before.right / search.n,
        best.right / search.n,
        _agreement(circuit, pruned, training.bits),
        steps,
        reason,
    )


@dataclass(frozen=True, eq=False)
class _Judge:
    """Items that circuits are tried on, packed: inputs (input, word), answers (answer, word); lanes (word,): which are items."""

    n: int
    inputs: NDArray[np.uint64]
    answers: NDArray[np.uint64]
    lanes: NDArray[np.uint64]

    @classmethod
    def of(cls, items: Labelled) -> "_Judge":
        n = len(items.bits)
        return cls(n, _packed(items.bits), _packed(items.answers), _lanes(n))

    def right(self, netlist: Netlist) -> int:
        """How many items a netlist of all of the circuit gets right."""
        wrong = np.bitwise_or.reduce(_evaluated(netlist, self.inputs) ^ self.answers, axis=0)
        return int(np.bitwise_count(~wrong & self.lanes).sum())


@dataclass(frozen=True, eq=False)
class _State:
    """A netlist, as optimised; the gates that it comes to with its readout, and the items that it gets right."""

    netlist: Netlist
    gates: int
    right: int
    training_right: int


class _Search:
    """first: the circuit as it came, best: what it has become. n: validation items, commonest: those of the commonest answer."""

    def __init__(
        self, circuit: Circuit, training: Labelled, validation: Labelled, budget: Budget, rng: np.random.Generator,
        between: Callable[[int, float], None] | None,
    ) -> None:  # fmt: skip
        self._circuit, self._training, self._budget, self._rng, self._between = circuit, training, budget, rng, between
        drawn = np.sort(rng.permutation(len(training.bits))[:_JUDGED])
        self._judged = _Judge.of(Labelled(training.bits[drawn], training.answers[drawn]))
        self._validation = _Judge.of(validation)
        self.n = self._validation.n
        self.commonest = _commonest(validation)
        self.first = self.best = self._state(circuit.netlist)

    def exact(self) -> Iterator[Step]:
        netlist = self.best.netlist
        stand_ins = equal_signals(netlist, self._circuit.readout, _filled(self._training.bits))
        order = np.argsort(-stand_ins.gain, kind="stable")
        yield from self._round(netlist, stand_ins.part(order), "on all training items", 0.0)

    def near(self) -> Iterator[Step]:
        for points in self._allowances():
            while not self._is_met():
                before = self.best
                netlist = tapped(before.netlist, self._circuit.readout)
                yield from self._round(netlist, self._near(netlist), "on most training items", points)
                if before.gates - self.best.gates <= _LEAST * before.gates:
                    break

    def _allowances(self) -> Iterator[float]:
        """How many points may be lost, one after the other."""
        if self._budget.points is not None:
            yield self._budget.points
            return
        points = 0.0
        while points < 200:
            yield points
            points = max(2 * points, _FIRST_POINTS)

    def _is_allowed(self, state: _State, points: float) -> bool:
        """Within so many points on both kinds of items, and better than the commonest answer, unless it was no better before."""
        first, lost = self.first, points / 100 + 1e-9
        return (
            state.right >= first.right - int(lost * self.n)
            and state.right >= min(first.right, self.commonest + 1)
            and state.training_right >= first.training_right - int(lost * self._judged.n)
        )

    def _is_met(self) -> bool:
        return self._budget.gates is not None and self.best.gates <= self._budget.gates

    def _near(self, netlist: Netlist) -> StandIns:
        n_items = len(self._training.bits)
        words = int(np.clip(_NEAR_VALUES // netlist.n_signals, 1, min(_NEAR_WORDS, -(-n_items // WORD))))
        drawn = np.resize(self._rng.permutation(n_items), words * WORD)
        inputs = _packed(self._training.bits[drawn])
        return near_signals(netlist, self._circuit.readout, inputs, int(_SHRINK * self.best.gates) + 1)

    def _round(
        self,
        netlist: Netlist,
        stand_ins: StandIns,
        what: Literal["on all training items", "on most training items"],
        points: float,
    ) -> Iterator[Step]:
        """Keep of the netlist's substitutions, in their order, those that cost no more points, and no gates: all of them if they
        do, else parts."""
        before = self.best
        kept, start, size = np.zeros(len(stand_ins), dtype=bool), 0, len(stand_ins)
        for _ in range(_TRIALS):
            if start >= len(stand_ins) or self._is_met():
                break
            if self._between is not None:
                self._between(self.best.gates, self.best.right / self.n)
            tried = kept.copy()
            tried[start : start + size] = True
            state = self._state(substituted(netlist, stand_ins.part(np.flatnonzero(tried))))
            if self._is_allowed(state, points) and state.gates <= self.best.gates:
                self.best, kept = state, tried
                start, size = start + size, 2 * size
            elif size > 1:
                size = max(1, size // 4)
            else:
                start += 1
        if kept.any():
            constants = int((stand_ins.by[kept] == CONSTANT).sum())
            yield Step(
                what, constants, int(kept.sum()) - constants, before.gates, self.best.gates, before.right / self.n,
                self.best.right / self.n,
            )  # fmt: skip

    def _state(self, netlist: Netlist) -> _State:
        optimised, whole = _optimised(replace(self._circuit, netlist=netlist))
        return _State(optimised, whole.n_gates, self._validation.right(whole), self._judged.right(whole))


def _commonest(items: Labelled) -> int:
    _, counts = np.unique(items.answers, axis=0, return_counts=True)
    return int(counts.max())


def _optimised(circuit: Circuit) -> tuple[Netlist, Netlist]:
    """The circuit's netlist, and that with its readout as gates."""
    netlist, _ = run(circuit.netlist, OPTIMISE)
    return netlist, run(lowered(replace(circuit, netlist=netlist)), OPTIMISE)[0]


def _evaluated(netlist: Netlist, inputs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """uint64 (output, word) of uint64 (input, word)."""
    flip = np.where(netlist.inverted, ~np.uint64(0), np.uint64(0))[:, None]
    starts = range(0, inputs.shape[1], _CHUNK_WORDS)
    parts = [packed_values(netlist, inputs[:, at : at + _CHUNK_WORDS])[netlist.outputs] ^ flip for at in starts]
    return np.concatenate(parts, axis=1)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """bool (item, signal) -> uint64 (signal, word); lanes past the last item are false."""
    return pack_items(bits, -(-len(bits) // WORD))[0]


def _lanes(n_items: int) -> NDArray[np.uint64]:
    """uint64 (word,), the lanes that hold items."""
    return _packed(np.ones((n_items, 1), dtype=bool))[0]


def _filled(bits: NDArray[np.bool_]) -> Iterator[NDArray[np.uint64]]:
    """All items, uint64 (input, word), some words at a time; the last word is filled up with items that were there before."""
    for items in _parts(bits):
        yield _packed(items[np.arange(-(-len(items) // WORD) * WORD) % len(items)])


def _parts(bits: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    return (bits[start : start + _CHUNK_WORDS * WORD] for start in range(0, len(bits), _CHUNK_WORDS * WORD))


def _agreement(one: Circuit, other: Circuit, bits: NDArray[np.bool_]) -> float:
    first, second = (_optimised(circuit)[1] for circuit in (one, other))
    n_same = 0
    for items in _parts(bits):
        inputs = _packed(items)
        differs = np.bitwise_or.reduce(_evaluated(first, inputs) ^ _evaluated(second, inputs), axis=0)
        n_same += int(np.bitwise_count(~differs & _lanes(len(items))).sum())
    return n_same / len(bits)
