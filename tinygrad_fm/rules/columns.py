"""Convolution as one matrix product: each window of the image is a row of a matrix (im2col).

The rows are made for a part of the result at a time, so that they take at most WORKSPACE bytes, or
what one pixel of the result needs, where that is more. Images are (H, W, N, C) and kernels (KH, KW,
C / groups, O) in memory order, which makes the product the result without a transposition.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.rules import gathering
from tinygrad_fm.rules.plan import Plan, inside, moved, shaped, turned
from tinygrad_fm.rules.products import batched, by_threads
from tinygrad_fm.rules.turning import turned_kernels
from tinygrad_fm.rules.workspace import finite, scratch

Array = Any
Part = tuple[slice, slice]

WORKSPACE = 4 << 20
FEW_CHANNELS = 8  # fewer than these are not copied side by side: the runs would be too short
MANY = 32  # weights at one place of the kernel for each window, from which on they are what costs


def _meet(
    outs: slice, before: int, place: int, stride: int, dilation: int, size: int
) -> tuple[slice, slice]:
    """Of the results `outs` those whose window has a pixel at this place, and these pixels."""
    offset = place * dilation - before
    first = max(outs.start, -(offset // stride))
    last = min(outs.stop, (size - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    pixels = slice(first * stride + offset, (last - 1) * stride + offset + 1, stride)
    return slice(first - outs.start, last - outs.start), pixels


Place = tuple[int, int, Part, Part]


def _places(plan: Plan, part: Part) -> tuple[Place, ...]:
    """For each place of the kernel: which results of a part see a pixel there, and the pixels."""
    (top, bottom), (left, right) = ((s.start, s.stop) for s in part)
    return _table(plan, top, bottom, left, right)


def _meetings(plan: Plan, part: Part) -> list[list[gathering.Meeting]]:
    """Along both axes, for each place of the kernel there."""
    axes = zip(part, plan.before, plan.kernel, plan.stride, plan.dilation, plan.image, strict=True)
    return [
        [_meet(out, before, k, stride, dilation, size) for k in range(kernel)]
        for out, before, kernel, stride, dilation, size in axes
    ]


@functools.lru_cache(maxsize=4096)
def _table(plan: Plan, top: int, bottom: int, left: int, right: int) -> tuple[Place, ...]:
    rows, columns = _meetings(plan, (slice(top, bottom), slice(left, right)))
    return tuple(
        (k, m, (i, j), (above, beside))
        for k, (i, above) in enumerate(rows)
        for m, (j, beside) in enumerate(columns)
    )


@functools.lru_cache(maxsize=4096)
def _reading(
    plan: Plan, top: int, bottom: int, left: int, right: int
) -> tuple[Part, gathering.Reading]:
    """The pixels that the windows of a part read, and which of them lies where."""
    part = slice(top, bottom), slice(left, right)
    rows, columns = _meetings(plan, part)
    return gathering.reading(rows, columns, part)


@functools.lru_cache(maxsize=256)
def _parts(plan: Plan, pixel: int, count: int = 1) -> list[tuple[Part, ...]]:
    """For each thread parts of the result, whole rows or of one row, by the bytes of a pixel."""
    cut = tuple(_cut(plan, pixel, count))
    return [cut[s] for s in threads.spans(len(cut), count)]


def _cut(plan: Plan, pixel: int, count: int) -> Iterator[Part]:
    high, wide = plan.out
    rows = min(-(-high // count), max(1, WORKSPACE // max(1, wide * pixel)))
    columns = wide if rows > 1 else min(wide, max(1, WORKSPACE // max(1, pixel)))
    for i in range(0, high, rows):
        for j in range(0, wide, columns):
            yield slice(i, min(i + rows, high)), slice(j, min(j + columns, wide))


def _pointwise(plan: Plan) -> bool:
    """Whether the windows are the pixels themselves."""
    return plan.kernel == plan.stride == (1, 1) and plan.out == plan.image


def _windows(x: Array, plan: Plan, part: Part, ones: int = 0) -> Array:
    """The windows of a part of the result as rows: (pixels * N, KH * KW * C).

    Those of few channels may have a one at the end, for a bias.
    """
    n, c = x.shape[2:]
    if _pointwise(plan):
        return shaped(x[part], (-1, c))
    high, wide = (s.stop - s.start for s in part)
    depth = math.prod(plan.kernel) * c
    if c < FEW_CHANNELS:  # as columns, in which neighbouring images lie side by side
        shape = *plan.kernel, c, high, wide, n
        spans = [
            (results - 1) * stride + (places - 1) * dilation + 1
            for results, stride, places, dilation in zip(
                (high, wide), plan.stride, plan.kernel, plan.dilation, strict=True
            )
        ]
        viewed = type(x) is np.ndarray and math.prod(spans) <= high * wide * math.prod(plan.kernel)
        seen, rows = _scratch(
            x, (*spans, n, c) if viewed else (0,), (depth + ones, high * wide * n)
        )
        rows[depth:] = 1
        made = shaped(rows[:depth], shape)
        if viewed:
            _view(x, plan, part, seen, made)
        else:
            made[...] = 0
            for k, m, (i, j), pixels in _places(plan, part):
                made[k, m, :, i, j] = moved(x[pixels], (3, 0, 1, 2))
        return rows.T
    (rows, columns) = part
    band, reading = _reading(plan, rows.start, rows.stop, columns.start, columns.stop)
    made = gathering.rows_of(x, band, gathering.numbers(reading, n), _scratch)
    return shaped(made, (high * wide * n, depth))


def _view(x: Array, plan: Plan, part: Part, seen: Array, made: Array) -> None:
    """The windows of a part, (KH, KW, C, rows, columns, N), by one copy of a view of them.

    Args:
        seen: memory for the pixels that they read, zeros around the image among them.
    """
    starts = [s.start * t - p for s, t, p in zip(part, plan.stride, plan.before, strict=True)]
    rows, columns = (
        inside(slice(start, start + span), size)
        for start, span, size in zip(starts, seen.shape[:2], plan.image, strict=True)
    )
    above, below = rows.start - starts[0], rows.stop - starts[0]
    left, right = columns.start - starts[1], columns.stop - starts[1]
    seen[:above] = seen[below:] = 0
    seen[above:below, :left] = seen[above:below, right:] = 0
    seen[above:below, left:right] = x[rows, columns]
    *along, image, channel = seen.strides
    places, results = (
        [step * stride for step, stride in zip(steps, along, strict=True)]
        for steps in (plan.dilation, plan.stride)
    )
    strides = (*places, channel, *results, image)
    made[...] = np.ndarray(made.shape, x.dtype, seen, strides=strides)


def _add_windows(rows: Array, total: Array, plan: Plan, part: Part) -> None:
    """Add windows, (pixels * N, KH * KW * C), to the image `total` where they lie."""
    n, c = total.shape[2:]
    high, wide = (s.stop - s.start for s in part)
    if _pointwise(plan):
        total[part] += shaped(rows, (high, wide, n, c))
        return
    windows = shaped(rows, (high, wide, n, *plan.kernel, c))
    for k, m, seen, pixels in _places(plan, part):
        total[pixels] += windows[..., k, m, :][seen]


def _scratch(like: Array, *shapes: tuple[int, ...]) -> tuple[Array, ...]:
    """Arrays of these shapes with anything in them."""
    if type(like) is np.ndarray:
        return scratch(like.dtype, *shapes)
    return tuple(np.empty_like(like, shape=shape, order="C") for shape in shapes)


def _groups(plan: Plan, c: int, o: int) -> Iterator[tuple[slice, slice]]:
    """The channels and the kernels of each group."""
    for i in range(plan.groups):
        yield (
            slice(i * c // plan.groups, (i + 1) * c // plan.groups),
            slice(i * o // plan.groups, (i + 1) * o // plan.groups),
        )


def _workspace(plan: Plan, x: Array, channels: int) -> int:
    """Bytes of windows for each pixel of the result."""
    if _pointwise(plan):
        return 0
    return math.prod(plan.kernel) * x.shape[2] * channels * x.dtype.itemsize


def _threads(x: Array, plan: Plan, weights: int) -> int:
    """How many threads share the windows and their products with so many weights."""
    if type(x) is not np.ndarray or _pointwise(plan):  # only a product, which needs no help
        return 1
    return threads.several(math.prod(plan.out) * x.shape[2] * weights)


def _by_channel(plan: Plan, c: int, o: int) -> bool:
    """Whether each channel is a group with one kernel: no matrices, only products of numbers."""
    return 1 < c == o == plan.groups


def _whole(plan: Plan) -> Part:
    return slice(0, plan.out[0]), slice(0, plan.out[1])


def convolve(
    x: Array, weight: Array, bias: Array | None, plan: Plan, out: Array | None = None
) -> Array:
    """(OH, OW, N, O)."""
    depth, o = math.prod(weight.shape[:3]), weight.shape[3]
    matrix = shaped(weight, (depth, o))
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    y = out
    if y is None:
        y = np.empty_like(x, shape=(*plan.out, x.shape[2], o), dtype=dtype, order="C")
    if _by_channel(plan, x.shape[3], o):
        y[...] = 0 if bias is None else bias
        for k, m, seen, pixels in _places(plan, _whole(plan)):
            y[seen] += x[pixels] * weight[k, m, 0]
        return y

    few = weight.shape[2] < FEW_CHANNELS and plan.groups == 1 and not _pointwise(plan)
    inside_product = (
        bias is not None
        and few
        and type(bias) is np.ndarray
        and bias.shape == (o,)
        and bias.dtype == weight.dtype == x.dtype
        and finite(bias)
    )
    if inside_product:  # without a pass over the result
        matrix = np.concatenate([matrix, shaped(bias, (1, o))])

    def compute(*parts: Part) -> None:
        for part in parts:
            for channels, kernels in _groups(plan, x.shape[3], o):
                rows = _windows(x[..., channels], plan, part, ones=int(inside_product))
                results = shaped(y[part][..., kernels], (len(rows), o // plan.groups))  # a view
                batched(rows, matrix[:, kernels], results)
            if bias is not None and not inside_product:
                y[part] += bias

    count = _threads(x, plan, depth * o)
    threads.share_products(compute, _parts(plan, _workspace(plan, x, weight.shape[2]), count))
    return y


def input_gradient(g: Array, weight: Array, plan: Plan, out: Array | None = None) -> Array:
    """(H, W, N, C), from the gradient (OH, OW, N, O) of the result."""
    c, o = weight.shape[2] * plan.groups, weight.shape[3]
    if _turns(plan, g.shape[2], c, o):
        return convolve(g, turned_kernels(weight), None, turned(plan), out)
    matrix = shaped(weight, (math.prod(weight.shape[:3]), o))
    shape = (*plan.image, g.shape[2], c)
    total = out
    if total is None:
        total = np.empty_like(g, shape=shape, dtype=np.result_type(g, weight), order="C")
    total[...] = 0
    if _by_channel(plan, c, o):
        for k, m, seen, pixels in _places(plan, _whole(plan)):
            total[pixels] += g[seen] * weight[k, m, 0]
        return total
    (parts,) = _parts(plan, _workspace(plan, g, weight.shape[2]))
    pairs = weight.shape[2] * o // plan.groups  # of a channel and a kernel
    many = pairs >= MANY * math.prod(plan.out) * g.shape[2] and not _pointwise(plan)
    for part in parts:
        for channels, kernels in _groups(plan, c, o):
            given = g[part][..., kernels]
            rows = shaped(given, (math.prod(given.shape[:3]), o // plan.groups))
            if many:  # the weights are read where they lie
                (columns, spread) = _scratch(total, rows.shape[::-1], (len(matrix), len(rows)))
                columns[...] = rows.T
                windows = by_threads(matrix[:, kernels], columns, out=spread).T
            else:
                (windows,) = _scratch(total, (len(rows), len(matrix)))
                by_threads(rows, matrix[:, kernels].T, out=windows)
            _add_windows(windows, total[..., channels], plan, part)
    return total


def _turns(plan: Plan, n: int, c: int, o: int) -> bool:
    """Whether the gradient is better computed as a convolution by the kernels turned around.

    That reads windows of O channels and turns C * O kernels; the transpose of the sum adds to
    windows of C channels, which takes longer for each.
    """
    if plan.groups > 1 or plan.stride != (1, 1) or _pointwise(plan) or min(c, o) < FEW_CHANNELS:
        return False
    windows = math.prod(plan.out) * n
    # fitted to the times of 105 shapes on an AMD EPYC, where what it chooses takes 1.001 times the
    # least: to turn a kernel takes the longer the more there are. Loops turn faster than NumPy, by
    # which it was fitted, and yet: of 121 shapes it takes 1.02 times the least there.
    turning, reading, adding = (c * o) ** 2 / 2**14, windows * o, windows * (1.75 * c + 48)
    return min(turned(plan).before) >= 0 and turning + reading <= adding


def weight_gradient(x: Array, g: Array, plan: Plan, out: Array | None = None) -> Array:
    """(KH, KW, C / groups, O), from the gradient (OH, OW, N, O) of the result."""
    c, o = x.shape[3], g.shape[3]
    depth = math.prod(plan.kernel) * c // plan.groups
    if out is None:
        total = np.empty_like(g, shape=(depth, o), dtype=np.result_type(x, g), order="C")
    else:
        total = out.reshape(depth, o)
    if _by_channel(plan, c, o):
        by_place = shaped(total, (*plan.kernel, c))
        for k, m, seen, pixels in _places(plan, _whole(plan)):
            by_place[k, m] = np.sum(x[pixels] * g[seen], axis=(0, 1, 2))
        return shaped(total, (*plan.kernel, 1, o))

    def compute(i: int, parts: tuple[Part, ...]) -> None:
        total = totals[i]
        for part in parts:
            for channels, kernels in _groups(plan, c, o):
                rows = _windows(x[..., channels], plan, part)
                given = shaped(g[part][..., kernels], (len(rows), o // plan.groups))
                if part is parts[0]:
                    batched(rows.T, given, total[:, kernels])
                else:
                    total[:, kernels] += batched(rows.T, given)

    count = _threads(x, plan, depth * o)
    parts = _parts(plan, _workspace(plan, x, c // plan.groups), count)
    totals = [total, *(np.empty_like(total) for _ in parts[1:])]
    threads.share_products(compute, list(enumerate(parts)))
    for other in totals[1:]:
        total += other
    return shaped(total, (*plan.kernel, c // plan.groups, o))
