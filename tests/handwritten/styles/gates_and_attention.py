"""A step of an LSTM as functions with two results, and self-attention as a layer."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    n = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = sigmoid(a[:, :n]), sigmoid(a[:, n : 2 * n]), sigmoid(a[:, 2 * n : 3 * n])
    g = np.tanh(a[:, 3 * n :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    t = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - t**2)
    di, df, do, dg = dc * g, dc * prev_c, dnext_h * t, dc * i
    gates = [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)]
    da = np.hstack(gates)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


class Attention:
    def __init__(self, d):
        self.d = d
        self.Wq, self.Wk, self.Wv = (np.random.randn(d, d) for _ in range(3))

    def forward(self, x):
        self.x = x
        self.q, self.k, self.v = x @ self.Wq, x @ self.Wk, x @ self.Wv
        s = self.q @ self.k.T / np.sqrt(self.d)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        self.a = e / e.sum(axis=-1, keepdims=True)
        return self.a @ self.v

    def backward(self, dout):
        da = dout @ self.v.T
        dv = self.a.T @ dout
        ds = self.a * (da - np.sum(da * self.a, axis=-1, keepdims=True))
        ds = ds / np.sqrt(self.d)
        dq = ds @ self.k
        dk = ds.T @ self.q
        self.dWq = self.x.T @ dq
        self.dWk = self.x.T @ dk
        self.dWv = self.x.T @ dv
        return dq @ self.Wq.T + dk @ self.Wk.T + dv @ self.Wv.T
