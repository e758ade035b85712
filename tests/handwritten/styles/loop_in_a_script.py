"""Everything at the top of a script: data, weights, and a loop that updates them."""

import numpy as np


def squash(z, slope=False):
    if slope:
        return z * (1 - z)
    return 1 / (1 + np.exp(-z))


x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0, 1, 1, 0]]).T
first = 2 * np.random.random((3, 5)) - 1
second = 2 * np.random.random((5, 1)) - 1

for turn in range(60000):
    hidden = squash(x @ first)
    output = squash(hidden @ second)
    error = y - output
    if turn % 10000 == 0:
        print(np.mean(np.abs(error)))
    output_delta = error * squash(output, slope=True)
    hidden_delta = output_delta @ second.T * squash(hidden, slope=True)
    second += hidden.T @ output_delta
    first += x.T @ hidden_delta
