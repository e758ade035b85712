"""Normalisation to mean 0 and variance 1, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, primitive


def _standardize(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)


# With y the result and s its divisor: (g - mean(g) - y mean(g y)) / s. Ioffe and Szegedy: Batch
# normalization (2015), section 3, with the chain through mean and variance written in one line.
standardize: Primitive = primitive(
    _standardize,
    lambda g, y, x, _axes, _eps: (
        (g - np.mean(g, axis=_axes, keepdims=True) - y * np.mean(g * y, axis=_axes, keepdims=True))
        / np.sqrt(np.var(x, axis=_axes, keepdims=True) + _eps)
    ),
    name="standardize",
)
standardize.__doc__ = """(x - mean) / sqrt(variance + eps), mean and biased variance over `axes`."""


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
