"""Products without the zeros of the left matrix: NumPy's very numbers, and where they are made."""

import inspect
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import fast, nn, optim, threads
from tinygrad_fm.rules import loops, products, zeros

needs_loops = pytest.mark.skipif(
    not (loops.there_are("<f4") and products.has_small_kernels()),
    reason="no loops: Numba is missing, or NumPy's library has no kernels for small matrices",
)
BOTH = np.dtype("f4"), np.dtype("f8")


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """The loops are compiled at once, and asked each time."""
    monkeypatch.setattr(zeros, "_left", dict.fromkeys(BOTH, 0))
    monkeypatch.setattr(zeros, "_resting", {})


def matrices(rows, inner, width, dtype, share=0.5, seed=0):
    """x (rows, inner) with so many zeros, w (inner, width) and g (rows, width)."""
    rng = np.random.default_rng(seed)
    shapes = (rows, inner), (inner, width), (rows, width)
    x, w, g = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    x[rng.random(x.shape) < share] = 0
    return x, w, g


def made(a, b):
    """The product, or None where it is not made."""
    out = np.full((len(a), b.shape[1]), 7, a.dtype)
    return out if zeros.multiply(a, b, out) else None


def in_pieces(a, b):
    """The product by kernels for small matrices, with all of the sum in each."""
    rows = next(r for r in range(len(a), 0, -1) if len(a) % r == 0 and r * a.shape[1] <= 4000)
    columns = 64 if rows == len(a) else 128
    return products.in_pieces(a, b, rows, columns)


@needs_loops
@pytest.mark.parametrize("dtype", BOTH)
def test_the_loops_agree_with_numpy_here(dtype):
    assert zeros._loops(dtype) is not None


@needs_loops
@given(
    dtype=st.sampled_from(BOTH),
    rows=st.integers(2, 40).map(lambda n: 4 * n),
    inner=st.integers(2, 60).map(lambda n: 4 * n),
    beside=st.integers(0, 3),
    width=st.sampled_from([128, 256, 384]),
    share=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 99),
)
def test_each_bit_is_that_of_numpys_product(dtype, rows, inner, beside, width, share, seed):
    x, w, g = matrices(rows, inner + beside, width, dtype, share, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zeros, "FULLEST", 1.0)
        np.testing.assert_array_equal(made(x, w), in_pieces(x, w))
        x, _, g = matrices(rows + beside, inner, width, dtype, share, seed)
        np.testing.assert_array_equal(made(x.T, g), in_pieces(x.T, g))


@needs_loops
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shape", [(64, 784, 128), (32, 784, 256), (48, 1024, 512), (16, 900, 128)])
def test_so_it_is_where_large_products_are_made_in_pieces(shape, dtype):
    x, w, g = matrices(*shape, dtype)
    for a, b in ((x, w), (x.T, g)):
        turned = not a.flags.c_contiguous, False
        cut = products.pieces(a.shape, b.shape, turned, a.dtype)
        found = products.multiply_large(a, b, *cut)
        np.testing.assert_array_equal(found, products.in_pieces(a, b, *cut))
        assert made(a, b) is not None


def test_one_row_is_numpys_which_sums_in_another_order():
    x, w, _ = matrices(1, 8192, 128, np.float32, 0.6)
    assert made(x, w) is None


@needs_loops
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gives_what_numpy_gives(odd):
    x, w, g = matrices(70, 130, 128, np.float32)
    x[3, 5] = x[69, 129] = odd
    with np.errstate(invalid="ignore"):
        for a, b in ((x, w), (x.T, g)):
            np.testing.assert_array_equal(np.isnan(made(a, b)), np.isnan(a @ b))
            np.testing.assert_array_equal(np.isinf(made(a, b)), np.isinf(a @ b))
    x, *others = matrices(70, 130, 128, np.float32)
    for b, a in zip(others, (x, x.T), strict=True):
        b[b.shape[0] - 1, 127] = odd  # times zero it is a NaN
        assert made(a, b) is None
        zeros._resting.clear()
        out = np.full((len(a), 128), 7, np.float32)
        with np.errstate(invalid="ignore"):
            products.multiply_large(a, b, 10, 128, out=out)
            np.testing.assert_array_equal(np.isnan(out), np.isnan(a @ b))


@needs_loops
def test_overflow_is_infinite_as_in_numpy_and_raised_for_those_who_ask():
    x, w, _ = matrices(8, 64, 128, np.float32)
    x[x != 0] = w[...] = 1e38
    assert np.isinf(made(x, w)).all()
    for kind in ("over", "under", "invalid"):
        zeros._resting.clear()
        with np.errstate(**{kind: "raise"}):
            assert made(x, w) is None


