"""The convolutions of `toom_cook`, by loops that Numba compiles where it is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import get_ident
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads
from tinygrad_fm.rules import loops, tile_loops
from tinygrad_fm.rules.plan import Pair, Plan, turned
from tinygrad_fm.rules.tile_loops import APART, BESIDE, POINTS
from tinygrad_fm.rules.toom_cook import READ, of_kernel, tiles
from tinygrad_fm.rules.turning import turned_kernels
from tinygrad_fm.rules.workspace import OF_ONE, scratch

Array = Any

# Rows of a matrix at a time: so that both matrices at the points stay in the cache of a core, and
# for the sum over rows of the gradient of kernels, whose result is read and written each time.
ROWS, SUMMED = 32, 64
# Where there are fewer rows than this for each kernel, threads share the kernels; and so many bytes
# of them at the points are computed with at a time, as they would leave the cache otherwise.
FEW, CACHED = 3, 5 << 19
# Multiplications that are worth a thread of its own: one call, during which it waits for no other.
WORTH = 16_000_000


def _signatures(dtype: str) -> dict[str, fast.Arguments]:
    read, made, whole = (dtype, 1, "C", True), (dtype, 1, "C", False), ("int64", 0, "C", True)
    pair, shapes, counts = (whole,) * 2, ((whole,) * 2,) * 4, (whole,) * 3
    return {
        "kernels_to_points": (read, whole, pair, pair, made, made),
        "kernels_from_points": (read, whole, pair, pair, made, made),
        "convolve": (
            *(whole, read, read, read, made, shapes, counts, pair, pair, whole, (made,) * 2),
        ),
        "weight_gradient": (
            *(whole, read, read, made, shapes, counts, pair, pair, whole, (made,) * 2),
        ),
    }


def _loops(dtype: str) -> Any:
    return loops.compiled(tile_loops, dtype, _signatures)


def takes(plan: Plan, n: int, c: int, o: int, dtype: Any) -> bool:
    """Whether these loops are there, and compute such a convolution."""
    fit = max(c, o) <= APART and loops.fit(plan, n, c, o, dtype)
    return fit and _loops(dtype.name) is not None


def _rows(most: int, *widths: int) -> int:
    return max(1, min(most, APART // max(widths)))


def _shapes(plan: Plan) -> tuple[Pair, ...]:
    return plan.kernel, plan.image, plan.before, plan.out


def _memory(dtype: Any, c: int, *kernels: int) -> list[Array]:
    """For images and results at the points, and several times for so many kernels."""
    sizes = [POINTS * (c * some + BESIDE) for some in kernels]
    return scratch(dtype, (POINTS * APART,), (POINTS * APART,), *((size,) for size in sizes))


def _count(plan: Plan, rows: int, c: int, o: int) -> int:
    """How many threads share a product."""
    products = READ**2 * rows * (c * o + OF_ONE * (c + o))
    return threads.several(products + 2 * of_kernel(plan) * c * o, WORTH)


def _parts_of_kernels(c: int, o: int, count: int, dtype: Any) -> list[list[slice]]:
    """For each thread, which kernels it computes with at a time."""
    large = POINTS * c * o * dtype.itemsize
    pieces = count * -(-large // (count * CACHED))
    cut = threads.spans(o, pieces)
    return [cut[s] for s in threads.spans(len(cut), count)]


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array | None:
    """See toom_cook.convolve."""
    c, o = weight.shape[2:]
    flat = weight.reshape(-1)

    def to_points(do: Any, first: int, last: int, memory: Array, at_w: Array) -> bool:
        return do.kernels_to_points(flat, plan.kernel[0], (c, o), (first, last), memory, at_w)

    return _convolve(x, c, o, to_points, bias, plan, out)


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """See toom_cook.input_gradient."""
    c, o = weight.shape[2:]

    def to_points(do: Any, first: int, last: int, memory: Array, at_w: Array) -> bool:
        # in the same memory, where nothing is yet
        around, some = turned_kernels(weight[:, :, first:last]).reshape(-1), last - first
        return do.kernels_to_points(around, plan.kernel[0], (o, some), (0, some), memory, at_w)

    return _convolve(g, o, c, to_points, None, turned(plan), out)


def _convolve(
    x: Array,
    c: int,
    o: int,
    to_points: Callable[[Any, int, int, Array, Array], bool],
    bias: Array | None,
    plan: Plan,
    out: Array | None,
) -> Array | None:
    """By o kernels, of which `to_points` takes those from one to another to the points."""
    do = _loops(x.dtype.name)
    n = x.shape[2]
    y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
    pixels, into = x.reshape(-1), y.reshape(-1)
    added = pixels[:0] if bias is None else bias
    shapes, counts = _shapes(plan), (n, c, o)
    total = math.prod(tiles(plan)) * n
    rows, count = _rows(ROWS, c, o), _count(plan, total, c, o)

    def compute(kernels: slice, those: slice, at_x: Array, at_y: Array, at_w: Array) -> bool:
        span, part = (kernels.start, kernels.stop), (those.start, those.stop)
        return do.convolve(
            *(do.product, pixels, at_w, added, into, shapes, counts, span, part, rows),
            (at_x, at_y),
        )

    def some_kernels(*parts: slice) -> bool:
        for s in parts:
            at_x, at_y, at_w = _memory(x.dtype, c, s.stop - s.start)
            if not to_points(do, s.start, s.stop, at_x, at_w):
                return False
            if not compute(s, slice(0, total), at_x, at_y, at_w):
                return False
        return True

    if total < FEW * o:
        works: list[Any] = _parts_of_kernels(c, o, count, x.dtype)
        return y if all(threads.share_products(some_kernels, works)) else None
    own, here = _memory(x.dtype, c, o), get_ident()
    if not to_points(do, 0, o, own[0], own[2]):
        return None

    def some_rows(part: slice) -> bool:
        at_x, at_y = own[:2] if get_ident() == here else _memory(x.dtype, c)
        return compute(slice(0, o), part, at_x, at_y, own[2])

    works = [(part,) for part in threads.spans(total, count)]
    return y if all(threads.share_products(some_rows, works)) else None


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """See toom_cook.weight_gradient."""
    do = _loops(x.dtype.name)
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
    images, given, into = x.reshape(-1), g.reshape(-1), made.reshape(-1)
    shapes, counts = _shapes(plan), (n, c, o)
    total = math.prod(tiles(plan)) * n
    rows, count = _rows(SUMMED, c, o), _count(plan, total, c, o)

    def from_points(at_w: Array, first: int, last: int, memory: Array) -> None:
        do.kernels_from_points(at_w, plan.kernel[0], (c, o), (first, last), memory, into)

    def some_kernels(*parts: slice) -> bool:
        at_x, at_y, at_w = _memory(x.dtype, c, parts[0].stop - parts[0].start + 1)
        for s in parts:
            if not do.weight_gradient(
                *(do.product, images, given, at_w, shapes, counts),
                *((s.start, s.stop), (0, total), rows, (at_x, at_y)),
            ):
                return False
            from_points(at_w, s.start, s.stop, at_x)
        return True

    if total < FEW * o:
        works: list[Any] = _parts_of_kernels(c, o, count, x.dtype)
        return made if all(threads.share_products(some_kernels, works)) else None
    parts = threads.spans(total, count)
    own, here = _memory(x.dtype, c, *[o] * len(parts)), get_ident()

    def some_rows(part: slice, at_w: Array) -> bool:
        at_x, at_y = own[:2] if get_ident() == here else _memory(x.dtype, c)
        return do.weight_gradient(
            *(do.product, images, given, at_w, shapes, counts),
            *((0, o), (part.start, part.stop), rows, (at_x, at_y)),
        )

    works = list(zip(parts, own[2:], strict=True))
    if not all(threads.share_products(some_rows, works)):
        return None
    for other in own[3:]:
        own[2] += other
    from_points(own[2], 0, o, own[0])
    return made
