"""What a method is: a function from a task's shape and a seed to a network, on one relaxation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from methods.network import Network


class Relaxation(Protocol):
    """A differentiable stand-in for Boolean functions: a module of pure functions (see methods.dlgn).

    Theta is float32 (param, n_parameters(arity)); xp is the array namespace of an engine.
    """

    @property
    def ARITIES(self) -> tuple[int, ...]: ...
    def n_parameters(self, arity: int) -> int: ...
    def init(self, rng: np.random.Generator, n_gates: int, arity: int, pass_through: float | None) -> NDArray[np.float32]: ...
    def coefficients(self, xp: Any, theta: Any, temperature: float) -> Any: ...
    def gate(self, xp: Any, theta: Any, inputs: list[Any], temperature: float) -> Any: ...
    def truth_tables(self, theta: NDArray[np.float32]) -> NDArray[np.uint64]: ...


class MethodError(ValueError):
    """A method's configuration that makes no network, or one that does not fit the task; says what to change."""


Build = Callable[[Any, dict[str, Relaxation], int, int, np.random.Generator], tuple[Network, NDArray[np.float32]]]


@dataclass(frozen=True)
class Method:
    """An entry of METHODS. config: the dataclass that checks conf/method/<name>.yaml; build makes the network and its
    starting theta from one, the relaxations, the task's inputs and outputs, and a generator."""

    config: type
    build: Build
