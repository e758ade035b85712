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


def velocity(w, g, memory, t, lr=0.1, momentum=0.9):
    memory["v"] = momentum * memory.get("v", 0) - lr * g
    return w + memory["v"]


def averaged(w, g, memory, t, lr=0.1, momentum=0.9):
    memory["v"] = momentum * memory.get("v", 0) + (1 - momentum) * g
    return w - lr * memory["v"]


def nesterov(w, g, memory, t, lr=0.1, momentum=0.9):
    memory["v"] = momentum * memory.get("v", 0) + g
    return w - lr * (g + momentum * memory["v"])


def adamw(w, g, memory, t):
    return adam(w * (1 - 0.01 * 0.1), g, memory, t)


def rmsprop(w, g, memory, t, lr=0.01, alpha=0.99, eps=1e-8):
    memory["c"] = alpha * memory.get("c", 0) + (1 - alpha) * g * g
    return w - lr * g / (np.sqrt(memory["c"]) + eps)


def adagrad(w, g, memory, t, lr=0.01, eps=1e-10):
    memory["c"] = memory.get("c", 0) + g * g
    return w - lr * g / (np.sqrt(memory["c"]) + eps)


# (ours, the formula, the same in PyTorch)
CASES = {
    "SGD": [
        (lambda p: optim.SGD(p, lr=0.1), plain, lambda t, p: t.optim.SGD(p, 0.1)),
        (
            lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
            heavy_ball,
            lambda t, p: t.optim.SGD(p, 0.1, 0.9),
        ),
        (lambda p: optim.SGD(p, 0.1, 0.9, form="velocity"), velocity, None),
        (lambda p: optim.SGD(p, 0.1, 0.9, form="averaged"), averaged, None),
        (
            lambda p: optim.SGD(p, 0.1, 0.9, nesterov=True),
            nesterov,
            lambda t, p: t.optim.SGD(p, 0.1, 0.9, nesterov=True),
        ),
    ],
    "Adam": [(lambda p: optim.Adam(p, lr=0.01), adam, lambda t, p: t.optim.Adam(p, 0.01))],
    "AdamW": [
        (
            lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
            adamw,
            lambda t, p: t.optim.AdamW(p, 0.01, weight_decay=0.1),
        )
    ],
    "RMSprop": [(lambda p: optim.RMSprop(p), rmsprop, lambda t, p: t.optim.RMSprop(p, 0.01))],
    "Adagrad": [(lambda p: optim.Adagrad(p), adagrad, lambda t, p: t.optim.Adagrad(p, 0.01))],
}
ALL = [
    pytest.param(*case[:2], id=f"{name}{i}")
    for name, cs in CASES.items()
    for i, case in enumerate(cs)
]
PEERS = [
    pytest.param(case[0], case[2], id=f"{name}{i}")
    for name, cs in CASES.items()
    for i, case in enumerate(cs)
    if case[2] is not None
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


@pytest.mark.parametrize(("make", "peer"), PEERS)
def test_ten_steps_follow_pytorch(make, peer):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 3)).astype(np.float32)
    p, q = Tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    ours, theirs = make([p]), peer(torch, [q])
    for _ in range(10):
        g = rng.normal(size=(4, 3)).astype(np.float32)
        p.grad, q.grad = Tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-5, atol=1e-6)


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
        (lambda p: optim.Adam(p, betas=0.9), TypeError, "betas are two numbers, not 0.9; write"),
        (lambda p: optim.Adam(p, betas=(0.9,)), TypeError, "betas are two numbers, not .0.9,."),
        (lambda p: optim.Adam(p, betas=(0.9, 1.5)), ValueError, "betas"),
        (lambda p: optim.SGD([], lr=1), ValueError, "got no parameters"),
        (lambda p: optim.SGD(p[0], lr=1), TypeError, "takes a list"),
        (lambda p: optim.SGD([np.ones(2)], lr=1), TypeError, "requires_grad=True"),
        (lambda p: optim.SGD([p[0] * 2], lr=1), TypeError, "requires_grad=True"),
        (lambda p: optim.SGD(p, 1, 0.9, form="ball"), ValueError, "form is one of"),
        (lambda p: optim.SGD(p, 1, nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda p: optim.Adam(p, weight_decay=0.1), TypeError, "weight_decay"),
        (lambda p: optim.AdamW(p, weight_decay=-1), ValueError, "weight_decay is at least 0"),
        (lambda p: optim.RMSprop(p, alpha=1), ValueError, "alpha .*below 1"),
        (lambda p: optim.Adagrad(p, eps=-1), ValueError, "eps"),
        (
            lambda p: optim.SGD([{"parameters": p, "momentun": 1}], lr=1),
            ValueError,
            "no setting 'momentun'.*did you mean 'momentum'",
        ),
        (lambda p: optim.SGD([{"params": p}], lr=1), TypeError, "a group is"),
        (lambda p: optim.clip_by_norm(p, 0), ValueError, "limit is above 0"),
        (lambda p: optim.clip_by_value(p, -1), ValueError, "limit is above 0"),
        (lambda p: optim.schedule.step(1, 0), ValueError, "every is at least 1"),
        (lambda p: optim.schedule.cosine(1, 0), ValueError, "steps is above 0"),
        (lambda p: optim.schedule.one_cycle(1, 10, 2), ValueError, "rise"),
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
    with pytest.raises(ValueError, match=r"has shape \(3,\), not \(2,\)"):
        optim.Adam([p]).load_state_dict(optim.Adam([q]).state_dict())
    wide, tall = (Tensor(np.ones(shape), requires_grad=True) for shape in ((2, 3), (3, 2)))
    with pytest.raises(ValueError, match=r"has shape \(3, 2\), not \(2, 3\)"):
        optim.Adam([wide]).load_state_dict(optim.Adam([tall]).state_dict())


def test_groups_have_settings_of_their_own():
    a, b = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"parameters": [a]}, {"parameters": [b, a], "lr": 10.0}], lr=1.0)
    for _ in range(2):
        a.grad, b.grad = Tensor(np.ones(2)), Tensor(np.ones(2))
        optimizer.step()
        optimizer.lr = 0.5
    np.testing.assert_array_equal(a.data, [1 - 1 - 0.5] * 2)
    np.testing.assert_array_equal(b.data, [1 - 10 - 0.5] * 2)
    assert "1 more groups" in repr(optimizer)


