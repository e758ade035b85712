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


def inward(x: Array) -> Array:
    """(N, C, H, W) as it is computed with: (H, W, N, C), in C order.

    The images that a convolution returns lie in memory so; others are copied.
    """
    turned = np.transpose(x, (2, 3, 0, 1))
    if isinstance(turned, np.ndarray) and not turned.flags.c_contiguous:
        return np.copy(turned, order="C")
    return turned


def kernels_inward(weight: Array) -> Array:
    """(O, C, KH, KW) as (KH, KW, C, O), in C order."""
    turned = np.transpose(weight, (2, 3, 1, 0))
    if isinstance(turned, np.ndarray) and not turned.flags.c_contiguous:
        return np.copy(turned, order="C")
    return turned


def outward(x: Array) -> Array:
    """The inverse of `inward`, a view."""
    return np.transpose(x, (2, 3, 0, 1))


def kernels_outward(weight: Array) -> Array:
    """The inverse of `kernels_inward`, a view."""
    return np.transpose(weight, (3, 2, 0, 1))
