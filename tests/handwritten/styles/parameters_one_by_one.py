"""Functions that hand every array on by itself; integer labels; a global number of samples."""

import numpy as np

data = np.loadtxt("there_is_no_such_file.csv")
m, n = data.shape


def init_params():
    w1, b1 = np.random.rand(12, 20) - 0.5, np.random.rand(12, 1) - 0.5
    w2, b2 = np.random.rand(4, 12) - 0.5, np.random.rand(4, 1) - 0.5
    return w1, b1, w2, b2


def relu(z):
    return np.maximum(z, 0)


def softmax(z):
    e = np.exp(z - z.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)


def one_hot(y):
    rows = np.zeros((y.size, y.max() + 1))
    rows[np.arange(y.size), y] = 1
    return rows.T


def forward_prop(w1, b1, w2, b2, x):
    z1 = w1.dot(x) + b1
    a1 = relu(z1)
    z2 = w2.dot(a1) + b2
    a2 = softmax(z2)
    return z1, a1, z2, a2


def backward_prop(z1, a1, a2, w2, x, y):
    dz2 = a2 - one_hot(y)
    dw2 = dz2.dot(a1.T) / m
    db2 = np.sum(dz2, axis=1, keepdims=True) / m
    dz1 = w2.T.dot(dz2) * (z1 > 0)
    dw1 = dz1.dot(x.T) / m
    db1 = np.sum(dz1, axis=1, keepdims=True) / m
    return dw1, db1, dw2, db2