def test_clipping_by_value_and_norm():
    a, b = (Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    a.grad, b.grad = Tensor([3.0, 0.0]), Tensor([0.0, 4.0])
    assert optim.clip_by_norm([a, b], 10) == 5
    assert optim.clip_by_norm([a, b], 1) == 5
    np.testing.assert_allclose([a.grad.data, b.grad.data], [[0.6, 0], [0, 0.8]])
    optim.clip_by_value([a, b], 0.7)
    np.testing.assert_allclose([a.grad.data, b.grad.data], [[0.6, 0], [0, 0.7]])
    a.grad = Tensor([np.inf, 1.0])
    assert optim.clip_by_norm([a, b], 1) == np.inf
    np.testing.assert_array_equal(a.grad, [np.inf, 1.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e25])
def test_the_norm_is_right_for_small_and_large_gradients(dtype, size):
    rng = np.random.default_rng(0)
    largest = float(np.finfo(dtype).max) / 10
    parameters = [Tensor(np.zeros(s, dtype), requires_grad=True) for s in [(100, 90), (3,), ()]]
    for p in parameters:
        p.grad = Tensor((rng.normal(size=p.shape) * min(size, largest)).astype(dtype).T.copy().T)
    wanted = np.sqrt(sum(np.sum(p.grad.data.astype(np.longdouble) ** 2) for p in parameters))
    assert optim.clip_by_norm(parameters, 1e300) == pytest.approx(float(wanted), rel=1e-6, abs=0)


def test_every_schedule_has_a_case():
    made = {
        n
        for n, f in vars(optim.schedule).items()
        if getattr(f, "__module__", "").endswith("schedule")
    }
    public = {name for name in made if not name.startswith("_")}
    assert public == {"constant", "step", "exponential", "cosine", "warmup", "one_cycle"}


def test_schedules():
    s = optim.schedule
    assert s.constant(0.1)(99) == 0.1
    assert [s.step(1, 2, 0.5)(i) for i in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    assert s.exponential(1, 0.9)(2) == pytest.approx(0.81)
    assert [s.cosine(1, 4, 0.2)(i) for i in (0, 2, 4, 9)] == pytest.approx([1, 0.6, 0.2, 0.2])
    ramp = s.warmup(4, s.exponential(1, 0.5))
    assert [ramp(i) for i in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5])


def test_one_cycle_is_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    peer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(peer, max_lr=0.5, total_steps=20)
    ours = optim.schedule.one_cycle(0.5, 20)
    for i in range(20):
        assert ours(i) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6), i
        peer.step()
        if i < 19:
            theirs.step()


