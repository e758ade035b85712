"""Factors that are no convention, forms that gradients come in, and which line is blamed."""

import numpy as np
import pytest

from tinygrad_fm.testing import CannotRunError, check_backward, check_file

RNG = np.random.default_rng
X = RNG(3).standard_normal((3, 4))


# ---- factors -------------------------------------------------------------------------------------


def test_a_factor_that_depends_on_the_numbers_is_no_convention():
    def norm_penalty(w):
        return 0.1 * np.sqrt(np.sum(w * w)), 2 * 0.1 * w  # the gradient of the square

    report = check_backward(norm_penalty, X)
    assert report.verdict == "wrong"
    assert "times with other numbers" in str(report)


def test_one_number_is_always_a_multiple_of_the_true_one_and_may_be_wrong():
    def scale(s, x):
        return np.sum(np.tanh(s * x)), np.sum(1 - np.tanh(s * x) ** 2)  # times x

    report = check_backward(scale, np.array(0.7), X)
    assert report.verdict == "wrong"
    assert "the penalty" not in str(report)


def test_a_constant_factor_without_a_name_is_a_convention():
    report = check_backward(lambda w: (np.sum(w**3), 0.3 * w**2), X)
    assert report.verdict == "right up to a convention"
    assert report.convention == "1 / 10"


def test_gradients_that_are_brought_to_one_norm_are_a_convention():
    def loss_and_gradient(w, x):
        dw = x.T @ (3 * (x @ w) ** 2)
        return np.sum((x @ w) ** 3), dw / np.linalg.norm(dw) * 0.5

    report = check_backward(loss_and_gradient, RNG(0).random(4), X)
    assert report.verdict == "right up to a convention"
    assert "brings their norm to 0.5" in report.convention


@pytest.mark.parametrize(("scale", "convention"), [(1, ""), (3, "the batch size, 3")])
def test_a_small_constant_in_a_denominator_is_no_error(scale, convention):
    y, t = RNG(0).uniform(0.02, 0.98, (3, 4)), (X > 0).astype(float)

    def loss_and_gradient(p, t):
        loss = -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p)) / 3
        return loss, scale / 3 * (p - t) / (p * (1 + 1e-5 - p))

    report = check_backward(loss_and_gradient, y, t)
    assert report.is_right
    assert report.convention == convention
    assert "1e-05 in the code moves the gradient" in str(report)


def test_without_such_a_constant_a_small_error_is_one():
    report = check_backward(lambda w: (np.sum(w**2), 2 * w + 0.0005 * w**2), X)
    assert report.verdict == "wrong"


# ---- forms ---------------------------------------------------------------------------------------


class Nested:
    """Its gradients are returned in lists of lists."""

    def __init__(self):
        self.layers = [[RNG(i).standard_normal((4, 4)), RNG(i).random(4)] for i in range(2)]

    def forward(self, x):
        self.inputs = [x]
        for w, b in self.layers:
            self.inputs.append(np.tanh(self.inputs[-1] @ w + b))
        return self.inputs[-1]

    def backward(self, dout):
        found = []
        for (w, _), x, y in zip(
            self.layers[::-1], self.inputs[-2::-1], self.inputs[:0:-1], strict=True
        ):
            delta = dout * (1 - y**2)
            found.insert(0, [x.T @ delta, delta.sum(axis=0)])
            dout = delta @ w.T
        return found


def test_gradients_may_be_lists_of_lists():
    report = check_backward(Nested, X)
    assert report.verdict == "right"
    assert [c.parameter for c in report.comparisons] == [
        f"layer.layers[{i}][{j}]" for i in range(2) for j in range(2)
    ]


class Kept:
    def __init__(self):
        self.up, self.down = np.eye(4), RNG(0).random((4, 4))

    def forward(self, x):
        self.x, self.h = x, x @ self.up
        return self.h @ self.down


def test_gradients_that_are_nowhere_are_said():
    class Forgets(Kept):
        def backward(self, dout):
            dw = self.h.T @ dout  # noqa: F841

    with pytest.raises(CannotRunError, match="backward returns nothing, and sets no array"):
        check_backward(Forgets, X)


def test_gradients_whose_names_tell_nothing_are_shown():
    class Odd(Kept):
        def backward(self, dout):
            self.second = self.h.T @ dout
            self.first = self.x.T @ (dout @ self.down.T)

    report = check_backward(Odd, X)
    assert report.line is None
    assert "layer.second, layer.first, nothing fits" in str(report)


