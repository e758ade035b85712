"""What could go silently wrong in a program: effects, aliases, branches, and state from outside."""

import threading

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import functional, nn, optim
from tinygrad_fm.program import TraceError


def called(step, *batches):
    """A compiled step's results over the batches; from the third on they come from a program."""
    compiled = tg.compile(step)
    found = [compiled(*batch) for batch in batches]
    assert compiled.program
    return found


def arrays(n=5, shape=(3, 4)):
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(shape),) for _ in range(n)]


def same_as_eager(step, batches):
    plain = [step(*[tg.Tensor(a) for a in batch]) for batch in batches]
    for a, b in zip(plain, called(step, *batches), strict=True):
        np.testing.assert_array_equal(np.asarray(a.data), np.asarray(b.data))


# ---- looking at numbers


def test_a_branch_on_a_value_is_refused_with_its_line():
    @tg.compile
    def step(x):
        if np.sum(x) > 0:  # the branch
            return x
        return -x

    with pytest.raises(TraceError, match=r"test_traps.py:\d+: if np.sum\(x\) > 0:  # the branch"):
        step(np.ones(3))


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.item(),
        lambda x: float(x),
        lambda x: x.data,
        lambda x: np.asarray(x),
        lambda x: x.tolist(),
        lambda x: range(x.astype(int)),
        lambda x: 1.0 in x,
        lambda x: tg.Tensor(x, requires_grad=True),
        lambda x: tg.Tensor(x, copy=True),
        lambda x: tg.Tensor(x, dtype=np.float32),
    ],
)
def test_taking_numbers_out_is_refused(look):
    with pytest.raises(TraceError, match="compiled step"):
        tg.compile(lambda x: look(np.sum(x * x)) and x)(np.ones(1))


@pytest.mark.parametrize(
    "made", [lambda x: tg.Tensor(x), lambda x: tg.Tensor(x, dtype=float), lambda x: x.detach()]
)
def test_an_argument_may_be_made_a_tensor_of_its_own(made):
    @tg.compile
    def step(x):
        x = made(x).requires_grad_()
        (x * x).sum().backward()
        return x.grad

    for value in (1.0, 1.0, 1.0, 2.0):
        np.testing.assert_array_equal(step(np.full(3, value)).data, np.full(3, 2 * value))


def test_shapes_and_dtypes_may_decide():
    step = tg.compile(lambda x: x * 2 if x.shape[0] == 3 else x + 1)
    for _ in range(3):
        np.testing.assert_array_equal(step(np.ones(3)).data, np.full(3, 2.0))
        np.testing.assert_array_equal(step(np.ones(4)).data, np.full(4, 2.0))


# ---- effects, in their order


def test_what_is_read_before_and_after_an_assignment():
    total = tg.Tensor(np.zeros((3, 4)))

    def step(x):
        before = total * 1.0
        total[...] = total + x
        between = total * 1.0
        total[0] = 7.0
        return np.stack([before, between, total * 1.0])

    compiled = tg.compile(step)
    found = [compiled(x).data for (x,) in arrays()]
    expected, state = [], np.zeros((3, 4))
    for (x,) in arrays():
        rows = [state.copy(), state + x]
        state = rows[1].copy()
        state[0] = 7.0
        expected.append(np.stack([*rows, state]))
    np.testing.assert_array_equal(found, expected)


def test_in_place_operators_and_assignments_to_parts():
    def step(x):
        y = x * 2
        view = y[1:]
        y += 1
        y[0] = 5.0
        z = np.exp(y)
        y *= z
        return np.sum(y) + np.sum(view) + np.sum(z[:, 0])

    same_as_eager(step, arrays())


def test_in_place_without_recording_seen_through_a_view():
    def step(x):
        with tg.no_grad():
            y = x * 2
            view = y.T
            before = np.sum(view)
            y += 1
            y[0, 0] = 100.0
            return before + np.sum(view) * 2 + np.sum(y) * 3

    same_as_eager(step, arrays())


