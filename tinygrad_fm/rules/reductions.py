"""The calculus of reductions along axes: sum, mean, variance, extremes, products, running sums.

Kinks: max and min split a tie evenly; std has gradient 0 where it is 0; prod is right with zeros.
"""

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import constant, defvjp, primitive, rewrite

Axis = int | tuple[int, ...] | None


def normalize(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as a sorted tuple of non-negative numbers; None means all."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,))))


def kept(reduced: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """A reduction's result (or its gradient) with the reduced axes put back as axes of length 1."""
    if keepdims:
        return reduced
    axes = normalize(axis, x.ndim)
    return np.reshape(reduced, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def spread(g: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The gradient of a reduction, repeated along the axes that were reduced."""
    return np.broadcast_to(kept(g, x, axis, keepdims), x.shape)


defvjp(
    np.sum,
    lambda g, _y, _x, axis=None, dtype=None, keepdims=False: spread(g, _x, axis, keepdims),
)
defvjp(
    np.mean,
    lambda g, _y, _x, axis=None, dtype=None, keepdims=False: spread(
        g * (_y.size / max(_x.size, 1)), _x, axis, keepdims
    ),
)


def _deviation(x: Any, y_size: int, axis: Axis, ddof: float) -> Any:
    """(x - mean) / (N - ddof), where N elements are reduced to one."""
    return (x - np.mean(x, axis=axis, keepdims=True)) / (x.size / max(y_size, 1) - ddof)


defvjp(
    np.var,
    lambda g, _y, x, axis=None, dtype=None, ddof=0, keepdims=False: (
        kept(g, x, axis, keepdims) * (2 * _deviation(x, _y.size, axis, ddof))
    ),
)
defvjp(
    np.std,
    lambda g, y, x, axis=None, dtype=None, ddof=0, keepdims=False: (
        kept(g * np.where(y == 0, 0, 1 / np.where(y == 0, 1, y)), x, axis, keepdims)
        * _deviation(x, y.size, axis, ddof)
    ),
)


def _share_of_ties(y: Any, x: Any, axis: Axis, keepdims: bool, dtype: Any) -> Any:
    """1/k at each of the k elements that attain the extreme, 0 elsewhere."""
    attained = x == kept(y, x, axis, keepdims)
    return attained / np.sum(attained, axis=axis, dtype=dtype, keepdims=True)


_extreme = lambda g, y, x, axis=None, keepdims=False: (
    kept(g, x, axis, keepdims) * _share_of_ties(y, x, axis, keepdims, g.dtype)
)
defvjp(np.max, _extreme, name="max")
defvjp(np.min, _extreme, name="min")
rewrite(np.amax, lambda a, axis=None, *, keepdims=False: np.max(a, axis=axis, keepdims=keepdims))
rewrite(np.amin, lambda a, axis=None, *, keepdims=False: np.min(a, axis=axis, keepdims=keepdims))


def identity(like: Any, n: int) -> Any:
    """The n x n identity as booleans, made on the same device as `like`."""
    count = np.cumsum(np.ones_like(like, shape=(n,), dtype=np.int64))
    return np.expand_dims(count, 1) == count


def _product_of_others(x: Any) -> Any:
    """For each element along the last axis, the product of all others; right with zeros."""
    before = np.ones_like(x)
    after = np.ones_like(x)
    before[..., 1:] = np.cumprod(x[..., :-1], axis=-1)
    after[..., :-1] = np.flip(np.cumprod(np.flip(x[..., 1:], axis=-1), axis=-1), axis=-1)
    return before * after


def _product_of_others_rule(g: Any, _y: Any, x: Any) -> Any:
    """Row i of the square is x with x_i left out (set to 1): d y_i / d x_j = others of that row."""
    mine = identity(g, x.shape[-1])
    square = np.where(mine, 1, np.expand_dims(x, -2))
    return np.sum(np.where(mine, 0, product_of_others(square)) * np.expand_dims(g, -1), axis=-2)


product_of_others = primitive(_product_of_others, _product_of_others_rule, name="product_of_others")


def rows_along(x: Any, axis: Axis) -> Any:
    """`x` with the axes moved to the end and joined to one."""
    axes = normalize(axis, x.ndim)
    moved = np.transpose(x, tuple(i for i in range(x.ndim) if i not in axes) + axes)
    free = x.ndim - len(axes)
    return np.reshape(moved, (*moved.shape[:free], math.prod(moved.shape[free:])))


def _prod_rule(
    g: Any, _y: Any, x: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False
) -> Any:
    axes = normalize(axis, x.ndim)
    order = tuple(i for i in range(x.ndim) if i not in axes) + axes
    moved = np.transpose(x, order)
    free = x.ndim - len(axes)
    rows = np.reshape(moved, (*moved.shape[:free], math.prod(moved.shape[free:])))
    back = [order.index(i) for i in range(x.ndim)]
    others = np.transpose(np.reshape(product_of_others(rows), moved.shape), back)
    return kept(g, x, axis, keepdims) * others


defvjp(np.prod, _prod_rule)


def _cumsum_rule(g: Any, _y: Any, _x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    along = -1 if axis is None else axis
    total = np.flip(np.cumsum(np.flip(g, axis=along), axis=along), axis=along)
    return np.reshape(total, _x.shape)


defvjp(np.cumsum, _cumsum_rule)

# recorded, but constant
constant(np.argmax, np.argmin, np.argsort, np.all, np.any, np.count_nonzero, np.searchsorted)
