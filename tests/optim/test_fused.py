"""The loops that the extra `fast` compiles give what NumPy gives, and do not get in the way."""

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fm
from tinygrad_fm import Tensor, fast, optim, threads

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="compiles loops where Numba is installed"
)

MAKERS = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "heavy_ball": lambda p: optim.SGD(p, 0.1, 0.9),
    "velocity": lambda p: optim.SGD(p, 0.1, 0.9, form="velocity"),
    "averaged": lambda p: optim.SGD(p, 0.1, 0.9, form="averaged"),
    "nesterov": lambda p: optim.SGD(p, 0.1, 0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, 0.01, eps=1e-4),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
    "RMSprop": lambda p: optim.RMSprop(p, alpha=0.9),
    "Adagrad": lambda p: optim.Adagrad(p),
}
every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def test_every_optimizer_has_a_maker():
    found = {k for k, v in vars(optim).items() if isinstance(v, type)} - {"Optimizer"}
    made = {type(make([Tensor(np.ones(1), requires_grad=True)])) for make in MAKERS.values()}
    assert {kind.__name__ for kind in made} == found


def train(make, dtype, steps=300):
    """Weights and state after some steps, with gradients of many sizes; one is left out at times,
    one is large and one in another memory order."""
    rng = np.random.default_rng(0)
    shapes = [(70, 600), (40, 3), (5,), (1,)]
    parameters = [Tensor(rng.normal(size=s).astype(dtype), requires_grad=True) for s in shapes]
    parameters.append(Tensor(rng.normal(size=(200, 200)).astype(dtype).T, requires_grad=True))
    optimizer = make(parameters)
    for step in range(steps):
        for p in parameters:
            sizes = np.exp(rng.uniform(-20, 3, size=p.shape))
            p.grad = Tensor((rng.normal(size=p.shape) * sizes).astype(dtype))
        if step % 5 == 2:
            parameters[1].grad = None
        optimizer.lr = 0.1 / (1 + step)
        optimizer.step()
    arrays = [p.data for p in parameters]
    for number, entry in optimizer.state_dict().items():
        if number != "groups":
            arrays += [value for name, value in entry.items() if name != "step"]
    return arrays


@needs_numba
@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_give_what_blocks_give(make, dtype, monkeypatch):
    monkeypatch.setattr(fast, "_left", float("inf"))
    expected = train(make, dtype, steps=40)
    monkeypatch.setattr(fast, "_left", 0)
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad):
        monkeypatch.setattr(kind, "update", None)  # so that it is the loops that do it
    for found, wanted in zip(train(make, dtype, steps=40), expected, strict=True):
        np.testing.assert_array_max_ulp(found, wanted, maxulp=4)


@every_optimizer
def test_the_loops_are_right_as_they_stand(make):
    rng = np.random.default_rng(0)
    optimizer = make([Tensor(rng.normal(size=30), requires_grad=True)])
    (buffers,) = optimizer._flats
    expected = [array.copy() for array in (buffers.values, *buffers.state.values())]
    found = [array.copy() for array in expected]
    for step in range(1, 20):
        g = rng.normal(size=30)
        optimizer.update(expected[0], g, np.empty(30), step, buffers.settings, *expected[1:])
        loop, numbers = optimizer.fused(step, buffers.settings)
        loop(found[0], g, *found[1:], *numbers)
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_max_ulp(ours, wanted, maxulp=4)


@needs_numba
def test_the_number_of_threads_changes_nothing(monkeypatch):
    monkeypatch.setattr(fast, "_left", 0)
    monkeypatch.setattr("tinygrad_fm.optim.flat.SHARE", (64,))
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        results.append(train(MAKERS["Adam"], np.float32, steps=10))
    for one, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)


@needs_numba
def test_infinite_and_missing_numbers_stay_what_they_are(monkeypatch):
    results = []
    for left in (float("inf"), 0):
        monkeypatch.setattr(fast, "_left", left)
        p = Tensor(np.ones(5), requires_grad=True)
        optimizer = optim.Adam([p], eps=0)
        p.grad = Tensor([np.inf, -np.inf, np.nan, 0.0, 1.0])
        with np.errstate(all="ignore"):
            optimizer.step()
        results.append(p.data.copy())
    np.testing.assert_array_equal(*results)


