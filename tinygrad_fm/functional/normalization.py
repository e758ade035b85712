"""Normalisation to mean 0 and variance 1, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, primitive

centre: Primitive = primitive(
    lambda x, axes: x - np.mean(x, axis=axes, keepdims=True),
    lambda g, _y, _x, axes: g - np.mean(g, axis=axes, keepdims=True),
    name="centre",
)
centre.__doc__ = """x - mean, over `axes`."""

mean_square: Primitive = primitive(
    lambda x, axes: np.mean(x * x, axis=axes, keepdims=True),
    lambda g, _y, x, _axes: g * (2 * g.size / x.size) * x,
    name="mean_square",
)
mean_square.__doc__ = (
    """The mean of x^2 over `axes`, which are kept: the variance of what is centred."""
)


def standardize(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """(x - mean) / sqrt(variance + eps), mean and biased variance over `axes`.

    The variance is an operation of its own, so that neither the backward pass nor a layer that
    keeps statistics computes it again.
    """
    centred = centre(x, axes)
    return centred * (1 / np.sqrt(mean_square(centred, axes) + eps))


def _uniform(rng: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(rng, np.random.Generator):
        return rng.random(shape, dtype=np.float32)
    return rng.random_sample(shape)  # a RandomState, which draws nothing shorter


# the mask is recorded with x, so that a program draws it anew, but nothing flows through it
_keep_mask: Primitive = primitive(
    lambda x, keep, rng: (_uniform(rng, x.shape) < keep) * x.dtype.type(1 / keep),
    name="dropout_mask",
)


def dropout(x: Any, p: float, rng: Any) -> Any:
    """x with each element zero with probability p, the others divided by 1 - p.

    Srivastava et al.: Dropout (2014), in the form that leaves evaluation unchanged.

    Args:
        x: array of floats.
        p: at least 0 and below 1.
        rng: a np.random.Generator or RandomState, which draws as many numbers as x has.

    Returns:
        the shape and dtype of x; x itself where p is 0.

    Raises:
        TypeError: x is no array of floats.
    """
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    if dtype.kind != "f":
        raise TypeError(f"dropout takes floats, not {dtype}; write x.astype(np.float32)")
    return x if p == 0 else x * _keep_mask(x, 1 - p, rng)
