"""tinygrad_fm: an autograd framework to read, see and trust (fm is Fashion-MNIST)."""

import importlib
from typing import Any

from tinygrad_fm import rules as rules  # first: it fills the registry that Tensor's operators use
from tinygrad_fm.custom import custom_vjp
from tinygrad_fm.engine import GraphError, defvjp, primitive
from tinygrad_fm.graph import draw, graph_diff
from tinygrad_fm.recording import enable_grad, is_grad_enabled, no_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__version__ = "0.1.0"

_ROOMS = ("data", "debug", "functional", "nn", "optim", "plots", "testing", "train")


def __getattr__(name: str) -> Any:
    """Import a room when it is first asked for: `tg.nn` works without `import tinygrad_fm.nn`."""
    if name in _ROOMS:
        return importlib.import_module(f"tinygrad_fm.{name}")
    if name == "explain":
        return importlib.import_module("tinygrad_fm.debug").explain
    raise AttributeError(f"module 'tinygrad_fm' has no attribute {name!r}")


__all__ = [
    "GraphError",
    "Tensor",
    "custom_vjp",
    "defvjp",
    "draw",
    "enable_grad",
    "grad",
    "graph_diff",
    "hessian",
    "hvp",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "no_grad",
    "primitive",
    "value_and_grad",
    "vjp",
]
