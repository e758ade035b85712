"""Convolution and pooling of images (N, C, H, W), made of sliding windows and matrix products.

Images may lie in memory in any order; results lie channels last, which the next layer's matrix
product and NumPy's element-wise functions keep.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fm.rules.shaping import pad_constant
from tinygrad_fm.rules.windows import max_pool, windows
from tinygrad_fm.tensor import shape_of

Size = int | tuple[int, int]
Padding = int | tuple[int, int] | str


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """A size along H and W; one number means both.

    Raises:
        ValueError: anything but one or two whole numbers of at least `least`.
    """
    both = (value, value) if isinstance(value, (int, np.integer)) else value
    if (
        not isinstance(both, (tuple, list))
        or len(both) != 2
        or not all(isinstance(n, (int, np.integer)) and n >= least for n in both)
    ):
        raise ValueError(
            f"{name} is one whole number of at least {least}, or two (for height and width), "
            f"not {value!r}"
        )
    return int(both[0]), int(both[1])


def _images(name: str, x: Any) -> tuple[int, int, int, int]:
    shape = shape_of(x)
    if len(shape) != 4:
        hint = "; write x[:, None] to add the channel axis" if len(shape) == 3 else ""
        raise ValueError(f"{name} takes images of shape (N, C, H, W), not {shape}{hint}")
    return shape


def _padded(x: Any, before: tuple[int, int], after: tuple[int, int], value: float = 0.0) -> Any:
    if before == after == (0, 0):
        return x
    return pad_constant(x, ((0, 0), (0, 0), *zip(before, after, strict=True)), value)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation, as neural networks call convolution.

    y[n, o, i, j] = bias[o] + sum over c, k, l of
        x[n, c, i * stride + k * dilation, j * stride + l * dilation] * weight[o, c, k, l]

    Args:
        x: images (N, C, H, W).
        weight: kernels (O, C / groups, KH, KW).
        bias: (O,) or None.
        stride: step of the windows.
        padding: zeros around the image, in pixels on each side; or "same", for a result of
            ceil(H / stride) by ceil(W / stride); or "valid", for none.
        dilation: distance of the pixels under neighbouring elements of the kernel.
        groups: the channels and kernels are split into so many parts that do not mix.

    Returns:
        (N, O, OH, OW), OH = (H + paddings - dilation * (KH - 1) - 1) // stride + 1.

    Raises:
        ValueError: shapes, sizes or groups that do not fit.
    """
    n, c, height, width = _images("conv2d", x)
    if len(shape_of(weight)) != 4:
        raise ValueError(f"a kernel has shape (O, C, KH, KW), not {shape_of(weight)}")
    o, c_group, *kernel = shape_of(weight)
    steps, gaps = pair("stride", stride, 1), pair("dilation", dilation, 1)
    if groups < 1 or c % groups or o % groups or c_group * groups != c:
        raise ValueError(
            f"conv2d got images of {c} channels and kernels {shape_of(weight)} with groups="
            f"{groups}; the kernels' second axis must be channels / groups, and both channels and "
            "kernels divisible by groups"
        )
    spans = [d * (k - 1) + 1 for d, k in zip(gaps, kernel, strict=True)]
    before, after = _padding(padding, (height, width), spans, steps)
    out = tuple(
        (size + b + a - span) // step + 1
        for size, b, a, span, step in zip((height, width), before, after, spans, steps, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"a kernel that spans {spans[0]} by {spans[1]} pixels does not fit into an image of "
            f"{height + before[0] + after[0]} by {width + before[1] + after[1]}, padding included"
        )
    view = windows(_padded(x, before, after), tuple(kernel), steps, gaps)
    # a row for each window, with the channels of one pixel side by side
    rows, depth = n * out[0] * out[1], kernel[0] * kernel[1] * c_group
    if groups == 1:
        columns = np.reshape(np.transpose(view, (0, 2, 3, 4, 5, 1)), (rows, depth))
        y = columns @ np.reshape(np.transpose(weight, (2, 3, 1, 0)), (depth, o))
    else:
        split = np.reshape(
            np.transpose(view, (1, 0, 2, 3, 4, 5)), (groups, c_group, n, *out, *kernel)
        )
        columns = np.reshape(np.transpose(split, (0, 2, 3, 4, 5, 6, 1)), (groups, rows, depth))
        kernels = np.reshape(weight, (groups, o // groups, c_group, *kernel))
        matrix = np.reshape(np.transpose(kernels, (0, 3, 4, 2, 1)), (groups, depth, o // groups))
        y = np.reshape(np.transpose(columns @ matrix, (1, 0, 2)), (rows, o))
    if bias is not None:
        y = y + bias
    return np.transpose(np.reshape(y, (n, *out, o)), (0, 3, 1, 2))


def checked_padding(padding: Padding) -> tuple[int, int] | str:
    """Pixels along H and W, or "same".

    Raises:
        ValueError: anything else.
    """
    if padding == "same":
        return "same"
    if padding == "valid":
        return 0, 0
    if isinstance(padding, str):
        raise ValueError(f"padding is a number, two numbers, 'same' or 'valid', not {padding!r}")
    return pair("padding", padding, 0)


def _padding(
    padding: Padding, sizes: tuple[int, int], spans: list[int], steps: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels before and after the image, along H and W."""
    padding = checked_padding(padding)
    if not isinstance(padding, str):
        return padding, padding
    total = [
        max((math.ceil(size / step) - 1) * step + span - size, 0)
        for size, span, step in zip(sizes, spans, steps, strict=True)
    ]
    before = (total[0] // 2, total[1] // 2)
    return before, (total[0] - before[0], total[1] - before[1])


def _pool_sizes(
    name: str, x: Any, kernel_size: Size, stride: Size | None, padding: Size
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    _, _, height, width = _images(name, x)
    kernel = pair("kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair("stride", stride, 1)
    around = pair("padding", padding, 0)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise ValueError(f"padding {around} is more than half of the kernel {kernel}")
    out = (
        (height + 2 * around[0] - kernel[0]) // steps[0] + 1,
        (width + 2 * around[1] - kernel[1]) // steps[1] + 1,
    )
    if min(out) < 1:
        raise ValueError(f"{name}: a window of {kernel} does not fit into {height} by {width}")
    return kernel, steps, around, out


def max_pool2d(x: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Any:
    """The largest pixel of each window; a tie passes its gradient to the first in reading order.

    Args:
        x: images (N, C, H, W).
        kernel_size: of the windows.
        stride: step of the windows; by default the kernel size, so that they tile the image.
        padding: pixels of minus infinity around the image.

    Returns:
        (N, C, OH, OW), OH = (H + 2 padding - kernel) // stride + 1; what remains is cut off.

    Raises:
        ValueError: sizes that do not fit.
    """
    kernel, steps, around, out = _pool_sizes("max_pool2d", x, kernel_size, stride, padding)
    return max_pool(_padded(x, around, around, _least(x)), kernel, steps, out)


def _least(x: Any) -> float:
    """What is never the larger of two: integers have no infinity."""
    dtype = getattr(x, "dtype", None)
    return int(np.iinfo(dtype).min) if dtype is not None and dtype.kind in "iu" else -math.inf


def avg_pool2d(x: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Any:
    """The mean of each window, padding counted as zeros; arguments as for `max_pool2d`."""
    kernel, steps, around, _ = _pool_sizes("avg_pool2d", x, kernel_size, stride, padding)
    return np.mean(windows(_padded(x, around, around), kernel, steps, (1, 1)), axis=(4, 5))


def adaptive_avg_pool2d(x: Any, output_size: Size) -> Any:
    """Means over a grid of `output_size` cells, which overlap where the sizes do not divide.

    Cell i of n covers the rows floor(i H / n) to ceil((i + 1) H / n), as in PyTorch. Being linear
    along each axis, it is one product with a matrix of shares per axis.

    Args:
        x: images (N, C, H, W).
        output_size: rows and columns of the grid.

    Returns:
        (N, C, rows, columns).

    Raises:
        ValueError: x is no array of images, or the grid has no cells.
    """
    _, _, height, width = _images("adaptive_avg_pool2d", x)
    rows, columns = pair("output_size", output_size, 1)
    dtype = x.dtype if hasattr(x, "dtype") and x.dtype.kind == "f" else None
    return _shares(rows, height, dtype) @ x @ _shares(columns, width, dtype).T


def _shares(cells: int, length: int, dtype: Any) -> Any:
    shares = np.zeros((cells, length), dtype)
    for i in range(cells):
        start, end = i * length // cells, -(-(i + 1) * length // cells)
        shares[i, start:end] = 1 / (end - start)
    return shares
