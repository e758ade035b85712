"""NumPy's functions that write into their first argument: each is an assignment at an index.

Assigning to a Tensor is recorded; these therefore have no rules of their own.
"""

from typing import Any

import numpy as np

from tinygrad_fm.engine import rewrite
from tinygrad_fm.rules.indexing import along_axis


def _fill_diagonal(a: Any, val: Any) -> None:
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise ValueError(
            f"fill_diagonal takes a matrix, or more axes of one length, not shape {a.shape}"
        )
    places = np.arange(min(a.shape))
    a[(places,) * a.ndim] = val if np.ndim(val) == 0 else np.resize(val, places.shape)


def _put(a: Any, ind: Any, v: Any) -> None:
    """At places counted in reading order, values that are repeated as needed."""
    places = np.asarray(ind)
    a[np.unravel_index(places.ravel() % a.size, a.shape)] = np.resize(v, (places.size,))


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int) -> None:
    arr[along_axis(np.shape(arr), indices, axis)] = values


def _putmask(a: Any, mask: Any, values: Any) -> None:
    """Where the mask is true, the value at the same place."""
    a[...] = np.where(mask, values if np.ndim(values) == 0 else np.resize(values, a.shape), a)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    """Where the mask is true, one value after another."""
    places = np.flatnonzero(mask)
    arr[np.unravel_index(places, arr.shape)] = np.resize(vals, places.shape)


def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    if hasattr(src, "dtype") and not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError(f"cannot copy {src.dtype} to {dst.dtype} by the rule {casting!r}")
    dst[...] = src if where is True else np.where(where, src, dst)


rewrite(np.fill_diagonal, _fill_diagonal)
rewrite(np.put, _put)
rewrite(np.put_along_axis, _put_along_axis)
rewrite(np.putmask, _putmask)
rewrite(np.place, _place)
rewrite(np.copyto, _copyto)