@needs_loops
def test_matrices_of_other_kinds_are_numpys():
    x, w, _ = matrices(64, 80, 128, np.float32)
    assert made(x, w) is not None
    zeros._resting.clear()
    others = [
        (x, np.asfortranarray(w)),
        (x[:, ::2], w[::2]),
        (x, w[:, :100]),
        (x, w.astype(np.float64)),
        (x.astype(np.float16), w.astype(np.float16)),
    ]
    for a, b in others:
        out = np.empty((len(a), b.shape[1]), a.dtype)
        assert not zeros.multiply(a, b, out)
    outs = [(64, 256), (63, 128), (65, 128), (64 * 128,), (64, 1, 128)]
    outs = [np.full(shape, 7, np.float32) for shape in outs]
    outs += [np.full((64, 256), 7, np.float32)[:, ::2], np.full((128, 64), 7, np.float32).T]
    outs += [np.broadcast_to(np.float32(7), (64, 128)), np.full((64, 128), 7, np.float32)]
    outs[-1].flags.writeable = False
    for out in outs:
        zeros._resting.clear()
        assert not zeros.multiply(x, w, out)
        assert (out == 7).all()
    zeros._resting.clear()
    assert made(x, np.ones((79, 128), np.float32)) is None
    assert made(x[:, :0], w[:0]) is None
    x, w, _ = matrices(64, 80, 128, ">f4")
    assert made(x, w) is None


@needs_loops
def test_a_result_in_memory_that_is_not_its_own_is_numpys(monkeypatch):
    monkeypatch.setattr(products, "way", lambda *_: (products.multiply_large, (32, 128)))
    a, b, _ = matrices(128, 128, 128, np.float64)
    expected = a @ b
    products.multiply(a, b, out=b)
    np.testing.assert_allclose(b, expected, atol=1e-12)


@needs_loops
def test_who_has_few_zeros_is_asked_seldom(monkeypatch):
    x, w, _ = matrices(64, 80, 128, np.float32, share=0.2)
    zero = np.zeros_like(x)
    assert made(x, w) is None
    for _ in range(zeros.SELDOM):
        assert made(zero, w) is None
    assert made(zero, w) is not None
    assert made(zero, w) is not None
    x = np.ones((256, 80), np.float32)
    x[:64] = 0  # where it looks first
    assert made(x, w) is not None
    assert made(x, w) is None
    monkeypatch.setattr(zeros, "MOST_KINDS", 5)
    for rows in range(8, 24):
        assert made(np.ones((rows, 80), np.float32), w) is None
        assert len(zeros._resting) <= 5


@needs_loops
def test_the_loops_are_compiled_when_they_would_have_paid(monkeypatch):
    monkeypatch.delenv(fast.VARIABLE, raising=False)
    x, w, _ = matrices(64, 80, 128, np.float32)
    full = np.ones_like(x)

    def asked(matrix, is_kept):
        monkeypatch.setattr(zeros, "_left", {})
        monkeypatch.setattr(fast, "is_kept", lambda text: is_kept)
        monkeypatch.setattr(zeros, "WORTH", 2 * (zeros.SELDOM + 1) * matrix.size * 128)
        found = []
        for _ in range(3):
            zeros._resting.clear()
            found.append(made(matrix, w) is not None)
        return found

    assert asked(x, True) == [True] * 3
    assert asked(x, False) == [False, True, True]
    assert asked(full, False) == [False] * 3
    assert zeros._left[full.dtype] == zeros.WORTH  # zeros would be worth it, and there are none
    monkeypatch.setenv(fast.VARIABLE, "1")
    assert asked(x, False) == [True] * 3


@needs_loops
@pytest.mark.parametrize("wrong", ["times", "turned_times"])
def test_another_librarys_numbers_stay(wrong, monkeypatch):
    do = zeros._loops(BOTH[0])
    assert zeros._agrees(do, BOTH[0])

    def other(*given):
        found = getattr(do, wrong)(*given)
        y = given[-2]
        y[-1, -1] = np.nextafter(y[-1, -1], np.float32(9))
        return found

    others = SimpleNamespace(**{**vars(do), wrong: other})
    assert not zeros._agrees(others, BOTH[0])
    monkeypatch.setattr(zeros, "_loops", zeros._loops.__wrapped__)
    monkeypatch.setattr(loops, "compiled", lambda *_: others)
    x, w, _ = matrices(64, 80, 128, np.float32)
    assert made(x, w) is None


def test_numba_is_not_loaded_for_them(monkeypatch):
    x, w, _ = matrices(64, 80, 128, np.float32)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert made(x, w) is None
    monkeypatch.setitem(sys.modules, "numba", None)
    assert made(x, w) is None


# ---- where two threads would share a product -----------------------------------------------------

TWO_THREADS = """
import numpy as np
from tinygrad_fm import threads
from tinygrad_fm.rules import products, zeros

zeros._loops(np.dtype("f4"))  # loads Numba
rng = np.random.default_rng(0)
done, same = [], []
multiply = zeros.multiply_for_two
zeros.multiply_for_two = lambda *given: done.append(multiply(*given)) or done[-1]
for dtype in ("f4", "f8"):
    for rows, inner, width in [(64, 784, 128), (63, 785, 128), (32, 1001, 256), (384, 130, 128)]:
        x, w, g = (
            rng.standard_normal(shape).astype(dtype)
            for shape in ((rows, inner), (inner, width), (rows, width))
        )
        x[rng.random(x.shape) < 0.5] = 0
        for a, b in ((x, w), (x.T, g)):
            for _ in range(2):
                same.append(np.array_equal(products.multiply(a, b), np.dot(a, b)))
print(all(same), len(same), len(done) and all(done), len(done), len(zeros._cut_alike))
"""


