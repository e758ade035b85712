"""Weight decay as the reports' programs do it: beside the gradient, not through the momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm import optim
from tinygrad_fm.optim.flat import Settings
from tinygrad_fm.optim.optimizer import Optimizer, not_negative

FORMS = ("squares", "absolute", "unscaled")


class DecayedSGD(optim.SGD):
    """SGD that first shrinks the weights, in one of three forms, and then takes its step:

    - "squares": w <- w - lr decay 2 w, as of the penalty decay ||w||^2 (report 004's L2);
    - "absolute": w <- w - lr decay sign(w), as of the penalty decay ||w||_1 (report 004's L1);
    - "unscaled": w <- w - decay w, whatever the learning rate (report 001, and what report
      002's figures look like).

    Args:
        parameters, lr, momentum, form: as for SGD.
        decay: 0 or more.
        decay_form: as above.

    Raises:
        ValueError: a setting outside its range.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        *,
        form: str = "heavy_ball",
        decay: float = 0.0,
        decay_form: str = "squares",
    ):
        Optimizer.__init__(  # SGD's own would not know the decay
            self,
            parameters,
            lr=lr,
            momentum=momentum,
            form=form,
            nesterov=False,
            decay=decay,
            decay_form=decay_form,
        )

    def check(self, settings: Settings) -> None:
        """See the class."""
        super().check(settings)
        settings.decay = not_negative("DecayedSGD", "decay", settings.decay)
        if settings.decay_form not in FORMS:
            raise ValueError(
                f"DecayedSGD: decay_form is one of {FORMS}, not {settings.decay_form!r}"
            )

    def update(
        self, w: Any, g: Any, scratch: Any, step: int, settings: Settings, *state: Any
    ) -> None:
        """One block; see Optimizer.update."""
        if settings.decay_form == "unscaled":
            w *= 1 - settings.decay
        elif settings.decay_form == "squares":
            w *= 1 - settings.lr * settings.decay * 2
        elif settings.decay:
            np.sign(w, out=scratch)
            scratch *= settings.lr * settings.decay
            w -= scratch
        super().update(w, g, scratch, step, settings, *state)
