"""The perceptrons' training step by hand in NumPy: as one writes it, as one plans it, its floor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.measure import Step
from benchmarks.networks import LEARNING_RATE, MOMENTUM, SLOPE, Problem

BLOCK = 32_768  # floats of each array that the update works on at a time: they stay in the cache

# by name: the activation, and its derivative from the activation's result
ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda y: y > 0),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "leaky_relu": (
        lambda x: np.maximum(x, SLOPE * x),
        lambda y: np.where(y > 0, np.float32(1), np.float32(SLOPE)),
    ),
}


def by_hand(p: Problem) -> Step:
    """As one writes it down: in place where that is natural, nothing allocated beforehand."""
    weights, biases = [w.copy() for w in p.weights], [b.copy() for b in p.biases]
    parameters = [*weights, *biases]
    velocities = [np.zeros_like(w) for w in parameters]
    activate, derivative = ACTIVATIONS[p.network.activation]
    images, labels = p.images, p.labels
    rows = np.arange(len(labels))
    last = len(weights) - 1

    def step() -> tuple[float]:
        inputs = [images]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(activate(inputs[-1] @ w + b))
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
                g = (g @ weights[i].T) * derivative(inputs[i])

        gradients = [*weight_gradients, *bias_gradients]
        for w, v, dw in zip(parameters, velocities, gradients, strict=True):
            v *= MOMENTUM
            v += dw
            w -= LEARNING_RATE * v
        return (float(loss),)

    return step


def planned(p: Problem) -> Step:
    """Planned as far as a person would: every array allocated beforehand, `out=` everywhere, the
    parameters in one flat buffer that is updated in blocks.

    Two things measured: np.dot forms the outer product of a batch of one five times as fast as
    np.matmul, and sums over examples and over classes are fastest as products with ones.
    """
    flat = np.concatenate([a.ravel() for a in (*p.weights, *p.biases)])
    gradient, velocity, scratch = np.zeros_like(flat), np.zeros_like(flat), np.empty(BLOCK, "f4")
    shapes = [a.shape for a in (*p.weights, *p.biases)]
    weights, biases = _halves(_views(flat, shapes))
    weight_gradients, bias_gradients = _halves(_views(gradient, shapes))
    blocks = [
        (w, g, v, scratch[: w.size])
        for w, g, v in zip(*map(_blocks, (flat, gradient, velocity)), strict=True)
    ]

    labels = p.labels
    batch, classes = len(labels), biases[-1].size
    results = [np.empty((batch, b.size), np.float32) for b in biases]
    hidden, logits = results[:-1], results[-1]
    activate = [_activation_of(p.network.activation, h) for h in hidden]
    slopes = [_derivative_of(p.network.activation, h) for h in hidden]
    deltas = [*map(np.empty_like, hidden), logits]
    inputs = [p.images, *hidden]
    backwards = range(len(weights) - 1, -1, -1)

    flat_logits, picked = logits.reshape(-1), np.empty(batch, np.float32)
    positions = np.arange(batch) * classes + labels
    column, share = np.empty((batch, 1), np.float32), np.float32(1 / batch)
    over_examples, over_classes = np.ones(batch, np.float32), np.ones((classes, 1), np.float32)

    def step() -> tuple[float]:
        for x, w, b, y, act in zip(
            inputs, weights, biases, results, [*activate, None], strict=True
        ):
            np.dot(x, w, out=y)
            np.add(y, b, out=y)
            if act:
                act()

        np.maximum.reduce(logits, axis=1, keepdims=True, out=column)
        np.subtract(logits, column, out=logits)
        flat_logits.take(positions, out=picked)
        np.exp(logits, out=logits)
        np.dot(logits, over_classes, out=column)
        loss = float(np.add.reduce(np.log(column), axis=None) - np.add.reduce(picked)) / batch

        np.divide(share, column, out=column)
        np.multiply(logits, column, out=logits)
        flat_logits[positions] -= share
        for i in backwards:
            np.dot(inputs[i].T, deltas[i], out=weight_gradients[i])
            np.dot(over_examples, deltas[i], out=bias_gradients[i])
            if i:
                np.dot(deltas[i], weights[i].T, out=deltas[i - 1])
                np.multiply(deltas[i - 1], slopes[i - 1](), out=deltas[i - 1])

        for w, g, v, s in blocks:
            np.multiply(v, MOMENTUM, out=v)
            np.add(v, g, out=v)
            np.multiply(v, LEARNING_RATE, out=s)
            np.subtract(w, s, out=w)
        return (loss,)

    return step


def products_alone(p: Problem) -> Step:
    """The matrix products of a step and nothing else: no program on this BLAS can be faster."""
    sizes, batch = p.network.sizes, len(p.labels)
    inputs = [np.ones((batch, n), np.float32) for n in sizes]
    deltas = [np.ones((batch, n), np.float32) for n in sizes]
    calls: list[Callable[[], Any]] = []
    for x, w, y in zip(inputs, p.weights, inputs[1:], strict=False):
        calls.append(partial(np.dot, x, w, out=np.empty_like(y)))
    for i, w in enumerate(p.weights):
        calls.append(partial(np.dot, inputs[i].T, deltas[i + 1], out=np.empty_like(w)))
        if i:
            calls.append(partial(np.dot, deltas[i + 1], w.T, out=np.empty_like(deltas[i])))

    def step() -> tuple[()]:
        for call in calls:
            call()
        return ()

    return step


def _activation_of(name: str, h: Any) -> Callable[[], Any]:
    """The activation of h, in place."""
    if name == "tanh":
        return partial(np.tanh, h, out=h)
    if name == "relu":
        return partial(np.maximum, h, 0, out=h)
    scratch = np.empty_like(h)

    def leaky() -> None:
        np.multiply(h, SLOPE, out=scratch)
        np.maximum(h, scratch, out=h)

    return leaky


def _derivative_of(name: str, h: Any) -> Callable[[], Any]:
    """The derivative there, from the activation's result h, which is not needed afterwards."""
    mask = np.empty(h.shape, bool)
    if name == "relu":
        return partial(np.greater, h, 0, out=mask)

    def tanh() -> Any:
        np.multiply(h, h, out=h)
        return np.subtract(1, h, out=h)

    def leaky() -> Any:  # 1 where h is above 0, else the slope
        np.greater(h, 0, out=mask)
        np.multiply(mask, np.float32(1 - SLOPE), out=h)
        return np.add(h, SLOPE, out=h)

    return tanh if name == "tanh" else leaky


def _views(flat: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    ends = np.cumsum([0, *map(np.prod, shapes)])
    return [flat[a:b].reshape(s) for (a, b), s in zip(pairwise(ends), shapes, strict=True)]


def _halves(arrays: list[Any]) -> tuple[list[Any], list[Any]]:
    middle = len(arrays) // 2
    return arrays[:middle], arrays[middle:]


def _blocks(flat: Any) -> list[Any]:
    return [flat[i : i + BLOCK] for i in range(0, flat.size, BLOCK)]
