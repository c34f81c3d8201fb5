"""A compiled circuit as a Python callable: arrays of items in, answers and scores out; boards in, later boards out."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen.backends import CompiledCircuit, compiler_flags, pipeline
from codegen.circuit import Circuit
from codegen.emit_c import LANES
from codegen.interfaces import Bits
from codegen.lower_readout import compilable
from codegen.passes import run
from codegen.simulate import check_bits
from codegen.toolchain import find_compiler

_Number = TypeVar("_Number", np.int32, np.float32, np.bool_)

_SHARE = 64 * max(LANES.values())  # items: a share of a thread is whole blocks, but for the last


class Predictor:
    """What a circuit says of items, by C that is compiled when this is made, or was before, and then kept.

    Methods may be called from any number of threads at once, and let other threads run meanwhile.

    isa: the words that are computed with, a key of emit_c.LANES; by default the widest of this machine. threads: how many share
    the items of a call. timeout_seconds: the compiler's. Raises CircuitFileError for a file that is no circuit, ToolchainError
    if there is no C compiler or it fails, and ValueError for settings that there are not.
    """

    def __init__(
        self,
        circuit: Circuit | str | os.PathLike[str],
        isa: str | None = None,
        threads: int = 1,
        timeout_seconds: float = 600,
    ) -> None:
        isa = find_compiler().isa if isa is None else isa
        if isa not in LANES:
            raise ValueError(f"Expected an instruction set of {', '.join(LANES)}; got {isa!r}.")
        if threads < 1:
            raise ValueError(f"Expected at least one thread, got {threads}.")
        self.circuit = circuit if isinstance(circuit, Circuit) else Circuit.load(circuit)
        self._threads = threads
        whole = compilable(self.circuit)
        netlist, passes = run(whole.netlist, pipeline(isa))
        self._compiled = CompiledCircuit(
            netlist, passes, isa, compiler_flags(netlist), True, timeout_seconds, whole.encoder, whole.readout
        )

    @property
    def n_features(self) -> int:
        """How many numbers, or bits, an item has."""
        encoder = self._compiled.encoder
        assert encoder is not None
        return encoder.n_features

    def predict(self, items: NDArray[Any]) -> NDArray[np.int32]:
        """(item, feature) -> int32 (item,): of a classifier, the class; else the answer bits as a number, low bit first.

        Items are of a type in encoder.FEATURE_TYPES, or bool for a circuit without an encoder, in any memory layout: bytes and
        float32 in C order are read in place, others copied; float64 is rounded to float32. Raises ValueError for items of
        another shape or type, and if an answer has more bits than an int32 holds.
        """
        return self._shared(self._compiled.predict, items)

    def answers(self, items: NDArray[Any]) -> Bits:
        """The same as bool (item, answer): the output bits, or the class in binary."""
        return self._shared(self._compiled.answers, items)

    def scores(self, items: NDArray[Any]) -> NDArray[np.float32]:
        """(item, feature) -> float32 (item, class): the class is that of the largest. Raises ValueError if it has no classes."""
        return self._shared(self._compiled.scores, items)

    def step(self, board: Bits, steps: int = 1, torus: bool = True) -> Bits:
        """bool (height, width) after some steps of a circuit of the 3x3 neighbourhood; beyond the edges of a board that is no
        torus, cells are dead. Raises ValueError if the circuit is no such rule, for other boards, or a negative number."""
        if steps < 0:
            raise ValueError(f"Expected a number of steps from 0 on, got {steps}.")
        stepper = self._compiled.stepper(board, torus)
        stepper.run(steps)
        return stepper.board()

    def _shared(self, function: Callable[[NDArray[Any]], NDArray[_Number]], items: NDArray[Any]) -> NDArray[_Number]:
        """The function of all items, by as many threads as there are shares for."""
        if self.circuit.encoder is None:
            items = check_bits(self.circuit.netlist, items)
        if self._threads == 1:
            return function(items)
        assert self._compiled.encoder is not None
        items = self._compiled.encoder.check(items)
        share = -(-len(items) // (self._threads * _SHARE)) * _SHARE
        if len(items) <= share:
            return function(items)
        with ThreadPoolExecutor(self._threads) as pool:
            return np.concatenate(list(pool.map(function, np.split(items, range(share, len(items), share)))))
