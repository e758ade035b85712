"""Optimizers: each against its printed formula; flat buffers, missing gradients, saving."""

import numpy as np
import pytest

from tinygrad_fm import Tensor, nn, optim


def heavy_ball(w, g, memory, t, lr=0.1, momentum=0.9):
    memory["v"] = momentum * memory.get("v", 0) + g
    return w - lr * memory["v"]


def plain(w, g, memory, t, lr=0.1):
    return w - lr * g


def adam(w, g, memory, t, lr=0.01, b1=0.9, b2=0.999, eps=1e-8):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g * g
    return w - lr * (memory["m"] / (1 - b1**t)) / (np.sqrt(memory["v"] / (1 - b2**t)) + eps)


CASES = {
    "SGD": [
        (lambda p: optim.SGD(p, lr=0.1), plain),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), heavy_ball),
    ],
    "Adam": [(lambda p: optim.Adam(p, lr=0.01), adam)],
}
ALL = [
    pytest.param(*case, id=f"{name}{i}") for name, cs in CASES.items() for i, case in enumerate(cs)
]


def test_every_optimizer_has_a_case():
    found = {k for k, v in vars(optim).items() if isinstance(v, type)} - {"Optimizer"}
    assert found == set(CASES)


@pytest.mark.parametrize(("make", "formula"), ALL)
@pytest.mark.parametrize("shapes", [[(3,)], [(4, 3), (3,), (1,)], [(200, 200), (7, 3)]])
def test_ten_steps_follow_the_formula(make, formula, shapes):
    rng = np.random.default_rng(0)
    parameters = [Tensor(rng.normal(size=s), requires_grad=True) for s in shapes]
    expected = [p.data.copy() for p in parameters]
    memories = [{} for _ in parameters]
    optimizer = make(parameters)
    for t in range(1, 11):
        for i, p in enumerate(parameters):
            p.grad = Tensor(rng.normal(size=p.shape))
            expected[i] = formula(expected[i], p.grad.data, memories[i], t)
        optimizer.step()
    for p, e in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(p.data, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("make", "formula"), ALL)
def test_a_parameter_without_a_gradient_is_left_alone(make, formula):
    rng = np.random.default_rng(0)
    parameters = [Tensor(np.ones(n), requires_grad=True) for n in (2, 3, 4)]
    optimizer = make(parameters)
    expected, memory, t = np.ones(3), {}, 0
    for step in range(6):
        for p in parameters:
            p.grad = Tensor(rng.normal(size=p.shape))
        if step % 2:
            parameters[1].grad = None
        else:
            t += 1
            expected = formula(expected, parameters[1].grad.data, memory, t)
        optimizer.step()
    np.testing.assert_allclose(parameters[1].data, expected, rtol=1e-12)


@pytest.mark.parametrize(("make", "formula"), ALL)
def test_the_state_continues_a_run(make, formula):
    def run(optimizer, parameter, steps):
        for g in steps:
            parameter.grad = Tensor(np.full((2, 3), g))
            optimizer.step()
        return parameter.data.copy()

    whole = Tensor(np.ones((2, 3)), requires_grad=True)
    expected = run(make([whole]), whole, [1.0, -2.0, 3.0, 0.5])
    first = Tensor(np.ones((2, 3)), requires_grad=True)
    optimizer = make([first])
    middle = run(optimizer, first, [1.0, -2.0])
    second = Tensor(middle, requires_grad=True)
    resumed = make([second])
    resumed.load_state_dict(optimizer.state_dict())
    np.testing.assert_array_equal(run(resumed, second, [3.0, 0.5]), expected)


def test_parameters_are_views_and_stay_connected():
    parameters = [Tensor(np.ones(n, np.float32), requires_grad=True) for n in (2, 3)]
    optimizer = optim.SGD(parameters, lr=1.0)
    assert parameters[0].data.base is parameters[1].data.base
    parameters[0].data = np.array([5.0, 6.0])
    parameters[0].grad = Tensor(np.ones(2, np.float32))
    optimizer.step()
    np.testing.assert_array_equal(parameters[0].data, [4.0, 5.0])


def test_two_optimizers_may_share_a_parameter():
    p = Tensor(np.ones(2), requires_grad=True)
    one, two = optim.SGD([p], lr=1.0), optim.SGD([p], lr=10.0)
    for optimizer in (one, two, one):
        p.grad = Tensor(np.ones(2))
        optimizer.step()
    np.testing.assert_array_equal(p.data, [1 - 1 - 10 - 1] * 2)


def test_a_tied_parameter_is_updated_once():
    p = Tensor(np.ones(2), requires_grad=True)
    optimizer = optim.SGD([p, p], lr=1.0)
    p.grad = Tensor(np.ones(2))
    optimizer.step()
    np.testing.assert_array_equal(p.data, [0.0, 0.0])


def test_memory_order_and_dtype_of_parameters_are_kept():
    fortran = Tensor(np.asfortranarray(np.arange(6.0).reshape(2, 3)), requires_grad=True)
    spatial = Tensor(np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1), requires_grad=True)
    single = Tensor(np.ones(2, np.float32), requires_grad=True)
    before = [p.data.copy() for p in (fortran, spatial, single)]
    strides = [p.data.strides for p in (fortran, spatial, single)]
    optimizer = optim.SGD([fortran, spatial, single], lr=1.0)
    assert [p.data.strides for p in (fortran, spatial, single)] == strides
    for p in (fortran, spatial, single):
        p.grad = Tensor(np.arange(float(p.size)).reshape(p.shape).astype(p.dtype))
    optimizer.step()
    for p, old in zip((fortran, spatial, single), before, strict=True):
        np.testing.assert_array_equal(p.data, old - np.arange(float(p.size)).reshape(p.shape))
        assert p.dtype == old.dtype


def test_a_users_array_is_never_changed():
    array = np.ones(3)
    p = nn.Parameter(array)
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = Tensor(np.ones(3))
    optimizer.step()
    np.testing.assert_array_equal(array, 1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD(p, lr=-1), ValueError, "lr is at least 0, not -1"),
        (lambda p: optim.SGD(p, lr=float("nan")), ValueError, "lr is at least 0, not nan"),
        (lambda p: optim.SGD(p, lr=1, momentum=1), ValueError, "momentum .*below 1, not 1"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.5)), ValueError, "betas"),
        (lambda p: optim.SGD([], lr=1), ValueError, "got no parameters"),
        (lambda p: optim.SGD(p[0], lr=1), TypeError, "takes a list"),
        (lambda p: optim.SGD([np.ones(2)], lr=1), TypeError, "requires_grad=True"),
        (lambda p: optim.SGD([p[0] * 2], lr=1), TypeError, "requires_grad=True"),
    ],
)
def test_wrong_settings_say_so(make, error, message):
    with pytest.raises(error, match=message):
        make([Tensor(np.ones(2), requires_grad=True)])


def test_a_state_of_another_optimizer_is_refused():
    p = Tensor(np.ones(2), requires_grad=True)
    q = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ValueError, match="the state has"):
        optim.SGD([p], lr=1).load_state_dict(optim.Adam([p]).state_dict())
    with pytest.raises(ValueError, match="has 3 elements, not 2"):
        optim.Adam([p]).load_state_dict(optim.Adam([q]).state_dict())
