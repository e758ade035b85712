"""The calculus of sums with a twist: averages, NaN left out, running products, covariances."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, defvjp, primitive, rewrite
from tinygrad_fm.rules.reductions import Axis


def _average(
    a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=keepdims)
        return (mean, np.full_like(mean, a.size / max(mean.size, 1))) if returned else mean
    if np.shape(weights) != np.shape(a):
        if axis is None:
            raise TypeError(
                f"average takes an axis where the weights have another shape, {np.shape(weights)}, "
                f"than the array, {np.shape(a)}"
            )
        axes = [i % np.ndim(a) for i in (axis if isinstance(axis, tuple) else (axis,))]
        if np.shape(weights) != tuple(np.shape(a)[i] for i in axes):
            raise ValueError(
                f"average takes weights of the shape {tuple(np.shape(a)[i] for i in axes)} along "
                f"axis {axis}, not {np.shape(weights)}"
            )
        lengths = [n if i in axes else 1 for i, n in enumerate(np.shape(a))]
        weights = np.reshape(np.transpose(weights, np.argsort(axes).tolist()), lengths)
    weights = weights if hasattr(weights, "dtype") else np.asarray(weights)
    dtype = np.result_type(a.dtype, weights.dtype)  # small integers would be added up as int64
    weights = weights if weights.dtype == dtype else weights.astype(dtype)
    total = np.sum(np.broadcast_to(weights, np.shape(a)), axis=axis, keepdims=keepdims)
    mean = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


rewrite(np.average, _average)

# NaN left out: a number in its place that changes nothing


def _with(number: float) -> Callable[[Any], Any]:
    return lambda a: np.where(np.isnan(a), number, a)


def _without_nan(function: Any, number: float) -> Any:
    """A reduction with `number` in place of each NaN."""

    def written(a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Any:
        return function(_with(number)(a), axis=axis, dtype=dtype, keepdims=keepdims)

    return written


def _running_without_nan(function: Any, number: float) -> Any:
    return lambda a, axis=None, dtype=None: function(_with(number)(a), axis=axis, dtype=dtype)


def _extreme_without_nan(function: Any, number: float) -> Any:
    """The largest or smallest of what is not NaN; NaN where there is nothing else."""

    def written(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
        nothing = np.all(np.isnan(a), axis=axis, keepdims=keepdims)
        found = function(_with(number)(a), axis=axis, keepdims=keepdims)
        return np.where(nothing, math.nan, found)

    return written


def _count(a: Any, axis: Axis, keepdims: bool) -> Any:
    """How many elements are not NaN."""
    return np.sum(~np.isnan(a), axis=axis, keepdims=keepdims, dtype=a.dtype)


def _nanmean(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    return np.nansum(a, axis=axis, keepdims=keepdims) / _count(a, axis, keepdims)


def _nanvar(a: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    off = np.where(np.isnan(a), 0, a - _nanmean(a, axis, keepdims=True))
    freedom = _count(a, axis, keepdims) - ddof
    freedom = np.where(freedom > 0, freedom, math.nan)  # NaN where NumPy has it, too
    return np.sum(off * off, axis=axis, keepdims=keepdims) / freedom


def _nanstd(a: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """The root of the variance, with gradient 0 where it is 0, like np.std."""
    variance = _nanvar(a, axis, ddof=ddof, keepdims=keepdims)
    flat = variance == 0
    return np.where(flat, 0, np.sqrt(np.where(flat, 1, variance)))


rewrite(np.nansum, _without_nan(np.sum, 0))
rewrite(np.nanprod, _without_nan(np.prod, 1))
rewrite(np.nancumsum, _running_without_nan(np.cumsum, 0))
rewrite(np.nancumprod, _running_without_nan(np.cumprod, 1))
rewrite(np.nanmax, _extreme_without_nan(np.max, -math.inf))
rewrite(np.nanmin, _extreme_without_nan(np.min, math.inf))
rewrite(np.nanmean, _nanmean)
rewrite(np.nanvar, _nanvar)
rewrite(np.nanstd, _nanstd)

# running products: dy_k / dx_j is the product of the others up to k, which a recurrence gives
# without dividing by an x_j that may be 0


def _recurrence(a: Any, b: Any) -> Any:
    """y_0 = b_0 and y_j = b_j + a_j y_(j-1) along the last axis; a_0 is not used."""
    y = np.copy(b)
    for j in range(1, y.shape[-1]):
        y[..., j] += a[..., j] * y[..., j - 1]
    return y


def _shifted(x: Any, first: float) -> Any:
    """`first`, and then x without its last element."""
    return np.concatenate([np.full_like(x[..., :1], first), x[..., :-1]], axis=-1)


def _back(x: Any) -> Any:
    return np.flip(x, axis=-1)


def _recurrence_back(a: Any, g: Any) -> Any:
    """s_j = g_j + a_(j+1) s_(j+1), which is what every b_j adds to all later results."""
    return _back(recurrence(_shifted(_back(a), 0), _back(g)))


recurrence: Primitive = primitive(
    _recurrence,
    lambda g, y, a, _b: _recurrence_back(a, g) * _shifted(y, 0),
    lambda g, _y, a, _b: _recurrence_back(a, g),
    name="recurrence",
)


def _cumprod_rule(g: Any, y: Any, x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    if axis is None:
        rows, gradients, products = np.reshape(x, (-1,)), g, y
    else:
        rows, gradients, products = (np.moveaxis(part, axis, -1) for part in (x, g, y))
    moved = _shifted(products, 1) * _recurrence_back(rows, gradients)
    return np.reshape(moved, x.shape) if axis is None else np.moveaxis(moved, -1, axis)


defvjp(np.cumprod, _cumprod_rule)


def _cumulative(function: Any, first: float) -> Any:
    """np.cumulative_sum and np.cumulative_prod of the array API standard."""

    def written(
        x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Any:
        if axis is None and np.ndim(x) != 1:
            raise ValueError(f"an axis is needed for an array of shape {np.shape(x)}")
        along = 0 if axis is None else axis
        y = function(x, axis=along, dtype=dtype)
        if not include_initial:
            return y
        shape = [1 if i == along % y.ndim else n for i, n in enumerate(y.shape)]
        return np.concatenate([np.full_like(y, first, shape=shape), y], axis=along)

    return written


if hasattr(np, "cumulative_sum"):  # since NumPy 2.1
    rewrite(np.cumulative_sum, _cumulative(np.cumsum, 0))
    rewrite(np.cumulative_prod, _cumulative(np.cumprod, 1))

# covariances


def _cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None) -> Any:
    """The covariances of variables in the rows, from observations in the columns."""
    m = m.astype(np.float64) if hasattr(m, "astype") else np.asarray(m, float)  # as NumPy does
    variables = m if rowvar or m.ndim < 2 else np.transpose(m)
    variables = np.reshape(variables, (-1, variables.shape[-1]))
    if y is not None:
        more = y if rowvar or np.ndim(y) < 2 else np.transpose(y)
        variables = np.concatenate([variables, np.reshape(more, (-1, variables.shape[-1]))])
    lost = (0 if bias else 1) if ddof is None else ddof
    off = variables - np.mean(variables, axis=1, keepdims=True)
    return np.squeeze(np.matmul(off, np.transpose(off)) / (off.shape[1] - lost))


def _corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    covariance = np.cov(x, y, rowvar)
    if covariance.ndim == 0:
        return covariance / covariance
    deviation = np.sqrt(np.diagonal(covariance))
    return np.clip(covariance / np.expand_dims(deviation, 1) / deviation, -1, 1)


rewrite(np.cov, _cov)
rewrite(np.corrcoef, _corrcoef)
