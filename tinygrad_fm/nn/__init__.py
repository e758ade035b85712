"""Networks: modules, layers, activations, losses and initial values."""

from tinygrad_fm.nn import init
from tinygrad_fm.nn.activation import LeakyReLU, ReLU, Sigmoid, Tanh
from tinygrad_fm.nn.container import Flatten, Sequential
from tinygrad_fm.nn.linear import Linear
from tinygrad_fm.nn.loss import CrossEntropyLoss, MSELoss
from tinygrad_fm.nn.module import Module, Parameter, functional_call

__all__ = [
    "CrossEntropyLoss",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional_call",
    "init",
]
