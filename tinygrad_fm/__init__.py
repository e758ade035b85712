"""tinygrad_fm: an autograd framework to read, see and trust (fm is Fashion-MNIST)."""

from tinygrad_fm import rules as rules  # first: it fills the registry that Tensor's operators use
from tinygrad_fm.custom import custom_vjp
from tinygrad_fm.engine import GraphError, defvjp, primitive
from tinygrad_fm.graph import draw
from tinygrad_fm.recording import enable_grad, is_grad_enabled, no_grad
from tinygrad_fm.tensor import Tensor
from tinygrad_fm.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__version__ = "0.1.0"
__all__ = [
    "GraphError",
    "Tensor",
    "custom_vjp",
    "defvjp",
    "draw",
    "enable_grad",
    "grad",
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
