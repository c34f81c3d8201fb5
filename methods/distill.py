"""Distillation: a network of real weights and binary activations, turned into gates layer by layer.

The teacher is an ordinary network (methods.ordinary) whose hidden units are bits. The student is a network of gates as any
other, cut into blocks of layers: block j reads the teacher's bits of layer j - 1, the first one the task's inputs, and learns
those of layer j, one gate a bit; the last one learns the answers. Then all of it is finetuned, on labels and on what the
teacher says (Hinton, Vinyals, Dean 2015, arXiv 1503.02531):

    loss = (1 - w) * cross-entropy(labels) + w * cross-entropy(softmax(teacher's logits / temperature))

which is the cross-entropy of the mixed targets; the second term is, but for a constant, the divergence from the teacher. For a
task of output bits what the teacher says is its values, held to [0, 1].

The budget is one for all of it: the teacher and the blocks have their shares of train.max_steps, and of train.max_seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from methods.base import MethodError, Problem
from methods.engine import OptimiserConfig, Positive
from methods.gates import GatesConfig, build_gates
from methods.network import Network, Parameters
from methods.ordinary import CNNConfig, MLPConfig, Ordinary, build_cnn, build_mlp
from methods.smoothing import softmax
from methods.train import Items, Stage, Start, TrainConfig

Width = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
_AT_ONCE = 4096  # items that the teacher is asked about


@dataclass(frozen=True)
class TeacherConfig:
    """channels, widths: as conf/method/cnn.yaml's, or without channels as mlp.yaml's. share: of the budget. weight: of what it
    says in the targets, beside the labels. temperature: of its softmax there."""

    channels: list[Width]
    widths: list[Width]
    optimiser: OptimiserConfig
    share: Share
    weight: Annotated[float, Field(ge=0, le=1)]
    temperature: Positive


@dataclass(frozen=True)
class DistillConfig(GatesConfig):
    """conf/method/distill.yaml: dense layers of gates, and their teacher. blocks: layers for each of the teacher's hidden layers;
    those behind learn the answers. blocks_share: of the budget, for all blocks evenly."""

    teacher: TeacherConfig
    blocks: list[Width]
    blocks_share: Share


def build_distill(
    config: DistillConfig, inputs: NDArray[Any], problem: Problem, rng: np.random.Generator
) -> tuple[Network, Parameters]:
    """The student as it would be trained from scratch; inputs: bool (item, input).

    Raises MethodError if the teacher or the blocks do not fit it.
    """
    if config.convolutions or config.thresholds is not None:
        raise MethodError(
            f"method={config.name} is of dense layers that read bits. Leave method.convolutions=[] and method.thresholds=null."
        )
    if config.teacher.share + config.blocks_share >= 1:
        raise MethodError(
            f"method.teacher.share={config.teacher.share} and method.blocks_share={config.blocks_share} leave nothing of the"
            " budget to finetune with. Lower them."
        )
    network, parameters = build_gates(config, inputs, problem, rng)
    wanted = _teacher(config, inputs, problem, 0)[0].widths
    ends = np.cumsum([0, *config.blocks])
    if len(config.blocks) != len(wanted) or ends[-1] >= len(network.layers):
        raise MethodError(
            f"method.blocks={config.blocks} must say of how many layers of gates each of the teacher's {len(wanted)} hidden"
            f" layers is learned, and leave some of the {len(network.layers)} that there are for the answers."
        )
    found = tuple(network.layers[end - 1].n_gates for end in ends[1:])
    if found != wanted:
        raise MethodError(
            f"The teacher's hidden layers have {list(wanted)} bits, but the layers of gates that are to learn them have"
            f" {list(found)}, and each bit is learned by one gate. Change method.teacher or method.widths."
        )
    return network, parameters


def distil(
    config: DistillConfig, problem: Problem, network: Network, start: Start, validation: Items, seed: int, stage: Stage
) -> Start:
    """Train the teacher, then each block on it. What is left to train is the whole student, on the mixed targets."""
    budget, items, of = start.config, start.items, config.teacher
    teacher, parameters = _teacher(config, items.inputs, problem, seed)
    of_teacher = replace(_part(budget, of.share, of.share), optimiser=of.optimiser)
    learned = stage("teacher", teacher, Start(parameters, items, of_teacher), validation)
    bits, values = _said(teacher, learned.best_parameters, items.inputs)
    judged_bits, _ = _said(teacher, learned.best_parameters, validation.inputs)
    said = softmax(np, values / of.temperature) if problem.classes else values.clip(0, 1)
    target = _mixed(items.target, said, of.weight)

    whole = {name: value.copy() for name, value in start.parameters.items()}
    steps, until = learned.step, of.share
    read, judged_read = [items.inputs, *bits, target], [validation.inputs, *judged_bits, validation.target]
    blocks = list(_blocks(config, network))
    share = config.blocks_share / len(blocks)
    for index, (block, own) in enumerate(blocks):
        until += share
        parts = {name: whole[name][rows] for name, rows in own.items()}
        begun = Start(parts, Items(read[index], read[index + 1]), _part(budget, share, until), seconds=learned.seconds)
        learned = stage(f"block{index + 1}", block, begun, Items(judged_read[index], judged_read[index + 1]))
        for name, rows in own.items():
            whole[name][rows] = learned.best_parameters[name]
        steps += learned.step
    rest = replace(budget, max_steps=max(0, budget.max_steps - steps))
    return Start(whole, Items(items.inputs, target), rest, steps, learned.seconds)


def _part(budget: TrainConfig, share: float, until: float) -> TrainConfig:
    """share: of the steps. until: this share of the seconds, which are counted from the beginning, is spent."""
    return replace(budget, max_steps=round(share * budget.max_steps), max_seconds=until * budget.max_seconds)


def _mixed(target: NDArray[Any], said: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    return ((1 - weight) * target + weight * said).astype(np.float32)


def _teacher(config: DistillConfig, inputs: NDArray[Any], problem: Problem, seed: int) -> tuple[Ordinary, Parameters]:
    """The teacher as method=cnn or mlp with activation=step would build it with this seed."""
    rng, of = np.random.default_rng(seed), config.teacher
    if of.channels:
        return build_cnn(CNNConfig(config.name, None, of.channels, of.widths, "step"), inputs, problem, rng)
    return build_mlp(MLPConfig(config.name, None, of.widths, "step"), inputs, problem, rng)


def _said(teacher: Ordinary, parameters: Parameters, inputs: NDArray[Any]) -> tuple[list[NDArray[np.bool_]], NDArray[np.float32]]:
    """What the teacher says of items, (item, input): bits of each hidden layer, (item, bit), and its values, (item, value)."""
    import torch

    tensors = {name: torch.from_numpy(value) for name, value in parameters.items()}
    parts = []
    with torch.no_grad():
        for first in range(0, len(inputs), _AT_ONCE):
            x = torch.from_numpy(np.ascontiguousarray(inputs[first : first + _AT_ONCE].T, dtype=np.float32))
            *hidden, values = (layer.numpy().T for layer in teacher.layers(tensors, x))
            parts.append([*(layer > 0.5 for layer in hidden), values])
    *bits, values = (np.concatenate(layer) for layer in zip(*parts, strict=True))
    return bits, values


def _blocks(config: DistillConfig, network: Network) -> Iterator[tuple[Network, dict[str, slice]]]:
    """Each block as a network, and the rows of each parameter that are its own."""
    sources = network.sources()
    for begin, end in pairwise([0, *np.cumsum(config.blocks).tolist(), len(network.layers)]):
        layers = network.layers[begin:end]
        own = {"theta": _rows([layer.param for layer in layers])}
        layers = tuple(replace(layer, param=layer.param - own["theta"].start) for layer in layers)
        choices = [layer.choice for layer in layers if layer.choice is not None]
        if choices:
            own["choice"] = _rows([choice.param for choice in choices])
            moved = [replace(choice, param=choice.param - own["choice"].start) for choice in choices]
            layers = tuple(replace(layer, choice=choice) for layer, choice in zip(layers, moved, strict=True))
        readout = network.readout if end == len(network.layers) else None
        yield replace(network, n_inputs=sources[begin], layers=layers, readout=readout), own


def _rows(params: list[NDArray[np.int32]]) -> slice:
    """Those of dense layers that follow each other, which have a parameter a gate."""
    return slice(int(params[0][0]), int(params[-1][-1]) + 1)
