"""A class that makes its weights and trains them in one method."""

import numpy as np


class Classifier:
    def __init__(self, hidden=9, lr=0.1, epochs=200):
        self.hidden, self.lr, self.epochs = hidden, lr, epochs

    def fit(self, X, y):
        n, d = X.shape
        self.W1 = np.random.randn(d, self.hidden)
        self.b1 = np.zeros(self.hidden)
        self.W2 = np.random.randn(self.hidden, 1)
        y = y.reshape(-1, 1)
        history = []
        for _ in range(self.epochs):
            a1 = np.tanh(X @ self.W1 + self.b1)
            p = 1 / (1 + np.exp(-(a1 @ self.W2)))
            loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
            history.append(loss)
            d2 = (p - y) / n
            dW2 = a1.T @ d2
            d1 = d2 @ self.W2.T * (1 - a1**2)
            dW1 = X.T @ d1
            db1 = d1.sum(axis=0)
            self.W1 -= self.lr * dW1
            self.b1 -= self.lr * db1
            self.W2 -= self.lr * dW2
        return history
