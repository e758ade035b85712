"""The cases of layers and losses: each with its formula in plain NumPy, and its peer in PyTorch.

A new layer or loss needs one case here. `formula(layer, x)` is written out with plain loops or
NumPy; `peer(torch)` makes the same of PyTorch, whose parameters are copied from ours in order
(linear weights transposed).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_fm import nn

rng = np.random.default_rng(0)


@dataclass
class Case:
    make: Callable[[], nn.Module]  # a fresh layer, in float64
    x: Any
    formula: Callable[[Any, Any], Any]
    peer: Callable[[Any], Any] | None = None
    target: Any = None  # for losses
    smooth: bool = True  # False where the derivative does not exist, and a convention is compared


ROWS = rng.normal(size=(5, 4))
IMAGES = rng.normal(size=(2, 4, 7, 6))
F8 = np.float64


def data(tensor):
    return tensor.data


def slow_conv(layer, x, pad, stride=(1, 1), dilation=(1, 1), groups=1):
    """Convolution by its definition, one output number at a time."""
    w, b = data(layer.weight), data(layer.bias)
    x = np.pad(x, ((0, 0), (0, 0), *pad))
    o, cg, kh, kw = w.shape
    oh = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((len(x), o, oh, ow))
    for n, f, i, j in np.ndindex(*y.shape):
        first = f // (o // groups) * cg
        rows = i * stride[0] + dilation[0] * np.arange(kh)
        columns = j * stride[1] + dilation[1] * np.arange(kw)
        patch = x[n, first : first + cg][:, rows][:, :, columns]
        y[n, f, i, j] = np.sum(patch * w[f]) + b[f]
    return y


def slow_pool(x, reduce, kernel, stride, out):
    """Pooling by its definition."""
    y = np.zeros((*x.shape[:2], *out))
    for i, j in np.ndindex(*out):
        a, b = i * stride[0], j * stride[1]
        y[:, :, i, j] = reduce(x[:, :, a : a + kernel[0], b : b + kernel[1]], axis=(2, 3))
    return y


def batch_norm(layer, x, axes, along):
    mean, var = x.mean(axis=axes).reshape(along), x.var(axis=axes).reshape(along)
    scaled = (x - mean) / np.sqrt(var + 1e-5)
    return scaled * data(layer.weight).reshape(along) + data(layer.bias).reshape(along)


def layer_norm(layer, x):
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * data(layer.weight) + data(layer.bias)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


normal_cdf = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)
SAME = ((1, 1), (1, 1))


def conv(*args, **options):
    return lambda: nn.Conv2d(*args, rng=0, dtype=F8, **options)


LAYERS = {
    "Identity": [Case(nn.Identity, ROWS, lambda _, x: x, lambda t: t.nn.Identity())],
    "Linear": [
        Case(
            lambda: nn.Linear(4, 3, rng=0, dtype=F8),
            ROWS,
            lambda layer, x: x @ data(layer.weight) + data(layer.bias),
            lambda t: t.nn.Linear(4, 3),
        )
    ],
    "ReLU": [Case(nn.ReLU, ROWS, lambda _, x: np.where(x > 0, x, 0), lambda t: t.nn.ReLU())],
    "LeakyReLU": [
        Case(
            lambda: nn.LeakyReLU(0.1),
            ROWS,
            lambda _, x: np.where(x > 0, x, 0.1 * x),
            lambda t: t.nn.LeakyReLU(0.1),
        )
    ],
    "ELU": [
        Case(
            lambda: nn.ELU(0.7),
            ROWS,
            lambda _, x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)),
            lambda t: t.nn.ELU(0.7),
        )
    ],
    "GELU": [
        Case(nn.GELU, ROWS, lambda _, x: x * normal_cdf(x), lambda t: t.nn.GELU()),
        Case(
            lambda: nn.GELU("tanh"),
            ROWS,
            lambda _, x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
            lambda t: t.nn.GELU("tanh"),
        ),
    ],
    "SiLU": [Case(nn.SiLU, ROWS, lambda _, x: x / (1 + np.exp(-x)), lambda t: t.nn.SiLU())],
    "Softplus": [
        Case(nn.Softplus, ROWS, lambda _, x: np.log(1 + np.exp(x)), lambda t: t.nn.Softplus())
    ],
    "Tanh": [Case(nn.Tanh, ROWS, lambda _, x: np.sinh(x) / np.cosh(x), lambda t: t.nn.Tanh())],
    "Sigmoid": [
        Case(nn.Sigmoid, ROWS, lambda _, x: 1 / (1 + np.exp(-x)), lambda t: t.nn.Sigmoid())
    ],
    "Softmax": [Case(nn.Softmax, ROWS, lambda _, x: softmax(x), lambda t: t.nn.Softmax(-1))],
    "LogSoftmax": [
        Case(nn.LogSoftmax, ROWS, lambda _, x: np.log(softmax(x)), lambda t: t.nn.LogSoftmax(-1))
    ],
    "Flatten": [Case(nn.Flatten, IMAGES, lambda _, x: x.reshape(2, -1), lambda t: t.nn.Flatten())],
    "Dropout": [Case(lambda: nn.Dropout(0.5).eval(), ROWS, lambda _, x: x)],
    "BatchNorm1d": [
        Case(
            lambda: nn.BatchNorm1d(4, dtype=F8),
            ROWS,
            lambda layer, x: batch_norm(layer, x, 0, (1, 4)),
            lambda t: t.nn.BatchNorm1d(4),
        )
    ],
    "BatchNorm2d": [
        Case(
            lambda: nn.BatchNorm2d(4, dtype=F8),
            IMAGES,
            lambda layer, x: batch_norm(layer, x, (0, 2, 3), (1, 4, 1, 1)),
            lambda t: t.nn.BatchNorm2d(4),
        )
    ],
    "LayerNorm": [
        Case(lambda: nn.LayerNorm(4, dtype=F8), ROWS, layer_norm, lambda t: t.nn.LayerNorm(4))
    ],
    "Conv2d": [
        Case(
            conv(4, 3, 3, padding="same"),
            IMAGES,
            lambda layer, x: slow_conv(layer, x, SAME),
            lambda t: t.nn.Conv2d(4, 3, 3, padding="same"),
        ),
        Case(
            conv(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
            IMAGES,
            lambda layer, x: slow_conv(layer, x, ((1, 1), (0, 0)), (2, 1), (1, 2), 2),
            lambda t: t.nn.Conv2d(
                4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2
            ),
        ),
        Case(
            conv(4, 3, (2, 4), padding="same"),
            IMAGES,
            lambda layer, x: slow_conv(layer, x, ((0, 1), (1, 2))),
            lambda t: t.nn.Conv2d(4, 3, (2, 4), padding="same"),
        ),
    ],
    "MaxPool2d": [
        Case(
            lambda: nn.MaxPool2d(2),
            IMAGES,
            lambda _, x: slow_pool(x, np.max, (2, 2), (2, 2), (3, 3)),
            lambda t: t.nn.MaxPool2d(2),
        ),
        Case(
            lambda: nn.MaxPool2d(3, 1, 1),
            np.round(IMAGES),  # with ties
            lambda _, x: slow_pool(
                np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-9),
                np.max,
                (3, 3),
                (1, 1),
                (7, 6),
            ),
            lambda t: t.nn.MaxPool2d(3, 1, 1),
            smooth=False,
        ),
    ],
    "AvgPool2d": [
        Case(
            lambda: nn.AvgPool2d((3, 2), (2, 2)),
            IMAGES,
            lambda _, x: slow_pool(x, np.mean, (3, 2), (2, 2), (3, 3)),
            lambda t: t.nn.AvgPool2d((3, 2), (2, 2)),
        )
    ],
    "AdaptiveAvgPool2d": [
        Case(
            lambda: nn.AdaptiveAvgPool2d(1),
            IMAGES,
            lambda _, x: x.mean(axis=(2, 3), keepdims=True),
            lambda t: t.nn.AdaptiveAvgPool2d(1),
        ),
        Case(
            lambda: nn.AdaptiveAvgPool2d((7, 3)),
            IMAGES,
            lambda _, x: x.reshape(2, 4, 7, 3, 2).mean(axis=-1),
            lambda t: t.nn.AdaptiveAvgPool2d((7, 3)),
        ),
    ],
    "Embedding": [
        Case(
            lambda: nn.Embedding(6, 3, rng=0, dtype=F8),
            np.array([[0, 5], [2, 2]]),
            lambda layer, x: data(layer.weight)[x],
            lambda t: t.nn.Embedding(6, 3),
        )
    ],
    "Sequential": [
        Case(
            lambda: nn.Sequential(nn.Tanh(), nn.ReLU()),
            ROWS,
            lambda _, x: np.maximum(np.tanh(x), 0),
            lambda t: t.nn.Sequential(t.nn.Tanh(), t.nn.ReLU()),
        )
    ],
}

labels = np.array([0, 3, 2, 1, 1])
probabilities = 1 / (1 + np.exp(-ROWS))
zero_one = (rng.random((5, 4)) > 0.5).astype(F8)
weight = np.array([1.0, 2.0, 0.5, 3.0])
log_p = np.log(softmax(ROWS))[np.arange(5), labels]
smooth = np.eye(4)[labels] * 0.9 + 0.1 / 4
size = np.abs(ROWS)
LOSSES = {
    "CrossEntropyLoss": [
        Case(
            nn.CrossEntropyLoss,
            ROWS,
            lambda _, x: -np.mean(log_p),
            lambda t: t.nn.CrossEntropyLoss(),
            labels,
        ),
        Case(
            lambda: nn.CrossEntropyLoss("examples_and_classes"),
            ROWS,
            lambda _, x: -np.sum(log_p) / 20,
            None,
            labels,
        ),
        Case(
            lambda: nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1),
            ROWS,
            lambda _, x: -np.sum(smooth * weight * np.log(softmax(x))) / weight[labels].sum(),
            lambda t: t.nn.CrossEntropyLoss(
                weight=t.tensor(weight, dtype=t.float32), label_smoothing=0.1
            ),
            labels,
        ),
    ],
    "MSELoss": [
        Case(
            nn.MSELoss,
            ROWS,
            lambda _, x: np.mean(0.25 * x**2),
            lambda t: t.nn.MSELoss(),
            ROWS * 0.5,
        ),
        Case(
            lambda: nn.MSELoss("half_per_example"),
            ROWS,
            lambda _, x: np.sum(0.25 * x**2) / 10,
            None,
            ROWS * 0.5,
        ),
    ],
    "L1Loss": [
        Case(nn.L1Loss, ROWS, lambda _, x: np.mean(0.5 * size), lambda t: t.nn.L1Loss(), ROWS * 0.5)
    ],
    "HuberLoss": [
        Case(
            lambda: nn.HuberLoss(0.5),
            ROWS,
            lambda _, x: np.mean(np.where(size <= 0.5, size**2 / 2, 0.5 * (size - 0.25))),
            lambda t: t.nn.HuberLoss(delta=0.5),
            ROWS * 0,
        )
    ],
    "HingeLoss": [
        Case(
            nn.HingeLoss,
            ROWS,
            lambda _, x: np.mean(np.maximum(0, 1 - (2 * zero_one - 1) * x)),
            None,
            2 * zero_one - 1,
        )
    ],
    "BCEWithLogitsLoss": [
        Case(
            nn.BCEWithLogitsLoss,
            ROWS,
            lambda _, x: (
                -np.mean(np.log(np.where(zero_one == 1, probabilities, 1 - probabilities)))
            ),
            lambda t: t.nn.BCEWithLogitsLoss(),
            zero_one,
        )
    ],
    "BCELoss": [
        Case(
            nn.BCELoss,
            probabilities,
            lambda _, p: -np.mean(np.log(np.where(zero_one == 1, p, 1 - p))),
            lambda t: t.nn.BCELoss(),
            zero_one,
        )
    ],
    "L1Penalty": [],  # they take a model: test_layers.py has their cases
    "L2Penalty": [],
}
# not called, or a call of what they hold: test_layers.py, engine/test_checkpointing.py
CONTAINERS = {"Checkpoint", "ModuleList", "ModuleDict"}
