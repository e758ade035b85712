"""Products of a matrix with many zeros, without these, by loops where Numba is loaded.

Half of the numbers of an image of clothes are zero, and four fifths of a digit's: the product with
the weights of the first layer, and their gradient, then take 0.7 to 0.9 of the time, or half of it.
Numba is not loaded for them: the numbers are NumPy's to the last bit, and so do not depend on what
a process did before. Only the sign of a zero may be another, where a sum underflows, and NumPy's
warnings of numbers that are too large are not given.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinygrad_fm import fast
from tinygrad_fm.rules import loops, nonzeros, zero_loops

Array = Any

FULLEST = 0.6  # share of numbers that are not zero: from there on it gains nothing
SELDOM = 32  # products of a kind that are NumPy's after one for which the loops were refused
MOST_KINDS = 1000
ROWS = 32  # of so many one is looked at, before the loops are compiled
# To compile the loops takes 2.5 s, once on a machine, and they save 3 to 5 ns a thousand
# multiplications. After so many, 6,000 steps of a small perceptron, they would have saved a tenth.
WORTH = 80_000_000_000

_resting: dict[Any, int] = {}  # by kind of product, how many more are NumPy's
_left: dict[Any, float] = {}  # by dtype, multiplications until the loops are compiled


def multiply(a: Array, b: Array, out: Array) -> bool:
    """out = a @ b, for a in C or in F order; whether it was done.

    It is for products that NumPy's library makes by its kernels for small matrices, of which each
    sum is made in the order of its summands, as in the loops; it has another one for one row.

    Args:
        out: memory of its own, which overlaps with neither a nor b.
    """
    if not fast.is_loaded() or len(a) == 1:
        return False
    kind = a.shape, b.shape
    rest = _resting.get(kind, 0)
    if rest:
        _resting[kind] = rest - 1
        return False
    turned = not a.flags.c_contiguous
    x = a.T if turned else a
    found = _multiply(x, b, out, turned)
    if not 0 <= found <= FULLEST * x.size:
        if len(_resting) >= MOST_KINDS:
            _resting.clear()
        _resting[kind] = SELDOM
    return found >= 0


def _multiply(x: Array, b: Array, out: Array, turned: bool) -> int:
    """out = x @ b, or x.T @ b; how many numbers of x are not zero, or -1 if it was not done."""
    columns, inner = b.shape[1], x.shape[not turned]
    at_a_time = nonzeros.COUNT * nonzeros.VECTOR // x.itemsize
    if columns % at_a_time or not loops.are_plain(x, b, out) or not out.flags.writeable:
        return -1
    if not inner or len(b) != inner or out.shape != (x.shape[turned], columns):
        return -1
    handled = np.geterr()
    if any(handled[kind] not in ("ignore", "warn") for kind in ("over", "under", "invalid")):
        return -1  # somebody wants to hear of them
    if not loops.there_are(x.dtype) or not _is_time(x, columns):
        return -1
    do = _loops(x.dtype)
    return -1 if do is None else (do.turned_times if turned else do.times)(x, b, out, FULLEST)


def _is_time(x: Array, columns: int) -> bool:
    """Whether the loops are on disk, or would have paid by now."""
    left = _left.get(x.dtype)
    if left is None:
        at_once = fast.setting() == "1" or loops.is_kept(zero_loops, x.dtype)
        left = _left[x.dtype] = 0 if at_once else WORTH
    sample = x[::ROWS]
    if left and np.count_nonzero(sample) <= FULLEST * sample.size:
        # this one stands for those that will be NumPy's now
        left = _left[x.dtype] = max(0, left - (SELDOM + 1) * x.size * columns)
    return left == 0


def _signatures(dtype: str) -> dict[str, fast.Arguments]:
    read, made = (dtype, 2, "C", True), (dtype, 2, "C", False)
    arguments = read, read, made, ("float64", 0, "C", True)
    return {"times": arguments, "turned_times": arguments}


@functools.cache
def _loops(dtype: Any) -> Any:
    """None where there are none, or their numbers are not those of NumPy's library."""
    if not loops.there_are(dtype):
        return None
    do = loops.compiled(zero_loops, dtype, _signatures, "products with zeros")
    return do if do is not None and _agrees(do, dtype) else None


def _agrees(do: Any, dtype: Any) -> bool:
    """Whether the loops make the very numbers of a product that is small enough."""
    draw = np.random.default_rng(0)
    x, w, g = (draw.standard_normal(shape) for shape in ((8, 600), (600, 128), (8, 128)))
    x[draw.random(x.shape) < 0.5] = 0
    x, w, g = (a.astype(dtype) for a in (x, w, g))
    y, total = np.empty_like(g), np.empty_like(w)
    found = {do.times(x, w, y, 1.0), do.turned_times(x, g, total, 1.0)}
    right = np.array_equal(y, x @ w) and np.array_equal(total, x.T @ g)
    return right and found == {np.count_nonzero(x)}
