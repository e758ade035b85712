"""Clipping of gradients, between backward() and step()."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinygrad_fm.tensor import Tensor


def clip_by_value(parameters: Iterable[Tensor], limit: float) -> None:
    """Limit every element of every gradient to -limit ... limit, in place.

    Raises:
        ValueError: the limit is not above 0.
    """
    if not limit > 0:
        raise ValueError(f"limit is above 0, not {limit!r}")
    for p in parameters:
        if p.grad is not None:
            np.clip(p.grad.data, -limit, limit, out=p.grad.data)


def clip_by_norm(parameters: Iterable[Tensor], limit: float) -> float:
    """Scale all gradients, in place, so that their 2-norm together is at most `limit`.

    Pascanu, Mikolov, Bengio: On the difficulty of training recurrent networks (2013). Where the
    norm is infinite or NaN, nothing is changed.

    Returns:
        the norm before.

    Raises:
        ValueError: the limit is not above 0.
    """
    if not limit > 0:
        raise ValueError(f"limit is above 0, not {limit!r}")
    gradients = [p.grad.data for p in parameters if p.grad is not None]
    # in float64: the squares of large float32 gradients overflow
    norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))
    if limit < norm < math.inf:
        for g in gradients:
            g *= limit / norm
    return norm
