"""Initial values of parameters: each draws from a generator that is given, or from the default one.

The default generator starts at seed 0 in every process; `seed(s)` restarts it. `legacy()` gives
NumPy's global generator of old, for the results of programs that call np.random.randn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator, RandomState

    Source = Generator | RandomState | int | None

Initializer = Callable[..., Any]

_default: Generator | None = None


def seed(value: int) -> None:
    """Restart the default generator, from which layers draw that are given none."""
    generator().bit_generator.state = np.random.default_rng(value).bit_generator.state


def legacy() -> RandomState:
    """The generator behind np.random.seed and np.random.randn, to pass as `rng`.

    Weights are then drawn in the order in which the layers are made, one standard normal array
    each, as `np.random.randn(*shape) * std` would; biases draw nothing.
    """
    return np.random.mtrand._rand


def generator(rng: Source = None) -> Any:
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
    if isinstance(rng, (np.random.Generator, np.random.RandomState)):
        return rng
    raise TypeError(f"rng is a seed or a np.random.Generator, not {rng!r}")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of one unit: of a weight (inputs, outputs), or (O, C, *kernel)."""
    if len(shape) <= 2:
        return max(shape[0], 1), max(shape[-1], 1)
    field = math.prod(shape[2:])
    return max(shape[1] * field, 1), max(shape[0] * field, 1)


def normal(
    shape: tuple[int, ...], rng: Source = None, *, std: float = 0.01, dtype: Any = np.float32
) -> Any:
    """Independent normal values of mean 0 and standard deviation `std` (not variance)."""
    return (generator(rng).standard_normal(shape) * std).astype(dtype)


def uniform(
    shape: tuple[int, ...], rng: Source = None, *, limit: float = 0.05, dtype: Any = np.float32
) -> Any:
    """Independent values, evenly spread from -limit to limit."""
    return generator(rng).uniform(-limit, limit, shape).astype(dtype)


def he_normal(shape: tuple[int, ...], rng: Source = None, *, dtype: Any = np.float32) -> Any:
    """Normal values of standard deviation sqrt(2 / inputs), for layers before a ReLU.

    He, Zhang, Ren, Sun: Delving deep into rectifiers (2015), eq. 10.
    """
    return normal(shape, rng, std=math.sqrt(2 / fans(shape)[0]), dtype=dtype)


def he_uniform(shape: tuple[int, ...], rng: Source = None, *, dtype: Any = np.float32) -> Any:
    """Evenly spread values of the same variance as `he_normal`."""
    return uniform(shape, rng, limit=math.sqrt(6 / fans(shape)[0]), dtype=dtype)


def xavier_normal(shape: tuple[int, ...], rng: Source = None, *, dtype: Any = np.float32) -> Any:
    """Normal values of standard deviation sqrt(2 / (inputs + outputs)), before tanh or a sigmoid.

    Glorot and Bengio: Understanding the difficulty of training deep networks (2010), eq. 12.
    """
    return normal(shape, rng, std=math.sqrt(2 / sum(fans(shape))), dtype=dtype)


def xavier_uniform(shape: tuple[int, ...], rng: Source = None, *, dtype: Any = np.float32) -> Any:
    """Evenly spread values of the same variance as `xavier_normal` (eq. 16; Keras's default)."""
    return uniform(shape, rng, limit=math.sqrt(6 / sum(fans(shape))), dtype=dtype)


def orthogonal(
    shape: tuple[int, ...], rng: Source = None, *, gain: float = 1.0, dtype: Any = np.float32
) -> Any:
    """A random matrix with orthonormal rows or columns (whichever are fewer), times `gain`.

    More than two axes count as (first, all others). Saxe, McClelland, Ganguli: Exact solutions to
    the nonlinear dynamics of learning (2014).
    """
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = generator(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diag(r))  # which makes it uniform over all such matrices
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def zeros(shape: tuple[int, ...], rng: Source = None, *, dtype: Any = np.float32) -> Any:
    """Zeros; nothing is drawn."""
    return np.zeros(shape, dtype=dtype)
