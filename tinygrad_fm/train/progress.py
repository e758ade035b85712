"""What `fit` shows: a line for each epoch, and in a terminal a bar for the batches under way."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterable, Sized
from typing import Any

from tinygrad_fm.train.history import Record


class Progress:
    """Prints to standard output; `show` is None (as fits the output), True (a bar), or False."""

    def __init__(self, epochs: int, show: bool | None):
        self.epochs = epochs
        self.lines = show is not False
        self.bar = sys.stdout.isatty() if show is None else show
        self._open: Any = None  # the bar of the epoch under way

    def batches(self, loader: Iterable[Any], epoch: int) -> Generator[Any, None, None]:
        """The loader's batches, with a bar that vanishes when they are through."""
        if not self.bar:
            yield from loader
            return
        from tqdm import tqdm

        total = len(loader) if isinstance(loader, Sized) else None
        layout = "{desc} |{bar:24}| {n_fmt}/{total_fmt} batches, {remaining} left{postfix}"
        with tqdm(
            loader,
            desc=self._title(epoch),
            total=total,
            leave=False,
            file=sys.stdout,
            unit=" batches",
            bar_format=layout if total else None,
            ncols=shutil.get_terminal_size().columns,  # 80 where a terminal does not tell its size
        ) as self._open:
            yield from self._open

    def batch(self, loss: float) -> None:
        """The mean loss of the epoch so far, for the bar."""
        if self._open is not None:
            self._open.set_postfix_str(f"loss {loss:.4f}", refresh=False)

    def epoch(self, record: Record) -> None:
        """The line of an epoch that is through."""
        if not self.lines:
            return
        parts = [self._title(record["epoch"])]
        parts.append(_loss_and_accuracy("loss", record["train_loss"], record["train_accuracy"]))
        if "validation_loss" in record:
            parts.append(
                _loss_and_accuracy(
                    "validation loss", record["validation_loss"], record["validation_accuracy"]
                )
            )
        parts.append(f"{record['seconds']:.1f} s")
        print("   ".join(parts), flush=True)

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"


def _loss_and_accuracy(name: str, loss: float, accuracy: float | None) -> str:
    text = f"{name} {loss:.4f}"
    return text if accuracy is None else f"{text}  accuracy {accuracy:6.2%}"
