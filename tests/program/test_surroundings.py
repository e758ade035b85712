"""Tensors from outside of a step, read at each call whoever made or moved them."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim
from tinygrad_fm.program import TraceError


@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("change_at", [1, 2, 4])
def test_a_tensor_without_gradient_may_change(shape, change_at):
    scale = tg.Tensor(np.ones(shape))
    step = tg.compile(lambda x: x * scale + np.exp(scale * 2))
    for i in range(6):
        if i == change_at:
            scale.data = np.full(shape, 5.0)
        expected = np.ones(3) * scale.data + np.exp(scale.data * 2)
        np.testing.assert_array_equal(step(np.ones(3)).data, expected)
    assert step.program


def test_a_tensor_that_is_written_into_a_result_may_change():
    value = tg.Tensor(2.0)

    @tg.compile
    def step(x):
        y = x * 1
        y[0] = value
        return y

    for i in range(6):
        value.data = np.asarray(float(i // 3))
        np.testing.assert_array_equal(step(np.ones(2)).data, [float(i // 3), 1.0])


def test_a_parameter_that_an_optimizer_moves_later_is_read_where_it_is_then():
    w = tg.Tensor(np.ones(3), requires_grad=True)
    step = tg.compile(lambda x: x * w)
    with tg.no_grad():
        for _ in range(4):
            step(np.ones(3))
        optimizer = optim.SGD([w], lr=1.0)
        w.grad = np.ones(3)
        optimizer.step()
        np.testing.assert_array_equal(step(np.ones(3)).data, np.zeros(3))


def test_a_tensor_made_in_the_step_is_a_constant():
    step = tg.compile(lambda x: x * (tg.Tensor([1.0, 2.0]) * 2))
    for _ in range(2):
        step(np.ones(2))
    assert len(step.program.instructions) == 1


def test_a_branch_on_a_tensor_from_outside_is_refused():
    threshold = tg.Tensor(1.0)
    step = tg.compile(lambda x: x if threshold.item() > 0 else -x)
    step(np.ones(3))
    with pytest.raises(TraceError, match=r"t\.item\(\)"):
        step(np.ones(3))


def by_optimizer(optimizer, lr):
    optimizer.lr = lr


def by_group(optimizer, lr):
    optimizer.groups[0].lr = lr


@pytest.mark.parametrize("change", [by_optimizer, by_group])
def test_a_step_that_sets_the_learning_rate_is_refused(change):
    w = tg.Tensor(np.ones(3), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)

    @tg.compile
    def step(x, lr):
        change(optimizer, lr)
        np.sum(w * x).backward()
        optimizer.step()

    with pytest.raises(TraceError, match=r"sets lr of an optimizer, at .*set it before the call"):
        step(np.ones(3), 0.5)


def test_a_restarted_default_generator_is_drawn_from():
    layer = nn.Dropout(0.5)
    step = tg.compile(lambda x: layer(x))
    for _ in range(3):
        step(np.ones(100))
    nn.init.seed(1)
    found = step(np.ones(100)).data
    nn.init.seed(1)
    np.testing.assert_array_equal(layer(np.ones(100)).data, found)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_step_that_updates_twice_follows_a_parameter_that_its_optimizer_moves(frozen):
    found = []
    for made in (tg.compile, lambda f: f):
        w = tg.Tensor(np.ones(3), requires_grad=True)
        v = tg.Tensor(np.full(3, 2.0), requires_grad=True)
        optimizer = optim.SGD([w, v], lr=0.1)
        optim.SGD([w], lr=0.1)  # it lies in the buffer of this one
        w.requires_grad_(not frozen)

        @made
        def step(x, w=w, v=v, optimizer=optimizer):
            for _ in range(2):
                optimizer.zero_grad()
                np.sum((w * v - x) ** 2).backward()
                optimizer.step()
            return w * v

        found.append([step(np.full(3, float(i))).data for i in range(5)])
    np.testing.assert_array_equal(*found)
