"""Programs as people publish them: noise, settings, tokens, two inputs, a tiny start."""

import numpy as np
import pytest

from tinygrad_fm.cli import main
from tinygrad_fm.testing import check_backward, check_file

NOISE = """
import numpy as np

class Sampler:
    def __init__(self, n_in=4, n_out=3):
        self.rng = np.random.default_rng()
        self.W = np.random.randn(n_in, n_out)
        self.V = np.random.randn(n_in, n_out)

    def forward(self, x):
        self.x = x
        self.eps = np.random.randn(len(x), 3) + self.rng.standard_normal((len(x), 3))
        self.scale = np.exp(0.1 * x @ self.V)
        return x @ self.W + self.eps * self.scale

    def loss(self, x, t):
        return 0.5 * np.sum((self.forward(x) - t) ** 2)

    def backward(self, x, t):
        d = self.forward(x) - t
        self.dW = x.T @ d
        self.dV = x.T @ (0.1 * d * self.eps * self.scale)
"""

SETTINGS = """
import numpy as np

def pool_forward(x, pool_param):
    h, w, s = pool_param['pool_height'], pool_param['pool_width'], pool_param['stride']
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - h) // s, 1 + (W - w) // s))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = np.mean(x[:, :, i*s:i*s+h, j*s:j*s+w], axis=(2, 3))
    return out, (x, pool_param)

def pool_backward(dout, cache):
    x, pool_param = cache
    h, w, s = pool_param['pool_height'], pool_param['pool_width'], pool_param['stride']
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            dx[:, :, i*s:i*s+h, j*s:j*s+w] += dout[:, :, i:i+1, j:j+1] / (h * w)
    return dx
"""

PENALTY = """
import numpy as np

def softmax_loss_vectorized(W, X, y, reg):
    scores = X.dot(W)
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p[range(len(y)), y])) + reg * np.sum(np.abs(W))
    p[range(len(y)), y] -= 1
    dW = X.T.dot(p) / len(y)
    dW += reg * np.sign(W)
    return loss, dW
"""

TOKENS = """
import numpy as np

vocab_size, hidden_size = 5, 3
Wz = np.random.randn(hidden_size, hidden_size + vocab_size) * 0.5
bz = np.zeros((hidden_size, 1))
bo = np.zeros((hidden_size, 1))
Wo = np.random.randn(hidden_size, hidden_size + vocab_size) * 0.5
Wy = np.random.randn(vocab_size, hidden_size)

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def lossFun(inputs, targets, hprev):
    zs, gs, os, hs, ps, loss = {}, {}, {}, {-1: np.copy(hprev)}, {}, 0
    for t in range(len(inputs)):
        x = np.zeros((vocab_size, 1))
        x[inputs[t]] = 1
        zs[t] = np.vstack((hs[t-1], x))
        gs[t] = np.tanh(Wz @ zs[t] + bz)
        os[t] = sigmoid(Wo @ zs[t] + bo)
        hs[t] = gs[t] * os[t]
        y = Wy @ hs[t]
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    dWz, dWo, dWy, dbz, dbo = [np.zeros_like(w) for w in (Wz, Wo, Wy, bz, bo)]
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWy += dy @ hs[t].T
        dh = Wy.T @ dy + dhnext
        dg = dh * os[t] * (1 - gs[t] ** 2)
        do = dh * gs[t] * os[t] * (1 - os[t])
        dWz += dg @ zs[t].T
        dWo += do @ zs[t].T
        dbz += dg
        dbo += do
        dhnext = (Wz.T @ dg + Wo.T @ do)[:hidden_size]
    return loss, dWz, dWo, dWy, dbz, dbo, hs[len(inputs)-1]
"""

TWO = """
import numpy as np

class Siamese:
    def __init__(self, n_in=6, n_emb=3, margin=1.0):
        self.W = np.random.randn(n_in, n_emb).astype(np.float32)
        self.margin = margin

    def loss(self, x1, x2, y):
        self.x1, self.x2, self.y = x1, x2, y
        self.e1, self.e2 = np.tanh(x1 @ self.W), np.tanh(x2 @ self.W)
        self.diff = self.e1 - self.e2
        self.d = np.sqrt((self.diff ** 2).sum(axis=1) + 1e-9)
        apart = np.maximum(self.margin - self.d, 0)
        return 0.5 * np.mean(y * self.d ** 2 + (1 - y) * apart ** 2)

    def gradients(self):
        apart = np.maximum(self.margin - self.d, 0)
        dd = (self.y * self.d - (1 - self.y) * apart) / len(self.y)
        ddiff = (dd / self.d)[:, None] * self.diff
        dz1 = ddiff * (1 - self.e1 ** 2)
        dz2 = -ddiff * (1 - self.e2 ** 2)
        return self.x1.T @ dz1 + self.x2.T @ dz2
"""

