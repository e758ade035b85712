"""What is measured of a finished training, by the names that recipes use for reported numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_fm import functional, nn, train
from tinygrad_fm.reports.prepare import Prepared
from tinygrad_fm.reports.training import Outcome

AVERAGED = 100  # batches in a moving average of the loss, as report 000 draws it
COLUMNS = {
    "train loss": "train_loss",
    "train accuracy": "train_accuracy",
    "validation loss": "validation_loss",
    "validation accuracy": "validation_accuracy",
    "measured train accuracy": "measured_accuracy",
}


class Averaged(nn.Module):
    """A network that sees each image in several ways; logits of the mean of its probabilities.

    Args:
        model: gives logits (N, C) of images.
        views: functions of images, beside the image as it is.
    """

    def __init__(self, model: Callable[[Any], Any], views: Sequence[Callable[[Any], Any]]):
        self.model = model
        self.views = tuple(views)

    def forward(self, images: Any) -> Any:
        """(N, C)."""
        seen = [images, *(view(images) for view in self.views)]
        logs = [functional.log_softmax(self.model(each)) for each in seen]
        return functools.reduce(np.logaddexp, logs) - math.log(len(logs))


def measure(
    outcome: Outcome, prepared: Prepared, views: Sequence[Callable[[Any], Any]] = ()
) -> dict[str, Any]:
    """Numbers and lists by name: loss and accuracy on each part, the confusion matrix, and so on.

    The network is measured with the weights that its recipe keeps, and with the recipe's views;
    "test accuracy of one view" is that of the images as they are. A network whose outputs are NaN
    says class 0 of every image, as `argmax` does.
    """
    model = Averaged(outcome.model, views) if views else outcome.model
    found: dict[str, Any] = {"parameters": sum(p.size for p in outcome.model.parameters())}
    with np.errstate(all="ignore"):
        for name in ("train", "validation", "test"):
            part = prepared.batches(getattr(prepared, name))
            loss, accuracy = train.evaluate(model, outcome.criterion, part)
            found[f"{name} loss"], found[f"{name} accuracy"] = loss, accuracy
        if views:
            part = prepared.batches(prepared.test)
            _, accuracy = train.evaluate(outcome.model, outcome.criterion, part)
            found["test accuracy of one view"] = accuracy
        predicted = np.concatenate(
            [train.predict(model, x) for x, _ in prepared.batches(prepared.test)]
        )
    labels = prepared.test[1]
    true = labels.argmax(axis=1) if labels.ndim == 2 else labels
    # argmax of NaN is 0, which confusion_matrix would rather refuse
    matrix = train.confusion_matrix(predicted.argmax(axis=1), true, len(prepared.class_names))
    report = train.report_of(matrix, prepared.class_names)
    found["confusion matrix"] = matrix.tolist()
    for name, values in (
        ("recall", report.recall),
        ("precision", report.precision),
        ("F1", report.f1),
    ):
        found[f"{name} by class"] = values.tolist()
        found[f"macro {name}"] = report.macro[name.lower() if name == "F1" else name]
    if outcome.first:
        found["first accuracies"] = outcome.first
    return found


def look_up(name: str, result: Mapping[str, Any]) -> list[float] | None:
    """The numbers that a measure's name stands for in a result, or None where it has none.

    A name is a key of what `measure` found, such as "test accuracy", "macro F1" or "recall by
    class"; or of a column of the history

        "validation accuracy by epoch"    all of it (with "measured train accuracy", and the
                                          validation beside it, of the first update too)
        "first validation accuracy", "last ...", "best ..."

    or "loss at 1 501", the losses of those batches, and "average loss at 100 2000", the means of
    100 batches up to there.
    """
    measures = result["measures"]
    if name in measures:
        value = measures[name]
        return list(value) if isinstance(value, (list, tuple)) else [value]
    for start, at in (("loss at ", _plain), ("average loss at ", _average)):
        if name.startswith(start):
            return at(result["losses"], [int(word) for word in name[len(start) :].split()])
    for way, pick in _PICKS.items():
        before, _, after = way.partition("*")
        if name.startswith(before) and name.endswith(after):
            column = COLUMNS.get(name[len(before) : len(name) - len(after)])
            values = [r.get(column) for r in result["history"]] if column else []
            if values and None not in values:
                first = measures.get("first accuracies")
                if way == "* by epoch from 0":
                    if not first:
                        return None
                    values = [first[column == "validation_accuracy"], *values]
                return pick(values, column or "")
    return None


def _best(values: list[float], column: str) -> list[float]:
    return [max(values) if "accuracy" in column else min(values)]


_PICKS: dict[str, Callable[[list[float], str], list[float]]] = {
    "* by epoch from 0": lambda values, column: values,
    "* by epoch": lambda values, column: values,
    "first *": lambda values, column: values[:1],
    "last *": lambda values, column: values[-1:],
    "best *": _best,
}


def _plain(losses: list[float], steps: list[int]) -> list[float] | None:
    return [losses[step - 1] for step in steps] if max(steps) <= len(losses) else None


def _average(losses: list[float], steps: list[int]) -> list[float] | None:
    if max(steps) > len(losses):
        return None
    return [math.fsum(losses[max(0, s - AVERAGED) : s]) / min(s, AVERAGED) for s in steps]
