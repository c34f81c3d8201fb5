"""Boolean functions as real polynomials: one coefficient for each product of distinct inputs.

On inputs 0 and 1 the polynomial is the function; on inputs in [0, 1], read as independent probabilities, it is the
probability that the function is true. Sets of inputs are integers: bit j stands for input j.
"""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.truth_table import variable


def rows_of_tables(tables: NDArray[np.uint64], arity: int) -> NDArray[np.int64]:
    """int64 (function, 2**arity): the value of each function, 0 or 1, on each input row."""
    return ((tables[:, None] >> np.arange(1 << arity, dtype=np.uint64)) & np.uint64(1)).astype(np.int64)


def tables_of_rows(rows: NDArray[Any], arity: int) -> NDArray[np.uint64]:
    """The inverse of rows_of_tables: uint64 (function,) from anything that is true or false on each input row."""
    weights = np.uint64(1) << np.arange(1 << arity, dtype=np.uint64)
    return np.where(rows, weights, np.uint64(0)).sum(axis=1, dtype=np.uint64)


def monomial_coefficients(tables: NDArray[np.uint64], arity: int) -> NDArray[np.int64]:
    """int64 (function, 2**arity): column s is the coefficient of the product of the inputs in the set s.

    The Moebius transform of each truth table over the subsets of inputs.
    """
    coefficients = rows_of_tables(tables, arity)
    for position in range(arity):
        with_input = np.flatnonzero(np.arange(1 << arity) & (1 << position))
        coefficients[:, with_input] -= coefficients[:, with_input ^ (1 << position)]
    return coefficients


@cache
def walsh_matrix(arity: int) -> NDArray[np.int64]:
    """int64 (2**arity, 2**arity): entry (s, i) is the product of the signs 1 - 2 x_j over j in s, on input row i.

    Symmetric, and its own inverse times 2**arity (the Walsh-Hadamard transform).
    """
    sets = np.arange(1 << arity)
    return 1 - 2 * (np.bitwise_count(sets[:, None] & sets[None, :]).astype(np.int64) % 2)


@cache
def rows_to_monomials(arity: int) -> NDArray[np.int64]:
    """int64 (2**arity, 2**arity), m: a polynomial with values v on the input rows has the monomial coefficients v @ m."""
    return monomial_coefficients(np.uint64(1) << np.arange(1 << arity, dtype=np.uint64), arity)


@cache
def walsh_to_monomials(arity: int) -> NDArray[np.int64]:
    """int64 (2**arity, 2**arity), m: a polynomial with Walsh coefficients theta has the monomial coefficients theta @ m."""
    return walsh_matrix(arity) @ rows_to_monomials(arity)


def row_logits(rng: np.random.Generator, n_gates: int, arity: int, residual: float | None) -> NDArray[np.float64]:
    """Starting logits of gates' table rows, float64 (gate, 2**arity): each row has the value of "copy the first input" with the
    probability `residual`; None draws them from N(0, 1)."""
    if residual is None:
        return rng.standard_normal((n_gates, 1 << arity))
    copies_first = rows_of_tables(np.array([variable(0, arity)], dtype=np.uint64), arity)
    return np.repeat(math.log(residual / (1 - residual)) * (2 * copies_first - 1), n_gates, axis=0)


def evaluate(coefficients: Any, inputs: list[Any]) -> Any:
    """The polynomials' values by Horner's rule: coefficients (gate, 2**k), k inputs of (gate, item); returns (gate, item).

    Works on the arrays of any engine: it needs only slices, + and *.
    """
    terms = [coefficients[:, column, None] for column in range(1 << len(inputs))]
    for value in inputs:
        # Halve the list: the coefficients without and with this input (the low bit of what is left).
        terms = [without + with_input * value for without, with_input in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]
