"""The convolutions of `toom_cook`, by loops that Numba compiles where it is installed."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads, workers
from tinygrad_fm.rules import loops, tile_loops
from tinygrad_fm.rules.plan import Pair, Plan, turned
from tinygrad_fm.rules.tile_loops import APART, BESIDE, POINTS
from tinygrad_fm.rules.toom_cook import READ, of_kernel, tiles
from tinygrad_fm.rules.workspace import OF_ONE, SHARED, TURNED, scratch

Array = Any

# Rows of a matrix at a time: so that both matrices at the points stay in the cache of a core, and
# for the sum over rows of the gradient of kernels, whose result is read and written each time.
ROWS, SUMMED = 32, 64
# Where there are fewer rows than this for each kernel, threads share the kernels; and so many bytes
# of them at the points are computed with at a time, as they would leave the cache otherwise.
FEW, CACHED = 3, 5 << 19
# Multiplications that are worth a thread of its own: what it computes, another core has to read.
WORTH = 6_000_000


def _signatures(dtype: str) -> dict[str, fast.Arguments]:
    read, made, whole = (dtype, 1, "C", True), (dtype, 1, "C", False), ("int64", 0, "C", True)
    pair, shapes, counts = (whole,) * 2, ((whole,) * 2,) * 4, (whole,) * 3
    return {
        "kernels_to_points": (read, whole, pair, pair, made, made),
        "kernels_from_points": (read, whole, pair, pair, made, made),
        "convolve": (
            *(whole, read, read, read, made, shapes, counts, pair, pair, whole, (made,) * 2),
        ),
        "turn_kernels": (read, whole, pair, pair, made),
        "weight_gradient": (
            *(whole, read, read, made, shapes, counts, pair, pair, whole, (made,) * 2),
        ),
    }


def _loops(dtype: Any) -> Any:
    return loops.compiled(tile_loops, dtype, _signatures)


def takes(plan: Plan, n: int, c: int, o: int, dtype: Any) -> bool:
    """Whether these loops are there, and compute such a convolution."""
    fit = max(c, o) <= APART and loops.fit(plan, n, c, o, dtype)
    return fit and _loops(dtype) is not None


def _rows(most: int, *widths: int) -> int:
    return max(1, min(most, APART // max(widths)))


def _shapes(plan: Plan) -> tuple[Pair, ...]:
    return plan.kernel, plan.image, plan.before, plan.out


def _memory(dtype: Any, c: int, *kernels: int, part: int = 0) -> tuple[Array, ...]:
    """For images and results at the points, and several times for so many kernels."""
    sizes = [POINTS * (c * some + BESIDE) for some in kernels]
    apart = ((POINTS * APART,),) * 2
    return scratch(dtype, *apart, *((size,) for size in sizes), part=part)


def _count(plan: Plan, rows: int, c: int, o: int) -> int:
    """How many threads share a product."""
    products = READ**2 * rows * (c * o + OF_ONE * (c + o))
    return threads.several(products + 2 * of_kernel(plan) * c * o, WORTH)


@functools.lru_cache(maxsize=256)
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
    return _convolve(x, weight, False, bias, plan, out)


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """See toom_cook.input_gradient."""
    return _convolve(g, weight, True, None, turned(plan), out)


def _convolve(
    x: Array, weight: Array, around: bool, bias: Array | None, plan: Plan, out: Array | None
) -> Array | None:
    """By kernels, or `around` if these are to be turned around."""
    n, size = x.shape[2], plan.kernel[0]
    c, o = weight.shape[2:][:: -1 if around else 1]
    do, rows = _loops(x.dtype), _rows(ROWS, c, o)
    y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
    pixels, kernels, into = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    added = pixels[:0] if bias is None else bias
    shapes, counts = _shapes(plan), (n, c, o)
    total = math.prod(tiles(plan)) * n
    count = _count(plan, total, c, o)

    def compute(span: Pair, part: Pair, at_x: Array, at_y: Array, at_w: Array) -> workers.Call:
        given = do.product, pixels, at_w, added, into, shapes, counts, span, part, rows
        return do.convolve, (*given, (at_x, at_y))

    works: list[list[workers.Call]] = []
    if total >= FEW * o:
        memory = [_memory(x.dtype, c, part=i) for i in range(count)]
        (at_w,) = scratch(x.dtype, (POINTS * (c * o + BESIDE),), part=SHARED)
        if around:
            (turned_around,) = scratch(x.dtype, (len(kernels),), part=TURNED)
            do.turn_kernels(kernels, size, (o, c), (0, o), turned_around)
            kernels = turned_around
        if not do.kernels_to_points(kernels, size, (c, o), (0, o), memory[0][0], at_w):
            return None
        for s, at in zip(threads.spans(total, count), memory, strict=False):
            works.append([compute((0, o), (s.start, s.stop), at[0], at[1], at_w)])
        return y if workers.share_products(works) else None
    for i, pieces in enumerate(_parts_of_kernels(c, o, count, x.dtype)):
        most = pieces[0].stop - pieces[0].start + 1
        at_x, at_y, at_w = at = _memory(x.dtype, c, most, part=i)
        calls: list[workers.Call] = []
        for s in pieces:
            span, read, of_read = (s.start, s.stop), kernels, (c, o)
            if around:  # where no results are yet
                assert size * size * c * (s.stop - s.start) <= len(at_y)
                calls.append((do.turn_kernels, (kernels, size, (o, c), span, at_y)))
                span, read, of_read = (0, s.stop - s.start), at_y, (c, s.stop - s.start)
            calls.append((do.kernels_to_points, (read, size, of_read, span, at_x, at_w)))
            calls.append(compute((s.start, s.stop), (0, total), *at))
        works.append(calls)
    return y if workers.share_products(works) else None


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """See toom_cook.weight_gradient."""
    do, size = _loops(x.dtype), plan.kernel[0]
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
    images, given, into = x.reshape(-1), g.reshape(-1), made.reshape(-1)
    shapes, counts = _shapes(plan), (n, c, o)
    total = math.prod(tiles(plan)) * n
    rows, count = _rows(SUMMED, c, o), _count(plan, total, c, o)

    def compute(span: Pair, part: Pair, at_x: Array, at_y: Array, at_w: Array) -> workers.Call:
        those = do.product, images, given, at_w, shapes, counts, span, part, rows
        return do.weight_gradient, (*those, (at_x, at_y))

    works: list[list[workers.Call]] = []
    if total < FEW * o:
        for i, pieces in enumerate(_parts_of_kernels(c, o, count, x.dtype)):
            at = _memory(x.dtype, c, pieces[0].stop - pieces[0].start + 1, part=i)
            calls: list[workers.Call] = []
            for s in pieces:
                span = s.start, s.stop
                calls.append(compute(span, (0, total), *at))
                back = at[2], size, (c, o), span, at[0], into
                calls.append((do.kernels_from_points, back))
            works.append(calls)
        return made if workers.share_products(works) else None
    memory = []
    for i, s in enumerate(threads.spans(total, count)):
        memory.append(_memory(x.dtype, c, o, part=i))
        works.append([compute((0, o), (s.start, s.stop), *memory[i])])
    if not workers.share_products(works):
        return None
    (at_x, _, at_w), *others = memory
    for *_, other in others:
        at_w += other
    do.kernels_from_points(at_w, size, (c, o), (0, o), at_x, into)
    return made
