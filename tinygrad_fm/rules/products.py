"""Products of matrices, in pieces where the matrix library is faster with small ones.

OpenBLAS copies the matrices of a product into the order that its kernels read, which at the batch
sizes of training takes about as long as to multiply. For up to MOST multiplications it has kernels
that read matrices where they lie, on processors with AVX-512. A larger product is therefore made in
pieces of the result of at most that size, each with all of the sum. On an AMD EPYC that takes 0.5
to 0.9 times as long for 32 images and layers of 128 to 1,024 units, and half as long for the
transforms of convolutions, whose matrices have few rows. Where the left matrix has many zeros, it
is made without these: see `zeros`.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules import zeros

Array = Any

MOST = 100**3  # multiplications
# From SHARED on its threads share a product, but for those of the kernels for small matrices. Where
# there are two, and the left matrix has many zeros, one alone takes as long without these, up to
# FEW, and on a busy machine half as long: the threads of a small product wait for one another.
SHARED, FEW = 2**18, 2**23
# Results of a piece where the right matrix is transposed, and how long the sums are at least: of
# others OpenBLAS copies the matrices again.
MOST_TRANSPOSED, SHORTEST = 1200, 64
# Columns of pieces: as many as possible, but pieces that are wider than WIDE have all rows.
WIDTHS, WIDE = (2048, 128, 64, 32), 128
LEAST, REGISTER = 8, 16  # rows, and columns, of which a piece has at least so many
# Pieces of some of the rows read the right matrix again and again. So many bytes of it are in the
# cache then, or more for few rows; and so long may sums be where the left one is transposed.
OFTEN, FEW_ROWS, SOMETIMES, LONGEST = 1 << 20, 128, 1 << 22, 256


def multiply(a: Array, b: Array, *, out: Array | None = None, **keywords: Any) -> Array:
    """a @ b, as `np.matmul` means it.

    Of a column times a row, np.dot takes a sixth of the time of np.matmul. Of matrices of two
    dtypes, or out of order, it makes other numbers in the last digit: program.calls asks the same
    of the arrays of a trace, and the two must agree.
    """
    alike = (
        not keywords
        and type(a) is type(b) is np.ndarray
        and a.ndim == b.ndim == 2
        and a.dtype == b.dtype
        and a.dtype.isnative
        and a.flags.forc
        and b.flags.forc
    )
    if not alike:
        return np.matmul(a, b, out=out, **keywords)
    if a.size * b.shape[1] > SHARED and a.shape[1] == len(b):
        turned = not a.flags.c_contiguous, not b.flags.c_contiguous
        function, cut = way(a.shape, b.shape, turned, a.dtype)
        if out is None:
            return function(a, b, *cut)
        if cut:
            return in_pieces(a, b, *cut, out=out)  # which may be anybody's
    return np.dot(a, b, out=out)


def multiply_large(
    a: Array, b: Array, rows: int, columns: int, *, out: Array | None = None
) -> Array:
    """a @ b of two matrices: without the zeros of a, where these are many, or else in pieces.

    Args:
        rows, columns: of the pieces.
        out: memory of its own, which overlaps with neither a nor b.
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), a.dtype)
    return out if zeros.multiply(a, b, out) else in_pieces(a, b, rows, columns, out=out)


