"""The sizes of a convolution, and the memory order of its images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any
Pair = tuple[int, int]


class Plan(NamedTuple):
    """How a convolution is computed, and its sizes along height and width."""

    method: str  # "im2col", "dft" or "tiles"
    image: Pair
    kernel: Pair
    before: Pair  # pixels of padding above and on the left
    out: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1


def _in_order(x: Array) -> Array:
    """`x` itself if it lies in C order, else a copy."""
    flags = getattr(x, "flags", None)
    return x if flags is not None and flags.c_contiguous else np.copy(x, order="C")


def inward(x: Array) -> Array:
    """(N, C, H, W) as it is computed with: (H, W, N, C), in C order.

    The images that a convolution returns lie in memory so; others are copied.
    """
    return _in_order(np.transpose(x, (2, 3, 0, 1)))


def outward(x: Array) -> Array:
    """The inverse of `inward`, a view."""
    return np.transpose(x, (2, 3, 0, 1))


def kernels_inward(weight: Array) -> Array:
    """(O, C, KH, KW) as (KH, KW, C, O), in C order."""
    return _in_order(np.transpose(weight, (2, 3, 1, 0)))


def kernels_outward(weight: Array) -> Array:
    """The inverse of `kernels_inward`, a view."""
    return np.transpose(weight, (3, 2, 0, 1))
