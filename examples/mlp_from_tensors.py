"""A network without modules: two weight matrices, NumPy, and the gradient of a loss."""

import numpy as np

import tinygrad_fm as tg

rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 400)
radius = np.repeat([1.0, 2.0], 200) + rng.normal(0, 0.1, 400)
x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # two rings
inner = np.repeat([1.0, 0.0], 200)


def network(parameters, x):
    w1, b1, w2, b2 = parameters
    hidden = np.tanh(x @ w1 + b1)
    return (hidden @ w2)[:, 0] + b2


def loss(parameters):
    logits = network(parameters, x)
    return np.mean(np.logaddexp(0, logits) - inner * logits)  # binary cross-entropy


parameters = [rng.normal(size=(2, 16)), np.zeros(16), rng.normal(size=(16, 1)) / 4, 0.0]
for step in range(400):
    value, gradients = tg.value_and_grad(loss)(parameters)
    parameters = [p - 0.5 * g for p, g in zip(parameters, gradients, strict=True)]
    if step % 100 == 0:
        print(f"step {step}: loss {value:.3f}")
right = np.mean((network(parameters, x) > 0) == (inner == 1))
print(f"{right:.0%} of the points are in the right ring")
assert right > 0.95
