"""Report 003's training steps in JAX: a whole step in one program, the update too."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks import report003
from benchmarks.measure import Step
from benchmarks.report003 import EPS, LEARNING_RATE, PENALTY, SLOPE, Layout

BETA1, BETA2 = 0.9, 0.999
NORM_EPS, NORM_MOMENTUM = 1e-3, 0.01


def with_jax(layout: Layout) -> Step:
    import jax
    import jax.numpy as jnp

    made = report003.weights(layout)
    count = len(layout.channels)
    hidden = () if count else layout.dense[:-1]
    parameters = {
        "weights": [jnp.array(w if i < count else w.T) for i, w in enumerate(made)],
        "biases": [jnp.zeros(len(w)) for w in made],
        "scales": [jnp.ones(n) for n in hidden],
        "shifts": [jnp.zeros(n) for n in hidden],
    }
    running = [(jnp.zeros(n), jnp.ones(n)) for n in hidden]
    moments = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
    state = (parameters, moments, running, jnp.zeros(()))
    images, labels = map(jnp.array, report003.batch(layout))
    program = _program(layout)

    def step() -> tuple[float]:
        nonlocal state
        state, loss = program(state, images, labels)
        return (float(loss),)

    return step


@cache
def _program(layout: Layout) -> Any:
    """From state, images and labels to the state afterwards, in the same memory, and the loss."""
    import jax
    import jax.numpy as jnp

    def loss_of(parameters: Any, running: Any, images: Any, labels: Any) -> Any:
        logits, running = _forward(layout, parameters, running, images)
        log_p = jax.nn.log_softmax(logits)
        loss = -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=1))
        dense = parameters["weights"][len(layout.channels) :]
        return loss + PENALTY * sum(jnp.sum(w * w) for w in dense), running

    def step(state: Any, images: Any, labels: Any) -> Any:
        parameters, (first, second), running, count = state
        (loss, running), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            parameters, running, images, labels
        )
        count = count + 1
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
        rate, share = LEARNING_RATE / (1 - BETA1**count), 1 - BETA2**count
        parameters = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v / share) + EPS), parameters, first, second
        )
        return (parameters, [first, second], running, count), loss

    return jax.jit(step, donate_argnums=0)


def _forward(layout: Layout, parameters: Any, running: Any, x: Any) -> Any:
    """The logits, and the running statistics afterwards."""
    import jax
    import jax.numpy as jnp

    layers = list(zip(parameters["weights"], parameters["biases"], strict=True))
    count, moved = len(layout.channels), []
    for i, (w, b) in enumerate(layers[:count]):
        x = jnp.tanh(jax.lax.conv(x, w, (1, 1), "SAME") + b[:, None, None])
        if i < 2:
            window = (1, 1, 2, 2)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    x = x.reshape(len(x), -1)
    for i, (w, b) in enumerate(layers[count:-1]):
        x = x @ w + b
        x = jnp.maximum(x, SLOPE * x)
        if running:
            mean, variance = jnp.mean(x, axis=0), jnp.var(x, axis=0)
            x = (x - mean) / jnp.sqrt(variance + NORM_EPS)
            x = x * parameters["scales"][i] + parameters["shifts"][i]
            unbiased = variance * (len(x) / (len(x) - 1))
            moved.append(
                tuple(
                    (1 - NORM_MOMENTUM) * old + NORM_MOMENTUM * new
                    for old, new in zip(running[i], (mean, unbiased), strict=True)
                )
            )
    w, b = layers[-1]
    return x @ w + b, moved
