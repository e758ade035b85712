"""What changed between two graphs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import Tensor, nn
from tinygrad_fm.graph import style


def draw(*layers):
    return tg.draw(nn.Sequential(*layers), np.ones((2, 4), np.float32))


def before():
    return draw(nn.Linear(4, 3, rng=0), nn.ReLU(), nn.Linear(3, 2, rng=0))


def changes(graph):
    return {
        (n.label, n.modules[-1] if n.modules else ""): n.change for n in graph.nodes if n.change
    }


def test_equal_graphs_differ_in_nothing():
    found = tg.graph_diff(before(), before())
    assert changes(found) == {}
    assert [n.label for n in found.nodes] == [n.label for n in before().nodes]
    assert found.edges == before().edges


def test_another_width_is_a_change_that_says_what_was():
    found = tg.graph_diff(before(), draw(nn.Linear(4, 5, rng=0), nn.ReLU(), nn.Linear(5, 2, rng=0)))
    assert set(changes(found).values()) == {"changed"}
    weight = next(n for n in found.nodes if n.label == "0.weight")
    assert (weight.size, weight.note) == ("4 × 5", "shape was 4 × 3")
    assert ("0.bias", "0 (Linear)") in changes(found)
    assert ("2.bias", "2 (Linear)") not in changes(found)


def test_another_activation_is_removed_and_added():
    found = tg.graph_diff(before(), draw(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=0)))
    assert changes(found) == {("relu", "1 (ReLU)"): "removed", ("tanh", "1 (Tanh)"): "added"}
    keys = {n.label: n.number for n in found.nodes}
    first = next(n.number for n in found.nodes if n.label == "linear")
    assert (first, keys["relu"]) in found.edges
    assert (first, keys["tanh"]) in found.edges


@pytest.mark.parametrize("fold", ["none", 0])
def test_totals_are_those_of_the_later_graph(fold):
    after = draw(nn.Linear(4, 6, rng=0), nn.Tanh(), nn.Linear(6, 6, rng=0), nn.ReLU())
    shorter = tg.graph_diff(after, before()).fold(fold)
    longer = tg.graph_diff(before(), after).fold(fold)
    for found, graph in ((longer, after), (shorter, before())):
        totals = (found.parameters, found.flops, found.kept)
        assert totals == (graph.parameters, graph.flops, graph.kept)


def test_a_failure_of_the_later_graph_stays_red():
    found = tg.graph_diff(before(), draw(nn.Linear(4, 3, rng=0), nn.Linear(4, 2, rng=0)))
    assert "its last axis must be 4" in found.error
    error = next(n for n in found.nodes if n.kind == "error")
    assert (error.change, style.look_of(error, found)) == ("added", "error")


def test_it_works_on_saved_graphs(tmp_path):
    path = before().save(tmp_path / "before.json")
    found = tg.graph_diff(str(path), draw(nn.Linear(4, 2, rng=0)))
    assert "removed" in changes(found).values()
    assert found.save(tmp_path / "diff.json").exists()
    assert tg.graph_diff(path, path).nodes == before().nodes


def test_pictures_say_it_in_words_too():
    found = tg.graph_diff(before(), draw(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=0)))
    assert "+ tanh" in found.to_dot()
    assert "\u2212 relu" in found.to_dot()
    assert "+ tanh" in found.to_text()
    assert "+ tanh" in found.to_mermaid()


def test_something_else_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"paths of \.json files, not 3"):
        tg.graph_diff(before(), 3)


OPS = st.lists(st.sampled_from([np.tanh, np.exp, np.sin]), max_size=12)


def graph_of(functions):
    y = Tensor([1.0], requires_grad=True, name="x") + 0
    with np.errstate(all="ignore"):
        for function in functions:
            y = function(y)
    return tg.draw(y)


@given(OPS, OPS)
def test_both_graphs_can_be_read_off_their_difference(a, b):
    first, second = graph_of(a), graph_of(b)
    found = tg.graph_diff(first, second)
    assert [n.label for n in found.nodes if n.change != "added"] == [n.label for n in first.nodes]
    assert [n.label for n in found.nodes if n.change != "removed"] == [
        n.label for n in second.nodes
    ]
    assert len(found.nodes) == len({n.number for n in found.nodes})
    known = {n.number for n in found.nodes}
    assert all(start in known and end in known for start, end in found.edges)


def test_how_much_changed_is_said_at_once():
    found = tg.graph_diff(before(), draw(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=0)))
    assert repr(found) == f"Graph({len(found.nodes)} nodes, 9 edges; 1 added, 1 removed)"