TINY = """
import numpy as np

def initialize_parameters(n_x, n_h, n_y):
    W1 = np.random.randn(n_h, n_x) * 0.01
    b1 = np.zeros((n_h, 1))
    W2 = np.random.randn(n_y, n_h) * 0.01
    b2 = np.zeros((n_y, 1))
    return {'W1': W1, 'b1': b1, 'W2': W2, 'b2': b2}

def forward_propagation(X, parameters):
    Z1 = np.dot(parameters['W1'], X) + parameters['b1']
    A1 = np.tanh(Z1)
    A2 = 1 / (1 + np.exp(-np.dot(parameters['W2'], A1) - parameters['b2']))
    return A2, {'Z1': Z1, 'A1': A1, 'A2': A2}

def compute_cost(A2, Y):
    return -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / Y.shape[1]

def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    A1, Z1 = cache['A1'], cache['Z1']
    dZ2 = cache['A2'] - Y
    dZ1 = np.dot(parameters['W2'].T, dZ2) * (1 - np.power(A1, 2))
    return {'dW1': np.dot(dZ1, X.T) / m, 'db1': np.sum(dZ1, axis=1, keepdims=True) / m,
            'dW2': np.dot(dZ2, A1.T) / m, 'db2': np.sum(dZ2, axis=1, keepdims=True) / m}
"""

TABLE = """
import numpy as np

class Embedding:
    def __init__(self, vocab, dim):
        self.W = np.random.randn(vocab, dim)

    def forward(self, idx):
        self.idx = idx
        return self.W[idx]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.idx, dout)
"""

TOGETHER = """
import numpy as np

class MLP:
    def __init__(self, sizes=(4, 6, 3)):
        self.layers = [[np.random.randn(a, b), np.zeros(b)] for a, b in zip(sizes, sizes[1:])]

    def loss_and_grad(self, x, y):
        (W1, b1), (W2, b2) = self.layers
        h = np.tanh(x @ W1 + b1)
        z = h @ W2 + b2
        z = z - z.max(1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(1, keepdims=True))
        loss = -logp[np.arange(len(y)), y].mean()
        g = np.exp(logp)
        g[np.arange(len(y)), y] -= 1
        g /= len(y)
        d = g @ W2.T * (1 - h ** 2)
        return loss, [(x.T @ d, d.sum(0)), (h.T @ g, g.sum(0))]
"""

# (program, piece of it, slip, what is said of the line or the gradients)
PROGRAMS = {
    "noise": (NOISE, "self.dV = x.T @ (0.1 * d * self", "self.dV = x.T @ (d * self", "dV"),
    "settings": (SETTINGS, "j:j+1] / (h * w)", "j:j+1] / h", "the true one times two"),
    "penalty": (PENALTY, "dW += reg * np.sign(W)", "dW += reg * W", "dW += reg * W"),
    "tokens": (TOKENS, "do = dh * gs[t] *", "do = dh * os[t] *", "do = dh * os[t]"),
    "two inputs": (TWO, "dz2 = -ddiff", "dz2 = ddiff", "dz2 = ddiff"),
    "tokens twice": (
        TABLE,
        "np.add.at(self.dW, self.idx, dout)",
        "self.dW[self.idx] += dout",
        "+=",
    ),
    "loss and gradient": (TOGETHER, "d.sum(0)", "d.mean(0)", "1 / the batch size"),
    "tiny start": (TINY, "np.power(A1, 2)", "np.power(Z1, 2)", "np.power(Z1, 2)"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_published_program_is_right_and_its_slip_is_found(name, tmp_path):
    text, old, new, said = PROGRAMS[name]
    assert text.count(old) == 1
    path = tmp_path / "program.py"
    path.write_text(text)
    (report,) = check_file(path)
    assert report.verdict == "right", str(report)
    assert "begin with equal numbers" not in str(report)
    path.write_text(text.replace(old, new))
    (report,) = check_file(path)
    assert report.verdict == ("wrong" if name != "settings" else "right up to a convention")
    assert said in str(report)


def test_a_column_of_the_smallest_case_lies_down():
    report = check_backward(lambda w: (np.sum(w**3), 3 * w), np.arange(1.0, 6).reshape(5, 1))
    assert max(len(text.splitlines()) for text in report.smallest.to_lines()) == 1


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path, capsys):
    (tmp_path / "program.py").write_text(PENALTY)
    assert main(["check", f"{tmp_path / 'program.py'}::softmax"]) == 2
    assert "has no softmax to check; it has softmax_loss_vectorized" in capsys.readouterr().err


def test_the_test_for_a_folder_is_that_of_its_first_wrong_file(tmp_path, capsys):
    (tmp_path / "a.py").write_text(TWO)
    (tmp_path / "b.py").write_text(PENALTY.replace("np.sign(W)", "W"))
    assert main(["check", str(tmp_path)]) == 1
    assert f'check_file("{tmp_path / "b.py"}")' in capsys.readouterr().out
