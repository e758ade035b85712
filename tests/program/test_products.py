"""Gradients that stay a column and a row until the update: the numbers are those of the product."""

import copy
import functools
import importlib.util
import itertools
import linecache
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from in_python import loops_in_python
from learning import learning_step

import tinygrad_fm as tg
from tinygrad_fm import nn, optim, threads
from tinygrad_fm.optim import flat
from tinygrad_fm.optim.factored import source_of
from tinygrad_fm.optim.sgd import without_momentum

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, 0.9),
    "averaged": lambda p: optim.SGD(p, 0.1, 0.9, form="averaged"),
    "nesterov": lambda p: optim.SGD(p, 0.1, 0.9, nesterov=True),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
    "RMSprop": lambda p: optim.RMSprop(p, alpha=0.9),
    "Adagrad": lambda p: optim.Adagrad(p),
}
SIZES = 7, 40, 30, 4  # pieces with several lines, one of which is not full


@pytest.fixture(params=["Python", "Numba"])
def loops(request):
    """The loops run in Python, or are compiled at the third call."""
    if request.param == "Python":
        with loops_in_python():
            yield
        return
    if importlib.util.find_spec("numba") is None:
        pytest.skip("compiles loops where Numba is installed")
    request.getfixturevalue("at_once")
    yield


def network(dtype):
    rng = np.random.default_rng(0)
    layers = []
    for inputs, outputs in itertools.pairwise(SIZES):
        layers += [nn.Linear(inputs, outputs, dtype=dtype, rng=rng), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def examples(dtype, count=8, rows=1):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((count, rows, SIZES[0])).astype(dtype)
    return zip(x, rng.integers(0, SIZES[-1], (count, rows)), strict=True)


def assert_same(model, other):
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data, err_msg=name)
        np.testing.assert_array_equal(p.grad.data, q.grad.data, err_msg=f"gradient of {name}")


def assert_learns_as_eager(make, batches, each=lambda i, optimizer: None):
    """`make` makes the optimizer of parameters, `batches` gives the batches; `each` is called
    before each of these."""
    results = []
    for made in (tg.compile, lambda f: f):
        model = network(np.float64)
        optimizer = make(model.parameters())
        step = made(learning_step(model, optimizer))
        for i, (x, y) in enumerate(batches()):
            each(i, optimizer)
            step(tg.Tensor(x), tg.Tensor(y))
        results.append(model)
    assert_same(*results)


def one_by_one(count=8):
    return lambda: examples(np.float64, count)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_a_compiled_step_of_one_example_equals_the_eager_one(make, dtype, loops):
    eager = network(dtype)
    model = copy.deepcopy(eager)
    one, other = make(eager.parameters()), make(model.parameters())
    expected, step = learning_step(eager, one), tg.compile(learning_step(model, other))
    for x, y in examples(dtype):
        loss = expected(tg.Tensor(x), tg.Tensor(y))
        np.testing.assert_array_equal(step(x, y).data, loss.data)
    assert step.source.count("factors_of_d_") == 3, step.source
    assert source_of(other.fused(1, other.groups[0])[0])  # so that nothing was multiplied out
    assert "3 gradients that stay a column and a row until the update" in step.explain()
    assert_same(eager, model)


def test_a_gradient_is_the_newest_until_it_is_looked_at_and_then_stays(loops):
    model = network(np.float64)
    step = tg.compile(learning_step(model, optim.SGD(model.parameters(), 0.1)))
    (*first, (x, y), (x2, y2)) = examples(np.float64)
    for a, b in first:
        step(a, b)
    step(x, y)
    weight = model[0].weight
    seen = weight.grad
    kept = seen.data.copy()
    assert np.any(kept)
    step(x2, y2)
    assert weight.grad is not seen
    np.testing.assert_array_equal(seen.data, kept)
    assert np.any(weight.grad.data != kept)


