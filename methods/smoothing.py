"""Stochastic smoothing: training that sees noise, hard gates, or both, in place of the plain relaxation.

Four modes, the same for every relaxation (WARP, arXiv 2602.03527; Gumbel noise on the choice of gate and a
straight-through forward, Mind the Gap, arXiv 2506.07500):

    soft          the relaxation as it is
    hard          the forward pass is that of the discretised network, the gradient that of the relaxation (straight-through)
    gumbel_soft   noise is added before the relaxation's last nonlinearity, fresh in every step
    gumbel_hard   both: what the noise makes of each gate is rounded to a Boolean function

The noise is a hash of (seed, step, row, column) and nothing else, so it is the same in every engine, for any number of
threads and after a resumed checkpoint, and no generator has a state to keep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODES = ("soft", "hard", "gumbel_soft", "gumbel_hard")

_MASK = 0xFFFFFFFF
# A 32-bit mixing function with low bias, found by Chris Wellons' search (nullprogram.com, "Prospecting for Hash Functions").
MIX_SHIFTS = (16, 15, 16)
MIX_FACTORS = (0x7FEB352D, 0x846CA68B)


def mix(x: Any) -> Any:
    """Scramble 32-bit counters: Python integers, or arrays of uint32 or of int64 that hold values below 2**32."""
    x = x ^ (x >> MIX_SHIFTS[0])
    x = _wrapped(x * _like(x, MIX_FACTORS[0]))
    x = x ^ (x >> MIX_SHIFTS[1])
    x = _wrapped(x * _like(x, MIX_FACTORS[1]))
    return x ^ (x >> MIX_SHIFTS[2])


def sigmoid(xp: Any, logits: Any) -> Any:
    """With a gradient that never overflows."""
    return 0.5 + 0.5 * xp.tanh(0.5 * logits)


def softmax(xp: Any, logits: Any) -> Any:
    """Along the last axis."""
    weights = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def step_key(seed: int, step: Any) -> Any:
    """The 32 bits that a step's noise starts from; step is an int or an engine's integer scalar."""
    return mix(_wrapped(step + _like(step, mix(seed & _MASK))))


def _wrapped(x: Any) -> Any:
    return x & _like(x, _MASK)


def _like(x: Any, value: int) -> Any:
    """The integer as a scalar of x's type: a Python int of 32 bits does not fit what jax takes it for."""
    return getattr(getattr(x, "dtype", None), "type", int)(value)


@dataclass(frozen=True)
class Smoothing:
    """A mode with this step's key, as a relaxation sees it. counters: (start, n) -> start .. start + n - 1 in the engine's
    integers; stop: the engine's stop-gradient; to_float: integers to the engine's float32."""

    mode: str
    key: Any
    counters: Callable[[int, int], Any]
    stop: Callable[[Any], Any]
    to_float: Callable[[Any], Any]

    @property
    def hard(self) -> bool:
        return self.mode.endswith("hard")

    @property
    def noisy(self) -> bool:
        return self.mode.startswith("gumbel")

    def harden(self, soft: Any, hard: Any) -> Any:
        """In the hard modes the value of hard with the gradient of soft, else soft."""
        return self.straight_through(soft, hard) if self.hard else soft

    def straight_through(self, soft: Any, hard: Any) -> Any:
        """The value of hard, exactly, to the bit, with the gradient of soft."""
        return self.to_float(hard) + (soft - self.stop(soft))

    def largest(self, xp: Any, logits: Any) -> Any:
        """Whether each is the largest along the last axis, the first of equal ones."""
        return xp.argmax(logits, axis=-1)[..., None] == self.counters(0, logits.shape[-1])

    def uniform(self, first_row: int, n_rows: int, n_columns: int) -> Any:
        """Float32 (row, column) in (0, 1), never 0 or 1: 23 random bits and a half."""
        rows = mix(_wrapped(self.counters(first_row, n_rows) + mix(self.key)))
        bits = mix(_wrapped(self.counters(0, n_columns)[None, :] + rows[:, None]))
        return (self.to_float(bits >> 9) + 0.5) * 2.0**-23

    def gumbel(self, xp: Any, n_rows: int, n_columns: int) -> Any:
        """Standard Gumbel noise, (row, column)."""
        return -xp.log(-xp.log(self.uniform(0, n_rows, n_columns)))

    def logistic(self, xp: Any, first_row: int, n_rows: int, n_columns: int) -> Any:
        """Standard logistic noise (the difference of two Gumbel variables), (row, column)."""
        u = self.uniform(first_row, n_rows, n_columns)
        return xp.log(u) - xp.log(1.0 - u)