def test_a_detached_alias_sees_the_change():
    def step(x):
        with tg.no_grad():
            y = x * 2
            other = y.detach()
            y += 1
            return np.sum(other)

    same_as_eager(step, arrays())


def test_the_arguments_are_not_changed():
    given = np.ones(3)

    @tg.compile
    def step(x):
        x = x * 1.0
        x += 5
        return x

    for _ in range(4):
        step(given)
    np.testing.assert_array_equal(given, np.ones(3))


def test_an_argument_that_is_written_to_is_changed_as_in_the_step_itself():
    def step(x):
        x[0] = 9.0
        return x * 1.0

    given = [np.ones(3) for _ in range(4)]
    compiled = tg.compile(step)
    for array in given:
        compiled(array)
    plain = np.ones(3)
    step(tg.Tensor(plain))
    np.testing.assert_array_equal(given, [plain] * 4)


def test_random_draws_happen_once_a_call_and_in_order():
    def drawn(compiled):
        rng = np.random.default_rng(1)

        def step(x):
            return functional.dropout(x, 0.5, rng) + functional.dropout(x, 0.5, rng)

        run = tg.compile(step) if compiled else step
        return [run(tg.Tensor(np.ones(50))).data for _ in range(5)]

    np.testing.assert_array_equal(drawn(True), drawn(False))


def test_random_numbers_of_ones_own_are_refused():
    rng = np.random.default_rng(0)
    step = tg.compile(lambda x: x + rng.standard_normal(3))
    step(np.ones(3))
    with pytest.raises(TraceError, match=r"array of shape \(3,\) that held other numbers"):
        step(np.ones(3))


def test_what_a_python_counter_decides_is_refused():
    count = []

    @tg.compile
    def step(x):
        count.append(1)
        return x * len(count)

    step(np.ones(3))
    with pytest.raises(TraceError, match="1 in the first call"):
        step(np.ones(3))


def test_an_operation_more_in_the_second_call_is_refused():
    count = []

    @tg.compile
    def step(x):
        count.append(1)
        return np.exp(x) if len(count) > 1 else np.tanh(x)

    step(np.ones(3))
    with pytest.raises(TraceError, match=r"first call computed tanh.*its second exp"):
        step(np.ones(3))


# ---- state from outside


def test_training_and_evaluation_are_two_programs():
    model = nn.Sequential(nn.Linear(4, 4, rng=0), nn.Dropout(0.5, rng=0))
    step = tg.compile(lambda x: model(x))
    x = np.ones((2, 4), np.float32)
    for _ in range(3):
        assert np.any(step(x).data == 0)
    model.eval()
    for _ in range(3):
        np.testing.assert_array_equal(step(x).data, model(x).data)
    model.train()
    assert np.any(step(x).data == 0)


def test_a_changed_setting_of_a_module_is_noticed():
    layer = nn.LeakyReLU(0.1)
    step = tg.compile(lambda x: layer(x))
    for _ in range(3):
        step(-np.ones(2))
    layer.negative_slope = 0.5
    np.testing.assert_array_equal(step(-np.ones(2)).data, [-0.5, -0.5])


def test_a_changed_variable_of_the_enclosing_function_is_noticed():
    scale = 2.0
    step = tg.compile(lambda x: x * scale)
    for _ in range(3):
        step(np.ones(2))
    scale = 3.0
    np.testing.assert_array_equal(step(np.ones(2)).data, [3.0, 3.0])


def test_new_values_of_parameters_are_read():
    layer = nn.Linear(2, 2, rng=0, dtype=np.float64)
    step = tg.compile(lambda x: layer(x))
    for _ in range(3):
        step(np.ones((1, 2)))
    layer.load_state_dict({"weight": np.eye(2), "bias": np.ones(2)})
    np.testing.assert_array_equal(step(np.ones((1, 2))).data, [[2.0, 2.0]])
    nn.functional_call(layer, {"weight": np.zeros((2, 2))}, np.ones((1, 2)))
    np.testing.assert_array_equal(step(np.ones((1, 2))).data, [[2.0, 2.0]])


