"""Callbacks: objects that `fit` calls after each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tinygrad_fm.train.history import History, Record


@dataclass
class TrainingState:
    """What a callback sees of the training, and may change: weights, `optimizer.lr`, `stop`.

    `epoch` counts from 1, `epochs` is how many there are to be. Setting `stop` to True ends the
    training after this epoch.
    """

    model: Any
    optimizer: Any
    history: History
    epochs: int
    epoch: int = 0
    stop: bool = False

    @property
    def record(self) -> Record:
        """The record of this epoch, in the history already; new entries become columns."""
        return self.history[-1]


class Callback(Protocol):
    """Anything with `on_epoch_end(state)`; called in the order given, when the epoch is recorded.

    class HalveRate:
        def on_epoch_end(self, state):
            state.optimizer.lr /= 2
    """

    def on_epoch_end(self, state: TrainingState) -> None:
        """See TrainingState."""
