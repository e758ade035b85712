"""Gradients that steps read, keep and replace, beside the buffers of optimizers they lie in."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim


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


def test_tensors_of_the_steps_own_may_collect_gradients():
    def step(x):
        x = x.detach().requires_grad_()
        scale = tg.Tensor(np.full(3, 2.0), requires_grad=True)
        y = (x * scale).retain_grad()
        np.sum(y * y).backward()
        return x.grad, scale.grad, y.grad

    compiled = tg.compile(step)
    for x in np.random.default_rng(0).standard_normal((5, 3)):
        expected = [8 * x, 4 * x * x, 4 * x]
        np.testing.assert_allclose([g.data for g in compiled(x)], expected, rtol=1e-15)
    assert compiled.program


def test_weights_that_follow_others_in_two_steps_in_place():
    w = tg.Tensor(np.ones(3), requires_grad=True)
    slow = tg.Tensor(np.zeros(3), requires_grad=True)

    @tg.compile
    def step(x):
        y = np.sum(w * x + slow)
        with tg.no_grad():
            for tensor in (slow,):
                tensor *= 0.5
                tensor += 0.5 * w
        return y

    for i in range(5):
        step(np.ones(3))
        np.testing.assert_array_equal(slow.data, np.full(3, 1 - 0.5 ** (i + 1)))


def test_a_checkpoint_in_a_step_is_a_plain_call():
    def trained(compiled):
        model = nn.Sequential(
            nn.Linear(3, 8, rng=0, dtype=np.float64), nn.Dropout(0.5, rng=0), nn.Tanh()
        )
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = np.sum(tg.checkpoint(model, x) ** 2)
            loss.backward()
            optimizer.step()
            return loss

        run = tg.compile(step) if compiled else step
        batches = np.random.default_rng(0).standard_normal((5, 4, 3))
        return [run(tg.Tensor(x)).item() for x in batches]

    assert trained(True) == trained(False)


def test_gradients_that_are_exchanged_after_the_update_stay_exchanged():
    found = []
    for made in (tg.compile, lambda f: f):
        w, v = weights(1), weights(2)
        optimizer = optim.SGD([w, v], 0.1)

        @made
        def step(x, w=w, v=v, optimizer=optimizer):
            optimizer.zero_grad()
            np.sum((x @ w) ** 2 * (x @ v)).backward()
            optimizer.step()
            w.grad, v.grad = v.grad, w.grad

        for i in range(4):
            step(tg.Tensor(np.full((2, 3), 0.1 * (i + 1))))
        found.append((w.grad.data, v.grad.data))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_graph_from_before_a_call_is_stale_and_the_line_that_updates_is_named():
    w = weights()
    optimizer = optim.SGD([w], 0.1)

    @tg.compile
    def step(x):
        w.grad = None
        np.sum((x @ w) ** 2).backward()
        optimizer.step()  # it is this line

    x = np.ones((2, 3))
    for _ in range(4):
        step(x)
    before = np.sum(tg.Tensor(x) @ w**2)
    step(x)
    with pytest.raises(tg.GraphError, match=r"test_gradients\.py:\d+: .*it is this line"):
        before.backward()
