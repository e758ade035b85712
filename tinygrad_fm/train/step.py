"""One step of training: forward, backward and update, as it is or compiled to a program."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.nn import Module
from tinygrad_fm.program import Compiled
from tinygrad_fm.recording import check
from tinygrad_fm.train.callback import TrainingState
from tinygrad_fm.train.evaluation import as_tensor, number_of

Step = Callable[..., tuple[Any, Any]]


class NotFiniteLossError(ArithmeticError):
    """The loss of a batch is NaN or infinite, and nothing was updated."""

    def __init__(self, value: float):
        super().__init__(f"the loss is {value}")
        self.value = value


def check_finite(loss: Any) -> None:
    """Refuse a loss that is not finite."""
    value = number_of(loss)
    if not math.isfinite(value):
        raise NotFiniteLossError(value)


def training_step(state: TrainingState, loss: Any, compile: bool | None) -> Step:
    """A function `(x, y) -> (loss, prediction)` that learns from a batch.

    Of several batches for one update, the first and the last are told, and each one's share.
    """
    model, optimizer = state.model, state.optimizer

    def step(
        x: Any, y: Any, first: bool = True, last: bool = True, share: float = 1.0
    ) -> tuple[Any, Any]:
        prediction = model(as_tensor(x))
        value = loss(prediction, y)
        check(check_finite, value)
        if first:  # after the forward pass: an explanation looks at the last gradients
            optimizer.zero_grad()
        (value if share == 1 else value * share).backward()
        if last:
            optimizer.step()
        return value, prediction

    if compile is None:
        compile = all(map(is_ours, (model, loss, optimizer)))
        return Compiled(step, strict=False) if compile else step
    return Compiled(step) if compile else step


def is_ours(part: Any) -> bool:
    """Whether a model, a loss or an optimizer is made of the library's own parts alone."""
    if isinstance(part, Module):
        held = [value for m in part.modules() for value in vars(m).values() if callable(value)]
        functions = [f for f in held if not isinstance(f, Module)]
        return all(map(_of_library, (*map(type, part.modules()), *functions)))
    return _of_library(part if isinstance(part, types.FunctionType) else type(part))


def _of_library(thing: Any) -> bool:
    module = str(getattr(thing, "__module__", ""))
    return module.startswith("tinygrad_fm.") or isinstance(thing, np.ufunc)
