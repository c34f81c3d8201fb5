"""DLGN, differentiable logic gate networks: a softmax over the sixteen two-input Boolean functions of each gate.

Petersen, Borgelt, Kuehne, Deussen: Deep Differentiable Logic Gate Networks, NeurIPS 2022, arXiv 2210.08277, section 3.

With theta of shape (gate, 16) and inputs a, b in [0, 1] read as independent probabilities, the gate's value is

    out = sum over t of softmax(theta / temperature)_t * f_t(a, b)

where f_t is the real-valued form of the function with truth table t: f_t(a, b) is its value's expectation, so AND is a*b
and XOR is a + b - 2ab. Every f_t is a sum of 1, a, b and ab, so the mixture is one too, and sixteen functions cost four
coefficients. Columns are in the order of truth tables (bit i is the value on row i, a is the low bit of i); a gate id of
difflogic is such a table with its bits 0 and 3 exchanged.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.truth_table import variable
from methods.multilinear import evaluate, monomial_coefficients

ARITIES = (2,)
_N_FUNCTIONS = 16
_PASS_THROUGH = int(variable(0, 2))

# (16, 4): each function as coefficients of 1, a, b, ab.
COEFFICIENTS = monomial_coefficients(np.arange(_N_FUNCTIONS, dtype=np.uint64), 2).astype(np.float32)


def n_parameters(arity: int) -> int:
    """Parameters of one gate."""
    assert arity in ARITIES
    return _N_FUNCTIONS


def init(rng: np.random.Generator, n_gates: int, arity: int, pass_through: float | None) -> NDArray[np.float32]:
    """Starting logits, float32 (gate, 16).

    pass_through: the logit of "copy the first input", all others 0 (the residual initialisation of Petersen et al. 2024,
    arXiv 2411.04732, there 5); None draws all logits from N(0, 1), as in 2022.
    """
    if pass_through is None:
        return rng.standard_normal((n_gates, n_parameters(arity)), dtype=np.float32)
    theta = np.zeros((n_gates, n_parameters(arity)), dtype=np.float32)
    theta[:, _PASS_THROUGH] = pass_through
    return theta


def coefficients(xp: Any, theta: Any, temperature: float) -> Any:
    """The mixture of each gate as a polynomial: theta (gate, 16) -> (gate, 4), coefficients of 1, a, b, ab.

    temperature: > 0; towards 0 the softmax becomes the argmax that `truth_tables` keeps.
    """
    logits = theta / temperature
    weights = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    weights = weights / xp.sum(weights, axis=1, keepdims=True)
    return weights @ xp.asarray(COEFFICIENTS, dtype=weights.dtype)


def gate(xp: Any, theta: Any, inputs: list[Any], temperature: float) -> Any:
    """Value of each gate: theta (gate, 16), two inputs of (gate, item) in [0, 1]; returns (gate, item) in [0, 1]."""
    return evaluate(coefficients(xp, theta, temperature), inputs)


def truth_tables(theta: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The function each gate discretises to, uint64 (gate,): its most probable one, the lowest table on a tie."""
    return np.argmax(theta, axis=1).astype(np.uint64)
