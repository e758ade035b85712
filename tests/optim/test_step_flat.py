"""A step from gradients that lie in the flat buffers already equals the ordinary step."""

import numpy as np
import pytest

from tinygrad_fm import Tensor, engine, optim

SHAPES = [(300, 200), (7,), (3, 4, 5), (1,)]


def parameters():
    rng = np.random.default_rng(0)
    found = [Tensor(rng.normal(size=s).astype(np.float32), requires_grad=True) for s in SHAPES]
    return [*found, Tensor(rng.normal(size=(6, 5)).T, requires_grad=True)]


def write_gradients(optimizer, gradients):
    by_parameter = dict(zip(map(id, optimizer.parameters), gradients, strict=True))
    for flat in optimizer._flats:
        for p, view in zip(flat.parameters, flat.gradient_views, strict=True):
            if by_parameter[id(p)] is not None:
                view[...] = by_parameter[id(p)]


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, 0.1, 0.9), lambda p: optim.AdamW(p)], ids=["SGD", "AdamW"]
)
def test_it_does_what_step_does(make):
    rng = np.random.default_rng(1)
    expected, found = parameters(), parameters()
    one, other = make(expected), make(found)
    for step in range(130):
        gradients = [rng.normal(size=p.shape).astype(p.dtype) for p in expected]
        if step % 3 == 1:
            gradients[1] = gradients[4] = None
        if step == 5:
            found[0].data = expected[0].data.copy()  # no longer the view
        one.lr = other.lr = 0.1 / (step + 1)
        for p, g in zip(expected, gradients, strict=True):
            p.grad = None if g is None else Tensor(g)
        one.step()
        write_gradients(other, gradients)
        other.step_flat(missing=[id(p) for p, g in zip(found, gradients, strict=True) if g is None])
    for p, q in zip(expected, found, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        assert q.grad is None
    ours, theirs = one.state_dict(), other.state_dict()
    for name in ours.keys() - {"groups"}:
        for key, value in ours[name].items():
            np.testing.assert_array_equal(value, theirs[name][key])


def test_wrong_settings_are_refused_before_the_update():
    w = Tensor(np.zeros(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    optimizer.groups[0].momentum = 5
    with pytest.raises(ValueError, match=r"momentum .*below 1, not 5"):
        optimizer.step_flat()
    np.testing.assert_array_equal(w.data, 0)


def test_a_graph_made_before_it_is_stale():
    w = Tensor(np.ones(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    loss = (w * w).sum()
    optimizer.step_flat()
    with pytest.raises(engine.GraphError, match=r"test_step_flat\.py"):
        loss.backward()


def test_a_parameter_left_out_is_not_marked_as_changed():
    w, b = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([w, b], lr=1.0)
    loss = (w * w).sum()
    optimizer.step_flat(missing=[id(w)])
    loss.backward()
    np.testing.assert_array_equal(w.grad.data, 2)
