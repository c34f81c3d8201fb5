"""One gate on sixteen items, written out for each number of inputs: methods.multilinear.evaluate and its gradient.

A gate's polynomial is evaluated by Horner's rule, one level an input:

    level 0 = its 2**k coefficients          level j + 1, term m = level j, term 2m + 1 * x_j + level j, term 2m

The gradient goes the same way back. Loops over terms run here, while code is made, so a gate of k inputs is a few dozen
vector instructions without a loop, and its terms live in registers.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from codegen.vector_ir import INT, address, splat_of
from methods.simd import FLOAT, FLOATS, LANES, add_to, call, first_lanes, fma_of, lane_sums, lanes, rounded_of

_LONG = ir.IntType(64)


@intrinsic
def gate_value(
    typing: Any, arity: Any, values: Any, base: Any, fan_in: Any, row: Any, coefficients: Any, param: Any, hard: Any
) -> Any:
    """A row's polynomial on its inputs.

    arity: a literal k. values: where signals are, sixteen values each, signal 0 at `base`. fan_in: int32 (row, k).
    coefficients: (param, 2**k). hard: read the inputs as 0 or 1.
    """
    k = _literal(arity)
    if k is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, values, base, fan_in, row, coefficients, param, hard = arguments
        _, values_type, _, fan_in_type, _, coefficients_type, _, _ = signature.args
        places = _places(context, builder, fan_in_type, fan_in, row, k)
        inputs = [_input(context, builder, values_type, values, base, place, hard) for place in places]
        terms = _coefficients(context, builder, coefficients_type, coefficients, param, k)
        return _levels(builder, terms, inputs)[-1][0]

    return lanes(arity, values, types.intp, fan_in, types.intp, coefficients, types.intp, types.boolean), generate


@intrinsic
def gate_gradient(
    typing: Any, arity: Any, values: Any, base: Any, fan_in: Any, row: Any, coefficients: Any, param: Any, hard: Any, grad: Any,
    sums: Any, slot: Any, below: Any, first: Any, slopes: Any, place: Any,
) -> Any:  # fmt: skip
    """From the gradient to a row's polynomial, `grad`: add those to its coefficients, summed over the items, to
    sums[2**k * slot:], and unless first < 0 those to its inputs to theirs in below, whose signal 0 is `first`. Unless
    place < 0, leave those to its inputs in slopes[16 * k * place:].

    The others as in gate_value.
    """
    k = _literal(arity)
    if k is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, values, base, fan_in, row, coefficients, param, hard, grad, sums, slot, below, first, slopes, place = arguments
        _, values_type, _, fan_in_type, _, coefficients_type, _, _, _, sums_type, _, below_type, _, slopes_type, _ = (
            signature.args
        )
        places = _places(context, builder, fan_in_type, fan_in, row, k)
        inputs = [_input(context, builder, values_type, values, base, place, hard) for place in places]
        products = [[grad]]  # by level, the last first: the gradients to its terms
        for x in reversed(inputs):
            products.append([product for above in products[-1] for product in (above, builder.fmul(above, x))])
        n = min(1 << k, LANES)
        first_sum = builder.mul(slot, _LONG(1 << k))
        for i, total in enumerate(lane_sums(builder, products[-1])):
            to = address(context, builder, sums_type, sums, builder.add(first_sum, _LONG(LANES * i)), ir.VectorType(FLOAT, n))
            add_to(builder, to, first_lanes(builder, total, n))
        passed, kept = (builder.icmp_signed(">=", wanted, _LONG(0)) for wanted in (first, place))
        with builder.if_then(builder.or_(passed, kept)):
            terms = _coefficients(context, builder, coefficients_type, coefficients, param, k)
            levels = _levels(builder, terms, inputs)
            of_inputs = []
            for j in range(k):
                odd = levels[j][1::2]
                slope = None
                for above, term in zip(products[k - 1 - j], odd, strict=True):
                    slope = builder.fmul(above, term) if slope is None else fma_of(builder, above, term, slope)
                of_inputs.append(slope)
            with builder.if_then(passed):
                for signal, slope in zip(places, of_inputs, strict=True):
                    at = builder.mul(builder.sub(signal, first), _LONG(LANES))
                    add_to(builder, address(context, builder, below_type, below, at, FLOATS), slope)
            with builder.if_then(kept):
                for j, slope in enumerate(of_inputs):
                    at = builder.mul(builder.add(builder.mul(place, _LONG(k)), _LONG(j)), _LONG(LANES))
                    builder.store(slope, address(context, builder, slopes_type, slopes, at, FLOATS)).align = 4
        return context.get_dummy_value()

    signature = types.void(
        arity, values, types.intp, fan_in, types.intp, coefficients, types.intp, types.boolean, lanes, sums, types.intp, below,
        types.intp, slopes, types.intp,
    )  # fmt: skip
    return signature, generate


@intrinsic
def prefetch_inputs(typing: Any, arity: Any, values: Any, base: Any, fan_in: Any, row: Any) -> Any:
    """Ask for the cache lines of a row's inputs, signal 0 at `base` of values."""
    k = _literal(arity)
    if k is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, values, base, fan_in, row = arguments
        for signal in _places(context, builder, signature.args[3], fan_in, row, k):
            at = builder.add(base, builder.mul(signal, _LONG(LANES)))
            place = address(context, builder, signature.args[1], values, at, ir.IntType(8))
            read, keep, data = INT(0), INT(3), INT(1)
            call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, read, keep, data])
        return context.get_dummy_value()

    return types.void(arity, values, types.intp, fan_in, types.intp), generate


def _literal(arity: Any) -> int | None:
    return arity.literal_value if isinstance(arity, types.IntegerLiteral) else None


def _places(context: Any, builder: Any, array_type: Any, fan_in: Any, row: Any, k: int) -> list[Any]:
    """The signals that a row reads."""
    start = builder.mul(row, _LONG(k))
    found = []
    for j in range(k):
        place = address(context, builder, array_type, fan_in, builder.add(start, _LONG(j)), INT)
        found.append(builder.sext(builder.load(place), _LONG))
    return found


def _input(context: Any, builder: Any, array_type: Any, values: Any, base: Any, signal: Any, hard: Any) -> Any:
    at = builder.add(base, builder.mul(signal, _LONG(LANES)))
    value = builder.load(address(context, builder, array_type, values, at, FLOATS))
    value.align = 4
    return builder.select(builder.icmp_unsigned("!=", hard, hard.type(0)), rounded_of(builder, value), value)


def _coefficients(context: Any, builder: Any, array_type: Any, coefficients: Any, param: Any, k: int) -> list[Any]:
    start = builder.mul(param, _LONG(1 << k))
    found = []
    for i in range(1 << k):
        place = address(context, builder, array_type, coefficients, builder.add(start, _LONG(i)), FLOAT)
        found.append(splat_of(builder, builder.load(place), FLOATS))
    return found


def _levels(builder: Any, terms: list[Any], inputs: list[Any]) -> list[list[Any]]:
    levels = [terms]
    for x in inputs:
        below = levels[-1]
        levels.append([fma_of(builder, below[i + 1], x, below[i]) for i in range(0, len(below), 2)])
    return levels
