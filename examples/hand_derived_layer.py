"""A layer whose gradients were derived on paper, held against autograd and central differences."""

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import testing


def forward(x, w, b):
    """Y = sigmoid(X W + b), for X (N, D), W (D, H), b (H,)."""
    return 1 / (1 + np.exp(-(x @ w + b)))


def backward(dy, y, x, w):
    """On paper: delta = dY Y (1 - Y); then dX = delta W^T, dW = X^T delta, db = sum of rows."""
    delta = dy * y * (1 - y)
    return delta @ w.T, x.T @ delta, delta.sum(axis=0)


rng = np.random.default_rng(0)
x, w, b = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
dy = rng.normal(size=(5, 3))  # the gradient that arrives from behind the layer

# autograd differentiates `forward` as it stands
y, pull = tg.vjp(forward, x, w, b)
for name, ours, by_hand in zip(("dX", "dW", "db"), pull(dy), backward(dy, y, x, w), strict=True):
    print(f"{name}: largest difference {np.abs(ours - by_hand).max():.1e}")
    np.testing.assert_allclose(ours, by_hand, rtol=1e-10)

# autograd itself is held against central differences, to the second order
print(testing.check_grads(forward, x, w, b))


# now the two as a layer: `backward` is used in its place, here and in any network
def by_hand(g, y, x, w, b):
    return backward(g, y, x, w)


layer = tg.custom_vjp(forward, backward=by_hand)
gradient = tg.grad(lambda w: np.sum(layer(x, w, b) ** 2))(w)
np.testing.assert_allclose(gradient, tg.grad(lambda w: np.sum(forward(x, w, b) ** 2))(w))
print("and as a layer of a network it gives the same gradient")

# `tinygrad-fm check` does this for a file of yours, and names the first line that is wrong
