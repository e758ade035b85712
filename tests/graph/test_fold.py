"""Folding: modules, repeats and sections as one node each, with nothing lost from the sums."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn
from tinygrad_fm.graph.layouts import NODES, STATES, Levels
from tinygrad_fm.graph.repeats import WIDE, grouped


class Block(nn.Module):
    def __init__(self, width, seed):
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width, rng=seed)

    def forward(self, x):
        return x + functional.gelu(self.linear(self.norm(x)))


def deep(blocks=12, width=4):
    model = nn.Sequential(
        nn.Linear(6, width, rng=0), *[Block(width, i) for i in range(blocks)], nn.ReLU()
    )
    return tg.draw(model, np.ones((2, 6), np.float32))


def chain(length):
    y = Tensor([0.5], requires_grad=True)
    for _ in range(length // 2):
        y = np.tanh(y) * 0.5
    return tg.draw(y)


def labels(graph):
    return [node.label for node in graph.nodes]


def test_repeated_blocks_are_one_node():
    folded = deep().fold()
    assert "Block × 12" in labels(folded)
    assert len(folded.nodes) == 6
    block = next(node for node in folded.nodes if node.label == "Block × 12")
    assert block.parameters == 12 * (2 * 4 + 4 * 4 + 4)


def test_blocks_that_differ_are_no_repeat():
    model = nn.Sequential(*[nn.Linear(n, n + 1, rng=0) for n in range(3, 20)])
    _graph, repeats = grouped(tg.draw(model, np.ones((2, 3), np.float32)))
    assert repeats == set()


def test_alternating_layers_are_a_repeat():
    layers = [nn.Linear(4, 4, rng=0), nn.ReLU()]
    for i in range(9):
        layers += [nn.Linear(4, 4, rng=i), nn.ReLU()]
    folded = tg.draw(nn.Sequential(*layers), np.ones((2, 4), np.float32)).fold()
    assert any(label.endswith((" × 9", " × 10")) for label in labels(folded))


def test_small_graphs_are_shown_as_they_are():
    graph = deep(2)
    assert graph.fold() is graph


def test_a_depth_shows_modules_down_to_it():
    graph = deep(3)
    assert labels(graph.fold(0)) == ["x", "Sequential"]
    assert labels(graph.fold(1)) == [
        "x", "0 (Linear)", "1 (Block)", "2 (Block)", "3 (Block)", "4 (ReLU)",
    ]  # fmt: skip
    assert graph.fold(9).nodes == graph.nodes
    assert graph.fold("none") is graph


def test_modules_fold_by_title():
    assert labels(deep(2).fold(["1 (Block)"])).count("1 (Block)") == 1
    with pytest.raises(ValueError, match=r"'9 \(Block\)' is no module of this graph; it has 0 "):
        deep(2).fold(["9 (Block)"])
    with pytest.raises(ValueError, match="not 'all'"):
        deep(2).fold("all")


@pytest.mark.parametrize("fold", ["auto", 0, 1, 2, 3])
def test_folding_loses_nothing_from_the_sums(fold):
    graph = deep()
    folded = graph.fold(fold)
    assert folded.parameters == graph.parameters
    assert folded.flops == graph.flops
    assert folded.kept == graph.kept
    assert sum(node.count for node in folded.nodes) == len(graph.nodes)


def test_edges_of_a_folded_graph_lead_where_those_of_its_nodes_lead():
    folded = deep(3).fold(1)
    by_label = {node.label: node.number for node in folded.nodes}
    path = ["x", "0 (Linear)", "1 (Block)", "2 (Block)", "3 (Block)", "4 (ReLU)"]
    numbers = [by_label[label] for label in path]
    assert folded.edges == list(itertools.pairwise(numbers))


def test_a_long_chain_becomes_a_repeat():
    folded = chain(1200).fold()
    assert len(folded.nodes) <= 4
    assert any("tanh" in label and "× " in label for label in labels(folded))


def random_graph(size, seed):
    rng = np.random.default_rng(seed)
    pool = [Tensor([1.0], requires_grad=True)]
    for _ in range(size):
        a, b = rng.integers(max(0, len(pool) - 9), len(pool), 2)
        pool.append((np.add, np.minimum, np.maximum)[rng.integers(3)](pool[a], pool[b]))
    return tg.draw(pool)


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_every_node_is_in_some_level_and_no_level_is_wide(size, seed):
    graph = random_graph(size, seed)
    levels = Levels(graph)
    assert [node.number for node in levels.graph.nodes] == [node.number for node in graph.nodes]
    assert all(len(children) <= WIDE for children in levels.children.values())
    assert levels.shown(levels.first()) <= max(100, WIDE)


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_how_many_nodes_a_folding_shows_is_known_before_it_is_made(size, seed):
    levels = Levels(random_graph(size, seed))
    for depth in range(3):
        folded = levels.graph.fold(depth)
        # fold(d) shows what is at depth d, at_depth(d) what opening d levels shows
        assert levels.shown(levels.at_depth(depth)) == len(folded.nodes)


def test_a_page_offers_foldings_by_depth_and_by_module():
    levels = Levels(deep(3))
    offered = levels.offered()
    assert offered[0] == levels.first()
    assert set(levels.depths()) <= set(offered)
    assert len(offered) <= STATES
    assert all(levels.shown(opened) <= NODES for opened in offered)
    one = levels.at_depth(1)
    assert one | {("Sequential", "Block × 3")} in offered


def test_ten_thousand_nodes_fold_quickly():
    graph = chain(10_000)
    start = time.perf_counter()
    assert len(graph.fold().nodes) < 100
    assert time.perf_counter() - start < 10  # a walk over all pairs would take minutes


def test_a_loop_over_time_steps_folds():
    cell = nn.Linear(8, 4, rng=0)

    def recurrent(xs):
        h = np.zeros((2, 4), np.float32)
        for x in xs:
            h = np.tanh(cell(np.concatenate([x, h], axis=1)))
        return h

    graph = tg.draw(recurrent, np.ones((20, 2, 4), np.float32)).fold()
    assert any(node.label.endswith("× 19") for node in graph.nodes)
    assert len(graph.nodes) < 12


def test_modules_three_hundred_deep_fold_soon():
    class Wrap(nn.Module):
        def __init__(self, inner):
            self.inner = inner

        def forward(self, x):
            return np.tanh(self.inner(x)) * 0.5 + 0.1

    model = nn.Linear(2, 2, rng=0)
    for _ in range(300):
        model = Wrap(model)
    start = time.perf_counter()
    graph = tg.draw(model, np.ones((2, 2), np.float32))
    assert len(graph.nodes) == 3 * 300 + 4
    assert len(graph.fold().nodes) <= 100
    graph.to_dot("none")
    assert time.perf_counter() - start < 5  # in cubic time it would be 15
