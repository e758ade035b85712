"""Backward passes written by hand: right ones pass in every style, slips are found in place."""

import inspect
import json
import shutil
import xml.etree.ElementTree as ET

import corpus
import numpy as np
import pytest
from corpus import CASES, FILE_SLIPS, SLIPS, STYLES, load

from tinygrad_fm.cli import main
from tinygrad_fm.testing import CannotRunError, check_backward, check_file

EACH = [(style, case) for style, cases in CASES.items() for case in cases]
CONFIGURATIONS = 60  # of each of the twenty-two cases: more than a thousand
LEAST = {"n": 2, "c": 2}  # a mean over one sample, or one class, says nothing


@pytest.mark.parametrize(("style", "case"), EACH, ids=lambda x: getattr(x, "__name__", x))
def test_what_is_right_passes_in_every_size(style, case):
    module = load(style)
    rng = np.random.default_rng(1)
    parameters = list(inspect.signature(case).parameters.values())[2:]
    names = [p.name for p in parameters if p.default is not None]
    for seed in range(CONFIGURATIONS):
        sizes = {name: int(rng.integers(LEAST.get(name, 1), 7)) for name in names}
        if case in (corpus.two_layers, corpus.perceptron, corpus.softmax_loss):
            sizes = {name: max(size, 2) for name, size in sizes.items()}
        report = case(module, np.random.default_rng(seed), **sizes)
        assert report.verdict == "right", (sizes, seed, str(report))


@pytest.mark.parametrize(
    "slip", SLIPS, ids=lambda slip: f"{slip.case.__name__}: {slip.new.strip()}"
)
def test_a_slip_is_found_named_and_located(slip, tmp_path):
    module = load(slip.style, tmp_path, slip.old, slip.new)
    report = slip.case(module, np.random.default_rng(0))
    assert not report.is_right
    assert slip.words in str(report)
    if slip.new.strip():  # where a line was taken out there is none to show
        assert report.line is not None
        assert slip.new.strip() in report.line.source


def test_there_are_slips_enough():
    assert len(SLIPS) >= 25
    assert {slip.style for slip in SLIPS} == set(CASES) - {"learns_by_steps"}  # it has its own
    as_files = {slip.style for slip in FILE_SLIPS}
    assert set(CASES) | as_files == {p.stem for p in STYLES.glob("*.py")}


def test_the_global_generator_is_left_alone():
    module = load("layer_objects")  # its constructor reseeds it
    before = np.random.get_state()  # noqa: NPY002
    corpus.dense(module, np.random.default_rng(0))
    for old, new in zip(before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)


def test_the_objects_that_are_checked_are_left_alone():
    x, w, b = np.ones((2, 3)), np.ones((3, 2)), np.ones(2)
    module = load("functions_with_cache")
    check_backward((module.affine_forward, module.affine_backward), x, w, b)
    assert all((a == 1).all() and a.dtype == float for a in (x, w, b))
    assert module.np is np


def test_a_common_factor_is_a_convention(tmp_path):
    old, new = "        dscores /= len(t)\n", ""
    text = (STYLES / "network_with_dicts.py").read_text()
    (tmp_path / "n.py").write_text(text.replace(old, new).replace("reg=0.1", "reg=0.0"))
    (report,) = check_file(tmp_path / "n.py")
    assert report.verdict == "right up to a convention"
    assert report.convention == "the batch size, 5"


def test_the_negative_gradient_is_a_convention():
    report = check_backward(
        (lambda x: np.tanh(x), lambda dout, x: -dout * (1 - np.tanh(x) ** 2)), X
    )
    assert report.verdict == "right up to a convention"
    assert report.convention == "the sign"


X = np.random.default_rng(3).standard_normal((3, 4))


def test_a_small_constant_in_a_logarithm_is_no_error():
    report = check_backward(
        (lambda x: np.log(x**2 + 1e-9).sum(), lambda dout, x: dout * 2 / x), X + 3
    )
    assert report.is_right


def test_pairs_can_be_told():
    class Odd:
        def __init__(self):
            self.up, self.down = np.ones((4, 4)), np.full((4, 4), 2.0)

        def forward(self, x):
            self.x, self.h = x, x @ self.up
            return self.h @ self.down

        def backward(self, dout):
            self.second = self.h.T @ dout
            self.first = self.x.T @ (dout @ self.down.T)

    assert not check_backward(Odd, X).is_right
    pairs = {"layer.up": "layer.first", "layer.down": "layer.second"}
    assert check_backward(Odd, X, pairs=pairs).is_right


# ---- beyond gradients ----------------------------------------------------------------------------


def notes_of(make, x=X):
    return "\n".join(check_backward(make, x).notes)


