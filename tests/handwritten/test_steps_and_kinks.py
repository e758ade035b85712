"""Updates, penalties, kinks, and what else a report says: right ones pass, wrong ones are named."""

import json

import corpus
import numpy as np
import pytest
from corpus import RULES, load

from tinygrad_fm.cli import main
from tinygrad_fm.testing import check_backward, check_file

X = np.random.default_rng(3).standard_normal((3, 4))
RNG = np.random.default_rng


# ---- the step ------------------------------------------------------------------------------------

SAID = {
    "descent": "gradient descent, learning rate 0.05",
    "momentum_rule": "momentum 0.9, learning rate 0.05",
    "averaged": "momentum 0.8, learning rate 0.01",
    "nesterov": "Nesterov's momentum 0.9, learning rate 0.05",
    "adagrad": "AdaGrad, learning rate 0.05",
    "rmsprop": "RMSprop with 0.99, learning rate 0.05",
    "adam": "Adam with 0.9 and 0.999, learning rate 0.05",
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_of_updating_is_recognised_and_may_add_the_penalty(rule):
    report = corpus.steps(load("learns_by_steps"), RNG(0), rule=rule)
    assert report.verdict == "right"
    assert f"the step is {SAID[rule]}" in report.notes
    assert "net.W  right (net.dW), and the step adds the penalty" in str(report)


STEP_SLIPS = [
    ("descent", "self.W -= self.lr * dW\n", "self.W += self.lr * dW\n", "moves net.W uphill"),
    ("descent", "        self.b -= self.lr * db\n\n", "\n", "net.b is never updated"),
    (
        "momentum_rule",
        "self.vb = self.momentum * self.vb - self.lr * db\n        self.W += self.vW",
        "self.vb = self.lr * self.vb - self.momentum * db\n        self.W += self.vW",
        "learning rate and momentum are swapped for net.b",
    ),
    ("momentum_rule", "self.b += self.vb", "self.b -= self.vb", "the wrong sign"),
    (
        "momentum_rule",
        "self.vb = self.momentum * self.vb - self.lr * db\n        self.W += self.vW",
        "self.vb = self.vb - self.lr * db\n        self.W += self.vW",
        "the gradients of all earlier steps add up in net.b",
    ),
    (
        "averaged",
        "self.vb = 0.8 * self.vb + (1 - 0.8) * db",
        "self.vb = (1 - 0.8) * db - 0.8 * self.vb",
        "the velocity of net.b enters with the wrong sign",
    ),
    ("adam", "self.t += 1", "self.t = 1", "the number of the step does not grow"),
    ("adam", "/ (np.sqrt(self.sb / down) +", "/ (self.sb / down +", "the square root"),
    ("rmsprop", "self.lr * db / np.sqrt(self.sb + 1e-10)", "self.lr * db / 0.0", "infinite"),
    (
        "descent",
        "dW, db = self.dW + self.reg * self.W, self.db",
        "dW, db = self.dW + self.reg / self.lr * self.W, self.db",
        "the decay is not scaled by the learning rate",
    ),
    (
        "descent",
        "dW, db = self.dW + self.reg * self.W, self.db",
        "dW, db = self.dW, self.db",
        "the L2 penalty is in the loss but not in net.dW; add 0.02 * net.W here",
    ),
]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("rule", "old", "new", "said"), STEP_SLIPS, ids=lambda s: s[:40])
def test_a_slip_in_the_step_is_named_with_its_line(rule, old, new, said, tmp_path):
    report = corpus.steps(load("learns_by_steps", tmp_path, old, new), RNG(0), rule=rule)
    assert not report.is_right
    assert said in str(report)
    if new.strip() and "self.t" not in new and "dW, db" not in new:
        assert any(part.strip() in report.line.source for part in new.splitlines())


def test_a_rule_that_is_not_known_is_no_error(tmp_path):
    old = "self.W -= self.lr * dW\n"
    new = "self.W -= self.lr * dW * np.sqrt(abs(dW))\n"
    module = load("learns_by_steps", tmp_path, old, new)
    report = corpus.steps(module, RNG(0), rule="descent")
    assert "the step follows no one rule known here" in str(report)


def test_gradients_that_are_never_set_to_0_are_said():
    class Adds:
        def __init__(self):
            self.w, self.dw = RNG(0).random((4, 3)), np.zeros((4, 3))

        def forward(self, x):
            self.x = x
            return x @ self.w

        def backward(self, dout):
            self.dw += self.x.T @ dout

    class Resets(Adds):
        def zero_grad(self):
            self.dw[:] = 0

    said = "layer.dw is added to by every backward pass: set it to 0 before each"
    assert said in check_backward(Adds, X).notes
    assert check_backward(Resets, X).notes == []


