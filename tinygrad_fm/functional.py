"""The functions of neural networks, written in NumPy, each with its rule where one line is better.

They take Tensors, arrays, or a mix. Shapes: N examples, C classes; `...` is any number of axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive
from tinygrad_fm.tensor import Tensor

# Kinks: relu has slope 0 at 0 and leaky_relu its negative slope, as in PyTorch. relu is its own
# rule, because np.maximum(x, 0) splits the tie at 0 evenly.
relu = primitive(lambda x: np.maximum(x, 0), lambda g, y, _x: g * (y > 0), name="relu")
relu.__doc__ = "max(x, 0), element-wise (report 000, 3.2.1); slope 0 at 0."

_leaky_relu = primitive(
    lambda x, slope: np.where(x > 0, x, slope * x),
    lambda g, _y, x, _slope: np.where(x > 0, g, _slope * g),
    name="leaky_relu",
)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where it is positive, else `negative_slope * x` (report 003, eq. 1); element-wise."""
    return _leaky_relu(x, negative_slope)


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))  # never overflows, and keeps its digits on both sides
    return np.where(x >= 0, 1, small) / (1 + small)


sigmoid = primitive(_sigmoid, lambda g, y, _x: g * (y * (1 - y)), name="sigmoid")
sigmoid.__doc__ = "1 / (1 + exp(-x)), element-wise (report 000, 3.2.5), without overflow."


def tanh(x: Any) -> Any:
    """np.tanh, element-wise (report 000, 3.2.3)."""
    return np.tanh(x)


def _softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_softmax(x: Any, axis: int = -1) -> Any:
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


softmax = primitive(
    _softmax,
    lambda g, y, _x, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)),
    name="softmax",
)
softmax.__doc__ = (
    "exp(x) / sum(exp(x)) along `axis` (report 000, 3.3.2), shifted by the row maximum."
)

log_softmax = primitive(
    _log_softmax,
    lambda g, y, _x, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True),
    name="log_softmax",
)
log_softmax.__doc__ = "x - log(sum(exp(x))) along `axis`, shifted by the row maximum."

# one loss per example from logits and target probabilities; its gradient is (softmax - t), report
# 000, 3.3.5, for targets that sum to 1
softmax_cross_entropy = primitive(
    lambda x, t: -np.sum(t * _log_softmax(x), axis=-1),
    lambda g, _y, x, t: (
        np.expand_dims(g, -1) * (softmax(x) * np.sum(t, axis=-1, keepdims=True) - t)
    ),
    lambda g, _y, x, _t: -np.expand_dims(g, -1) * log_softmax(x),
    name="softmax_cross_entropy",
)

_REDUCTIONS: dict[str, Any] = {"mean": np.mean, "sum": np.sum, "none": lambda losses: losses}


def _reduce(losses: Any, reduction: str) -> Any:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction must be one of {list(_REDUCTIONS)}, not {reduction!r}")
    return _REDUCTIONS[reduction](losses)


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    """Cross-entropy of the softmax of logits (report 000, 3.3.4 as corrected; natural logarithm).

    Args:
        logits: shape (N, C), not normalised.
        labels: class numbers of shape (N,), or probabilities of shape (N, C).
        reduction: "mean" over the examples, "sum", or "none" for a loss per example, shape (N,).

    Raises:
        ValueError: shapes that do not fit, or a label that is no class.
        TypeError: labels that are neither integers nor probabilities.
    """
    if np.ndim(logits) != 2:
        raise ValueError(f"logits have shape (N, C), not {np.shape(logits)}")
    return _reduce(softmax_cross_entropy(logits, _targets(logits, labels)), reduction)


def _targets(logits: Any, labels: Any) -> Any:
    """Labels as probabilities in the dtype of the logits, shape (N, C)."""
    labels = labels if isinstance(labels, Tensor) else np.asarray(labels)
    n, classes = logits.shape
    if labels.shape == (n, classes):
        if labels.dtype.kind not in "fiub":
            raise TypeError(f"target probabilities are numbers, not {labels.dtype}")
        return labels if labels.dtype == logits.dtype else labels.astype(logits.dtype)
    if labels.shape != (n,):
        raise ValueError(
            f"labels have shape {labels.shape}; for logits of shape {(n, classes)} they are class "
            f"numbers of shape {(n,)} or probabilities of shape {(n, classes)}"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"labels of shape {labels.shape} are class numbers and need an integer dtype, not "
            f"{labels.dtype}; write labels.astype(int)"
        )
    raw = labels.data if isinstance(labels, Tensor) else labels
    if n and (raw.min() < 0 or raw.max() >= classes):
        bad = raw.min() if raw.min() < 0 else raw.max()
        raise ValueError(
            f"label {bad} is no class: logits of shape {(n, classes)} have the classes 0 to "
            f"{classes - 1}"
        )
    return (np.expand_dims(labels, 1) == np.arange(classes)).astype(logits.dtype)


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """Squared error (prediction - target)**2, reduced over all elements.

    Raises:
        ValueError: the shapes differ (broadcasting here is nearly always a mistake).
    """
    if np.shape(prediction) != np.shape(target):
        raise ValueError(
            f"prediction has shape {np.shape(prediction)} and target {np.shape(target)}; reshape "
            "one to the other's shape"
        )
    return _reduce(np.square(prediction - target), reduction)
