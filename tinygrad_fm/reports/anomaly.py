"""Report 002's anomaly: a training accuracy of 10 to 20 % beside 80 % on validation images.

It is seen in the two runs that take one image at a time, and in no other. Whatever explains it
must give the right number for batches of 128 and a wrong one for batches of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinygrad_fm import data, train
from tinygrad_fm.reports.prepare import Prepared, prepare
from tinygrad_fm.reports.recipe import Recipe
from tinygrad_fm.reports.training import run_training

EPOCHS = 5


# Of predicted classes (N,), true ones (N,), and the size of the batches they are measured in.


def _right(said: Any, true: Any, size: int) -> float:
    """The share of predicted classes that are the true ones."""
    del size
    return float(np.mean(said == true))


def _one_hot_row(said: Any, true: Any, size: int) -> float:
    """Predicted classes (B,) are compared with one-hot labels (B, 10) that a squeeze made (10,).

    With B = 1 that broadcasts: (1,) == (10,) asks ten times whether the *number* of the class
    equals a 0 or a 1 of the row. Class 0 has nine hits of ten, class 1 has one, and all others
    none, whatever was learned. With B > 1 a squeeze changes nothing.
    """
    if size > 1:
        return _right(said, true, size)
    return float(np.mean(said[:, None] == data.one_hot(true, 10)))


def _another_order(said: Any, true: Any, size: int) -> float:
    """Predictions of shuffled images are compared with labels as they were before."""
    return _right(said, np.random.default_rng(0).permutation(true), size)


def _of_classes(said: Any, true: Any, size: int) -> float:
    """The share of right answers is divided by the ten classes, as the report's loss is."""
    return _right(said, true, size) / 10


def _of_full_batches(said: Any, true: Any, size: int) -> float:
    """Right answers in a batch are divided by 128, whatever its size."""
    return _right(said, true, size) * size / 128


def _of_fewer_images(said: Any, true: Any, size: int) -> float:
    """Right answers among as many images as are held out are divided by all training images."""
    few = len(true) // 4
    return _right(said[:few], true[:few], size) * few / len(true)


def _last_batch(said: Any, true: Any, size: int) -> float:
    """Only the last batch of the epoch is measured."""
    return _right(said[-size:], true[-size:], size)


SLIPS: dict[str, Callable[[Any, Any, int], float]] = {
    "right": _right,
    "one-hot row": _one_hot_row,
    "labels in another order": _another_order,
    "divided by classes": _of_classes,
    "divided by 128": _of_full_batches,
    "of fewer images": _of_fewer_images,
    "last batch alone": _last_batch,
}


def explain_accuracy(recipe: Recipe, found: Any, seed: int) -> Mapping[str, float]:
    """Train for five epochs, and measure the training accuracy rightly and with each slip.

    "while learning" is the mean over an epoch, each image measured before it was learned from; the
    others are measured after the last epoch.
    """
    epochs = EPOCHS if len(found.train_images) == 60_000 else 1  # of the shipped few, for tests
    small = replace(recipe, measure_train=0, keep=None)
    prepared = prepare(small, seed, name=found.name)
    with TemporaryDirectory() as folder:
        outcome = run_training(small, prepared, seed, folder=Path(folder), epochs=epochs)
    last = outcome.history[-1]
    measured = {
        "train accuracy while learning": last["train_accuracy"],
        "validation accuracy": last["validation_accuracy"],
    }
    said, true = _answers(outcome.model, prepared)
    for name, slip in SLIPS.items():
        measured[f"train accuracy, {name}"] = slip(said, true, recipe.batch_size)
    return measured


def _answers(model: Any, prepared: Prepared) -> tuple[Any, Any]:
    batches = list(prepared.batches(prepared.train))
    said = np.concatenate([train.predict(model, x, output="classes") for x, _ in batches])
    return said, np.concatenate([y for _, y in batches])
