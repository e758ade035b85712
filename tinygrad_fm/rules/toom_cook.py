"""Convolution by 3 by 3 kernels in tiles of 4 by 4 results, by the method of Toom and Cook.

Along one axis, four results of a kernel of three are read from six pixels. Pixels and kernel are
the coefficients of polynomials; at six points their product is six products of numbers, which
determine the results: 6 multiplications instead of 12, and 36 instead of 144 along both axes.
(Lavin and Gray, Fast algorithms for convolutional neural networks, 2015, where it is F(4x4, 3x3).)

Images are (H, W, N, C) in memory order, kernels (3, 3, C, O). Some tiles at a time are taken to the
36 pairs of points, multiplied, and taken back, so that all of it stays in the processor's cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm.rules.plan import Pair, Plan, turned, turned_kernels
from tinygrad_fm.rules.workspace import finite, scratch

Array = Any

POINTS = (0, 1, -1, 2, -2)  # and infinity, where a polynomial's value is its last coefficient
TILE, KERNEL, READ = 4, 3, 6  # results of a tile, pixels of the kernel, pixels that a tile reads
ONE = POINTS.index(1) * (READ + 1)  # the point 1 along both axes: its value goes to all results

WORKSPACE = 1 << 20  # bytes of images at points at a time, or what one tile of all images needs


@functools.cache
def matrices(dtype: Any) -> tuple[Array, Array, Array]:
    """Along one axis: of images (6, 6), of kernels (6, 3), and of results, transposed (6, 4)."""
    # the row of a point is the polynomial that vanishes at all others
    image = [[*np.poly([q for q in POINTS if q != p])[::-1], 0] for p in POINTS]
    image.append([*np.poly(POINTS)[::-1]])
    slopes = [math.prod(p - q for q in POINTS if q != p) for p in POINTS]
    kernel = [[p**k / s for k in range(KERNEL)] for p, s in zip(POINTS, slopes, strict=True)]
    kernel.append([0, 0, 1])
    result = [*([p**i for i in range(TILE)] for p in POINTS), [0, 0, 0, 1]]
    return np.array(image, dtype), np.array(kernel, dtype), np.array(result, dtype)


def tiles(plan: Plan) -> Pair:
    """How many tiles cover the result."""
    return -(-plan.out[0] // TILE), -(-plan.out[1] // TILE)


def rank(plan: Plan) -> int:
    """How many products a convolution takes for each pair of channels."""
    return READ**2 * math.prod(tiles(plan))


# ---- between pixels and points -------------------------------------------------------------------


def _stretches(x: Array, length: int) -> Array:
    """Along axis -2, stretches of this length that begin TILE apart: (..., count, length, last)."""
    *strides, along, last = x.strides
    count = (x.shape[-2] - length) // TILE + 1
    shape = (*x.shape[:-2], count, length, x.shape[-1])
    # without the microseconds of np.lib.stride_tricks.as_strided
    return np.ndarray(shape, x.dtype, x, strides=(*strides, TILE * along, along, last))


def _to_points(matrix: Array, x: Array, mid: Array, out: Array) -> Array:
    """(rows, columns, a, b) to (36, tiles * a, b), in the first parts of `mid` and `out`."""
    rows, columns, a, b = x.shape
    length = matrix.shape[1]
    high, wide = ((n - length) // TILE + 1 for n in (rows, columns))
    mid = mid[: high * READ * columns * a * b].reshape(high, READ, columns * a * b)
    np.matmul(matrix, _stretches(x.reshape(rows, -1), length), out=mid)
    stretches = _stretches(mid.reshape(high, READ, columns, a * b), length)
    made = out[: READ**2 * high * wide * a * b].reshape(READ, READ, high, wide, a * b)
    np.matmul(matrix, stretches, out=made.transpose(2, 0, 3, 1, 4))
    return made.reshape(READ**2, high * wide * a, b)


def _from_points(
    matrix: Array, points: Array, high: int, wide: int, mid: Array, out: Array | None = None
) -> Array:
    """The transpose of `_to_points` where tiles do not overlap: (rows, columns, a * b).

    `out` is memory for it, (rows, columns * a * b).
    """
    length = matrix.shape[1]
    given = points.reshape(READ, READ, high, wide, -1).transpose(2, 0, 3, 1, 4)
    mid = mid[: high * READ * wide * length * given.shape[-1]]
    np.matmul(matrix.T, given, out=mid.reshape(high, READ, wide, length, -1))
    into = None if out is None else out.reshape(high, length, -1)
    made = np.matmul(matrix.T, mid.reshape(high, READ, -1), out=into)
    return made.reshape(high * length, wide * length, -1)


class Cut:
    """A rectangle of tiles, and where it reads and writes."""

    def __init__(self, plan: Plan, rows: slice, columns: slice):
        self.high, self.wide = rows.stop - rows.start, columns.stop - columns.start
        self.out = tuple(slice(TILE * s.start, TILE * s.stop) for s in (rows, columns))
        self.image = tuple(
            slice(TILE * s.start - p, TILE * s.stop - p + READ - TILE)
            for s, p in zip((rows, columns), plan.before, strict=True)
        )


def _cuts(plan: Plan, tile: int) -> Iterator[Cut]:
    """All tiles, in rectangles of whole rows or of one row; `tile` bytes of workspace for each."""
    high, wide = tiles(plan)
    rows = min(high, max(1, WORKSPACE // max(1, wide * tile)))
    columns = wide if rows > 1 else min(wide, max(1, WORKSPACE // max(1, tile)))
    for i in range(0, high, rows):
        for j in range(0, wide, columns):
            yield Cut(plan, slice(i, min(i + rows, high)), slice(j, min(j + columns, wide)))


def _inside(where: tuple[slice, ...], x: Array) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a rectangle that lies in the image: in the rectangle, and in the image."""
    ends = [(max(s.start, 0), min(s.stop, n)) for s, n in zip(where, x.shape[:2], strict=True)]
    here = [slice(b - s.start, e - s.start) for (b, e), s in zip(ends, where, strict=True)]
    return (here[0], here[1]), (slice(*ends[0]), slice(*ends[1]))


