"""Metrics: how well predictions agree with the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_fm.tensor import array_of


def accuracy(predictions: Any, labels: Any) -> float:
    """The share of examples whose predicted class is the true one, 0 to 1.

    Args:
        predictions: a score for each class, (N, C), of which the largest counts (logits or
            probabilities; the first of several equal ones), or class numbers, (N,).
        labels: class numbers, (N,), or one-hot rows, (N, C).

    Raises:
        ValueError: no examples, shapes that do not fit, a score that is NaN, or a label for which
            there is no score.
        TypeError: class numbers that are not integers.
    """
    predicted, true = _pair("accuracy", predictions, labels)
    for classes in _widths(predictions, labels):
        _check_classes("accuracy", "label", true, classes)
    return float(np.mean(predicted == true))


def top_k_accuracy(scores: Any, labels: Any, k: int = 5) -> float:
    """The share of examples whose true class is among the `k` best scores, 0 to 1.

    Of equal scores those of smaller class numbers come first, so k = 1 is `accuracy`.

    Args:
        scores: for each class, (N, C), logits or probabilities.
        labels: class numbers, (N,), or one-hot rows, (N, C).
        k: from 1 to C.

    Raises:
        ValueError, TypeError: as for `accuracy`; a `k` outside 1 to C, a label that is no class.
    """
    values = array_of(scores)
    _, true = _pair("top_k_accuracy", values, labels)
    if values.ndim != 2:
        raise ValueError(f"top_k_accuracy: scores have shape (N, C), not {values.shape}")
    classes = values.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"top_k_accuracy: k is from 1 to the {classes} classes, not {k!r}")
    _check_classes("top_k_accuracy", "label", true, classes)
    own = np.take_along_axis(values, true[:, None], axis=1)
    earlier = np.arange(classes) < true[:, None]
    rank = np.sum((values > own) | ((values == own) & earlier), axis=1)
    return float(np.mean(rank < k))


def moving_average(values: Any, window: int) -> NDArray[np.float64]:
    """The mean of each value and the `window - 1` before it; of those there are, at the beginning.

    Args:
        values: (N,), such as `history.batch_losses`.
        window: at least 1.

    Returns:
        (N,), float64.

    Raises:
        ValueError: a window below 1, or values with other than one axis.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"moving_average: values have shape (N,), not {array.shape}")
    if window < 1:
        raise ValueError(f"moving_average: window is at least 1, not {window!r}")
    count = len(array)
    window = min(window, max(count, 1))
    # A window is the end of one block of `window` values and the beginning of the next: sums within
    # blocks, unlike differences of sums from the start, keep a NaN or a huge value to its windows.
    blocks = np.zeros((-(-(count + window - 1) // window) + 1, window))
    blocks.reshape(-1)[window - 1 : window - 1 + count] = array
    ends = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1].reshape(-1)[:count]
    beginnings = np.cumsum(blocks[:, :-1], axis=1)
    beginnings = np.pad(beginnings, ((0, 0), (1, 0))).reshape(-1)[window : window + count]
    return np.asarray((ends + beginnings) / np.minimum(np.arange(1, count + 1), window))


def confusion_matrix(
    predictions: Any, labels: Any, classes: int | None = None
) -> NDArray[np.int64]:
    """Counts of examples, (C, C): rows are the true classes, columns the predicted ones.

    The diagonal holds what is right; `matrix.trace() / matrix.sum()` is the accuracy.

    Args:
        predictions, labels: as for `accuracy`.
        classes: C; by default the number of scores, or one more than the largest class number.

    Raises:
        ValueError, TypeError: as for `accuracy`; a class number that is negative, or not below C.
    """
    predicted, true = _pair("confusion_matrix", predictions, labels)
    if classes is None:
        widths = _widths(predictions, labels)
        classes = max(widths) if widths else 1 + int(max(predicted.max(), true.max()))
    for what, numbers in (("label", true), ("prediction", predicted)):
        _check_classes("confusion_matrix", what, numbers, classes)
    counts = np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.astype(np.int64).reshape(classes, classes)


def _check_classes(metric: str, what: str, numbers: NDArray[Any], classes: int) -> None:
    outside = numbers[(numbers < 0) | (numbers >= classes)]
    if outside.size:
        raise ValueError(
            f"{metric}: {what} {outside[0]} is no class; there are {classes}, 0 to {classes - 1}"
        )


def _pair(metric: str, predictions: Any, labels: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Predicted and true class numbers, each (N,)."""
    predicted = _class_numbers(metric, "predictions", predictions)
    true = _class_numbers(metric, "labels", labels)
    widths = _widths(predictions, labels)
    if predicted.shape != true.shape or len(widths) > 1:
        raise ValueError(
            f"{metric}: predictions of shape {np.shape(predictions)} for labels of shape "
            f"{np.shape(labels)}; expected one prediction for each label"
        )
    if not true.size:
        raise ValueError(f"{metric}: no examples, labels have shape {np.shape(labels)}")
    return predicted, true


def _widths(predictions: Any, labels: Any) -> set[int]:
    """The numbers of classes that rows of scores, or one-hot rows, have."""
    return {np.shape(array)[1] for array in (predictions, labels) if np.ndim(array) == 2}


def _class_numbers(metric: str, what: str, values: Any) -> NDArray[Any]:
    array = array_of(values)
    if array.ndim == 2 and array.shape[1] == 1:
        raise ValueError(
            f"{metric}: {what} have shape {array.shape}, one column, whose largest is always "
            f"the first; write {what}[:, 0] for class numbers"
        )
    if array.ndim == 2 and array.shape[1]:
        if array.dtype.kind == "f" and np.isnan(array).any():
            row = int(np.argmax(np.isnan(array).any(axis=1)))
            raise ValueError(f"{metric}: row {row} of the {what} holds nan, which is no score")
        return np.asarray(np.argmax(array, axis=1))
    if array.ndim != 1:
        raise ValueError(
            f"{metric}: {what} have shape {array.shape}; expected class numbers (N,) or a row of "
            "scores for each example (N, C)"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{metric}: {what} of shape {array.shape} are class numbers and need an integer dtype, "
            f"not {array.dtype}; write .astype(int)"
        )
    return np.asarray(array, np.int64)
