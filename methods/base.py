"""What a method is: a function from its settings, a task's data and a seed to a network, on one relaxation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from methods.network import Model, Parameters

if TYPE_CHECKING:
    from methods.train import Items, Stage, Start


class MethodError(ValueError):
    """Settings that make no network, or one that does not fit the task; says what to change."""


class UnsuitableError(MethodError):
    """A task that a method cannot do whatever its settings; says why."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What a task asks of a method: to say `size` output bits of an item, or one of `size` classes.

    places: int (channel, row, column), the input at each place of an item that is an image, None where items are no images.
    """

    size: int
    classes: bool
    places: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Method:
    """An entry of METHODS. config: the dataclass that checks conf/method/<name>.yaml; build makes the network and its
    starting parameters from one, the task's training inputs (item, input), the problem, and a generator. prepare: other
    trainings that give the network better ones, or other targets to learn from; None where it is trained at once."""

    config: type
    build: Callable[[Any, NDArray[Any], Problem, np.random.Generator], tuple[Model, Parameters]]
    prepare: "Callable[[Any, Problem, Any, Start, Items, int, Stage], Start] | None" = None
