"""Losses. N examples, C classes; `reduction` says how the losses of examples become one number."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive
from tinygrad_fm.functional.activation import log_softmax, softplus
from tinygrad_fm.recording import check
from tinygrad_fm.tensor import Tensor, array_of, shape_of


def _without_masked(log_p: Any, t: Any) -> Any:
    """log_p, but 0 for classes that are masked by -inf and are not the target."""
    if log_p.size and np.min(log_p) == -math.inf:
        return np.where(t == 0, 0, log_p)
    return log_p


def _cross_entropy_each(log_p: Any, t: Any) -> Any:
    return -np.sum(t * _without_masked(log_p, t), axis=-1)


def _cross_entropy_total(log_p: Any, t: Any, factor: float) -> Any:
    total = np.vdot(t, log_p)
    if total != total:  # 0 times the -inf of a masked class; to look for it costs as much again
        total = np.vdot(t, _without_masked(log_p, t))
    return total * -factor


# From log-probabilities and target probabilities: one loss per example, or all of them added up
# and multiplied by a factor, in one operation. With log_softmax before it, the gradient of the
# logits is (softmax - t) times the factor, report 000, 3.3.5, for targets that sum to 1.
cross_entropy_each = primitive(
    _cross_entropy_each,
    lambda g, _y, _x, t: -g[..., None] * t,
    lambda g, _y, x, _t: -g[..., None] * x,
    name="cross_entropy",
)
cross_entropy_total = primitive(
    _cross_entropy_total,
    lambda g, _y, _x, t, _factor: t * (g * -_factor),
    lambda g, _y, x, _t, _factor: x * (g * -_factor),
    name="cross_entropy",
)

square_norm = primitive(lambda w: np.vdot(w, w), lambda g, _y, w: (2 * g) * w, name="square_norm")
square_norm.__doc__ = "The sum of all squares, of an array of any shape, in one pass over it."

_REDUCTIONS: dict[str, Any] = {"mean": np.mean, "sum": np.sum, "none": lambda losses: losses}


def _reduce(losses: Any, reduction: str, more: dict[str, float] | None = None) -> Any:
    """One number by a named reduction; `more` are further names, each with a factor of the sum."""
    if reduction in _REDUCTIONS:
        return _REDUCTIONS[reduction](losses)
    if more and reduction in more:
        return np.sum(losses) * more[reduction]
    raise _unknown_reduction(reduction, more or {})


def _unknown_reduction(reduction: Any, more: Iterable[str]) -> ValueError:
    return ValueError(f"reduction must be one of {[*_REDUCTIONS, *more]}, not {reduction!r}")


def _same_shape(prediction: Any, target: Any) -> None:
    if shape_of(prediction) != shape_of(target):
        raise ValueError(
            f"prediction has shape {shape_of(prediction)} and target {shape_of(target)}; reshape "
            "one to the other's shape"
        )


def cross_entropy(
    logits: Any,
    labels: Any,
    reduction: str = "mean",
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of the softmax of logits (report 000, 3.3.4 as corrected; natural logarithm).

    Args:
        logits: shape (N, C), not normalised.
        labels: class numbers of shape (N,), or probabilities of shape (N, C).
        reduction: "mean" over the examples (with `weight`, weighted by that of each example's
            class), "sum", "none" for shape (N,), or "examples_and_classes" for the sum divided by
            N times C (report 002).
        weight: a factor for each class, shape (C,).
        label_smoothing: the share of each target that is spread evenly over all classes, 0 to 1.

    Raises:
        ValueError: shapes that do not fit, a label that is no class, smoothing outside 0 to 1.
        TypeError: labels that are neither integers nor probabilities.
    """
    if len(shape_of(logits)) != 2:
        raise ValueError(f"logits have shape (N, C), not {shape_of(logits)}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is between 0 and 1, not {label_smoothing!r}")
    n, classes = shape_of(logits)
    targets = _targets(logits, labels)
    by_number = len(shape_of(labels)) == 1
    total: Any = max(float(n), 1.0)
    if weight is not None:
        weight = np.asarray(weight, dtype=targets.dtype)
        if weight.shape != (classes,):
            raise ValueError(
                f"weight has shape {(classes,)}, one for each class, not {weight.shape}"
            )
        if by_number:
            # where all examples are of classes that weigh nothing, their mean is 0
            total = np.sum(targets * weight)
            total = np.where(total == 0, 1, total)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        targets = targets * weight
    log_p = log_softmax(logits)
    if reduction == "none":
        return cross_entropy_each(log_p, targets)
    factors = {"mean": 1 / total, "sum": 1.0, "examples_and_classes": 1 / max(n * classes, 1)}
    if reduction not in factors:
        raise _unknown_reduction(reduction, ["examples_and_classes"])
    factor = factors[reduction]
    if isinstance(factor, float):
        return cross_entropy_total(log_p, targets, factor)
    return cross_entropy_total(log_p, targets, 1.0) * factor


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
    targets = labels[:, None] == _class_numbers(classes)
    check(check_classes, targets, labels)
    return targets.astype(logits.dtype)


