"""What a node costs, against hand counts, and against the memory that a graph really holds."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn
from tinygrad_fm.graph.build import ancestors
from tinygrad_fm.graph.facts import flops, kept_bytes


def flops_of(result):
    return flops(result.node)


def test_counts_by_hand():
    x = Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    w = Tensor(np.ones((4, 5), np.float32), requires_grad=True)
    assert flops_of(x @ w) == 2 * 3 * 4 * 5
    assert flops_of(functional.linear(x, w, np.zeros(5, np.float32))) == 2 * 3 * 4 * 5 + 3 * 5
    assert flops_of(np.tanh(x)) == 12
    assert flops_of(x.sum()) == 12
    assert flops_of(x.T) == 0
    assert flops_of(np.einsum("ij,jk->ik", x, w)) == 2 * 3 * 4 * 5
    assert flops_of(np.dot(x, w)) == 2 * 3 * 4 * 5


def test_a_convolution_counts_its_multiplications_and_additions():
    x = np.ones((2, 3, 8, 8), np.float32)
    layer = nn.Conv2d(3, 4, 3, padding=1, rng=0)
    products = 2 * (2 * 4 * 8 * 8) * (3 * 3 * 3)
    found = tg.draw(layer, x).flops
    assert products <= found <= products + 2 * 4 * 8 * 8


def test_an_operation_of_the_users_own_is_not_counted():
    twice = tg.primitive(lambda x: 2 * x, lambda g, _y, _x: 2 * g, name="twice")
    graph = tg.draw(twice(Tensor([1.0], requires_grad=True)))
    assert graph.nodes[-1].flops is None


def held(nodes):
    """Bytes of all arrays that the graph keeps beyond parameters and inputs, each buffer once."""
    leaves = {id(base(n.owner()._array)) for n in nodes if n.primitive is None and n.owner}
    buffers = {}
    for node in nodes:
        for array in [*(node.args or ()), node.y]:
            if isinstance(array, np.ndarray):
                found = base(array)
                if id(found) not in leaves:
                    buffers[id(found)] = found.nbytes
    return sum(buffers.values())


def base(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_kept_bytes_are_those_of_the_arrays_that_the_graph_holds():
    x = Tensor(np.ones((6, 7), np.float32), requires_grad=True)
    w = Tensor(np.ones((7, 5), np.float32), requires_grad=True)
    h = np.tanh(x @ w) * np.exp(x.sum(axis=1, keepdims=True))
    loss = (h.reshape(5, 6).T - h).mean() + np.log(np.max(h))
    nodes = ancestors([loss.node])
    assert sum(kept_bytes(nodes).values()) == held(nodes) > 0
    before = kept_bytes(nodes)
    loss.backward()
    assert kept_bytes(nodes) == before  # also when it is freed
    assert held(nodes) == 0


def test_kept_bytes_of_a_network():
    model = nn.Sequential(nn.Linear(9, 8, rng=0), nn.ReLU(), nn.Linear(8, 4, rng=1), nn.Tanh())
    loss = nn.MSELoss()(model(np.ones((16, 9), np.float32)), np.zeros((16, 4), np.float32))
    nodes = ancestors([loss.node])
    constant = 16 * 9 * 4  # the images, which are the user's
    assert sum(kept_bytes(nodes).values()) == held(nodes) - constant


@pytest.mark.parametrize("method", ["im2col", "dft", "tiles"])
def test_a_convolution_keeps_its_images_and_nothing_else(method):
    x = Tensor(np.ones((2, 3, 8, 8), np.float32), requires_grad=True)
    layer = nn.Conv2d(3, 4, 3, padding=1, rng=0, method=method)
    nodes = ancestors([layer(x * 2).node])
    assert sum(kept_bytes(nodes).values()) == 2 * 8 * 8 * 3 * 4
    assert sum(kept_bytes(nodes).values()) == held(nodes)


def test_adding_keeps_nothing():
    x = Tensor(np.ones(1000), requires_grad=True)
    y = x
    for _ in range(20):
        y = y + x
    assert tg.draw(y).kept == 0
