"""Networks: modules, layers, activations, losses, penalties and initial values."""

from tinygrad_fm.nn import init
from tinygrad_fm.nn.activation import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_fm.nn.container import Checkpoint, Flatten, ModuleDict, ModuleList, Sequential
from tinygrad_fm.nn.convolution import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Embedding,
    MaxPool2d,
)
from tinygrad_fm.nn.linear import Linear
from tinygrad_fm.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
)
from tinygrad_fm.nn.module import Buffer, Module, Parameter, functional_call
from tinygrad_fm.nn.normalization import BatchNorm1d, BatchNorm2d, Dropout, LayerNorm
from tinygrad_fm.nn.penalty import L1Penalty, L2Penalty

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Checkpoint",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "L1Penalty",
    "L2Penalty",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional_call",
    "init",
]
