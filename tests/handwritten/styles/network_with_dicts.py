"""A network whose parameters and gradients are dictionaries; softmax, cross-entropy, L2."""

import numpy as np


class TwoLayerNet:
    def __init__(self, sizes=(4, 6, 3), reg=0.1, seed=1):
        rng = np.random.RandomState(seed)
        self.reg = reg
        self.params = {
            "W1": rng.randn(sizes[0], sizes[1]) * 0.5,
            "b1": rng.randn(sizes[1]) * 0.1,
            "W2": rng.randn(sizes[1], sizes[2]) * 0.5,
            "b2": rng.randn(sizes[2]) * 0.1,
        }

    def loss(self, x, t):
        p = self.params
        self.h = np.maximum(0, x @ p["W1"] + p["b1"])
        scores = self.h @ p["W2"] + p["b2"]
        scores = scores - np.max(scores, axis=1, keepdims=True)
        e = np.exp(scores)
        self.probs = e / np.sum(e, axis=1, keepdims=True)
        data = -np.mean(np.log(self.probs[np.arange(len(t)), t]))
        penalty = 0.5 * self.reg * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
        return data + penalty

    def gradients(self, x, t):
        p = self.params
        grads = {}
        dscores = self.probs.copy()
        dscores[np.arange(len(t)), t] -= 1
        dscores /= len(t)
        grads["W2"] = self.h.T @ dscores + self.reg * p["W2"]
        grads["b2"] = np.sum(dscores, axis=0)
        dh = dscores @ p["W2"].T
        dh[self.h <= 0] = 0
        grads["W1"] = x.T @ dh + self.reg * p["W1"]
        grads["b1"] = np.sum(dh, axis=0)
        return grads
