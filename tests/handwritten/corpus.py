"""The collection: how each hand-written style is checked, and slips put into it, one at a time."""

import importlib.util
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinygrad_fm.testing.backward import check_backward

STYLES = Path(__file__).parent / "styles"
_numbers = itertools.count()


def load(style, folder=None, old="", new=""):
    """A style's module, with one piece of its text replaced."""
    path = STYLES / f"{style}.py"
    text = path.read_text(encoding="utf-8")
    if old:
        assert text.count(old) == 1, f"{style}: {old!r} stands there {text.count(old)} times"
        path = folder / f"{style}.py"
        path.write_text(text.replace(old, new), encoding="utf-8")
    name = f"handwritten_{style}_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def normal(rng, *shape):
    return rng.standard_normal(shape)


def labels(rng, n, classes):
    return rng.integers(0, classes, n)


def one_hot(rng, n, classes):
    return np.eye(classes)[labels(rng, n, classes)]


def affine(m, rng, n=3, a=4, b=4):
    args = normal(rng, n, a), normal(rng, a, b), normal(rng, b)
    return check_backward((m.affine_forward, m.affine_backward), *args)


def relu(m, rng, n=3, a=4):
    return check_backward((m.relu_forward, m.relu_backward), normal(rng, n, a))


def sigmoid(m, rng, n=3, a=4):
    return check_backward((m.sigmoid_forward, m.sigmoid_backward), normal(rng, n, a))


def batchnorm(m, rng, n=5, a=3):
    args = normal(rng, n, a), rng.uniform(0.5, 2, a), normal(rng, a)
    return check_backward((m.batchnorm_forward, m.batchnorm_backward), *args)


def dense(m, rng, n=3, a=4, b=5):
    return check_backward(lambda: m.Dense(a, b), normal(rng, n, a))


def relu_layer(m, rng, n=3, a=4):
    return check_backward(m.ReLU, normal(rng, n, a))


def tanh_layer(m, rng, n=3, a=4):
    return check_backward(m.Tanh, normal(rng, n, a))


def softmax_layer(m, rng, n=3, a=4):
    return check_backward(m.Softmax, normal(rng, n, a))


def two_layers(m, rng, n=5, a=4, b=6, c=3):
    return check_backward(
        lambda: m.TwoLayerNet((a, b, c)),
        data=(normal(rng, n, a), labels(rng, n, c)),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.gradients(x, t),
    )


def columns(m, rng, n=3, a=4, b=4, c=2):
    return check_backward(
        lambda: m.Network((a, b, b, c)),
        data=(normal(rng, a, n), rng.uniform(size=(c, n))),
        loss=lambda net, x, t: net.cost(x, t),
        backward=lambda net, x, t: net.backprop(x, t),
    )


def perceptron(m, rng, n=4, a=4, b=5, c=3):
    return check_backward(
        lambda: m.Perceptron((a, b, c)),
        data=(normal(rng, n, a), one_hot(rng, n, c)),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
    )


def convolution(m, rng, n=4, a=5, k=2, f=2):
    return check_backward(lambda: m.Conv(f, k), normal(rng, n + k - 1, a + k - 1))


def pooling(m, rng, n=4, a=6):
    return check_backward(m.Pool, normal(rng, 2 * n, 2 * a))


def unrecorded(m, rng, n=2, a=3):
    return check_backward(m.Elementwise, normal(rng, n, a))


def softmax_loss(m, rng, n=4, a=3):
    return check_backward(m.softmax_loss, normal(rng, n, a), labels(rng, n, a))


def ridge(m, rng, n=5, a=3):
    return check_backward(
        m.ridge_loss, normal(rng, a), normal(rng, 1), normal(rng, n, a), normal(rng, n)
    )


def lstm(m, rng, n=3, a=4, b=5):
    return check_backward(
        (m.lstm_step_forward, m.lstm_step_backward),
        *(normal(rng, n, a), normal(rng, n, b), normal(rng, n, b)),
        *(normal(rng, a, 4 * b), normal(rng, b, 4 * b), normal(rng, 4 * b)),
    )


def attention(m, rng, n=3, a=4):
    return check_backward(lambda: m.Attention(a), normal(rng, n, a))


