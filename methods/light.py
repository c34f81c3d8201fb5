"""Light DLGN: gates of one to six inputs with a parameter for each row of the truth table.

Input-wise parametrisation: Light Differentiable Logic Gate Networks, arXiv 2510.03250.

With theta of shape (gate, 2**k), row i of a gate's truth table is true with probability sigmoid(theta_i / temperature). On
inputs in [0, 1], read as independent probabilities, the gate's value is the expectation of its rows:

    out = sum over rows i of sigmoid(theta_i / temperature) * product over j of (x_j if bit j of i else 1 - x_j)

It is linear in each input, so this relaxation is one operation with DLGN, whose mixture of sixteen functions is also nothing
but a value for each of four rows: a quarter of the parameters say the same.

Smoothing: logistic noise on the logit of each row draws its value for each gate and step; the hard modes round each row.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.multilinear import evaluate, row_logits, rows_to_monomials, tables_of_rows
from methods.smoothing import Smoothing, sigmoid

ARITIES = (1, 2, 3, 4, 5, 6)
SIGMOID = False  # its sigmoid is of the parameters


def n_parameters(arity: int) -> int:
    """Parameters of one gate."""
    return 1 << arity


def init(rng: np.random.Generator, n_gates: int, arity: int, temperature: float, residual: float | None) -> NDArray[np.float32]:
    """Starting logits of rows, float32 (gate, 2**arity).

    residual: the probability with which each row has the value of "copy the first input". None draws the logits from
    N(0, 1), times the temperature: random functions, equally undecided at every temperature (this scaling is ours).
    """
    return (temperature * row_logits(rng, n_gates, arity, residual)).astype(np.float32)


def coefficients(xp: Any, theta: Any, temperature: float, smoothing: Smoothing | None = None) -> Any:
    """The expectation over the rows of each gate as a polynomial in its inputs: (gate, 2**k) -> (gate, 2**k).

    temperature: > 0; towards 0 the rows become those that `truth_tables` keeps.
    """
    arity = (theta.shape[1] - 1).bit_length()
    if smoothing is not None and smoothing.noisy:
        theta = theta + smoothing.logistic(xp, 0, *theta.shape)
    rows = sigmoid(xp, theta / temperature)
    if smoothing is not None:
        rows = smoothing.harden(rows, theta > 0)
    return rows @ xp.asarray(rows_to_monomials(arity), dtype=rows.dtype)


def activation(xp: Any, polynomial: Any, temperature: float, smoothing: Smoothing | None = None, first_row: int = 0) -> Any:
    """The gate's value is the polynomial itself. Shapes as given, (row, item)."""
    return polynomial


def gate(xp: Any, theta: Any, inputs: list[Any], temperature: float, smoothing: Smoothing | None = None) -> Any:
    """Value of each gate: theta (gate, 2**k), k inputs of (gate, item) in [0, 1]; returns (gate, item) in [0, 1]."""
    return evaluate(coefficients(xp, theta, temperature, smoothing), inputs)


def truth_tables(theta: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The function each gate discretises to, uint64 (gate,): true on the rows with a probability above 1/2, false on a tie."""
    return tables_of_rows(theta > 0, (theta.shape[1] - 1).bit_length())
