"""Convolution and pooling of images (N, C, H, W).

Images may lie in memory in any order. Results lie as (H, W, N, C), which makes a convolution a
product of matrices as they are; NumPy's element-wise functions keep the order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fm.functional.convolution_method import with_method
from tinygrad_fm.rules import convolution
from tinygrad_fm.rules.plan import Plan
from tinygrad_fm.rules.shaping import pad_constant
from tinygrad_fm.rules.windows import avg_pool, max_pool
from tinygrad_fm.tensor import shape_of

Size = int | tuple[int, int]
Pair = tuple[int, int]
Padding = int | Pair | tuple[Pair, Pair] | str


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
    method: str = "auto",
) -> Any:
    """Cross-correlation, as neural networks call convolution.

    y[n, o, i, j] = bias[o] + sum over c, k, l of
        x[n, c, i * stride + k * dilation, j * stride + l * dilation] * weight[o, c, k, l]

    Args:
        x: images (N, C, H, W).
        weight: kernels (O, C / groups, KH, KW).
        bias: (O,) or None.
        stride: step of the windows.
        padding: zeros around the image: pixels on each side, a number or two (along H and W), or
            ((top, bottom), (left, right)); or "same", for a result of ceil(H / stride) by
            ceil(W / stride); or "valid", for none.
        dilation: distance of the pixels under neighbouring elements of the kernel.
        groups: the channels and kernels are split into so many parts that do not mix.
        method: how it is computed:
            - "im2col": the sum itself, as a matrix product over windows;
            - "dft": as products at the frequencies of whole images. Takes stride 1, one group, and
              float32 or float64 throughout. Errors relative to the largest result are 1e-6 to 1e-5
              in float32, 1e-14 in float64;
            - "tiles": in tiles of results, from 6 by 6 pixels each, at small integers (Toom and
              Cook). Likewise, and square kernels of 2 to 5 pixels without dilation. Errors are
              about 1e-5 in float32, 1e-14 in float64;
            - "auto": the one with the lowest estimate of its time.
            The errors of "dft" and "tiles" are relative to the largest pixel of the image, or of
            the tile: an outlier of 1e4 costs results near 1 about 1e-3 by "dft", however far away
            they are. Numbers near the largest of the dtype may overflow on the way. Where there is
            a NaN or an infinity, both turn to "im2col".
            With the extra `fast` loops compute them where a million numbers or more are multiplied:
            to the same errors but other last digits, and np.errstate does not tell of an overflow.
            Each thread keeps the memory that it computes in, at most 128 MiB: "im2col" needs 4 MiB
            (up to 8 below 8 channels), or the windows of one pixel of the result (of 64 pixels in
            the loops); "tiles" 4 MiB (10 in float32, 20 in float64 in the loops), or one tile of
            all images, and 36 numbers for each kernel and channel, for the gradient of kernels as
            often as threads share it; in the loops both may need the kernels once more, turned
            around; "dft" more than images and results take, for as many images at a time as that
            allows, and "auto" leaves it out where it does not allow one. With the
            extra `threads` as many threads as the matrix library uses share a convolution that is
            large enough, and the library uses one meanwhile; so do they for as long as a compiled
            step runs that has one.

    Returns:
        (N, O, OH, OW), OH = (H + paddings - dilation * (KH - 1) - 1) // stride + 1.

    Raises:
        ValueError: shapes, sizes or groups that do not fit, or a method that does not apply.
    """
    _, c, height, width = _images("conv2d", x)
    if len(shape_of(weight)) != 4:
        raise ValueError(f"a kernel has shape (O, C, KH, KW), not {shape_of(weight)}")
    o, c_group, *sides = shape_of(weight)
    if 0 in sides:
        raise ValueError(f"a kernel has at least one pixel, not {sides[0]} by {sides[1]}")
    kernel = sides[0], sides[1]
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
    plan = Plan(method, (height, width), kernel, before, (out[0], out[1]), steps, gaps, groups)
    return convolution.conv2d(x, weight, bias, with_method(plan, x, weight, bias))


def checked_padding(padding: Padding) -> Pair | tuple[Pair, Pair] | str:
    """Pixels along H and W, one number each or two (before and after), or "same".

    Raises:
        ValueError: anything else.
    """
    if padding == "same":
        return "same"
    if padding == "valid":
        return 0, 0
    if isinstance(padding, str):
        raise ValueError(f"padding is a number, two numbers, 'same' or 'valid', not {padding!r}")
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != 2:
            raise ValueError(
                f"padding is ((top, bottom), (left, right)) where sides differ, not {padding!r}"
            )
        return pair("padding", padding[0], 0), pair("padding", padding[1], 0)
    return pair("padding", padding, 0)


def _padding(padding: Padding, sizes: Pair, spans: list[int], steps: Pair) -> tuple[Pair, Pair]:
    """Pixels before and after the image, along H and W."""
    checked = checked_padding(padding)
    if isinstance(checked, str):
        total = [
            max((math.ceil(size / step) - 1) * step + span - size, 0)
            for size, span, step in zip(sizes, spans, steps, strict=True)
        ]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])
    (top, bottom), (left, right) = (p if isinstance(p, tuple) else (p, p) for p in checked)
    return (top, left), (bottom, right)


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
    kernel, steps, around, out = _pool_sizes("avg_pool2d", x, kernel_size, stride, padding)
    return avg_pool(_padded(x, around, around), kernel, steps, out)


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
