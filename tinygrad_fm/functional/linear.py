"""The product with a weight matrix, with its bias: one operation, since every layer does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fm.engine import primitive, sum_to
from tinygrad_fm.rules.linalg import product


def _rows(x: Any) -> Any:
    """All axes but the last as one."""
    return x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1]))


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    y = product(x, weight)
    if bias.dtype != y.dtype:
        return y + bias
    y += bias  # y is ours: no second array
    return y


linear = primitive(
    _linear,
    lambda g, _y, _x, w, _b: product(g, w.T),
    lambda g, _y, x, _w, _b: product(_rows(x).T, _rows(g)),
    lambda g, _y, _x, _w, _b: sum_to(g, _b.shape),
    name="linear",
)
linear.__doc__ = """Y = X W + b, with dX = dY W^T, dW = X^T dY and db = the sum of dY's rows.

Report 000, 3.1.1 to 3.1.3. X (..., inputs), W (inputs, outputs), b (outputs,), Y (..., outputs).
"""
