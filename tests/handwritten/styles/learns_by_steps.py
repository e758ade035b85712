"""A linear model with a penalty, and the updates that people write: one method a rule."""

import numpy as np


class Model:
    def __init__(self, inputs=4, outputs=3, rule="momentum_rule"):
        self.lr, self.momentum, self.reg, self.rule, self.t = 0.05, 0.9, 0.02, rule, 0
        self.W = np.random.randn(inputs, outputs)
        self.b = np.zeros(outputs)
        self.vW, self.vb = np.zeros_like(self.W), np.zeros_like(self.b)
        self.sW, self.sb = np.zeros_like(self.W), np.zeros_like(self.b)

    def loss(self, x, t):
        self.y = np.tanh(x @ self.W + self.b)
        return 0.5 * np.sum((self.y - t) ** 2) + 0.5 * self.reg * np.sum(self.W**2)

    def backward(self, x, t):
        d = (self.y - t) * (1 - self.y**2)
        self.dW = x.T @ d
        self.db = d.sum(axis=0)

    def step(self):
        dW, db = self.dW + self.reg * self.W, self.db
        getattr(self, self.rule)(dW, db)

    def descent(self, dW, db):
        self.W -= self.lr * dW
        self.b -= self.lr * db

    def momentum_rule(self, dW, db):
        self.vW = self.momentum * self.vW - self.lr * dW
        self.vb = self.momentum * self.vb - self.lr * db
        self.W += self.vW
        self.b += self.vb

    def averaged(self, dW, db):
        self.vW = 0.8 * self.vW + (1 - 0.8) * dW
        self.vb = 0.8 * self.vb + (1 - 0.8) * db
        self.W -= self.lr * self.vW
        self.b -= self.lr * self.vb

    def nesterov(self, dW, db):
        oldW, oldb = self.vW, self.vb
        self.vW = self.momentum * oldW - self.lr * dW
        self.vb = self.momentum * oldb - self.lr * db
        self.W += -self.momentum * oldW + (1 + self.momentum) * self.vW
        self.b += -self.momentum * oldb + (1 + self.momentum) * self.vb

    def adagrad(self, dW, db):
        self.sW += dW**2
        self.sb += db**2
        self.W -= self.lr * dW / (np.sqrt(self.sW) + 1e-8)
        self.b -= self.lr * db / (np.sqrt(self.sb) + 1e-8)

    def rmsprop(self, dW, db):
        self.sW = 0.99 * self.sW + 0.01 * dW**2
        self.sb = 0.99 * self.sb + 0.01 * db**2
        self.W -= self.lr * dW / np.sqrt(self.sW + 1e-10)
        self.b -= self.lr * db / np.sqrt(self.sb + 1e-10)

    def adam(self, dW, db):
        self.t += 1
        self.vW, self.vb = 0.9 * self.vW + 0.1 * dW, 0.9 * self.vb + 0.1 * db
        self.sW, self.sb = 0.999 * self.sW + 0.001 * dW**2, 0.999 * self.sb + 0.001 * db**2
        up, down = 1 - 0.9**self.t, 1 - 0.999**self.t
        self.W -= self.lr * (self.vW / up) / (np.sqrt(self.sW / down) + 1e-8)
        self.b -= self.lr * (self.vb / up) / (np.sqrt(self.sb / down) + 1e-8)