def test_an_unseen_gradient_is_a_tensor_as_any_other(loops):
    model = network(np.float64)
    eager = copy.deepcopy(model)
    step = tg.compile(learning_step(model, optim.SGD(model.parameters(), 0.0)))  # weights stay
    for x, y in examples(np.float64, 5):
        step(x, y)
    learning_step(eager, optim.SGD(eager.parameters(), 0.0))(tg.Tensor(x), tg.Tensor(y))
    weight, wanted = model[0].weight, eager[0].weight.grad.data
    assert type(weight.grad) is tg.Tensor
    np.testing.assert_array_equal(weight.grad.data, wanted)
    for made in (copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        step(x, y)
        np.testing.assert_array_equal(made(model)[0].weight.grad.data, wanted)
    step(x, y)
    np.sum(weight * 2.0).backward()  # adds to what is there
    np.testing.assert_array_equal(weight.grad.data, wanted + 2)
    step(x, y)
    np.sum(weight * weight).backward(create_graph=True)
    np.testing.assert_array_equal(weight.grad.data, wanted + 2 * weight.data)
    step(x, y)
    model.zero_grad()
    assert weight.grad is None


def test_what_else_uses_a_gradient_gets_the_product(loops):
    model = network(np.float64)
    eager = copy.deepcopy(model)
    for made, clip in ((tg.compile, model), (lambda f: f, eager)):
        optimizer = optim.SGD(clip.parameters(), 0.1, 0.9)
        clipped = lambda clip=clip: optim.clip_by_norm(clip.parameters(), 0.5)
        step = made(learning_step(clip, optimizer, before_update=clipped))
        for x, y in examples(np.float64):
            step(tg.Tensor(x), tg.Tensor(y))
        if clip is model:
            assert "factors_of" not in step.source
    assert_same(eager, model)


def test_gradients_that_are_returned_are_arrays_of_their_own(loops):
    model = network(np.float64)
    optimizer = optim.SGD(model.parameters(), 0.1)
    step = learning_step(model, optimizer)
    compiled = tg.compile(lambda x, y: (step(x, y), model[0].weight.grad)[1])
    found = [compiled(x, y) for x, y in examples(np.float64)]
    assert len({g.data.tobytes() for g in found}) == len(found)
    assert compiled.source.count("factors_of_d_") == 2


def test_parameters_without_a_gradient_and_batches_of_several_stay_right(loops):
    rest = tg.Tensor(np.ones((3, 3)), requires_grad=True)
    assert_learns_as_eager(
        lambda p: optim.AdamW([*p[:2], rest, *p[2:]], 0.01),
        lambda: itertools.chain(*(examples(np.float64, 5, rows) for rows in (1, 3, 1))),
    )
    np.testing.assert_array_equal(rest.data, 1)


def test_two_updates_in_one_step_have_gradients_of_their_own(loops):
    results = []
    for made in (tg.compile, lambda f: f):
        model = network(np.float64)
        optimizer = optim.SGD(model.parameters(), 0.1)
        loss_of = nn.CrossEntropyLoss()

        @made
        def step(x, y, model=model, optimizer=optimizer, loss_of=loss_of):
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            loss_of(model[4](model[2](model[0](x)).detach()), y).backward()
            optimizer.step()

        for x, y in examples(np.float64):
            step(tg.Tensor(x), tg.Tensor(y))
        results.append([p.data for p in model.parameters()])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_settings_that_change_are_followed(loops):
    def each(i, optimizer):
        optimizer.groups[0].momentum = (0.9, 0.0, 0.5)[i // 4 % 3]
        optimizer.lr = 0.1 / (1 + i)

    assert_learns_as_eager(lambda p: optim.SGD(p, 0.1, 0.9), one_by_one(16), each)


def test_several_threads_share_a_large_network(loops, monkeypatch):
    monkeypatch.setattr("tinygrad_fm.optim.flat.SHARE", (20,))
    monkeypatch.setattr(flat, "BLOCK", 100)
    monkeypatch.setattr(threads, "count", lambda: 3)
    assert_learns_as_eager(lambda p: optim.AdamW(p, 0.01), one_by_one())


SCALE = 0.5


class Own(optim.SGD):
    """SGD at half the rate, by a loop of the class's own."""

    loop = None

    def fused(self, step, settings):
        return self.loop, (settings.lr,)

    def update(self, w, g, scratch, step, settings, *state):
        np.multiply(g, 0.5 * settings.lr, out=scratch)
        w -= scratch


def with_a_global(w, g, lr):
    for i in range(len(w)):
        w[i] -= SCALE * lr * g[i]


@functools.wraps(without_momentum)
def in_disguise(w, g, lr):
    for i in range(len(w)):
        w[i] -= 0.5 * lr * g[i]


def kernel(w, g, lr):
    for i in range(len(w)):
        w[i] -= 0.5 * lr * g[i]


def alone(w, g, lr):
    """Needs nothing."""
    for i in range(len(w)):
        w[i] -= 0.5 * lr * g[i]


@pytest.mark.parametrize(
    "loop", [with_a_global, in_disguise, kernel, alone], ids=lambda f: f.__name__
)
def test_a_loop_that_a_user_wrote_does_what_it_does(loop, loops):
    mine = type("Mine", (Own,), {"loop": staticmethod(loop)})
    assert_learns_as_eager(lambda p: mine(p, 0.5), one_by_one())


def test_a_loop_whose_file_has_changed_since_is_not_read_from_it(tmp_path, monkeypatch):
    text = "def loop(w, g, lr):\n    for i in range(len(w)):\n        w[i] -= lr * g[i]\n"
    file = tmp_path / "changing_loop.py"
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import changing_loop

    assert source_of(changing_loop.loop) == text
    file.write_text(text.replace("lr *", "9 * lr *"))
    linecache.checkcache()
    assert source_of(changing_loop.loop) == ""


def test_numbers_that_an_optimizer_keeps_and_changes_are_followed(loops):
    class Keeping(Own):
        kept = [0.0]
        loop = staticmethod(alone)

        def fused(self, step, settings):
            self.kept[0] = settings.lr
            return self.loop, self.kept

    def each(i, optimizer):
        optimizer.lr = 0.1 * (i + 1)

    assert_learns_as_eager(lambda p: Keeping(p, 0.5), one_by_one(), each)


def test_threads_that_look_at_a_gradient_together_see_one_array(loops):
    model = network(np.float64)
    step = tg.compile(learning_step(model, optim.SGD(model.parameters(), 0.1)))
    for x, y in examples(np.float64):
        step(x, y)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(200):
                step(x, y)
                seen = list(pool.map(lambda _: model[0].weight.grad.data, range(4)))
                assert all(array is seen[0] for array in seen)
    finally:
        sys.setswitchinterval(before)


def test_an_overflow_is_infinite_as_in_a_chain(loops):
    weight = tg.Tensor(np.ones((3, 4)), requires_grad=True)
    optimizer = optim.SGD([weight], 0.1)

    @tg.compile
    def step(x, t):
        optimizer.zero_grad()
        np.sum((x @ weight) * t).backward()
        optimizer.step()

    for _ in range(5):
        step(np.ones((1, 3)), np.ones((1, 4)))
    with np.errstate(all="ignore"):  # of Python's loops
        step(np.array([[1e200, 1, 2]]), np.array([[1e200, 1, 1, 1]]))
    with np.errstate(all="raise"):  # the line that looks has nothing to do with it
        np.testing.assert_array_equal(weight.grad.data[0], [np.inf, 1e200, 1e200, 1e200])
    assert weight.data[0, 0] == -np.inf
