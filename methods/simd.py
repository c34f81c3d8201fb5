"""Sixteen float32 lanes as a value in numba: explicit vectors for the kernels.

LLVM vectorises a loop over items only if it can prove that its arrays do not overlap, which numba cannot tell it, and then
chooses the order of sums itself. Written in lanes, a gate is straight-line code, and its bits do not depend on what the
compiler makes of it. LLVM splits the lanes into whatever registers the machine has.

Indices count float32 elements from the start of a contiguous array, and are not checked.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from codegen.vector_ir import INT, address, splat_of
from methods.smoothing import MIX_FACTORS, MIX_SHIFTS

LANES = 16


class LanesType(types.Type):
    """numba's type of sixteen float32 values."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = LanesType()
FLOAT = ir.FloatType()
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, FLOATS)


# ------------------------------------------------------------------------------------------------------- building blocks


def _float_constant(value: float) -> ir.Constant:
    # LLVM reads a float's constant as the double that is exactly that float.
    return ir.Constant(FLOATS, [float(np.float32(value))] * LANES)


def _int_constant(value: int) -> ir.Constant:
    return ir.Constant(INTS, [value] * LANES)


def call(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def fma_of(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call(builder, "llvm.fma.v16f32", FLOATS, [a, b, c])


def _horner(builder: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, the constant first."""
    value = _float_constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = fma_of(builder, value, x, _float_constant(coefficient))
    return value


def _exp(builder: Any, x: Any) -> Any:
    """2**n * 2**f with n an integer and f in [-1/2, 1/2]; the series of 2**f to f**7 is exact to float32."""
    for limit, beyond in ((87.0, ">"), (-87.0, "<")):  # further out the result is outside the normal floats
        # A comparison and not a minimum, so that what is not a number stays so.
        outside = builder.fcmp_ordered(beyond, x, _float_constant(limit))
        x = builder.select(outside, _float_constant(limit), x)
    y = builder.fmul(x, _float_constant(1 / math.log(2)))
    whole = call(builder, "llvm.rint.v16f32", FLOATS, [y])
    fraction = builder.fsub(y, whole)
    mantissa = _horner(builder, fraction, [math.log(2) ** i / math.factorial(i) for i in range(8)])
    exponent = builder.shl(builder.add(builder.fptosi(whole, INTS), _int_constant(127)), _int_constant(23))
    return builder.fmul(mantissa, builder.bitcast(exponent, FLOATS))


def _log(builder: Any, x: Any) -> Any:
    """For normal x > 0: n log 2 + log m with m in [sqrt(1/2), sqrt(2)), and log m = 2 atanh((m - 1) / (m + 1))."""
    bits = builder.bitcast(x, INTS)
    above = builder.sub(bits, _int_constant(0x3F3504F3))  # the bits of sqrt(1/2)
    n = builder.sitofp(builder.ashr(above, _int_constant(23)), FLOATS)
    m_bits = builder.add(builder.and_(above, _int_constant(0x007FFFFF)), _int_constant(0x3F3504F3))
    m = builder.bitcast(m_bits, FLOATS)
    one = _float_constant(1.0)
    s = builder.fdiv(builder.fsub(m, one), builder.fadd(m, one))
    series = _horner(builder, builder.fmul(s, s), [2 / (2 * i + 1) for i in range(5)])
    return fma_of(builder, n, _float_constant(math.log(2)), builder.fmul(s, series))


def _mix(builder: Any, x: Any) -> Any:
    """methods.smoothing.mix on sixteen 32-bit integers."""
    for shift, factor in zip(MIX_SHIFTS, (*MIX_FACTORS, None), strict=True):
        x = builder.xor(x, builder.lshr(x, _int_constant(shift)))
        if factor is not None:
            x = builder.mul(x, _int_constant(factor))
    return x


def rounded_of(builder: Any, x: Any) -> Any:
    above = builder.fcmp_ordered(">", x, _float_constant(0.5))
    return builder.select(above, _float_constant(1.0), _float_constant(0.0))


def lane_sums(builder: Any, vectors: list[Any]) -> list[Any]:
    """The sum of the lanes of each of 2**n vectors: that of vector i in lane i of the first result, from i = 16 on the next.

    Halves of two vectors are added in one instruction, their order the same for every machine.
    """
    distance = 1
    while distance < LANES:
        if len(vectors) == 1:
            vectors = [_fold(builder, vectors[0], vectors[0], distance)]
        else:
            vectors = [_fold(builder, *vectors[i : i + 2], distance) for i in range(0, len(vectors), 2)]
        distance *= 2
    return vectors


def first_lanes(builder: Any, value: Any, n: int) -> Any:
    mask = ir.Constant(ir.VectorType(INT, n), list(range(n)))
    return builder.shuffle_vector(value, ir.Constant(FLOATS, ir.Undefined), mask)


def add_to(builder: Any, place: Any, value: Any) -> None:
    """What is at the address, and the value."""
    old = builder.load(place)
    old.align = 4
    builder.store(builder.fadd(old, value), place).align = 4


def _fold(builder: Any, a: Any, b: Any, distance: int) -> Any:
    """Lane i: a[i] + a[i ^ distance] where i has no bit `distance`, else that of b. Half of it is a blend, which is cheap."""
    lane = range(LANES)
    second = [LANES * bool(i & distance) for i in lane]
    blend, swap = [i + second[i] for i in lane], [(i ^ distance) + second[i] for i in lane]
    if a is b:
        return builder.fadd(a, builder.shuffle_vector(a, a, ir.Constant(INTS, [i ^ distance for i in lane])))
    kept, moved = (builder.shuffle_vector(a, b, ir.Constant(INTS, indices)) for indices in (blend, swap))
    return builder.fadd(kept, moved)


# -------------------------------------------------------------------------------------------------- what kernels may call


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """array[index : index + 16]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(address(context, builder, signature.args[0], *arguments, FLOATS))
        value.align = 4
        return value

    return lanes(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 16] = value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, signature.args[0], *arguments[:2], FLOATS)
        builder.store(arguments[2], place).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """Sixteen times the same float32."""
    return lanes(types.float32), lambda context, builder, signature, arguments: splat_of(builder, arguments[0], FLOATS)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return lanes(lanes, lanes, lanes), lambda context, builder, signature, arguments: fma_of(builder, *arguments)


@intrinsic
def exp(typing: Any, x: Any) -> Any:
    """e**x, to 1e-6 of it up to |x| = 15 and 4e-6 at 87; below -87 and above 87 as there."""
    return lanes(lanes), lambda context, builder, signature, arguments: _exp(builder, *arguments)


@intrinsic
def log(typing: Any, x: Any) -> Any:
    """The natural logarithm of normal positive numbers."""
    return lanes(lanes), lambda context, builder, signature, arguments: _log(builder, *arguments)


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """The larger of each two lanes; where either is not a number, a."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered("<", a, b), b, a)

    return lanes(lanes, lanes), generate


@intrinsic
def equal(typing: Any, a: Any, b: Any) -> Any:
    """1 where both are the same number, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered("==", *arguments), _float_constant(1.0), _float_constant(0.0))

    return lanes(lanes, lanes), generate


@intrinsic
def rounded(typing: Any, x: Any) -> Any:
    """1 where x > 1/2, else 0."""
    return lanes(lanes), lambda context, builder, signature, arguments: rounded_of(builder, *arguments)


@intrinsic
def true_lanes(typing: Any, x: Any) -> Any:
    """A uint16 whose bit i is set where lane i > 1/2."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fcmp_ordered(">", arguments[0], _float_constant(0.5)), ir.IntType(LANES))

    return types.uint16(lanes), generate


@intrinsic
def add_where(typing: Any, bits: Any, a: Any, b: Any) -> Any:
    """a + b in the lanes whose bit is set, a in the others; bits: uint16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, a, b = arguments
        mask = builder.bitcast(bits, ir.VectorType(ir.IntType(1), LANES))
        return builder.select(mask, builder.fadd(a, b), a)

    return lanes(types.uint16, lanes, lanes), generate


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """The sum of the lanes, in every lane."""
    return lanes(lanes), lambda context, builder, signature, arguments: lane_sums(builder, list(arguments))[0]


@intrinsic
def four_sums(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Lanes 0 to 3: the sums of the lanes of a, b, c and d."""
    return lanes(lanes, lanes, lanes, lanes), lambda context, builder, signature, arguments: lane_sums(builder, list(arguments))[
        0
    ]


@intrinsic
def largest(typing: Any, a: Any) -> Any:
    """The largest lane, in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        for distance in (8, 4, 2, 1):
            other = builder.shuffle_vector(value, value, ir.Constant(INTS, [i ^ distance for i in range(LANES)]))
            value = call(builder, "llvm.maxnum.v16f32", FLOATS, [value, other])
        return value

    return lanes(lanes), generate


@intrinsic
def store_four(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 4] = the first four lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, signature.args[0], *arguments[:2], ir.VectorType(FLOAT, 4))
        builder.store(first_lanes(builder, arguments[2], 4), place).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def add_four(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 4] += the first four lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, signature.args[0], *arguments[:2], ir.VectorType(FLOAT, 4))
        add_to(builder, place, first_lanes(builder, arguments[2], 4))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def hashed_uniform(typing: Any, start: Any) -> Any:
    """Smoothing.uniform's numbers in (0, 1) for the counters start .. start + 15 (start: uint32, wrapping)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        counters = builder.add(splat_of(builder, arguments[0], INTS), ir.Constant(INTS, list(range(LANES))))
        high = builder.uitofp(builder.lshr(_mix(builder, counters), _int_constant(9)), FLOATS)
        return builder.fmul(builder.fadd(high, _float_constant(0.5)), _float_constant(2.0**-23))

    return lanes(types.uint32), generate


def _arithmetic(instruction: str) -> Callable[[Any, Any], Any]:
    @intrinsic
    def operation(typing: Any, a: Any, b: Any) -> Any:
        return lanes(lanes, lanes), lambda context, builder, signature, arguments: getattr(builder, instruction)(*arguments)

    def on_lanes(a, b):  # numba wants the same signature as the lambda
        if isinstance(a, LanesType) and isinstance(b, LanesType):
            return lambda a, b: operation(a, b)
        return None

    return on_lanes


for _operator, _instruction in (
    (operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv"),
):  # fmt: skip
    overload(_operator)(_arithmetic(_instruction))


@njit(cache=True)
def mixed(x):
    """methods.smoothing.mix of one uint32."""
    x = np.uint32(x)
    x = np.uint32((x ^ (x >> np.uint32(MIX_SHIFTS[0]))) * np.uint32(MIX_FACTORS[0]))
    x = np.uint32((x ^ (x >> np.uint32(MIX_SHIFTS[1]))) * np.uint32(MIX_FACTORS[1]))
    return np.uint32(x ^ (x >> np.uint32(MIX_SHIFTS[2])))
