"""The callbacks that come with the library, but for Checkpoint, which has a file of its own."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinygrad_fm.optim import Optimizer
from tinygrad_fm.train.callback import Callback, TrainingState
from tinygrad_fm.train.files import replacing
from tinygrad_fm.train.history import History
from tinygrad_fm.train.metrics import moving_average
from tinygrad_fm.train.monitor import Monitor


class EarlyStopping(Callback):
    """Stop when epoch after epoch brings no improvement, and go back to the best weights.

    Report 004: its code stops at the `patience`-th epoch in a row that is not better than
    the best so far; its printed algorithm 2 only when there are more than `patience` of them.

    Args:
        patience: how many such epochs, at least 1.
        monitor: the column of the history to watch.
        mode: "min" or "max"; None takes "max" for an accuracy and "min" for anything else.
        min_delta: an epoch is better only by more than this, in the units of the column.
        exceed: False stops at the `patience`-th epoch, True at the one after.
        restore_best: leave the model with the weights of the best epoch when training ends, for
            whatever reason; needs a Module.

    A NaN is no improvement. A resumed training goes on counting.

    Attributes:
        best, best_epoch: the best value and its epoch; None before there is one.
        waited: epochs in a row without improvement.
        stopped: whether it ended the training.

    Raises:
        ValueError: a patience below 1, another mode; in training, a column that is not there.
        TypeError: the model has no weights to keep.
    """

    def __init__(
        self,
        patience: int,
        monitor: str = "validation_loss",
        *,
        mode: str | None = None,
        min_delta: float = 0.0,
        exceed: bool = False,
        restore_best: bool = True,
    ):
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience is at least 1, not {patience!r}")
        if not min_delta >= 0:
            raise ValueError(f"EarlyStopping: min_delta is at least 0, not {min_delta!r}")
        self.patience = patience
        self.monitor = Monitor("EarlyStopping", monitor, mode)
        self.min_delta = min_delta
        self.exceed = exceed
        self.restore_best = restore_best
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.waited = 0
        self.stopped = False
        self._weights: dict[str, Any] | None = None

    def on_train_begin(self, state: TrainingState) -> None:
        """Check that there are weights to keep; a training from the start forgets the last one."""
        if self.restore_best and not hasattr(state.model, "load_state_dict"):
            raise TypeError(
                "EarlyStopping keeps the best weights of a Module; for a "
                f"{type(state.model).__name__} write restore_best=False"
            )
        if not len(state.history):
            self._forget()

    def on_epoch_end(self, state: TrainingState) -> None:
        """Count, keep the weights of a better epoch, and stop."""
        value = self.monitor.value(state.record)
        if self.monitor.better(value, self.best, self.min_delta):
            self.best, self.best_epoch, self.waited = value, state.epoch, 0
            if self.restore_best:
                self._weights = state.model.state_dict()
            return
        self.waited += 1
        if self.waited >= self.patience + self.exceed:
            self.stopped = state.stop = True

    def on_train_end(self, state: TrainingState) -> None:
        """Go back to the best weights."""
        if self._weights is not None:
            state.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What has been counted, and the best weights."""
        weights = {f"weights.{k}": v for k, v in (self._weights or {}).items()}
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "stopped": self.stopped,
            **weights,
        }

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Go on counting."""
        self.best, self.best_epoch = values["best"], values["best_epoch"]
        self.waited, self.stopped = values["waited"], values["stopped"]
        weights = {
            k.removeprefix("weights."): v for k, v in values.items() if k.startswith("weights.")
        }
        self._weights = weights or None


class ScheduleLR(Callback):
    """Set `optimizer.lr` by a schedule: a function of a whole number from 0 that gives the rate.

    It is the rate of the first group of parameters. Where groups have rates of their own, the
    others keep the ratio to it that they have when the training begins.

    Args:
        schedule: such as those of `optim.schedule`, or `lambda epoch: 0.1 * 0.9**epoch`.
        per: "epoch" asks it before each epoch, "step" before each update.

    Raises:
        ValueError: another `per`; in training, a rate that is negative or no number, or a first
            group with a rate of 0 beside others.
        TypeError: the schedule is no function.
    """

    def __init__(self, schedule: Callable[[int], float], per: str = "epoch"):
        if not callable(schedule):
            raise TypeError(f"ScheduleLR: schedule is a function of a step, not {schedule!r:.80}")
        if per not in ("epoch", "step"):
            raise ValueError(f"ScheduleLR: per is 'epoch' or 'step', not {per!r}")
        self.schedule = schedule
        self.per = per
        self._shares: list[float] = []

    def _set(self, state: TrainingState, step: int) -> None:
        rate = float(self.schedule(step))
        if not 0 <= rate < math.inf:
            raise ValueError(
                f"the schedule gives a learning rate of {rate} for {self.per} {step}; expected a "
                "number, at least 0"
            )
        groups = _groups(state.optimizer)
        if len(groups) != len(self._shares):
            self._shares = [1.0] if len(groups) == 1 else _shares([group.lr for group in groups])
        for group, share in zip(groups, self._shares, strict=True):
            group.lr = rate * share

    def on_train_begin(self, state: TrainingState) -> None:
        """The rate of the first update."""
        self._shares = []
        self._set(state, len(state.history) if self.per == "epoch" else state.step)

    def on_epoch_begin(self, state: TrainingState) -> None:
        """The rate of this epoch."""
        if self.per == "epoch":
            self._set(state, state.epoch - 1)

    def on_batch_end(self, state: TrainingState) -> None:
        """The rate of the next update."""
        if self.per == "step":
            self._set(state, state.step)


def _groups(optimizer: Any) -> list[Any]:
    """What holds the learning rates of an optimizer: its groups, or itself where it has none."""
    return list(optimizer.groups) if isinstance(optimizer, Optimizer) else [optimizer]


def _shares(rates: list[float]) -> list[float]:
    """The rates as multiples of the first."""
    if len(set(rates)) == 1:
        return [1.0] * len(rates)
    if not rates[0]:
        raise ValueError(
            f"ScheduleLR: the groups have the learning rates {rates}, and the schedule is that of "
            "the first, to which the others keep their ratio; expected a first rate above 0"
        )
    return [rate / rates[0] for rate in rates]


class ReduceOnDrop(Callback):
    """Multiply the learning rates by `factor` after an epoch that is worse than the one before.

    With the defaults, the rule of report 001: halve it when the validation accuracy drops.

    Args:
        factor: above 0 and below 1.
        monitor: the column of the history to watch.
        mode: "min" or "max", the better direction; None takes "max" for an accuracy.
        min_lr: no rate is made smaller than this.

    Raises:
        ValueError: a factor outside its range; in training, a column that is not there.
    """

    def __init__(
        self,
        factor: float = 0.5,
        monitor: str = "validation_accuracy",
        *,
        mode: str | None = None,
        min_lr: float = 0.0,
    ):
        if not 0 < factor < 1:
            raise ValueError(f"ReduceOnDrop: factor is above 0 and below 1, not {factor!r}")
        if not min_lr >= 0:
            raise ValueError(f"ReduceOnDrop: min_lr is at least 0, not {min_lr!r}")
        self.factor = factor
        self.monitor = Monitor("ReduceOnDrop", monitor, mode)
        self.min_lr = min_lr

    def on_epoch_end(self, state: TrainingState) -> None:
        """Compare with the epoch before."""
        value = self.monitor.value(state.record)
        if len(state.history) < 2:
            return
        before = self.monitor.value(state.history[-2])
        if self.monitor.better(before, value):
            for group in _groups(state.optimizer):
                group.lr = min(group.lr, max(group.lr * self.factor, self.min_lr))


class MovingAverage(Callback):
    """Add the column `average_loss`: the mean loss of the last `window` batches, at each epoch end.

    The losses of all batches are in `history.batch_losses`, whether or not this callback is there;
    `train.moving_average(history.batch_losses, window)` gives the average at each of them.

    Args:
        window: number of batches, at least 1; where there were fewer, all of them.

    Raises:
        ValueError: a window below 1.
    """

    def __init__(self, window: int = 100):
        if window < 1:
            raise ValueError(f"MovingAverage: window is at least 1, not {window!r}")
        self.window = window

    def on_epoch_end(self, state: TrainingState) -> None:
        """Record the average."""
        last = state.history.batch_losses[-self.window :]
        state.record["average_loss"] = float(moving_average(last, self.window)[-1])


class CSVLog(Callback):
    """Keep the history as a table in a CSV file, rewritten whole after each epoch.

    Args:
        path: of the file; by custom it ends in `.csv`. Its first row names the columns; a value
            that an epoch lacks is an empty cell.

    Raises (in training):
        OSError: the folder is missing or may not be written.
    """

    last = True  # other callbacks may add columns

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Write all epochs so far."""
        write_csv(state.history, self.path)


def write_csv(history: History, path: Path) -> None:
    """The columns of a history as a CSV file; an existing one is replaced as a whole."""
    columns = history.columns
    rows: Sequence[Sequence[Any]] = list(zip(*columns.values(), strict=True))
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(["" if v is None else v for v in row] for row in rows)
