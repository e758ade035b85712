"""Adam and AdamW: steps scaled by running moments of the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.optim.flat import Settings
from tinygrad_fm.optim.loops import Fused
from tinygrad_fm.optim.optimizer import Optimizer, not_negative


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr m' / (sqrt(v') + eps).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) correct the start from zero. Kingma and Ba: Adam
    (2015), algorithm 1; named in report 000, section 4.1.3.

    Args:
        parameters: Tensors that require a gradient, or groups.
        lr: learning rate.
        betas: (b1, b2), the shares of the moments that are kept; 0 or more and below 1.
        eps: keeps the division finite.

    Raises:
        ValueError: a setting outside its range.
    """

    # the moments are kept as m / (1 - b1) and v / (1 - b2): two passes over memory fewer
    state = ("scaled_moment1", "scaled_moment2")

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps)

    def check(self, settings: Settings) -> None:
        """See the class."""
        name = type(self).__name__
        betas = settings.betas
        if isinstance(betas, str) or np.shape(betas) != (2,):
            raise TypeError(
                f"{name}: betas are two numbers, not {betas!r:.60}; write betas=(0.9, 0.999)"
            )
        b1, b2 = (not_negative(name, "betas", b, below=1) for b in betas)
        settings.betas = (b1, b2)
        settings.eps = not_negative(name, "eps", settings.eps)

    def update(
        self, w: Any, g: Any, scratch: Any, step: int, settings: Settings, *state: Any
    ) -> None:
        """One block; see Optimizer.update."""
        m, v = state
        b1, b2, eps, factor = _numbers(step, settings)
        m *= b1
        m += g
        v *= b2
        np.multiply(g, g, out=scratch)
        v += scratch
        np.sqrt(v, out=scratch)
        scratch += eps
        np.divide(m, scratch, out=scratch)
        scratch *= factor
        w -= scratch

    def fused(self, step: int, settings: Settings) -> Fused:
        """See Optimizer.fused."""
        return adam, (*_numbers(step, settings), 1.0)


class AdamW(Adam):
    """Adam after w <- w - lr weight_decay w: the decay does not pass through the moments.

    It applies to every parameter of its group; biases can be given a group without decay.
    Loshchilov and Hutter: Decoupled weight decay regularization (2019).

    Args:
        parameters, lr, betas, eps: as for Adam.
        weight_decay: 0 or more.

    Raises:
        ValueError: a setting outside its range.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        Optimizer.__init__(  # Adam's own would not know the decay
            self, parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay
        )

    def check(self, settings: Settings) -> None:
        """See the class."""
        super().check(settings)
        settings.weight_decay = not_negative("AdamW", "weight_decay", settings.weight_decay)

    def update(
        self, w: Any, g: Any, scratch: Any, step: int, settings: Settings, *state: Any
    ) -> None:
        """One block; see Optimizer.update."""
        w *= 1 - settings.lr * settings.weight_decay
        super().update(w, g, scratch, step, settings, *state)

    def fused(self, step: int, settings: Settings) -> Fused:
        """See Optimizer.fused."""
        return adam, (*_numbers(step, settings), 1 - settings.lr * settings.weight_decay)


def _numbers(step: int, settings: Settings) -> tuple[float, float, float, float]:
    """b1, b2, and the two numbers in which eps, lr and the constants of all factors meet."""
    b1, b2 = settings.betas
    root = math.sqrt((1 - b2) / (1 - b2**step))
    return b1, b2, settings.eps / root, settings.lr * (1 - b1) / (1 - b1**step) / root


def adam(
    w: Any, g: Any, m: Any, v: Any, b1: float, b2: float, eps: float, factor: float, kept: float
) -> None:
    """See Adam, and AdamW for the share of the weights that is kept."""
    for i in range(len(w)):
        m[i] = b1 * m[i] + g[i]
        v[i] = b2 * v[i] + g[i] * g[i]
        w[i] = kept * w[i] - factor * (m[i] / (math.sqrt(v[i]) + eps))
