"""The sizes of a convolution, and the memory order of its images."""

from __future__ import annotations

import functools
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


def inside(where: slice, size: int) -> slice:
    """The part of a range that lies within 0 and size; an empty one if none does."""
    start = min(max(0, where.start), size)
    return slice(start, max(start, min(where.stop, size)))


@functools.lru_cache(maxsize=256)
def turned(plan: Plan) -> Plan:
    """Of the convolution by kernels turned around that takes a gradient back, at stride 1."""
    axes = zip(plan.kernel, plan.dilation, plan.before, strict=True)
    above, beside = (d * (k - 1) - p for k, d, p in axes)
    return plan._replace(image=plan.out, out=plan.image, before=(above, beside))


# NumPy's own functions look for arrays of other libraries first, which takes most of a small call.


def moved(x: Array, axes: tuple[int, ...]) -> Array:
    """np.transpose."""
    return x.transpose(axes) if type(x) is np.ndarray else np.transpose(x, axes)


def shaped(x: Array, shape: tuple[int, ...]) -> Array:
    """np.reshape."""
    return x.reshape(shape) if type(x) is np.ndarray else np.reshape(x, shape)


def _in_order(x: Array) -> Array:
    """`x` itself if it lies in C order, else a copy."""
    flags = getattr(x, "flags", None)
    return x if flags is not None and flags.c_contiguous else np.copy(x, order="C")


def inward(x: Array) -> Array:
    """(N, C, H, W) as it is computed with: (H, W, N, C), in C order.

    The images that a convolution returns lie in memory so; others are copied.
    """
    return _in_order(moved(x, (2, 3, 0, 1)))


def outward(x: Array) -> Array:
    """The inverse of `inward`, a view."""
    return moved(x, (2, 3, 0, 1))


def kernels_inward(weight: Array) -> Array:
    """(O, C, KH, KW) as (KH, KW, C, O), in C order."""
    return _in_order(moved(weight, (2, 3, 1, 0)))


def kernels_outward(weight: Array) -> Array:
    """The inverse of `kernels_inward`, a view."""
    return moved(weight, (3, 2, 0, 1))
