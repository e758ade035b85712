"""Gradients that steps read, keep and replace, beside the buffers of optimizers they lie in."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import optim


def weights(seed=1):
    return tg.Tensor(np.random.default_rng(seed).standard_normal((3, 2)), requires_grad=True)


def reused(x, w, optimizer):
    """The gradients of this call and of the last one meet."""
    old, w.grad = w.grad, None
    np.sum((x @ w) ** 2).backward()
    change = np.sum((w.grad - old) ** 2)
    optimizer.step()
    return change


def returned(x, w, optimizer):
    old, w.grad = w.grad, None
    np.sum((x @ w) ** 2).backward()
    optimizer.step()
    return old


def added(x, w, optimizer):
    np.sum((x @ w) ** 2).backward()
    optimizer.step()
    return w.grad


def twice(x, w, optimizer):
    w.grad = None
    np.sum((x @ w) ** 2).backward()
    first = w.grad
    optimizer.step()
    w.grad = None
    np.sum((x @ w) ** 4).backward()
    optimizer.step()
    return first, w.grad


def twice_added(x, w, optimizer):
    w.grad = None
    np.sum((x @ w) ** 2).backward()
    first = w.grad
    optimizer.step()
    np.sum((x @ w) ** 4).backward()
    optimizer.step()
    return first * 2, w.grad


@pytest.mark.parametrize("kind", [reused, returned, added, twice, twice_added])
def test_gradients_of_two_updates_do_not_mix(kind):
    def trained(compiled):
        w = weights()
        w.grad = np.zeros(w.shape)
        optimizer = optim.Adam([w], lr=0.1)
        run = tg.compile(lambda x: kind(x, w, optimizer))
        found = []
        for x in np.random.default_rng(0).standard_normal((6, 4, 3)):
            answer = run(x) if compiled else run.step(tg.Tensor(x))
            parts = answer if isinstance(answer, tuple) else (answer,)
            found += [part.data.copy() for part in (*parts, w, w.grad)]
        return found

    for eager, program in zip(trained(False), trained(True), strict=True):
        np.testing.assert_array_equal(eager, program)


def test_a_gradient_that_comes_from_elsewhere_is_noticed():
    w, v = weights(), weights(2)
    optimizer = optim.SGD([w, v], lr=0.1)

    @tg.compile
    def step(x):
        w.grad = None
        np.sum((x @ w) ** 2).backward()
        optimizer.step()

    x = np.ones((4, 3))
    for _ in range(3):
        step(x)
    before = v.data.copy()
    v.grad = np.ones((3, 2))
    step(x)
    np.testing.assert_array_equal(v.data, before - 0.1)
