"""State of an optimizer that decays to nothing becomes zero, not subnormal, which would be slow."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, optim


@pytest.mark.parametrize("made", [tg.compile, lambda f: f], ids=["compiled", "eager"])
@pytest.mark.parametrize(
    "make", [lambda p: optim.Adam([p]), lambda p: optim.SGD([p], 0.1, momentum=0.9)]
)
def test_the_state_of_a_weight_without_gradient_becomes_zero(make, made):
    p = Tensor(np.ones(4, np.float32), requires_grad=True)
    optimizer = make(p)

    @made
    def update(gradient):
        p.grad = gradient * 1
        optimizer.step()

    smallest = np.finfo(np.float32).tiny
    for step in range(1200):
        update(tg.Tensor(np.array([1, 1, 0 if step else 1, 0], np.float32)))
        for array in optimizer._flats[0].state.values():
            sizes = np.abs(array)
            assert not np.any((sizes > 0) & (sizes < smallest))
    (first, *_) = optimizer._flats[0].state.values()
    assert first[2] == first[3] == 0
    assert first[0] > 1
