"""The convolutions of `columns`, by loops that Numba compiles where it is installed."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads, workers
from tinygrad_fm.rules import column_loops, columns, loops
from tinygrad_fm.rules.plan import Pair, Plan, turned
from tinygrad_fm.rules.products import MOST
from tinygrad_fm.rules.workspace import TURNED, scratch

Array = Any
Four = tuple[int, int, int, int]

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
        "turn_kernels": (read, whole, (whole,) * 2, made),
        "input_gradient": (
            *(whole, read, read, made, shapes, counts, (whole,) * 2, whole, (made,) * 2),
        ),
    }


def _loops(dtype: Any) -> Any:
    return loops.compiled(column_loops, dtype, _signatures)


def takes(plan: Plan, n: int, c: int, o: int, dtype: Any) -> bool:
    """Whether these loops are there, and compute such a convolution."""
    return loops.fit(plan, n, c, o, dtype) and _loops(dtype) is not None


def _shapes(plan: Plan) -> tuple[Pair, ...]:
    return plan.kernel, plan.image, plan.before, plan.out, plan.stride, plan.dilation


def _blocks(plan: Plan, rows: int, c: int, columns: int) -> Four:
    """`at_once` of the loops."""
    places = math.prod(plan.kernel)
    several = max(1, min(places, DEPTH // c))
    wide = columns if rows <= ROWS else min(columns, BROAD)
    rows = min(rows, max(ROWS, MOST // (several * c * wide)), 256)
    width = several * c
    deep = -(-width // -(-width // max(16, MOST // (rows * wide))))  # of about one size
    return rows, several, deep, wide


@functools.lru_cache(maxsize=256)
def _parts(plan: Plan, n: int, c: int, o: int, count: int) -> list[tuple[Four, Four]]:
    """For each thread kernels and windows, from the first to the last, and `at_once`.

    By kernels each would read all windows, which takes longer than to read all kernels.
    """
    total = math.prod(plan.out) * n
    if total < count:
        parts = [(s.start, s.stop, 0, total) for s in threads.spans(o, count)]
    else:
        parts = [(0, o, s.start, s.stop) for s in threads.spans(total, count)]
    return [(p, _blocks(plan, p[3] - p[2], c, p[1] - p[0])) for p in parts]


@functools.lru_cache(maxsize=256)
def _parts_back(plan: Plan, n: int, c: int, o: int, count: int) -> list[tuple[Four, Four]]:
    """For each thread places and windows, from the first to the last, and `at_once`."""
    total, places = math.prod(plan.out) * n, math.prod(plan.kernel)
    if total < o or total < c:
        parts = [(s.start, s.stop, 0, total) for s in threads.spans(places, count)]
    else:
        parts = [(0, places, s.start, s.stop) for s in threads.spans(total, count)]
    return [(p, _blocks(plan, p[3] - p[2], c, o)) for p in parts]


def _count(plan: Plan, n: int, c: int, o: int) -> int:
    """How many threads share a product."""
    return threads.several(math.prod(plan.out) * n * math.prod(plan.kernel) * c * o, WORTH)


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array:
    """See columns.convolve."""
    return _convolve(x, weight.reshape(-1), weight.shape[3], bias, plan, out)


def _convolve(
    x: Array, kernels: Array, o: int, bias: Array | None, plan: Plan, out: Array | None
) -> Array:
    do, (n, c) = _loops(x.dtype), x.shape[2:]
    y = np.empty((*plan.out, n, o), x.dtype) if out is None else out
    pixels, into = x.reshape(-1), y.reshape(-1)
    added = pixels[:0] if bias is None else bias
    shapes, counts = _shapes(plan), (n, c, o)
    works = []
    for i, (part, blocks) in enumerate(_parts(plan, n, c, o, _count(plan, n, c, o))):
        (some,) = scratch(x.dtype, (blocks[0] * blocks[1] * c,), part=i)
        given = do.product, pixels, kernels, added, into, shapes, counts, part, blocks, some
        works.append([(do.convolve, given)])
    workers.share_products(works)
    return y


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array:
    """See columns.weight_gradient."""
    do, (n, c), o = _loops(x.dtype), x.shape[2:], g.shape[3]
    made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
    images, given, into = x.reshape(-1), g.reshape(-1), made.reshape(-1)
    shapes, counts = _shapes(plan), (n, c, o)
    works, totals = [], [into]
    for i, (part, blocks) in enumerate(_parts_back(plan, n, c, o, _count(plan, n, c, o))):
        sums = into
        if i and not part[0]:  # all places of other windows
            sums = np.empty_like(into)
            totals.append(sums)
        (some,) = scratch(x.dtype, (blocks[0] * blocks[1] * c,), part=i)
        all_of = do.product, images, given, sums, shapes, counts, part, blocks, some
        works.append([(do.weight_gradient, all_of)])
    workers.share_products(works)
    for other in totals[1:]:
        into += other
    return made


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array:
    """See columns.input_gradient."""
    do, n, (c, o) = _loops(g.dtype), g.shape[2], weight.shape[2:]
    kernels = weight.reshape(-1)
    if columns._turns(plan, n, c, o):
        (around,) = scratch(g.dtype, (len(kernels),), part=TURNED)
        do.turn_kernels(kernels, math.prod(plan.kernel), (c, o), around)
        return _convolve(g, around, c, None, turned(plan), out)
    rows = math.prod(plan.out) * n
    if rows > 4 * ROWS:
        return columns.input_gradient(g, weight, plan, out)
    made = np.empty((*plan.image, n, c), g.dtype) if out is None else out
    given, into = g.reshape(-1), made.reshape(-1)
    shapes, counts = _shapes(plan), (n, c, o)
    deep = max(16, MOST // (rows * o))

    works = []
    for i, s in enumerate(threads.spans(c, _count(plan, n, c, o))):
        memory = scratch(g.dtype, (o * rows,), (deep * rows,), part=i)
        part = s.start, s.stop
        all_of = do.product, given, kernels, into, shapes, counts, part, deep, memory
        works.append([(do.input_gradient, all_of)])
    workers.share_products(works)
    return made
