"""Layers as objects: forward keeps what backward needs, gradients are attributes."""

import numpy as np


class Dense:
    def __init__(self, n_in, n_out, seed=0):
        np.random.seed(seed)
        self.W = np.random.randn(n_in, n_out) * 0.5
        self.b = np.random.randn(1, n_out) * 0.1

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout):
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        dx = np.dot(dout, self.W.T)
        return dx


class ReLU:
    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, 0)

    def backward(self, dout):
        dx = dout.copy()
        dx[self.x <= 0] = 0
        return dx


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        dx = dout * (1 - self.out**2)
        return dx


class Softmax:
    def forward(self, x):
        shifted = x - np.max(x, axis=1, keepdims=True)
        e = np.exp(shifted)
        self.y = e / np.sum(e, axis=1, keepdims=True)
        return self.y

    def backward(self, dout):
        s = np.sum(dout * self.y, axis=1, keepdims=True)
        dx = self.y * (dout - s)
        return dx
