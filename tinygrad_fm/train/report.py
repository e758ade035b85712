"""Precision, recall and F1 of each class, together in a report that prints as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_fm.train.metrics import confusion_matrix

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ClassificationReport:
    """What a confusion matrix says of each of the C classes; `print(report)` shows a table.

    With a class's right answers TP, its examples given to other classes FN, and other classes'
    examples given to it FP (report 000, section 5):

        precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2 TP / (2 TP + FP + FN)

    Where a denominator is 0 (a class that is never predicted has no precision, one without examples
    no recall) the value is `zero_division`. Values are shares, 0 to 1.

    Attributes:
        matrix: counts, (C, C), rows are the true classes.
        class_names: C names.
        precision, recall, f1: (C,).
        support: examples of each class, (C,).
    """

    matrix: NDArray[np.int64]
    class_names: tuple[str, ...]
    precision: Numbers
    recall: Numbers
    f1: Numbers

    @property
    def support(self) -> NDArray[np.int64]:
        """Examples of each class, (C,)."""
        return np.asarray(self.matrix.sum(axis=1))

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float(self.matrix.trace() / self.matrix.sum())

    @property
    def macro(self) -> dict[str, float]:
        """Means over the classes of precision, recall and f1; a NaN is left out."""
        columns = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {name: _mean(values) for name, values in columns.items()}

    def __str__(self) -> str:
        macro = self.macro
        count = int(self.matrix.sum())
        rows: list[tuple[str, ...]] = [("class", "precision", "recall", "F1", "examples")]
        columns = (self.class_names, self.precision, self.recall, self.f1, self.support)
        for name, *shares, support in zip(*columns, strict=True):
            rows.append((name, *map(_share, shares), f"{support:,}"))
        average = (_share(macro[name]) for name in ("precision", "recall", "f1"))
        rows.append(("macro average", *average, f"{count:,}"))
        rows.append(("accuracy", "", "", _share(self.accuracy), f"{count:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  ".join([f"{row[0]:<{widths[0]}}"] + [f"{row[i]:>{widths[i]}}" for i in range(1, 5)])
            for row in rows
        ]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-2], rule, *lines[-2:]])

    __repr__ = __str__


def classification_report(
    predictions: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    zero_division: float = 0.0,
) -> ClassificationReport:
    """Precision, recall and F1 of every class, and their averages; see ClassificationReport.

    Args:
        predictions, labels: as for `accuracy`: predictions first, as everywhere here.
        class_names: C names; by default the class numbers.
        zero_division: the value where a denominator is 0; NaN leaves the class out of averages.

    Raises:
        ValueError, TypeError: as for `confusion_matrix`.
    """
    classes = None if class_names is None else len(class_names)
    return report_of(confusion_matrix(predictions, labels, classes), class_names, zero_division)


def report_of(
    matrix: ArrayLike,
    class_names: Sequence[str] | None = None,
    zero_division: float = 0.0,
) -> ClassificationReport:
    """The report of a confusion matrix, (C, C), such as of one that was saved.

    Raises:
        ValueError: the matrix is not square, or the names are not one for each class.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix has shape (C, C), not {matrix.shape}")
    names = checked_names(class_names, len(matrix))
    right = np.diag(matrix)
    predicted, true = matrix.sum(axis=0), matrix.sum(axis=1)
    return ClassificationReport(
        matrix,
        tuple(names),
        precision=_ratio(right, predicted, zero_division),
        recall=_ratio(right, true, zero_division),
        f1=_ratio(2 * right, predicted + true, zero_division),
    )


def checked_names(class_names: Sequence[str] | None, classes: int) -> list[str]:
    """A name for each class; by default its number.

    Raises:
        ValueError: another number of names.
    """
    names = [str(i) for i in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ValueError(f"{len(names)} class names for {classes} classes")
    return names


def precision(predictions: Any, labels: Any, *, zero_division: float = 0.0) -> Numbers:
    """The share of right answers among the predictions of each class, (C,).

    See `classification_report` for the arguments, the errors, and a denominator of 0.
    """
    return classification_report(predictions, labels, zero_division=zero_division).precision


def recall(predictions: Any, labels: Any, *, zero_division: float = 0.0) -> Numbers:
    """The share of the examples of each class that were recognised, (C,).

    See `classification_report` for the arguments, the errors, and a denominator of 0.
    """
    return classification_report(predictions, labels, zero_division=zero_division).recall


def f1_score(predictions: Any, labels: Any, *, zero_division: float = 0.0) -> Numbers:
    """The harmonic mean of precision and recall of each class, (C,).

    See `classification_report` for the arguments, the errors, and a denominator of 0.
    """
    return classification_report(predictions, labels, zero_division=zero_division).f1


def class_weights(labels: Any, classes: int | None = None) -> NDArray[np.float32]:
    """Weights that let every class count alike in a loss: N / (C count), (C,), float32.

        loss = nn.CrossEntropyLoss(weight=train.class_weights(labels))

    They belong to the loss: its mean is then the weighted one. (The same as scikit-learn's
    class_weight="balanced".)

    Args:
        labels: class numbers, (N,), or one-hot rows, (N, C).
        classes: C; by default one more than the largest class number.

    Raises:
        ValueError: no examples, a class without any, or a label that is no class.
    """
    counts = confusion_matrix(labels, labels, classes).diagonal()
    if not counts.all():
        raise ValueError(
            f"class_weights: class {int(np.argmin(counts))} of {len(counts)} has no examples, so "
            "no weight makes it count as much as the others"
        )
    return np.asarray(counts.sum() / (len(counts) * counts), np.float32)


def _ratio(above: Any, below: Any, otherwise: float) -> Numbers:
    return np.where(below > 0, above / np.maximum(below, 1), otherwise)


def _mean(values: Numbers) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
