"""Activations as modules: each is the function of the same name in `functional`."""

from __future__ import annotations

from typing import Any

from tinygrad_fm import functional
from tinygrad_fm.nn.module import Module


class Identity(Module):
    """x itself."""

    def forward(self, x: Any) -> Any:
        """x."""
        return x


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


class ELU(Module):
    """x where it is positive, else `alpha (exp(x) - 1)`, element-wise."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """Alpha."""
        return f"{self.alpha}"


class GELU(Module):
    """x times the normal distribution function of x; exact unless approximate="tanh".

    Raises:
        ValueError: another approximation than "none" and "tanh".
    """

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate is 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.gelu(x, self.approximate)


class SiLU(Module):
    """x sigmoid(x), element-wise."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.silu(x)


class Softplus(Module):
    """log(1 + exp(x)), element-wise."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.softplus(x)


class Tanh(Module):
    """np.tanh, element-wise (report 000, 3.2.3)."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element-wise (report 000, 3.2.7)."""

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.sigmoid(x)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along `axis` (report 000, 3.3.2).

    Not before CrossEntropyLoss, which takes logits.
    """

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, x: Any) -> Any:
        """Same shape as x; sums to 1 along the axis."""
        return functional.softmax(x, axis=self.axis)


class LogSoftmax(Module):
    """x - log(sum(exp(x))) along `axis`."""

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.log_softmax(x, axis=self.axis)