@needs_loops
def test_the_sums_are_cut_as_by_two_threads_of_the_library():
    variables = dict.fromkeys(threads.VARIABLES, "2") | {fast.VARIABLE: "1"}
    found = subprocess.run(
        [sys.executable, "-c", TWO_THREADS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    ).stdout.split()
    assert found[:2] == ["True", "32"]
    if found[2] != "True":
        pytest.skip("the library has no two threads here, or cuts sums in another way")
    assert found[3:] == ["32", "16"]


@pytest.mark.parametrize(
    ("inner", "longest", "cut"),
    [
        (448, 448, [448]),
        (449, 448, [225, 224]),
        (784, 448, [392, 392]),
        (896, 448, [448, 448]),
        (1001, 448, [448, 277, 276]),
        (784, 384, [384, 200, 200]),
        (2000, 448, [448, 448, 448, 328, 328]),
    ],
)
def test_stretches_are_those_of_openblas(inner, longest, cut):
    assert zeros._stretches(inner, longest) == cut


@pytest.fixture
def two_threads(monkeypatch):
    """The library says that it has two, and may have one."""
    monkeypatch.setattr(zeros, "_cut_alike", {})
    monkeypatch.setattr(threads, "count", lambda: 2)
    monkeypatch.setattr(threads, "is_one_each_anywhere", lambda: False)


@needs_loops
def test_where_the_library_cuts_sums_otherwise_its_numbers_stay(two_threads, monkeypatch):
    x, w, g = matrices(64, 784, 128, np.float32)
    monkeypatch.setattr(zeros, "LONGEST", {np.dtype("f4"): 50})
    for first in (np.zeros_like(x), x):  # whatever it is: zeros agree with all
        out = np.empty((64, 128), np.float32)
        assert not zeros.multiply_for_two(first, w, out)
        np.testing.assert_array_equal(products.multiply_for_two(first, w), first @ w)
    assert list(zeros._cut_alike.values()) == [False]
    assert not zeros.multiply_for_two(x.T, g, np.empty_like(w))  # has no sums to be cut


@needs_loops
def test_while_another_number_of_threads_is_at_work_nothing_is_concluded(two_threads, monkeypatch):
    x, w, _ = matrices(64, 784, 128, np.float32)
    out = np.empty((64, 128), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "is_one_each_anywhere", lambda: True)
        assert not zeros.multiply_for_two(x, w, out)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "count", lambda: 1)
        assert not zeros.multiply_for_two(x, w, out)
    assert not zeros._cut_alike


@needs_loops
def test_without_the_text_of_the_loops_products_are_numpys(monkeypatch):
    def lost(module):
        raise OSError("could not get source code")

    x, w, _ = matrices(64, 80, 128, np.float32)
    loops._text.cache_clear()
    monkeypatch.setattr(inspect, "getsource", lost)
    monkeypatch.setattr(zeros, "_left", {})
    monkeypatch.delenv(fast.VARIABLE, raising=False)
    assert made(x, w) is None


@needs_loops
def test_a_compiled_step_makes_the_same_numbers_with_and_without(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "per_product", lambda: 1)
    products.pieces.cache_clear()
    x = matrices(64, 200, 128, np.float32)[0]
    labels = np.arange(64) % 10

    def training():
        model = nn.Sequential(nn.Linear(200, 128, rng=0), nn.ReLU(), nn.Linear(128, 10, rng=1))
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, labels):
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        return step, model

    (eager, first), (step, second), (plain, third) = training(), training(), training()
    compiled, without = tg.compile(step), tg.compile(plain)
    calls = []
    multiply = zeros.multiply
    for _ in range(4):
        monkeypatch.setattr(zeros, "multiply", lambda *a: calls.append(multiply(*a)) or calls[-1])
        values = {eager(x, labels).item(), compiled(x, labels).item()}
        monkeypatch.setattr(zeros, "multiply", lambda *_: False)
        assert values == {without(x, labels).item()}
    assert len(calls) >= 16  # a product forward and one backward, of two steps, four times
    assert all(calls)
    for others in zip(*(m.parameters() for m in (first, second, third)), strict=True):
        np.testing.assert_array_equal(others[0].data, others[1].data)
        np.testing.assert_array_equal(others[0].data, others[2].data)
    assert compiled.source.count("multiply_large(") == 2

    path = compiled.export(tmp_path / "step.py")
    text = path.read_text()
    assert "zeros" not in text
    assert "tinygrad_fm." not in text
    code = (
        "import sys; sys.path.insert(0, '.'); import numpy as np, step; from step import step as s;"
        "print(float(np.ravel(s(np.load('x.npy'), np.arange(64) % 10))[0]).hex())"
    )
    np.save(tmp_path / "x.npy", x)
    script = [sys.executable, "-c", code]
    found = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float.fromhex(found.stdout.strip()) == compiled(x, labels).item()
