"""Convolution by small square kernels in tiles of results, by the method of Toom and Cook.

Along one axis, four results of a kernel of three are read from six pixels. Pixels and kernel are
the coefficients of polynomials; at six points their product is six products of numbers, which
determine the results: 6 multiplications instead of 12, and 36 instead of 144 along both axes. The
same points do for two results of a kernel of five: 36 multiplications instead of 100.
(Lavin and Gray, Fast algorithms for convolutional neural networks, 2015, where they are
F(4x4, 3x3) and F(2x2, 5x5).)

Images are (H, W, N, C) in memory order, kernels (K, K, C, O). Some tiles at a time are taken to the
36 pairs of points, multiplied, and taken back, so that all of it stays in the processor's cache.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules.plan import Pair, Plan, inside, turned
from tinygrad_fm.rules.products import batched
from tinygrad_fm.rules.turning import turned_kernels
from tinygrad_fm.rules.workspace import OF_ONE, finite, scratch

Array = Any

POINTS = (0, 1, -1, 2, -2)  # and infinity, where a polynomial's value is its last coefficient
READ = 6  # pixels that a tile reads, along each axis
KERNELS = range(2, READ)  # sizes of kernels
ONE = POINTS.index(1) * (READ + 1)  # the point 1 along both axes: its value goes to all results

# cuts of a convolution that are kept: to make them takes as long as to compute a small one
FEW = 16
WORKSPACE = 1 << 20  # bytes of images at points at a time, or what one tile of all images needs


@functools.cache
def matrices(kernel: int, dtype: Any) -> tuple[Array, Array, Array]:
    """Along one axis: of images (6, 6), of kernels (6, K), of results, transposed (6, 7 - K)."""
    # the row of a point is the polynomial that vanishes at all others
    image = [[*np.poly([q for q in POINTS if q != p])[::-1], 0] for p in POINTS]
    image.append([*np.poly(POINTS)[::-1]])
    slopes = [math.prod(p - q for q in POINTS if q != p) for p in POINTS]
    of_kernel = [[p**k / s for k in range(kernel)] for p, s in zip(POINTS, slopes, strict=True)]
    of_result = [[p**i for i in range(READ - kernel + 1)] for p in POINTS]
    for rows in (of_kernel, of_result):
        rows.append([0] * (len(rows[0]) - 1) + [1])
    return np.array(image, dtype), np.array(of_kernel, dtype), np.array(of_result, dtype)


def takes(plan: Plan) -> bool:
    """Whether tiles do for these kernels, at stride 1."""
    high, wide = plan.kernel
    return high == wide and high in KERNELS and plan.dilation == (1, 1)


def of_kernel(plan: Plan) -> int:
    """How many multiplications take one kernel of one channel to the points."""
    size = plan.kernel[0]
    return READ * size * (size + READ)


def tile(plan: Plan) -> int:
    """How many results a tile has along each axis."""
    return READ - plan.kernel[0] + 1


def tiles(plan: Plan) -> Pair:
    """How many tiles cover the result."""
    size = tile(plan)
    return -(-plan.out[0] // size), -(-plan.out[1] // size)


def rank(plan: Plan) -> int:
    """How many products a convolution takes for each pair of channels."""
    return READ**2 * math.prod(tiles(plan))


# ---- between pixels and points -------------------------------------------------------------------


def _stretches(x: Array, length: int, apart: int) -> Array:
    """Along axis -2, stretches that begin so far apart: (..., count, length, last)."""
    *strides, along, last = x.strides
    count = (x.shape[-2] - length) // apart + 1
    shape = (*x.shape[:-2], count, length, x.shape[-1])
    # without the microseconds of np.lib.stride_tricks.as_strided
    return np.ndarray(shape, x.dtype, x, strides=(*strides, apart * along, along, last))


class Rectangle(NamedTuple):
    """Tiles of an array of rows and columns, beyond which they may reach.

    Attributes:
        apart: how many rows, and columns, after another a tile begins.
        high, wide: how many tiles.
        span: how many columns they take.
        before: how many of these are before the array's first.
        columns: those that are in the array.
        groups: which rows of tiles, their rows in the array, and which rows of a tile these are;
            first all that lie in the array, then those that reach beyond it one by one.
    """

    apart: int
    high: int
    wide: int
    span: int
    before: int
    columns: slice
    groups: tuple[tuple[slice, slice, slice], ...]


def _rectangle(where: list[slice], length: int, apart: int, size: Pair) -> Rectangle:
    """The tiles within these rows and columns, each of `length`, of an array of that size."""
    rows, columns = where
    high, wide = ((along.stop - along.start - length) // apart + 1 for along in (rows, columns))
    first = min(high, max(0, -(rows.start // apart)))
    last = max(first, min(high, (size[0] - length - rows.start) // apart + 1))
    groups = []
    if first < last:
        start, end = (rows.start + apart * i for i in (first, last - 1))
        groups.append((slice(first, last), slice(start, end + length), slice(0, length)))
    for i in (*range(first), *range(last, high)):
        start = rows.start + apart * i
        here = inside(slice(start, start + length), size[0])
        groups.append((slice(i, i + 1), here, slice(here.start - start, here.stop - start)))
    here = inside(columns, size[1])
    span, before = columns.stop - columns.start, here.start - columns.start
    return Rectangle(apart, high, wide, span, before, here, tuple(groups))


@functools.cache
def _kernel(size: int) -> Rectangle:
    """A kernel, which is one tile."""
    return _rectangle([slice(0, size)] * 2, size, size, (size, size))


class Cut(NamedTuple):
    """Tiles that are computed at a time: what they write of the results, and read of the images."""

    results: Rectangle
    pixels: Rectangle


def _cut(plan: Plan, *tops: slice) -> Cut:
    """The tiles in these rows and columns of tiles."""
    size = tile(plan)
    written = [slice(size * s.start, size * s.stop) for s in tops]
    more = READ - size
    read = [
        slice(s.start - p, s.stop - p + more) for s, p in zip(written, plan.before, strict=True)
    ]
    return Cut(
        _rectangle(written, size, size, plan.out),
        _rectangle(read, READ, size, plan.image),
    )


def _cuts(plan: Plan, rows: int, columns: int) -> Iterable[Cut]:
    """All tiles, in rectangles of so many rows and columns of tiles."""
    high, wide = tiles(plan)
    few = -(-high // rows) * -(-wide // columns) <= FEW
    return (_few if few else _made)(plan, rows, columns)


def _made(plan: Plan, rows: int, columns: int) -> Iterator[Cut]:
    high, wide = tiles(plan)
    for i in range(0, high, rows):
        for j in range(0, wide, columns):
            yield _cut(plan, slice(i, min(i + rows, high)), slice(j, min(j + columns, wide)))


@functools.lru_cache(maxsize=256)
def _few(plan: Plan, rows: int, columns: int) -> tuple[Cut, ...]:
    return tuple(_made(plan, rows, columns))


def _to_points(matrix: Array, x: Array, where: Rectangle, mid: Array, out: Array) -> Array:
    """Tiles of (rows, columns, a, b), zeros beyond it, to (36, tiles * a, b).

    The result, and what is between the two axes, are in the first parts of `out` and `mid`.
    """
    apart, high, wide, span, before, columns, groups = where
    length, (a, b) = matrix.shape[1], x.shape[2:]
    size = a * b
    begin, end = before * size, (before + columns.stop - columns.start) * size
    mid = mid[: high * READ * span * size].reshape(high, READ, span * size)
    if end - begin < span * size:
        mid[..., :begin] = mid[..., end:] = 0
    pixels = x.reshape(len(x), -1)[:, columns.start * size : columns.stop * size]
    for those, rows, part in groups:
        given = pixels[rows]
        if those.stop - those.start > 1:
            given = _stretches(np.ascontiguousarray(given), length, apart)
        batched(matrix[:, part], given, mid[those, :, begin:end])
    stretches = _stretches(mid.reshape(high, READ, span, size), length, apart)
    made = out[: READ**2 * high * wide * size].reshape(READ, READ, high, wide, size)
    batched(matrix, stretches, made.transpose(2, 0, 3, 1, 4))
    return made.reshape(READ**2, high * wide * a, b)


def _from_points(matrix: Array, points: Array, where: Rectangle, mid: Array, out: Array) -> None:
    """The transpose of `_to_points` where tiles do not overlap, to their places in `out`."""
    _, high, wide, _, _, columns, groups = where
    length, size = matrix.shape[1], out.shape[2] * out.shape[3]
    given = points.reshape(READ, READ, high, wide, size).transpose(2, 0, 3, 1, 4)
    mid = mid[: high * READ * wide * length * size]
    batched(matrix.T, given, mid.reshape(high, READ, wide, length, size))
    lines = mid.reshape(high, READ, -1)[..., : (columns.stop - columns.start) * size]
    pixels = out.reshape(len(out), -1)[:, columns.start * size : columns.stop * size]
    for those, rows, part in groups:
        into = pixels[rows].reshape(those.stop - those.start, -1, lines.shape[-1])
        batched(matrix.T[part], lines[those], into)


# ---- what is computed at a time, and in what memory ----------------------------------------------


class Work(NamedTuple):
    """What a convolution, or a thread's part of it, computes in."""

    kernels: Array
    images: Array
    results: Array
    mid: Array  # between the two axes


