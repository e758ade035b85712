"""Products of a matrix with many zeros, without these, by loops where Numba is loaded.

Half of the numbers of an image of clothes are zero, and four fifths of a digit's: the product with
the weights of the first layer, and their gradient, then take two thirds of the time or less. Numba
is not loaded for them: the numbers are NumPy's to the last bit, and so do not depend on what a
process did before. Only NumPy's warnings of numbers that are too large are not given.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import numpy as np

from tinygrad_fm import fast
from tinygrad_fm.rules import loops, nonzeros, zero_loops

Array = Any

FULLEST = 0.6  # share of numbers that are not zero: from there on it gains nothing
SELDOM = 16  # products of a shape, until it is asked again whether there are zeros
# To compile the loops takes 2.5 s, once on a machine, and they save 6 ns a thousand multiplications
# of a product: they would have paid for a fifth of it after so many, 6,000 steps of a perceptron.
WORTH = 80_000_000_000

_resting: dict[Any, int] = {}
_left: float | None = None  # multiplications until the loops are compiled


def multiply(a: Array, b: Array, out: Array) -> bool:
    """out = a @ b, for a in C or in F order; whether it was done.

    It is for products that NumPy's library makes by its kernels for small matrices, of which each
    sum is made in the order of its summands, as in the loops.
    """
    if "numba" not in sys.modules:
        return False
    kind = a.shape, b.shape[1], a.dtype.char
    rest = _resting.get(kind, 0)
    if rest:
        _resting[kind] = rest - 1
        return False
    turned = not a.flags.c_contiguous
    if _multiply(a.T if turned else a, b, out, turned):
        return True
    if len(_resting) >= 1000:
        _resting.clear()
    _resting[kind] = SELDOM
    return False


def _multiply(x: Array, b: Array, out: Array, turned: bool) -> bool:
    """out = x @ b, or x.T @ b."""
    at_a_time = nonzeros.COUNT * nonzeros.VECTOR // x.itemsize
    if b.shape[1] % at_a_time or not loops.are_plain(x, b, out):
        return False
    handled = np.geterr()
    if any(handled[kind] not in ("ignore", "warn") for kind in ("over", "under", "invalid")):
        return False  # somebody wants to hear of them
    if _left != 0 and not _is_time(x, b.shape[1]):
        return False
    do = _loops(x.dtype)
    return do is not None and bool((do.turned_times if turned else do.times)(x, b, out, FULLEST))


def _is_time(x: Array, columns: int) -> bool:
    """Whether the loops are on disk, or would have paid by now."""
    global _left
    if _left is None:
        at_once = fast.setting() == "1" or fast.is_kept(loops.text(zero_loops))
        _left = 0 if at_once else WORTH
    if np.count_nonzero(x[::SELDOM]) <= FULLEST * math.prod(x[::SELDOM].shape):
        _left = max(0, _left - (SELDOM + 1) * x.size * columns)
    return _left == 0


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
    draw = np.random.default_rng(0)
    x, w, g = (draw.standard_normal(shape) for shape in ((8, 600), (600, 128), (8, 128)))
    x[draw.random(x.shape) < 0.5] = 0
    x, w, g = (a.astype(dtype) for a in (x, w, g))
    y, total = np.empty_like(g), np.empty_like(w)
    done = do.times(x, w, y, 1.0) and do.turned_times(x, g, total, 1.0)
    return bool(done) and np.array_equal(y, x @ w) and np.array_equal(total, x.T @ g)
