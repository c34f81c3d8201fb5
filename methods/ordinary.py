"""Ordinary networks of real-valued weights, which logic-gate networks are compared with: they learn, but make no circuit."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.readout import GroupSum, Readout
from methods.base import Problem
from methods.network import Parameters


@dataclass(frozen=True, eq=False)
class Ordinary:
    """values: (parameters, x (input, item)) -> (value, item), in the array operations that torch and jax share.

    description: tells it apart from others, as a checkpoint must. readout: GroupSum where values are the logits of classes,
    with one of them to a class; None where they are output bits, true above a half.
    """

    description: str
    n_inputs: int
    n_values: int
    readout: Readout | None
    values: Callable[[dict[str, Any], Any], Any]

    def identity(self) -> dict[str, NDArray[Any]]:
        """See methods.network.Model."""
        return {"settings": np.frombuffer(f"{self.description} {self.readout}".encode(), dtype=np.uint8).copy()}


@dataclass(frozen=True)
class MLPConfig:
    """conf/method/mlp.yaml. widths: units in each hidden layer."""

    name: str
    relaxation: None
    widths: list[Annotated[int, Field(ge=1)]]


def build_mlp(config: MLPConfig, inputs: NDArray[Any], problem: Problem, rng: np.random.Generator) -> tuple[Ordinary, Parameters]:
    """A fully connected ReLU network on inputs, (item, input): bits, or numbers as they come.

    Weights start from the normal distribution of variance 2 / inputs (He et al. 2015, arXiv 1502.01852), biases from 0.
    """
    n_inputs = inputs.shape[1]
    sizes = [n_inputs, *config.widths, problem.size]
    parameters: Parameters = {}
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        parameters[f"weight{layer}"] = (rng.standard_normal((n_out, n_in)) * (2 / n_in) ** 0.5).astype(np.float32)
        parameters[f"bias{layer}"] = np.zeros((n_out, 1), dtype=np.float32)

    def values(parameters: dict[str, Any], x: Any) -> Any:
        for layer in range(len(sizes) - 1):
            x = parameters[f"weight{layer}"] @ x + parameters[f"bias{layer}"]
            if layer < len(config.widths):
                x = x.clip(0)
        return x

    readout = GroupSum(problem.size, 1.0) if problem.classes else None
    return Ordinary(f"mlp {sizes}", n_inputs, problem.size, readout, values), parameters