def test_a_copied_optimizer_updates_the_copied_model():
    import copy
    import pickle

    model = nn.Linear(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    for how in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        other, theirs = how((model, optimizer))
        before, mine = other.weight.data.copy(), model.weight.data.copy()
        other(np.ones((1, 2), np.float32)).sum().backward()
        theirs.step()
        np.testing.assert_array_equal(other.weight.data, before - 1)
        np.testing.assert_array_equal(model.weight.data, mine)


def test_state_of_half_precision_is_not_forgotten():
    p = Tensor(np.ones(2, np.float16), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.0, momentum=0.5)
    for _ in range(128):
        p.grad = Tensor(np.ones(2, np.float16))
        optimizer.step()
    assert optimizer.state_dict()["0"]["velocity"][0] == 2


def test_settings_of_groups_are_not_hidden_by_attributes():
    optimizer = optim.SGD([Tensor(np.ones(2), requires_grad=True)], lr=1.0)
    with pytest.raises(AttributeError, match=r"groups\[0\]\.momentum"):
        optimizer.momentum = 0.9


def test_momentum_may_be_switched_on_and_off_during_training():
    w = Tensor(np.zeros(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    for momentum, expected in ((0.0, -1), (0.5, -2), (0.5, -3.5), (0.0, -4.5), (0.5, -5.5)):
        optimizer.groups[0].momentum = momentum
        w.grad = Tensor(np.ones(2))
        optimizer.step()
        np.testing.assert_array_equal(w.data, expected)
        assert ("velocity" in optimizer.state_dict()["0"]) == (momentum > 0)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.0)])
@pytest.mark.parametrize("stepped", [True, False])
def test_the_state_of_a_run_whose_momentum_was_changed_continues_it(before, after, stepped):
    def run(optimizer, w, steps):
        for _ in range(steps):
            w.grad = Tensor(np.ones(2))
            optimizer.step()
        return w.data.copy()

    w = Tensor(np.zeros(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0, momentum=before)
    run(optimizer, w, 2)
    optimizer.groups[0].momentum = after
    middle = Tensor(run(optimizer, w, 2 * stepped), requires_grad=True)
    resumed = optim.SGD([middle], lr=1.0, momentum=before)
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.groups[0].momentum == after
    np.testing.assert_array_equal(run(resumed, middle, 3), run(optimizer, w, 3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"momentum": 5}, ValueError, "momentum .*below 1, not 5"),
        ({"lr": None}, TypeError, "lr is a number, not None"),
        ({"momentum": 0.0}, ValueError, r"parameter 0 has \['step', 'velocity'\], not \['step'\]"),
    ],
)
def test_a_state_whose_settings_do_not_fit_is_refused_and_changes_nothing(change, error, message):
    def made():
        return optim.SGD([Tensor(np.zeros(2), requires_grad=True)], lr=1.0, momentum=0.5)

    given, optimizer = made().state_dict(), made()
    before = repr(optimizer.state_dict())
    given["groups"][0] |= change
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(given)
    assert repr(optimizer.state_dict()) == before


@pytest.mark.parametrize("value", [optim.schedule.step(0.5, 2, 0.1), "0.1", None, np.ones(2)])
def test_a_learning_rate_that_is_no_number_is_refused(value):
    w = Tensor(np.zeros(2), requires_grad=True)
    hint = r".*optimizer\.lr = schedule\(step\).*train\.ScheduleLR" if callable(value) else ""
    with pytest.raises(TypeError, match=f"SGD: lr is a number, not {hint}"):
        optim.SGD([w], lr=value)
    optimizer = optim.SGD([w], lr=np.array(0.5, np.float32))
    with pytest.raises(TypeError, match=f"SGD: lr is a number, not {hint}"):
        optimizer.lr = value
    assert optimizer.lr == 0.5
    if not callable(value):
        with pytest.raises(TypeError, match="SGD: momentum is a number, not"):
            optim.SGD([w], 0.1, momentum=value)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("lr", -1, ValueError, "lr is at least 0, not -1"),
        ("momentum", 5, ValueError, "momentum .*below 1, not 5"),
        ("momentun", 0.9, AttributeError, "no setting 'momentun'.*did you mean 'momentum'"),
    ],
)
def test_a_wrong_setting_of_a_group_is_refused_before_the_update(name, value, error, message):
    w = Tensor(np.zeros(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    setattr(optimizer.groups[0], name, value)
    w.grad = Tensor(np.ones(2))
    with pytest.raises(error, match=message):
        optimizer.step()
    np.testing.assert_array_equal(w.data, 0)


@pytest.mark.parametrize("clip", [optim.clip_by_norm, optim.clip_by_value])
def test_clipping_takes_a_list_and_a_parameter_once(clip):
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    (p,) = model.parameters()
    for wrong, message in ((p, r"write \[parameter\]"), (model, r"write model\.parameters\(\)")):
        with pytest.raises(TypeError, match=f"{clip.__name__} takes a list.*{message}"):
            clip(wrong, 1.0)
    p.grad = Tensor(np.full((1, 1), 10.0))
    clip([p, p], 1.0)
    np.testing.assert_allclose(p.grad.data, 1)


@pytest.mark.parametrize(("steps", "rise"), [(1, 0.3), (2, 0.3), (3, 0.3), (10, 0), (10, 0.05)])
def test_one_cycle_without_room_to_rise_goes_from_the_peak_to_the_end(steps, rise):
    rates = [optim.schedule.one_cycle(1.0, steps, rise, end=0.1)(i) for i in range(steps)]
    assert rates[0] == 1
    assert rates[-1] == pytest.approx(0.1 if steps > 1 else 1)