# ---- lines ---------------------------------------------------------------------------------------

ACTIVATIONS_IN_A_DICTIONARY = """
import numpy as np

FUNCTIONS = {"tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2)}

class Layer:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)

    def forward(self, x):
        self.x, self.z = x, x @ self.W
        self.a = FUNCTIONS["tanh"][0](self.z)
        return self.a

    def backward(self, dout):
        dz = dout * FUNCTIONS["tanh"][1](self.z)
        self.dW = self.x.T @ dz
        return dz @ self.W.T
"""


def test_the_line_that_calls_a_right_lambda_wrongly_is_meant(tmp_path):
    path = tmp_path / "layer.py"
    path.write_text(ACTIVATIONS_IN_A_DICTIONARY)
    assert check_file(path)[0].verdict == "right"
    path.write_text(ACTIVATIONS_IN_A_DICTIONARY.replace("[1](self.z)", "[1](self.a)"))
    (report,) = check_file(path)
    assert report.line.source == 'dz = dout * FUNCTIONS["tanh"][1](self.a)'
    assert "at its output" in report.line.slip


def test_a_line_in_a_file_beside_it_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slopes_beside.py").write_text(
        "import numpy as np\n\ndef through_tanh(dout, z):\n    return dout * (1 - z ** 2)\n"
    )
    path = tmp_path / "layer.py"
    text = "from slopes_beside import through_tanh\n" + ACTIVATIONS_IN_A_DICTIONARY
    path.write_text(
        text.replace('dout * FUNCTIONS["tanh"][1](self.z)', "through_tanh(dout, self.z)")
    )
    (report,) = check_file(path)
    assert report.line.source == "return dout * (1 - z ** 2)"


def test_an_error_has_the_line_of_the_code_that_it_comes_from(tmp_path):
    path = tmp_path / "layer.py"
    path.write_text(ACTIVATIONS_IN_A_DICTIONARY.replace("x @ self.W\n", "np.einsum('ij', x, x)\n"))
    with pytest.raises(CannotRunError, match=r"\(layer\.py:11\)"):
        check_file(path)


def test_a_gradient_of_the_wrong_sign_is_named_so():
    class Turned(Kept):
        def __init__(self):
            self.w, self.b = RNG(0).random((4, 3)), RNG(1).random(3)

        def forward(self, x):
            self.x = x
            return x @ self.w + self.b

        def backward(self, dout):
            self.dw = self.x.T @ dout
            self.db = -dout.sum(axis=0)

    report = check_backward(Turned, X)
    assert report.line.slip == "it is the true gradient times -1: the sign"


# ---- steps ---------------------------------------------------------------------------------------


class Steps:
    """A mean of squares, with a step that may be told how."""

    decay = 0.0

    def __init__(self):
        self.lr, self.reg = 0.05, 0.01
        self.w, self.b = RNG(0).random((4, 2)), RNG(1).random(2)

    def loss(self, x, t):
        self.x, self.error = x, x @ self.w + self.b - t
        return np.sum(self.error**2) / (2 * len(x)) + 0.5 * self.reg * np.sum(self.w**2)

    def backward(self, x, t):
        self.dw = x.T @ self.error / len(x)
        self.db = self.error.sum(axis=0) / len(x)


def steps(step):
    return check_backward(
        Steps,
        data=(RNG(0).standard_normal((7, 4)), RNG(1).standard_normal((7, 2))),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
        step=step,
    )


def test_the_line_of_a_decay_that_is_not_scaled_is_shown_first():
    def step(net):
        net.w = net.w - net.lr * net.dw - net.reg * net.w
        net.b = net.b - net.lr * net.db

    report = steps(step)
    assert "net.reg * net.w" in report.line.source
    assert "the decay is not scaled" in report.line.slip


def test_a_sum_for_one_and_a_mean_for_the_other_is_said():
    def step(net):
        net.w = net.w - net.lr * (net.dw + net.reg * net.w)
        net.b = net.b - net.lr * net.error.sum(axis=0)

    report = steps(step)
    assert report.verdict == "wrong"
    assert "net.b learns 7 times as fast as net.w" in str(report)
    assert "error.sum" in report.line.source


def test_a_rate_of_its_own_for_the_biases_is_no_error():
    def step(net):
        net.w = net.w - net.lr * (net.dw + net.reg * net.w)
        net.b = net.b - 2 * net.lr * net.db

    report = steps(step)
    assert report.verdict == "right"
    assert "the step of net.b is gradient descent, learning rate 0.1" in str(report)
