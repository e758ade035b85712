"""What a compiled step holds on to, and what copies of it hold."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn


def test_the_graphs_of_the_traced_calls_are_let_go():
    w, graphs = tg.Tensor(np.ones(3), requires_grad=True), []

    def step(x):
        y = np.exp(w * x)
        graphs.append(weakref.ref(y.node))
        return {"y": y}

    compiled = tg.compile(step)
    for _ in range(3):
        compiled(np.ones(3))
    gc.collect()
    assert [graph() for graph in graphs] == [None, None]


class Model(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 1, rng=0, dtype=np.float64)
        self.fast = tg.compile(self.slow)

    def slow(self, x):
        return self.layer(x)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copied_model_has_programs_of_its_own(copied):
    model, x = Model(), np.ones((1, 2))
    for _ in range(3):
        before = model.fast(x).data
    other = copied(model)
    other.layer.weight.data = np.zeros((2, 1))
    for _ in range(3):
        np.testing.assert_array_equal(other.fast(x).data, [[0.0]])
        np.testing.assert_array_equal(model.fast(x).data, before)


def test_a_decorated_method_is_refused_with_what_to_write():
    class Decorated:
        @tg.compile
        def step(self, x):
            return x

    with pytest.raises(TypeError, match=r"write self\.step = tg\.compile\(self\.step\)"):
        Decorated().step(np.ones(1))


def test_a_step_that_adds_to_older_gradients_is_not_exported(tmp_path):
    w = tg.Tensor(np.ones(3), requires_grad=True)
    step = tg.compile(lambda x: np.sum(w * x).backward())
    for _ in range(4):
        step(np.ones(3))
    with pytest.raises(ValueError, match="adds to gradients from before the call"):
        step.export(tmp_path / "step.py")
