"""RMSprop and Adagrad: steps divided by a measure of past gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.optim.flat import Settings
from tinygrad_fm.optim.loops import Fused
from tinygrad_fm.optim.optimizer import Optimizer, not_negative


class RMSprop(Optimizer):
    """c <- alpha c + (1 - alpha) g^2;  w <- w - lr g / (sqrt(c) + eps).

    Hinton: Neural networks for machine learning, lecture 6e (2012); named in report 000,
    section 4.1.3.

    Args:
        parameters: Tensors that require a gradient, or groups.
        lr: learning rate.
        alpha: share of c that is kept, 0 or more and below 1.
        eps: keeps the division finite.

    Raises:
        ValueError: a setting outside its range.
    """

    state = ("mean_square",)

    def __init__(
        self, parameters: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8
    ):
        super().__init__(parameters, lr=lr, alpha=alpha, eps=eps)

    def check(self, settings: Settings) -> None:
        """See the class."""
        settings.alpha = not_negative("RMSprop", "alpha", settings.alpha, below=1)
        settings.eps = not_negative("RMSprop", "eps", settings.eps)

    def update(
        self, w: Any, g: Any, scratch: Any, step: int, settings: Settings, *state: Any
    ) -> None:
        """One block; see Optimizer.update."""
        (c,) = state
        c *= settings.alpha
        np.multiply(g, g, out=scratch)
        scratch *= 1 - settings.alpha
        c += scratch
        _step(w, g, c, scratch, settings)

    def fused(self, step: int, settings: Settings) -> Fused:
        """See Optimizer.fused."""
        return scaled_step, (settings.alpha, 1 - settings.alpha, settings.eps, settings.lr)


class Adagrad(Optimizer):
    """c <- c + g^2;  w <- w - lr g / (sqrt(c) + eps).

    Duchi, Hazan, Singer: Adaptive subgradient methods (2011).

    Args:
        parameters: Tensors that require a gradient, or groups.
        lr: learning rate.
        eps: keeps the division finite.

    Raises:
        ValueError: a setting outside its range.
    """

    state = ("sum_of_squares",)

    def __init__(self, parameters: Iterable[Any], lr: float = 1e-2, eps: float = 1e-10):
        super().__init__(parameters, lr=lr, eps=eps)

    def check(self, settings: Settings) -> None:
        """See the class."""
        settings.eps = not_negative("Adagrad", "eps", settings.eps)

    def update(
        self, w: Any, g: Any, scratch: Any, step: int, settings: Settings, *state: Any
    ) -> None:
        """One block; see Optimizer.update."""
        (c,) = state
        np.multiply(g, g, out=scratch)
        c += scratch
        _step(w, g, c, scratch, settings)

    def fused(self, step: int, settings: Settings) -> Fused:
        """See Optimizer.fused."""
        return scaled_step, (1.0, 1.0, settings.eps, settings.lr)


def _step(w: Any, g: Any, c: Any, scratch: Any, settings: Settings) -> None:
    """w <- w - lr g / (sqrt(c) + eps)."""
    np.sqrt(c, out=scratch)
    scratch += settings.eps
    np.divide(g, scratch, out=scratch)
    scratch *= settings.lr
    w -= scratch


def scaled_step(w: Any, g: Any, c: Any, kept: float, taken: float, eps: float, lr: float) -> None:
    """See RMSprop, and Adagrad, where all is kept."""
    for i in range(len(w)):
        c[i] = kept * c[i] + taken * (g[i] * g[i])
        w[i] -= lr * (g[i] / (math.sqrt(c[i]) + eps))
