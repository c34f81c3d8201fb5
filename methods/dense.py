"""Dense networks: layers of gates with fixed random wiring, for any relaxation."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.readout import GroupSum, Majority, Readout
from methods import thresholds
from methods.base import Goal, MethodError
from methods.network import Layer, Network, Parameters
from methods.relaxations import RELAXATIONS
from methods.smoothing import MODES
from methods.wiring import WIRINGS

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class ThresholdConfig:
    """Learned thresholds on real-valued inputs: bits a feature, and the width of the relaxed step in the features' units."""

    bits: Annotated[int, Field(ge=1)]
    softness: Positive


@dataclass(frozen=True)
class DenseConfig:
    """conf/method/dlgn.yaml and warp.yaml. widths: gates in each layer; for a task of output bits one of `votes` gates an
    output is added if the last is not that wide, for one of classes the last is summed in groups. votes: gates that decide
    each output bit by their majority. group_temperature: of the sums of groups, be it classes or votes; None: the square
    root of an eighth of the gates in a group, which is near what was published for 800 and 6,400 of them (10 and 30, arXiv
    2210.08277). residual: probability of "copy the first input" at the start, None for a random start.

    Raises MethodError, naming the setting, for a choice that does not exist.
    """

    name: str
    relaxation: str
    arity: int
    wiring: str
    widths: list[Annotated[int, Field(ge=1)]]
    residual: Annotated[float, Field(gt=0, lt=1)] | None
    temperature: Positive
    votes: Annotated[int, Field(ge=1)]
    group_temperature: Positive | None
    smoothing: str
    thresholds: ThresholdConfig | None

    def __post_init__(self) -> None:
        for setting, choice, known in (
            ("relaxation", self.relaxation, RELAXATIONS),
            ("wiring", self.wiring, WIRINGS),
            ("arity", self.arity, RELAXATIONS[self.relaxation].ARITIES if self.relaxation in RELAXATIONS else ()),
            ("smoothing", self.smoothing, MODES),
        ):
            if choice not in known:
                raise MethodError(f"There is no method.{setting}={choice} here. Choices: {', '.join(map(str, known))}.")


def build_dense(config: DenseConfig, inputs: NDArray[Any], goal: Goal, rng: np.random.Generator) -> tuple[Network, Parameters]:
    """The network and its starting parameters; inputs: (item, input), bool, or real-valued where thresholds are learned.

    Raises MethodError if the inputs and thresholds do not fit, if some input reaches no output, or if the last layer has
    fewer gates than there are classes.
    """
    n_inputs = inputs.shape[1]
    spec = None
    parameters: Parameters = {}
    if config.thresholds is not None:
        if inputs.dtype == np.bool_:
            raise MethodError("method.thresholds are for real-valued inputs, and this task's are bits. Set it to null.")
        spec = thresholds.Thresholds(n_inputs, config.thresholds.bits, config.thresholds.softness)
        parameters["thresholds"] = thresholds.init(inputs, spec.n_bits)
        n_inputs *= spec.n_bits
    elif inputs.dtype != np.bool_:
        raise MethodError("This task's inputs are real-valued. Set method.thresholds, such as {bits: 4, softness: 0.05}.")
    readout = _readout(config, goal)
    last = config.widths[-1:] if goal.classes else [goal.size * config.votes]
    widths = config.widths if config.widths[-1:] == last else [*config.widths, *last]
    layers = []
    n_params, n_signals = 0, n_inputs
    for width in widths:
        fan_in = WIRINGS[config.wiring](n_signals, width, config.arity, rng)
        layers.append(Layer(fan_in, np.arange(n_params, n_params + width, dtype=np.int32)))
        n_params, n_signals = n_params + width, width
    network = Network(config.relaxation, n_inputs, tuple(layers), config.temperature, config.smoothing, spec, readout)
    unreached = network.unreached_inputs()
    if len(unreached):
        raise MethodError(
            f"{len(unreached)} of the {n_inputs} inputs, first {unreached[0]}, reach no output through layers of"
            f" {', '.join(map(str, widths))} gates with {config.arity} inputs each. Widen the narrow ones (a layer reads at most"
            f" {config.arity} times as many signals as it has gates), or add layers: method.widths."
        )
    parameters["theta"] = RELAXATIONS[config.relaxation].init(rng, n_params, config.arity, config.temperature, config.residual)
    return network, parameters


def _readout(config: DenseConfig, goal: Goal) -> Readout | None:
    if not goal.classes:
        if config.votes == 1:
            return None
        return Majority(goal.size, config.votes, config.group_temperature or _group_temperature(config.votes))
    if config.votes != 1:
        raise MethodError(f"method.votes={config.votes} is for tasks of output bits, and this one is of classes. Set it to 1.")
    n_outputs = config.widths[-1] if config.widths else 0
    if n_outputs < goal.size:
        raise MethodError(
            f"The last layer has {n_outputs} gates for {goal.size} classes, and each class sums up at least one. Widen it:"
            " method.widths."
        )
    return GroupSum(goal.size, config.group_temperature or _group_temperature(n_outputs / goal.size))


def _group_temperature(n_outputs: float) -> float:
    """For sums of so many outputs."""
    return float((n_outputs / 8) ** 0.5)
