"""WARP: gates of one to six inputs as a sigmoid of a polynomial in the Walsh basis.

WARP: arXiv 2602.03527; WARP-LUTs: arXiv 2510.15655.

Inputs x_j in [0, 1] become signs s_j = 1 - 2 x_j, so false is +1 and true is -1. With theta of shape (gate, 2**k), one
parameter for each set S of inputs,

    z = sum over S of theta_S * product of s_j over j in S          out = sigmoid(z / temperature)

The sign convention, here and nowhere else: a positive z is true. On Boolean inputs z is the Walsh-Hadamard transform of theta,
so truth table bit i is WHT(theta)_i > 0. (Other code uses the opposite sign, sigmoid(-z), and reads the table as WHT < 0.)

As a polynomial in x itself, z has the coefficients theta @ walsh_to_monomials(k), so this relaxation and DLGN are one
operation that differs in how coefficients are made and in the sigmoid.

Smoothing: logistic noise, the difference of two Gumbel variables, is added to z for each gate, item and step; the hard modes
take z > 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.multilinear import evaluate, row_logits, tables_of_rows, walsh_matrix, walsh_to_monomials
from methods.smoothing import Smoothing, sigmoid

ARITIES = (1, 2, 3, 4, 5, 6)
SIGMOID = True


def n_parameters(arity: int) -> int:
    """Parameters of one gate."""
    return 1 << arity


def init(rng: np.random.Generator, n_gates: int, arity: int, temperature: float, residual: float | None) -> NDArray[np.float32]:
    """Starting Walsh coefficients, float32 (gate, 2**arity).

    residual: the probability with which each row of the table has the value of "copy the first input": theta is
    temperature * logit(residual) * WHT(signs of that table) / 2**arity. None draws the logit of every table row from
    N(0, 1) and transforms it: random functions, equally undecided at every arity (this scaling is ours).
    """
    return (temperature * row_logits(rng, n_gates, arity, residual) @ walsh_matrix(arity) / n_parameters(arity)).astype(
        np.float32
    )


def coefficients(xp: Any, theta: Any, temperature: float, smoothing: Smoothing | None = None) -> Any:
    """z / temperature of each gate as a polynomial in its inputs: (gate, 2**k) -> (gate, 2**k). temperature: > 0."""
    arity = (theta.shape[1] - 1).bit_length()
    return theta @ xp.asarray(walsh_to_monomials(arity) / temperature, dtype=theta.dtype)


def activation(xp: Any, polynomial: Any, temperature: float, smoothing: Smoothing | None = None, first_row: int = 0) -> Any:
    """The sigmoid of z / temperature, (row, item), with noise for rows from first_row on where smoothing says so."""
    if smoothing is not None and smoothing.noisy:
        polynomial = polynomial + smoothing.logistic(xp, first_row, *polynomial.shape) / temperature
    value = sigmoid(xp, polynomial)
    return value if smoothing is None else smoothing.harden(value, polynomial > 0)


def gate(xp: Any, theta: Any, inputs: list[Any], temperature: float, smoothing: Smoothing | None = None) -> Any:
    """Value of each gate: theta (gate, 2**k), k inputs of (gate, item) in [0, 1]; returns (gate, item) in [0, 1]."""
    return activation(xp, evaluate(coefficients(xp, theta, temperature), inputs), temperature, smoothing)


def truth_tables(theta: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The function each gate discretises to, uint64 (gate,): true on the rows with WHT(theta) > 0, false on a tie."""
    arity = (theta.shape[1] - 1).bit_length()
    return tables_of_rows(theta.astype(np.float64) @ walsh_matrix(arity) > 0, arity)