def multiply_for_two(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """a @ b, which two threads would share: without the zeros of a, where these are many.

    Args:
        out: as for `multiply_large`.
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), a.dtype)
    return out if zeros.multiply_for_two(a, b, out) else np.dot(a, b, out=out)


def batched(a: Array, b: Array, out: Array | None = None) -> Array:
    """np.matmul of arrays of matrices; whichever threads the library has, the pieces are the same.

    It is for those that share their work by `threads.share_products`.
    """
    if a.shape[-2] * b.size <= MOST or not type(a) is type(b) is np.ndarray:
        return np.matmul(a, b, out=out)
    (m, k), n = a.shape[-2:], b.shape[-1]
    if m * k * n > MOST and a.dtype == b.dtype:
        turned = a.strides[-1] != a.itemsize, b.strides[-1] != b.itemsize
        cut = pieces((m, k), (k, n), turned, a.dtype)
        if cut is not None:
            return in_pieces(a, b, *cut, out=out)
        if a.ndim == b.ndim == 2 and (long := summands(m, k, n, a.dtype)):
            return in_sums(a, b, long, out)
    return np.matmul(a, b, out=out)


def by_threads(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """a @ b of two matrices: each thread makes some rows, or columns, of the result."""
    (m, k), n = a.shape, b.shape[1]
    if out is None:
        out = np.empty((m, n), a.dtype)
    parts = threads.spans(max(m, n), threads.several(m * k * n))
    if m > n:
        works = [(a[rows], b, out[rows]) for rows in parts]
    else:
        works = [(a, b[:, columns], out[:, columns]) for columns in parts]
    threads.share_products(batched, works)
    return out


def in_sums(a: Array, b: Array, long: int, out: Array | None) -> Array:
    """a @ b, of matrices whose product is small, as the sum of products of stretches so long."""
    (m, k), n = a.shape, b.shape[1]
    left = a.reshape(m, k // long, long).transpose(1, 0, 2)
    return np.add.reduce(np.matmul(left, b.reshape(k // long, long, n)), axis=0, out=out)


def in_pieces(a: Array, b: Array, rows: int, columns: int, *, out: Array | None = None) -> Array:
    """a @ b, in pieces of so many rows and columns, which divide those of the result."""
    m, k = a.shape[-2:]
    n = b.shape[-1]
    left = a.reshape(*a.shape[:-2], m // rows, 1, rows, k)
    right = b.reshape(*b.shape[:-2], 1, k, n // columns, columns).swapaxes(-3, -2)
    if out is None:
        shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        out = np.empty((*shape, m, n), a.dtype)
    into = out.reshape(*out.shape[:-2], m // rows, rows, n // columns, columns).swapaxes(-3, -2)
    np.matmul(left, right, out=into)
    return out


# ---- which pieces --------------------------------------------------------------------------------

Pair = tuple[int, int]


def way(
    a: Pair, b: Pair, turned: tuple[bool, bool], dtype: Any
) -> tuple[Callable[..., Array], tuple[int, ...]]:
    """How `multiply` makes a product of these shapes: a function, and what it takes besides them.

    One thread makes in pieces what OpenBLAS has no kernel for small matrices for. Several share it,
    but for what is just too large for such a kernel as the right matrix is transposed; and two
    leave small products with zeros to one.

    Args:
        turned: which of the two is the transpose of a matrix in C order.
    """
    size, count = a[0] * a[1] * b[1], threads.per_product()
    if size > (MOST if count == 1 or not turned[1] else SHARED):
        cut = pieces(a, b, turned, dtype)
        if cut is not None and (count == 1 or size <= MOST):
            return in_pieces if turned[1] else multiply_large, cut
        if count == 2 and size <= FEW and not turned[1] and _has_kernels(dtype):
            return multiply_for_two, ()
    return np.dot, ()


@functools.lru_cache(maxsize=4096)
def pieces(a: Pair, b: Pair, turned: tuple[bool, bool], dtype: Any) -> Pair | None:
    """Rows and columns of the pieces of a product of these shapes; None where it is made whole.

    Args:
        turned: which of the two is the transpose of a matrix in C order.
    """
    if all(turned) or not _has_kernels(dtype):
        return None
    height, k = a
    n = b[1]
    size = k * n * dtype.itemsize
    if turned[0]:
        again = k <= LONGEST and size <= OFTEN
    else:
        again = size <= OFTEN or (height <= FEW_ROWS and size <= SOMETIMES)
    most = MOST // max(1, k)
    if turned[1]:
        most = min(most, MOST_TRANSPOSED) if k >= SHORTEST else 0
    # the more rows, the less often is the right matrix read
    widest = WIDE // 2 if turned[1] or size > OFTEN else WIDE
    for width in WIDTHS:
        columns = _divisor(n, width)
        rows = _divisor(height, most // columns)
        whole = columns % REGISTER == 0 or columns == n
        some = again and width <= widest and rows >= LEAST
        if whole and columns >= REGISTER and rows and (rows == height or some):
            return rows, columns
    return None


@functools.lru_cache(maxsize=4096)
def summands(m: int, k: int, n: int, dtype: Any) -> int:
    """How long stretches of a sum are multiplied at a time; 0 where it is not split."""
    if not _has_kernels(dtype):
        return 0
    long = _divisor(k, MOST // (m * n))
    return long if long >= SHORTEST else 0


def _has_kernels(dtype: Any) -> bool:
    return dtype.char in "fd" and dtype.isnative and has_small_kernels()


def _divisor(number: int, most: int) -> int:
    """The largest divisor up to `most`; 0 where there is none."""
    return next((d for d in range(min(number, most), 0, -1) if number % d == 0), 0)


@functools.cache
def has_small_kernels() -> bool:
    """Whether NumPy multiplies by an OpenBLAS that has kernels for small matrices here."""
    if threads.library()[0] != "openblas":
        return False
    told = os.environ.get("OPENBLAS_CORETYPE")
    if told:
        return told.lower() in ("skylakex", "cooperlake", "sapphirerapids")
    features: Any = importlib.import_module("numpy._core._multiarray_umath")
    return bool(features.__cpu_features__.get("AVX512_SKX"))
