"""Evaluation: a model's outputs, loss and accuracy on examples, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_fm import functional
from tinygrad_fm.nn import Module, Sequential, inference
from tinygrad_fm.nn.inference import evaluation_mode
from tinygrad_fm.recording import no_grad
from tinygrad_fm.tensor import Tensor, array_of

Model = Callable[[Any], Any]  # usually a Module; any function of a batch will do
Loss = Callable[[Any, Any], Any]


def evaluate(
    model: Model, loss: Loss, x: Any, y: Any = None, batch_size: int = 1000
) -> tuple[float, float | None]:
    """The mean loss and the accuracy of a model on examples, batch by batch.

    Nothing is recorded, and modules are in evaluation mode meanwhile.

    Args:
        model: called on each batch of x.
        loss: `loss(prediction, y)` gives the mean over a batch.
        x: examples, (N, ...), as the model takes them; or a Loader of batches, without y.
        y: their labels or targets, (N, ...).
        batch_size: examples at a time.

    Returns:
        the loss, weighted by the sizes of the batches, and the accuracy, 0 to 1; None where y
        holds no classes (neither class numbers (N,) nor one-hot rows (N, C) for outputs (N, C)).

    Raises:
        ValueError: no examples, or x and y of different lengths.
        TypeError: x is uint8, which a Loader or data.scale() makes numbers from 0 to 1.
    """
    batches: Iterable[Any]
    if y is None:
        if hasattr(x, "shape"):
            raise ValueError("evaluate needs labels with its examples: evaluate(model, loss, x, y)")
        batches = x
    else:
        batches = _batches("evaluate", x, y, batch_size)
    meter = Meter()
    with evaluation_mode(model), no_grad():
        for number, batch in enumerate(batches, 1):
            inputs, labels = checked_batch(batch, number)
            outputs = model(as_tensor(inputs))
            value = loss(outputs, labels)
            meter.add(number_of(value), outputs, labels)
    if not meter.examples:
        raise ValueError(f"evaluate got no examples: {x!r:.80}")
    return meter.loss, meter.accuracy


def predict(model: Model, x: Any, batch_size: int = 1000, *, output: str = "logits") -> Any:
    """What the model says of examples, batch by batch, in evaluation mode; see `Module.predict`.

    Args:
        model: called on each batch of x.
        x: examples, (N, ...), as the model takes them.
        batch_size: examples at a time; nothing else is kept of a batch than its results.
        output: "logits" for what the model gives, (N, ...); "probabilities" for their softmax,
            (N, C); "classes" for the number of the largest, (N,), the first of equal ones.

    Raises:
        ValueError: no examples, another `output`, or outputs that are no scores (N, C).
        TypeError: x is uint8, as for `evaluate`.
    """
    if output not in _OUTPUTS:
        raise ValueError(f"predict: output is one of {', '.join(_OUTPUTS)}, not {output!r}")
    x, _ = _checked_examples("predict", x, x, batch_size)

    def results(part: Any) -> Any:
        scores = array_of(model(part))
        if output != "logits" and scores.ndim != 2:
            raise ValueError(
                f"predict: the model gave shape {scores.shape} for {len(part)} examples; for "
                f'{output} it gives a score for each class, (N, C), or write output="logits"'
            )
        return _OUTPUTS[output](scores)

    with evaluation_mode(model):
        return inference.predict(results, x, batch_size)


def activations(model: Module, x: Any) -> dict[str, Any]:
    """What the layers of a Sequential give for a few examples, in evaluation mode, by their names.

    Args:
        model: an nn.Sequential.
        x: examples, (N, ...), as the model takes them.

    Returns:
        the result of each layer, (N, ...), under "1 (ReLU)" and the like.

    Raises:
        TypeError: another model. ValueError: no examples.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"activations are those of an nn.Sequential, not a {type(model).__name__}")
    x, _ = checked_arrays("activations", x, x)
    found = {}
    with evaluation_mode(model), no_grad():
        value: Any = as_tensor(x)
        for i, layer in enumerate(model):
            value = layer(value)
            found[f"{i} ({type(layer).__name__})"] = array_of(value)
    return found