def letters(m, rng, n=3, a=4, b=5):
    """A recurrent network, on weights of other sizes than the file has."""
    m.vocab_size, m.hidden_size = a + 1, b
    shapes = {"Wxh": (b, a + 1), "Whh": (b, b), "Why": (a + 1, b), "bh": (b, 1), "by": (a + 1, 1)}
    vars(m).update({name: 0.5 * normal(rng, *shape) for name, shape in shapes.items()})
    tokens = [labels(rng, n, a + 1).tolist() for _ in range(2)]
    return check_backward(m.loss_function, *tokens, normal(rng, b, 1))


def one_method(m, rng, n=5, a=4, b=6, c=3):
    return check_backward(
        lambda: m.Net(a, b, c, std=1.0),
        data=(normal(rng, n, a), labels(rng, n, c)),
        loss=lambda net, x, t: net.loss(x, t, reg=0.1)[0],
        backward=lambda net, x, t: net.loss(x, t, reg=0.1)[1],
    )


def one_sample(m, rng, a=4, b=5, c=3):
    return check_backward(
        lambda: m.Network((a, b, c)),
        data=(normal(rng, a, 1), rng.uniform(size=(c, 1))),
        loss=lambda net, x, t: np.sum((net.feedforward(x) - t) ** 2) / 2,
        backward=lambda net, x, t: net.backprop(x, t),
    )


RULES = ("descent", "momentum_rule", "averaged", "nesterov", "adagrad", "rmsprop", "adam")


def steps(m, rng, n=5, a=4, c=3, rule=None):
    rule = rule or RULES[int(rng.integers(len(RULES)))]
    return check_backward(
        lambda: m.Model(a, c, rule),
        data=(normal(rng, n, a), normal(rng, n, c)),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
        step=lambda net: net.step(),
    )


CASES = {
    "functions_with_cache": (affine, relu, sigmoid, batchnorm),
    "layer_objects": (dense, relu_layer, tanh_layer, softmax_layer),
    "network_with_dicts": (two_layers,),
    "columns_and_lists": (columns,),
    "updates_inside": (perceptron,),
    "loss_and_gradient": (softmax_loss, ridge),
    "arrays_filled_in_loops": (convolution, pooling, unrecorded),
    "gates_and_attention": (lstm, attention),
    "weights_as_globals": (letters,),
    "loss_returns_gradients": (one_method,),
    "one_sample_at_a_time": (one_sample,),
    "learns_by_steps": (steps,),
}


@dataclass(frozen=True)
class Slip:
    """One mistake: in which style, what is replaced by what, and words that must be said."""

    style: str
    case: object
    old: str
    new: str
    words: str
    line: str = ""  # the wrong line, where it is not the replaced one


