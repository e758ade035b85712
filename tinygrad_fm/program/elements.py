"""Which calls of NumPy can be written for one element, and how, such that the bits are the same.

Only arithmetic that IEEE 754 defines: NumPy's exp and its sums along a row have digits and an order
of their own. A sum over the rows adds one row after the other, and so does a loop. What loops do
not give are NumPy's warnings of overflow and of division by zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.program.values import Instruction, Value, c_strides, layout
from tinygrad_fm.rules import elementwise

_ASTYPE = elementwise.astype.function
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
BOOL = np.dtype(bool)
_ARITHMETIC = {
    np.add: "{0} + {1}",
    np.subtract: "{0} - {1}",
    np.multiply: "{0} * {1}",
    np.divide: "{0} / {1}",
    np.negative: "-{0}",
    np.absolute: "abs({0})",
    np.square: "{0} * {0}",
    np.sqrt: "np.sqrt({0})",
}
_COMPARISONS = {
    np.equal: "{0} == {1}",
    np.not_equal: "{0} != {1}",
    np.less: "{0} < {1}",
    np.less_equal: "{0} <= {1}",
    np.greater: "{0} > {1}",
    np.greater_equal: "{0} >= {1}",
}
_LOGIC = {
    np.logical_and: "{0} and {1}",
    np.logical_or: "{0} or {1}",
    np.logical_not: "not {0}",
    np.bitwise_and: "{0} and {1}",
    np.bitwise_or: "{0} or {1}",
    np.invert: "not {0}",
}
# Of 0.0 and -0.0, the processors that these are for take the second; NaN wins over all numbers.
if list(np.signbit(np.maximum([0.0, -0.0], [-0.0, 0.0]))) == [True, False]:
    _ARITHMETIC[np.maximum] = "{1} if {0} <= {1} or {1} != {1} else {0}"
    _ARITHMETIC[np.minimum] = "{1} if {0} >= {1} or {1} != {1} else {0}"
NOT_NAN = " or {1} != {1}"  # which is not asked of a number
_COMPARED = (*_FLOATS, np.dtype(np.int64))


def is_sum(call: Instruction) -> bool:
    """Whether it adds the rows of a matrix, where the order of the additions is known."""
    if call.function is not np.sum or len(call.args) != 1:
        return False
    (x,) = call.args
    axis = call.keywords.get("axis")
    return (
        isinstance(x, Value)
        and x.dtype in _FLOATS
        and call.results[0].dtype == x.dtype
        and len(x.shape) == 2
        and x.shape[1] > 1  # of one column NumPy sums pairs of parts
        and layout(x) == "C"
        and (axis[0] if type(axis) is tuple and len(axis) == 1 else axis) in (0, -2)
        and type(axis) is not bool
        and call.keywords.keys() <= {"axis", "keepdims"}
    )


def loop_shape(call: Instruction) -> tuple[int, ...] | None:
    """The shape of the arrays that a loop for this call runs over; None if there is none."""
    if call.kind != "call" or call.ordered or call.several:
        return None
    (result,) = call.results
    summed = is_sum(call)
    shape: tuple[int, ...] = call.args[0].shape if summed else result.shape
    if result.base is not None or not shape or 0 in shape:
        return None
    if not all(value.dtype.isnative for value in (result, *call.operands)):
        return None  # Numba has no numbers of the other byte order
    if is_flat(result):
        order = memory_order(result)
        arrays = [result, *(v for v in call.operands if v.shape)]
        fit = all(v.shape == shape and _is_dense(v, order) for v in arrays)
    else:
        fit = layout(result) == "C" and all(_fits(value, shape) for value in call.operands)
    return shape if fit and (summed or template(call) is not None) else None


def is_flat(value: Value) -> bool:
    """Whether a loop goes along its memory, whatever its axes: arrays of images, as a rule."""
    return len(value.shape) > 2


def memory_order(value: Value) -> tuple[int, ...]:
    """Its axes, from the one with the largest stride to that with the smallest."""
    return tuple(sorted(range(len(value.shape)), key=lambda i: (-value.strides[i], i)))


def _is_dense(value: Value, order: tuple[int, ...]) -> bool:
    """Whether it lies in memory with its axes in this order, without gaps."""
    strides = c_strides(tuple(value.shape[i] for i in order), value.dtype.itemsize)
    return all(
        value.shape[i] == 1 or value.strides[i] == stride
        for i, stride in zip(order, strides, strict=True)
    )


def _fits(value: Value, shape: tuple[int, ...]) -> bool:
    """Whether the array is read element after element, or stays the same along a row."""
    if not value.shape:
        return True
    steady = lengths(value)[-1] == 1
    return len(value.shape) <= len(shape) and (steady or layout(value) == "C")


def lengths(value: Value) -> tuple[int, ...]:
    """The shape, with 1 for an axis along which a broadcast array stays the same."""
    return tuple(n if s else 1 for n, s in zip(value.shape, value.strides, strict=True))


def template(call: Instruction) -> tuple[str, tuple[np.dtype[Any] | None, ...]] | None:
    """How the call is written for one element, and the dtype in which each argument goes in."""
    function, result = call.function, call.results[0]
    if function is _ASTYPE and not call.keywords:
        known = {call.args[0].dtype, result.dtype} <= {*_FLOATS, BOOL}
        return ("{0}", (result.dtype, None)) if known else None
    if call.keywords:
        return None
    if function is np.copy and len(call.args) == 1:
        return ("{0}", (result.dtype,)) if result.dtype in (*_FLOATS, BOOL) else None
    if function is np.where and len(call.args) == 3:
        condition = getattr(call.args[0], "dtype", None)
        if condition == BOOL and result.dtype in _FLOATS:
            return "{1} if {0} else {2}", (BOOL, result.dtype, result.dtype)
        return None
    for table, dtypes in ((_ARITHMETIC, _FLOATS), (_COMPARISONS, _COMPARED), (_LOGIC, (BOOL,))):
        if function in table:
            kinds = _resolved(call)
            if kinds and kinds[-1] == result.dtype and all(k in dtypes for k in kinds[:-1]):
                return table[function], kinds[:-1]
    return None


def _resolved(call: Instruction) -> tuple[np.dtype[Any], ...]:
    """The dtypes that a ufunc works in; none where an argument is something strange."""
    kinds: list[Any] = []
    for argument in call.args:
        if isinstance(argument, (Value, np.generic)):
            kinds.append(argument.dtype)
        elif type(argument) in (int, float):
            kinds.append(type(argument))
        elif type(argument) is bool:
            kinds.append(BOOL)
        else:
            return ()
    if len(kinds) != call.function.nin:
        return ()
    try:
        found = call.function.resolve_dtypes((*kinds, None))
    except TypeError:
        return ()
    return tuple(found)


def is_number(value: Value) -> bool:
    """Whether it is written down as a number."""
    return value.kind == "constant" and not value.shape
