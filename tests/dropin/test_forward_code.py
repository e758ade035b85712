"""Forward passes as people write them for NumPy run on Tensors, their `np` replaced."""

import types

import numpy

import tinygrad_fm as tg
import tinygrad_fm.numpy
from tinygrad_fm import testing

SOURCE = '''
import numpy as np


def im2col_indices(shape, size, padding, stride):
    n, c, h, w = shape
    out_h, out_w = (h + 2 * padding - size) // stride + 1, (w + 2 * padding - size) // stride + 1
    i0 = np.tile(np.repeat(np.arange(size), size), c)
    i1 = stride * np.repeat(np.arange(out_h), out_w)
    j0 = np.tile(np.arange(size), size * c)
    j1 = stride * np.tile(np.arange(out_w), out_h)
    k = np.repeat(np.arange(c), size * size).reshape(-1, 1)
    i, j = i0.reshape(-1, 1) + i1.reshape(1, -1), j0.reshape(-1, 1) + j1.reshape(1, -1)
    return k.astype(int), i, j


class Convolution:
    """By im2col, with index arrays."""

    def __init__(self, w, b, padding=1, stride=1):
        self.w, self.b, self.padding, self.stride = w, b, padding, stride

    def forward(self, x):
        assert isinstance(x, np.ndarray)
        f, c, size, _ = self.w.shape
        p = self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="constant")
        k, i, j = im2col_indices(x.shape, size, p, self.stride)
        columns = padded[:, k, i, j].transpose(1, 2, 0).reshape(size * size * c, -1)
        out = self.w.reshape(f, -1) @ columns + self.b.reshape(-1, 1)
        side = int(np.sqrt(out.shape[1] // len(x)))
        return out.reshape(f, side, side, len(x)).transpose(3, 0, 1, 2)


def naive_convolution(x, w, b):
    n, c, h, width = x.shape
    f, _, size, _ = w.shape
    out = np.zeros((n, f, h - size + 1, width - size + 1), dtype=np.float64)
    for image in range(n):
        for channel in range(f):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    window = x[image, :, i : i + size, j : j + size]
                    out[image, channel, i, j] = np.sum(window * w[channel]) + b[channel]
    return out


def max_pool(x, size=2):
    n, c, h, w = x.shape
    out = np.empty((n, c, h // size, w // size))
    for i in range(h // size):
        for j in range(w // size):
            window = x[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size]
            out[:, :, i, j] = np.max(window, axis=(2, 3))
    return out


def batch_norm(x, gamma, beta, eps=1e-5):
    mean, var = np.mean(x, axis=0), np.var(x, axis=0)
    out = np.zeros_like(x)
    out += (x - mean) / np.sqrt(var + eps)
    out *= gamma
    return out + beta


def dropout(x, p=0.5):
    mask = (np.random.default_rng(0).random(x.shape) < p) / p
    return x * mask


def softmax_loss(x, y):
    shifted = x - np.max(x, axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.sum(np.exp(shifted), axis=1, keepdims=True)
    one_hot = np.zeros(x.shape)
    one_hot[np.arange(len(y)), y] = 1.0
    assert np.allclose(probabilities.sum(axis=1), 1)
    return -np.mean(np.log(probabilities[np.arange(len(y)), y])) + 0 * np.sum(one_hot * x)


def lstm(x, w, h0):
    steps, width = len(x), len(h0)
    h, c = np.zeros((steps + 1, width)), np.zeros((steps + 1, width))
    h[0] = h0
    for t in range(steps):
        gates = np.dot(np.concatenate([x[t], h[t]]), w)
        i, f, o = [1.0 / (1.0 + np.exp(-gates[k * width : (k + 1) * width])) for k in range(3)]
        c[t + 1] = f * c[t] + i * np.tanh(gates[3 * width :])
        h[t + 1] = o * np.tanh(c[t + 1])
    return h[1:]


def relu_in_place(x):
    out = np.array(x, dtype=np.float64)
    out[out < 0] = 0
    out[np.logical_and(x >= 0, x > 1)] *= 0.5
    return out


def network(x, w, b, y):
    hidden = Convolution(w, b).forward(x)
    hidden = np.maximum(0, hidden)
    scores = max_pool(hidden).reshape(len(x), -1)[:, :3]
    with np.errstate(over="ignore"):
        return softmax_loss(scores, y) * np.float64(np.pi)
'''
PLAIN = types.ModuleType("handwritten")
exec(SOURCE, PLAIN.__dict__)
SWAPPED = types.ModuleType("handwritten")
exec(SOURCE, SWAPPED.__dict__)
SWAPPED.np = tinygrad_fm.numpy

RNG = numpy.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 2, 4, 4))
KERNELS, BIASES = RNG.normal(size=(3, 2, 3, 3)), RNG.normal(size=3)
LABELS = numpy.array([0, 2])
CASES = {
    "convolution": (
        lambda m: lambda x, w, b: m.Convolution(w, b).forward(x),
        (IMAGES, KERNELS, BIASES),
    ),
    "naive": (lambda m: m.naive_convolution, (IMAGES, KERNELS, BIASES)),
    "max_pool": (lambda m: m.max_pool, (IMAGES,)),
    "batch_norm": (lambda m: m.batch_norm, (IMAGES[0, 0], IMAGES[0, 1, 0], IMAGES[1, 1, 0])),
    "dropout": (lambda m: m.dropout, (IMAGES[0, 0],)),
    "softmax_loss": (lambda m: m.softmax_loss, (IMAGES[0, 0, :2], LABELS)),
    "lstm": (
        lambda m: m.lstm,
        (RNG.normal(size=(3, 2)), RNG.normal(size=(4, 8)), RNG.normal(size=2)),
    ),
    "relu_in_place": (lambda m: m.relu_in_place, (IMAGES[0],)),
    "network": (lambda m: m.network, (IMAGES, KERNELS, BIASES, LABELS)),
}


def pytest_generate_tests(metafunc):
    metafunc.parametrize("name", CASES)


def test_forward_code_has_numpys_values_and_right_gradients(name):
    of, args = CASES[name]
    expected = of(PLAIN)(*args)
    with tinygrad_fm.numpy.tracing():
        found = of(SWAPPED)(*[tg.Tensor(a) if a.dtype.kind == "f" else a for a in args])
    assert isinstance(found, tg.Tensor)
    numpy.testing.assert_allclose(found.data, expected, rtol=1e-13)
    report = testing.check_grads(of(SWAPPED), *args, order=1, elements=12)
    assert report.checked
    assert not report.kinks
