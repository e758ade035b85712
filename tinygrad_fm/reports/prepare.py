"""From a recipe's description of its data to the arrays that are trained on and measured."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm import data
from tinygrad_fm.data import Dataset, DatasetNotFoundError
from tinygrad_fm.reports.recipe import Data, Recipe

Examples = tuple[Any, Any]

# What is done to the pixels. Bytes that are only multiplied stay bytes until their batch.
PREPARATIONS = {
    "raw": "bytes from 0 to 255, as they are",
    "scaled": "divided by 255",
    "centred": "divided by 255, minus 0.5",
    "global z-score": "minus the mean of all pixels, divided by their deviation",
    "pixel z-score": "the same for each position of a pixel by itself",
    "image z-score": "the same for each image by itself",
}


@dataclass(frozen=True)
class Prepared:
    """Images and labels of each part, and how a Loader makes batches of them.

    Attributes:
        name: of the data set, with what is special about it here.
        train, validation, test: pairs (images (N, ...), labels (N,) or one-hot rows (N, 10)).
        options: `scale`, `flatten` and `dtype` for a Loader.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    options: dict[str, Any]

    def batches(self, part: Examples, limit: int | None = None) -> data.Loader:
        """The examples of a part in order, in large batches, to be measured."""
        images, labels = (array[:limit] for array in part)
        return data.Loader(
            images, labels, batch_size=min(1000, len(images)), shuffle=False, **self.options
        )


def first(number: int, count: int, seed: int) -> tuple[Any, Any]:
    """The first `number` examples are the validation set (report 003)."""
    del seed
    rows = np.arange(count)
    number = min(number, count // 5)
    return rows[number:], rows[:number]


def shuffled(share: float, count: int, seed: int, *, always: int | None = None) -> tuple[Any, Any]:
    """A share of the examples, drawn by the seed of the training, or `always` by the same."""
    rows = np.random.RandomState(seed if always is None else always).permutation(count)
    number = round(share * count)
    return rows[:-number], rows[-number:]


def fold(k: int, which: int, count: int, seed: int) -> tuple[Any, Any]:
    """Consecutive pieces of the examples, one of which is held out (report 000, Z3 and Z4)."""
    del seed
    return list(data.k_folds(count, k, seed=None))[which]


def prepare(
    recipe: Recipe,
    seed: int,
    *,
    which_fold: int | None = None,
    images: int | None = None,
    name: str | None = None,
) -> Prepared:
    """The arrays of a recipe.

    Args:
        seed: of the training; some splits depend on it.
        which_fold: of a cross-validation, from 0.
        images: take so many training images only, and as many test images.
        name: another data set than the recipe's.

    Raises:
        DatasetNotFoundError: it is not on this machine.
    """
    wanted = recipe.data
    found, called = find(wanted, name)
    count = min(images or len(found.train_images), wanted.first or len(found.train_images))
    train_x, train_y = found.train_images[:count], found.train_labels[:count]
    test_x, test_y = found.test_images[:images], found.test_labels[:images]
    scale, (train_x, test_x) = _pixels(wanted, train_x, test_x, recipe.dtype)
    flat = not any(_takes_images(layer) for layer in recipe.layers)
    if not flat:  # the channel axis of a convolution
        train_x, test_x = train_x[:, None], test_x[:, None]
    if recipe.one_hot:
        classes = len(found.class_names)
        train_y, test_y = (data.one_hot(y, classes, recipe.dtype) for y in (train_y, test_y))
    train = validation = (train_x, train_y)
    hold_out = wanted.hold_out
    if which_fold is not None:
        rows, held = fold(recipe.folds, which_fold, len(train_x), seed)
    elif hold_out is not None:
        rows, held = hold_out(len(train_x), seed)
    else:
        rows, held, validation = slice(None), None, (test_x, test_y)
    if held is not None:
        validation = train_x[held], train_y[held]
        if not wanted.train_on_all:
            train = train_x[rows], train_y[rows]
    return Prepared(
        called,
        train,
        validation,
        (test_x, test_y),
        found.class_names,
        {"scale": scale, "flatten": flat, "dtype": recipe.dtype},
    )


def find(wanted: Data, name: str | None = None) -> tuple[Dataset, str]:
    """The data set of a recipe, or what stands in for it, and what to call it in tables.

    Where of KMNIST only the test images are found, they are split 80 to 20.

    Raises:
        DatasetNotFoundError: neither is on this machine.
    """
    if name is not None:
        return _load(name), name
    try:
        return _load(wanted.name), wanted.name
    except DatasetNotFoundError:
        if wanted.otherwise is None:
            raise
    try:
        part = data.load(wanted.name, parts="test")
    except DatasetNotFoundError:
        return _load(wanted.otherwise), f"{wanted.otherwise} instead of {wanted.name}"
    (x, y), (x2, y2) = data.split(part.test_images, part.test_labels, fraction=0.2, seed=0)
    parts = dataclasses.replace(
        part, train_images=x, train_labels=y, test_images=x2, test_labels=y2
    )
    return parts, f"{wanted.name}'s test images alone, split 80 to 20"


def _load(name: str) -> Dataset:
    """`data.load`, which reads and verifies the files once for all trainings of a process."""
    folder = data.find(name)
    return data.load(name) if folder is None else _load_from(name, folder)


_load_from = functools.lru_cache(maxsize=2)(data.load)


def _pixels(wanted: Data, train: Any, test: Any, dtype: Any) -> tuple[float | None, list[Any]]:
    """The factor for a Loader, and training and test images for it."""
    if wanted.prepare not in PREPARATIONS:
        known = ", ".join(PREPARATIONS)
        raise ValueError(f"prepare is one of {known}, not {wanted.prepare!r}")
    if wanted.prepare == "raw":
        return 1.0, [train, test]
    if wanted.prepare == "scaled":
        return None, [train, test]
    if wanted.prepare == "centred":
        half = np.dtype(dtype).type(0.5)
        return None, [data.scale(images, dtype) - half for images in (train, test)]
    standard = data.ZScore(wanted.prepare.split()[0], dtype).fit(train)
    of_test = data.ZScore(standard.mode, dtype).fit(test) if wanted.test_by_itself else standard
    return None, [standard(train), of_test(test)]


def _takes_images(layer: Any) -> bool:
    from tinygrad_fm import nn

    return getattr(layer, "func", layer) in (nn.Conv2d, nn.Flatten)
