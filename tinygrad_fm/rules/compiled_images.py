"""Pooling's gradient, and copies into another order, by loops where Numba is loaded.

Numba is not loaded for them: the numbers are NumPy's to the last bit, and so do not depend on what
a process did before. Only NumPy's warnings of invalid products are not given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads, workers
from tinygrad_fm.rules import image_loops, loops

Array = Any
Pair = tuple[int, int]

LARGE = 1 << 16  # numbers from which on it is worth to ask for loops
WORTH = 1 << 19  # numbers of an image that are worth a thread of their own
FEW = 64  # rows that are copied one by one into the columns of a matrix


def _signatures(dtype: str) -> dict[str, fast.Arguments]:
    read, made, whole = (dtype, 1, "C", True), (dtype, 1, "C", False), ("int64", 0, "C", True)
    return {
        "unpool": (read, read, read, made, (whole,) * 2, whole, whole, (whole,) * 2),
        "transposed": (read, whole, whole, made),
    }


def _loops(array: Array) -> Any:
    """None where there are none for such an array."""
    if not fast.is_loaded() or type(array) is not np.ndarray or array.size < LARGE:
        return None
    if not loops.there_are(array.dtype):
        return None
    return loops.compiled(image_loops, array.dtype, _signatures, "pooling and copies")


def unpool(g: Array, x: Array, y: Array, kernel: Pair, total: Array) -> bool:
    """See windows.unpool, of windows that lie side by side; whether it was done."""
    if np.geterr()["invalid"] not in ("ignore", "warn"):
        return False  # somebody wants to hear of them
    do = _loops(x)
    arrays = [a.transpose(2, 3, 0, 1) for a in (g, x, y, total)] if do is not None else []
    if not arrays or not loops.are_plain(*arrays):
        return False
    high, across, *columns = arrays[0].shape
    given = *(a.reshape(-1) for a in arrays), kernel, across, math.prod(columns)
    parts = threads.spans(high, threads.several(x.size, WORTH))
    return workers.share([[(do.unpool, (*given, (s.start, s.stop)))] for s in parts])


def copyto(out: Array, x: Array) -> None:
    """np.copyto, of arrays of one shape and dtype; faster where x is `out` transposed.

    That is: where the first axes of `out` are the last ones in the memory of x, as where images of
    a convolution are taken as rows of numbers. NumPy reads such an x in strides.
    """
    whole = type(x) is type(out) is np.ndarray and out.flags.c_contiguous and x.dtype == out.dtype
    another = whole and not x.flags.c_contiguous and not np.may_share_memory(x, out)
    for k in range(1, x.ndim) if another and x.size >= LARGE else ():
        there = x.transpose((*range(k, x.ndim), *range(k)))
        if there.flags.c_contiguous:
            _transpose(there.reshape(math.prod(x.shape[k:]), -1), out)
            return
    np.copyto(out, x)


def _transpose(matrix: Array, out: Array) -> None:
    rows, columns = matrix.shape
    do = _loops(matrix)
    if do is not None:
        do.transposed(matrix.reshape(-1), rows, columns, out.reshape(-1))
    elif rows <= FEW:
        for column, row in zip(out.reshape(columns, rows).T, matrix, strict=True):
            column[...] = row
    else:
        np.copyto(out.reshape(columns, rows), matrix.T)
