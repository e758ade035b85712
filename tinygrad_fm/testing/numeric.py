"""Numerical derivatives along a direction: complex steps, central differences, and kinks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Vector = np.ndarray[Any, np.dtype[Any]]
VectorFunction = Callable[[Vector], Vector]

_SHRINK = 10.0  # from one attempt to the next, where the differences have not settled
_ATTEMPTS = 5
_COMPLEX_STEP = 1e-20  # its square vanishes beside 1, and there is no difference to cancel


@dataclass(frozen=True)
class Slopes:
    """The derivative of every output of a function along one direction.

    Each field is a vector, one entry for each output.
    """

    value: Vector  # the derivative
    error: Vector  # how far `value` may be off
    exact: Vector  # True where a complex step gave it
    kink: Vector  # True where there is none: the slopes before and behind differ
    left: Vector  # the slope before
    right: Vector  # the slope behind


def slopes(
    f: VectorFunction, x: Vector, direction: Vector, *, precision: float, analytic: bool = True
) -> Slopes:
    """Differentiate `f` at `x` along `direction` numerically.

    Central differences at three steps are extrapolated to the step 0, with the step chosen from
    `precision` and made smaller while they disagree with one another. Where `f` also works on
    complex numbers and a complex step agrees, that is the value: it has no rounding error.

    Args:
        f: takes a float64 (or complex128) vector of n entries to a vector of m.
        x: where, n entries.
        direction: n entries.
        precision: the relative rounding error of f's results.
        analytic: whether to try a complex step.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _settle(f, x, direction, precision)
        if analytic:
            exact = _complex_step(f, x, direction, found.value.shape)
            if exact is not None:
                near = 20 * found.error + 1e-6 * np.abs(found.value)
                agree = (np.abs(exact - found.value) <= near) & ~found.kink
                found = Slopes(
                    np.where(agree, exact, found.value),
                    np.where(agree, 0, found.error),
                    agree,
                    found.kink,
                    found.left,
                    found.right,
                )
    return found


def _settle(f: VectorFunction, x: Vector, direction: Vector, precision: float) -> Slopes:
    """Central differences with the largest step at which they agree, chosen for each output."""
    middle = f(x)
    moved = np.abs(x[direction != 0])
    step = precision**0.2 * max(1.0, float(moved.max(initial=0.0)))
    best = _Differences(f, x, direction, middle, step, precision)
    for _ in range(_ATTEMPTS - 1):
        settled = best.error <= 1e-9 * np.abs(best.value) + 20 * best.noise
        if settled.all():
            break
        step /= _SHRINK
        closer = _Differences(f, x, direction, middle, step, precision)
        best.improve(closer, ~settled & ~(closer.error >= best.error))
    coarse = 1e-3 * np.max(np.abs(best.value), initial=0.0, where=np.isfinite(best.value)) + 1e-6
    # what rounding explains is no kink, as of a slope of 0 in float32
    unsettled = ~(best.error <= np.maximum(coarse, 20 * best.noise))
    kink = best.kink | ~np.isfinite(best.value) | unsettled
    return Slopes(best.value, best.error, np.zeros_like(kink), kink, best.left, best.right)


class _Differences:
    """Differences at one step, its half and its quarter, extrapolated to 0."""

    def __init__(
        self,
        f: VectorFunction,
        x: Vector,
        direction: Vector,
        middle: Vector,
        step: float,
        precision: float,
    ):
        wide, half, quarter = (_Pair(f, x, direction, middle, step * k) for k in (1, 0.5, 0.25))
        finer = (4 * quarter.slope - half.slope) / 3
        self.value = (16 * finer - (4 * half.slope - wide.slope) / 3) / 15
        self.noise = 8 * precision * wide.size / step  # what rounding alone may do
        self.error = np.abs(self.value - finer) + self.noise
        self.left, self.right = quarter.left, quarter.right
        gap = 2 * quarter.gap - half.gap
        # rounding is relative to the largest number where sums are rearranged, as in transforms
        noise = np.max(self.noise, initial=0.0, where=np.isfinite(self.noise))
        self.kink = np.abs(gap) > 1e-6 * (np.abs(self.left) + np.abs(self.right)) + 50 * noise
        if self.kink.any():
            # a kink keeps its gap however close one looks; of curvature nothing is left
            near = _Pair(f, x, direction, middle, step / 8)
            nearer = _Pair(f, x, direction, middle, step / 16)
            self.kink &= np.abs(2 * nearer.gap - near.gap) > np.abs(gap) / 2
        self.kink |= ~np.isfinite(self.value)

    def improve(self, other: _Differences, where: Vector) -> None:
        for name in ("value", "noise", "error", "left", "right", "kink"):
            setattr(self, name, np.where(where, getattr(other, name), getattr(self, name)))


class _Pair:
    """f one step ahead and one step back: central slope, one-sided slopes, and their gap."""

    def __init__(
        self, f: VectorFunction, x: Vector, direction: Vector, middle: Vector, step: float
    ):
        ahead, back = f(x + step * direction), f(x - step * direction)
        self.slope = (ahead - back) / (2 * step)
        self.right, self.left = (ahead - middle) / step, (middle - back) / step
        self.gap = (ahead - middle - (middle - back)) / step
        self.size = np.maximum(np.abs(ahead), np.abs(back))


def _complex_step(f: VectorFunction, x: Vector, direction: Vector, shape: Any) -> Vector | None:
    """Im f(x + ih) / h; None where f does not take complex numbers."""
    step = _COMPLEX_STEP * max(1.0, float(np.abs(x).max(initial=0.0)))
    try:
        y = f(x + 1j * step * direction)
    except Exception:  # whatever f raises for complex numbers, it says that they are not for it
        return None
    return y.imag / step if y.dtype.kind == "c" and y.shape == shape else None
