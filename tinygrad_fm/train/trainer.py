"""The training loop: forward, backward, update, batch after batch, epoch after epoch."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import closing
from typing import Any

import numpy as np

from tinygrad_fm.data import Loader
from tinygrad_fm.debug import NonFiniteError
from tinygrad_fm.nn import Module
from tinygrad_fm.train.callback import Callback, TrainingState
from tinygrad_fm.train.diagnosis import check_parameters, explain
from tinygrad_fm.train.evaluation import (
    Loss,
    Meter,
    Model,
    as_tensor,
    checked_arrays,
    checked_batch,
    evaluate,
    number_of,
)
from tinygrad_fm.train.history import History
from tinygrad_fm.train.progress import Progress


def fit(
    model: Model,
    loss: Loss,
    optimizer: Any,
    loader: Iterable[Any],
    *,
    epochs: int,
    validation: Any = None,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
) -> History:
    """Train a model: for each batch, one forward pass, one backward pass and one update.

        history = train.fit(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()),
                            data.Loader(x, y, batch_size=128), epochs=10, validation=(x2, y2))

    The model is switched to training mode. Ctrl-C ends the training early and keeps what was
    learned: the history so far is returned, with `interrupted` True; the model keeps its weights,
    those of the unfinished epoch included, and that epoch is not recorded. NumPy's warnings of
    overflow and invalid values are silenced meanwhile: a loss that is not finite ends the training
    with an explanation. With one seed for initial values and loader, the same run gives the same
    bits.

    Args:
        model: a Module, or any function of a batch.
        loss: `loss(prediction, y)` gives one number, the mean over the batch.
        optimizer: has `zero_grad()` and `step()` for the model's parameters.
        loader: gives pairs (x, y) of shape (N, ...) and (N, ...), anew in each epoch: a
            data.Loader, or a list of batches.
        epochs: how many times to go through the loader, at least 1.
        validation: examples to measure after each epoch: (x, y) as arrays, which are scaled and
            flattened as `loader` does it where that is a data.Loader, or a loader of their own.
        callbacks: objects with `on_epoch_end(state)`, see Callback and TrainingState.
        progress: None shows a bar in a terminal and a line an epoch elsewhere; True always shows
            the bar, False shows nothing.

    Returns:
        a History with one record for each whole epoch.

    Raises:
        ValueError: epochs below 1, a loader without batches, shapes that do not fit.
        TypeError: an argument of another kind. What loss and model raise has a note with the
            epoch and batch.
        NonFiniteError: a loss or a parameter is NaN or infinite; the message names epoch, batch,
            and the operation that made it, and `history` is on the error.
    """
    epochs = _checked_epochs(epochs)
    callbacks = _checked_callbacks(callbacks)
    _check_loader("loader", loader)
    held_out = _checked_validation(validation, loader)
    history = History()
    state = TrainingState(model, optimizer, history, epochs)
    shown = Progress(epochs, progress)
    try:
        for epoch in range(1, epochs + 1):
            state.epoch = epoch
            start = time.perf_counter()
            if isinstance(model, Module):
                model.train()
            with closing(shown.batches(loader, epoch)) as batches:
                meter = _learn(model, loss, state, batches, shown)
            record = {
                "epoch": epoch,
                "train_loss": meter.loss,
                "train_accuracy": meter.accuracy,
            }
            if held_out is not None:
                with _quiet():
                    results = evaluate(model, loss, *held_out)
                record["validation_loss"], record["validation_accuracy"] = results
            record["lr"] = getattr(optimizer, "lr", None)
            record["seconds"] = time.perf_counter() - start
            history.append(record)
            shown.epoch(record)
            for callback in callbacks:
                callback.on_epoch_end(state)
            if state.stop:
                break
    except KeyboardInterrupt:
        history.interrupted = True
    return history


def _learn(
    model: Any, loss: Any, state: TrainingState, batches: Iterator[Any], shown: Progress
) -> Meter:
    """One epoch of updates; returns what was measured on the way."""
    optimizer, meter, number = state.optimizer, Meter(), 0
    try:
        with _quiet():
            for number, batch in enumerate(batches, 1):
                x, y = checked_batch(batch, number)
                prediction = model(as_tensor(x))
                value = loss(prediction, y)
                now = number_of(value)
                if not math.isfinite(now):
                    raise explain(state, loss, now, x, y, number)
                meter.add(now, prediction, y)
                # not before the forward pass: an explanation looks at the last update's gradients
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                shown.batch(meter.loss)
            check_parameters(state, number)
    except NonFiniteError:
        raise
    except Exception as error:
        error.add_note(f"(training was in epoch {state.epoch}, batch {max(number, 1)})")
        raise
    if not number:
        raise ValueError(
            f"the loader gave no batches in epoch {state.epoch}; it is read anew in each epoch, "
            "and must have at least one"
        )
    return meter


def _quiet() -> Any:
    """Silence NumPy's warnings, but leave alone what the user set to raise or to call."""
    warned = {kind: "ignore" for kind, how in np.geterr().items() if how == "warn"}
    return np.errstate(**warned)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------
# What was passed
# --------------------------------------------------------------------------------------------------


def _checked_epochs(epochs: Any) -> int:
    try:
        number = operator.index(epochs)
    except TypeError:
        raise TypeError(f"epochs is a whole number, at least 1, not {epochs!r}") from None
    if number < 1:
        raise ValueError(f"epochs is at least 1, not {epochs!r}")
    return number


def _checked_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    if hasattr(callbacks, "on_epoch_end"):
        raise TypeError("callbacks is a list; write callbacks=[callback]")
    callbacks = list(callbacks)
    for callback in callbacks:
        if not callable(getattr(callback, "on_epoch_end", None)) or isinstance(callback, type):
            raise TypeError(
                f"a callback is an object with on_epoch_end(state), not {callback!r:.80}"
            )
    return callbacks


def _check_loader(what: str, loader: Any) -> None:
    if isinstance(loader, Iterator):
        raise TypeError(
            f"{what} is a {type(loader).__name__}, which can be read only once, and training reads "
            "it in each epoch; pass a data.Loader or a list of batches"
        )
    if not isinstance(loader, Iterable):
        raise TypeError(
            f"{what} is a {type(loader).__name__}; expected a data.Loader, or anything that gives "
            "pairs (x, y) when iterated over"
        )
    if isinstance(loader, Sized) and not len(loader):
        raise ValueError(f"{what} has no batches: {loader!r:.120}")


def _checked_validation(validation: Any, loader: Any) -> tuple[Any, ...] | None:
    """What `evaluate` is to measure: a loader that prepares as the training one, or arrays."""
    if validation is None:
        return None
    if not isinstance(validation, tuple):
        _check_loader("validation", validation)
        return (validation,)
    if len(validation) != 2:
        raise ValueError(f"validation is a pair (x, y) or a loader, not {len(validation)} arrays")
    x, y = checked_arrays("validation", *validation)
    if not isinstance(loader, Loader):
        return x, y
    size = min(1000, len(x))
    return (
        Loader(x, y, batch_size=size, shuffle=False, flatten=loader.flatten, scale=loader.scale),
    )
