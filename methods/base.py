"""What a method is: a function from its settings, a task's data and a seed to a network, on one relaxation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.network import Model, Parameters


class MethodError(ValueError):
    """Settings that make no network, or one that does not fit the task; says what to change."""


@dataclass(frozen=True)
class Goal:
    """What a task wants said of an item: `size` output bits, or one of `size` classes."""

    size: int
    classes: bool


@dataclass(frozen=True)
class Method:
    """An entry of METHODS. config: the dataclass that checks conf/method/<name>.yaml; build makes the network and its
    starting parameters from one, the task's training inputs (item, input), its goal, and a generator."""

    config: type
    build: Callable[[Any, NDArray[Any], Goal, np.random.Generator], tuple[Model, Parameters]]