def _read(x: Array, where: tuple[slice, ...], padded: Array) -> Array:
    """The pixels of a rectangle, zeros outside the image, where need be in a part of `padded`."""
    here, there = _inside(where, x)
    sizes = tuple(s.stop - s.start for s in where)
    if sizes[1] == x.shape[1] and x[there].shape[:2] == sizes:
        return x[there]
    shape = (*sizes, *x.shape[2:])
    made = padded[: math.prod(shape)].reshape(shape)
    rows, columns = here
    made[: rows.start], made[rows.stop :] = 0, 0
    made[rows, : columns.start], made[rows, columns.stop :] = 0, 0
    made[here] = x[there]
    return made


# ---- the three products --------------------------------------------------------------------------


class Work(NamedTuple):
    """What a convolution computes in."""

    kernels: Array
    images: Array
    results: Array
    mid: Array  # between the two axes
    padded: Array  # pixels of a rectangle


def _work(plan: Plan, n: int, c: int, o: int, dtype: Any) -> tuple[list[Cut], Work]:
    """The rectangles, and memory for kernels, and for images and results of a rectangle."""
    cuts = list(_cuts(plan, READ**2 * n * max(c, o) * dtype.itemsize))
    numbers = READ**2 * n * max(cut.high * cut.wide for cut in cuts)
    wide = TILE * max(cut.wide for cut in cuts) + READ - TILE
    mid = READ * n * max(c, o) * wide * max(cut.high for cut in cuts)
    pixels = wide * n * max(c, o) * (TILE * max(cut.high for cut in cuts) + READ - TILE)
    sizes = (READ**2 * c * o, numbers * c, numbers * o, max(mid, READ * KERNEL * c * o), pixels)
    return cuts, Work(*scratch(dtype, *((size,) for size in sizes)))


# Each returns None where an array has a NaN or an infinity: it makes NaN of all 36 numbers of its
# tile (0 times infinity is NaN), so that the first of them shows it.


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array | None:
    """(OH, OW, N, O). A bias is added at the point 1, which takes no pass over the result."""
    image, kernel, result = matrices(x.dtype)
    n, c, o = x.shape[2], weight.shape[2], weight.shape[3]
    cuts, work = _work(plan, n, c, o, x.dtype)
    at_w = _to_points(kernel, weight, work.mid, work.kernels)
    y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
    for cut in cuts:
        at_x = _to_points(image, _read(x, cut.image, work.padded), work.mid, work.images)
        if not finite(at_x[0], at_w[0]):
            return None
        at_y = work.results[: at_x.size // c * o].reshape(*at_x.shape[:2], o)
        np.matmul(at_x, at_w, out=at_y)
        if bias is not None:
            at_y[ONE] += bias
        made = _from_points(result, at_y, cut.high, cut.wide, work.mid)
        here, there = _inside(cut.out, y)
        y[there] = made.reshape(*made.shape[:2], n, o)[here]
    return y


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """(H, W, N, C), from the gradient (OH, OW, N, O) of the result.

    It is the convolution by the kernels turned around, which has no overlapping tiles to add up.
    """
    return convolve(g, turned_kernels(weight), None, turned(plan), out)


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """(3, 3, C, O), from the gradient (OH, OW, N, O) of the result."""
    image, kernel, result = matrices(x.dtype)
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    cuts, work = _work(plan, n, c, o, x.dtype)
    total: Array = None
    for cut in cuts:
        at_x = _to_points(image, _read(x, cut.image, work.padded), work.mid, work.images)
        at_y = _to_points(result, _read(g, cut.out, work.padded), work.mid, work.results)
        if not finite(at_x[0], at_y[0]):
            return None
        part = np.matmul(at_x.transpose(0, 2, 1), at_y)
        total = part if total is None else np.add(total, part, out=total)
    into = None if out is None else out.reshape(KERNEL, -1)
    made = _from_points(kernel, total, 1, 1, work.mid, into)
    return made.reshape(KERNEL, KERNEL, c, o)
