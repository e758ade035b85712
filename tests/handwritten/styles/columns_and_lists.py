"""Samples in columns, lists of weights and biases, and the recursion of the deltas."""

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


class Network:
    def __init__(self, sizes=(3, 5, 4, 2), seed=2):
        rng = np.random.RandomState(seed)
        self.weights = [rng.randn(b, a) for a, b in zip(sizes[:-1], sizes[1:])]
        self.biases = [rng.randn(b, 1) for b in sizes[1:]]

    def cost(self, x, y):
        a = x
        for w, b in zip(self.weights, self.biases):
            a = sigmoid(w @ a + b)
        return 0.5 * np.sum((a - y) ** 2)

    def backprop(self, x, y):
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        activations, zs = [x], []
        for w, b in zip(self.weights, self.biases):
            z = w @ activations[-1] + b
            zs.append(z)
            activations.append(sigmoid(z))
        delta = (activations[-1] - y) * sigmoid_prime(zs[-1])
        nabla_b[-1] = np.sum(delta, axis=1, keepdims=True)
        nabla_w[-1] = delta @ activations[-2].T
        for i in range(2, len(self.weights) + 1):
            delta = (self.weights[-i + 1].T @ delta) * sigmoid_prime(zs[-i])
            nabla_b[-i] = np.sum(delta, axis=1, keepdims=True)
            nabla_w[-i] = delta @ activations[-i - 1].T
        return nabla_b, nabla_w
