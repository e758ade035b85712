"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.optim.optimizer import Optimizer, not_negative
from tinygrad_fm.tensor import Tensor


class SGD(Optimizer):
    """w <- w - lr v, with v = g, or v <- momentum v + g (heavy ball; PyTorch's form).

    With a constant learning rate this is the same as v <- momentum v - lr g, w <- w + v (report
    000, 4.1.1 and 4.1.2).

    Args:
        parameters: Tensors that require a gradient.
        lr: learning rate.
        momentum: share of the velocity that is kept, 0 or more and below 1.

    Raises:
        ValueError: a setting outside its range.
    """

    settings = ("lr", "momentum")

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.0):
        self.momentum = not_negative("SGD", "momentum", momentum, below=1)
        self.state = ("velocity",) if self.momentum else ()  # type: ignore[misc]
        super().__init__(parameters, lr)

    def update(self, w: Any, g: Any, scratch: Any, step: int, *state: Any) -> None:
        """One block; see Optimizer.update."""
        v = g
        if state:
            (v,) = state
            v *= self.momentum
            v += g
        np.multiply(v, self.lr, out=scratch)
        w -= scratch
