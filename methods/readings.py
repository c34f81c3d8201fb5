"""What can be read off a network's parameters while it trains: how decided its gates are, and what they have become."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from codegen.truth_table import kind_of, variable
from methods.multilinear import rows_of_tables
from methods.network import Network, Parameters
from methods.relaxations import RELAXATIONS

# A gate is decided once its relaxation is this close to 0 or 1 on every Boolean input row.
DECIDED_WITHIN = 0.1


def soft_tables(network: Network, parameters: Parameters) -> NDArray[np.float64]:
    """float64 (param, 2**k): the relaxed value of each gate on each Boolean input row, its probability of being true."""
    theta = parameters["theta"].astype(np.float64)  # in which no finite float32 overflows
    rows = rows_of_tables(np.array([variable(i, network.arity) for i in range(network.arity)], dtype=np.uint64), network.arity)
    inputs = [np.broadcast_to(row.astype(np.float64), (len(theta), len(row))) for row in rows]
    return np.asarray(RELAXATIONS[network.relaxation].gate(np, theta, inputs, network.temperature))


def undecided_share(tables: NDArray[np.float64]) -> float:
    """The share of gates that are further than DECIDED_WITHIN from 0 and 1 on some row; tables: soft_tables."""
    return float(np.any(np.minimum(tables, 1 - tables) > DECIDED_WITHIN, axis=1).mean())


def mean_entropy(tables: NDArray[np.float64]) -> float:
    """Bits of doubt a table row, 0 to 1: the mean binary entropy of soft_tables."""
    p = np.clip(tables.astype(np.float64), 1e-12, 1 - 1e-12)
    return float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean())


def gate_types(network: Network, tables: NDArray[np.uint64]) -> list[dict[str, int]]:
    """What each layer's gates are, one dict a layer from a kind's name to its number of gates; tables: uint64 (param,).
    Kinds: see codegen.truth_table.kind_of.
    """
    kinds = {int(table): kind_of(int(table), network.arity) for table in np.unique(tables)}
    return [dict(Counter(kinds[int(table)] for table in tables[layer.param]).most_common()) for layer in network.layers]
