"""Why an operation, or its derivative rule, gave NaN or infinity, and what to write instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.debug.arrays import all_finite, first_bad, flat, has_nan, plain
from tinygrad_fm.engine import Node

Reason = tuple[str, str]  # why, and what to write instead; either may be empty

UNKNOWN: Reason = ("", "")
_SAFE_LOG = (
    "np.log(np.maximum(x, eps)); of a probability take the loss that is given logits "
    "(functional.cross_entropy, functional.binary_cross_entropy_with_logits)"
)
_SAFE_DIVIDE = "a / (b + eps) where b is never negative, or a / np.where(b == 0, 1, b)"
_SCALE = "look at the scale of what goes in: the learning rate, the initial weights, the inputs"


# ---- forward, by the numbers at the first bad element ------------------------------------------


def _log(x: float, y: float) -> Reason:
    if x == 0:
        return "the logarithm of 0 is minus infinity", _SAFE_LOG
    if x < 0:
        return (
            f"the logarithm of a negative number, {x:.6g}, is NaN",
            "look at why it is negative; np.log(np.maximum(x, eps)) cuts it off",
        )
    return UNKNOWN


def _log1p(x: float, y: float) -> Reason:
    if x == -1:
        return "log1p(-1) is the logarithm of 0: minus infinity", "np.log1p(np.maximum(x, eps - 1))"
    if x < -1:
        return f"log1p of {x:.6g}, which is below -1, is NaN", "np.log1p(np.maximum(x, eps - 1))"
    return UNKNOWN


def _sqrt(x: float, y: float) -> Reason:
    if x < 0:
        return (
            f"the square root of a negative number, {x:.6g}, is NaN",
            "np.sqrt(np.maximum(x, 0) + eps), if rounding made it negative",
        )
    return UNKNOWN


def _exp(x: float, y: float) -> Reason:
    if math.isfinite(x) and not math.isfinite(y):
        largest = np.log(np.finfo(np.asarray(y).dtype).max)
        return (
            f"overflow: exp of {x:.6g}; {np.asarray(y).dtype} holds exp only up to {largest:.4g}",
            "functional.softmax, log_softmax or softplus, which subtract the maximum first, or "
            "np.exp(np.minimum(x, limit))",
        )
    return UNKNOWN


def _divide(a: float, b: float, y: float) -> Reason:
    if b == 0 and a == 0:
        return "0 / 0 is NaN", _SAFE_DIVIDE
    if b == 0:
        return f"division by 0: {a:.6g} / 0", _SAFE_DIVIDE
    if math.isinf(a) and math.isinf(b):
        return "infinity / infinity is NaN", "a shifted form such as functional.softmax"
    if math.isfinite(a) and math.isfinite(b):
        return f"overflow: {a:.6g} / {b:.6g}", _SAFE_DIVIDE
    return UNKNOWN


def _remainder(a: float, b: float, y: float) -> Reason:
    return (f"division by 0: the remainder of {a:.6g} and 0", "") if b == 0 else UNKNOWN


def _reciprocal(x: float, y: float) -> Reason:
    return ("division by 0: 1 / 0", _SAFE_DIVIDE) if x == 0 else UNKNOWN


def _power(a: float, b: float, y: float) -> Reason:
    if a < 0 and math.isfinite(b) and b != round(b):
        return (
            f"a negative base with a fractional exponent, {a:.6g} ** {b:.6g}, is NaN",
            "np.abs(x) ** b, or np.sign(x) * np.abs(x) ** b, or np.cbrt(x) for a third",
        )
    if a == 0 and b < 0:
        return f"division by 0: 0 ** {b:.6g}", "(x + eps) ** b where x is never negative"
    if math.isfinite(a) and math.isfinite(b):
        return f"overflow: {a:.6g} ** {b:.6g}", _SCALE
    return UNKNOWN


def _multiply(a: float, b: float, y: float) -> Reason:
    if math.isnan(y) and not (math.isnan(a) or math.isnan(b)):
        return (
            "0 * infinity is NaN: a mask of zeros does not remove an infinity",
            "np.where(mask, x, 0) in place of mask * x",
        )
    if math.isfinite(a) and math.isfinite(b):
        return f"overflow: {a:.6g} * {b:.6g} in {np.asarray(y).dtype}", _SCALE
    return UNKNOWN


def _add(a: float, b: float, y: float) -> Reason:
    if math.isnan(y) and not (math.isnan(a) or math.isnan(b)):
        return "infinity - infinity is NaN", "look at where the infinities came from"
    if math.isfinite(a) and math.isfinite(b):
        return f"overflow: {a:.6g} and {b:.6g} in {np.asarray(y).dtype}", _SCALE
    return UNKNOWN


def _outside(low: float, high: float, write: str) -> Callable[..., Reason]:
    def reason(x: float, y: float) -> Reason:
        if low <= x <= high:
            return f"it is infinite at {x:.6g}, an edge of its domain", write
        if high == math.inf:
            return f"{x:.6g} lies below {low:g}, where it is not defined", write
        return f"{x:.6g} lies outside of [{low:g}, {high:g}], where it is not defined", write

    return reason


_ELEMENTS: dict[str, Callable[..., Reason]] = {
    **dict.fromkeys(["log", "log2", "log10"], _log),
    "log1p": _log1p,
    "sqrt": _sqrt,
    **dict.fromkeys(["exp", "exp2", "expm1", "sinh", "cosh"], _exp),
    "divide": _divide,
    **dict.fromkeys(["remainder", "fmod", "floor_divide"], _remainder),
    "reciprocal": _reciprocal,
    **dict.fromkeys(["power", "float_power"], _power),
    "multiply": _multiply,
    **dict.fromkeys(["add", "subtract"], _add),
    **dict.fromkeys(["arcsin", "arccos"], _outside(-1, 1, "np.clip(x, -1, 1) first")),
    "arctanh": _outside(-1, 1, "np.clip(x, eps - 1, 1 - eps) first"),
    "arccosh": _outside(1, math.inf, "np.maximum(x, 1) first"),
}


def of_operation(primitive: Any, values: Any, bad: Any) -> Reason:
    """Why an operation's result is not finite, from the numbers at its first bad element.

    Args:
        primitive, values: the operation and its arguments.
        bad: its result, or the one of several that is not finite.
    """
    arrays = [value for value in flat(values) if not isinstance(value, (str, type(None)))]
    with np.errstate(all="ignore"):
        found = _of_element(primitive, arrays, bad) or _of_whole(primitive, arrays, bad)
        if found is None and all(all_finite(a) for a in arrays) and np.isinf(bad).any():
            dtype = np.asarray(bad).dtype
            found = (f"overflow: {dtype} holds numbers up to {np.finfo(dtype).max:.3g}", _SCALE)
    return found or UNKNOWN


def _of_element(primitive: Any, arrays: list[Any], bad: Any) -> Reason | None:
    reason = _ELEMENTS.get(primitive.name)
    if reason is None:
        return None
    index = first_bad(bad)
    numbers = [np.broadcast_to(a, np.shape(bad))[index] for a in (*arrays, bad)]
    return reason(*numbers)


def _of_whole(primitive: Any, arrays: list[Any], bad: Any) -> Reason | None:
    """Reasons that no single element shows."""
    name = primitive.name
    if name in ("mean", "var", "std") and arrays and np.size(arrays[0]) == 0:
        return "the mean of no elements is 0 / 0", "look at the selection, which is empty"
    if name in ("var", "std") and all_finite(arrays[0]) and np.isnan(bad).any():
        return "as many degrees of freedom are taken off (ddof) as there are elements", "ddof=0"
    if name in ("softmax", "log_softmax") and np.isneginf(arrays[0]).any() and has_nan(bad):
        return (
            "all values of a row are minus infinity, so the softmax divides 0 by 0",
            "leave one place of each row unmasked, or mask with a large negative number, -1e9",
        )
    if has_nan(bad) and not any(has_nan(a) for a in arrays):
        if all(all_finite(a) for a in arrays):
            return "sums of finite numbers overflow to both infinities, whose sum is NaN", _SCALE
        return "infinity - infinity or 0 * infinity in its sums is NaN", ""
    return None


# ---- backward ------------------------------------------------------------------------------------

_SAFE_BACKWARD: dict[str, str] = {
    "sqrt": "np.sqrt(x + eps); for the length of a vector np.linalg.norm, whose gradient at 0 is 0",
    "cbrt": "keep x away from 0, or np.cbrt(x + eps) where x is never negative",
    **dict.fromkeys(["log", "log2", "log10"], _SAFE_LOG),
    "divide": _SAFE_DIVIDE,
    "reciprocal": _SAFE_DIVIDE,
    **dict.fromkeys(["power", "float_power"], "(x + eps) ** b where x is never negative"),
    **dict.fromkeys(["arcsin", "arccos", "arctanh"], "np.clip(x, eps - 1, 1 - eps) first"),
    "arccosh": "np.maximum(x, 1 + eps) first",
    "arctan2": "keep the two arguments from being 0 at once",
}


def of_rule(
    node: Node, i: int, g: Any, y: Any, args: tuple[Any, ...], contribution: Any, mask: Node | None
) -> Reason:
    """Why the rule for argument `i` of a node gave a gradient that is not finite.

    Args:
        node, i, g, y, args, contribution: as for `BackwardObserver.passed`.
        mask: an operation behind the node that may have left out some of its elements.
    """
    g, y, bad = plain(g), plain(y), plain(contribution)
    args = tuple(plain(a) for a in args)
    assert node.primitive is not None
    rule = node.primitive.rules[i] if i < len(node.primitive.rules) else None
    if rule is None or isinstance(g, tuple) or np.shape(g) != np.shape(bad):
        return _of_sums(node, g, bad)
    index = first_bad(bad)
    with np.errstate(all="ignore"):
        slope = rule(np.ones_like(g), y, *args, **node.keywords)
    at = _point(node, i, y, args, np.shape(g), index)
    if not np.isfinite(slope[index]):
        size = "infinite" if np.isinf(slope[index]) else "not a number"
        why = f"the derivative of {node.name} is {size}{at}"
        if g[index] == 0:
            why += f", and the gradient that arrives there is 0{_because(mask)}; "
            why += "0 times infinity is NaN" if np.isinf(slope[index]) else "that leaves NaN"
            return why, _mask_first(node, mask)
        return why, _SAFE_BACKWARD.get(node.name, "")
    if np.isinf(bad[index]):
        return (
            f"overflow: the gradient that arrives, {g[index]:.3g}, times the derivative of "
            f"{node.name}, {slope[index]:.3g}{at}",
            _SAFE_BACKWARD.get(node.name, _SCALE),
        )
    if g[index] == 0:
        return (
            f"the rule of {node.name} computes 0 / 0 or 0 * infinity{at}, where the gradient that "
            f"arrives is 0{_because(mask)}",
            _mask_first(node, mask),
        )
    return UNKNOWN


def _of_sums(node: Node, g: Any, bad: Any) -> Reason:
    if np.isinf(bad).any() and not isinstance(g, tuple):
        dtype = np.asarray(bad).dtype
        return f"overflow: {dtype} holds numbers up to {np.finfo(dtype).max:.3g}", _SCALE
    return UNKNOWN


def _point(
    node: Node, i: int, y: Any, args: tuple[Any, ...], shape: Any, index: tuple[int, ...]
) -> str:
    """Where: ` at 0`, from the argument, or from the result where only that was kept."""
    known = [(args[i], "at")] + [(a, "where the other argument is") for a in args[:2]]
    for value, what in [*known, (y, "where its result is")]:
        if not isinstance(value, Node) and np.ndim(value) <= len(shape):
            return f" {what} {np.broadcast_to(value, shape)[index]:.6g}"
    return ""


def _because(mask: Node | None) -> str:
    if mask is None:
        return ""
    where = f" at {mask.line}" if mask.line else ""
    return f", because {mask.name}{where} passes on another value"


def _mask_first(node: Node, mask: Node | None) -> str:
    calls = {"divide": "a / safe", "reciprocal": "1 / safe", "power": "safe ** b"}
    if mask is not None and mask.name == "where":
        call = calls.get(node.name, f"np.{node.name}(safe)")
        value = 1 if node.name in (*calls, "log", "log2", "log10", "sqrt", "cbrt") else 0
        return (
            "choose a safe argument first, then compute: "
            f"safe = np.where(mask, x, {value}); np.where(mask, {call}, other)"
        )
    return _SAFE_BACKWARD.get(node.name, "")
