"""The convolutions of `columns`, by loops that Numba compiles where it is installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads, workers
from tinygrad_fm.rules import column_loops, columns, loops
from tinygrad_fm.rules.plan import Pair, Plan, turned
from tinygrad_fm.rules.products import MOST
from tinygrad_fm.rules.turning import turned_kernels
from tinygrad_fm.rules.workspace import scratch

Array = Any

# Multiplications that are worth a thread of its own.
WORTH = 3_000_000
DEPTH = 256  # numbers of a window that are read at a time, in whole places
ROWS = 64
BROAD = 128


def _signatures(dtype: str) -> dict[str, fast.Arguments]:
    read, made, whole = (dtype, 1, "C", True), (dtype, 1, "C", False), ("int64", 0, "C", True)
    shapes, counts, four = ((whole,) * 2,) * 6, (whole,) * 3, (whole,) * 4
    return {
        "convolve": (whole, read, read, read, made, shapes, counts, four, four, made),
        "weight_gradient": (whole, read, read, made, shapes, counts, four, four, made),
        "input_gradient": (
            *(whole, read, read, made, shapes, counts, (whole,) * 2, whole, (made,) * 2),
        ),
    }


def _loops(dtype: str) -> Any:
    return loops.compiled(column_loops, dtype, _signatures)


def takes(plan: Plan, n: int, c: int, o: int, dtype: Any) -> bool:
    """Whether these loops are there, and compute such a convolution."""
    return loops.fit(plan, n, c, o, dtype) and _loops(dtype.name) is not None


def _shapes(plan: Plan) -> tuple[Pair, ...]:
    return plan.kernel, plan.image, plan.before, plan.out, plan.stride, plan.dilation


def _blocks(plan: Plan, rows: int, c: int, columns: int) -> tuple[int, int, int, int]:
    """`at_once` of the loops."""
    places = math.prod(plan.kernel)
    several = max(1, min(places, DEPTH // c))
    wide = columns if rows <= ROWS else min(columns, BROAD)
    rows = min(rows, max(ROWS, MOST // (several * c * wide)), 256)
    width = several * c
    deep = -(-width // -(-width // max(16, MOST // (rows * wide))))  # of about one size
    return rows, several, deep, wide


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array:
    """See columns.convolve."""
    do = _loops(x.dtype.name)
    n, c, o = x.shape[2], weight.shape[2], weight.shape[3]
    y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
    pixels, kernels, into = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    added = pixels[:0] if bias is None else bias
    shapes, counts = _shapes(plan), (n, c, o)
    total = math.prod(plan.out) * n
    count = threads.several(total * math.prod(plan.kernel) * c * o, WORTH)
    if total < o:
        parts = [(s.start, s.stop, 0, total) for s in threads.spans(o, count)]
    else:
        parts = [(0, o, s.start, s.stop) for s in threads.spans(total, count)]

    works = []
    for i, part in enumerate(parts):
        first, last, begin, end = part
        blocks = _blocks(plan, end - begin, c, last - first)
        (some,) = scratch(x.dtype, (blocks[0] * blocks[1] * c,), part=i)
        given = do.product, pixels, kernels, added, into, shapes, counts, part, blocks, some
        works.append([(do.convolve, given)])
    workers.share_products(works)
    return y


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array:
    """See columns.weight_gradient."""
    do = _loops(x.dtype.name)
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
    images, given, into = x.reshape(-1), g.reshape(-1), made.reshape(-1)
    shapes, counts = _shapes(plan), (n, c, o)
    total, places = math.prod(plan.out) * n, math.prod(plan.kernel)
    count = threads.several(total * places * c * o, WORTH)
    if total < o or total < c:
        parts = [(into, s.start, s.stop, 0, total) for s in threads.spans(places, count)]
        totals = []
    else:
        spans = threads.spans(total, count)
        totals = [into, *(np.empty_like(into) for _ in spans[1:])]
        parts = [(a, 0, places, s.start, s.stop) for a, s in zip(totals, spans, strict=True)]

    works = []
    for i, (sums, *part) in enumerate(parts):
        blocks = _blocks(plan, part[3] - part[2], c, o)
        (some,) = scratch(x.dtype, (blocks[0] * blocks[1] * c,), part=i)
        all_of = do.product, images, given, sums, shapes, counts, tuple(part), blocks, some
        works.append([(do.weight_gradient, all_of)])
    workers.share_products(works)
    for other in totals[1:]:
        into += other
    return made


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array:
    """See columns.input_gradient."""
    n, c, o = g.shape[2], weight.shape[2], weight.shape[3]
    if columns._turns(plan, n, c, o):
        return convolve(g, turned_kernels(weight), None, turned(plan), out)
    rows = math.prod(plan.out) * n
    if rows > 4 * ROWS:
        return columns.input_gradient(g, weight, plan, out)
    do = _loops(g.dtype.name)
    made = np.empty((*plan.image, n, c), g.dtype) if out is None else out
    given, kernels, into = g.reshape(-1), weight.reshape(-1), made.reshape(-1)
    shapes, counts = _shapes(plan), (n, c, o)
    count = threads.several(rows * math.prod(plan.kernel) * c * o, WORTH)
    deep = max(16, MOST // (rows * o))

    works = []
    for i, s in enumerate(threads.spans(c, count)):
        memory = tuple(scratch(g.dtype, (o * rows,), (deep * rows,), part=i))
        part = s.start, s.stop
        all_of = do.product, given, kernels, into, shapes, counts, part, deep, memory
        works.append([(do.input_gradient, all_of)])
    workers.share_products(works)
    return made
