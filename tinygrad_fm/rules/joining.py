"""The calculus of joining and cutting: the stack and split families, block, append, insert."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_fm.engine import defvjp, rewrite
from tinygrad_fm.rules.indexing import before, getitem

# at least so many axes


def _at_least_1d(x: Any) -> Any:
    return np.reshape(x, (1,)) if np.ndim(x) == 0 else x


def _at_least_2d(x: Any) -> Any:
    return np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x


def _at_least_3d(x: Any) -> Any:
    if np.ndim(x) < 2:
        return np.reshape(x, (1, -1, 1))
    return np.expand_dims(x, -1) if np.ndim(x) == 2 else x


def _each(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """One array gives an array, several give a tuple."""
    return lambda *arys: function(arys[0]) if len(arys) == 1 else tuple(map(function, arys))


rewrite(np.atleast_1d, _each(_at_least_1d))
rewrite(np.atleast_2d, _each(_at_least_2d))
rewrite(np.atleast_3d, _each(_at_least_3d))

# stacking


def _vstack(tup: Sequence[Any], *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    rows = [_at_least_2d(a) for a in tup]
    return np.concatenate(rows, axis=0, dtype=dtype, casting=casting)


def _hstack(tup: Sequence[Any], *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    parts = [_at_least_1d(a) for a in tup]
    axis = 0 if np.ndim(parts[0]) == 1 else 1
    return np.concatenate(parts, axis=axis, dtype=dtype, casting=casting)


def _column_stack(tup: Sequence[Any]) -> Any:
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)) for a in tup], axis=1)


def _block(arrays: Any) -> Any:
    """Nested lists of blocks: the innermost are joined along the last axis."""
    depth = _depth(arrays)
    ndim = max(depth, *(np.ndim(a) for a in _leaves(arrays)))

    def join(part: Any, level: int) -> Any:
        if isinstance(part, list):
            return np.concatenate([join(p, level - 1) for p in part], axis=-level)
        return np.reshape(part, (1,) * (ndim - np.ndim(part)) + np.shape(part))

    return join(arrays, depth)


def _depth(arrays: Any) -> int:
    return 1 + _depth(arrays[0]) if isinstance(arrays, list) else 0


def _leaves(arrays: Any) -> list[Any]:
    if not isinstance(arrays, list):
        return [arrays]
    return [leaf for part in arrays for leaf in _leaves(part)]


rewrite(np.vstack, _vstack)
rewrite(np.hstack, _hstack)
rewrite(np.dstack, lambda tup: np.concatenate([_at_least_3d(a) for a in tup], axis=2))
rewrite(np.column_stack, _column_stack)
rewrite(np.block, _block)

# cutting


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    length = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ValueError(f"an array is split into 1 section or more, not {sections}")
        small, larger = divmod(length, sections)
        sizes = [small + 1] * larger + [small] * (sections - larger)
        ends = np.cumsum(sizes).tolist()[:-1]
    else:
        ends = list(indices_or_sections)
    starts = [0, *ends]
    return [
        getitem(ary, *before(axis, ary), slice(start, end))
        for start, end in zip(starts, [*ends, length], strict=True)
    ]


def _hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return np.split(ary, indices_or_sections, axis=1 if np.ndim(ary) > 1 else 0)


def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    return tuple(getitem(x, *before(axis, x), i) for i in range(x.shape[axis]))


rewrite(np.array_split, _array_split)
rewrite(np.hsplit, _hsplit)
rewrite(np.vsplit, lambda ary, indices_or_sections: np.split(ary, indices_or_sections, axis=0))
rewrite(np.dsplit, lambda ary, indices_or_sections: np.split(ary, indices_or_sections, axis=2))
if hasattr(np, "unstack"):  # since NumPy 2.1
    rewrite(np.unstack, _unstack)

# putting in


def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    if axis is None:
        return np.concatenate([np.reshape(arr, (-1,)), np.reshape(values, (-1,))])
    return np.concatenate([arr, values], axis=axis)


def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array and the values behind one another, put into their order by an index."""
    if axis is None:
        arr, axis = np.reshape(arr, (-1,)), 0
    axis %= np.ndim(arr)
    lengths = list(np.shape(arr))
    number = lengths[axis]
    values = values if hasattr(values, "shape") else np.asarray(values)
    values = values if values.dtype == arr.dtype else values.astype(arr.dtype)  # as NumPy does
    values = np.reshape(values, (1,) * (np.ndim(arr) - np.ndim(values)) + np.shape(values))
    if isinstance(obj, slice):
        obj = np.arange(number)[obj]
    places = np.asarray(obj)
    if places.dtype == bool:
        places = np.flatnonzero(places)
    if places.ndim == 0:
        values = np.moveaxis(values, 0, axis)  # NumPy takes one place's values so
    lengths[axis] = np.shape(values)[axis] if places.size == 1 else places.size
    values = np.broadcast_to(values, lengths)
    mixed = np.insert(np.arange(number), places, number + np.arange(lengths[axis]))
    joined = np.concatenate([arr, values], axis=axis)
    return getitem(joined, *before(axis, joined), mixed)


rewrite(np.append, _append)
rewrite(np.insert, _insert)

# turning


def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = axis % a.ndim, start + a.ndim if start < 0 else start
    return np.moveaxis(a, axis, start - 1 if axis < start else start)


def _broadcast_arrays(*args: Any) -> Any:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(a, shape) for a in args)


defvjp(np.rot90, lambda g, _y, _m, k=1, axes=(0, 1): np.rot90(g, -k, axes))


def _apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of sequences, called for each row along the axis."""
    rows = np.moveaxis(arr, axis, -1)
    free = rows.shape[:-1]
    results = [
        np.asarray(r) if not hasattr(r, "shape") else r
        for r in (func1d(rows[i], *args, **kwargs) for i in np.ndindex(*free))
    ]
    stacked = np.reshape(np.stack(results), free + results[0].shape)
    places = range(len(free), stacked.ndim)
    return np.moveaxis(
        stacked, tuple(places), tuple(axis % arr.ndim + i for i in range(len(places)))
    )


def _apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """A reduction, along one axis after another, each kept as an axis of length 1."""
    for axis in (axes,) if np.ndim(axes) == 0 else axes:
        reduced = func(a, axis)
        a = reduced if reduced.ndim == a.ndim else np.expand_dims(reduced, axis)
    return a


rewrite(np.apply_along_axis, _apply_along_axis)
rewrite(np.apply_over_axes, _apply_over_axes)
rewrite(np.fliplr, lambda m: np.flip(m, 1))
rewrite(np.flipud, lambda m: np.flip(m, 0))


def _rolled_by_half(x: Any, axes: Any, sign: int) -> Any:
    """np.fft.fftshift and its inverse, which for odd lengths are not the same."""
    along = tuple(range(x.ndim)) if axes is None else (axes,) if np.ndim(axes) == 0 else tuple(axes)
    return np.roll(x, tuple(sign * (x.shape[i] // 2) for i in along), axis=along)


rewrite(np.fft.fftshift, lambda x, axes=None: _rolled_by_half(x, axes, 1))
rewrite(np.fft.ifftshift, lambda x, axes=None: _rolled_by_half(x, axes, -1))
rewrite(np.rollaxis, _rollaxis)
rewrite(np.broadcast_arrays, _broadcast_arrays)
rewrite(np.matrix_transpose, lambda x, /: np.swapaxes(x, -1, -2))
rewrite(np.linalg.matrix_transpose, lambda x, /: np.swapaxes(x, -1, -2))
