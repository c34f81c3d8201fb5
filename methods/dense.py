"""Dense networks: layers of gates with fixed random wiring, for any relaxation."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from methods.base import MethodError
from methods.network import Layer, Network
from methods.relaxations import RELAXATIONS
from methods.wiring import WIRINGS


@dataclass(frozen=True)
class DenseConfig:
    """conf/method/dlgn.yaml. widths: gates in each layer; one of a gate an output is added if the last is not that wide.

    Raises MethodError, naming the setting, for a choice that does not exist.
    """

    name: str
    relaxation: str
    arity: int
    wiring: str
    widths: list[Annotated[int, Field(ge=1)]]
    pass_through: float | None
    temperature: Annotated[float, Field(gt=0)]

    def __post_init__(self) -> None:
        for setting, choice, known in (
            ("relaxation", self.relaxation, RELAXATIONS),
            ("wiring", self.wiring, WIRINGS),
            ("arity", self.arity, RELAXATIONS[self.relaxation].ARITIES if self.relaxation in RELAXATIONS else ()),
        ):
            if choice not in known:
                raise MethodError(f"There is no method.{setting}={choice} here. Choices: {', '.join(map(str, known))}.")


def build_dense(
    config: DenseConfig, n_inputs: int, n_outputs: int, rng: np.random.Generator
) -> tuple[Network, NDArray[np.float32]]:
    """The network and its starting theta, float32 (param, value)."""
    widths = config.widths if config.widths[-1:] == [n_outputs] else [*config.widths, n_outputs]
    layers = []
    n_params, n_signals = 0, n_inputs
    for width in widths:
        fan_in = WIRINGS[config.wiring](n_signals, width, config.arity, rng)
        layers.append(Layer(fan_in, np.arange(n_params, n_params + width, dtype=np.int32)))
        n_params, n_signals = n_params + width, width
    network = Network(config.relaxation, n_inputs, tuple(layers), config.temperature)
    return network, RELAXATIONS[config.relaxation].init(rng, n_params, config.arity, config.pass_through)
