"""The matrices that take images to the frequencies of the discrete Fourier transform, and back.

They are made in float64 for each size; what they do is told in `fourier`.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fm.rules.plan import Pair, Plan

Array = Any


class Transform(NamedTuple):
    """Matrices of a linear map from an image to its numbers at frequencies."""

    height: Array  # (rows, height of the image)
    real: Array  # (numbers, width), for a row of a real frequency
    pairs: Array  # (numbers, 2 width), for a pair of rows


@functools.lru_cache(maxsize=256)
def sizes(plan: Plan) -> Pair:
    """Height and width of the transform: what wraps around is zero, or is not read."""
    axes = zip(plan.image, plan.kernel, plan.before, plan.out, plan.dilation, strict=True)
    high, wide = (max(o + (k - 1) * d - p, n + p) for n, k, p, o, d in axes)
    return high, wide


def rank(plan: Plan) -> int:
    """How many numbers an image has, and products a convolution, for each pair of channels."""
    high, wide = sizes(plan)
    of_real = 3 * wide // 2 - 1 + wide % 2
    return (2 - high % 2) * of_real + (high - 1) // 2 * 3 * wide


def _frequencies(size: int, places: Array) -> tuple[Array, Array, list[int], slice]:
    """Cosines and sines; which frequencies are real, and one of each pair of complex ones."""
    angles = 2 * np.pi * (np.outer(np.arange(size), places) % size) / size
    real = [0] if size % 2 else [0, size // 2]
    return np.cos(angles), np.sin(angles), real, slice(1, (size + 1) // 2)


def _in_pairs(a: Array, b: Array) -> Array:
    """Rows of a and b in turn."""
    return np.stack([a, b], axis=1).reshape(-1, a.shape[1])


def _there(size: Pair, rows: Array, columns: Array) -> Transform:
    """From pixels at these places; negative places conjugate the transform."""
    cos, sin, real, kept = _frequencies(size[0], rows)
    height = np.concatenate([cos[real], _in_pairs(cos[kept], -sin[kept])])
    cos, sin, real, kept = _frequencies(size[1], columns)
    a, b = cos[kept], -sin[kept]
    x, y = np.hstack([cos, sin]), np.hstack([-sin, cos])
    return Transform(
        height, np.concatenate([cos[real], a, b, a + b]), np.concatenate([x, y, x + y])
    )


def _back(size: Pair, rows: Array, columns: Array) -> Transform:
    """The transpose of the map from products m1, m2, m3 to pixels at these places.

    A frequency that stands for its conjugate as well counts twice.
    """
    cos, sin, real, kept = _frequencies(size[0], rows)
    height = np.concatenate([cos[real], _in_pairs(2 * cos[kept], -2 * sin[kept])])
    cos, sin, real, kept = _frequencies(size[1], columns)
    a, b = cos[kept], sin[kept]
    of_m1, of_m2, of_m3 = (cos + sin, sin - cos), (sin - cos, -sin - cos), (-sin, cos)
    return Transform(
        height / math.prod(size),
        np.concatenate([cos[real], 2 * (a + b), 2 * (b - a), -2 * b]),
        np.concatenate([np.hstack(of_m1), np.hstack(of_m2), np.hstack(of_m3)]),
    )


@functools.lru_cache(maxsize=64)
def transforms(plan: Plan, dtype: Any) -> tuple[Transform, Transform, Transform]:
    """Of images, of kernels, and the transpose of that of results."""
    size = sizes(plan)
    kernel = [-d * np.arange(k) for k, d in zip(plan.kernel, plan.dilation, strict=True)]
    result = [np.arange(o) - p for o, p in zip(plan.out, plan.before, strict=True)]
    made = (
        _there(size, *map(np.arange, plan.image)),
        _there(size, *kernel),  # conjugate: a correlation does not turn the kernel around
        _back(size, *result),
    )
    image, kernels, results = (Transform(*(m.astype(dtype) for m in t)) for t in made)
    return image, kernels, results
