"""The array form of a Boolean circuit: what methods produce, passes rewrite and back ends print."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from codegen.truth_table import MAX_ARITY, table_mask


class NetlistError(ValueError):
    """A netlist that does not describe a circuit; the message names the gate or output and what to change."""


@dataclass(frozen=True, eq=False)
class Netlist:
    """A combinational circuit of k-input gates in topological order.

    Signals 0 .. n_inputs - 1 are the primary inputs; signal n_inputs + g is the output of gate g.

    n_inputs: number of primary inputs, >= 0.
    table:    uint64 (gate,), the truth table of each gate (see codegen.truth_table).
    fan_in:   int32 (gate, k), the signals each gate reads, input 0 first; columns from the gate's arity on are -1.
    arity:    int8 (gate,), how many inputs each gate has, 0 (a constant) to 6.
    outputs:  int32 (output,), the signal behind each primary output.
    inverted: bool (output,), whether that output is the signal's complement.

    Raises NetlistError if a gate reads a signal that is not defined before it, or a table has bits beyond its arity.
    """

    n_inputs: int
    table: NDArray[np.uint64]
    fan_in: NDArray[np.int32]
    arity: NDArray[np.int8]
    outputs: NDArray[np.int32]
    inverted: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            given = np.asarray(getattr(self, name))
            array: NDArray[Any] = np.ascontiguousarray(given, dtype=dtype)
            if not np.array_equal(array, given):
                raise NetlistError(f"{name} holds values that do not fit {np.dtype(dtype)}.")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "n_inputs", int(self.n_inputs))
        self._validate()

    @classmethod
    def from_gates(
        cls, n_inputs: int, gates: list[tuple[int, tuple[int, ...]]], outputs: ArrayLike, inverted: ArrayLike | None = None
    ) -> "Netlist":
        """Build from a list of (truth table, fan-in signals), in topological order."""
        width = max((len(signals) for _, signals in gates), default=0)
        outputs = np.asarray(outputs, dtype=np.int32)
        return cls(
            n_inputs=n_inputs,
            table=np.array([table for table, _ in gates], dtype=np.uint64),
            fan_in=np.array([[*signals, *[-1] * (width - len(signals))] for _, signals in gates], dtype=np.int32).reshape(
                len(gates), width
            ),
            arity=np.array([len(signals) for _, signals in gates], dtype=np.int8),
            outputs=outputs,
            inverted=np.zeros(len(outputs), dtype=bool) if inverted is None else np.asarray(inverted, dtype=bool),
        )

    @property
    def n_gates(self) -> int:
        return len(self.table)

    @property
    def n_outputs(self) -> int:
        return len(self.outputs)

    @property
    def n_signals(self) -> int:
        return self.n_inputs + self.n_gates

    @cached_property
    def levels(self) -> NDArray[np.int32]:
        """int32 (signal,): 0 for primary inputs and constants, else 1 + the deepest fan-in."""
        return _levels(self.n_inputs, self.fan_in, self.arity)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """bool (gate,): whether a primary output depends on the gate."""
        return _live(self.n_inputs, self.fan_in, self.arity, self.outputs)

    @property
    def depth(self) -> int:
        """The most gates on any path from a primary input to a primary output."""
        return int(self.levels[self.outputs].max(initial=0))

    def identical(self, other: "Netlist") -> bool:
        """Whether both are the same arrays, gate for gate (not merely the same function)."""
        return self.n_inputs == other.n_inputs and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("table", "fan_in", "arity", "outputs", "inverted")
        )

    def _validate(self) -> None:
        if self.n_inputs < 0:
            raise NetlistError(f"Expected n_inputs >= 0, got {self.n_inputs}.")
        if self.fan_in.ndim != 2:
            raise NetlistError(f"Expected fan_in of shape (gate, k), got {self.fan_in.shape}.")
        n_gates, width = self.fan_in.shape
        if self.arity.shape != (n_gates,) or self.table.shape != (n_gates,):
            raise NetlistError(
                f"Expected table and arity of shape ({n_gates},) to match fan_in, got {self.table.shape} and {self.arity.shape}."
            )
        if self.outputs.ndim != 1 or self.inverted.shape != self.outputs.shape:
            raise NetlistError(
                f"Expected outputs and inverted of one shape (output,), got {self.outputs.shape} and {self.inverted.shape}."
            )
        wrong = np.flatnonzero((self.arity < 0) | (self.arity > min(width, MAX_ARITY)))
        if len(wrong):
            gate = wrong[0]
            raise NetlistError(
                f"Gate {gate} has arity {self.arity[gate]}; expected 0 to {min(width, MAX_ARITY)}"
                f" (fan_in has {width} columns, tables hold at most {MAX_ARITY} inputs)."
            )
        used = np.arange(width) < self.arity[:, None]
        limit = self.n_inputs + np.arange(n_gates)[:, None]
        places = np.argwhere(used & ((self.fan_in < 0) | (self.fan_in >= limit)))
        if len(places):
            gate, column = places[0]
            raise NetlistError(
                f"Gate {gate} (signal {self.n_inputs + gate}) reads signal {self.fan_in[gate, column]}, which is not defined"
                f" before it. Expected 0 to {self.n_inputs + gate - 1}: gates must be in topological order."
            )
        places = np.argwhere(~used & (self.fan_in != -1))
        if len(places):
            gate, column = places[0]
            raise NetlistError(f"Gate {gate} has arity {self.arity[gate]}, so fan_in[{gate}, {column}] must be -1.")
        wrong = np.flatnonzero(self.table > _MASKS[self.arity])
        if len(wrong):
            gate = wrong[0]
            raise NetlistError(
                f"Gate {gate} has arity {self.arity[gate]} but table {int(self.table[gate]):#x} needs more than"
                f" {1 << int(self.arity[gate])} rows."
            )
        wrong = np.flatnonzero((self.outputs < 0) | (self.outputs >= self.n_signals))
        if len(wrong):
            output = wrong[0]
            raise NetlistError(
                f"Output {output} is signal {self.outputs[output]}; expected 0 to {self.n_signals - 1}"
                f" ({self.n_inputs} inputs, then {n_gates} gates)."
            )


_DTYPES: dict[str, type] = {"table": np.uint64, "fan_in": np.int32, "arity": np.int8, "outputs": np.int32, "inverted": np.bool_}

_MASKS = np.array([table_mask(arity) for arity in range(MAX_ARITY + 1)], dtype=np.uint64)


@njit(cache=True)
def _levels(n_inputs, fan_in, arity):
    levels = np.zeros(n_inputs + len(arity), np.int32)
    for gate in range(len(arity)):
        for column in range(arity[gate]):
            levels[n_inputs + gate] = max(levels[n_inputs + gate], levels[fan_in[gate, column]] + 1)
    return levels


@njit(cache=True)
def _live(n_inputs, fan_in, arity, outputs):
    live = np.zeros(len(arity), np.bool_)
    for signal in outputs:
        if signal >= n_inputs:
            live[signal - n_inputs] = True
    for gate in range(len(arity) - 1, -1, -1):
        if live[gate]:
            for column in range(arity[gate]):
                if fan_in[gate, column] >= n_inputs:
                    live[fan_in[gate, column] - n_inputs] = True
    return live
