"""Where parameters, gradients and state lie in memory: each from the start of a cache line."""

import pickle

import numpy as np
import pytest

from tinygrad_fm import Tensor, nn, optim
from tinygrad_fm.optim.flat import LINE

SHAPES = [(3, 5), (1,), (17,), (), (2, 2, 2)]


def address(array):
    return array.__array_interface__["data"][0]


def parameters(dtype):
    draw = np.random.default_rng(0)
    found = [Tensor(np.asarray(draw.random(s), dtype), requires_grad=True) for s in SHAPES]
    for p in found:
        p.grad = np.asarray(draw.random(p.shape) + 1, dtype)
    return found


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_each_parameter_its_gradient_and_its_state_begin_on_a_cache_line(dtype):
    found = parameters(dtype)
    optimizer = optim.Adam(found)
    optimizer.step()
    (flat,) = optimizer._flats
    assert [address(p.data) % LINE for p in found] == [0] * len(found)
    for array in (flat.values, flat.gradient, *flat.state.values()):
        assert [address(view) % LINE for view in flat.views_of(array)] == [0] * len(found)
    places = {address(a) % 4096 for a in (flat.values, flat.gradient, *flat.state.values())}
    assert len(places) > 1  # what is written to one is not taken for what is read from another


@pytest.mark.parametrize("without", [None, 0, 2, 4])
def test_what_lies_between_parameters_disturbs_nobody(without):
    together, one_by_one = parameters(np.float64), parameters(np.float64)
    if without is not None:
        together[without].grad = one_by_one[without].grad = None
    alone = (optim.Adam([p], eps=0) for p in one_by_one if p.grad is not None)
    optimizers = [optim.Adam(together, eps=0), *alone]
    with np.errstate(all="raise"):  # 0 / 0, of what is not even there
        for _ in range(3):
            for optimizer in optimizers:
                optimizer.step()
    for a, b in zip(together, one_by_one, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_pickled_optimizer_of_kernels_goes_on_as_the_original():
    layer = nn.Conv2d(3, 4, 2, rng=0)
    optimizer = optim.Adam(layer.parameters())
    x = np.random.default_rng(1).standard_normal((2, 3, 5, 5))
    pairs = [(layer, optimizer)]
    for _ in range(3):
        for model, adam in pairs:
            adam.zero_grad()
            np.sum(np.square(model(x))).backward()
            adam.step()
        if len(pairs) == 1:
            pairs.append(pickle.loads(pickle.dumps((layer, optimizer))))
    for p, q in zip(layer.parameters(), pairs[1][0].parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-6)
    for found, expected in zip(*(pair[1].state_dict().items() for pair in pairs), strict=True):
        if found[0] != "groups":
            for name, array in found[1].items():
                np.testing.assert_allclose(array, expected[1][name], rtol=1e-5, atol=1e-7)