class Linear:
    def __init__(self, w):
        self.w = w

    def forward(self, x):
        self.x = x
        return x @ self.w

    def backward(self, dout):
        self.dw = self.x.T @ dout
        return dout @ self.w.T


def test_a_constant_start_is_said():
    assert "all of layer.w begins at 0.5" in notes_of(lambda: Linear(np.full((4, 3), 0.5)))
    assert notes_of(lambda: Linear(np.random.default_rng(0).random((4, 3)))) == ""


def test_layers_that_begin_alike_are_said():
    class Two:
        def __init__(self):
            self.a, self.b = (Linear(np.random.default_rng(0).random((4, 4))) for _ in range(2))

        def forward(self, x):
            return self.b.forward(self.a.forward(x))

        def backward(self, dout):
            return self.a.backward(self.b.backward(dout))

    assert "layer.a.w and layer.b.w begin with equal numbers" in notes_of(Two)


def test_a_copy_that_is_none_is_said():
    class Keeps(Linear):
        def __init__(self):
            super().__init__(np.random.default_rng(0).random((4, 3)))
            self.best = self.w

    assert "layer.w and layer.best are one array" in notes_of(Keeps)


def test_overflow_is_said():
    class Softmax:
        def forward(self, x):
            e = np.exp(x)
            self.y = e / e.sum(axis=1, keepdims=True)
            return self.y

        def backward(self, dout):
            return self.y * (dout - (dout * self.y).sum(axis=1, keepdims=True))

    assert "the result is not finite: exp overflows" in notes_of(Softmax)


def test_inputs_that_change_are_said():
    class Shifts:
        def forward(self, x):
            x -= x.max()
            return np.tanh(x)

        def backward(self, dout):
            return dout

    report = check_backward(Shifts, X)
    assert "x is changed in place by the forward pass" in report.notes


# ---- files ---------------------------------------------------------------------------------------


CONVENTIONS = {
    "parameters_one_by_one": {"forward_prop and backward_prop": "1 / the batch size, 5"},
    "made_of_data": {"NeuralNetwork": "the sign"},
    "layers_in_a_list": {"CrossEntropy": "1 / the batch size, 5"},
    "loop_in_a_script": {"the training loop": "the sign"},
}


def test_files_need_no_configuration():
    for path in sorted(STYLES.glob("*.py")):
        for report in check_file(path):
            assert report.is_right, f"{path.name}: {report}"
            convention = CONVENTIONS.get(path.stem, {}).get(report.title, "")
            assert report.convention == convention, f"{path.name}: {report}"


def test_the_first_wrong_line_is_that_of_the_first_wrong_shape(tmp_path):
    text = (STYLES / "parameters_one_by_one.py").read_text()
    for layer in "12":
        text = text.replace(f"np.sum(dz{layer}, axis=1, keepdims=True)", f"np.sum(dz{layer})")
    (tmp_path / "net.py").write_text(text)
    (report,) = check_file(tmp_path / "net.py")
    assert report.line.source == "db2 = np.sum(dz2) / m"


