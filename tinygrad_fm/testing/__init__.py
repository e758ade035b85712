"""Tools for tests of derivatives, of this library and of what is built on it.

`check_grads` compares automatic derivatives with numerical ones; `grad_or_numeric` differentiates
what cannot be recorded; `ProtocolArray` finds what leaves NumPy's dispatch; `strategies` are
Hypothesis's, for arrays, Tensors, indices and layers.
"""

import importlib
from typing import Any

from tinygrad_fm.testing.fallback import (
    Gradient,
    NumericGradientWarning,
    grad_or_numeric,
    numeric_grad,
)
from tinygrad_fm.testing.gradients import TOLERANCES, check_grads
from tinygrad_fm.testing.protocol_array import ProtocolArray
from tinygrad_fm.testing.report import GradientReport, Kink


def __getattr__(name: str) -> Any:
    """Import `strategies` when it is first asked for: Hypothesis takes its time."""
    if name == "strategies":
        return importlib.import_module("tinygrad_fm.testing.strategies")
    raise AttributeError(f"module 'tinygrad_fm.testing' has no attribute {name!r}")


__all__ = [
    "TOLERANCES",
    "Gradient",
    "GradientReport",
    "Kink",
    "NumericGradientWarning",
    "ProtocolArray",
    "check_grads",
    "grad_or_numeric",
    "numeric_grad",
]
