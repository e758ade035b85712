"""Adam: steps scaled by running moments of the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.optim.optimizer import Optimizer, not_negative
from tinygrad_fm.tensor import Tensor


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr m' / (sqrt(v') + eps).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) correct the start from zero. Kingma and Ba: Adam
    (2015), algorithm 1; report 000, 4.1.3.

    Args:
        parameters: Tensors that require a gradient.
        lr: learning rate.
        betas: (b1, b2), the shares of the moments that are kept; 0 or more and below 1.
        eps: keeps the division finite.

    Raises:
        ValueError: a setting outside its range.
    """

    # the moments are kept as m / (1 - b1) and v / (1 - b2): two passes over memory fewer
    state = ("scaled_moment1", "scaled_moment2")
    settings = ("lr", "betas", "eps")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        b1, b2 = (not_negative("Adam", "betas", b, below=1) for b in betas)
        self.betas = (b1, b2)
        self.eps = not_negative("Adam", "eps", eps)
        super().__init__(parameters, lr)

    def update(self, w: Any, g: Any, scratch: Any, step: int, *state: Any) -> None:
        """One block; see Optimizer.update. The constants of all factors meet in two numbers."""
        m, v = state
        b1, b2 = self.betas
        root = math.sqrt((1 - b2) / (1 - b2**step))
        factor = self.lr * (1 - b1) / (1 - b1**step) / root
        m *= b1
        m += g
        v *= b2
        np.multiply(g, g, out=scratch)
        v += scratch
        np.sqrt(v, out=scratch)
        scratch += self.eps / root
        np.divide(m, scratch, out=scratch)
        scratch *= factor
        w -= scratch
