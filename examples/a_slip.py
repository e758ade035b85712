"""A network written by hand, with a slip in its backward pass: `tinygrad-fm check` finds it."""

import numpy as np


class TwoLayers:
    """784 pixels, 50 hidden units, 10 classes; tanh, softmax and cross-entropy."""

    def __init__(self, inputs=784, hidden=50, classes=10):
        rng = np.random.default_rng(0)
        self.W1 = rng.normal(0, 0.1, (inputs, hidden))
        self.b1 = np.zeros(hidden)
        self.W2 = rng.normal(0, 0.1, (hidden, classes))
        self.b2 = np.zeros(classes)

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.W1 + self.b1)
        scores = self.h @ self.W2 + self.b2
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def loss(self, x, t):
        return -np.mean(np.log(self.forward(x)[np.arange(len(t)), t]))

    def backward(self, x, t):
        delta = self.p.copy()
        delta[np.arange(len(t)), t] -= 1
        delta /= len(t)
        self.dW2 = self.h.T @ delta
        self.db2 = delta.sum(axis=0)
        delta = (delta @ self.W2.T) * (1 - np.tanh(self.h) ** 2)
        self.dW1 = self.x.T @ delta
        self.db1 = delta.sum(axis=0)


if __name__ == "__main__":
    from tinygrad_fm.testing import check_file

    print(check_file(__file__)[0])
