"""A training step of multi-layer perceptrons: forward, backward, SGD with momentum; float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.measure import Case, Step

LEARNING_RATE, MOMENTUM = 0.001, 0.9

SHAPES = [  # sizes of the layers, batch
    ((784, 128, 64, 10), 128),
    ((784, 50, 50, 10), 128),
    ((784, 1024, 512, 256, 10), 32),
    ((784, 128, 64, 10), 1),
]


@dataclass(frozen=True)
class Problem:
    """The images and labels of a batch, and the initial weights (inputs, outputs) and biases."""

    images: Any
    labels: Any
    weights: list[Any]
    biases: list[Any]


def problem(sizes: tuple[int, ...], batch: int) -> Problem:
    """Random images and labels, the same for every contender; He's initial weights."""
    rng = np.random.default_rng(0)
    return Problem(
        rng.random((batch, sizes[0]), dtype=np.float32),
        rng.integers(sizes[-1], size=batch),
        [
            rng.standard_normal((n, m), dtype=np.float32) * np.float32((2 / n) ** 0.5)
            for n, m in pairwise(sizes)
        ],
        [np.zeros(m, np.float32) for m in sizes[1:]],
    )


def _training_step(model: Any, loss_of: Any, optimizer: Any, images: Any, labels: Any) -> Step:
    """The same lines for tinygrad_fm and for PyTorch."""

    def step() -> tuple[float]:
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        return (loss.item(),)

    return step


def with_tinygrad_fm(p: Problem) -> Step:
    from tinygrad_fm import nn, optim

    layers: list[Any] = []
    for w, b in zip(p.weights, p.biases, strict=True):
        layer = nn.Linear(*w.shape)
        layer.weight.data, layer.bias.data = w, b
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    loss_of = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    return _training_step(model, loss_of, optimizer, p.images, p.labels)


def with_numpy(p: Problem) -> Step:
    """The same mathematics by hand, as one writes it down: clear, in place where that is natural,
    but without arrays allocated beforehand."""
    weights, biases = [w.copy() for w in p.weights], [b.copy() for b in p.biases]
    parameters = [*weights, *biases]
    velocities = [np.zeros_like(w) for w in parameters]
    images, labels = p.images, p.labels
    rows = np.arange(len(labels))
    last = len(weights) - 1

    def step() -> tuple[float]:
        inputs = [images]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(np.maximum(inputs[-1] @ w + b, 0))
        logits = inputs[-1] @ weights[-1] + biases[-1]

        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(sums[:, 0]) - shifted[rows, labels])

        g = exponentials / sums
        g[rows, labels] -= 1
        g /= len(labels)
        weight_gradients, bias_gradients = [], []
        for i in range(last, -1, -1):
            weight_gradients.insert(0, inputs[i].T @ g)
            bias_gradients.insert(0, g.sum(axis=0))
            if i:
                g = (g @ weights[i].T) * (inputs[i] > 0)

        gradients = [*weight_gradients, *bias_gradients]
        for w, v, dw in zip(parameters, velocities, gradients, strict=True):
            v *= MOMENTUM
            v += dw
            w -= LEARNING_RATE * v
        return (float(loss),)

    return step


def with_pytorch(p: Problem, **form: bool) -> Step:
    import torch

    layers: list[Any] = []
    for w, b in zip(p.weights, p.biases, strict=True):
        layer = torch.nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    loss_of = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, **form)
    images, labels = torch.from_numpy(p.images), torch.from_numpy(p.labels)
    return _training_step(model, loss_of, optimizer, images, labels)


def with_mygrad(p: Problem) -> Step:
    import mygrad as mg
    from mygrad.nnet import softmax_crossentropy
    from mygrad.nnet.activations import relu

    weights, biases = [mg.tensor(w) for w in p.weights], [mg.tensor(b) for b in p.biases]
    parameters = [*weights, *biases]
    velocities = [np.zeros_like(w.data) for w in parameters]

    def step() -> tuple[float]:
        x = p.images
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = relu(x @ w + b)
        loss = softmax_crossentropy(x @ weights[-1] + biases[-1], p.labels)
        loss.backward()
        for w, v in zip(parameters, velocities, strict=True):
            v *= MOMENTUM
            v += w.grad
            w.data -= LEARNING_RATE * v
        return (loss.item(),)

    return step


def with_autograd(p: Problem) -> Step:
    import autograd.numpy as anp
    from autograd import value_and_grad

    parameters = [(w.copy(), b.copy()) for w, b in zip(p.weights, p.biases, strict=True)]
    velocities = [(np.zeros_like(w), np.zeros_like(b)) for w, b in parameters]
    one_hot = (p.labels[:, None] == np.arange(p.biases[-1].size)).astype(np.float32)

    def loss_of(parameters: Any) -> Any:
        x = p.images
        for w, b in parameters[:-1]:
            x = anp.maximum(anp.dot(x, w) + b, 0)
        w, b = parameters[-1]
        logits = anp.dot(x, w) + b
        shifted = logits - anp.max(logits, axis=1, keepdims=True)
        log_sums = anp.log(anp.sum(anp.exp(shifted), axis=1))
        return anp.mean(log_sums - anp.sum(one_hot * shifted, axis=1))

    loss_and_gradients = value_and_grad(loss_of)

    def step() -> tuple[float]:
        loss, gradients = loss_and_gradients(parameters)
        for pair, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            for w, v, dw in zip(pair, velocity, gradient, strict=True):
                v *= MOMENTUM
                v += dw
                w -= LEARNING_RATE * v
        return (float(loss),)

    return step


CONTENDERS: dict[str, Callable[[Problem], Step]] = {
    "tinygrad_fm": with_tinygrad_fm,
    "NumPy by hand": with_numpy,
    "PyTorch, SGD fused": partial(with_pytorch, fused=True),
    "PyTorch, SGD foreach": partial(with_pytorch, foreach=True),
    "PyTorch, SGD single": partial(with_pytorch, foreach=False),
    "MyGrad": with_mygrad,
    "HIPS autograd": with_autograd,
}


def cases(quick: bool) -> list[Case]:
    found = []
    for sizes, batch in [((20, 8, 6, 4), 5)] if quick else SHAPES:
        p = problem(sizes, batch)
        found.append(
            Case(
                f"mlp {'-'.join(map(str, sizes))}, batch {batch}: one training step",
                {name: partial(prepare, p) for name, prepare in CONTENDERS.items()},
                check=5,
            )
        )
    return found
