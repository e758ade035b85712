"""Numerical gradients at named entries, as reports 002 and 004 check theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def central(loss: Callable[[], Any], parameter: Any, index: tuple[int, ...], eps: float) -> float:
    """(E(w + eps) - E(w - eps)) / (2 eps); report 002, eq. 1, and report 004, eq. 5."""
    old = parameter.data[index].copy()
    errors = []
    for step in (eps, -eps):
        parameter.data[index] = old + step
        errors.append(float(loss().item()))
    parameter.data[index] = old
    return (errors[0] - errors[1]) / (2 * eps)


def difference(
    loss: Callable[[], Any], parameter: Any, index: tuple[int, ...], eps: float
) -> float:
    """The numerical gradient at an entry minus the gradient of the backward pass."""
    numeric = central(loss, parameter, index, eps)
    parameter.grad = None
    loss().backward()
    return numeric - float(parameter.grad.data[index])
