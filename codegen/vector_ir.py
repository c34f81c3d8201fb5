"""Pieces of LLVM code on vectors that numba intrinsics are made of."""

from typing import Any

from llvmlite import ir

INT = ir.IntType(32)


def address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any) -> Any:
    """A pointer to a contiguous array's element `index`, not checked, as one to the type `pointee`."""
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


def splat_of(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    """The scalar in every element of a vector of the type."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT, vector.count), [0] * vector.count))
