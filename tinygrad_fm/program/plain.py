"""What stands in an exported script for functions that the library computes in ways of many files.

Each takes the arguments of its counterpart, and makes its result in the same memory order. A
convolution is the sum itself: one product of its windows, which costs their memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.rules import compiled_images, convolution, products, windows
from tinygrad_fm.rules.windows import _first_hits, _places

Array = Any


def _seen(plan: Any) -> tuple[tuple[int, int], Any, Any]:
    """How many rows and columns the windows see together, and which of them are of the image.

    Returns:
        their number, the index of what is of the image in them, and the index of that in the image.
    """
    _, image, kernel, before, out, stride, dilation, _ = plan
    axes = zip(image, kernel, before, out, stride, dilation, strict=True)
    sizes, there, here = [], [], []
    for length, places, start, results, step, apart in axes:
        sizes.append((results - 1) * step + (places - 1) * apart + 1)
        count = max(0, min(length, sizes[-1] - start))
        there.append(slice(start, start + count))
        here.append(slice(0, count))
    return (sizes[0], sizes[1]), (..., *there), (..., *here)


def _windows_of(x: Array, plan: Any) -> Array:
    """Images (N, C, H, W) as their windows (N, C, OH, OW, KH, KW)."""
    _, _, kernel, _, _, stride, dilation, _ = plan
    sizes, there, here = _seen(plan)
    padded = np.zeros((*x.shape[:2], *sizes), x.dtype)
    padded[there] = x[here]
    spans = [(places - 1) * apart + 1 for places, apart in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _groups(count: int, channels: int, kernels: int) -> list[tuple[slice, slice]]:
    """The channels and the kernels of each group."""
    c, o = channels // count, kernels // count
    return [(slice(i * c, i * c + c), slice(i * o, i * o + o)) for i in range(count)]


def conv2d(x: Array, weight: Array, bias: Array | None, plan: Any, *, out: Any = None) -> Array:
    """(N, O, OH, OW), as (OH, OW, N, O) in memory."""
    if out is None:
        dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
        out = np.empty((*plan[4], len(x), len(weight)), dtype).transpose(2, 3, 0, 1)
    seen = _windows_of(x, plan)
    for channels, kernels in _groups(plan[-1], x.shape[1], len(weight)):
        made = np.tensordot(seen[:, channels], weight[kernels], ((1, 4, 5), (1, 2, 3)))
        out[:, kernels] = made.transpose(0, 3, 1, 2)
    if bias is not None:
        out += bias[:, None, None]
    return out


def input_gradient(g: Array, weight: Array, plan: Any, *, out: Any = None) -> Array:
    """(N, C, H, W), as (H, W, N, C) in memory, from the gradient (N, O, OH, OW)."""
    _, image, kernel, _, results, stride, dilation, groups = plan
    c = weight.shape[1] * groups
    if out is None:
        dtype = np.result_type(g, weight)
        out = np.empty((*image, len(g), c), dtype).transpose(2, 3, 0, 1)
    sizes, there, here = _seen(plan)
    padded = np.zeros((len(g), c, *sizes), out.dtype)
    for (i, j), pixels in _places(kernel, stride, dilation, results):
        for channels, kernels in _groups(groups, c, len(weight)):
            made = np.tensordot(g[:, kernels], weight[kernels, :, i, j], (1, 0))
            padded[:, channels][pixels] += made.transpose(0, 3, 1, 2)
    out[...] = 0
    out[here] = padded[there]
    return out


def weight_gradient(x: Array, g: Array, plan: Any, *, out: Any = None) -> Array:
    """(O, C / groups, KH, KW), as (KH, KW, C / groups, O) in memory."""
    c = x.shape[1] // plan[-1]
    if out is None:
        shape = (*plan[2], c, g.shape[1])
        out = np.empty(shape, np.result_type(x, g)).transpose(3, 2, 0, 1)
    seen = _windows_of(x, plan)
    for channels, kernels in _groups(plan[-1], x.shape[1], g.shape[1]):
        made = np.tensordot(g[:, kernels], seen[:, channels], ((0, 2, 3), (0, 2, 3)))
        out[kernels] = made
    return out


def channel_sums(x: Array) -> Array:
    """(N, C, H, W) to (C,)."""
    pixels = np.ascontiguousarray(x.transpose(2, 3, 0, 1)).reshape(-1, x.shape[1])
    return np.dot(np.ones(len(pixels), x.dtype), pixels)


def unpool(g: Array, x: Array, y: Array, kernel: Any, stride: Any, *, out: Any = None) -> Array:
    """Each value of `g` at the pixel that was the largest of its window; zero elsewhere."""
    total = np.empty_like(x, dtype=g.dtype) if out is None else out
    total[...] = 0
    for pixels, hit in _first_hits(x, y, kernel, stride):
        total[pixels] += g * hit
    return total


def product(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """a @ b."""
    return np.matmul(a, b, out=out)


def copyto(out: Array, x: Array) -> None:
    """A copy in the order of `out`."""
    np.copyto(out, x)


INSTEAD: dict[Any, Any] = {
    convolution.conv2d.function: conv2d,
    convolution.input_gradient.function: input_gradient,
    convolution.weight_gradient.function: weight_gradient,
    convolution.channel_sums.function: channel_sums,
    windows.unpool.function: unpool,
    products.by_threads: product,
    products.multiply_large: products.in_pieces,
    products.multiply_for_two: product,
    compiled_images.copyto: copyto,
}