SLIPS = [
    Slip("functions_with_cache", affine, "dout.dot(w.T)", "dout.dot(w)", "transpose"),
    Slip(
        "functions_with_cache",
        affine,
        "db = np.sum(dout, axis=0)",
        "db = np.mean(dout, axis=0)",
        "batch size",
    ),
    Slip(
        "functions_with_cache",
        affine,
        "db = np.sum(dout, axis=0)",
        "db = np.sum(dout, axis=1)",
        "shape",
    ),
    Slip("functions_with_cache", affine, "db = np.sum(dout, axis=0)", "db = dout", "shape"),
    Slip("functions_with_cache", relu, "dout * (x > 0)", "dout * (dout > 0)", "mask"),
    Slip(
        "functions_with_cache", relu, "dout * (x > 0)", "dout", "derivative of maximum is missing"
    ),
    Slip(
        "functions_with_cache", sigmoid, "dx = dout * out * (1 - out)", "dx = dout * (1 - out)", ""
    ),
    Slip(
        "functions_with_cache", batchnorm, "- xhat * (dxhat * xhat)", "+ xhat * (dxhat * xhat)", ""
    ),
    Slip(
        "functions_with_cache",
        batchnorm,
        "dgamma = np.sum(dout * xhat, axis=0)",
        "dgamma = np.sum(dout, axis=0)",
        "",
    ),
    Slip("layer_objects", dense, "        self.db = np.sum(dout, axis=0)\n", "", "has no gradient"),
    Slip("layer_objects", dense, "np.dot(self.x.T, dout)", "-np.dot(self.x.T, dout)", "the sign"),
    Slip(
        "layer_objects",
        dense,
        "np.dot(self.x.T, dout)",
        "np.dot(self.x.T, dout) / len(dout)",
        "batch size",
    ),
    Slip("layer_objects", relu_layer, "dx[self.x <= 0] = 0", "dx[dx <= 0] = 0", "mask"),
    Slip("layer_objects", tanh_layer, "1 - self.out**2", "1 - np.tanh(self.out) ** 2", "output"),
    Slip("layer_objects", tanh_layer, "(1 - self.out**2)", "(1 - self.out)", ""),
    Slip("layer_objects", softmax_layer, "np.sum(dout * self.y, axis=1", "np.sum(dout, axis=1", ""),
    Slip(
        "network_with_dicts",
        two_layers,
        'dscores + self.reg * p["W2"]',
        'dscores + 2 * self.reg * p["W2"]',
        "penalty",
    ),
    Slip(
        "network_with_dicts",
        two_layers,
        'dh + self.reg * p["W1"]',
        'dh - self.reg * p["W1"]',
        "penalty",
    ),
    Slip("network_with_dicts", two_layers, ' + self.reg * p["W1"]', "", "penalty"),
    Slip("network_with_dicts", two_layers, "        dscores /= len(t)\n", "", "batch size"),
    Slip("network_with_dicts", two_layers, "dh[self.h <= 0] = 0", "dh[dh <= 0] = 0", "mask"),
    Slip("network_with_dicts", two_layers, "        dh[self.h <= 0] = 0\n", "", "missing"),
    Slip(
        "columns_and_lists",
        columns,
        "* sigmoid_prime(zs[-i])",
        "* sigmoid_prime(activations[-i])",
        "output",
    ),
    Slip("columns_and_lists", columns, "y) * sigmoid_prime(zs[-1])", "y)", "missing"),
    Slip(
        "columns_and_lists",
        columns,
        "delta @ activations[-i - 1].T",
        "delta @ activations[-i].T",
        "another place",
    ),
    Slip("updates_inside", perceptron, "self.b2 += self.lr", "self.b2 -= self.lr", "the sign"),
    Slip("updates_inside", perceptron, "(1 - self.h**2) * (delta2", "(delta2", "missing"),
    Slip(
        "updates_inside",
        perceptron,
        "        self.b1 += self.lr * delta1.sum(axis=0)\n",
        "",
        "has no gradient",
    ),
    Slip("loss_and_gradient", ridge, "2 * reg * w", "reg * w", "penalty"),
    Slip("loss_and_gradient", ridge, "2 * np.mean(error)", "np.mean(error)", "one half"),
    Slip(
        "arrays_filled_in_loops",
        convolution,
        "self.dfilters[f] += dout[f, i, j] * patch",
        "self.dfilters[f] = dout[f, i, j] * patch",
        "layer.filters",
    ),
    Slip(
        "arrays_filled_in_loops",
        pooling,
        "dx[2 * i + k, 2 * j + m] = dout[i, j]",
        "dx[2 * i + m, 2 * j + k] = dout[i, j]",
        "",
    ),
    *(
        Slip(style, case, old, new, words)
        for style, case, changes in [
            (
                "gates_and_attention",
                lstm,
                [
                    ("dc = dnext_c + dnext_h * o", "dc = dnext_h * o", "what comes back"),
                    ("dg * (1 - g**2)]", "dg * (1 - g)]", ""),
                    ("dc * f, x.T @ da", "dc * i, x.T @ da", ""),
                ],
            ),
            (
                "gates_and_attention",
                attention,
                [
                    ("dk = ds.T @ self.q", "dk = ds @ self.q", "transpose"),
                    ("ds = ds / np.sqrt(self.d)", "ds = ds / self.d", "one half"),
                    ("da * self.a, axis=-1", "da * self.a, axis=0", ""),
                    ("dq @ self.Wq.T + dk @ self.Wk.T", "dk @ self.Wk.T", "what comes back"),
                ],
            ),
            (
                "weights_as_globals",
                letters,
                [
                    ("dh = Why.T @ dy + dhnext", "dh = Why.T @ dy", "what comes back"),
                    ("draw = (1 - hs[t] ** 2) * dh", "draw = (1 - hs[t]) * dh", ""),
                    ("dWhh += draw @ hs[t - 1].T", "dWhh += draw @ hs[t].T", ""),
                ],
            ),
            (
                "loss_returns_gradients",
                one_method,
                [
                    ("+= 2 * reg * W1", "+= reg * W1", "the L2 penalty is taken 0.5 times"),
                    ("+= 2 * reg * W1", "-= 2 * reg * W1", "the L2 penalty has the wrong sign"),
                    ("+= reg * np.sign(W2)", "+= reg * W2", ""),
                    ("dhidden[hidden <= 0]", "dhidden[dhidden <= 0]", "mask"),
                    (
                        '        grads["W2"] += reg * np.sign(W2)\n',
                        "",
                        "the L1 penalty is in the loss but not in grads['W2']; "
                        "add 0.1 * sign of net.params['W2'] here",
                    ),
                ],
            ),
            (
                "one_sample_at_a_time",
                one_sample,
                [
                    ("(activations[-1] - y) * activations[-1]", "(activations[-1] - y)", ""),
                    ("T @ delta * a * (1 - a)", "T @ delta", "missing"),
                ],
            ),
        ]
        for old, new, words in changes
    ),
]