_OUTPUTS: dict[str, Callable[[Any], Any]] = {
    "logits": lambda scores: scores,
    "probabilities": functional.softmax,
    "classes": lambda scores: scores.argmax(axis=1),
}


class Meter:
    """Sums up losses and right answers over batches of different sizes."""

    def __init__(self) -> None:
        self.examples = 0
        self._loss = 0.0
        self._right = 0
        self._classes: bool | None = None  # whether the labels are classes; the first batch tells

    def add(self, loss: float, outputs: Any, labels: Any) -> None:
        """One batch: its mean loss, what the model gave, (N, ...), and the labels, (N, ...)."""
        scores, labels = array_of(outputs), array_of(labels)
        if self._classes is None:
            self._classes = _are_classes(scores, labels)
        self.examples += len(labels)
        self._loss += loss * len(labels)
        if self._classes:
            true = labels if labels.ndim == 1 else labels.argmax(axis=1)
            self._right += int(np.count_nonzero(scores.argmax(axis=1) == true))

    @property
    def loss(self) -> float:
        """The mean loss of an example."""
        return self._loss / self.examples

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None where the labels are no classes."""
        return self._right / self.examples if self._classes else None


def _are_classes(scores: Any, labels: Any) -> bool:
    if scores.ndim != 2 or scores.shape[1] < 2 or len(scores) != len(labels):
        return False
    if labels.ndim == 1:
        return labels.dtype.kind in "iu"
    one_hot = labels.shape == scores.shape and ((labels == 0) | (labels == 1)).all()
    return bool(one_hot and (labels.sum(axis=1) == 1).all())


def checked_batch(batch: Any, number: int) -> tuple[Any, Any]:
    """The examples and labels of a batch.

    Raises:
        TypeError: it is no pair. ValueError: it has no examples, or not one label for each.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(
            f"batch {number} is {type(batch).__name__}; expected a pair (x, y): write "
            "data.Loader(x, y, batch_size=...), or a list of pairs"
        )
    x, y = batch
    if np.ndim(x) == 0 or np.ndim(y) == 0 or len(x) != len(y) or not len(y):
        raise ValueError(
            f"batch {number} has x of shape {np.shape(x)} and y of shape {np.shape(y)}; expected "
            "(N, ...) and (N, ...), one label or target for each of at least one example"
        )
    return x, y


def number_of(loss: Any) -> float:
    """The loss of a batch as a Python number.

    Raises:
        ValueError: it has several elements.
    """
    data = array_of(loss)
    if data.size != 1:
        raise ValueError(
            f"the loss has shape {data.shape}; expected one number for a batch: its mean, as with "
            'reduction="mean"'
        )
    return float(data.item())


def as_tensor(x: Any) -> Tensor:
    """A batch as a Tensor, so that all of the model's operations on it are seen."""
    return x if isinstance(x, Tensor) else Tensor(x)


def checked_arrays(what: str, x: Any, y: Any) -> tuple[Any, Any]:
    """x and y as arrays of one length.

    Raises:
        ValueError: there are no examples, or not one label or target for each.
    """
    x, y = array_of(x), array_of(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"{what}: x has shape {x.shape} and y {y.shape}; expected (N, ...) and (N, ...), with "
            "at least one example"
        )
    return x, y


def _checked_examples(what: str, x: Any, y: Any, batch_size: int) -> tuple[Any, Any]:
    """`checked_arrays` of what a network can take."""
    x, y = checked_arrays(what, x, y)
    if batch_size < 1:
        raise ValueError(f"{what}: batch_size is at least 1, not {batch_size!r}")
    if x.dtype == np.uint8:
        raise TypeError(
            f"{what}: x is uint8 of shape {x.shape}, bytes from 0 to 255; networks learn from "
            "numbers near 1: write data.scale(x), and data.flatten(x) for a Linear layer, or pass "
            "a data.Loader"
        )
    return x, y


def _batches(what: str, x: Any, y: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Consecutive parts of x and y, without copies."""
    x, y = _checked_examples(what, x, y, batch_size)
    for start in range(0, len(x), batch_size):
        yield x[start : start + batch_size], y[start : start + batch_size]
