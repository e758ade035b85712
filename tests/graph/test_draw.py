"""Drawn graphs: the same text for the same program, safe labels, pictures where possible."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn
from tinygrad_fm.graph import RenderError, find_renderer, render

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


PROGRAMS = {"expression": expression, "mlp_loss": lambda: mlp_loss()}


def dot_of(name):
    made = PROGRAMS[name]()
    return tg.draw(made[0] if isinstance(made, tuple) else made).to_dot()


@pytest.mark.parametrize("name", PROGRAMS)
def test_dot_is_the_golden_text(name):
    assert dot_of(name) == (GOLDEN / f"{name}.dot").read_text(encoding="utf-8")


def test_dot_does_not_depend_on_the_hash_seed():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_draw as t; "
        "print(t.dot_of('mlp_loss'))"
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
    assert Path(product.line.rpartition(":")[0]) == Path(__file__)
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
    assert time.perf_counter() - start < 5  # a walk along every path would take hours
    assert len(graph.nodes) == 17


def test_a_long_chain_does_not_recurse():
    y = Tensor([1.0], requires_grad=True)
    for _ in range(5000):
        y = y + 1.0
    assert tg.draw(y).to_dot().count("->") == 5000


def test_the_backward_graph_is_a_graph_too():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    np.sum(np.tanh(x)).backward(create_graph=True)
    assert "multiply" in {n.label for n in tg.draw(x.grad).nodes}


def test_a_malicious_name_is_inert():
    name = '<b>"x" \\N </b>\n"]; evil [label=<<i>>'
    dot = tg.draw(Tensor([1.0], requires_grad=True, name=name) * 2).to_dot()
    labels = [line for line in dot.splitlines() if "evil" in line]
    assert len(labels) == 1
    assert 'label="<b>\\"x\\" \\\\N </b>\\n\\"]; evil' in labels[0]


def test_json_and_dot_files_need_no_renderer(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda kind="svg": None)
    graph = tg.draw(expression())
    saved = json.loads(graph.save(tmp_path / "g.json").read_text())
    assert len(saved["nodes"]) == len(graph.nodes)
    assert graph.save(tmp_path / "g.dot").read_text() == graph.to_dot()
    assert graph._repr_svg_() is None


def test_without_a_renderer_the_ways_out_are_named_and_no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda kind="svg": None)
    with pytest.raises(RenderError, match=r"(?s)tinygrad_fm\[render\].*\.dot.*install Graphviz"):
        tg.draw(expression()).save(tmp_path / "g.svg")
    assert list(tmp_path.iterdir()) == []


@needs_renderer
def test_pictures(tmp_path):
    graph = tg.draw(expression(), direction="LR")
    assert b"<svg" in graph.save(tmp_path / "g.svg").read_bytes()
    assert graph.save(tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in graph._repr_svg_()


def test_what_cannot_be_drawn_or_saved_says_so(tmp_path):
    with pytest.raises(ValueError, match="recorded Tensor"):
        tg.draw(Tensor([1.0]))
    with pytest.raises(ValueError, match="direction"):
        tg.draw(expression(), direction="up")
    with pytest.raises(ValueError, match=r"not as 'g\.gif'"):
        tg.draw(expression()).save(tmp_path / "g.gif")


def test_leaky_relu_shows_its_slope():
    x = Tensor([1.0], requires_grad=True)
    assert tg.draw(functional.leaky_relu(x, 0.1)).nodes[-1].label == "leaky_relu 0.1"


if __name__ == "__main__":  # python tests/graph/test_draw.py writes the golden files anew
    GOLDEN.mkdir(exist_ok=True)
    for name in PROGRAMS:
        (GOLDEN / f"{name}.dot").write_text(dot_of(name), encoding="utf-8")