# Of styles that are checked as files: what is checked, by its title, stands in the place of a case.
FILE_SLIPS = [
    Slip(style, title, old, new, words)
    for style, title, changes in [
        (
            "parameters_in_a_dictionary",
            "forward_propagation and backward_propagation",
            [
                ("dW1 = dZ1 @ X.T / m", "dW1 = dZ1 @ X.T", "batch size"),
                (' * (1 - cache["A1"] ** 2)', "", "missing"),
                ('dZ2 = cache["A2"] - Y', 'dZ2 = (cache["A2"] - Y) * cache["A2"]', ""),
            ],
        ),
        (
            "parameters_one_by_one",
            "forward_prop and backward_prop",
            [
                (" * (z1 > 0)", "", "missing"),
                ("db2 = np.sum(dz2, axis=1, keepdims=True)", "db2 = np.sum(dz2)", "shape"),
                ("w2.T.dot(dz2)", "w2.T.dot(a2)", ""),
            ],
        ),
        (
            "made_of_data",
            "NeuralNetwork",
            [
                (" * (1 - self.hidden**2)", "", "missing"),
                ("(1 - self.hidden**2)", "(1 - self.hidden)", ""),
                ("self.w2 += ", "self.w2 -= ", "the sign"),
            ],
        ),
        (
            "layers_in_a_list",
            "Activation",
            [("return grad * self.activation_prime(self.x)", "return grad", "missing")],
        ),
        (
            "layers_in_a_list",
            "Sequential",
            [("grad * (self.x > 0)", "grad * (grad > 0)", "mask")],
        ),
        (
            "layers_in_a_list",
            "Network",
            [("return grad @ self.weights.T", "return grad @ np.abs(self.weights.T)", "")],
        ),
        ("layers_in_a_list", "Multiply", [("dy = dout * self.x", "dy = dout * self.y", "")]),
        (
            "layers_in_a_list",
            "CrossEntropy",
            [("-y_true / dvalues / len", "-y_true * dvalues / len", "")],
        ),
        ("layers_in_a_list", "SoftmaxLoss", [("y_true] -= 1", "y_true] -= 2", "")]),
        (
            "loop_in_a_script",
            "the training loop",
            [
                (" * squash(hidden, slope=True)", "", "the derivative of squash is missing"),
                ("first += x.T", "first -= x.T", ""),
            ],
        ),
        (
            "loop_in_fit",
            "Classifier.fit",
            [
                ("(1 - a1**2)", "(1 - a1)", ""),
                ("dW1 = X.T @ d1", "dW1 = X.T @ d1 / n", "1 / the batch size"),
                ("self.b1 -= self.lr", "self.b1 += self.lr", "uphill"),
            ],
        ),
    ]
    for old, new, words in changes
]
