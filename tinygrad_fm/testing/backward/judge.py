"""Comparing gradients: right, right up to a common factor, or wrong, and by what factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm.testing.backward.pairing import same_shape

# Relative to the largest number of a gradient. A small constant inside a logarithm or a square root
# that the backward pass leaves out is no error.
TOLERANCE = 1e-5


MOST_PARTS = 200  # 1 / 72 is a name for a factor; any is one over some large number
NEARLY = 1e-3  # of each number: how far one such as 1e-5 in a denominator may move it


@dataclass
class Comparison:
    """One parameter's gradient beside the true one.

    Attributes:
        factor: theirs divided by the truth, where they differ by one factor only; else None.
        place: where the gradient was found, empty where there is none.
        excused: why it is right although the numbers differ, empty where it is not.
        terms: what is wrong with single terms of the loss in it, in words.
    """

    parameter: str
    place: str
    theirs: Any
    truth: Any
    factor: float | None
    excused: str = ""
    terms: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the numbers agree."""
        if self.excused:
            return True
        return self.factor is not None and abs(self.factor - 1) <= TOLERANCE


def compare(parameter: str, place: str, theirs: Any, truth: Any) -> Comparison:
    """Hold one gradient against the true one."""
    return Comparison(parameter, place, theirs, truth, factor_between(theirs, truth))


def factor_between(a: Any, b: Any) -> float | None:
    """c where a = c b to the tolerance; 1 where both are zero, None where there is none."""
    if a is None or not same_shape(np.asarray(a), np.asarray(b)):
        return None
    a, b = np.ravel(np.asarray(a, float)), np.ravel(np.asarray(b, float))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    largest = np.max(np.abs(b), initial=0.0)
    if largest <= 1e-12:
        return 1.0 if np.max(np.abs(a), initial=0.0) <= 1e-9 else None
    c = float(a @ b / (b @ b))
    off = np.max(np.abs(a - c * b), initial=0.0)
    if abs(c) < 1e-9 or off > TOLERANCE * max(abs(c) * largest, np.max(np.abs(a))):
        return None
    return c


def clipped_at(theirs: Any, truth: Any) -> float | None:
    """The largest number that a gradient was clipped to; None where it was not."""
    theirs = np.asarray(theirs, float)
    if not same_shape(theirs, truth) or not np.isfinite(theirs).all() or not theirs.size:
        return None
    most = float(np.abs(theirs).max())
    cut = np.clip(truth, -most, most).ravel()
    at_most = np.abs(truth).ravel() > most
    if at_most.any() and np.abs(theirs.ravel() - cut).max() <= TOLERANCE * most:
        kept = truth.size == 1 or not at_most.all() or float(f"{most:.2g}") == most
        return most if kept else None
    return None


def nearly(theirs: Any, truth: Any) -> float | None:
    """The whole number, or one over it, that every number of a gradient nearly is times the truth.

    None where there is none. Numbers that are much smaller than the largest are not looked at.
    """
    theirs, truth = np.ravel(np.asarray(theirs, float)), np.ravel(truth)
    large = np.abs(truth) > NEARLY * np.abs(truth).max(initial=0.0)
    if theirs.shape != truth.shape or not large.any() or not np.isfinite(theirs).all():
        return None
    ratios = theirs[large] / truth[large]
    middle = float(np.median(ratios))
    if not 1e-6 < abs(middle) < 1e6:
        return None
    for factor in (round(middle), 1 / (round(1 / middle) or 2)):
        if factor and np.abs(ratios / factor - 1).max() <= NEARLY:
            return float(factor)
    return None


def common_factor(found: list[Comparison]) -> float | None:
    """The one factor that all gradients have; None where they have different ones."""
    factors = [c.factor for c in found]
    if not factors or any(f is None for f in factors):
        return None
    first = factors[0]
    assert first is not None
    if all(abs(f / first - 1) <= 10 * TOLERANCE for f in factors if f is not None):
        return first
    return None


def factor_of_parameters(found: list[Comparison], inputs: set[str], shape: Any) -> float | None:
    """1 / n where the parameters' gradients are means over n samples, and the inputs' are sums.

    So it is where each sample's gradient is passed on, and the mean is only taken at the end.
    """
    means = [c for c in found if c.parameter not in inputs]
    rest = [c for c in found if c.parameter in inputs]
    factor = common_factor(means)
    if factor is None or len(means) < 2 or not rest or not all(c.is_right for c in rest):
        return None
    return factor if any(n > 1 and abs(factor * n - 1) < TOLERANCE for n in shape) else None


def name_factor(factor: float, samples: int, classes: int) -> str:
    """A factor in words: `the batch size`, `1 / classes`, `the sign`."""
    sign = "minus " if factor < 0 else ""
    size = abs(factor)
    named = [
        (1.0, "one"),
        (float(samples), f"the batch size, {samples}"),
        (1 / samples, f"1 / the batch size, {samples}"),
        (float(classes), f"the number of outputs, {classes}"),
        (1 / classes, f"1 / the number of outputs, {classes}"),
        (float(samples * classes), f"batch size times outputs, {samples * classes}"),
        (1 / (samples * classes), f"1 / (batch size times outputs), {samples * classes}"),
        (2.0, "two"),
        (0.5, "one half"),
    ]
    for value, words in named:
        if abs(size / value - 1) <= 10 * TOLERANCE:
            return "the sign" if words == "one" and factor < 0 else sign + words
    if 1 / MOST_PARTS < size < 1 and abs(round(1 / size) * size - 1) <= 10 * TOLERANCE:
        return f"{sign}1 / {round(1 / size)}"
    return f"{factor:.6g}"
