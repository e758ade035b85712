"""The training loop: forward, backward, update, batch after batch, epoch after epoch."""

from __future__ import annotations

import itertools
import operator
import os
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import closing
from typing import Any

import numpy as np

from tinygrad_fm.data import Loader, Prefetch, RandomBatches
from tinygrad_fm.debug import NonFiniteError
from tinygrad_fm.nn import Module
from tinygrad_fm.train.callback import Calls, TrainingState
from tinygrad_fm.train.diagnosis import check_parameters, explain
from tinygrad_fm.train.evaluation import (
    Loss,
    Meter,
    Model,
    checked_arrays,
    checked_batch,
    evaluate,
    number_of,
)
from tinygrad_fm.train.history import History
from tinygrad_fm.train.progress import Progress
from tinygrad_fm.train.resume import restore
from tinygrad_fm.train.step import NotFiniteLossError, Step, training_step
from tinygrad_fm.train.threads import one_blas_thread


@one_blas_thread()
def fit(
    model: Model,
    loss: Loss,
    optimizer: Any,
    loader: Iterable[Any],
    *,
    epochs: int,
    validation: Any = None,
    callbacks: Iterable[Any] = (),
    progress: bool | None = None,
    accumulate: int = 1,
    resume_from: str | os.PathLike[str] | None = None,
    compile: bool | None = None,
) -> History:
    """Train a model: for each batch, one forward pass, one backward pass and one update.

        history = train.fit(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()),
                            data.Loader(x, y, batch_size=128), epochs=10, validation=(x2, y2))

    The model is switched to training mode. Ctrl-C ends the training early and keeps what was
    learned: the history so far is returned, with `interrupted` True; the model keeps its weights,
    those of the unfinished epoch included, and that epoch is not recorded. NumPy's warnings of
    overflow and invalid values are silenced meanwhile: a loss that is not finite ends the training
    with an explanation. With one seed for initial values and loader, the same run gives the same
    bits. With the extra `threads`, matrix products of a whole process have one thread meanwhile,
    unless OPENBLAS_NUM_THREADS or its like is set: small ones are faster so, up to many times where
    something else runs beside them; the library's own threads share large ones in a program.

    Args:
        model: a Module, or any function of a batch.
        loss: `loss(prediction, y)` gives one number, the mean over the batch.
        optimizer: has `zero_grad()` and `step()` for the model's parameters.
        loader: gives pairs (x, y) of shape (N, ...) and (N, ...), anew in each epoch: a
            data.Loader, or a list of batches.
        epochs: how many times to go through the loader, at least 1.
        validation: examples to measure after each epoch: (x, y) as arrays, which are scaled and
            flattened as `loader` does it where that is a data.Loader, or a loader of their own.
        callbacks: objects with some of the methods of Callback, such as `on_epoch_end(state)`.
        progress: None shows a bar in a terminal and a line an epoch elsewhere; True always shows
            the bar, False shows nothing.
        accumulate: how many batches to add up the gradients of for one update: the same update, up
            to rounding, as of one batch with all their examples, in the memory of one. (Not where
            examples of a batch meet, as in batch normalisation or a loss weighted by class.)
        resume_from: a checkpoint, of the callback Checkpoint, of this training: it goes on with the
            epoch after, and ends with the same bits as if it had never been interrupted. Pass the
            same arguments as then; `epochs` counts those of the checkpoint too.
        compile: whether updates run as a program, made from the first two (see tg.compile): faster,
            and with the same numbers. None does so where model, loss and optimizer are made of this
            library's own parts alone, since code of one's own in them (that prints, or keeps a
            value) would no longer run in each step. Not with `accumulate`.

    Returns:
        a History with one record for each whole epoch.

    Raises:
        ValueError: epochs or accumulate below 1, a loader without batches, shapes that do not fit,
            a checkpoint of another training.
        TypeError: an argument of another kind. What loss and model raise has a note with the
            epoch and batch.
        FileNotFoundError: there is no such checkpoint.
        NonFiniteError: a loss or a parameter is NaN or infinite; the message names epoch, batch,
            and the operation that made it, and `history` is on the error.
    """
    epochs = _whole_number("epochs", epochs)
    accumulate = _whole_number("accumulate", accumulate)
    call = Calls(callbacks)
    _check_loader("loader", loader)
    if not callable(loss):
        raise TypeError(
            f"loss is a function of (prediction, y), such as nn.CrossEntropyLoss(), not "
            f"{loss!r:.60}; the order is fit(model, loss, optimizer, loader, epochs)"
        )
    if not (hasattr(optimizer, "zero_grad") and hasattr(optimizer, "step")):
        raise TypeError(
            f"optimizer is one of optim, such as optim.Adam(model.parameters()), not "
            f"{optimizer!r:.60}; the order is fit(model, loss, optimizer, loader, epochs)"
        )
    held_out = _checked_validation(validation, loader)
    history = History()
    state = TrainingState(
        model, optimizer, history, epochs, loader=loader, criterion=loss, callbacks=call.callbacks
    )
    if resume_from is not None:
        restore(state, resume_from)
    step = training_step(state, loss, compile if accumulate == 1 else False)
    shown = Progress(epochs, progress)
    try:
        call("on_train_begin", state)
        for epoch in range(len(history) + 1, epochs + 1):
            if state.stop:
                break
            state.epoch = epoch
            start = time.perf_counter()
            if isinstance(model, Module):
                model.train()
            call("on_epoch_begin", state)
            with closing(shown.batches(loader, epoch)) as batches:
                meter, losses, lr = _learn(loss, step, state, batches, accumulate, shown, call)
            record = {
                "epoch": epoch,
                "train_loss": meter.loss,
                "train_accuracy": meter.accuracy,
            }
            if held_out is not None:
                with _quiet():
                    results = evaluate(model, loss, *held_out)
                record["validation_loss"], record["validation_accuracy"] = results
            record["lr"] = lr
            record["seconds"] = time.perf_counter() - start
            history.append(record, losses)
            shown.epoch(record)
            call("on_epoch_end", state)
    except KeyboardInterrupt:
        history.interrupted = True
    call("on_train_end", state)
    return history