def test_what_the_code_prints_is_none_of_the_report(capsys):
    assert main(["check", str(STYLES / "parameters_in_a_dictionary.py"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "right"


@pytest.mark.parametrize("slip", FILE_SLIPS, ids=lambda slip: f"{slip.case}: {slip.new.strip()}")
def test_a_slip_in_a_file_is_found_and_named(slip, tmp_path):
    text = (STYLES / f"{slip.style}.py").read_text()
    assert text.count(slip.old) == 1, slip.old
    (tmp_path / "slip.py").write_text(text.replace(slip.old, slip.new))
    (report,) = [r for r in check_file(tmp_path / "slip.py") if r.title == slip.case]
    assert not report.is_right
    assert slip.words in str(report)


def test_the_mean_of_the_parameters_alone_is_a_convention(tmp_path):
    text = (STYLES / "functions_with_cache.py").read_text()
    text = text.replace(
        "np.sum(dout, axis=0)\n    return dx, dw", "np.mean(dout, axis=0)\n    return dx, dw"
    )
    path = tmp_path / "mean.py"
    path.write_text(text.replace(".T.dot(dout)", ".T.dot(dout) / len(dout)"))
    report = check_file(f"{path}::affine_forward")[0]
    assert report.is_right
    assert report.convention == "1 / the batch size, 5, but for those of the inputs"


SCRIPT = """
import numpy as np
import matplotlib.pyplot as plt
from tqdm import tqdm

RATE = 0.5
data = np.loadtxt("there_is_no_such_file.csv")

class Dense:
    def __init__(self, n_in, n_out):
        self.weights = np.random.randn(n_in, n_out)
        self.bias = np.zeros((1, n_out))

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.bias

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbias = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)

class Updates:
    def __init__(self, n_in, n_out):
        self.weights = np.random.randn(n_in, n_out)

    def forward_propagation(self, input):
        self.input = input
        return np.dot(input, self.weights)

    def backward_propagation(self, output_error, learning_rate):
        input_error = np.dot(output_error, self.weights.T)
        self.weights -= learning_rate * np.dot(self.input.T, output_error)
        return input_error

for epoch in tqdm(range(3)):
    plt.plot(data)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_scripts_are_not_run_and_pictures_not_needed(script):
    reports = check_file(script)
    assert [report.title for report in reports] == ["Dense", "Updates"]
    assert all(report.verdict == "right" for report in reports)


def test_one_of_a_file(script):
    (report,) = check_file(f"{script}::Updates")
    assert report.title == "Updates"
    assert "backward updates the parameters itself" in report.notes[0]


ABSTRACT = """
class Layer:
    def forward(self, x):
        pass

    def backward(self, dout):
        \'\'\'What each layer has to do.\'\'\'
        raise NotImplementedError

class Double(Layer):
    def forward(self, x):
        return x * 2

    def backward(self, dout):
        return dout * 2
"""


def test_a_base_that_only_says_what_there_is_to_do_is_passed_over(tmp_path):
    (tmp_path / "net.py").write_text(ABSTRACT)
    assert [report.title for report in check_file(tmp_path / "net.py")] == ["Double"]


def test_an_optimizer_inside_backward_leaves_the_gradient_to_be_checked(tmp_path):
    right = """
import numpy as np

class Adaptive:
    def __init__(self, n_in, n_out):
        self.w = np.random.randn(n_in, n_out)

    def forward(self, x):
        self.x = x
        return x @ self.w

    def backward(self, dout):
        dw = self.x.T @ dout
        self.w -= 0.1 * dw / (np.sqrt(dw**2) + 1e-3)
        return dout @ self.w.T if False else None
"""
    path = tmp_path / "net.py"
    path.write_text(right)
    (report,) = check_file(path)
    assert report.is_right
    assert "layer.w is updated by more than its gradient" in report.notes[0]
    path.write_text(right.replace("dw = self.x.T @ dout", "dw = self.x.T @ dout**2"))
    assert not check_file(path)[0].is_right


def test_a_notebook(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# not code"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import numpy as np\n"]},
        {"cell_type": "code", "source": "def relu_forward(x):\n    return np.maximum(x, 0)"},
        {"cell_type": "code", "source": "def relu_backward(dout, x):\n    return dout * (x < 0)"},
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    (report,) = check_file(path)
    assert not report.is_right
    assert report.line.source == "return dout * (x < 0)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "no backward pass was found"),
        ("def f(:\n", "net.py:1"),
        ("import there_is_no_such_module\n", "there_is_no_such_module"),
        (
            "def a_forward(x):\n    raise KeyError(x)\ndef a_backward(d):\n    return d\n",
            "KeyError",
        ),
        (
            "import numpy as np\ndef a_forward(x):\n    return x * 2\n"
            "def a_backward(dout, strange):\n    return dout\n",
            "a_backward needs strange",
        ),
    ],
)
def test_what_cannot_be_checked_says_why(text, said, tmp_path):
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(CannotRunError, match=said):
        check_file(tmp_path / "net.py")


MISSING = """
import numpy as np
import sklearn
import sklearn.datasets
from there_is_no_such_module import Base, square
from there_is_no_such_module.data import *

class Squares:
    def forward(self, x):
        self.x = x
        return square(x)

    def backward(self, dout):
        return 2 * dout * self.x

class Doubles:
    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        return 2 * dout

class Derived(Base):
    def backward(self, dout):
        return dout
"""


NETWORK_OF_LABELS = """
import numpy as np

class Network:
    def __init__(self, n_in, n_hidden, n_out):
        self.W1 = np.random.randn(n_in, n_hidden)
        self.W2 = np.random.randn(n_hidden, n_out)

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.W1)
        self.out = self.h @ self.W2
        return self.out

    def loss(self, y):
        return 0.5 * np.mean(np.sum((self.out - y) ** 2, axis=1))

    def gradients(self, y):
        dout = (self.out - y) / len(y)
        dz = dout @ self.W2.T * (1 - self.h**2)
        return {"W1": self.x.T @ dz, "W2": self.h.T @ dout}
"""


def test_a_loss_of_labels_alone_is_that_of_the_last_forward(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK_OF_LABELS)
    (report,) = check_file(tmp_path / "net.py")
    assert report.verdict == "right"
    assert [c.parameter for c in report.comparisons] == ["net.W1", "net.W2"]


def test_where_their_own_backward_fails_its_error_is_shown_with_its_line(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK_OF_LABELS.replace("self.W2.T", "self.W2"))
    said = r"the backward pass fails: ValueError: matmul: .*net\.py:19\)"
    with pytest.raises(CannotRunError, match=said):
        check_file(tmp_path / "net.py")


def test_a_module_that_is_missing_is_only_missed_where_it_is_needed(tmp_path, capsys):
    (tmp_path / "net.py").write_text(MISSING)
    assert main(["check", str(tmp_path / "net.py")]) == 2
    said = capsys.readouterr().out
    assert "it needs square of there_is_no_such_module" in said
    assert "Doubles: right" in said
    assert "line 23 was left out" in said


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "wrong.py"
    shutil.copy(STYLES / "layer_objects.py", path)
    path.write_text(path.read_text().replace("dx[self.x <= 0] = 0", "dx[dx <= 0] = 0"))
    return path


def test_the_exit_status(script, wrong, tmp_path, capsys):
    assert main(["check", str(script)]) == 0
    assert main(["check", str(wrong)]) == 1
    (tmp_path / "no.py").write_text(
        "def f_forward(x):\n    return 1\ndef f_backward(d):\n    pass\n"
    )
    assert main(["check", str(tmp_path / "no.py")]) == 2
    (tmp_path / "nothing.py").write_text("x = 1\n")
    assert main(["check", str(tmp_path / "nothing.py")]) == 2
    assert main(["check", str(tmp_path / "absent.py")]) == 2
    assert main(["check", str(tmp_path)]) == 1
    assert "Traceback" not in "".join(capsys.readouterr())


def test_the_report_shows_the_line(wrong, capsys):
    assert main(["check", f"{wrong}::ReLU"]) == 1
    said = capsys.readouterr().out
    assert "dx[dx <= 0] = 0" in said
    assert "the mask of where is taken of the gradient instead of the input" in said


@pytest.mark.parametrize("format", ["json", "junit", "markdown"])
def test_the_formats(format, wrong, capsys):
    assert main(["check", str(wrong), "--format", format]) == 1
    said = capsys.readouterr().out
    if format == "json":
        found = {entry["name"]: entry for entry in json.loads(said)}
        assert found["ReLU"]["verdict"] == "wrong"
        assert found["Dense"]["verdict"] == "right"
    elif format == "junit":
        suite = ET.fromstring(said.encode())
        assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    else:
        assert "### ReLU: wrong" in said
        assert "| `layer.W` | right" in said


# ---- the step ------------------------------------------------------------------------------------


class Learner:
    """A linear model with a step that can be wrong."""

    def __init__(self, update):
        self.lr, self.update = 0.1, update
        self.w, self.b = np.random.default_rng(0).random(4), np.full(1, 0.5)

    def loss(self, x, t):
        self.x, self.error = x, x @ self.w + self.b - t
        return np.sum(self.error**2) / 2

    def backward(self, x, t):
        self.dw, self.db = self.x.T @ self.error, np.sum(self.error, keepdims=True)


def right_step(net):
    net.w = net.w - net.lr * net.dw
    net.b = net.b - net.lr * net.db


def only_weights(net):
    net.w -= net.lr * net.dw


def uphill(net):
    net.w -= net.lr * net.dw
    net.b += net.lr * net.db


def unscaled_decay(net):
    net.w = net.w - net.lr * net.dw - 0.01 * net.w
    net.b -= net.lr * net.db


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (right_step, ""),
        (only_weights, "net.b is never updated by the step"),
        (uphill, "the step moves net.b uphill"),
        (unscaled_decay, "the step takes 0.01 times net.w away: the decay is not scaled"),
    ],
)
def test_a_step_that_does_not_follow_the_gradient_is_said(update, said):
    report = check_backward(
        lambda: Learner(update),
        data=(X, np.ones(3)),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
        step=lambda net: net.update(net),
    )
    assert report.is_right == (not said)
    assert said in str(report)


def test_stand_ins_are_seen_by_the_file_alone(tmp_path):
    import sys

    before = set(sys.modules)
    text = "import wandb\nimport numpy as np\nclass Tanh:\n"
    text += "    def forward(self, x):\n        self.y = np.tanh(x)\n        return self.y\n"
    text += "    def backward(self, dout):\n        return dout * (1 - self.y**2)\n"
    (tmp_path / "net.py").write_text(text)
    (report,) = check_file(tmp_path / "net.py")
    assert report.verdict == "right"
    assert "wandb" not in set(sys.modules) - before


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: check_backward(3), r"was given 3; write check_backward\(\(forward, backward\)"),
        (lambda: check_backward((np.tanh,), X), "write check_backward"),
        (lambda: check_backward(object), "no inputs to run forward with"),
        (lambda: check_backward((np.tanh, np.cos)), "no inputs to run forward with"),
        (lambda: check_backward(object, data=(X,)), "needs loss and backward too"),
    ],
)
def test_arguments_of_no_form_are_refused_with_what_to_write(call, told):
    with pytest.raises(TypeError, match=told):
        call()
