"""Convolution, pooling and embedding layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm import functional
from tinygrad_fm.functional.convolution import Padding, Size, checked_padding, pair
from tinygrad_fm.functional.convolution_method import checked_method
from tinygrad_fm.nn import init
from tinygrad_fm.nn.module import Module, Parameter
from tinygrad_fm.recording import check
from tinygrad_fm.rules.plan import kernels_inward, kernels_outward
from tinygrad_fm.tensor import Tensor, array_of

if TYPE_CHECKING:
    from numpy.random import Generator


class Conv2d(Module):
    """Cross-correlation of images with learned kernels; see functional.conv2d for the formula.

    Args:
        channels: of the images.
        outputs: number of kernels.
        kernel_size, stride, dilation: whole numbers, or pairs for height and width.
        padding: zeros on each side, a number or a pair, or "same", or "valid" for none.
        groups: parts of channels and kernels that do not mix.
        bias: whether to add one number per kernel.
        method: how it is computed, one of "auto", "im2col", "dft", "tiles".
        rng: a generator or a seed for the initial kernels; None draws from the default generator.
        weight_init: how to draw them, `(shape, rng, dtype=...) -> array`.

    Shapes: x (N, channels, H, W), weight (outputs, channels / groups, KH, KW), result (N, outputs,
    OH, OW).

    Raises:
        ValueError: numbers that are not above 0, or channels or outputs that groups do not divide;
            when called, images that do not fit.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        method: str = "auto",
        rng: Generator | int | None = None,
        weight_init: init.Initializer = init.he_normal,
        dtype: Any = np.float32,
    ):
        kernel = pair("kernel_size", kernel_size, 1)
        if channels < 1 or outputs < 1 or groups < 1 or channels % groups or outputs % groups:
            raise ValueError(
                f"Conv2d({channels}, {outputs}, groups={groups}): channels and outputs are above 0 "
                "and divisible by groups"
            )
        self.stride, self.dilation = pair("stride", stride, 1), pair("dilation", dilation, 1)
        self.padding = checked_padding(padding)
        self.groups = groups
        self.method = checked_method(method)
        shape = (outputs, channels // groups, *kernel)
        # in memory as (KH, KW, C, O), the order in which it is computed with
        drawn = kernels_outward(kernels_inward(weight_init(shape, rng, dtype=dtype)))
        self.weight = Parameter(drawn)
        self.bias = Parameter(np.zeros(outputs, dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        """Shape (N, outputs, OH, OW)."""
        return functional.conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            method=self.method,
        )

    def extra_repr(self) -> str:
        """Channels, kernels, and what differs from the defaults."""
        outputs, channels, *kernel = self.weight.shape
        text = f"{channels * self.groups}, {outputs}, {tuple(kernel)}"
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        text += f", groups={self.groups}" if self.groups > 1 else ""
        return text + (f", method={self.method!r}" if self.method != "auto" else "")


class _Pool2d(Module):
    """Windows over images; see the subclasses."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)

    def extra_repr(self) -> str:
        """Sizes."""
        text = f"{self.kernel_size}"
        return text if self.stride == self.kernel_size else f"{text}, stride={self.stride}"


class MaxPool2d(_Pool2d):
    """The largest pixel of each window; see functional.max_pool2d."""

    def forward(self, x: Any) -> Any:
        """Shape (N, C, OH, OW)."""
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """The mean of each window; see functional.avg_pool2d."""

    def forward(self, x: Any) -> Any:
        """Shape (N, C, OH, OW)."""
        return functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class AdaptiveAvgPool2d(Module):
    """Means over a grid of a given size; see functional.adaptive_avg_pool2d."""

    def __init__(self, output_size: Size):
        self.output_size = pair("output_size", output_size, 1)

    def forward(self, x: Any) -> Any:
        """Shape (N, C, *output_size)."""
        return functional.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """The grid."""
        return f"{self.output_size}"


class Embedding(Module):
    """A learned vector for each of a number of words: `weight[i]`.

    Args:
        words: how many there are.
        features: length of a vector.
        rng: a generator or a seed for the initial vectors, which are standard normal.

    Shapes: i integers (...), result (..., features).

    Raises (when called):
        TypeError: i is no array of integers. ValueError: a number outside 0 to words - 1.
    """

    def __init__(
        self,
        words: int,
        features: int,
        *,
        rng: Generator | int | None = None,
        dtype: Any = np.float32,
    ):
        if words < 1 or features < 1:
            raise ValueError(f"Embedding: words and features are above 0, not {words}, {features}")
        self.weight = Parameter(init.normal((words, features), rng, std=1.0, dtype=dtype))

    def forward(self, numbers: Any) -> Any:
        """The vectors of the numbers."""
        raw = array_of(numbers)
        if raw.dtype.kind not in "iu":
            raise TypeError(f"an Embedding takes whole numbers, not {raw.dtype}")
        check(check_words, raw, self.weight.shape[0])
        # the array, where a list or tuple came: a tuple would be an index along several axes
        return self.weight[numbers if isinstance(numbers, Tensor) else raw]

    def extra_repr(self) -> str:
        """Words and features."""
        return "{}, {}".format(*self.weight.shape)


def check_words(numbers: Any, words: int) -> None:
    """Refuse numbers that are no word."""
    if numbers.size and (numbers.min() < 0 or numbers.max() >= words):
        bad = numbers.min() if numbers.min() < 0 else numbers.max()
        raise ValueError(f"Embedding of {words} words got {bad}; they are 0 to {words - 1}")
