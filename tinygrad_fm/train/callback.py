"""Callbacks: objects that `fit` calls as the training begins, goes on, and ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tinygrad_fm.train.history import History, Record


@dataclass
class TrainingState:
    """What a callback sees of the training, and may change: weights, `optimizer.lr`, `stop`.

    `epoch` and `batch` count from 1, `epochs` is how many epochs there are to be, and `step` is the
    number of updates so far (of a resumed training, from its very beginning). `loss` is the mean
    loss and `data` the pair (x, y) of the last batch, `criterion` the loss function. Setting `stop`
    to True ends the training after this epoch.
    """

    model: Any
    optimizer: Any
    history: History
    epochs: int
    epoch: int = 0
    stop: bool = False
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    loader: Any = None
    criterion: Any = None
    data: tuple[Any, Any] | None = None
    callbacks: Sequence[Any] = ()

    @property
    def record(self) -> Record:
        """The record of this epoch, in the history already; new entries become columns."""
        return self.history[-1]


class Callback:
    """The moments at which `fit` calls its callbacks, in the order given; each does nothing here.

    Write those that you need, in a subclass or in any other object:

        class HalveRate:
            def on_epoch_end(self, state):
                for group in state.optimizer.groups:
                    group.lr /= 2

    A callback whose future depends on more than the history and the model has `state_dict()`, which
    returns numbers, strings, None and arrays by name, and `load_state_dict(values)`: a checkpoint
    keeps them.

    Attributes:
        last: whether it is called after all that are not, wherever it stands in the list.
    """

    last: bool = False

    def on_train_begin(self, state: TrainingState) -> None:
        """Before the first epoch; the history has records already where a training is resumed."""

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Before the first batch of an epoch."""

    def on_batch_end(self, state: TrainingState) -> None:
        """After a batch was learned from (with `accumulate`, not each of them is an update)."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """After validation, when the epoch is recorded."""

    def on_train_end(self, state: TrainingState) -> None:
        """After the last epoch, also where `stop` or Ctrl-C ended the training; not on an error."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class Calls:
    """Callbacks, checked and in the order of their calls.

    Raises:
        TypeError: something that has none of the methods of Callback.
    """

    def __init__(self, callbacks: Iterable[Any]):
        if _hooks_of(callbacks):
            raise TypeError("callbacks is a list; write callbacks=[callback]")
        given = list(callbacks)
        for callback in given:
            if not _hooks_of(callback):
                raise TypeError(
                    f"a callback is an object with on_epoch_end(state), or another of "
                    f"{', '.join(HOOKS)}; not {callback!r:.80}"
                )
        self.callbacks = sorted(given, key=lambda callback: bool(getattr(callback, "last", False)))
        # which callbacks have a hook of their own: those of Callback are not worth a call a batch
        self._calls = {
            name: [
                getattr(callback, name)
                for callback in self.callbacks
                if name in _hooks_of(callback)
                and getattr(getattr(callback, name), "__func__", None) is not vars(Callback)[name]
            ]
            for name in HOOKS
        }

    def __call__(self, name: str, state: TrainingState) -> None:
        """Call one hook of all callbacks that have it."""
        for call in self._calls[name]:
            call(state)


def _hooks_of(callback: Any) -> list[str]:
    if isinstance(callback, type):
        return []
    return [name for name in HOOKS if callable(getattr(callback, name, None))]
