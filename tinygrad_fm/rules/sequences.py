"""The calculus of sequences: differences, gradients on a grid, integrals, filters, polynomials."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, primitive, rewrite
from tinygrad_fm.rules.indexing import before, getitem


def _along(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """A slice along an axis."""
    return getitem(x, *before(axis, x), slice(start, stop))


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if n < 0:
        raise ValueError(f"diff takes an order of 0 or more, not {n}")
    if prepend is not None or append is not None:
        edge = tuple(1 if i == axis % a.ndim else length for i, length in enumerate(a.shape))
        parts = [p if p is a else _edge(p, a, edge) for p in (prepend, a, append) if p is not None]
        a = np.concatenate(parts, axis=axis)
    for _ in range(n):
        a = _along(a, axis, 1, None) - _along(a, axis, None, -1)
    return a


def _edge(value: Any, a: Any, shape: tuple[int, ...]) -> Any:
    """What stands at an edge: a number becomes an array of `shape`, in its own dtype."""
    if isinstance(value, (int, float)):
        return np.full_like(a, value, shape=shape, dtype=type(value))
    return np.broadcast_to(value, shape) if np.ndim(value) == 0 else value


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    steps = np.diff(np.reshape(ary, (-1,)))
    parts = [to_begin, steps, to_end]
    parts = [p if hasattr(p, "dtype") else np.asarray(p) for p in parts if p is not None]
    return np.concatenate([np.reshape(p, (-1,)) for p in parts], dtype=steps.dtype)


def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """np.gradient: central differences within, one-sided ones at the edges, along each axis."""
    if edge_order not in (1, 2):
        raise ValueError(f"gradient takes edge_order 1 or 2, not {edge_order}")
    axes = range(f.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    spacings = varargs or (1.0,)
    if len(spacings) == 1:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise TypeError(
            f"gradient takes a spacing for each of {len(axes)} axes, not {len(varargs)}"
        )
    slopes = tuple(
        _slope(f, i % f.ndim, h, edge_order) for i, h in zip(axes, spacings, strict=True)
    )
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    """The derivative along one axis, from the distance of the points or from where they are."""
    count = f.shape[axis]
    if count < edge_order + 1:
        raise ValueError(
            f"gradient needs {edge_order + 1} points or more along axis {axis}, not {count}"
        )
    if np.ndim(spacing) == 0:
        step = _number(spacing)
        left = right = first = second = last = before_last = step
    else:
        points = spacing if hasattr(spacing, "dtype") else np.asarray(spacing, float)
        if np.shape(points) != (count,):
            raise ValueError(f"gradient takes {count} points along axis {axis}: {points.shape}")
        steps = np.reshape(
            np.diff(points if points.dtype == f.dtype else points.astype(f.dtype)),
            [-1 if i == axis else 1 for i in range(f.ndim)],
        )
        left, right = _along(steps, axis, None, -1), _along(steps, axis, 1, None)
        first, second = _along(steps, axis, None, 1), _along(steps, axis, 1, 2)
        last, before_last = _along(steps, axis, -1, None), _along(steps, axis, -2, -1)
    a, b, c = _along(f, axis, None, -2), _along(f, axis, 1, -1), _along(f, axis, 2, None)
    inner = ((b - a) * (right / left) + (c - b) * (left / right)) / (left + right)
    f_0, f_1, f_2 = (_along(f, axis, i, i + 1) for i in range(3))
    e_0, e_1, e_2 = (_along(f, axis, -1 - i, -i or None) for i in range(3))
    start, end = (f_1 - f_0) / first, (e_0 - e_1) / last
    if edge_order == 2:
        start = start + (start - (f_2 - f_1) / second) * (first / (first + second))
        end = end + (end - (e_1 - e_2) / before_last) * (last / (last + before_last))
    return np.concatenate([start, inner, end], axis=axis)


def _number(spacing: Any) -> Any:
    """A NumPy number as a Python one, which leaves float32 alone."""
    return spacing.item() if isinstance(spacing, (np.generic, np.ndarray)) else spacing


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = y if hasattr(y, "shape") else np.asarray(y)
    means = (_along(y, axis, 1, None) + _along(y, axis, None, -1)) / 2
    if x is None:
        widths = dx
    elif np.ndim(x) == 1:
        widths = np.reshape(np.diff(x), [-1 if i == axis % y.ndim else 1 for i in range(y.ndim)])
    else:
        widths = np.diff(x, axis=axis)
    return np.sum(widths * means, axis=axis)


rewrite(np.diff, _diff)
rewrite(np.ediff1d, _ediff1d)
rewrite(np.gradient, _gradient)
rewrite(np.trapezoid, _trapezoid)

# filters: the full convolution and the valid correlation are each other's transposes

convolve: Primitive = primitive(
    lambda a, v: np.convolve(a, v, "full"),
    lambda g, _y, _a, v: correlate(g, v),
    lambda g, _y, a, _v: correlate(g, a),
    name="convolve",
)
correlate: Primitive = primitive(  # of a sequence with one that is no longer
    lambda a, v: np.correlate(a, v, "valid"),
    lambda g, _y, _a, v: convolve(g, v),
    lambda g, _y, a, _v: correlate(a, g),
    name="correlate",
)


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    longer, shorter = sorted((np.size(a), np.size(v)), reverse=True)
    if not shorter or np.ndim(a) > 1 or np.ndim(v) > 1:
        raise ValueError(f"convolve takes two sequences, not {np.shape(a)} and {np.shape(v)}")
    full = convolve(np.reshape(a, (-1,)), np.reshape(v, (-1,)))
    if mode == "full":
        return full
    if mode not in ("same", "valid"):
        raise ValueError(f"the mode is 'full', 'same' or 'valid', not {mode!r}")
    length = longer if mode == "same" else longer - shorter + 1
    start = (np.size(full) - length) // 2
    return full[start : start + length]


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    if np.size(a) >= np.size(v) or mode == "full":
        return _convolve(a, np.flip(v), mode)
    return np.flip(_convolve(v, np.flip(a), mode))  # NumPy exchanges them, too


rewrite(np.convolve, _convolve)
rewrite(np.correlate, _correlate)


def _interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None
) -> Any:
    """Piecewise linear interpolation, in float64 as NumPy's, with a gradient for x, xp and fp."""
    x, xp, fp = (_as_float64(part) for part in (x, xp, fp))
    if period is not None:
        left = right = None
        xp = np.remainder(xp, period)
        order = np.argsort(xp)
        xp, fp, x = getitem(xp, order), getitem(fp, order), np.remainder(x, period)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    count = np.size(xp)
    if count == 1:
        inside = np.broadcast_to(fp[0], np.shape(x))
    else:
        low = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, count - 2)
        x_low, x_high = getitem(xp, low), getitem(xp, low + 1)
        f_low, f_high = getitem(fp, low), getitem(fp, low + 1)
        inside = f_low + (x - x_low) * ((f_high - f_low) / (x_high - x_low))
    below = fp[0] if left is None else left
    above = fp[-1] if right is None else right
    return np.where(x < xp[0], below, np.where(x > xp[-1], above, inside))