def test_freezing_a_parameter_is_noticed():
    layer = nn.Linear(2, 1, rng=0)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)

    @tg.compile
    def step(x):
        optimizer.zero_grad()
        loss = np.sum(layer(x))
        loss.backward()
        optimizer.step()
        return loss

    x = np.ones((1, 2), np.float32)
    for _ in range(3):
        step(x)
    layer.weight.requires_grad_(False)
    before = layer.weight.data.copy(), layer.bias.data.copy()
    for _ in range(3):
        step(x)
    np.testing.assert_array_equal(layer.weight.data, before[0])
    assert np.all(layer.bias.data != before[1])


def test_gradients_that_were_there_before_are_added_to():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(x):
        np.sum(w * x).backward()

    for _ in range(4):
        step(np.ones(2))
    np.testing.assert_array_equal(w.grad.data, [4.0, 4.0])
    w.grad = None
    for _ in range(2):
        step(np.ones(2))
    np.testing.assert_array_equal(w.grad.data, [2.0, 2.0])


def test_gradients_without_an_optimizer_are_ones_own():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(x):
        w.grad = None
        np.sum(w * w * x).backward()

    kept = []
    for i in range(5):
        step(np.full(2, float(i)))
        kept.append(w.grad.data)
    np.testing.assert_array_equal(kept, [[2.0 * i, 4.0 * i] for i in range(5)])


# ---- what comes out


def test_results_are_never_memory_of_the_program_or_of_a_parameter():
    w = tg.Tensor(np.ones(3), requires_grad=True)

    @tg.compile
    def step(x):
        y = x * w
        return y, y[:2], w, x, y.T, [y, {"again": y}]

    results = [step(np.full(3, float(i))) for i in range(5)]
    before = [[part.data.copy() for part in flat(r)] for r in results]
    for result in results:
        for part in flat(result):
            part.data[...] = -1.0
    np.testing.assert_array_equal(w.data, np.ones(3))
    found = [part.data for result in results for part in flat(result)]
    for i, a in enumerate(found):
        assert not any(np.shares_memory(a, b) for b in found[i + 1 :])
    again = step(np.full(3, 1.0))
    for a, b in zip(flat(again), before[1], strict=True):
        np.testing.assert_array_equal(a.data, b)


def flat(tree):
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in flat(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in flat(value)]
    return [tree]


