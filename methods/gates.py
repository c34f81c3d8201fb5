"""Networks of gates with random or learned wiring, for any relaxation: convolutions if there are any, then dense layers."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.readout import GroupSum, Majority, Readout
from methods import thresholds
from methods.base import MethodError, Problem, UnsuitableError
from methods.convolution import ConvolutionConfig, convolution
from methods.network import Choice, Layer, Network, Parameters, unreached
from methods.relaxations import RELAXATIONS
from methods.smoothing import MODES
from methods.wiring import WIRINGS, candidates

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class ThresholdConfig:
    """Learned thresholds on real-valued inputs: bits a feature, and the width of the relaxed step in the features' units."""

    bits: Annotated[int, Field(ge=1)]
    softness: Positive


@dataclass(frozen=True)
class GatesConfig:
    """conf/method/dlgn.yaml, warp.yaml, light.yaml and conv.yaml. convolutions: what stands before the dense layers. widths:
    gates in each dense layer; for a task of output bits one of `votes` gates an output is added if the last is not that wide,
    for one of classes the last is summed in groups. votes: gates that decide each output bit by their majority.
    group_temperature: of the sums of groups, be it classes or votes; None: the square root of an eighth of the gates in a group,
    which is near what was published for 800 and 6,400 of them (10 and 30, arXiv 2210.08277). residual: probability of "copy the
    first input" at the start, None for a random start. candidates: signals that each input of a dense layer's gate, and each leaf
    of a tree, chooses among while it learns, the one of the fixed wiring first; 1 for fixed wiring. choice_temperature: of the
    softmax over them, which the choice has its gradient from.

    Raises MethodError, naming the setting, for a choice that does not exist.
    """

    name: str
    relaxation: str
    arity: int
    convolutions: list[ConvolutionConfig]
    wiring: str
    candidates: Annotated[int, Field(ge=1)]
    choice_temperature: Positive
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


def build_gates(
    config: GatesConfig, inputs: NDArray[Any], problem: Problem, rng: np.random.Generator
) -> tuple[Network, Parameters]:
    """The network and its starting parameters; inputs: (item, input), bool, or real-valued where thresholds are learned.

    Raises MethodError if the inputs and thresholds do not fit, or convolutions not the image, if something that the dense
    layers read reaches no output, or if the last layer has fewer signals than there are classes; UnsuitableError for
    convolutions of items that are no images.
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
    layers: list[Layer] = []
    n_params, n_choices, n_signals = 0, 0, n_inputs
    if config.convolutions:
        layers, n_params, n_choices = _convolutions(config, problem, spec, n_inputs, rng)
        n_signals = layers[-1].n_signals
    dense: list[Layer] = []
    n_read = n_signals
    for width in _widths(config, problem):
        fan_in = WIRINGS[config.wiring](n_signals, width, config.arity, rng, [layer.fan_in for layer in dense])
        choice = None
        if config.candidates > 1:
            if config.candidates > n_signals:
                raise MethodError(
                    f"method.candidates={config.candidates} is more than the {n_signals} signals that a layer of {width} gates"
                    " reads. Lower it, or widen the layer before."
                )
            choice = Choice(
                candidates(fan_in, n_signals, config.candidates, rng),
                np.arange(n_choices, n_choices + width, dtype=np.int32),
            )
            n_choices += width
        dense.append(Layer(fan_in, np.arange(n_params, n_params + width, dtype=np.int32), choice=choice))
        n_params, n_signals = n_params + width, width
    readout = _readout(config, problem, n_signals if layers or dense else 0)
    lost = unreached(dense, n_read) if dense else np.empty(0, dtype=np.intp)
    if len(lost):
        raise MethodError(
            f"{len(lost)} of the {n_read} {'signals of the convolutions' if layers else 'inputs'}, first {lost[0]}, reach no"
            f" output through layers of {', '.join(str(one.n_gates) for one in dense)} gates with {config.arity} inputs each."
            f" Widen the narrow ones (a layer reads at most {config.arity} times as many signals as it has gates), or add"
            " layers: method.widths."
        )
    relaxation = RELAXATIONS[config.relaxation]
    parameters["theta"] = relaxation.init(rng, n_params, config.arity, config.temperature, config.residual)
    if n_choices > 0:  # of equal logits the first is chosen
        parameters["choice"] = np.zeros((n_choices, config.arity, config.candidates), dtype=np.float32)
    network = Network(
        config.relaxation, n_inputs, (*layers, *dense), config.temperature, config.smoothing, spec, readout,
        config.choice_temperature,
    )  # fmt: skip
    return network, parameters


def _convolutions(
    config: GatesConfig, problem: Problem, spec: thresholds.Thresholds | None, n_inputs: int, rng: np.random.Generator
) -> tuple[list[Layer], int, int]:
    """The layers of the convolutions, and how many params and choices they have."""
    if problem.places is None:
        raise UnsuitableError(f"method={config.name} is for images, and this task's items are not.")
    places = problem.places
    if spec is not None:  # each bit of a number is a channel
        places = np.concatenate([places * spec.n_bits + bit for bit in range(spec.n_bits)])
    layers: list[Layer] = []
    n_params, n_choices, n_signals = 0, 0, n_inputs
    for index, one in enumerate(config.convolutions):
        made, places = convolution(
            one, f"method.convolutions[{index}]", places, n_signals, n_params, config.arity, config.candidates, n_choices, rng
        )
        layers += made
        n_params, n_signals = int(made[-1].param[-1]) + 1, made[-1].n_signals
        if made[0].choice is not None:
            n_choices = int(made[0].choice.param[-1]) + 1
    return layers, n_params, n_choices


def _widths(config: GatesConfig, problem: Problem) -> list[int]:
    """Gates of each dense layer, that of the output bits among them."""
    last = config.widths[-1:] if problem.classes else [problem.size * config.votes]
    return config.widths if config.widths[-1:] == last else [*config.widths, *last]


def _readout(config: GatesConfig, problem: Problem, n_outputs: int) -> Readout | None:
    if not problem.classes:
        if config.votes == 1:
            return None
        return Majority(problem.size, config.votes, config.group_temperature or _group_temperature(config.votes))
    if config.votes != 1:
        raise MethodError(f"method.votes={config.votes} is for tasks of output bits, and this one is of classes. Set it to 1.")
    if n_outputs < problem.size:
        raise MethodError(
            f"The last layer has {n_outputs} gates for {problem.size} classes, and each class sums up at least one. Widen it:"
            " method.widths."
        )
    return GroupSum(problem.size, config.group_temperature or _group_temperature(n_outputs / problem.size))


def _group_temperature(n_outputs: float) -> float:
    """For sums of so many outputs."""
    return float((n_outputs / 8) ** 0.5)
