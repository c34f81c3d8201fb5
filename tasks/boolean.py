"""Boolean functions, learned exactly from the whole truth table: the quick yardstick of a method.

Input i of an item is bit i of its row number. Numbers among inputs and outputs are written low bit first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.encoder import Encoder
from tasks.base import Bits, Boards, Learned, Split, TaskError
from tasks.rows import RowsWorkload, repeated

MAX_INPUTS = 16


@dataclass(frozen=True)
class BooleanConfig:
    """conf/task/boolean.yaml. outputs and function_seed are of the random function; the others have their own outputs."""

    name: str
    function: str
    inputs: Annotated[int, Field(ge=1)]
    outputs: Annotated[int, Field(ge=1, le=64)]
    function_seed: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Function:
    """An entry of FUNCTIONS. sizes: the numbers of inputs that it has, `expected` says it in words.

    of: (bits bool (row, input), the task's settings) -> bool (row, output).
    """

    of: Callable[[Bits, BooleanConfig], Bits]
    sizes: tuple[int, ...] = tuple(range(1, MAX_INPUTS + 1))
    expected: str = f"1 to {MAX_INPUTS}"


def _number(bits: Bits) -> NDArray[np.int64]:
    """bool (row, bit), low bit first -> int64 (row,)."""
    return bits @ (1 << np.arange(bits.shape[1]))


def _bits(numbers: NDArray[np.int64], n_bits: int) -> Bits:
    """int64 (row,) -> bool (row, n_bits), low bit first."""
    return (numbers[:, None] >> np.arange(n_bits)) & 1 == 1


def _parity(bits: Bits, _: BooleanConfig) -> Bits:
    """Whether an odd number of inputs is true."""
    return bits.sum(axis=1, keepdims=True) % 2 == 1


def _majority(bits: Bits, _: BooleanConfig) -> Bits:
    """Whether more than half of the inputs are true: half of them is not enough."""
    return 2 * bits.sum(axis=1, keepdims=True) > bits.shape[1]


def _multiplexer(bits: Bits, _: BooleanConfig) -> Bits:
    """The data bit at the address: a address bits come first, then 2**a data bits, number 0 first."""
    n_address = next(a for a in range(MAX_INPUTS) if a + (1 << a) == bits.shape[1])
    address = _number(bits[:, :n_address])
    return np.take_along_axis(bits[:, n_address:], address[:, None], axis=1)


def _adder(bits: Bits, _: BooleanConfig) -> Bits:
    """The sum of two numbers of n bits, n + 1 bits."""
    n = bits.shape[1] // 2
    return _bits(_number(bits[:, :n]) + _number(bits[:, n:]), n + 1)


def _multiplier(bits: Bits, _: BooleanConfig) -> Bits:
    """The product of two numbers of n bits, 2n bits."""
    n = bits.shape[1] // 2
    return _bits(_number(bits[:, :n]) * _number(bits[:, n:]), 2 * n)


def _random(bits: Bits, config: BooleanConfig) -> Bits:
    """Fair coin flips, a truth table an output."""
    return np.random.default_rng(config.function_seed).random((len(bits), config.outputs)) < 0.5


_EVEN = tuple(range(2, MAX_INPUTS + 1, 2))
_TWO_NUMBERS = f"an even number from 2 to {MAX_INPUTS}: two numbers of half as many bits"

FUNCTIONS = {
    "parity": Function(_parity),
    "majority": Function(_majority),
    "multiplexer": Function(_multiplexer, (3, 6, 11), "3, 6 or 11: 1, 2 or 3 address bits and a data bit for each address"),
    "adder": Function(_adder, _EVEN, _TWO_NUMBERS),
    "multiplier": Function(_multiplier, _EVEN, _TWO_NUMBERS),
    "random": Function(_random),
}


def truth(config: BooleanConfig) -> Split:
    """The function's whole truth table. Raises TaskError if there is no such function, or not of that many inputs."""
    name, n_inputs = config.function, config.inputs
    function = FUNCTIONS.get(name)
    if function is None:
        raise TaskError(f"There is no task.function={name}. Choices: {', '.join(FUNCTIONS)}.")
    if n_inputs > MAX_INPUTS:
        raise TaskError(
            f"task.inputs={n_inputs} makes a truth table of 2**{n_inputs} rows. Expected at most {MAX_INPUTS} inputs,"
            f" {1 << MAX_INPUTS:,} rows, since all rows are learned and tested. Choose fewer."
        )
    if n_inputs not in function.sizes:
        raise TaskError(
            f"task.inputs={n_inputs} makes no {name}. Expected {function.expected}. Change task.inputs, or task.function."
        )
    bits = _bits(np.arange(1 << n_inputs), n_inputs)
    return Split(bits, function.of(bits, config))


class Boolean:
    """The task: a function's whole truth table to learn and to test on, and its rows, repeated, to evaluate in bulk.

    Raises TaskError for a function that there is not, or not of that many inputs.
    """

    name = "boolean"
    classes = False
    places: NDArray[np.intp] | None = None
    boards: Boards | None = None
    encoder: Encoder | None = None

    def __init__(self, config: BooleanConfig) -> None:
        self.train = self.validation = self.test = truth(config)
        self.n_inputs, self.n_outputs = self.train.inputs.shape[1], self.train.target.shape[1]

    def workload(self, learned: Learned) -> RowsWorkload:  # noqa: ARG002, the function says what is right
        order = repeated(len(self.test.inputs))
        return RowsWorkload(self.test.inputs[order], self.test.target[order])

    def score(self, answers: Bits, split: Split) -> float:
        return float(np.all(answers == split.target, axis=1).mean())

    def reference_source(self) -> str | None:
        return None
