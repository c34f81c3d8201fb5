"""What may be said of a method from a few seeds: its mean with an interval, and whether it is better than another.

Means have 95 % intervals of Student's t over seeds. Two methods are compared by the differences that they have at the same
seeds, which share what the seed decides (the split of the data, mostly), so that this cancels. Intervals are of one
comparison each: among twenty methods of which none is better, one is expected to look so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

CONFIDENCE = 0.95
LEAST_COMMON_SEEDS = 3  # of two methods that are compared

Verdict = Literal["better", "worse", "~", "?"]


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds. half_width: of its interval, None for a single seed, which says nothing of others. worst: the
    least."""

    mean: float
    half_width: float | None
    worst: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Of at least one value, of which more is better. Raises ValueError for none."""
        if not values:
            raise ValueError("Expected the value of at least one seed, got none.")
        return cls(fmean(values), _half_width(values) if len(values) > 1 else None, min(values), len(values))


def compare(one: Mapping[int, float], other: Mapping[int, float]) -> Verdict:
    """Whether one method is better or worse than another, both given as values by seed, of which more is better.

    "~": the interval of their paired difference includes 0, so that cannot be told. "?": they have fewer than
    LEAST_COMMON_SEEDS seeds in common, so that it cannot be said.
    """
    differences = [value - other[seed] for seed, value in one.items() if seed in other]
    if len(differences) < LEAST_COMMON_SEEDS:
        return "?"
    middle, half = fmean(differences), _half_width(differences)
    if abs(middle) <= half:
        return "~"
    return "better" if middle > 0 else "worse"


def ratio(values: Sequence[float], low: float | None, high: float | None) -> tuple[float, float | None, float | None]:
    """A ratio over seeds, the geometric mean of at least one, with its 95 % interval; low and high: that of a single seed's own
    measurement, which is what there is where there are no others."""
    if len(values) == 1:
        return values[0], low, high
    logs = Estimate.of([math.log(value) for value in values])
    assert logs.half_width is not None
    return math.exp(logs.mean), math.exp(logs.mean - logs.half_width), math.exp(logs.mean + logs.half_width)


def undominated(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Whether no other one is at most as large in every cost and smaller in one: whether it is on the Pareto front."""
    return [not any(_dominates(other, cost) for other in costs) for cost in costs]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))


def _half_width(values: Sequence[float]) -> float:
    from scipy.special import stdtrit  # here: half a second of every command that has no means

    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    return quantile * stdev(values) / math.sqrt(len(values))
