"""Products without the zeros of the left matrix: NumPy's very numbers, and where they are made."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import fast, nn, optim, threads
from tinygrad_fm.rules import loops, products, zeros

FLOATS = st.sampled_from([np.float32, np.float64])
needs_loops = pytest.mark.skipif(
    not (loops.there_are("<f4") and products.has_small_kernels() and zeros._loops(np.dtype("f4"))),
    reason="no loops: Numba is missing, or NumPy's library has no kernels for small matrices",
)


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """The loops are compiled at once, and asked each time."""
    monkeypatch.setattr(zeros, "_left", 0)
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


@needs_loops
@given(
    dtype=FLOATS,
    rows=st.integers(1, 150),
    inner=st.integers(1, 200),
    width=st.sampled_from([128, 256, 384]),
    share=st.sampled_from([0.41, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_numbers_are_those_of_numpy(dtype, rows, inner, width, share, seed):
    x, w, g = matrices(rows, inner, width, dtype, share, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zeros, "FULLEST", 1.0)
        y, total = made(x, w), made(x.T, g)
    exact = x.astype(float) @ w, x.T.astype(float) @ g
    for found, right in zip((y, total), exact, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)


@needs_loops
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(64, 784, 128), (32, 784, 256), (48, 1024, 512), (16, 900, 128)])
def test_each_bit_is_that_of_a_product_in_pieces(shape, dtype):
    x, w, g = matrices(*shape, dtype)
    for a, b in ((x, w), (x.T, g)):
        turned = not a.flags.c_contiguous, False
        cut = products.pieces(a.shape, b.shape, turned, a.dtype)
        np.testing.assert_array_equal(made(a, b), products.in_pieces(a, b, *cut))


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
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(np.isnan(products.multiply(a, b)), np.isnan(a @ b))


@needs_loops
def test_overflow_is_infinite_as_in_numpy_and_raised_for_those_who_ask():
    x, w, _ = matrices(8, 64, 128, np.float32)
    x[x != 0] = w[...] = 1e38
    assert np.isinf(made(x, w)).all()
    with np.errstate(over="raise"):
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
    assert not zeros.multiply(x, w, np.empty((64, 256), np.float32)[:, ::2])
    x, w, _ = matrices(64, 80, 128, ">f4")
    assert made(x, w) is None


@needs_loops
def test_who_has_few_zeros_is_asked_seldom(monkeypatch):
    x, w, _ = matrices(64, 80, 128, np.float32, share=0.2)
    zero = np.zeros_like(x)
    assert made(x, w) is None
    for _ in range(zeros.SELDOM):
        assert made(zero, w) is None
    assert made(zero, w) is not None
    assert made(zero, w) is not None


@needs_loops
def test_the_loops_are_compiled_when_they_would_have_paid(monkeypatch):
    monkeypatch.delenv(fast.VARIABLE, raising=False)
    x, w, _ = matrices(64, 80, 128, np.float32)
    full = np.ones_like(x)

    def asked(matrix, is_kept):
        monkeypatch.setattr(zeros, "_left", None)
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
    assert zeros._left > 0  # zeros would be worth it, and there are none
    monkeypatch.setenv(fast.VARIABLE, "1")
    assert asked(x, False) == [True] * 3


@needs_loops
def test_another_librarys_numbers_stay(monkeypatch):
    do = zeros._loops(np.dtype("f4"))
    assert zeros._agrees(do, np.dtype("f4"))
    monkeypatch.setattr(zeros, "_loops", zeros._loops.__wrapped__)
    monkeypatch.setattr(zeros, "_agrees", lambda *_: False)
    x, w, _ = matrices(64, 80, 128, np.float32)
    assert made(x, w) is None


def test_numba_is_not_loaded_for_them(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert made(*matrices(64, 80, 128, np.float32)[:2]) is None


@needs_loops
def test_a_compiled_step_makes_the_same_numbers_with_and_without(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "alone", lambda: True)
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
