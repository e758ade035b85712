"""Drawn graphs: the same text for the same program, safe labels, pictures where possible."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn
from tinygrad_fm.graph import find_renderer

GOLDEN = Path(__file__).parent / "golden"
needs_renderer = pytest.mark.skipif(
    find_renderer() is None, reason="needs Graphviz or the extra `render`"
)


def expression():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    w = Tensor([3.0, 4.0], requires_grad=True, name="w")
    return np.sum(np.where(x > 1.5, x * w, 0.5 * np.tanh(x)))


def mlp_loss():
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.ReLU(), nn.Linear(3, 2, rng=1))
    x, labels = np.ones((5, 4), np.float32), np.array([0, 1, 0, 1, 1])
    # the model must outlive the drawing, for its parameters' names
    return nn.CrossEntropyLoss()(model(x), labels), model


def cnn_loss():
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, rng=rng),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3, rng=rng),
    )
    criterion = nn.CrossEntropyLoss()
    images, labels = np.ones((5, 1, 4, 4), np.float32), np.array([0, 1, 2, 1, 1])
    return tg.draw(lambda images, labels: criterion(model(images), labels), (images, labels))


def second_derivative():
    x = Tensor([0.5, 2.0], requires_grad=True, name="x")
    np.sum(np.tanh(x)).backward(create_graph=True)
    gradient, x.grad = x.grad, None
    np.sum(gradient * gradient).backward(create_graph=True)
    return tg.draw(x.grad)


PROGRAMS = {
    "expression": lambda: tg.draw(expression()),
    "mlp_loss": lambda: tg.draw(mlp_loss()[0]),
    "cnn_loss": cnn_loss,
    "second_derivative": second_derivative,
}


def dot_of(name):
    return PROGRAMS[name]().to_dot()


@pytest.mark.parametrize("name", PROGRAMS)
def test_dot_is_the_golden_text(name):
    assert dot_of(name) == (GOLDEN / f"{name}.dot").read_text(encoding="utf-8")


def test_dot_does_not_depend_on_the_hash_seed():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_draw as t; "
        "[print(t.dot_of(name)) for name in t.PROGRAMS]"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent)],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_a_freed_graph_draws_the_same():
    loss, model = mlp_loss()
    before = tg.draw(loss).to_dot()
    loss.backward()
    assert tg.draw(loss).to_dot() == before
    del model


def test_nodes_know_their_facts():
    loss, _model = mlp_loss()
    graph = tg.draw(loss)
    product = next(n for n in graph.nodes if n.label == "linear")
    assert product.shape == (5, 3)
    assert product.modules == ("Sequential", "0 (Linear)")
    assert Path(product.line.rpartition(":")[0]).absolute() == Path(__file__)
    assert [n.label for n in graph.nodes if n.kind == "parameter"] == [
        "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip
    assert all(start < end for start, end in graph.edges)


def test_each_node_is_drawn_once():
    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(16):
        y = y * y
    start = time.perf_counter()
    graph = tg.draw(y)
    assert time.perf_counter() - start < 5  # a walk along every path would take minutes
    assert len(graph.nodes) == 17


def test_a_long_chain_does_not_recurse():
    y = Tensor([1.0], requires_grad=True)
    for _ in range(5000):
        y = y + 1.0
    assert tg.draw(y).to_dot("none").count("->") == 5000


def test_the_backward_graph_is_a_graph_too():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    np.sum(np.tanh(x)).backward(create_graph=True)
    assert "multiply" in {n.label for n in tg.draw(x.grad).nodes}


@needs_renderer
def test_pictures(tmp_path):
    graph = tg.draw(expression(), direction="LR")
    assert b"<svg" in graph.save(tmp_path / "g.svg").read_bytes()
    assert graph.save(tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in graph._repr_svg_()


def test_what_cannot_be_drawn_or_saved_says_so(tmp_path):
    with pytest.raises(ValueError, match="recorded Tensor"):
        tg.draw(Tensor([1.0]))
    with pytest.raises(TypeError, match="a module or a function, not 3"):
        tg.draw(3)
    with pytest.raises(TypeError, match="computed already"):
        tg.draw(expression(), np.ones(3))
    with pytest.raises(ValueError, match="backward"):
        tg.draw(expression(), backward="yes")
    with pytest.raises(ValueError, match="direction"):
        tg.draw(expression(), direction="up")
    with pytest.raises(ValueError, match=r"not as 'g\.gif'"):
        tg.draw(expression()).save(tmp_path / "g.gif")


def test_a_function_without_a_recorded_result_says_so():
    with pytest.raises(ValueError, match="<lambda> returned no Tensor"):
        tg.draw(lambda x: 3, np.ones(2))
    with pytest.raises(ValueError, match="returned a Tensor that was not recorded"):
        tg.draw(lambda x: np.tanh(x).detach(), np.ones(2))


def test_labels_tell_operations_apart_that_differ_in_their_plain_arguments():
    x = Tensor(np.ones((3, 4)), requires_grad=True)
    changed = x * 1.0
    changed[0, 1:] = 7.0
    condition = np.ones((3, 4), bool)
    labels = {
        "divide 2": x / 2,
        "divide 2, ·": 2 / x,
        "subtract 2": x - 2,
        "subtract 2, ·": 2 - x,
        "multiply 2": 2 * x,
        "power 3, ·": 3.0**x,
        "where 0": np.where(condition, x, 0.0),
        "where ·, 0, ·": np.where(condition, 0.0, x),
        "getitem [1]": x[1],
        "getitem [:, 1]": x[:, 1],
        "getitem [1:3, ::2]": x[1:3, ::2],
        "getitem [..., None]": x[..., None],
        "getitem [·]": x[condition],
        "setitem 7 [0, 1:]": changed,
    }
    assert [tg.draw(y).nodes[-1].label for y in labels.values()] == list(labels)


def test_leaky_relu_shows_its_slope():
    x = Tensor([1.0], requires_grad=True)
    assert tg.draw(functional.leaky_relu(x, 0.1)).nodes[-1].label == "leaky_relu 0.1"


if __name__ == "__main__":  # python tests/graph/test_draw.py writes the golden files anew
    GOLDEN.mkdir(exist_ok=True)
    for name in PROGRAMS:
        (GOLDEN / f"{name}.dot").write_text(dot_of(name), encoding="utf-8")