# ---- terms of the loss ---------------------------------------------------------------------------


def test_a_decay_that_the_loss_has_no_term_for_is_a_convention():
    def loss_and_gradient(w, x, y, decay=0.1):
        error = x @ w - y
        return np.sum(error**2), 2 * x.T @ error + decay * w

    report = check_backward(loss_and_gradient, RNG(0).random(4), X, np.ones(3))
    assert report.verdict == "right up to a convention"
    assert "the gradients have 0.1 times the weights more" in str(report)


def test_clipped_gradients_are_right():
    def loss_and_gradient(w, x):
        return np.sum((x @ w) ** 3), np.clip(x.T @ (3 * (x @ w) ** 2), -0.5, 0.5)

    report = check_backward(loss_and_gradient, RNG(0).random(4), X)
    assert report.verdict == "right"
    assert "clipped at 0.5" in str(report)


# ---- updates in files ----------------------------------------------------------------------------

OF_LAYER = """
import numpy as np

class Net:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)

    def step(self, lr):
        self.W -= lr * self.dW
        self.b -= lr * self.db
"""
OF_NETWORK = """
import numpy as np

class Net:
    def __init__(self, n_in, n_out):
        self.params = {"W": np.random.randn(n_in, n_out), "b": np.zeros(n_out)}

    def loss(self, X, y):
        self.out = X @ self.params["W"] + self.params["b"]
        return 0.5 * np.sum((self.out - y) ** 2) / len(X)

    def gradients(self, X, y):
        self.loss(X, y)
        d = (self.out - y) / len(X)
        return {"W": X.T @ d, "b": d.sum(axis=0)}

"""
UPDATES = {
    "a method of a layer": OF_LAYER,
    "a function that trains": f"""{OF_NETWORK}
def train(net, X, y, lr, epochs):
    for epoch in range(epochs):
        grads = net.gradients(X, y)
        for k in net.params:
            net.params[k] -= lr * grads[k]
""",
    "a method that trains": f"""{OF_NETWORK}
    def fit(self, X, y, lr=0.1, n_iters=1000):
        for i in range(n_iters):
            g = self.gradients(X, y)
            for k, p in self.params.items():
                self.params[k] = p - lr * g[k]
""",
    "a function of parameters": f"""{OF_NETWORK}
def update_params(params, grads, lr):
    for k in params:
        params[k] -= lr * grads[k]
""",
}


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_in_a_file_is_looked_at(name, tmp_path):
    text = UPDATES[name]
    (tmp_path / "net.py").write_text(text)
    (report,) = check_file(tmp_path / "net.py")
    assert report.verdict == "right"
    assert report.notes == ["the step is gradient descent, learning rate 0.1"]

    slip = text.replace("-= lr", "+= lr", 1).replace("p - lr", "p + lr", 1)
    assert slip != text
    (tmp_path / "slip.py").write_text(slip)
    (report,) = check_file(tmp_path / "slip.py")
    assert report.verdict == "wrong"
    assert "lr *" in report.line.source
    assert "uphill" in report.line.slip


