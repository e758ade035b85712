"""The calculus of sliding windows over images, which convolution and pooling are made of.

Images have shape (N, C, H, W); their windows (N, C, OH, OW, KH, KW), where OH = (H - span) //
stride + 1 and span = dilation * (KH - 1) + 1, and likewise along W.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, primitive

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


# The largest pixel of each window. A tie goes to the first in reading order, as in PyTorch.


def _max_pool(x: Any, kernel: Pair, stride: Pair, out: Pair) -> Any:
    largest = None
    for _, pixels in _places(kernel, stride, (1, 1), out):
        largest = x[pixels] if largest is None else np.maximum(largest, x[pixels])
    return largest


def _first_hits(x: Any, y: Any, kernel: Pair, stride: Pair) -> Iterator[tuple[Any, Any]]:
    """For each place of the kernel its pixels, and in which windows it is the first largest."""
    free = np.ones_like(y, dtype=bool)
    for _, pixels in _places(kernel, stride, (1, 1), y.shape[2:4]):
        hit = (x[pixels] == y) & free
        free = free & ~hit
        yield pixels, hit


def _unpool(g: Any, x: Any, y: Any, kernel: Pair, stride: Pair) -> Any:
    """Each value of `g` at the pixel that was the largest of its window; zero elsewhere."""
    total = np.zeros_like(g, shape=x.shape)
    for pixels, hit in _first_hits(x, y, kernel, stride):
        total[pixels] += g * hit
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
