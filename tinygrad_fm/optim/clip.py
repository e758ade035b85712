"""Clipping of gradients, between backward() and step()."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive, state
from tinygrad_fm.recording import no_grad
from tinygrad_fm.tensor import Tensor

# Squares summed in the gradient's own dtype, before the sums are added in float64.
ROW = 4096


def clip_by_value(parameters: Iterable[Tensor], limit: float) -> None:
    """Limit every element of every gradient to -limit ... limit, in place.

    Raises:
        ValueError: the limit is not above 0.
        TypeError: the parameters are one Tensor, or a model.
    """
    if not limit > 0:
        raise ValueError(f"limit is above 0, not {limit!r}")
    found = _with_gradients("clip_by_value", parameters)
    if state.mode.trace is not None:
        with no_grad():
            for p in found:
                p.grad = np.clip(p.grad, -limit, limit)
        return
    for p in found:
        np.clip(p.grad.data, -limit, limit, out=p.grad.data)


def clip_by_norm(parameters: Iterable[Tensor], limit: float) -> float:
    """Scale all gradients, in place, so that their 2-norm together is at most `limit`.

    Pascanu, Mikolov, Bengio: On the difficulty of training recurrent networks (2013). Where the
    norm is infinite or NaN, nothing is changed.

    Returns:
        the norm before.

    Raises:
        ValueError: the limit is not above 0.
        TypeError: the parameters are one Tensor, or a model.
    """
    if not limit > 0:
        raise ValueError(f"limit is above 0, not {limit!r}")
    found = _with_gradients("clip_by_norm", parameters)
    if state.mode.trace is not None:
        return _clip_traced(found, limit)
    gradients = [p.grad.data for p in found]
    norm = math.sqrt(sum(map(_sum_of_squares, gradients)))
    if limit < norm < math.inf:
        for g in gradients:
            g *= limit / norm
    return norm


def _clip_traced(parameters: list[Any], limit: float) -> Any:
    """`clip_by_norm` without a look at the numbers, as a program needs it; the norm is a Tensor."""
    with no_grad():
        norm: Any = np.sqrt(sum(sum_of_squares(p.grad) for p in parameters))
        too_long = (limit < norm) & (norm < math.inf)
        factor = np.where(too_long, limit / np.where(too_long, norm, 1), 1)
        for p in parameters:
            p.grad = p.grad * factor.astype(p.dtype)
    return norm


def _sum_of_squares(g: Any) -> float:
    """In one pass over memory, where the squares of all elements are numbers of g's own dtype."""
    flat = g.ravel(order="K")
    whole = flat.size // ROW * ROW
    rows = flat[:whole].reshape(-1, ROW)
    if g.dtype.itemsize > 2:  # half precision would lose too much
        with np.errstate(over="ignore", invalid="ignore"):
            sums = float(np.sum(np.vecdot(rows, rows), dtype=np.float64))
            rest = float(np.vecdot(flat[whole:], flat[whole:]))
        if 1e-20 < sums + rest < math.inf:
            return sums + rest
    return float(np.sum(np.square(g, dtype=np.float64)))


sum_of_squares = primitive(_sum_of_squares, name="sum_of_squares")


def _with_gradients(name: str, parameters: Iterable[Tensor]) -> list[Any]:
    """The parameters that have a gradient, one that is given twice once."""
    if isinstance(parameters, Tensor):
        raise TypeError(f"{name} takes a list of Tensors; write [parameter]")
    if hasattr(parameters, "parameters"):
        raise TypeError(f"{name} takes a list of Tensors; write model.parameters()")
    unique = {id(p): p for p in parameters}.values()
    return [p for p in unique if p.grad is not None]