UNSEEN = {
    "an optimizer": (
        """
class SGD:
    def step(self, params, grads):
        for k in params:
            params[k] += self.lr * grads[k]
""",
        "the update in SGD.step, line 21, was not looked at",
    ),
    "a loop in main": (
        """
def main(net, X, y):
    for epoch in range(100):
        g = net.gradients(X, y)
        for k in g:
            net.params[k] += 0.1 * g[k]
""",
        "the update in main, line 22, was not looked at",
    ),
    "training that takes long, in batches": (
        """
def train(net, X, y, lr):
    for epoch in range(100_000):
        for i in range(0, len(X), 2):
            g = net.gradients(X[i : i + 2], y[i : i + 2])
            for k in g:
                net.params[k] -= lr * g[k]
""",
        "the update in train, line 23, was not looked at",
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_an_update_that_is_not_looked_at_is_said(name, tmp_path):
    text, said = UNSEEN[name]
    (tmp_path / "net.py").write_text(OF_NETWORK + text)
    (report,) = check_file(tmp_path / "net.py")
    assert report.verdict == "right"
    assert report.notes == [said]


def test_adam_in_a_training_function_raises_no_alarm(tmp_path):
    train = """
def train(net, X, y, lr=0.01, epochs=10):
    m, v = dict.fromkeys(net.params, 0), dict.fromkeys(net.params, 0)
    for t in range(1, epochs + 1):
        for k, g in net.gradients(X, y).items():
            m[k], v[k] = 0.9 * m[k] + 0.1 * g, 0.999 * v[k] + 0.001 * g**2
            step = m[k] / (1 - 0.9**t) / (np.sqrt(v[k] / (1 - 0.999**t)) + 1e-8)
            net.params[k] -= lr * step
"""
    (tmp_path / "net.py").write_text(OF_NETWORK + train)
    (report,) = check_file(tmp_path / "net.py")
    assert report.verdict == "right"
    assert report.notes == ["the update in train, line 24, was not looked at"]


# ---- kinks ---------------------------------------------------------------------------------------

AT_KINKS = {
    "relu, 0 at 0": (lambda x: np.maximum(x, 0), lambda dout, x: dout * (x > 0)),
    "relu, 1 at 0": (lambda x: np.maximum(x, 0), lambda dout, x: dout * (x >= 0)),
    "relu by where": (lambda x: np.where(x > 0, x, 0), lambda dout, x: dout * (x >= 0)),
    "relu by a mask": (lambda x: x * (x > 0), lambda dout, x: dout * (x >= 0)),
    "abs": (lambda x: np.abs(x), lambda dout, x: dout * np.where(x >= 0, 1, -1)),
    "the first of equals": (
        lambda x: np.max(x, axis=1),
        lambda dout, x: dout[:, None] * np.eye(x.shape[1])[np.argmax(x, axis=1)],
    ),
    "clip": (
        lambda x: np.clip(x, -1, 1),
        lambda dout, x: dout * ((x > -1) & (x < 1)),
    ),
}


@pytest.mark.parametrize("name", AT_KINKS)
def test_any_slope_between_those_of_both_sides_is_right(name):
    for x in (np.zeros((2, 3)), np.round(2 * RNG(1).standard_normal((4, 5)))):
        report = check_backward(AT_KINKS[name], x)
        assert report.verdict == "right", str(report)


def test_what_is_outside_of_the_slopes_at_a_kink_is_wrong():
    pair = (lambda x: np.maximum(x, 0), lambda dout, x: np.where(x == 0, 5.0, x > 0) * dout)
    assert not check_backward(pair, np.round(X)).is_right


def test_a_slip_beside_a_kink_is_found():
    pair = (lambda x: np.maximum(x, 0), lambda dout, x: dout * (x > 0.5))
    assert not check_backward(pair, np.array([[0.0, 0.3, -1.0]])).is_right
    assert not check_backward(pair, np.zeros((2, 3))).is_right


@pytest.mark.parametrize("slope", ["h > 0", "h >= 0"])
def test_a_start_in_zeros_raises_no_false_alarm_and_hides_no_slip(slope):
    def net(right):
        class Net:
            def __init__(self):
                self.W1, self.W2 = np.zeros((4, 5)), np.zeros((5, 3))

            def forward(self, x):
                self.x, self.h = x, x @ self.W1
                self.a = np.maximum(self.h, 0)
                return self.a @ self.W2

            def backward(self, dout):
                self.dW2 = self.a.T @ dout
                mask = eval(slope, {"h": self.h if right else dout @ self.W2.T})
                self.dW1 = self.x.T @ (dout @ self.W2.T * mask)

        return Net

    assert check_backward(net(True), X).verdict == "right"
    report = check_backward(net(False), X)
    assert not report.is_right
    assert "which hides the mistake at the start itself" in str(report)


# ---- state and numbers ---------------------------------------------------------------------------


def overflow_notes(forward):
    report = check_backward((forward, lambda dout, x: dout * 0), X)
    return " ".join(report.notes)


def test_the_operation_that_is_not_finite_is_located():
    def global_maximum(x):
        e = np.exp(x - np.max(x))
        return e / e.sum(axis=1, keepdims=True)

    assert "exp overflows" in overflow_notes(lambda x: np.log(np.exp(x).sum(axis=1)))
    assert "subtract each row's own largest number" in overflow_notes(global_maximum)
    assert "test_steps_and_kinks.py:" in overflow_notes(global_maximum)


def test_a_probability_of_0_is_tried():
    p = np.full((3, 4), 0.25)
    report = check_backward((lambda p: -np.log(p).sum(), lambda dout, p: -1 / p), p)
    assert report.is_right
    assert "with a probability of 0 the result is not finite: log meets 0" in str(report)


def test_what_backward_overwrites_is_said():
    class Overwrites:
        def forward(self, x):
            self.x = x
            return np.tanh(x)

        def backward(self, dout):
            self.x[:] = 1 - np.tanh(self.x) ** 2
            return dout * self.x

    assert "x is changed in place by the backward pass" in check_backward(Overwrites, X).notes


def test_a_best_copy_that_is_none_is_said(tmp_path):
    text = (corpus.STYLES / "layer_objects.py").read_text()
    train = "\n\ndef train(layer):\n    best_w = layer.W\n    best_b = layer.b.copy()\n"
    (tmp_path / "net.py").write_text(text + train)
    (report,) = check_file(f"{tmp_path / 'net.py'}::Tanh")
    (said,) = report.notes
    assert "best_w = layer.W keeps no copy" in said


# ---- the smallest case ---------------------------------------------------------------------------


def test_the_smallest_case_is_small_and_belongs_to_the_line(tmp_path):
    slip = "dh[self.h <= 0] = 0", "dh[dh <= 0] = 0"
    module = load("network_with_dicts", tmp_path, *slip)
    report = corpus.two_layers(module, RNG(0), n=50, a=30, b=40, c=10)
    small = report.smallest
    assert small.what == "dh"
    assert np.shape(small.theirs) == np.shape(small.truth) == (2, 2)
    assert set(small.inputs) > {"x", "t", "net.params['W1']"}
    assert all(n <= 3 for array in small.inputs.values() for n in np.shape(array))
    wrong = small.theirs != small.truth
    assert wrong.any()
    assert "smallest case:" in str(report)
    assert "dh, truly" in report.to_markdown()
    assert json.loads(json.dumps(report.to_dict()))["smallest"]["gradient"] == "dh"


def test_sizes_that_the_file_fixes_stay(tmp_path):
    text = "import numpy as np\nclass Fixed:\n    def __init__(self):\n"
    text += "        self.w = np.ones((4, 3)) * np.arange(3.0)\n    def forward(self, x):\n"
    text += "        self.x = x.reshape(-1, 4)\n        return self.x @ self.w\n"
    text += "    def backward(self, dout):\n        self.dw = self.x.T @ dout * self.w\n"
    (tmp_path / "net.py").write_text(text)
    (report,) = check_file(tmp_path / "net.py")
    assert np.shape(report.smallest.inputs["layer.w"]) == (4, 2)
    assert np.shape(report.smallest.inputs["x"]) == (2, 4)


# ---- files ---------------------------------------------------------------------------------------


def test_a_loop_that_cannot_be_cut_says_what_to_write(tmp_path, capsys):
    text = "import numpy as np\ndef train(batches, w):\n    for x, t in batches.load():\n"
    text += "        w -= 0.1 * x.T @ (x @ w - t)\n"
    (tmp_path / "net.py").write_text(text)
    assert main(["check", str(tmp_path / "net.py")]) == 2
    assert "write the inside of the loop as a function" in " ".join(capsys.readouterr().out.split())


def test_sizes_that_come_from_data_are_guessed(tmp_path):
    text = (corpus.STYLES / "weights_as_globals.py").read_text()
    changed = text.replace('"a rose is a rose is a rose"', 'open("there_is_no_such_file").read()')
    assert changed != text
    (tmp_path / "net.py").write_text(changed)
    (report,) = check_file(tmp_path / "net.py")
    assert report.verdict == "right"


def test_what_the_check_itself_fails_on_is_one_line_and_the_others_are_checked(
    tmp_path, capsys, monkeypatch
):
    text = (corpus.STYLES / "layer_objects.py").read_text()
    (tmp_path / "net.py").write_text(text)
    from tinygrad_fm.testing.backward import classes

    def fails(make, kind, source):
        if kind.__name__ == "ReLU":
            raise ZeroDivisionError("of our own")
        return original(make, kind, source)

    original = classes.as_layer
    monkeypatch.setattr(classes, "as_layer", fails)
    assert main(["check", str(tmp_path / "net.py")]) == 2
    said = capsys.readouterr().out
    assert "ReLU: could not be checked: the check itself fails on it, with ZeroDivision" in said
    assert "Tanh: right" in said


def test_one_sample_alone_hides_no_slip(tmp_path):
    """With a batch of one, attention has nothing to attend to, and every gradient is right."""
    text = (corpus.STYLES / "gates_and_attention.py").read_text()
    (tmp_path / "net.py").write_text(text.replace("ds.T @ self.q", "ds @ self.q"))
    (report,) = check_file(f"{tmp_path / 'net.py'}::Attention")
    assert not report.is_right