def _as_float64(part: Any) -> Any:
    part = part if hasattr(part, "dtype") else np.asarray(part)
    return part if part.dtype == np.float64 else part.astype(np.float64)


def _polyval(p: Any, x: Any) -> Any:
    """The polynomial with coefficients p, highest power first, by Horner's rule."""
    y = np.zeros_like(x)
    for coefficient in p if hasattr(p, "dtype") else np.asarray(p):
        y = y * x + coefficient
    return y


def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each x, highest first unless increasing."""
    count = np.size(x) if N is None else N
    x = x.astype(np.promote_types(x.dtype, int))  # as NumPy does
    powers: list[Any] = [np.ones_like(x)]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return np.stack(powers[:count] if increasing else powers[:count][::-1], axis=-1)


def _linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, axis: int = 0) -> Any:
    """Numbers from start to stop in equal steps."""
    like = start if hasattr(start, "dtype") else stop
    steps = max(num - 1 if endpoint else num, 1)
    ndim = len(np.broadcast_shapes(np.shape(start), np.shape(stop)))
    count = np.cumsum(np.ones_like(like, shape=(num,))) - 1
    share = np.reshape(count / steps, (num,) + (1,) * ndim)
    return np.moveaxis(start + share * (stop - start), 0, axis)


def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, *, axis: int = 0
) -> Any:
    return base ** np.linspace(start, stop, num, endpoint, axis=axis)


rewrite(np.logspace, _logspace)
rewrite(np.interp, _interp)
rewrite(np.polyval, _polyval)
rewrite(np.vander, _vander)
rewrite(np.linspace, _linspace)


def _meshgrid(*xi: Any, indexing: str = "xy", sparse: bool = False, copy: bool = True) -> Any:
    """Coordinate arrays from coordinate vectors."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing is 'xy' or 'ij', not {indexing!r}")
    order = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        order[:2] = [1, 0]
    grids: Sequence[Any] = [
        np.reshape(x, [-1 if i == place else 1 for i in range(len(xi))])
        for x, place in zip(xi, order, strict=True)
    ]
    if not sparse:
        shape = np.broadcast_shapes(*(g.shape for g in grids))
        grids = [np.broadcast_to(g, shape) for g in grids]
    return tuple(grids)


rewrite(np.meshgrid, _meshgrid)
