"""What an engine is: it holds a network's parameters and its training data, and runs optimiser steps on them.

Both engines keep the same contract: the same loss and gradients up to rounding, the same noise, states that either can load.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from methods.base import UnsuitableError
from methods.network import Model, Network, Parameters
from methods.ordinary import Ordinary

Bits = NDArray[np.bool_]
Inputs = NDArray[Any]  # (item, input): bool, or floating point for a network with thresholds
EngineState = dict[str, NDArray[Any]]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW, with decoupled weight decay of the gates (times the learning rate) and gradients clipped to a global norm.

    epsilon: added to the root of the second moment. It must be far below the gradients or it brakes the steps, and through
    a dozen nearly discrete layers gradients fall below the usual 1e-8: training then stalls with one item wrong.
    """

    learning_rate: Positive
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    weight_decay: Annotated[float, Field(ge=0)]
    epsilon: Positive
    clip_norm: Positive


@dataclass(frozen=True, eq=False)
class Steps:
    """What a run of steps did. losses: float32 (step,), each before its step. The first that is not finite, or has a
    gradient that is not, is the last one here, and the parameters are those from before it."""

    losses: NDArray[np.float32]
    finite: bool


class Engine(Protocol):
    """An engine for one network and one set of training items."""

    def prepare(self, batch_size: int | None, n_steps: int) -> float:
        """Compile what runs of n_steps steps need, changing nothing; returns the seconds it took."""

    def run(self, batches: NDArray[np.int64] | None, rates: NDArray[np.float32]) -> Steps:
        """One step for each learning rate, on the items of that row of batches, (step, item), or on all items."""

    def soft(self, inputs: Inputs) -> NDArray[np.float32]:
        """Values of the relaxed network without smoothing, float32 (item, value): output bits in [0, 1], or with a readout
        the sums of its groups, not yet divided by its temperature."""

    def hard(self, inputs: Inputs) -> NDArray[np.float32]:
        """The same of the discretised network, exact: bits are 0 or 1, sums whole numbers. An ordinary one has no other form
        than soft."""

    def parameters(self) -> Parameters:
        """Copies of the parameters."""

    def gradient_norms(self) -> NDArray[np.float32]:
        """The norm of the last gradient to each layer's theta (of an ordinary network, to each array of parameters); not a
        number before the first step."""

    def state(self) -> EngineState:
        """Copies of all that a later step depends on, by name."""

    def load_state(self, state: EngineState) -> None:
        """Continue from a state() of the same network, of this or another engine."""


class EngineError(ValueError):
    """An engine that cannot be had here; says what to change."""


@dataclass(frozen=True)
class EngineConfig:
    """threads: of the CPU. kernels: the fused CPU kernels instead of torch's own operations. device: cpu, cuda or auto."""

    name: str
    threads: int
    kernels: bool
    device: str


def build_engine(
    config: EngineConfig,
    network: Model,
    parameters: Parameters,
    optimiser: OptimiserConfig,
    inputs: Inputs,
    target: Bits,
    seed: int,
    trained: Network | None = None,
) -> Engine:
    """The engine by name, on training items (item, input) and (item, value); seed: of the smoothing's noise. trained: the
    network on which it trains the parameters (methods.boards), None for network itself.

    Frameworks are imported here and not before. Raises EngineError if the name or device is not to be had, and
    UnsuitableError for an ordinary network on another engine than torch.
    """
    if config.name == "torch":
        from methods import torch_engine

        given = (parameters, optimiser, inputs, target)
        if isinstance(network, Ordinary):
            return torch_engine.TorchOrdinary(network, *given, config.device)
        assert isinstance(network, Network)
        return torch_engine.TorchGates(network, *given, config.threads, config.device, seed, config.kernels, trained or network)
    if config.name != "jax":
        raise EngineError(f"There is no engine={config.name}. Choices: torch, jax.")
    if isinstance(network, Ordinary):
        raise UnsuitableError("Ordinary networks, such as method=mlp, train with engine=torch only.")
    from methods.jax_engine import JaxEngine

    assert isinstance(network, Network)
    return JaxEngine(network, parameters, optimiser, inputs, target, seed, config.threads, trained or network)