def _learn(
    loss: Any,
    step: Step,
    state: TrainingState,
    batches: Iterator[Any],
    accumulate: int,
    shown: Progress,
    call: Calls,
) -> tuple[Meter, list[float], float | None]:
    """One epoch of updates; returns what was measured on the way, and the last learning rate."""
    optimizer, meter, number = state.optimizer, Meter(), 0
    losses: list[float] = []
    lr: float | None = None
    try:
        with _quiet():
            for group in _groups(batches, accumulate):
                examples = sum(len(y) for _, y in group)
                for i, (x, y) in enumerate(group, 1):
                    number += 1
                    first, last = i == 1, i == len(group)
                    try:
                        if len(group) == 1:
                            value, prediction = step(x, y)
                        else:
                            value, prediction = step(x, y, first, last, len(y) / examples)
                    except NotFiniteLossError as error:
                        raise explain(state, loss, error.value, x, y, number) from None
                    now = number_of(value)
                    meter.add(now, prediction, y)
                    losses.append(now)
                    if last:
                        lr = getattr(optimizer, "lr", None)
                        state.step += 1
                    state.batch, state.loss, state.data = number, now, (x, y)
                    shown.batch(meter.loss)
                    call("on_batch_end", state)
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
    return meter, losses, lr


def _groups(batches: Iterator[Any], size: int) -> Iterator[list[tuple[Any, Any]]]:
    """The batches of each update, `size` of them or, at the end, what remains."""
    numbered = (checked_batch(batch, number) for number, batch in enumerate(batches, 1))
    while group := list(itertools.islice(numbered, size)):
        yield group


def _quiet() -> Any:
    """Silence NumPy's warnings, but leave alone what the user set to raise or to call."""
    warned = {kind: "ignore" for kind, how in np.geterr().items() if how == "warn"}
    return np.errstate(**warned)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------
# What was passed
# --------------------------------------------------------------------------------------------------


def _whole_number(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, at least 1, not {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} is at least 1, not {value!r}")
    return number


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
    while isinstance(loader, Prefetch):
        loader = loader.loader
    if not isinstance(loader, (Loader, RandomBatches)):
        return x, y
    return (
        Loader(
            x,
            y,
            batch_size=min(1000, len(x)),
            shuffle=False,
            flatten=loader.flatten,
            scale=loader.scale,
            dtype=loader.dtype,
        ),
    )
