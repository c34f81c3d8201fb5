"""Ordinary networks of real-valued weights, which logic-gate networks are compared with: they learn, but make no circuit."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.readout import GroupSum, Readout
from methods.base import MethodError, Problem, UnsuitableError
from methods.network import Parameters

Activation = Literal["relu", "step"]


@dataclass(frozen=True, eq=False)
class Ordinary:
    """layers: (parameters, x (input, item)) -> what the layers say, (unit, item) each, the last of them the network's values,
    on torch's arrays.

    description: tells it apart from others, as a checkpoint must. widths: units of each hidden layer, as the next one reads
    them. readout: GroupSum where values are the logits of classes, with one of them to a class; None where they are output
    bits, true above a half.
    """

    description: str
    n_inputs: int
    widths: tuple[int, ...]
    n_values: int
    readout: Readout | None
    layers: Callable[[dict[str, Any], Any], list[Any]]

    def values(self, parameters: dict[str, Any], x: Any) -> Any:
        """x (input, item) -> (value, item)."""
        return self.layers(parameters, x)[-1]

    def identity(self) -> dict[str, NDArray[Any]]:
        """See methods.network.Model."""
        return {"settings": np.frombuffer(f"{self.description} {self.readout}".encode(), dtype=np.uint8).copy()}


@dataclass(frozen=True)
class MLPConfig:
    """conf/method/mlp.yaml. widths: units in each hidden layer. activation: of those, relu, or step, which makes them bits."""

    name: str
    relaxation: None
    widths: list[Annotated[int, Field(ge=1)]]
    activation: Activation


def build_mlp(config: MLPConfig, inputs: NDArray[Any], problem: Problem, rng: np.random.Generator) -> tuple[Ordinary, Parameters]:
    """A fully connected network on inputs, (item, input): bits, or numbers as they come."""
    n_inputs = inputs.shape[1]
    sizes = [n_inputs, *config.widths, problem.size]
    parameters: Parameters = {}
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        parameters |= _weights(layer, (n_out, n_in), rng)

    def layers(parameters: dict[str, Any], x: Any) -> list[Any]:
        said = []
        for layer in range(len(sizes) - 1):
            x = parameters[f"weight{layer}"] @ x + parameters[f"bias{layer}"][:, None]
            x = activated(config.activation, x) if layer < len(config.widths) else x
            said.append(x)
        return said

    readout = GroupSum(problem.size, 1.0) if problem.classes else None
    description = f"mlp {sizes} {config.activation}"
    return Ordinary(description, n_inputs, tuple(config.widths), problem.size, readout, layers), parameters


def activated(activation: Activation, x: Any) -> Any:
    """Torch's x through an activation. step: 1 above 0 and else 0, with the gradient of the ramp from 0 at -1 to 1 at 1 (the
    straight-through estimator of binarised networks, Hubara et al. 2016, arXiv 1602.02830)."""
    if activation == "relu":
        return x.relu()
    ramp = 0.5 + 0.5 * x.clip(-1, 1)
    return (x > 0).to(x.dtype) + (ramp - ramp.detach())


@dataclass(frozen=True)
class CNNConfig:
    """conf/method/cnn.yaml. channels: of each 3x3 convolution, which keeps the size of the image and is followed by the maximum
    over 2x2. widths: units in each hidden layer behind them. activation: as MLPConfig's."""

    name: str
    relaxation: None
    channels: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    widths: list[Annotated[int, Field(ge=1)]]
    activation: Activation


def build_cnn(config: CNNConfig, inputs: NDArray[Any], problem: Problem, rng: np.random.Generator) -> tuple[Ordinary, Parameters]:
    """A small convolutional network on inputs, (item, input): bits, or numbers as they come.

    Raises UnsuitableError for items that are no images, and MethodError if an image is too small for so many convolutions.
    """
    if problem.places is None:
        raise UnsuitableError(f"method={config.name} is for images, and this task's items are not.")
    shape = problem.places.shape
    sides = [shape[1:]]
    for _ in config.channels:
        sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    if min(sides[-1]) < 1:
        raise MethodError(
            f"method.channels={config.channels} halves images of {shape[1]}x{shape[2]} {len(config.channels)} times. Take fewer."
        )
    import torch
    from torch.nn import functional

    parameters: Parameters = {}
    for layer, (n_in, n_out) in enumerate(pairwise([shape[0], *config.channels])):
        parameters |= _weights(layer, (n_out, n_in, 3, 3), rng)
    n_convolutions = len(config.channels)
    sizes = [config.channels[-1] * sides[-1][0] * sides[-1][1], *config.widths, problem.size]
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        parameters |= _weights(n_convolutions + layer, (n_out, n_in), rng)
    places = torch.from_numpy(problem.places.ravel().astype(np.int64))

    def layers(parameters: dict[str, Any], x: Any) -> list[Any]:
        x = x[places.to(x.device)].T.reshape(-1, *shape)
        said = []
        for layer in range(n_convolutions):
            x = functional.conv2d(x, parameters[f"weight{layer}"], parameters[f"bias{layer}"], padding=1)
            x = functional.max_pool2d(activated(config.activation, x), 2)
            said.append(x.reshape(len(x), -1).T)
        x = x.reshape(len(x), -1)
        for layer in range(n_convolutions, n_convolutions + len(sizes) - 1):
            x = functional.linear(x, parameters[f"weight{layer}"], parameters[f"bias{layer}"])
            x = activated(config.activation, x) if layer < n_convolutions + len(config.widths) else x
            said.append(x.T)
        return said

    readout = GroupSum(problem.size, 1.0) if problem.classes else None
    description = f"cnn {shape} {config.channels} {sizes} {config.activation}"
    pooled = [channels * height * width for channels, (height, width) in zip(config.channels, sides[1:], strict=True)]
    widths = (*pooled, *config.widths)
    return Ordinary(description, inputs.shape[1], widths, problem.size, readout, layers), parameters


def _weights(layer: int, shape: tuple[int, ...], rng: np.random.Generator) -> Parameters:
    """A layer's weights, (unit, input, ...), from the normal distribution of variance 2 / inputs of a unit (He et al. 2015,
    arXiv 1502.01852), and biases of 0."""
    n_in = int(np.prod(shape[1:]))
    weight = (rng.standard_normal(shape) * (2 / n_in) ** 0.5).astype(np.float32)
    return {f"weight{layer}": weight, f"bias{layer}": np.zeros(shape[0], dtype=np.float32)}
