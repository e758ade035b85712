"""Tables of cosines and sines by which loops take convolutions to frequencies and back."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_fm.rules.frequencies import sizes
from tinygrad_fm.rules.plan import Pair, Plan

Array = Any
Places = tuple[range, range]
Table = tuple[Array, Array]  # for the height, and for the width


@functools.lru_cache(maxsize=256)
def of_convolution(plan: Plan, dtype: Any) -> tuple[Table, Table, Table]:
    """Of images, of kernels, and of results."""
    image, kernel, result = _places(plan)
    size = sizes(plan)
    turned = _conjugate(kernel)
    return _there(size, image, dtype), _there(size, turned, dtype), _back(size, result, dtype)


@functools.lru_cache(maxsize=256)
def of_gradient(plan: Plan, rows: tuple[int, ...], dtype: Any) -> tuple[Table, Table, Table]:
    """Of images, and of the gradient of results, at some rows; and of that of kernels."""
    image, kernel, result = _places(plan)
    size = sizes(plan)
    there, turned = (_there(size, p, dtype, rows) for p in (image, _conjugate(result)))
    return there, turned, _back(size, kernel, dtype)


@functools.cache
def rows_of(size: int) -> tuple[int, ...]:
    """Which rows there are, if row // 2 is the frequency of the height: real ones have one."""
    there = [[2 * u, 2 * u + 1] if 2 * u % size else [2 * u] for u in range(size // 2 + 1)]
    return tuple(row for rows in there for row in rows)


def _angles(size: int, places: range) -> tuple[Array, Array]:
    """Cosines and sines, (frequencies from 0 to half, places)."""
    angles = 2 * np.pi * (np.outer(np.arange(size // 2 + 1), np.array(places)) % size) / size
    return np.cos(angles), np.sin(angles)


def _in_turn(a: Array, b: Array) -> Array:
    """Rows of both, in turn."""
    return np.stack([a, b], axis=1).reshape(-1, a.shape[1])


def _frozen(matrix: Array, dtype: Any) -> Array:
    """Flat, and not to be written, as it is kept."""
    made = matrix.astype(dtype, "C").reshape(-1)
    made.flags.writeable = False
    return made


def _there(size: Pair, places: Places, dtype: Any, those: tuple[int, ...] | None = None) -> Table:
    """The matrix of `to_rows`, (rows, H), of all rows or those, and the table of `to_numbers`."""
    (cos, sin), (cos2, sin2) = map(_angles, size, places)
    matrix = _in_turn(cos, -sin)[list(rows_of(size[0]) if those is None else those)]
    return _frozen(matrix, dtype), _frozen(_in_turn(cos2, sin2), dtype)


def _back(size: Pair, places: Places, dtype: Any) -> Table:
    """The matrix of `from_rows`, (H, rows), and the table of `from_numbers`."""
    (cos, sin), (cos2, sin2) = map(_angles, size, places)
    real = 2 * np.arange(len(cos)) % size[0] == 0
    times = np.where(real, 1, 2)[:, None] / math.prod(size)  # others, of their conjugates as well
    matrix = _in_turn(times * cos, -times * sin)[list(rows_of(size[0]))]
    return _frozen(matrix.T, dtype), _frozen(_in_turn(cos2, -sin2).T, dtype)


def _places(plan: Plan) -> tuple[Places, Places, Places]:
    """Where pixels of images, kernels and results are: result i is the sum of image i + k."""
    image = range(plan.image[0]), range(plan.image[1])
    high, wide = (range(0, k * d, d) for k, d in zip(plan.kernel, plan.dilation, strict=True))
    tall, broad = (range(-p, o - p) for o, p in zip(plan.out, plan.before, strict=True))
    return image, (high, wide), (tall, broad)


def _conjugate(places: Places) -> Places:
    """Of a correlation: what is turned around is at the conjugate frequencies."""
    high, wide = (range(-r.start, -r.stop, -r.step) for r in places)
    return high, wide
