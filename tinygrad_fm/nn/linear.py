"""The fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm import functional
from tinygrad_fm.nn import init
from tinygrad_fm.nn.module import Module, Parameter
from tinygrad_fm.tensor import shape_of

if TYPE_CHECKING:
    from numpy.random import Generator


class Linear(Module):
    """Y = X W + b (report 000, 3.1.1).

    Args:
        inputs: features of one example.
        outputs: features of one result.
        bias: whether to add b.
        rng: a generator or a seed for the initial weights; None draws from the default generator.
        weight_init: how to draw W, `(shape, rng, dtype=...) -> array`; b starts at zero.
        dtype: of the parameters.

    Shapes: X (..., inputs), W (inputs, outputs), b (outputs,), Y (..., outputs).

    Raises:
        ValueError: inputs or outputs below 1; when called, X with another last axis.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        *,
        rng: Generator | int | None = None,
        weight_init: init.Initializer = init.he_normal,
        dtype: Any = np.float32,
    ):
        for name, value in (("inputs", inputs), ("outputs", outputs)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"Linear: {name} is a whole number above 0, not {value!r}")
        self.weight = Parameter(weight_init((inputs, outputs), rng, dtype=dtype))
        self.bias = Parameter(np.zeros(outputs, dtype=dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        """X W + b."""
        inputs, outputs = self.weight.shape
        shape = shape_of(x)
        if not shape or shape[-1] != inputs:
            raise ValueError(
                f"Linear({inputs}, {outputs}) got x of shape {shape}; its last axis must be "
                f"{inputs}" + ("; put nn.Flatten() before it" if len(shape) > 2 else "")
            )
        if self.bias is None:
            return x @ self.weight
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Inputs, outputs, and a missing bias."""
        inputs, outputs = self.weight.shape
        return f"{inputs}, {outputs}" + ("" if self.bias is not None else ", bias=False")
