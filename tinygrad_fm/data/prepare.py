"""Turns images and labels into what a network takes: scaled, one-hot, split for validation."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray


def scale(images: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Bytes 0 to 255 as numbers 0.0 to 1.0 (divided by 255), in a new array of the same shape.

    `dtype` is the floating dtype of the result. Raises DataError where the images are not uint8 or
    `dtype` is not floating.
    """
    images = np.asarray(images)
    dtype = np.dtype(dtype)
    if images.dtype != np.uint8:
        raise DataError(
            f"scale() got {images.dtype} of shape {images.shape}; expected uint8. Numbers that are "
            "floating already need no scaling by 255: use them as they are"
        )
    if dtype.kind != "f":
        raise DataError(f"scale() to {dtype}; expected a floating dtype, for example np.float32")
    scaled: NDArray[Any] = np.divide(images, dtype.type(255), dtype=dtype)
    return scaled


def flatten(images: ArrayLike) -> NDArray[Any]:
    """Each example as one row: (N, ...) becomes (N, number of elements); a view where possible.

    Raises DataError where there is no first axis of examples.
    """
    images = np.asarray(images)
    if images.ndim == 0:
        raise DataError("flatten() got a single number; expected an array of shape (N, ...)")
    # -1 cannot be inferred where N is 0
    return images.reshape(len(images), int(np.prod(images.shape[1:])))


def one_hot(
    labels: ArrayLike, classes: int | None = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Integer labels (...) as rows (..., classes), 1 at the label and 0 elsewhere.

    `classes` is one more than the largest label unless it is given: give it where a part of the
    data may lack the last class.

    Raises DataError where the labels are not integers, are negative, or are not below `classes`.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"one_hot() got labels of {labels.dtype}; expected integers, "
            "for example labels.astype(np.int64)"
        )
    if classes is None:
        if not labels.size:
            raise DataError(
                f"one_hot() got no labels (shape {labels.shape}), so the number of classes is "
                "unknown; pass classes="
            )
        classes = int(labels.max()) + 1
    classes = whole_number(classes, "one_hot() classes", at_least=1)
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        where = np.unravel_index(outside[0], labels.shape)
        raise DataError(
            f"one_hot() got the label {labels[where]} at index ({', '.join(map(str, where))}); "
            f"expected 0 to {classes - 1}, for classes={classes}"
        )
    rows = np.zeros((labels.size, classes), dtype=dtype)
    rows[np.arange(labels.size), labels.ravel()] = 1
    return rows.reshape(*labels.shape, classes)


def split(
    *arrays: ArrayLike,
    seed: int | np.random.Generator,
    fraction: float | None = None,
    sizes: tuple[int, ...] | None = None,
) -> tuple[tuple[NDArray[Any], ...], ...]:
    """Split arrays at random along their first axis, all of them alike, into new arrays.

    `fraction` makes two parts, and is the second one's share: 0.1 holds a tenth out. `sizes`
    makes as many parts as it has numbers, which must add up to the length of the arrays. `seed` is
    required, a number or a generator: a split is not to change behind one's back.

        (images, labels), (validation_images, validation_labels) = split(
            images, labels, fraction=0.1, seed=0
        )

    Returns one tuple for each part, with one array for each array given.

    Raises DataError where lengths differ or the parts do not fit, and TypeError where a size or
    the seed is of the wrong kind.
    """
    examples = of_one_length(arrays, "split")
    length = len(examples[0])
    if (fraction is None) == (sizes is None):
        raise DataError(
            f"split() got fraction={fraction} and sizes={sizes}; give one of the two, "
            "for example fraction=0.1"
        )
    if fraction is not None:
        sizes = _sizes_of(fraction, length)
    else:
        assert sizes is not None
        sizes = tuple(whole_number(size, "split() sizes", at_least=0) for size in sizes)
        if sum(sizes) != length:
            raise DataError(
                f"split() got sizes={sizes}, in all {sum(sizes):,}; expected the {length:,} "
                "examples of the arrays (cut them first to use fewer)"
            )
    order = generator(seed, "split() seed").permutation(length)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return tuple(tuple(array[part] for array in examples) for part in parts)


def _sizes_of(fraction: float, length: int) -> tuple[int, int]:
    if not 0 < fraction < 1:
        raise DataError(
            f"split() got fraction={fraction}; expected a number between 0 and 1, the share of "
            "the second part. For numbers of examples write sizes=(50_000, 10_000)"
        )
    second = round(length * fraction)
    if not 0 < second < length:
        raise DataError(
            f"split() with fraction={fraction} of {length} examples makes parts of "
            f"{length - second} and {second}; expected at least one in each"
        )
    return length - second, second


def of_one_length(arrays: Iterable[ArrayLike], who: str) -> list[NDArray[Any]]:
    """The arrays, (N, ...) each; DataError where there is none, or they differ in length."""
    examples = [np.asarray(array) for array in arrays]
    if not examples or any(array.ndim == 0 for array in examples):
        raise DataError(f"{who}() expects arrays of shape (N, ...): {who}(images, labels, ...)")
    lengths = [len(array) for array in examples]
    if len(set(lengths)) > 1:
        raise DataError(f"{who}() got arrays of lengths {lengths}; expected one length")
    return examples


def generator(seed: int | np.random.Generator, what: str) -> np.random.Generator:
    """The generator itself, or a new one for a number; TypeError or DataError for anything else."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(whole_number(seed, what, at_least=0))


def whole_number(value: SupportsIndex, what: str, at_least: int) -> int:
    """The value as an int; TypeError where it is none, DataError where it is too small."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{what} is {value!r}; expected a whole number, at least {at_least}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{what} is {value!r}; expected a whole number, at least {at_least}"
        ) from None
    if number < at_least:
        raise DataError(f"{what} is {number}; expected a whole number, at least {at_least}")
    return number
