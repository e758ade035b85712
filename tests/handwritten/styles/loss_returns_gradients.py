"""A class with one method that returns the loss, with a penalty, and a dictionary of gradients."""

import numpy as np


class Net:
    def __init__(self, inputs, hidden, classes, std=0.1):
        self.params = {"W1": std * np.random.randn(inputs, hidden), "b1": np.zeros(hidden)}
        self.params["W2"] = std * np.random.randn(hidden, classes)

    def loss(self, X, y=None, reg=0.0):
        W1, b1, W2 = self.params["W1"], self.params["b1"], self.params["W2"]
        hidden = np.maximum(0, X @ W1 + b1)
        scores = hidden @ W2
        if y is None:
            return scores
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        probs = e / e.sum(axis=1, keepdims=True)
        loss = -np.log(probs[range(len(y)), y]).mean()
        loss += reg * (np.sum(W1 * W1) + np.abs(W2).sum())
        dscores = probs
        dscores[range(len(y)), y] -= 1
        dscores /= len(y)
        grads = {"W2": hidden.T @ dscores}
        dhidden = dscores @ W2.T
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T @ dhidden
        grads["b1"] = dhidden.sum(axis=0)
        grads["W1"] += 2 * reg * W1
        grads["W2"] += reg * np.sign(W2)
        return loss, grads
