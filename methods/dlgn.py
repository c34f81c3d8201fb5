"""DLGN, differentiable logic gate networks: a softmax over the sixteen two-input Boolean functions of each gate.

Petersen, Borgelt, Kuehne, Deussen: Deep Differentiable Logic Gate Networks, NeurIPS 2022, arXiv 2210.08277, section 3.

With theta of shape (gate, 16) and inputs a, b in [0, 1] read as independent probabilities, the gate's value is

    out = sum over t of softmax(theta / temperature)_t * f_t(a, b)

where f_t is the real-valued form of the function with truth table t: f_t(a, b) is its value's expectation, so AND is a*b
and XOR is a + b - 2ab. Every f_t is a sum of 1, a, b and ab, so the mixture is one too, and sixteen functions cost four
coefficients. Columns are in the order of truth tables (bit i is the value on row i, a is the low bit of i); a gate id of
difflogic is such a table with its bits 0 and 3 exchanged.

Smoothing: Gumbel noise on the logits makes the softmax a random choice of function for each gate and step (arXiv
2506.07500); the hard modes take the function with the largest logit.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.truth_table import variable
from methods.multilinear import evaluate, monomial_coefficients
from methods.smoothing import Smoothing, softmax

ARITIES = (2,)
SIGMOID = False
N_FUNCTIONS = 16
_PASS_THROUGH = int(variable(0, 2))

# (16, 4): each function as coefficients of 1, a, b, ab.
COEFFICIENTS = monomial_coefficients(np.arange(N_FUNCTIONS, dtype=np.uint64), 2).astype(np.float32)


def n_parameters(arity: int) -> int:
    """Parameters of one gate."""
    assert arity in ARITIES
    return N_FUNCTIONS


def init(rng: np.random.Generator, n_gates: int, arity: int, temperature: float, residual: float | None) -> NDArray[np.float32]:
    """Starting logits, float32 (gate, 16).

    residual: the softmax weight of "copy the first input", the others sharing the rest evenly (the residual initialisation
    of Petersen et al. 2024, arXiv 2411.04732, there a logit of 5, which is 0.908); None draws all logits from N(0, 1), as
    in 2022.
    """
    if residual is None:
        return rng.standard_normal((n_gates, n_parameters(arity)), dtype=np.float32)
    theta = np.zeros((n_gates, n_parameters(arity)), dtype=np.float32)
    theta[:, _PASS_THROUGH] = temperature * math.log((N_FUNCTIONS - 1) * residual / (1 - residual))
    return theta


def coefficients(xp: Any, theta: Any, temperature: float, smoothing: Smoothing | None = None) -> Any:
    """The mixture of each gate as a polynomial: theta (gate, 16) -> (gate, 4), coefficients of 1, a, b, ab.

    temperature: > 0; towards 0 the softmax becomes the argmax that `truth_tables` keeps.
    """
    if smoothing is not None and smoothing.noisy:
        theta = theta + smoothing.gumbel(xp, *theta.shape)
    weights = softmax(xp, theta / temperature)
    if smoothing is not None and smoothing.hard:
        weights = smoothing.harden(weights, smoothing.largest(xp, theta))
    return weights @ xp.asarray(COEFFICIENTS, dtype=weights.dtype)


def activation(xp: Any, polynomial: Any, temperature: float, smoothing: Smoothing | None = None, first_row: int = 0) -> Any:
    """The gate's value is the polynomial itself. Shapes as given, (row, item)."""
    return polynomial


def gate(xp: Any, theta: Any, inputs: list[Any], temperature: float, smoothing: Smoothing | None = None) -> Any:
    """Value of each gate: theta (gate, 16), two inputs of (gate, item) in [0, 1]; returns (gate, item) in [0, 1]."""
    return evaluate(coefficients(xp, theta, temperature, smoothing), inputs)


def truth_tables(theta: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The function each gate discretises to, uint64 (gate,): its most probable one, the lowest table on a tie."""
    return np.argmax(theta, axis=1).astype(np.uint64)
