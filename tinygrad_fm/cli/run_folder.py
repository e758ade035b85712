"""The run folder: everything that is known of one training, as files."""

from __future__ import annotations

import contextlib
import csv
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tinygrad_fm
from tinygrad_fm import plots
from tinygrad_fm.cli.text import CommandError, bold, table
from tinygrad_fm.graph import Graph, RenderError
from tinygrad_fm.train import History, save_weights
from tinygrad_fm.train.files import replacing

if TYPE_CHECKING:
    from tinygrad_fm.cli.settings import Settings
    from tinygrad_fm.data import Dataset
    from tinygrad_fm.nn import Module

HOME = Path("runs")


class RunFolder:
    """A new folder, and what was written into it.

    Args:
        out: the folder, which is made unless it is there and empty; None takes the next number in
            `runs`.

    Raises:
        CommandError: it holds something, or cannot be made.
    """

    def __init__(self, out: str | None):
        try:
            self.path = _next_in(HOME) if out is None else _claimed(Path(out).expanduser())
        except OSError as error:
            raise CommandError(f"cannot make the run folder: {error}") from error
        self._written: list[tuple[str, str]] = []
        self._left_out: list[str] = []

    def remove_if_empty(self) -> None:
        """Leave no trace of a run that wrote nothing."""
        with contextlib.suppress(OSError):  # it is not empty
            self.path.rmdir()

    def report(self) -> str:
        """What was written and what for, and what was left out and why."""
        lines = [bold(f"written to {self.path}"), table(self._written, "  ")]
        return "\n".join([*lines, *self._left_out])

    # ---- the files -------------------------------------------------------------------------------

    def write_config(self, settings: Settings) -> None:
        """config.toml."""
        again = f"tinygrad-fm train --config {self.path / 'config.toml'}"
        text = settings.to_toml(f"The settings of this run; to repeat it, bit for bit:\n{again}")
        self._write("config.toml", "the settings, for --config", _text(text))

    def write_history(self, history: History) -> None:
        """history.jsonl."""
        self._write("history.jsonl", "loss and accuracy of every epoch", history.save)

    def write_weights(self, model: Module) -> None:
        """weights.safetensors."""
        self._write("weights.safetensors", "the weights", lambda p: save_weights(model, p))

    def write_result(
        self,
        settings: Settings,
        dataset: Dataset,
        model: Module,
        history: History,
        loss: float,
        accuracy: float | None,
        seconds: float,
    ) -> None:
        """result.json."""
        result = {
            "test_accuracy": accuracy,
            "test_loss": loss,
            "epochs": len(history),
            "interrupted": history.interrupted,
            "seconds": round(seconds, 3),
            "seed": settings.seed,
            "settings": asdict(settings),
            "parameters": sum(p.size for p in model.parameters()),
            "data": {
                "name": dataset.name,
                "source": str(dataset.source),
                "training_images": len(dataset.train_images),
                "test_images": len(dataset.test_images),
                "image_shape": dataset.train_images.shape[1:],
                "class_names": dataset.class_names,
            },
            "versions": {
                "tinygrad_fm": tinygrad_fm.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "platform": platform.platform(),
            },
        }
        # not `allow_nan`: a test loss may be infinite, and JSON has no number for it
        text = json.dumps(_finite(result), indent=2) + "\n"
        self._write("result.json", "test accuracy, settings, versions", _text(text))

    def write_confusion(self, matrix: Any, names: Sequence[str], title: str) -> None:
        """confusion.csv, and confusion.png where matplotlib is installed."""

        def write(path: Path) -> None:
            with replacing(path) as temporary, temporary.open("w", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(["true class / predicted", *names])
                writer.writerows(
                    [name, *row] for name, row in zip(names, matrix.tolist(), strict=True)
                )

        self._write("confusion.csv", "true classes (rows) and predicted ones (columns)", write)
        if plots.available():
            figure = plots.confusion_matrix(matrix, names, title=title)
            self._write("confusion.png", "the same as a picture", lambda p: plots.save(figure, p))

    def write_curves(self, history: History, title: str, validation: str) -> None:
        """curves.png, where matplotlib is installed and an epoch was recorded."""
        if not plots.available():
            self._left_out.append(f"no curves.png and no confusion.png: {plots.MISSING}")
        elif not len(history):
            self._left_out.append("no curves.png: not one epoch was completed")
        else:
            figure = plots.learning_curves(
                history, title=title, validation=validation, window=window_of(history)
            )
            self._write("curves.png", "learning curves", lambda p: plots.save(figure, p))

    def write_graph(self, graph: Graph) -> None:
        """graph.dot, and graph.svg where a renderer is found."""
        self._write("graph.dot", "the graph of one loss, as text", graph.save)
        try:
            self._write("graph.svg", "the same as a picture", graph.save)
            self._write("graph.html", "the same to explore", graph.save)
        except RenderError as error:
            self._left_out.append(f"no graph.svg: {error}")

    def _write(self, name: str, what: str, write: Callable[[Path], object]) -> None:
        try:
            write(self.path / name)
        except OSError as error:
            raise CommandError(f"cannot write {self.path / name}: {error}") from error
        self._written.append((name, what))


def window_of(history: History) -> int:
    """Batches for a moving average: 100, or half an epoch where that is less."""
    return max(1, min(100, len(history.batch_losses) // (2 * max(len(history), 1))))


def _text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    return write


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _claimed(path: Path) -> Path:
    """The folder, made if it is not there."""
    if path.is_dir() and not any(path.iterdir()):
        return path
    if path.exists():
        what = "holds files already" if path.is_dir() else "is a file"
        raise CommandError(f"the run folder {path} {what}; no run is overwritten: name a new --out")
    path.mkdir(parents=True)
    return path


def _next_in(home: Path) -> Path:
    """A new folder with the next free number."""
    home.mkdir(parents=True, exist_ok=True)
    taken = [int(path.name) for path in home.iterdir() if path.name.isdecimal()]
    number = max(taken, default=0) + 1
    while True:
        path = home / f"{number:03}"
        try:
            path.mkdir()
        except FileExistsError:  # another run took it in this moment
            number += 1
        else:
            return path
