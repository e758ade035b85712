"""A network that is made of its data, whose passes take no arguments; it adds to its weights."""

import numpy as np


class NeuralNetwork:
    def __init__(self, x, y):
        self.input = x
        self.w1 = np.random.rand(x.shape[1], 6)
        self.w2 = np.random.rand(6, 1)
        self.y = y

    def feedForward(self):
        self.hidden = np.tanh(np.dot(self.input, self.w1))
        self.output = np.dot(self.hidden, self.w2)

    def backProp(self):
        delta = self.y - self.output
        inner = delta.dot(self.w2.T) * (1 - self.hidden**2)
        self.w2 += self.hidden.T.dot(delta)
        self.w1 += self.input.T.dot(inner)
