"""`tinygrad-fm graph`: what it draws, and what it says of what it cannot draw."""

import json

import pytest

from tinygrad_fm.graph import find_renderer

needs_renderer = pytest.mark.skipif(
    find_renderer() is None, reason="needs Graphviz or the extra `render`"
)
MINE = """
import numpy as np, tinygrad_fm as tg
from tinygrad_fm import nn

def product(x, w):
    return np.tanh(x) @ w

def square():
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    return (x * x).sum()

class Net(nn.Module):
    def __init__(self):
        self.first = nn.Linear(4, 3, rng=0)
        self.second = nn.Linear(3, 2, rng=0)

    def forward(self, images):
        return self.second(self.first(images))

class Wide(nn.Module):
    def __init__(self, width):
        self.layer = nn.Linear(width, 2, rng=0)

model = Net()
"""


@pytest.fixture
def mine(bare_machine):
    (bare_machine / "mine.py").write_text(MINE)
    return bare_machine


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_model_by_name(command, bare_machine, model):
    done = command("graph", model, "-o", "-")
    assert done.code == 0
    assert "0.weight" in done.out
    assert "<- result" in done.out


@needs_renderer
def test_a_page_is_what_it_writes_unless_told(command, bare_machine, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert command("graph", "mlp", "--values", "--open").code == 0
    assert (bare_machine / "graph.html").read_text().startswith("<!doctype html>")
    assert opened == [(bare_machine / "graph.html").as_uri()]


def test_a_saved_graph_becomes_another_format_and_a_difference(command, bare_machine):
    assert command("graph", "mlp", "-o", "mlp.json", "--backward", "yes").code == 0
    assert "gradients" in command("graph", "mlp.json", "-o", "-").out
    done = command("graph", "cnn", "--diff", "mlp.json", "-o", "-")
    assert done.code == 0
    assert "+ conv2d" in done.out
    assert "\u2212 " in done.out
    assert json.loads((bare_machine / "mlp.json").read_text())["title"] == "784-128-64-10"


def test_something_of_the_users(command, mine):
    assert "from 0 0" in command("graph", "mine.py:square", "-o", "-").out
    assert (
        "3 \u00d7 2" in command("graph", "mine.py:product", "-o", "-", "--inputs", "3x4", "4x2").out
    )
    for name in ("Net", "model"):
        done = command("graph", f"mine.py:{name}", "-o", "-", "--inputs", "5x4")
        assert "second (Linear)" in done.out
    assert command("graph", "mine:square", "-o", "g.mmd").code == 0
    assert (mine / "g.mmd").read_text().startswith("flowchart")


def test_a_failing_model_is_drawn_and_said(command, mine):
    done = command("graph", "mine.py:model", "-o", "g.dot", "--inputs", "5x7")
    assert done.code == 1
    assert "its last axis must be 4" in done.err
    assert "its last axis must be 4" in (mine / "g.dot").read_text()


def test_a_run(command, bare_machine):
    assert (
        command("train", "--data", "fashion-mnist-mini", "--epochs", "1", "--out", "run").code == 0
    )
    done = command("graph", "run", "-o", "-", "--values", "--fold", "0")
    assert done.code == 0
    assert "Sequential" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mpl"], "'mpl' is no network (mlp, cnn); did you mean 'mlp'?"),
        (["mine.py:producd", "-o", "-"], "mine.py has no producd; did you mean 'product'?"),
        (["mine.py:product"], "takes x, w; give shapes: --inputs 32x784"),
        (["mine.py:model"], "is a model; give the shape of its input: --inputs 32x784"),
        (["mine.py:product", "--inputs", "3,4"], "takes shapes such as 32x784, not '3,4'"),
        (["nowhere.py:f"], "cannot import nowhere.py"),
        (["mlp", "-o", "g.gif"], "not as 'g.gif'"),
        (["mlp", "--fold", "some"], "--fold is auto, none or a depth from 0, not 'some'"),
        (["other.json"], "other.json"),
        (["mlp", "--diff", "other.json"], "other.json"),
        (["mine.py:MINE"], "mine.py has no MINE"),
        (["mlp", "--inputs", "3"], "--inputs is for code of your own, file.py:name"),
        (["mine.py:Wide", "--inputs", "3x4"], "missing 1 required positional argument: 'width'"),
    ],
)
def test_what_cannot_be_drawn_says_so(command, mine, words, said):
    done = command("graph", *words)
    assert done.code in (1, 2)
    assert said in done.err


def test_without_a_renderer_the_ways_out_are_named(command, bare_machine, no_pictures):
    done = command("graph", "mlp")
    assert done.code == 1
    assert "tinygrad_fm[render]" in done.err
    assert list(bare_machine.iterdir()) == []
