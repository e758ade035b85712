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

from tinygrad_fm import fast, threads
from tinygrad_fm.rules import loops, nonzeros, zero_loops

Array = Any

FULLEST = 0.6  # share of numbers that are not zero: from there on it gains nothing
SELDOM = 32  # products of a kind that are NumPy's after one for which the loops were refused
MOST_KINDS = 1000
ROWS = 32  # of so many one is looked at, before the loops are compiled
# To compile the loops takes 2.5 s, once on a machine, and they save 3 to 5 ns a thousand
# multiplications. After so many, 6,000 steps of a small perceptron, they would have saved a tenth.
WORTH = 80_000_000_000

# How long the stretches are at most in which OpenBLAS makes sums where its threads share them.
LONGEST = {np.dtype("f4"): 448, np.dtype("f8"): 384}

_cut_alike: dict[Any, bool] = {}  # by kind of product, see _is_cut_alike
_resting: dict[Any, int] = {}  # by kind of product, how many more are NumPy's
_left: dict[Any, float] = {}  # by dtype, multiplications until the loops are compiled


def multiply(a: Array, b: Array, out: Array) -> bool:
    """out = a @ b, for a in C or in F order; whether it was done.

    It is for products that NumPy's library makes by its kernels for small matrices, of which each
    sum is made in the order of its summands, as in the loops; it has another one for one row.

    Args:
        out: memory of its own, which overlaps with neither a nor b.
    """
    return _multiply(a, b, out, None)


def multiply_for_two(a: Array, b: Array, out: Array) -> bool:
    """The same with the bits of two threads of the library, which would share the product.

    They cut the sums, and so do the loops. Where they do not agree on a drawn product of this kind,
    or another number of threads is at work, it is left to the library.
    """
    kind = a.shape, b.shape, a.dtype, a.flags.c_contiguous
    alike = _cut_alike.get(kind)
    if alike is False or threads.is_one_each_anywhere():
        return False
    if not _multiply(a, b, out, LONGEST.get(a.dtype)):
        return False
    if alike is None:
        if threads.count() != 2:
            return False
        alike = _is_cut_alike(a, b)
        _keep(_cut_alike, kind, alike)
    return alike


def _is_cut_alike(a: Array, b: Array) -> bool:
    """Whether the loops make the very numbers of the library for matrices of these shapes."""
    draw = np.random.default_rng(0)
    turned = not a.flags.c_contiguous
    x, w = (draw.standard_normal(m.shape).astype(a.dtype) for m in (a.T if turned else a, b))
    x[draw.random(x.shape) < 0.5] = 0
    out = np.empty((len(a), b.shape[1]), a.dtype)
    found = _without_zeros(x, w, out, turned, LONGEST[a.dtype])
    return found >= 0 and np.array_equal(out, np.dot(x.T if turned else x, w))


def _multiply(a: Array, b: Array, out: Array, longest: int | None) -> bool:
    """The same with sums of stretches that are at most so long."""
    if not fast.is_loaded() or len(a) == 1:
        return False
    kind = a.shape, b.shape
    rest = _resting.get(kind, 0)
    if rest:
        _resting[kind] = rest - 1
        return False
    turned = not a.flags.c_contiguous
    x = a.T if turned else a
    found = _without_zeros(x, b, out, turned, longest)
    if not 0 <= found <= FULLEST * x.size:
        _keep(_resting, kind, SELDOM)
    return found >= 0


def _keep(what: dict[Any, Any], kind: Any, value: Any) -> None:
    if len(what) >= MOST_KINDS:
        what.clear()
    what[kind] = value


def _without_zeros(x: Array, b: Array, out: Array, turned: bool, longest: int | None) -> int:
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
    do, cut = _loops(x.dtype), _stretches(inner, longest or inner)
    if do is None or (turned and len(cut) > 1):
        return -1
    if turned:
        return int(do.turned_times(x, b, out, FULLEST))
    found = start = 0
    for long in cut:
        sums = np.empty_like(out) if start else out
        some = do.times(x, start, b[start : start + long], sums, FULLEST)
        if some < 0:
            return -1
        if start:
            np.add(out, sums, out=out)
        found += some
        start += long
    return found


@functools.lru_cache(maxsize=256)
def _stretches(inner: int, longest: int) -> list[int]:
    """How OpenBLAS cuts sums: the last two stretches are of about one length."""
    if inner <= longest:
        return [inner]
    long = longest if inner >= 2 * longest else -(-inner // 2)
    return [long, *_stretches(inner - long, longest)]


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
    start, fullest = ("int64", 0, "C", True), ("float64", 0, "C", True)
    return {
        "times": (read, start, read, made, fullest),
        "turned_times": (read, read, made, fullest),
    }


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
    found = {do.times(x, 0, w, y, 1.0), do.turned_times(x, g, total, 1.0)}
    right = np.array_equal(y, x @ w) and np.array_equal(total, x.T @ g)
    return right and found == {np.count_nonzero(x)}
