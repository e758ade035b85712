"""The calculus of sliding windows over images, which convolution and pooling are made of.

Images have shape (N, C, H, W); their windows (N, C, OH, OW, KH, KW), where OH = (H - span) //
stride + 1 and span = dilation * (KH - 1) + 1, and likewise along W.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm import threads
from tinygrad_fm.engine import Primitive, primitive
from tinygrad_fm.rules import compiled_images

Pair = tuple[int, int]


def _windows(x: Any, kernel: Pair, stride: Pair, dilation: Pair) -> Any:
    """A view, without a copy."""
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    every = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    return every[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _places(kernel: Pair, stride: Pair, dilation: Pair, out: Pair) -> Iterator[tuple[Pair, Any]]:
    """For each place (i, j) of the kernel, the index of the pixels that lie there in a window."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + stride[0] * out[0], stride[0])
            columns = slice(j * dilation[1], j * dilation[1] + stride[1] * out[1], stride[1])
            yield (i, j), (slice(None), slice(None), rows, columns)


def _add_windows(g: Any, kernel: Pair, stride: Pair, dilation: Pair, shape: tuple[int, ...]) -> Any:
    """An image of `shape` in which every window has been added at its place."""
    total = np.zeros_like(g, shape=shape)
    for (i, j), pixels in _places(kernel, stride, dilation, g.shape[2:4]):
        total[pixels] += g[..., i, j]
    return total


windows: Primitive = primitive(
    _windows,
    lambda g, _y, _x, _kernel, _stride, _dilation: add_windows(
        g, _kernel, _stride, _dilation, _x.shape
    ),
    name="windows",
)
add_windows: Primitive = primitive(
    _add_windows,
    lambda g, _y, _x, _kernel, _stride, _dilation, _shape: windows(g, _kernel, _stride, _dilation),
    name="add_windows",
)


def _along(axis: int, place: int, stride: int, out: int) -> Any:
    """The index of the pixels at this place of the windows along one axis."""
    return (*(slice(None),) * axis, slice(place, place + stride * (out - 1) + 1, stride))


def _reduce(join: Any, x: Any, kernel: Pair, stride: Pair, out: Pair) -> Any:
    """`join` (a maximum, a sum) over each window: along the height first, then along the width."""
    for axis in (2, 3):
        sizes = kernel[axis - 2], stride[axis - 2], out[axis - 2]
        parts = [x[_along(axis, i, *sizes[1:])] for i in range(sizes[0])]
        if len(parts) > 1:
            x = join(parts[0], parts[1])
            for part in parts[2:]:
                join(x, part, out=x)
        else:
            x = parts[0]
    return x


# The largest pixel of each window. A tie goes to the first in reading order, as in PyTorch.


def _max_pool(x: Any, kernel: Pair, stride: Pair, out: Pair) -> Any:
    return _reduce(np.maximum, x, kernel, stride, out)


def _first_hits(x: Any, y: Any, kernel: Pair, stride: Pair) -> Iterator[tuple[Any, Any]]:
    """For each place of the kernel its pixels, and in which windows it is the first largest.

    What it yields is overwritten by the next place.
    """
    free = np.ones_like(y, dtype=bool)
    hit = np.empty_like(free)
    for _, pixels in _places(kernel, stride, (1, 1), y.shape[2:4]):
        np.equal(x[pixels], y, out=hit)
        np.logical_and(hit, free, out=hit)
        np.logical_xor(hit, free, out=free)
        yield pixels, hit


BAND = 1 << 15  # numbers of a result that are looked at together: they stay in the cache


def _bands(y: Any, kernel: Pair, stride: Pair) -> Iterator[tuple[Any, Any]]:
    """Some rows of the result at a time, and the rows of the image that their windows cover."""
    rows = max(1, BAND * y.shape[2] // max(1, y.size))
    for top in range(0, y.shape[2], rows):
        end = min(top + rows, y.shape[2])
        covered = slice(top * stride[0], (end - 1) * stride[0] + kernel[0])
        yield (slice(None), slice(None), slice(top, end)), (slice(None), slice(None), covered)


def _unpool(g: Any, x: Any, y: Any, kernel: Pair, stride: Pair, *, out: Any | None = None) -> Any:
    """Each value of `g` at the pixel that was the largest of its window; zero elsewhere."""
    covers = kernel == stride and x.shape[2:] == (y.shape[2] * stride[0], y.shape[3] * stride[1])
    total = np.empty_like(x, dtype=g.dtype) if out is None else out
    if covers and compiled_images.unpool(g, x, y, kernel, total):
        return total
    if not covers:
        total[...] = 0
    bands = list(_bands(y, kernel, stride))

    def put(some: slice) -> None:
        for rows, covered in bands[some]:
            part, image = g[rows], total[covered]
            for pixels, hit in _first_hits(x[covered], y[rows], kernel, stride):
                if covers:  # every pixel lies in one window, and is written once
                    np.multiply(part, hit, out=image[pixels])
                else:
                    image[pixels] += part * hit

    if covers:
        threads.share_spans(put, len(bands), x.size)
    else:  # neighbouring bands have pixels in common
        put(slice(None))
    return total


def _pick_pooled(g: Any, x: Any, y: Any, kernel: Pair, stride: Pair) -> Any:
    """For each window the value of `g` at the pixel that was its largest."""
    return sum(g[pixels] * hit for pixels, hit in _first_hits(x, y, kernel, stride))


max_pool: Primitive = primitive(
    _max_pool,
    lambda g, y, x, _kernel, _stride, _out: unpool(g, x, y, _kernel, _stride),
    name="max_pool",
)
unpool: Primitive = primitive(
    _unpool,
    lambda g, _y, _g, x, y, _kernel, _stride: pick_pooled(g, x, y, _kernel, _stride),
    None,  # which pixel is the largest has no derivative
    None,
    name="unpool",
)
pick_pooled: Primitive = primitive(
    _pick_pooled,
    lambda g, _y, _g, x, y, _kernel, _stride: unpool(g, x, y, _kernel, _stride),
    None,
    None,
    name="pick_pooled",
)

# The mean of each window.


def _avg_pool(x: Any, kernel: Pair, stride: Pair, out: Pair) -> Any:
    if x.dtype.kind != "f":
        x = x.astype(np.float64)  # as np.mean does: a sum of bytes would not fit a byte
    return _reduce(np.add, x, kernel, stride, out) / (kernel[0] * kernel[1])


def _spread(g: Any, kernel: Pair, stride: Pair, shape: tuple[int, ...]) -> Any:
    """Each value of `g` in equal shares at all pixels of its window: the transpose."""
    share = g / (kernel[0] * kernel[1])
    for axis in (3, 2):
        sizes = stride[axis - 2], g.shape[axis]
        long = (*share.shape[:axis], shape[axis], *share.shape[axis + 1 :])
        total = np.zeros_like(share, shape=long)
        for i in range(kernel[axis - 2]):
            total[_along(axis, i, *sizes)] += share
        share = total
    return share


avg_pool: Primitive = primitive(
    _avg_pool,
    lambda g, _y, _x, _kernel, _stride, _out: spread(g, _kernel, _stride, _x.shape),
    name="avg_pool",
)
spread: Primitive = primitive(
    _spread,
    lambda g, _y, _g, _kernel, _stride, _shape: avg_pool(g, _kernel, _stride, _g.shape[2:]),
    name="avg_pool_gradient",
)