def check_classes(targets: Any, labels: Any) -> None:
    """Refuse labels (N,) that are no class: whose row of `targets` (N, C) is without a True."""
    if np.count_nonzero(targets) != len(targets):
        n, classes = targets.shape
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(
            f"label {bad} is no class: logits of shape {(n, classes)} have the classes 0 to "
            f"{classes - 1}"
        )


@functools.cache
def _class_numbers(classes: int) -> Any:
    numbers = np.arange(classes)
    numbers.flags.writeable = False
    return numbers


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """Squared error (prediction - target)**2.

    Args:
        prediction, target: of one shape, (N, ...).
        reduction: "mean" over all elements, "sum", "none", or "half_per_example": the sum divided
            by 2N (report 001, eq. 1 as corrected).

    Raises:
        ValueError: the shapes differ (broadcasting here is nearly always a mistake).
    """
    _same_shape(prediction, target)
    n = shape_of(prediction)[0] if shape_of(prediction) else 1
    return _reduce(np.square(prediction - target), reduction, {"half_per_example": 0.5 / max(n, 1)})


def l1_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """Absolute error |prediction - target|; slope 0 where they agree.

    Arguments and errors as for `mse_loss`, which alone has "half_per_example".
    """
    _same_shape(prediction, target)
    return _reduce(np.abs(prediction - target), reduction)


def huber_loss(prediction: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Any:
    """d^2 / 2 for |d| up to delta, else delta (|d| - delta / 2), with d = prediction - target.

    Huber: Robust estimation of a location parameter (1964).

    Raises:
        ValueError: the shapes differ, or delta is not positive.
    """
    _same_shape(prediction, target)
    if not delta > 0:
        raise ValueError(f"delta is above 0, not {delta!r}")
    size = np.abs(prediction - target)
    inner = np.minimum(size, delta)  # at |d| = delta both forms have the slope delta
    return _reduce(inner * (size - 0.5 * inner), reduction)


def hinge_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """max(0, 1 - target * prediction), for targets -1 and 1; both of one shape.

    Raises:
        ValueError: the shapes differ, or a target is neither -1 nor 1.
    """
    _same_shape(prediction, target)
    check(check_signs, array_of(target))
    return _reduce(np.maximum(0, 1 - target * prediction), reduction)


def check_signs(target: Any) -> None:
    """Refuse targets of the hinge loss that are neither -1 nor 1."""
    wrong = ~np.isin(target, (-1, 1))
    if wrong.any():
        bad = target[wrong].flat[0]
        raise ValueError(f"targets of the hinge loss are -1 and 1, not {bad}; write 2 * t - 1")


def binary_cross_entropy_with_logits(logits: Any, target: Any, reduction: str = "mean") -> Any:
    """-t log s(x) - (1 - t) log(1 - s(x)), s the sigmoid, in the form log(1 + e^x) - t x.

    Args:
        logits: any shape, not squashed. target: probabilities of the same shape, 0 to 1.

    Raises:
        ValueError: the shapes differ, or a target lies outside 0 to 1.
    """
    _same_shape(logits, target)
    check(check_probabilities, "target", array_of(target))
    certain = np.where(target == 0, 0, logits)  # an infinite logit times a target of 0 is 0
    return _reduce(softplus(logits) - target * certain, reduction)


def binary_cross_entropy(
    probability: Any, target: Any, reduction: str = "mean", eps: float = 0.0
) -> Any:
    """-t log p - (1 - t) log(1 - p) (report 001, eq. 2 as corrected); prefer the form with logits.

    Args:
        probability: any shape, 0 to 1. target: likewise.
        eps: p is kept between eps and 1 - eps; 0 gives an infinite loss for a sure mistake.

    Raises:
        ValueError: the shapes differ, or a value lies outside 0 to 1.
    """
    _same_shape(probability, target)
    check(check_probabilities, "target", array_of(target))
    check(check_probabilities, "probability", array_of(probability))
    p = np.clip(probability, eps, 1 - eps) if eps else probability
    # where t is 0 or 1 the other term is no number times zero, but nothing at all
    sure = np.where(target > 0, target * np.log(np.where(target > 0, p, 1)), 0)
    against = np.where(target < 1, (1 - target) * np.log1p(-np.where(target < 1, p, 0)), 0)
    return _reduce(-(sure + against), reduction)


def check_probabilities(name: str, raw: Any) -> None:
    """Refuse values outside 0 to 1."""
    if raw.size and not (raw.min() >= 0 and raw.max() <= 1):
        bad = raw[~((raw >= 0) & (raw <= 1))].flat[0]
        raise ValueError(
            f"a {name} lies between 0 and 1, not at {bad}"
            + ("; for logits use binary_cross_entropy_with_logits" if name == "probability" else "")
        )
