"""tinygrad_fm: an autograd framework to read, see and trust (fm is Fashion-MNIST)."""

import importlib
from typing import TYPE_CHECKING, Any

from tinygrad_fm import rules as rules  # first: it fills the registry that Tensor's operators use
from tinygrad_fm.custom import custom_vjp
from tinygrad_fm.engine import GraphError, defvjp, primitive
from tinygrad_fm.recording import enable_grad, is_grad_enabled, no_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.transforms import (
    LostGradientWarning,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

if TYPE_CHECKING:
    from tinygrad_fm.checkpointing import checkpoint
    from tinygrad_fm.debug import explain as explain
    from tinygrad_fm.graph.diff import graph_diff
    from tinygrad_fm.graph.draw import draw
    from tinygrad_fm.program import TraceError, compile

__version__ = "0.1.0"

_ROOMS = (
    "data",
    "debug",
    "functional",
    "graph",
    "nn",
    "numpy",
    "optim",
    "plots",
    "program",
    "testing",
    "train",
)

# where names come from that are imported when they are first asked for: a quarter of the start
_LATER = {
    "TraceError": "program",
    "checkpoint": "checkpointing",
    "compile": "program",
    "draw": "graph",
    "explain": "debug",
    "graph_diff": "graph",
}


def __getattr__(name: str) -> Any:
    """A room, imported when it is first asked for, or NumPy's function of that name.

    `tg.nn` works without `import tinygrad_fm.nn`; `tg.sum(t)` is np.sum(t), and `tg.zeros(3)` is
    np.zeros(3) as a Tensor.
    """
    if name in _ROOMS:
        return importlib.import_module(f"tinygrad_fm.{name}")
    if name in _LATER:
        found = getattr(importlib.import_module(f"tinygrad_fm.{_LATER[name]}"), name)
        globals()[name] = found
        return found
    if not name.startswith("_"):
        namespace = importlib.import_module("tinygrad_fm.numpy.namespace")
        found = namespace.find(name)
        if found is not None:
            globals()[name] = found  # asked for once
            return found
        near = namespace.near(name, [*__all__, *_ROOMS])
        hint = f"; did you mean {near}?" if near else ""
        raise AttributeError(f"module 'tinygrad_fm' has no attribute {name!r}{hint}")
    raise AttributeError(f"module 'tinygrad_fm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is meant to be used, NumPy's functions among it, and not what this file imports."""
    functions = importlib.import_module("tinygrad_fm.numpy.namespace").names()
    own = (name for name in globals() if name.startswith("__"))
    return sorted({*own, *__all__, *_ROOMS, *_LATER, *functions})


__all__ = [
    "GraphError",
    "LostGradientWarning",
    "Tensor",
    "TraceError",
    "checkpoint",
    "compile",
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