class Parts(NamedTuple):
    """What each thread computes at a time, and how many numbers each array of `Work` has."""

    cuts: list[Iterable[Cut]]
    sizes: tuple[int, int, int, int]


def _parts(plan: Plan, n: int, c: int, o: int, dtype: Any) -> Parts:
    widest = max(c, o)
    most = WORKSPACE // max(1, READ**2 * n * widest * dtype.itemsize)  # tiles, in whole rows
    high, wide = tiles(plan)
    count = min(high, threads.several(rank(plan) * n * (c * o + OF_ONE * (c + o))))
    rows = min(-(-high // count), max(1, most // wide))
    columns = wide if rows > 1 else min(wide, max(1, most))
    numbers = READ**2 * n * rows * columns
    size, kernel = tile(plan), plan.kernel[0]
    mid = READ * n * widest * (size * columns + READ - size) * rows
    sizes = READ**2 * c * o, numbers * c, numbers * o, max(mid, READ * kernel * c * o)
    cuts = _cuts(plan, rows, columns)
    if count == 1:
        return Parts([cuts], sizes)
    split = list(cuts)
    return Parts([split[s] for s in threads.spans(len(split), count)], sizes)


def _work(parts: Parts, dtype: Any) -> Work:
    return Work(*scratch(dtype, *((size,) for size in parts.sizes)))


# ---- the three products --------------------------------------------------------------------------


# Each returns None where an array has a NaN or an infinity: it makes NaN of all 36 numbers of its
# tile (0 times infinity is NaN), so that the first of them shows it.


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array | None:
    """(OH, OW, N, O). A bias is added at the point 1, which takes no pass over the result."""
    image, kernel, result = matrices(plan.kernel[0], x.dtype)
    n, c, o = x.shape[2], weight.shape[2], weight.shape[3]
    parts = _parts(plan, n, c, o, x.dtype)
    own = _work(parts, x.dtype)
    at_w = _to_points(kernel, weight, _kernel(len(weight)), own.mid, own.kernels)
    y = np.empty((*plan.out, n, o), x.dtype) if out is None else out

    here = threading.get_ident()

    def compute(cuts: Iterable[Cut]) -> bool:
        work = own if threading.get_ident() == here else _work(parts, x.dtype)
        for cut in cuts:
            at_x = _to_points(image, x, cut.pixels, work.mid, work.images)
            if not finite(at_x[0], at_w[0]):
                return False
            at_y = work.results[: at_x.size // c * o].reshape(*at_x.shape[:2], o)
            batched(at_x, at_w, at_y)
            if bias is not None:
                at_y[ONE] += bias
            _from_points(result, at_y, cut.results, work.mid, y)
        return True

    return y if all(threads.share_products(compute, [(cuts,) for cuts in parts.cuts])) else None


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """(H, W, N, C), from the gradient (OH, OW, N, O) of the result.

    It is the convolution by the kernels turned around, which has no overlapping tiles to add up.
    """
    return convolve(g, turned_kernels(weight), None, turned(plan), out)


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """(K, K, C, O), from the gradient (OH, OW, N, O) of the result."""
    image, kernel, result = matrices(plan.kernel[0], x.dtype)
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    parts = _parts(plan, n, c, o, x.dtype)
    own = _work(parts, x.dtype)

    here = threading.get_ident()

    def compute(cuts: Iterable[Cut]) -> Array | None:
        work = own if threading.get_ident() == here else _work(parts, x.dtype)
        total: Array = None
        for cut in cuts:
            at_x = _to_points(image, x, cut.pixels, work.mid, work.images)
            at_y = _to_points(result, g, cut.results, work.mid, work.results)
            if not finite(at_x[0], at_y[0]):
                return None
            part = batched(at_x.transpose(0, 2, 1), at_y)
            total = part if total is None else np.add(total, part, out=total)
        return total

    total, *others = threads.share_products(compute, [(cuts,) for cuts in parts.cuts])
    if total is None or any(other is None for other in others):
        return None
    for other in others:
        total += other
    made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
    _from_points(kernel, total, _kernel(len(made)), own.mid, made)
    return made
