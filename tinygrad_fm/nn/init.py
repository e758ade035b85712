"""Initial values of parameters: each draws from a generator that is given, or from the default one.

The default generator starts at seed 0 in every process; `seed(s)` restarts it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

Initializer = Callable[..., Any]
Random = "Generator | int | None"

_default: Generator | None = None


def seed(value: int) -> None:
    """Restart the default generator, from which layers draw that are given none."""
    global _default
    _default = np.random.default_rng(value)


def generator(rng: Generator | int | None = None) -> Generator:
    """`rng` itself, a new generator for a seed, or the default generator for None.

    Raises:
        TypeError: anything else.
    """
    global _default
    if rng is None:
        if _default is None:  # made late: importing numpy.random takes a third of the start-up
            _default = np.random.default_rng(0)
        return _default
    if isinstance(rng, (int, np.integer)):
        return np.random.default_rng(rng)
    if isinstance(rng, np.random.Generator):
        return rng
    raise TypeError(f"rng is a seed or a np.random.Generator, not {rng!r}")


def normal(
    shape: tuple[int, ...],
    rng: Generator | int | None = None,
    *,
    std: float = 0.01,
    dtype: Any = np.float32,
) -> Any:
    """Independent normal values of mean 0 and standard deviation `std` (not variance)."""
    return (generator(rng).standard_normal(shape) * std).astype(dtype)


def he_normal(
    shape: tuple[int, ...], rng: Generator | int | None = None, *, dtype: Any = np.float32
) -> Any:
    """Normal values of standard deviation sqrt(2 / inputs), for layers before a ReLU.

    For a weight of shape (inputs, outputs), or (outputs, inputs, *kernel) with more than two axes.
    He, Zhang, Ren, Sun: Delving deep into rectifiers (2015), eq. 10.
    """
    inputs = shape[0] if len(shape) <= 2 else math.prod(shape[1:])
    return normal(shape, rng, std=math.sqrt(2 / max(inputs, 1)), dtype=dtype)


def zeros(
    shape: tuple[int, ...], rng: Generator | int | None = None, *, dtype: Any = np.float32
) -> Any:
    """Zeros; nothing is drawn."""
    return np.zeros(shape, dtype=dtype)
