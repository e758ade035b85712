"""Why a loss is not finite: a parameter, the batch itself, or an operation on its way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_fm.debug import NonFiniteError, NonFiniteTrace, Origin
from tinygrad_fm.debug.arrays import all_finite, describe, describe_nonfinite, largest
from tinygrad_fm.nn import Module
from tinygrad_fm.tensor import array_of
from tinygrad_fm.train.callback import TrainingState
from tinygrad_fm.train.evaluation import as_tensor

EXPLODED = 1e6  # activations of this size come from weights that grew without bound


def explain(
    state: TrainingState, loss: Any, value: float, x: Any, y: Any, batch: int
) -> NonFiniteError:
    """The error for a loss that is not finite; the batch is run once more, watched."""
    title = f"the loss is {value} in epoch {state.epoch}, batch {batch}"
    for path, parameter in _parameters(state):
        if not all_finite(parameter.data):
            why = _blame_update(state, path, parameter, batch - 1)
            return _error(state, batch, f"{title}\n{why}")
    for name, array in (("x", x), ("y", y)):
        data = array_of(array)
        if not all_finite(data):
            row = int(np.argmax(~np.isfinite(data).reshape(len(data), -1).all(axis=1)))
            why = (
                f"the batch itself is not finite: {name}, row {row}: {describe_nonfinite(data)}\n"
                "look at how the data was prepared"
            )
            return _error(state, batch, f"{title}\n{why}")
    with NonFiniteTrace() as trace:
        again = loss(state.model(as_tensor(x)), y)
    origin = trace.origin_of(again) or trace.first
    if origin is None:
        why = (
            "run again on the same batch, the model gave a finite loss, or one made outside of "
            "Tensor's operations: the operation is unknown"
        )
        return _error(state, batch, f"{title}\n{why}")
    lines = [title, str(origin), *_advice(state, origin)]
    return _error(state, batch, "\n".join(lines), origin.operation)


def check_parameters(state: TrainingState, batch: int) -> None:
    """Refuse to go on with parameters that the last update of an epoch made non-finite.

    Raises:
        NonFiniteError: one of them is.
    """
    for path, parameter in _parameters(state):
        if not all_finite(parameter.data):
            title = f"training broke down in epoch {state.epoch}, batch {batch}"
            raise _error(state, batch, f"{title}\n{_blame_update(state, path, parameter, batch)}")


def _error(
    state: TrainingState, batch: int, message: str, operation: str | None = None
) -> NonFiniteError:
    return NonFiniteError(
        message.replace("\n", "\n    "),
        epoch=state.epoch,
        batch=batch,
        operation=operation,
        history=state.history,
    )


def _parameters(state: TrainingState) -> Iterator[tuple[str, Any]]:
    if isinstance(state.model, Module):
        yield from state.model.named_parameters()
        return
    for i, parameter in enumerate(getattr(state.optimizer, "parameters", ())):
        yield parameter.name or f"{i} of the optimizer", parameter


def _blame_update(state: TrainingState, path: str, parameter: Any, batch: int) -> str:
    """What is known of the update after `batch` (0: the last one of the epoch before)."""
    found = f"parameter {path} is not finite: {describe_nonfinite(parameter.data)}"
    if state.epoch == 1 and batch == 0:
        return f"{found}\nit was so before the first update: look at its initial values"
    after = f"batch {batch}" if batch else f"the last batch of epoch {state.epoch - 1}"
    made = f"the update after {after} made it so; "
    if parameter.grad is None:
        return f"{found}\n{made}it has no gradient, so look at what else changes it"
    gradient = parameter.grad.data
    if all_finite(gradient):
        return (
            f"{found}\n{made}its gradient was finite ({describe(gradient)}), so {_too_large(state)}"
        )
    return (
        f"{found}\n{made}its gradient was not finite either ({describe_nonfinite(gradient)}): a "
        "derivative is infinite there (sqrt, log, a division or a norm at 0), or the learning rate "
        "is too large"
    )


def _advice(state: TrainingState, origin: Origin) -> list[str]:
    """What a reader may not see from the numbers alone."""
    biggest = max((largest(p.data) for _, p in _parameters(state)), default=0.0)
    if origin.argument is None and biggest > EXPLODED:
        return [f"the parameters have grown to {biggest:.3g}: {_too_large(state)}"]
    return []


def _too_large(state: TrainingState) -> str:
    rate = getattr(state.optimizer, "lr", None)
    return f"the learning rate{'' if rate is None else f', {rate:g},'} is too large"
