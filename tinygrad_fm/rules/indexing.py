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


def _scatter_add(g: Any, *index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape`, with `g` added at the index; an element named twice receives both."""
    total = np.zeros_like(g, shape=shape)
    if _may_repeat(index):
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
    if _may_repeat(index):
        np.add.at(total, index, g)
    else:
        total[index] += g


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
    number = np.reshape(np.cumsum(np.ones_like(read, dtype=np.int64)), read.shape)
    written = set_at(np.zeros_like(g, dtype=np.int64), number, *index)
    return np.where(getitem(written, *index) == number, read, 0)


set_at: Primitive = primitive(
    _set_at,
    lambda g, _y, _x, _value, *index: set_at(g, 0, *index),
    lambda g, _y, _x, _value, *index: sum_to(_last_writes(g, index), _value.shape),
    name="setitem",
)


def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    places = indices if hasattr(indices, "dtype") else np.asarray(indices)
    if axis is None:
        return getitem(np.reshape(a, (-1,)), places)
    return getitem(a, *(slice(None),) * (axis % a.ndim), places)


rewrite(np.take, _take)

# for the first-order pass; a loop that reads or fills an array element by element needs them
getitem.in_place = InPlace(adds=_add_at)
set_at.in_place = InPlace(clears=_clear_at)
