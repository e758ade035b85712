"""Activations, element-wise or along one axis, each with its rule where one line is better.

Kinks: relu has slope 0 at 0, and leaky_relu and elu the slope of their negative side, as in
PyTorch. relu is a rule of its own because np.maximum(x, 0) splits the tie at 0 evenly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive
from tinygrad_fm.functional.special import normal_cdf
from tinygrad_fm.rules.elementwise import masked

relu = primitive(lambda x: np.maximum(x, 0), lambda g, y, _x: g * (y > 0), name="relu")
relu.__doc__ = "max(x, 0), element-wise (report 000, 3.2.1); slope 0 at 0."


# np.where takes several times as long as arithmetic where the signs change often
def _leaky_slope(x: Any, slope: float) -> Any:
    positive = (x > 0).astype(x.dtype)
    return positive + slope * (1 - positive)


_leaky_relu = primitive(
    lambda x, slope: np.maximum(x, 0) + slope * np.minimum(x, 0),
    lambda g, _y, x, _slope: g * _leaky_slope(x, _slope),
    name="leaky_relu",
)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where it is positive, else `negative_slope * x` (report 003, eq. 1); element-wise."""
    return _leaky_relu(x, negative_slope)


def _sigmoid(x: Any) -> Any:
    # neither overflows, and the digits are kept on both sides; 0.0 makes bytes numbers with a sign
    return np.exp(np.minimum(x, 0.0)) / (1 + np.exp(0.0 - np.abs(x)))


sigmoid = primitive(_sigmoid, lambda g, y, _x: g * (y * (1 - y)), name="sigmoid")
sigmoid.__doc__ = "1 / (1 + exp(-x)), element-wise (report 000, 3.2.7), without overflow."


def tanh(x: Any) -> Any:
    """np.tanh, element-wise (report 000, 3.2.3)."""
    return np.tanh(x)


def silu(x: Any) -> Any:
    """x sigmoid(x), element-wise; also called swish (Ramachandran, Zoph, Le 2017)."""
    return x * sigmoid(x)


# not np.logaddexp, which has no vector instructions and takes nine times as long
softplus = primitive(
    lambda x: np.maximum(x, 0) + np.log1p(np.exp(0.0 - np.abs(x))),
    lambda g, _y, x: g * sigmoid(x),
    name="softplus",
)
softplus.__doc__ = "log(1 + exp(x)), element-wise, without overflow."


_elu = primitive(
    lambda x, alpha: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0)),
    lambda g, _y, x, _alpha: (
        masked(g, x > 0) + masked(g * _alpha * np.exp(np.minimum(x, 0)), ~(x > 0))
    ),
    name="elu",
)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha (exp(x) - 1) (Clevert, Unterthiner, Hochreiter 2016)."""
    return _elu(x, alpha)


def gelu(x: Any, approximate: str = "none") -> Any:
    """x times the normal distribution function of x (Hendrycks, Gimpel 2016), element-wise.

    Args:
        x: array of floats.
        approximate: "none" for the exact form by `erf`; "tanh" for the paper's approximation, which
            is off by up to 5e-4.

    Raises:
        ValueError: another approximation.
    """
    if approximate == "none":
        return x * normal_cdf(x)
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    raise ValueError(f"approximate is 'none' or 'tanh', not {approximate!r}")


def _largest(x: Any, axis: int) -> Any:
    """The maximum along an axis, which stays.

    NumPy goes along each row by itself. Of many short rows the columns, one beside the other, are
    compared in a third of the time or less, their copy included; the maximum is the same.
    """
    if x.ndim == 2 and axis in (-1, 1) and 1 < x.shape[1] <= 64 and len(x) >= 16:
        return np.max(np.copy(np.transpose(x), order="C"), axis=0)[:, None]
    return np.max(x, axis=axis, keepdims=True)


def _shifted(x: Any, axis: int) -> Any:
    """x less its maximum; of bytes too, which have no negative numbers."""
    largest = _largest(x, axis)
    return x - (largest if largest.dtype.kind == "f" else 1.0 * largest)


def _softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(_shifted(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_softmax(x: Any, axis: int = -1) -> Any:
    shifted = _shifted(x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


softmax = primitive(
    _softmax,
    lambda g, y, _x, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)),
    name="softmax",
)
softmax.__doc__ = "exp(x) / sum(exp(x)) along `axis` (report 000, 3.3.2), shifted by the maximum."

log_softmax = primitive(
    _log_softmax,
    lambda g, y, _x, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True),
    name="log_softmax",
)
log_softmax.__doc__ = "x - log(sum(exp(x))) along `axis`, shifted by the maximum."
