"""The convolutions of `fourier`, by loops that Numba compiles where it is installed."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from tinygrad_fm import fast, threads, workers
from tinygrad_fm.rules import frequency_loops, frequency_tables, loops
from tinygrad_fm.rules import workspace as memory
from tinygrad_fm.rules.frequencies import rank, sizes
from tinygrad_fm.rules.frequency_loops import BESIDE
from tinygrad_fm.rules.plan import Pair, Plan, turned
from tinygrad_fm.rules.products import MOST
from tinygrad_fm.rules.workspace import OF_ONE, SHARED, finite, scratch

Array = Any

CACHED = 2 << 20  # bytes of kernels at frequencies at a time
LEAST = 16  # kernels that are multiplied at a time, or a multiple; the last of a thread are fewer
# Multiplications that are worth a thread of its own: what it computes, another core has to read.
WORTH = 6_000_000


def _signatures(dtype: str) -> dict[str, fast.Arguments]:
    whole, numbers = ("int64", 0, "C", True), ("int64", 1, "C", True)
    read, made, value = (dtype, 1, "C", True), (dtype, 1, "C", False), (dtype, 0, "C", True)
    pair, shapes, counts = (whole,) * 2, ((whole,) * 2,) * 4, (whole,) * 3
    tables = ((read, read),) * 3
    return {
        "convolve": (
            *(whole, read, read, read, made, shapes, counts, (whole,) * 4, whole, pair),
            *(*tables, (made,) * 7),
        ),
        "weight_gradient": (
            *(whole, read, read, shapes, counts, pair, numbers, whole),
            *(*tables, made, (made,) * 5),
        ),
        "kernels_from_rows": (whole, read, read, made, shapes, whole, pair, value),
    }


def _loops(dtype: Any) -> Any:
    return loops.compiled(frequency_loops, dtype, _signatures)


def takes(plan: Plan, n: int, c: int, o: int, dtype: Any) -> bool:
    """Whether these loops are there, and compute such a convolution."""
    return loops.fit(plan, n, c, o, dtype) and _loops(dtype) is not None


# ---- what is computed at a time, and in what memory ----------------------------------------------


def _some(kernels: int, channels: int, size: Pair, dtype: Any) -> int:
    """How many kernels, or channels, are multiplied at a time."""
    most = CACHED // (3 * size[1] * channels * dtype.itemsize)
    return min(kernels, max(LEAST, most // LEAST * LEAST))


# Of the arrays that a convolution is computed in, as `scratch` takes them.
Lengths = tuple[tuple[int], ...]


@functools.lru_cache(maxsize=256)
def _lengths(plan: Plan, n: int, c: int, o: int, dtype: Any) -> Lengths:
    """For n images and o kernels that are convolved."""
    size = sizes(plan)
    some = _some(o, c, size, dtype)
    wide = plan.image[1] * n * c, plan.kernel[1] * c * o, plan.out[1] * n * o
    at = n * c, c * some, n * some
    numbers = (3 * size[1] * (columns + BESIDE) for columns in at)
    lengths = math.prod(plan.kernel) * c * some, *(size[0] * w for w in wide), *numbers
    return tuple((length,) for length in lengths)


@functools.lru_cache(maxsize=256)
def _lengths_back(plan: Plan, rows: int, n: int, c: int, o: int, dtype: Any) -> Lengths:
    """For so many rows of the gradient of kernels."""
    size = sizes(plan)
    some = _some(c, o, size, dtype)
    numbers = (3 * size[1] * (columns + BESIDE) for columns in (n * c, n * o, some * o))
    lengths = rows * plan.image[1] * n * c, rows * plan.out[1] * n * o, *numbers
    return tuple((length,) for length in lengths)


def workspace(plan: Plan, n: int, c: int, o: int, dtype: Any) -> int:
    """Bytes in which one thread computes a convolution of n images, or a gradient."""
    return max(_bytes(plan, n, c, o, dtype))


def _bytes(plan: Plan, n: int, c: int, o: int, dtype: Any) -> tuple[int, int]:
    """Of a convolution, and of the gradient of kernels: each grows evenly with the images."""
    high = sizes(plan)[0]
    there, back = _lengths(plan, n, c, o, dtype), _lengths_back(plan, high, n, c, o, dtype)
    rows = high * plan.kernel[1] * c * o
    sums = sum(map(sum, there)), rows + sum(map(sum, back))
    return sums[0] * dtype.itemsize, sums[1] * dtype.itemsize


def parts(plan: Plan, n: int, c: int, o: int, dtype: Any) -> list[slice]:
    """The images in parts of about one size, as few as fit the memory kept from call to call."""
    most = _images_at_once(plan, c, o, dtype, memory.KEPT)
    return threads.spans(n, -(-n // most))


@functools.lru_cache(maxsize=256)
def _images_at_once(plan: Plan, c: int, o: int, dtype: Any, kept: int) -> int:
    none, one = (_bytes(plan, n, c, o, dtype) for n in (0, 1))
    return max(1, min((kept - a) // (b - a) for a, b in zip(none, one, strict=True)))


def _count(plan: Plan, n: int, c: int, o: int) -> int:
    """How many threads share a product."""
    multiplications = rank(plan) * (n * c * o + OF_ONE * (n * c + c * o + n * o))
    return threads.several(multiplications, WORTH)


@functools.lru_cache(maxsize=256)
def _shares(high: int, channels: int, count: int) -> list[tuple[Array, tuple[int, ...]]]:
    """For each thread its frequencies of the height, and their rows.

    Frequencies are in one array: the number, the first channel and the last one of each, in turn. A
    frequency counts as many times as it has rows, and may be split between threads, by LEAST
    channels.
    """
    cuts = [i * high * channels // count for i in range(count + 1)]
    found = []
    for begin, end in itertools.pairwise(cuts):
        share, before = [], 0
        for unit in range(high // 2 + 1):
            rows = 2 if 2 * unit % high else 1
            first, last = (
                channels if done >= channels else max(0, done) // LEAST * LEAST
                for done in ((cut - before * channels) // rows for cut in (begin, end))
            )
            before += rows
            if first < last:
                share.append((unit, first, last))
        if share:
            there = {unit for unit, *_ in share}
            those = tuple(row for row in frequency_tables.rows_of(high) if row // 2 in there)
            units = np.array(share).reshape(-1)
            units.flags.writeable = False  # as it is kept
            found.append((units, those))
    return found


# ---- the three products --------------------------------------------------------------------------


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array | None:
    """See fourier.convolve."""
    c, o = weight.shape[2:]
    return _convolve(x, weight, c, o, False, bias, plan, out)


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """See fourier.input_gradient."""
    c, o = weight.shape[2:]
    return _convolve(g, weight, o, c, True, None, turned(plan), out)


def _convolve(
    x: Array,
    weight: Array,
    c: int,
    o: int,
    around: bool,
    bias: Array | None,
    plan: Plan,
    out: Array | None,
) -> Array | None:
    """By o kernels of c channels: `weight`, or `around` if that is to be turned around."""
    n = x.shape[2]
    do, dtype, size = _loops(x.dtype), x.dtype, sizes(plan)
    if bias is not None and not finite(bias * math.prod(size)):
        return None  # so it is added, at frequency 0
    y = np.empty((*plan.out, n, o), dtype) if out is None else out
    tables = frequency_tables.of_convolution(plan, dtype)
    pixels, kernels, into = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    added = kernels[:0] if bias is None else bias
    shapes, counts = (size, plan.image, plan.kernel, plan.out), (n, c, o)

    def work(i: int, first: int, last: int, begin: int, end: int) -> list[workers.Call]:
        part, some = (first, last, begin, end), _some(last - first, c, size, dtype)
        at_once = some, max(1, MOST // (some * c))
        memory = scratch(dtype, *_lengths(plan, end - begin, c, last - first, dtype), part=i)
        given = do.product, pixels, kernels, added, into, shapes, counts, part, int(around)
        return [(do.convolve, (*given, at_once, *tables, memory))]

    for images in parts(plan, n, c, o, dtype):
        many = images.stop - images.start
        count = _count(plan, many, c, o)
        if many < o:  # each thread takes all images, or all kernels, to frequencies
            split = threads.spans(o, min(count, -(-o // LEAST)))
            cut = [(s.start, s.stop, images.start, images.stop) for s in split]
        else:
            split = threads.spans(many, count)
            cut = [(0, o, images.start + s.start, images.start + s.stop) for s in split]
        if not workers.share_products([work(i, *part) for i, part in enumerate(cut)]):
            return None
    return y


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array | None:
    """See fourier.weight_gradient."""
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    made = np.empty((*plan.kernel, c, o), x.dtype) if out is None else out
    split = parts(plan, n, c, o, x.dtype)
    return made if all(_add_gradient(x, g, plan, part, made) for part in split) else None


def _add_gradient(x: Array, g: Array, plan: Plan, part: slice, made: Array) -> bool:
    """The gradient of some images, which is added to that of those before."""
    n, c, o = x.shape[2], x.shape[3], g.shape[3]
    do, dtype, size = _loops(x.dtype), x.dtype, sizes(plan)
    images, given, into = x.reshape(-1), g.reshape(-1), made.reshape(-1)
    shapes, counts = (size, plan.image, plan.kernel, plan.out), (n, c, o)
    span, many = (part.start, part.stop), part.stop - part.start
    count, some = _count(plan, many, c, o), _some(c, o, size, dtype)
    (rows,) = scratch(dtype, (size[0] * plan.kernel[1] * c * o,), part=SHARED)
    works: list[list[workers.Call]] = []
    for i, (units, those) in enumerate(_shares(size[0], c, count)):
        tables = frequency_tables.of_gradient(plan, those, dtype)
        arrays = scratch(dtype, *_lengths_back(plan, len(those), many, c, o, dtype), part=i)
        those_of = do.product, images, given, shapes, counts, span, units, some
        works.append([(do.weight_gradient, (*those_of, *tables, rows, arrays))])
    if not workers.share_products(works):
        return False
    kept = dtype.type(part.start > 0)
    (back, _) = tables[2]  # the same for all
    of_all = do.product, back, rows, into, shapes, c * o
    split = threads.spans(c * o, count)
    workers.share_products(
        [[(do.kernels_from_rows, (*of_all, (s.start, s.stop), kept))] for s in split]
    )
    return True
