"""The relaxations by name: differentiable stand-ins for Boolean functions, each a module of pure functions."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codegen.registry import Registry
from methods import dlgn, light, warp
from methods.smoothing import Smoothing


class Relaxation(Protocol):
    """What each module has. theta is float32 (param, n_parameters(arity)); xp is the array namespace of an engine.

    A gate's value is `activation` of the polynomial with `coefficients` in its inputs; SIGMOID says which activation that
    is, for the kernels. Noise and rounding are in one of the two, where the relaxation's last nonlinearity is: in `coefficients`,
    or with SIGMOID in `activation`. first_row numbers rows through the whole network, for the noise.
    """

    @property
    def ARITIES(self) -> tuple[int, ...]: ...
    @property
    def SIGMOID(self) -> bool: ...
    def n_parameters(self, arity: int) -> int: ...
    def init(
        self, rng: np.random.Generator, n_gates: int, arity: int, temperature: float, residual: float | None
    ) -> NDArray[np.float32]: ...
    def coefficients(self, xp: Any, theta: Any, temperature: float, smoothing: Smoothing | None = None) -> Any: ...
    def activation(
        self, xp: Any, polynomial: Any, temperature: float, smoothing: Smoothing | None = None, first_row: int = 0
    ) -> Any: ...
    def gate(self, xp: Any, theta: Any, inputs: list[Any], temperature: float, smoothing: Smoothing | None = None) -> Any: ...
    def truth_tables(self, theta: NDArray[np.float32]) -> NDArray[np.uint64]: ...


# Any other is the module of its name.
RELAXATIONS: Registry[Relaxation] = Registry("methods", {"dlgn": dlgn, "warp": warp, "light": light})
