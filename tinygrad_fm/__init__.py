"""tinygrad_fm: an autograd framework to read, see and trust (fm is Fashion-MNIST)."""

from tinygrad_fm import rules as rules
from tinygrad_fm.engine import GraphError, defvjp, primitive
from tinygrad_fm.recording import enable_grad, is_grad_enabled, no_grad
from tinygrad_fm.tensor import Tensor

__version__ = "0.1.0"
__all__ = [
    "GraphError",
    "Tensor",
    "defvjp",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "primitive",
]
