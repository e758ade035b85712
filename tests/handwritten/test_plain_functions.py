"""Networks as plain functions: their shapes are found, right ones pass, slips are found."""

import re

import numpy as np
import pytest
from plain import Plain, drawn

from tinygrad_fm.testing import CannotRunError, check_file

STYLES = [
    Plain(),
    Plain(bias="none"),
    Plain(lower=True, cache="dict"),
    Plain(product="w @ x", bias="kept", form="loss beside"),
    Plain(form="together", labels="numbers"),
    Plain(holder="keys", gives_dx=True),
    Plain(holder="pairs", layers=4),
]


def checked(folder, text):
    (folder / "net.py").write_text(text)
    (report,) = check_file(folder / "net.py")
    return report


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_a_plain_network_is_right(style, tmp_path):
    report = checked(tmp_path, style.text())
    assert report.verdict == "right"
    parameters = [c for c in report.comparisons if c.parameter not in ("X", "x")]
    assert len(parameters) == style.layers * (1 if style.bias == "none" else 2)


def test_every_way_to_write_a_network_is_right(tmp_path):
    rng = np.random.default_rng(0)
    for style in [drawn(rng) for _ in range(80)]:
        report = checked(tmp_path, style.text())
        assert report.verdict == "right", f"{style}: {report}"


SLIPS = [
    (r" \* \(1 - A1 \*\* 2\)", "", "missing"),
    (r"np\.sum\(dZ1", "np.mean(dZ1", "batch size"),
    (r"d[Ww]1 = ", r"\g<0>-", "the sign"),
    (r"\(1 - A1 \*\* 2\)", "(1 - A1)", "dZ1 = "),
]


@pytest.mark.parametrize("style", STYLES[2:], ids=str)
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip[1])
def test_a_slip_in_a_plain_network_is_found_and_named(style, slip, tmp_path):
    old, new, said = slip
    text, times = re.subn(old, new, style.text())
    assert times == 1
    report = checked(tmp_path, text)
    assert report.verdict == "wrong"
    assert said in str(report)


def test_a_first_layer_need_not_give_the_gradient_by_its_input(tmp_path):
    report = checked(tmp_path, Plain().text())
    assert "backward gives no gradient by X: a first layer needs none" in report.notes
    wrong = Plain(gives_dx=True).text().replace("dX = dZ1", "dX = 2 * dZ1")
    assert checked(tmp_path, wrong).verdict == "wrong"


def test_what_cannot_fit_in_any_shape_is_shown_as_their_own_error(tmp_path):
    text = Plain(product="w @ x").text().replace("W2.T @", "W2 @")
    with pytest.raises(CannotRunError, match=r"the backward pass fails: ValueError.*net\.py:\d+"):
        checked(tmp_path, text)


DEEP = """
import numpy as np

def forward(X, parameters):
    last = len(parameters) // 2
    A, cache = X, [X]
    for i in range(1, last + 1):
        Z = parameters["W" + str(i)] @ A + parameters["b" + str(i)]
        A = np.maximum(Z, 0) if i < last else 1 / (1 + np.exp(-Z))
        cache.append(A)
    return A, cache

def cost(A, Y):
    return -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / Y.shape[1]

def backward(A, Y, parameters, cache):
    grads, dZ = {}, (A - Y) / Y.shape[1]
    for i in range(len(cache) - 1, 0, -1):
        grads["dW" + str(i)] = dZ @ cache[i - 1].T
        grads["db" + str(i)] = dZ.sum(axis=1, keepdims=True)
        dZ = (parameters["W" + str(i)].T @ dZ) * (cache[i - 1] > 0)
    return grads

def update_parameters(parameters, grads, learning_rate):
    for name in parameters:
        parameters[name] -= learning_rate * grads["d" + name]
    return parameters
"""


def test_layers_in_a_loop_need_no_function_that_makes_them(tmp_path):
    report = checked(tmp_path, DEEP)
    assert report.verdict == "right"
    assert len(report.comparisons) == 4
    assert "the step is gradient descent, learning rate 0.1" in report.notes
    slip = DEEP.replace("(cache[i - 1] > 0)", "cache[i - 1]")
    assert checked(tmp_path, slip).verdict == "wrong"


def test_a_function_of_loss_and_gradients_is_no_backward_of_the_forward_that_it_calls(tmp_path):
    text = """
import numpy as np

def forward(x, w1, w2):
    h = np.tanh(x @ w1)
    return h @ w2, h

def loss_and_grads(x, y, w1, w2):
    out, h = forward(x, w1, w2)
    d = out - y
    return 0.5 * np.sum(d**2), x.T @ (d @ w2.T * (1 - h**2)), h.T @ d
"""
    report = checked(tmp_path, text)
    assert report.verdict == "right"
    assert report.title == "loss_and_grads"


# ---- what is said of a slip ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "written", "of_input", "said"),
    [
        ("sigmoid", "A1 * (1 - A1)", "Z1 * (1 - Z1)", "the derivative of sigmoid, y (1 - y)"),
        ("tanh", "(1 - A1 ** 2)", "(1 - Z1 ** 2)", "the derivative of tanh, 1 - y²"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_a_derivative_of_the_result_that_is_taken_of_the_input(
    activation, written, of_input, said, alone, tmp_path
):
    text = Plain(activation=activation, form="together").text()
    right = f"dZ1 = dA1 * {written}"
    assert right in text
    wrong = f"S1 = {of_input}\n    dZ1 = dA1 * S1" if alone else f"dZ1 = dA1 * {of_input}"
    report = checked(tmp_path, text.replace(right, wrong))
    assert report.verdict == "wrong"
    assert report.line.slip.startswith(said)
    assert report.line.slip.endswith("is taken of its input")
    assert of_input in report.line.source
    assert "dB" not in report.line.formula


UPDATES_TOO_EARLY = """
import numpy as np

class Net:
    def __init__(self, n_in, n_hidden, n_out):
        self.W1 = np.random.randn(n_in, n_hidden)
        self.W2 = np.random.randn(n_hidden, n_out)

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.W1)
        return self.h @ self.W2

    def backward(self, dout, lr):
        self.W2 -= lr * self.h.T @ dout
        dh = dout @ self.W2.T
        self.W1 -= lr * self.x.T @ (dh * (1 - self.h**2))
"""


def test_a_weight_that_is_updated_before_it_is_used(tmp_path):
    report = checked(tmp_path, UPDATES_TOO_EARLY)
    assert report.verdict == "wrong"
    assert report.line.source == "dh = dout @ self.W2.T"
    assert report.line.slip.startswith("self.W2 was changed at line 14 above")
    assert not report.line.formula
    first, second = "self.W2 -= lr * self.h.T @ dout", "dh = dout @ self.W2.T"
    swapped = UPDATES_TOO_EARLY.replace(first, "?").replace(second, first).replace("?", second)
    assert checked(tmp_path, swapped).verdict == "right"


def test_the_learning_rate_is_the_one_that_is_written(tmp_path):
    """The gradients are those of a sum over the outputs, the loss is a mean over them."""
    text = """
import numpy as np
X, y = np.random.randn(20, 4), np.random.randn(20, 2)
W = np.random.randn(4, 2)
for epoch in range(100):
    out = X @ W
    loss = np.mean((out - y) ** 2)
    dW = X.T @ (2 * (out - y) / len(out))
    W -= 0.05 * dW
"""
    report = checked(tmp_path, text)
    assert report.convention == "the number of outputs, 2"
    assert "the step is gradient descent, learning rate 0.05" in report.notes
