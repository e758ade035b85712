"""A whole network by hand: forward, deltas and gradients in NumPy, as report 004 has them.

With z the input of a layer, a its pre-activations and delta = -dE/da:

    delta_k = t_k - y_k                          (1), divided by the number of examples
    delta_j = g'(a_j) sum_k delta_k w_jk         (2)
    dE/dw_ij = -delta_j z_i                      (3), corrected
    dE/db_j = -delta_j                           (4), corrected
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from zheng import sigmoid

from tinygrad_fm import functional, nn

SLOPE = 0.1  # of the leaky ReLU, report 003


@dataclass(frozen=True)
class Activation:
    """g and its derivative, and our layer."""

    g: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    layer: Callable[[], nn.Module]
    kink: bool = False


ACTIVATIONS = {
    "identity": Activation(lambda a: a, np.ones_like, nn.Identity),
    "tanh": Activation(np.tanh, lambda a: 1 - np.tanh(a) ** 2, nn.Tanh),
    "sigmoid": Activation(sigmoid, lambda a: sigmoid(a) * (1 - sigmoid(a)), nn.Sigmoid),
    "relu": Activation(lambda a: np.maximum(a, 0), lambda a: 1.0 * (a > 0), nn.ReLU, kink=True),
    "leaky_relu": Activation(
        lambda a: np.maximum(SLOPE * a, a),
        lambda a: np.where(a > 0, 1, SLOPE),
        lambda: nn.LeakyReLU(SLOPE),
        kink=True,
    ),
}
HIDDEN = ("tanh", "sigmoid", "relu", "leaky_relu")


@dataclass(frozen=True)
class Loss:
    """E of the network's outputs, -dE/dy, and ours; each of (y, t)."""

    value: Callable[[Any, Any], float]
    delta: Callable[[Any, Any], Any]
    ours: Callable[[Any, Any], Any]
    outputs: tuple[str, ...]  # the last layer's activations it goes with


def _softmax(a: Any) -> Any:
    return np.exp(a) / np.sum(np.exp(a), axis=1, keepdims=True)


def _binary(y: Any, t: Any) -> Any:
    return t * np.log(y) + (1 - t) * np.log(1 - y)


LOSSES = {
    "softmax cross-entropy": Loss(
        lambda a, t: -np.sum(t * np.log(_softmax(a))) / len(t),
        lambda a, t: (t - _softmax(a)) / len(t),
        nn.CrossEntropyLoss(),
        outputs=("identity",),
    ),
    # report 002 divides its first delta by the number of classes too
    "softmax cross-entropy, 1/NC": Loss(
        lambda a, t: -np.sum(t * np.log(_softmax(a))) / t.size,
        lambda a, t: (t - _softmax(a)) / t.size,
        nn.CrossEntropyLoss("examples_and_classes"),
        outputs=("identity",),
    ),
    "mse, 1/2N": Loss(
        lambda y, t: np.sum((y - t) ** 2) / (2 * len(t)),
        lambda y, t: (t - y) / len(t),
        nn.MSELoss("half_per_example"),
        outputs=("identity", *HIDDEN),
    ),
    "binary cross-entropy": Loss(
        lambda y, t: -np.sum(_binary(y, t)) / len(t),
        lambda y, t: (t - y) / (len(t) * y * (1 - y)),
        lambda y, t: functional.binary_cross_entropy(y, t, "sum") / len(t),
        outputs=("sigmoid",),
    ),
}


@dataclass
class Network:
    """Layers [W, b] with activations, on a batch; the arrays may be updated in place."""

    layers: list[list[Any]]
    activations: list[str]
    loss: str
    x: Any
    t: Any

    def forward(self) -> tuple[list[Any], list[Any]]:
        """The inputs of all layers and the last outputs; and all pre-activations."""
        z, a = [self.x], []
        for (W, b), name in zip(self.layers, self.activations, strict=True):
            a.append(z[-1] @ W + b)
            z.append(ACTIVATIONS[name].g(a[-1]))
        return z, a

    def error(self) -> float:
        return LOSSES[self.loss].value(self.forward()[0][-1], self.t)

    def gradients(self) -> list[list[Any]]:
        """dE/dW and dE/db of every layer, by the recursion."""
        z, a = self.forward()
        found = []
        towards = LOSSES[self.loss].delta(z[-1], self.t)
        for i in reversed(range(len(self.layers))):
            delta = ACTIVATIONS[self.activations[i]].slope(a[i]) * towards
            found.append([-z[i].T @ delta, -delta.sum(axis=0)])
            towards = delta @ self.layers[i][0].T
        return found[::-1]

    def model(self) -> nn.Sequential:
        """The same as our layers, with copies of the parameters."""
        layers = []
        for (W, b), name in zip(self.layers, self.activations, strict=True):
            linear = nn.Linear(*W.shape, dtype=np.float64, rng=0)
            linear.weight.data[...], linear.bias.data[...] = W, b
            layers += [linear, ACTIVATIONS[name].layer()]
        return nn.Sequential(*layers)

    def our_error(self, model: nn.Sequential) -> Any:
        return LOSSES[self.loss].ours(model(self.x), self.t)