def test_a_returned_view_of_a_parameter_shows_the_update():
    def trained(compiled):
        p = tg.Tensor(np.ones(4), requires_grad=True)
        optimizer = optim.SGD([p], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            view = p[::-1]
            np.sum(view * x).backward()
            optimizer.step()
            return view, view[1:]

        run = tg.compile(step) if compiled else step
        return [[np.copy(part.data) for part in run(np.arange(4.0))] for _ in range(4)]

    for ours, plain in zip(trained(compiled=True), trained(compiled=False), strict=True):
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_array_equal(a, b)


def test_plain_values_and_none_come_back():
    step = tg.compile(lambda x, n: (x * n, n, "text", None))
    for _ in range(4):
        y, *rest = step(np.ones(2), 3)
        assert rest == [3, "text", None]
        np.testing.assert_array_equal(y.data, [3.0, 3.0])
    assert step(np.ones(2), 4)[1] == 4


def test_infinite_and_nan_literals_and_signs_of_zero():
    def step(x):
        return np.stack(
            [
                np.where(x > 0, x, -np.inf),
                np.maximum(x, -np.inf),
                x * np.nan,
                x * 0.0,
                x * -0.0,
                np.minimum(x, np.float64(np.inf)),
            ]
        )

    same_as_eager(step, arrays())


def test_names_of_parameters_cannot_become_code():
    class Odd(nn.Module):
        def __init__(self):
            self.parts = {"a'\n); import os #": nn.Parameter(np.ones(3)), "class": nn.Linear(3, 3)}

        def forward(self, x):
            return self.parts["class"](x * self.parts["a'\n); import os #"])

    model = Odd()
    called(lambda x: model(x), *[(np.ones((1, 3)),)] * 3)


def test_a_wrong_label_is_refused_by_the_program_too():
    layer = nn.Linear(2, 3, rng=0)
    step = tg.compile(lambda x, y: functional.cross_entropy(layer(x), y))
    x = np.ones((2, 2), np.float32)
    for _ in range(3):
        step(x, np.array([0, 2]))
    with pytest.raises(ValueError, match="label 3 is no class"):
        step(x, np.array([0, 3]))
    step(x, np.array([0, 1]))


def test_an_error_in_the_second_call_leaves_the_step_usable():
    step = tg.compile(lambda x: np.sum(np.sqrt(x)))
    step(np.ones(3))
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        step(-np.ones(3))
    assert [step(np.ones(3)).item() for _ in range(3)] == [3.0] * 3


def test_arguments_in_containers_and_by_name_and_in_any_order_of_memory():
    def step(batch, *, scale):
        return batch["x"] @ batch["w"][0] * scale["by"]

    compiled = tg.compile(step)
    rng = np.random.default_rng(0)
    for order in "CFCFCF":
        x = np.asarray(rng.standard_normal((3, 4)), order=order)
        w = rng.standard_normal((4, 2))
        found = compiled({"x": x, "w": [w]}, scale={"by": 2.0})
        np.testing.assert_allclose(found.data, x @ w * 2, rtol=1e-12)


def test_an_unhashable_argument_is_refused():
    with pytest.raises(TypeError, match=r"arrays and plain values, not \{1\}"):
        tg.compile(lambda x: x)({1})


# ---- around it


def test_two_threads_call_one_program():
    w = nn.Linear(40, 40, rng=0, dtype=np.float64)
    step = tg.compile(lambda x: np.tanh(w(x)) @ np.ones((40, 1)))
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((8, 30, 40))
    for _ in range(3):
        step(inputs[0])
    expected = [step(x).data for x in inputs]
    wrong = []

    def work(i):
        same = [np.array_equal(step(inputs[i]).data, expected[i]) for _ in range(60)]
        wrong.extend([i] * same.count(False))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_program_inside_a_program_and_a_derivative_from_outside():
    inner = tg.compile(lambda x: np.sum(np.sin(x)))
    outer = tg.compile(lambda x: inner(x) * 2)
    for _ in range(4):
        assert outer(np.ones(2)).item() == pytest.approx(4 * np.sin(1))
        inner(np.ones(2))
    np.testing.assert_allclose(tg.grad(inner)(np.zeros(2)), np.ones(2))


def test_second_derivatives_inside():
    f = lambda x: np.sum(x**3)
    step = tg.compile(lambda x, v: (tg.grad(f)(x), tg.hvp(f, x, v), tg.hessian(f)(x)))
    for i in range(4):
        x, v = np.arange(3.0) + i, np.ones(3)
        gradient, product, matrix = step(x, v)
        np.testing.assert_allclose(gradient.data, 3 * x * x)
        np.testing.assert_allclose(product.data, 6 * x * v)
        np.testing.assert_allclose(matrix.data, np.diag(6 * x))


def test_no_grad_and_grad_are_two_programs():
    w = tg.Tensor(np.ones(2), requires_grad=True)
    step = tg.compile(lambda x: (x * w).requires_grad)
    for _ in range(3):
        assert step(np.ones(2)) is True
    with tg.no_grad():
        for _ in range(3):
            assert step(np.ones(2)) is False


def test_programs_of_many_shapes_are_bounded():
    step = tg.compile(lambda x: x + 1)
    for n in range(1, 100):
        step(np.ones(n))
    assert len(step._entries) <= 32
