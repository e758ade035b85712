"""Arrays made with np.zeros and filled in loops: a convolution and max pooling, pixel by pixel."""

import math

import numpy as np


class Conv:
    def __init__(self, filters, size):
        np.random.seed(4)
        self.filters = np.random.randn(filters, size, size)
        self.size = size

    def forward(self, image):
        self.image = image
        h, w = image.shape[0] - self.size + 1, image.shape[1] - self.size + 1
        out = np.zeros((len(self.filters), h, w))
        for f in range(len(self.filters)):
            for i in range(h):
                for j in range(w):
                    patch = image[i : i + self.size, j : j + self.size]
                    out[f, i, j] = np.sum(patch * self.filters[f])
        return out

    def backward(self, dout):
        self.dfilters = np.zeros(self.filters.shape)
        dimage = np.zeros(self.image.shape)
        for f in range(len(self.filters)):
            for i in range(dout.shape[1]):
                for j in range(dout.shape[2]):
                    patch = self.image[i : i + self.size, j : j + self.size]
                    self.dfilters[f] += dout[f, i, j] * patch
                    dimage[i : i + self.size, j : j + self.size] += dout[f, i, j] * self.filters[f]
        return dimage


class Pool:
    def forward(self, x):
        self.x = x
        out = np.zeros((x.shape[0] // 2, x.shape[1] // 2))
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = np.max(x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2])
        return out

    def backward(self, dout):
        dx = np.zeros(self.x.shape)
        for i in range(dout.shape[0]):
            for j in range(dout.shape[1]):
                part = self.x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                k, m = np.unravel_index(np.argmax(part), part.shape)
                dx[2 * i + k, 2 * j + m] = dout[i, j]
        return dx


class Elementwise:
    def forward(self, x):
        self.x = x
        out = np.zeros(x.shape)
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out[i, j] = 1 / (1 + math.exp(-x[i, j]))
        self.out = out
        return out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)
