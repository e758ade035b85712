"""Tools for tests of derivatives, of this library and of what is built on it.

`check_grads` compares automatic derivatives with numerical ones; `grad_or_numeric` differentiates
what cannot be recorded; `ProtocolArray` finds what leaves NumPy's dispatch; `strategies` are
Hypothesis's, for arrays, Tensors, indices and layers; `check_backward` and `check_file` say whether
a backward pass that was written by hand is right, and where it is not.
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
    """Import what takes its time when it is first asked for."""
    if name == "strategies":
        return importlib.import_module("tinygrad_fm.testing.strategies")
    if name in ("BackwardReport", "CannotRunError", "check_backward", "check_file"):
        return getattr(importlib.import_module("tinygrad_fm.testing.backward"), name)
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
