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

from methods.smoothing import MIX_FACTORS, MIX_SHIFTS

LANES = 16


class LanesType(types.Type):
    """numba's type of sixteen float32 values."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = LanesType()
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _FLOATS)


# ------------------------------------------------------------------------------------------------------- building blocks


def _float_constant(value: float) -> ir.Constant:
    # LLVM reads a float's constant as the double that is exactly that float.
    return ir.Constant(_FLOATS, [float(np.float32(value))] * LANES)


def _int_constant(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [value] * LANES)


def _splat(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


def _call(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, "llvm.fma.v16f32", _FLOATS, [a, b, c])


def _horner(builder: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, the constant first."""
    value = _float_constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = _fma(builder, value, x, _float_constant(coefficient))
    return value


def _exp(builder: Any, x: Any) -> Any:
    """2**n * 2**f with n an integer and f in [-1/2, 1/2]; the series of 2**f to f**7 is exact to float32."""
    for limit, beyond in ((87.0, ">"), (-87.0, "<")):  # further out the result is outside the normal floats
        # A comparison and not a minimum, so that what is not a number stays so.
        outside = builder.fcmp_ordered(beyond, x, _float_constant(limit))
        x = builder.select(outside, _float_constant(limit), x)
    y = builder.fmul(x, _float_constant(1 / math.log(2)))
    whole = _call(builder, "llvm.rint.v16f32", _FLOATS, [y])
    fraction = builder.fsub(y, whole)
    mantissa = _horner(builder, fraction, [math.log(2) ** i / math.factorial(i) for i in range(8)])
    exponent = builder.shl(builder.add(builder.fptosi(whole, _INTS), _int_constant(127)), _int_constant(23))
    return builder.fmul(mantissa, builder.bitcast(exponent, _FLOATS))


def _log(builder: Any, x: Any) -> Any:
    """For normal x > 0: n log 2 + log m with m in [sqrt(1/2), sqrt(2)), and log m = 2 atanh((m - 1) / (m + 1))."""
    bits = builder.bitcast(x, _INTS)
    above = builder.sub(bits, _int_constant(0x3F3504F3))  # the bits of sqrt(1/2)
    n = builder.sitofp(builder.ashr(above, _int_constant(23)), _FLOATS)
    m_bits = builder.add(builder.and_(above, _int_constant(0x007FFFFF)), _int_constant(0x3F3504F3))
    m = builder.bitcast(m_bits, _FLOATS)
    one = _float_constant(1.0)
    s = builder.fdiv(builder.fsub(m, one), builder.fadd(m, one))
    series = _horner(builder, builder.fmul(s, s), [2 / (2 * i + 1) for i in range(5)])
    return _fma(builder, n, _float_constant(math.log(2)), builder.fmul(s, series))


def _mix(builder: Any, x: Any) -> Any:
    """methods.smoothing.mix on sixteen 32-bit integers."""
    for shift, factor in zip(MIX_SHIFTS, (*MIX_FACTORS, None), strict=True):
        x = builder.xor(x, builder.lshr(x, _int_constant(shift)))
        if factor is not None:
            x = builder.mul(x, _int_constant(factor))
    return x


# -------------------------------------------------------------------------------------------------- what kernels may call


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """array[index : index + 16]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], *arguments, _FLOATS))
        value.align = 4
        return value

    return lanes(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 16] = value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], *arguments[:2], _FLOATS)
        builder.store(arguments[2], place).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], which need not exist."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], *arguments, ir.IntType(8))
        read, keep, data = _INT(0), _INT(3), _INT(1)
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """Sixteen times the same float32."""
    return lanes(types.float32), lambda context, builder, signature, arguments: _splat(builder, arguments[0], _FLOATS)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return lanes(lanes, lanes, lanes), lambda context, builder, signature, arguments: _fma(builder, *arguments)


@intrinsic
def exp(typing: Any, x: Any) -> Any:
    """e**x, to 1e-6 of it up to |x| = 15 and 4e-6 at 87; below -87 and above 87 as there."""
    return lanes(lanes), lambda context, builder, signature, arguments: _exp(builder, *arguments)


@intrinsic
def log(typing: Any, x: Any) -> Any:
    """The natural logarithm of normal positive numbers."""
    return lanes(lanes), lambda context, builder, signature, arguments: _log(builder, *arguments)


@intrinsic
def rounded(typing: Any, x: Any) -> Any:
    """1 where x > 1/2, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        above = builder.fcmp_ordered(">", arguments[0], _float_constant(0.5))
        return builder.select(above, _float_constant(1.0), _float_constant(0.0))

    return lanes(lanes), generate


@intrinsic
def pair_sum(typing: Any, a: Any, b: Any) -> Any:
    """Sums of neighbours: a0 + a1, a2 + a3, ..., b0 + b1, ...: four of these make lanes 0 to 15 the sums of sixteen lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        even, odd = (builder.shuffle_vector(*arguments, ir.Constant(_INTS, list(range(first, 2 * LANES, 2)))) for first in (0, 1))
        return builder.fadd(even, odd)

    return lanes(lanes, lanes), generate


@intrinsic
def largest(typing: Any, a: Any) -> Any:
    """The largest lane, in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        for distance in (8, 4, 2, 1):
            other = builder.shuffle_vector(value, value, ir.Constant(_INTS, [i ^ distance for i in range(LANES)]))
            value = _call(builder, "llvm.maxnum.v16f32", _FLOATS, [value, other])
        return value

    return lanes(lanes), generate


@intrinsic
def add_first(typing: Any, array: Any, index: Any, value: Any, n: Any) -> Any:
    """array[index : index + n] += the first n lanes; n is a literal power of two up to 16."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    count = n.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        part = ir.VectorType(_FLOAT, count)
        place = _address(context, builder, signature.args[0], *arguments[:2], part)
        mask = ir.Constant(ir.VectorType(_INT, count), list(range(count)))
        first = builder.shuffle_vector(arguments[2], ir.Constant(_FLOATS, ir.Undefined), mask)
        old = builder.load(place)
        old.align = 4
        builder.store(builder.fadd(old, first), place).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes, n), generate


@intrinsic
def hashed_uniform(typing: Any, start: Any) -> Any:
    """Smoothing.uniform's numbers in (0, 1) for the counters start .. start + 15 (start: uint32, wrapping)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        counters = builder.add(_splat(builder, arguments[0], _INTS), ir.Constant(_INTS, list(range(LANES))))
        high = builder.uitofp(builder.lshr(_mix(builder, counters), _int_constant(9)), _FLOATS)
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