class Sign(optim.SGD):
    """Steps of one size, as a user may write it: with `update` alone."""

    def update(self, w, g, scratch, step, settings, *state):
        w -= settings.lr * np.sign(g)


def test_a_subclass_with_update_alone_keeps_its_own(monkeypatch):
    monkeypatch.setattr(fast, "_left", 0)
    p = Tensor(np.zeros(3), requires_grad=True)
    optimizer = Sign([p], lr=0.5)
    p.grad = Tensor([3.0, -0.1, 0.0])
    optimizer.step()
    np.testing.assert_array_equal(p.data, [-0.5, 0.5, 0.0])


def test_numpy_works_until_the_loops_pay(monkeypatch):
    monkeypatch.setattr(fast, "_left", 25)
    monkeypatch.setattr(fast, "failure", lambda: None)
    assert [fast.ready(10) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(("setting", "left"), [("0", float("inf")), ("1", 0)])
def test_the_environment_decides(setting, left, monkeypatch):
    monkeypatch.setenv(fast.VARIABLE, setting)
    monkeypatch.setattr(fast.importlib.util, "find_spec", lambda name: name)
    assert fast._until_it_pays() == left


def test_another_setting_is_refused(monkeypatch):
    monkeypatch.setenv(fast.VARIABLE, "yes")
    monkeypatch.setattr(fast, "_left", None)
    with pytest.raises(ValueError, match=r"TINYGRAD_FM_FAST is 0 .* not 'yes'"):
        fast.ready(1)


def test_a_numba_that_cannot_be_imported_is_done_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(fast, "failure", fast.failure.__wrapped__)
    monkeypatch.setattr(fast, "_left", 0)
    p = Tensor(np.ones(2), requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    for _ in range(2):
        p.grad = Tensor(np.ones(2))
        optimizer.step()
    np.testing.assert_array_equal(p.data, -1)
    assert fast._left == float("inf")


@needs_numba
def test_a_loop_that_cannot_be_kept_on_disk_is_compiled_all_the_same():
    room = {}
    exec("def double(x, y):\n    for i in range(len(x)):\n        y[i] = 2 * x[i]", room)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call = fast.compiled(room["double"], "float64", 2, 0)
    y = np.empty(3)
    call(np.ones(3), y)
    np.testing.assert_array_equal(y, 2)


def in_a_new_process(program, **variables):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(tinygrad_fm.__file__).parents[1]), **variables},
    )


STEP = """
import sys
import numpy as np
from tinygrad_fm import Tensor, optim
p = Tensor(np.ones(5), requires_grad=True)
optimizer = optim.Adam([p])
p.grad = Tensor(np.ones(5))
optimizer.step()
print("numba" in sys.modules)
"""


def test_a_small_run_does_not_import_numba():
    assert in_a_new_process(STEP, TINYGRAD_FM_FAST="").stdout == "False\n"


def test_a_numba_that_is_hidden_is_done_without():
    hidden = "import sys\nsys.modules['numba'] = None\n" + STEP
    assert in_a_new_process(hidden, TINYGRAD_FM_FAST="1").stdout == "True\n"  # the name alone


@needs_numba
def test_compiling_warns_of_nothing_and_writes_where_it_may(tmp_path):
    done = in_a_new_process(STEP, TINYGRAD_FM_FAST="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process where the system has fork")
def test_a_forked_process_has_threads_of_its_own():
    program = """
import os, warnings
from tinygrad_fm import threads
done = []
threads.share(done.append, [(1,), (2,), (3,)])
warnings.simplefilter("ignore")  # forking beside threads
if os.fork() == 0:
    threads.share(done.append, [(4,), (5,)])
    print(sorted(done), flush=True)
    os._exit(0)
os.wait()
"""
    assert in_a_new_process(program).stdout == "[1, 2, 3, 4, 5]\n"


def test_an_error_in_a_thread_is_an_error():
    with pytest.raises(ZeroDivisionError):
        threads.share(lambda x: 1 / x, [(1,), (0,), (2,)])


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("4,2", 4), ("0", 1)])
def test_without_threadpoolctl_the_environment_says_how_many_threads(value, count, monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(threads, "_libraries", list)
    assert threads.count() == count
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads.count() == threads.cpus()


def test_threads_follow_the_matrix_library():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="asks BLAS where it is installed")
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        assert threads.count() == 1
