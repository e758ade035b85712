"""The error function, which NumPy lacks.

In float64 by rational approximations on three intervals, with a relative error below 5e-16 (W. J.
Cody: Rational Chebyshev approximations for the error function, Math. of Computation 23, 1969).
In float32 a third of the arithmetic does, with an error below 3e-7: erf(x) = tanh(x P(x^2)), where
P was fitted to artanh(erf(x)) / x by least squares, reweighted until the largest error was least.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive

# |x| <= 0.46875: erf(x) = x P(x^2) / Q(x^2)
_P1 = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_Q1 = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
# |x| <= 4: erfc(x) = exp(-x^2) P(x) / Q(x)
_P2 = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_Q2 = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
# float32, |x| <= 4.3, the highest power first
_P_SINGLE = (
    1.41851698e-7,
    -5.66846578e-6,
    8.76372627e-5,
    -6.19784474e-4,
    -1.91831035e-4,
    1.02769056e-1,
    1.12837927e0,
)

# Numbers that are worked on at a time: what a long formula holds in between stays in the cache.
BLOCK = 16_384


def in_blocks(function: Callable[[Any], Any], x: Any) -> Any:
    """function(x), element-wise; where x is a long array of NumPy, piece by piece."""
    if type(x) is not np.ndarray or x.size <= BLOCK:
        return function(x)
    y = np.empty_like(x)
    if y.strides != x.strides:
        return function(x)
    source, target = x.ravel(order="K"), y.ravel(order="K")  # views: both lie in one piece
    for start in range(0, x.size, BLOCK):
        target[start : start + BLOCK] = function(source[start : start + BLOCK])
    return y


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """Horner's scheme, the highest power first."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value = value * x + c
    return value


def _erf_of_block(x: Any) -> Any:
    if getattr(x, "dtype", None) == np.float32:
        near = np.minimum(np.maximum(x, -4.3), 4.3)  # beyond, erf is 1 to the last bit
        return np.tanh(near * _polynomial(_P_SINGLE, near * near))
    size = np.minimum(np.abs(x), 6)  # beyond, erf is 1 to the last bit
    small = np.minimum(size, 0.46875)
    square = small * small
    near = small * _polynomial(_P1, square) / _polynomial(_Q1, square)
    far = 1 - np.exp(-size * size) * _polynomial(_P2, size) / _polynomial(_Q2, size)
    return np.copysign(np.where(size <= 0.46875, near, far), x)


def _erf(x: Any) -> Any:
    return in_blocks(_erf_of_block, x)


erf = primitive(_erf, lambda g, _y, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x), name="erf")
erf.__doc__ = "The error function, element-wise; see the module for its error."


def _normal_cdf(x: Any) -> Any:
    return in_blocks(lambda part: 0.5 * _erf_of_block(part * math.sqrt(0.5)) + 0.5, x)


normal_cdf = primitive(
    _normal_cdf,
    lambda g, _y, x: g * (1 / math.sqrt(2 * math.pi) * np.exp(-0.5 * (x * x))),
    name="normal_cdf",
)
normal_cdf.__doc__ = "The normal distribution function (1 + erf(x / sqrt(2))) / 2, element-wise."
