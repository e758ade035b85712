"""Stochastic gradient descent, with momentum in the forms that are in use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.optim.flat import Settings
from tinygrad_fm.optim.loops import Fused
from tinygrad_fm.optim.optimizer import Optimizer, not_negative

FORMS = ("heavy_ball", "velocity", "averaged")


class SGD(Optimizer):
    """w <- w - lr g, or with momentum m in one of three forms:

    - "heavy_ball": v <- m v + g,  w <- w - lr v (PyTorch's; report 002);
    - "velocity": v <- m v - lr g,  w <- w + v (report 000, 4.1.2 and 4.1.3; the same
      while lr is constant);
    - "averaged": v <- m v + (1 - m) g,  w <- w - lr v (report 004, algorithm 1; the same as the
      first with lr (1 - m)).

    With nesterov, the heavy ball looks ahead: w <- w - lr (g + m v). Sutskever, Martens, Dahl,
    Hinton: On the importance of initialization and momentum (2013), in PyTorch's form.

    Args:
        parameters: Tensors that require a gradient, or groups.
        lr: learning rate.
        momentum: share of the velocity that is kept, 0 or more and below 1.
        form: of the momentum.
        nesterov: look ahead; needs momentum, and the form "heavy_ball".

    Raises:
        ValueError: a setting outside its range.
    """

    state = ("velocity",)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        *,
        form: str = "heavy_ball",
        nesterov: bool = False,
    ):
        super().__init__(parameters, lr=lr, momentum=momentum, form=form, nesterov=nesterov)

    def check(self, settings: Settings) -> None:
        """See the class."""
        settings.momentum = not_negative("SGD", "momentum", settings.momentum, below=1)
        if settings.form not in FORMS:
            raise ValueError(f"SGD: form is one of {FORMS}, not {settings.form!r}")
        if settings.nesterov and (not settings.momentum or settings.form != "heavy_ball"):
            raise ValueError("SGD: nesterov needs momentum above 0 and form='heavy_ball'")

    def arrays(self, settings: Settings) -> tuple[str, ...]:
        """A velocity where there is momentum."""
        return self.state if settings.momentum else ()

    def update(
        self, w: Any, g: Any, scratch: Any, step: int, settings: Settings, *state: Any
    ) -> None:
        """One block; see Optimizer.update."""
        if not state:
            np.multiply(g, settings.lr, out=scratch)
            w -= scratch
            return
        (v,) = state
        v *= settings.momentum
        if settings.form == "velocity":
            np.multiply(g, settings.lr, out=scratch)
            v -= scratch
            w += v
            return
        if settings.form == "averaged":
            np.multiply(g, 1 - settings.momentum, out=scratch)
            v += scratch
        else:
            v += g
        if settings.nesterov:
            np.multiply(v, settings.momentum, out=scratch)
            scratch += g
            scratch *= settings.lr
        else:
            np.multiply(v, settings.lr, out=scratch)
        w -= scratch

    def fused(self, step: int, settings: Settings) -> Fused:
        """The forms of momentum are one loop with other numbers; see Optimizer.fused."""
        lr, momentum = settings.lr, settings.momentum
        if not momentum:
            return without_momentum, (lr,)
        if settings.nesterov:
            return with_nesterov, (momentum, lr)
        if settings.form == "velocity":
            return with_momentum, (momentum, -lr, -1.0)
        taken = 1.0 if settings.form == "heavy_ball" else 1 - momentum
        return with_momentum, (momentum, taken, lr)


def without_momentum(w: Any, g: Any, lr: float) -> None:
    """See SGD."""
    for i in range(len(w)):
        w[i] -= lr * g[i]


def with_momentum(w: Any, g: Any, v: Any, kept: float, taken: float, given: float) -> None:
    """See SGD; the velocity takes from the gradient and gives to the weights."""
    for i in range(len(w)):
        v[i] = kept * v[i] + taken * g[i]
        w[i] -= given * v[i]


def with_nesterov(w: Any, g: Any, v: Any, momentum: float, lr: float) -> None:
    """See SGD."""
    for i in range(len(w)):
        v[i] = momentum * v[i] + g[i]
        w[i] -= lr * (momentum * v[i] + g[i])
