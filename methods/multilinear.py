"""Boolean functions as real polynomials: one coefficient for each product of distinct inputs.

On inputs 0 and 1 the polynomial is the function; on inputs in [0, 1], read as independent probabilities, it is the
probability that the function is true.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def monomial_coefficients(tables: NDArray[np.uint64], arity: int) -> NDArray[np.int64]:
    """int64 (function, 2**arity): column s is the coefficient of the product of the inputs in the set s (bit j: input j).

    The Moebius transform of each truth table over the subsets of inputs.
    """
    coefficients = ((tables[:, None] >> np.arange(1 << arity, dtype=np.uint64)) & np.uint64(1)).astype(np.int64)
    for position in range(arity):
        with_input = np.flatnonzero(np.arange(1 << arity) & (1 << position))
        coefficients[:, with_input] -= coefficients[:, with_input ^ (1 << position)]
    return coefficients


def evaluate(coefficients: Any, inputs: list[Any]) -> Any:
    """The polynomials' values by Horner's rule: coefficients (gate, 2**k), k inputs of (gate, item); returns (gate, item).

    Works on the arrays of any engine: it needs only slices, + and *.
    """
    terms = [coefficients[:, column, None] for column in range(1 << len(inputs))]
    for value in inputs:
        # Halve the list: the coefficients without and with this input (the low bit of what is left).
        terms = [without + with_input * value for without, with_input in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]
