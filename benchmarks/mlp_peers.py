"""The perceptrons' training step in JAX, MyGrad, HIPS autograd and scikit-learn."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmarks.measure import Step
from benchmarks.networks import LEARNING_RATE, MOMENTUM, SLOPE, Problem


def _cross_entropy(anp: Any, logits: Any, one_hot: Any) -> Any:
    """The mean over the examples, in a library that speaks NumPy."""
    shifted = logits - anp.max(logits, axis=1, keepdims=True)
    log_sums = anp.log(anp.sum(anp.exp(shifted), axis=1))
    return anp.mean(log_sums - anp.sum(one_hot * shifted, axis=1))


def _activation(anp: Any, name: str) -> Any:
    return {
        "relu": lambda x: anp.maximum(x, 0),
        "tanh": anp.tanh,
        "leaky_relu": lambda x: anp.maximum(x, SLOPE * x),
    }[name]


def _loss(anp: Any, name: str, parameters: Any, images: Any, one_hot: Any) -> Any:
    activate = _activation(anp, name)
    x = images
    for w, b in parameters[:-1]:
        x = activate(anp.dot(x, w) + b)
    w, b = parameters[-1]
    return _cross_entropy(anp, anp.dot(x, w) + b, one_hot)


def _one_hot(p: Problem) -> Any:
    return (p.labels[:, None] == np.arange(p.biases[-1].size)).astype(np.float32)


@cache
def _jitted(activation: str) -> Any:
    """A whole step, the update too, that may overwrite the parameters it is given."""
    import jax

    def step(parameters: Any, velocities: Any, images: Any, one_hot: Any) -> Any:
        def loss_of(parameters: Any) -> Any:
            return _loss(jax.numpy, activation, parameters, images, one_hot)

        loss, gradients = jax.value_and_grad(loss_of)(parameters)
        velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocities, gradients)
        parameters = jax.tree.map(lambda w, v: w - LEARNING_RATE * v, parameters, velocities)
        return parameters, velocities, loss

    return jax.jit(step, donate_argnums=(0, 1))


def with_jax(p: Problem) -> Step:
    import jax

    program = _jitted(p.network.activation)
    state = jax.tree.map(jax.numpy.array, list(zip(p.weights, p.biases, strict=True)))
    velocities = jax.tree.map(jax.numpy.zeros_like, state)
    images, one_hot = jax.numpy.array(p.images), jax.numpy.array(_one_hot(p))

    def step() -> tuple[float]:
        nonlocal state, velocities
        state, velocities, loss = program(state, velocities, images, one_hot)
        return (float(loss),)

    return step


def with_mygrad(p: Problem) -> Step:
    import mygrad as mg
    from mygrad.nnet import softmax_crossentropy
    from mygrad.nnet.activations import leaky_relu, relu, tanh

    activate = {
        "relu": relu,
        "tanh": tanh,
        "leaky_relu": lambda x: leaky_relu(x, SLOPE),
    }[p.network.activation]
    weights, biases = [mg.tensor(w) for w in p.weights], [mg.tensor(b) for b in p.biases]
    parameters = [*weights, *biases]
    velocities = [np.zeros_like(w.data) for w in parameters]

    def step() -> tuple[float]:
        x = p.images
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = activate(x @ w + b)
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
    one_hot = _one_hot(p)
    loss_and_gradients = value_and_grad(
        lambda parameters: _loss(anp, p.network.activation, parameters, p.images, one_hot)
    )

    def step() -> tuple[float]:
        loss, gradients = loss_and_gradients(parameters)
        for pair, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            for w, v, dw in zip(pair, velocity, gradient, strict=True):
                v *= MOMENTUM
                v += dw
                w -= LEARNING_RATE * v
        return (float(loss),)

    return step


def with_scikit_learn(p: Problem) -> Step:
    """One call of partial_fit with the batch. It draws its own weights, so its losses differ."""
    from sklearn.neural_network import MLPClassifier

    if p.network.activation not in ("relu", "tanh"):
        raise ValueError(f"scikit-learn has no {p.network.activation}")
    batch, classes = len(p.labels), np.arange(p.network.sizes[-1])
    model = MLPClassifier(
        p.network.sizes[1:-1],
        p.network.activation,
        solver="sgd",
        alpha=0,
        batch_size=batch,
        learning_rate_init=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        random_state=0,
    )

    def step() -> tuple[()]:
        model.partial_fit(p.images, p.labels, classes=classes)
        return ()

    return step
