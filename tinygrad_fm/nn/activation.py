"""Activations as modules: each is the function of the same name in `functional`."""

from __future__ import annotations

from typing import Any

from tinygrad_fm import functional
from tinygrad_fm.nn.module import Module


class ReLU(Module):
    """max(x, 0), element-wise (report 000, 3.2.1); slope 0 at 0."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.relu(x)


class LeakyReLU(Module):
    """x where it is positive, else `negative_slope * x`, element-wise (report 003, eq. 1)."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"{self.negative_slope}"


class Tanh(Module):
    """np.tanh, element-wise (report 000, 3.2.3)."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element-wise (report 000, 3.2.5)."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.sigmoid(x)
