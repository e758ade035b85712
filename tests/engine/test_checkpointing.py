"""Gradient checkpointing: the same derivatives, to the bit, without what lies between."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import GraphError, Tensor, debug, nn, testing
from tinygrad_fm.graph.facts import kept_bytes


def plain_call(function, *args, **keywords):
    return function(*args, **keywords)


@pytest.fixture
def x():
    return Tensor(np.random.default_rng(0).normal(size=(6, 4)), requires_grad=True)


@pytest.fixture
def w():
    return Tensor(np.random.default_rng(1).normal(size=(4, 4)), requires_grad=True)


def block(x, w):
    return np.tanh(x @ w) * np.exp(-x * x) + x


def gradients(call, function, *tensors):
    for tensor in tensors:
        tensor.grad = None
    y = call(function, *tensors)
    (y * y).sum().backward()
    return [y.data, *(tensor.grad.data for tensor in tensors)]


def assert_same_bits(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def ancestors(tensor):
    return [n for n in tg.engine.topological([tensor.node]) if n.primitive is not None]


# ---- the same derivatives ----------------------------------------------------------------------


def test_results_and_gradients_have_the_same_bits(x, w):
    assert_same_bits(gradients(tg.checkpoint, block, x, w), gradients(plain_call, block, x, w))


def test_derivatives_of_second_order_are_right(x, w):
    testing.check_grads(lambda x, w: np.sum(tg.checkpoint(block, x, w)), x.data, w.data)


def test_transforms_go_through(x, w):
    def loss(call, v):
        return np.sum(call(block, v, w.data) ** 2)

    along = np.ones_like(x.data)
    np.testing.assert_array_equal(
        tg.hvp(lambda v: loss(tg.checkpoint, v), x.data, along),
        tg.hvp(lambda v: loss(plain_call, v), x.data, along),
    )


def test_tensors_that_the_function_refers_to_receive_gradients(x, w):
    doubled = 2 * w  # a result, not a leaf
    tg.checkpoint(lambda v: np.tanh(v @ w) + v @ doubled, x).sum().backward()
    found = w.grad.data
    w.grad = None
    (np.tanh(x @ w) + x @ (2 * w)).sum().backward()
    np.testing.assert_allclose(found, w.grad.data)


def test_the_parameters_of_a_module_receive_gradients_though_x_requires_none():
    layer = nn.Linear(3, 2)
    tg.checkpoint(layer, np.ones((5, 3), np.float32)).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, np.full((3, 2), 5.0))


def test_several_results_in_containers(x, w):
    def both(given, *, scale):
        a = np.tanh(given["x"] @ given["w"])
        return {"a": a, "rest": (a * scale, np.sin(a))}

    found = tg.checkpoint(both, {"x": x, "w": w}, scale=3.0)
    (found["a"] + found["rest"][0]).sum().backward()  # sin is not used
    expected = tg.grad(lambda v: np.sum(4 * np.tanh(v @ w.data)))(x.data)
    np.testing.assert_allclose(x.grad.data, expected)


def test_operations_with_several_results(x):
    def halves(v):
        left, right = np.split(np.exp(v), 2)
        return left * right

    assert_same_bits(gradients(tg.checkpoint, halves, x), gradients(plain_call, halves, x))


def test_each_of_several_results_has_a_backward_pass_of_its_own(x):
    a, b = tg.checkpoint(lambda v: (np.exp(v), np.sin(v)), x)
    a.sum().backward()
    b.sum().backward()
    np.testing.assert_allclose(x.grad.data, np.exp(x.data) + np.cos(x.data))


def test_a_kept_graph_has_a_second_pass(x, w):
    y = tg.checkpoint(block, x, w).sum()
    y.backward(retain_graph=True)
    first = x.grad.data.copy()
    y.backward()
    np.testing.assert_array_equal(x.grad.data, 2 * first)
    with pytest.raises(GraphError, match="freed by an earlier backward pass"):
        y.backward()


def test_checkpoints_in_checkpoints(x, w):
    def inner(x):
        return block(x, w)

    def outer(x):
        return tg.checkpoint(inner, np.sin(tg.checkpoint(inner, x)))

    def nested(x):
        return tg.checkpoint(lambda x: outer(outer(x)), x)

    def flat(x):
        for _ in range(2):
            x = inner(np.sin(inner(x)))
        return x

    assert_same_bits(gradients(plain_call, nested, x), gradients(plain_call, flat, x))


def test_checkpoints_in_checkpoints_have_second_derivatives():
    def nested(x):
        return tg.checkpoint(lambda x: tg.checkpoint(np.tanh, x) * tg.checkpoint(np.sin, x * x), x)

    testing.check_grads(lambda x: np.sum(nested(x)), np.array([0.3, -0.7]))


def test_an_argument_changed_in_place_by_the_function_is_changed_once(x):
    def scaled(v):
        v *= 2.0
        return np.sin(v)

    moved = x * 1.0
    values = 2 * x.data
    tg.checkpoint(scaled, moved).sum().backward()
    np.testing.assert_array_equal(moved.data, values)
    np.testing.assert_allclose(x.grad.data, 2 * np.cos(values))


def test_an_array_filled_inside(x):
    def running(v):
        z = tg.zeros(len(v))
        for i in range(len(v)):
            z[i] = np.sin(v[i, 0]) + (z[i - 1] if i else 0.0)
        return z

    assert_same_bits(gradients(tg.checkpoint, running, x), gradients(plain_call, running, x))


# ---- randomness and state ----------------------------------------------------------------------


def network(rng=None):
    nn.init.seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5, rng=rng), nn.Tanh(), nn.Linear(8, 3)
    )


def trained(call, model, x):
    found = gradients(lambda f, *ts: call(f, ts[0]), model, x, *model.parameters())
    return [*found, *(buffer.data for _, buffer in model.named_buffers())]


@pytest.mark.parametrize("make", [lambda: None, lambda: 7, lambda: np.random.RandomState(7)])
def test_dropout_and_running_statistics_are_those_of_one_run(make, x):
    x = Tensor(x.data.astype(np.float32), requires_grad=True)
    expected = trained(plain_call, network(make()), x)
    assert_same_bits(trained(tg.checkpoint, network(make()), x), expected)


def test_generators_go_on_as_if_nothing_had_been_run_twice(x):
    rng = np.random.default_rng(3)
    tg.checkpoint(lambda v: v * rng.random(v.shape), x).sum().backward()
    expected = np.random.default_rng(3)
    np.testing.assert_array_equal(x.grad.data, expected.random(x.shape))
    assert rng.random() == expected.random()


def test_numpys_generator_of_old(x):
    np.random.seed(3)  # noqa: NPY002
    y = tg.checkpoint(lambda v: v * np.random.random_sample(v.shape), x)  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data, y.data / x.data)


def test_a_switch_to_evaluation_in_between_changes_nothing(x):
    layer = nn.Dropout(0.5, rng=0)
    y = tg.checkpoint(layer, x)
    layer.eval()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.where(y.data != 0, 2.0, 0.0))
    assert not layer.training


def test_a_functional_call_is_run_again_with_its_own_values(x):
    model = nn.Sequential(nn.Checkpoint(nn.Linear(4, 3, dtype=np.float64)), nn.Tanh())
    values = {name: np.full_like(v, 0.1) for name, v in model.state_dict().items()}

    def loss(values):
        return np.sum(nn.functional_call(model, values, x.data) ** 2)

    testing.check_grads(lambda *v: loss(dict(zip(values, v, strict=True))), *values.values())


def test_layers_that_refuse_two_uses_in_one_pass_take_the_second_run(x):
    class Model(nn.Module):
        def __init__(self):
            self.norm = nn.BatchNorm1d(4, dtype=np.float64)

        def forward(self, x):
            return tg.checkpoint(self.norm, x)

    model = Model()
    (model(x) ** 2).sum().backward()
    expected = nn.BatchNorm1d(4, dtype=np.float64)
    expected(x)
    np.testing.assert_array_equal(model.norm.running_mean, expected.running_mean)


# ---- memory ------------------------------------------------------------------------------------


def test_the_graph_keeps_the_arguments_alone(x, w):
    y = tg.checkpoint(block, 2 * x, w)
    nodes = ancestors(y)
    assert sum(kept_bytes(nodes).values()) == x.nbytes  # of 2 * x
    assert sum(kept_bytes(ancestors(block(2 * x, w))).values()) > 3 * x.nbytes


def test_a_chain_of_blocks_needs_the_memory_of_a_few():
    x = Tensor(np.ones(100_000), requires_grad=True)

    def several(x):
        for _ in range(10):
            x = np.sin(x) * np.cos(x)
        return x

    def peak(call):
        gc.collect()
        tracemalloc.start()
        y = x
        for _ in range(10):
            y = call(several, y)
        y.sum().backward()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(tg.checkpoint) < 0.25 * peak(plain_call)


def test_a_graph_that_nobody_refers_to_dies_at_once(x, w):
    gc.disable()
    try:
        y = tg.checkpoint(block, x, w)
        node = weakref.ref(y.node)
        del y
        assert node() is None
        y = tg.checkpoint(block, x, w)
        node = weakref.ref(y.node)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_where_nothing_is_recorded_it_is_a_plain_call(x, w):
    calls = []

    def counted(x):
        calls.append(x)
        return block(x, w)

    with tg.no_grad():
        y = tg.checkpoint(counted, x)
    assert calls == [x]
    assert calls[0] is x
    assert y.node is None


# ---- refusals ----------------------------------------------------------------------------------


def test_an_argument_changed_in_place_since_is_refused(x, w):
    x = Tensor(x.data)  # which needs no gradient
    y = tg.checkpoint(lambda x, w: np.tanh(x @ w), x, w)
    x.data = np.zeros(x.shape)  # the line that changed it
    with pytest.raises(GraphError, match=r"changed in place since, at .*the line that changed it"):
        y.sum().backward()


def test_a_parameter_changed_in_place_since_is_refused(x):
    layer = nn.Linear(4, 3, dtype=np.float64)
    y = tg.checkpoint(lambda v: np.exp(layer(v)), x)
    layer.weight.data = np.zeros((4, 3))
    with pytest.raises(GraphError, match=r"cannot run <lambda> again: .* changed in place"):
        y.sum().backward()


def test_a_tensor_of_the_surroundings_bound_anew_is_refused(x, w):
    scale = w * 2.0
    y = tg.checkpoint(lambda v: np.exp(v @ scale), x)
    scale *= 2.0
    with pytest.raises(GraphError, match="other numbers"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda v: v + v, r"multiply \(6, 4\).* became add \(6, 4\)"),
        (lambda v: v * 3.0, "other numbers"),
        (lambda v: v[:2] * 2.0, "1 operations became 2"),
        (lambda v: v.data * 2.0, "1 operations became 0"),
    ],
)
def test_a_function_that_does_something_else_the_second_time_is_refused(x, second, message):
    functions = [lambda v: v * 2.0, second]
    y = tg.checkpoint(lambda v: functions.pop(0)(v), x)
    with pytest.raises(GraphError, match=message):
        y.sum().backward()


def test_other_random_numbers_the_second_time_are_refused(x):
    y = tg.checkpoint(lambda v: v * np.random.default_rng().random(v.shape), x)
    with pytest.raises(GraphError, match=r"other numbers.*takes random numbers from generators"):
        y.sum().backward()


def signs(rng, x):
    return x * rng.choice([-1.0, 1.0], x.shape)


def order(rng, x):
    return x[rng.permutation(len(x))]


def nowhere_finite(rng, x):
    return signs(rng, x) + np.where(np.arange(x.size).reshape(x.shape) == 1, np.nan, 0.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6,), (5, 8192), (3, 4, 5)])
@pytest.mark.parametrize("change", [signs, order, nowhere_finite])
def test_other_signs_or_another_order_are_other_numbers(change, shape, dtype):
    """A generator that checkpoint does not find: a function that the function calls has it."""
    rng = np.random.default_rng(0)

    def helper(x):
        return change(rng, x).astype(dtype)

    x = Tensor(np.random.default_rng(1).normal(size=shape).astype(dtype), requires_grad=True)
    y = tg.checkpoint(lambda v: helper(v * v), x)
    with pytest.raises(GraphError, match="other numbers"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_another_last_digit_is_no_other_number(dtype):
    """Matrix libraries do not promise it."""
    factors = [1.0, 1.0 + 4 * np.finfo(dtype).eps]
    x = Tensor(np.random.default_rng(1).normal(size=(300, 400)).astype(dtype), requires_grad=True)
    y = tg.checkpoint(lambda v: np.exp(v) * dtype(factors.pop(0)), x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data, y.data, rtol=1e-5)


def test_the_strict_mode_sees_a_write_to_an_argument():
    data = np.ones(3)
    w = Tensor(np.ones(3), requires_grad=True)
    with debug.strict():
        y = tg.checkpoint(lambda a: np.sin(w * a), data)
        with pytest.raises(ValueError, match="read-only"):
            data[0] = 2.0
        y.sum().backward()
    np.testing.assert_array_equal(w.grad.data, np.cos(1.0) * np.ones(3))


# ---- in a drawing ------------------------------------------------------------------------------


def test_a_drawing_shows_the_module_as_a_cluster(x):
    model = nn.Sequential(nn.Checkpoint(nn.Linear(4, 3, dtype=np.float64)), nn.Tanh())
    text = tg.draw(model(x)).to_dot(fold="none")
    assert "0 (Checkpoint)" in text
    assert "module (Linear)" in text


def test_a_result_in_place_of_a_function_is_refused(x):
    with pytest.raises(TypeError, match=r"write tg\.checkpoint\(block, x\)"):
        tg.checkpoint(np.tanh(x))
