"""The calculus of indexing: reading and adding at an index are each other's transposes.

An index is passed as separate arguments, one for each part, so that an array among them is an
argument of the graph like any other.
"""

from typing import Any

import numpy as np

from tinygrad_fm.engine import InPlace, Primitive, primitive, rewrite, sum_to


def _may_repeat(index: tuple[Any, ...]) -> bool:
    """Whether the index holds an array of integers, which can name an element more than once."""
    arrays = [np.asarray(part) if isinstance(part, (list, tuple)) else part for part in index]
    return any(getattr(part, "dtype", np.bool_) != np.bool_ and part.ndim for part in arrays)


def _rows(index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The numbers of the rows that the index names, which are as many as its arrays' elements.

    A row is what lies at a place of the first axes, those that have a part in the index. None where
    a part is no plain integer or array of integers.
    """
    for part in index:
        array = type(part) is np.ndarray and part.dtype.kind in "iu"
        if not array and not isinstance(part, (int, np.integer)):
            return None
    if len(index) == 1:
        rows = index[0].astype(np.intp).reshape(-1)
        return np.where(rows < 0, rows + shape[0], rows)
    places = np.broadcast_arrays(*index)
    return np.ravel(np.ravel_multi_index(places, shape[: len(index)], mode="wrap"))


def _add_rows(total: Any, rows: Any, g: Any) -> None:
    """Add `g` to the rows of a C-ordered array in their order, those named twice to both."""
    width = g.size // max(rows.size, 1)
    elements = rows[:, None] * width + np.arange(width) if width != 1 else rows
    # np.add.at takes a third of the time for one axis
    np.add.at(total.reshape(-1), elements.reshape(-1), g.reshape(-1))


def _scatter_add(g: Any, *index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape`, with `g` added at the index; an element named twice receives both."""
    total = np.zeros_like(g, shape=shape)
    if _may_repeat(index):
        rows = _rows(index, shape) if type(total) is np.ndarray else None
        if rows is not None and total.flags.c_contiguous:
            _add_rows(total, rows, g)
        else:
            np.add.at(total, index, g)
    else:
        total[index] = g  # slices, integers and masks name each element once: far faster
    return total


getitem: Primitive = primitive(
    lambda x, *index: x[index],
    lambda g, _y, _x, *index: scatter_add(g, *index, shape=_x.shape),
    name="getitem",
)
scatter_add: Primitive = primitive(
    _scatter_add,
    lambda g, _y, _x, *index, shape=(): getitem(g, *index),
    name="scatter_add",
)


def _add_at(total: Any, g: Any, _x: Any, *index: Any) -> None:
    """Add `g` to `total` at the index: what the rule of getitem gives, without its zeros."""
    if not _may_repeat(index):
        total[index] += g
        return
    # summed apart first, in the rule's order: the same bits as where the pass is recorded
    rows = _rows(index, total.shape)
    if rows is None:
        part = np.zeros_like(total)
        np.add.at(part, index, g)
        total += part
        return
    distinct, which = np.unique(rows, return_inverse=True)
    if distinct.size == rows.size:
        total[index] += g
        return
    part = np.zeros_like(g, shape=(distinct.size, *total.shape[len(index) :]), order="C")
    _add_rows(part, which, g)
    total[np.unravel_index(distinct, total.shape[: len(index)])] += part


def _clear_at(g: Any, _x: Any, _value: Any, *index: Any) -> None:
    """Zeros in `g` at the index: what the rule of set_at gives, without its copy."""
    g[index] = 0


def _set_at(x: Any, value: Any, *index: Any) -> Any:
    """A copy of `x` in which the index holds `value`."""
    changed = np.copy(x, order="K")
    changed[index] = value
    return changed


def _last_writes(g: Any, index: tuple[Any, ...]) -> Any:
    """`g` at the index, but zero where a later element of the same assignment wrote over it."""
    read = getitem(g, *index)
    if not _may_repeat(index):
        return read
    rows = _rows(index, g.shape)
    if rows is not None:
        distinct, last = np.unique(rows[::-1], return_index=True)
        if distinct.size == rows.size:
            return read
        lost = np.delete(np.arange(rows.size), rows.size - 1 - last)
        places = read.shape[: read.ndim - g.ndim + len(index)]
        return set_at(read, 0, *np.unravel_index(lost, places))
    number = np.reshape(np.cumsum(np.ones_like(read, dtype=np.int64)), read.shape)
    written = set_at(np.zeros_like(g, dtype=np.int64), number, *index)
    return np.where(getitem(written, *index) == number, read, 0)


set_at: Primitive = primitive(
    _set_at,
    lambda g, _y, _x, _value, *index: set_at(g, 0, *index),
    lambda g, _y, _x, _value, *index: sum_to(_last_writes(g, index), _value.shape),
    name="setitem",
)


def _take(a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    places = indices if hasattr(indices, "dtype") else np.asarray(indices)
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    length = np.shape(a)[axis]
    if mode == "wrap":
        places = np.remainder(places, length)
    elif mode == "clip":
        places = np.clip(places, 0, length - 1)
    return getitem(a, *before(axis, a), places)


def before(axis: int, a: Any) -> tuple[slice, ...]:
    """The index of the axes before an axis of `a`, all of them whole."""
    return (slice(None),) * (axis % np.ndim(a))


def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """In each row along the axis the elements at the row's own indices."""
    if axis is None:
        arr, axis = np.reshape(arr, (-1,)), 0
    return getitem(arr, *along_axis(np.shape(arr), indices, axis))


def along_axis(shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """The index of the elements that `indices` name in each row along an axis."""
    ndim = len(shape)
    if np.ndim(indices) != ndim:
        raise ValueError(
            f"indices along an axis have as many axes as the array: {np.shape(indices)} for {shape}"
        )
    return tuple(
        indices
        if i == axis % ndim
        else np.reshape(np.arange(n), [-1 if k == i else 1 for k in range(ndim)])
        for i, n in enumerate(shape)
    )


def _compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    if axis is None:
        a, axis = np.reshape(a, (-1,)), 0
    return getitem(a, *before(axis, a), np.flatnonzero(condition))


def _extract(condition: Any, arr: Any) -> Any:
    return getitem(np.reshape(arr, (-1,)), np.flatnonzero(condition))


def _delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    if axis is None:
        arr, axis = np.reshape(arr, (-1,)), 0
    places = obj if isinstance(obj, (int, slice)) else np.asarray(obj)  # refuses what is recorded
    return getitem(arr, *before(axis, arr), np.delete(np.arange(arr.shape[axis]), places))


def _resize(a: Any, new_shape: Any) -> Any:
    """The elements in their order, again and again, until the shape is full."""
    shape = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
    places = np.resize(np.arange(np.size(a)), shape)
    return getitem(np.reshape(a, (-1,)), places) if np.size(a) else np.zeros_like(a, shape=shape)


def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number occurs, or the sum of the weights at its places."""
    places = np.asarray(x)  # refuses a Tensor with a graph
    if weights is None:
        return np.bincount(places, minlength=minlength)
    length = max(minlength, int(places.max(initial=-1)) + 1)
    wide = weights.astype(np.float64) if hasattr(weights, "astype") else np.asarray(weights, float)
    return scatter_add(wide, places, shape=(length,))


rewrite(np.take, _take)
rewrite(np.take_along_axis, _take_along_axis)
rewrite(np.compress, _compress)
rewrite(np.extract, _extract)
rewrite(np.delete, _delete)
rewrite(np.resize, _resize)
rewrite(np.bincount, _bincount)


def _sliding_window_view(x: Any, window_shape: Any, axis: Any = None) -> Any:
    """All windows; a copy, where NumPy's is a view."""
    lengths = (window_shape,) if np.ndim(window_shape) == 0 else tuple(window_shape)
    axes = range(x.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else tuple(axis)
    if len(lengths) != len(axes):
        raise ValueError(f"a window of {lengths} does not fit {len(axes)} axes, {tuple(axes)}")
    for i, length in zip([i % x.ndim for i in axes], lengths, strict=True):
        count = x.shape[i] - length + 1
        if count < 1:
            raise ValueError(f"a window of {length} does not fit axis {i} of shape {x.shape}")
        places = np.arange(count)[:, None] + np.arange(length)
        x = np.moveaxis(getitem(x, *before(i, x), places), i + 1, -1)
    return x


rewrite(np.lib.stride_tricks.sliding_window_view, _sliding_window_view)

# for the first-order pass; a loop that reads or fills an array element by element needs them
getitem.in_place = InPlace(adds=_add_at)
set_at.in_place = InPlace(clears=_clear_at)
