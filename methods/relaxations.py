"""The relaxations by name: differentiable stand-ins for Boolean functions, each a module of pure functions."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from methods import dlgn


class Relaxation(Protocol):
    """What each module has. theta is float32 (param, n_parameters(arity)); xp is the array namespace of an engine."""

    @property
    def ARITIES(self) -> tuple[int, ...]: ...
    def n_parameters(self, arity: int) -> int: ...
    def init(self, rng: np.random.Generator, n_gates: int, arity: int, pass_through: float | None) -> NDArray[np.float32]: ...
    def coefficients(self, xp: Any, theta: Any, temperature: float) -> Any: ...
    def gate(self, xp: Any, theta: Any, inputs: list[Any], temperature: float) -> Any: ...
    def truth_tables(self, theta: NDArray[np.float32]) -> NDArray[np.uint64]: ...


RELAXATIONS: dict[str, Relaxation] = {"dlgn": dlgn}
