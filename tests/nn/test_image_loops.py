"""Pooling's gradient and copies into another order, by loops and without: NumPy's very numbers."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import nn, threads
from tinygrad_fm.rules import compiled_images, loops, windows

FLOATS = st.sampled_from([np.float32, np.float64])
needs_loops = pytest.mark.skipif(not loops.there_are("<f8"), reason="no loops: Numba is missing")


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(compiled_images, "LARGE", 1)


def images(a):
    """(H, W, N, C) as convolutions return them: (N, C, H, W)."""
    return a.transpose(2, 3, 0, 1)


def same(found, expected):
    """NaN and the sign of zero too."""
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@needs_loops
@given(
    dtype=FLOATS,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    out=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    nc=st.tuples(st.integers(1, 5), st.sampled_from([1, 7, 30, 300])),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_pixels_get_what_numpy_gives_them(dtype, kernel, out, nc, count, seed):
    rng = np.random.default_rng(seed)
    shape = out[0] * kernel[0], out[1] * kernel[1], *nc
    x = rng.integers(-2, 3, shape).astype(dtype)  # with ties
    x[rng.random(shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
    x = images(x)
    y = np.copy(windows._max_pool(x, kernel, kernel, out), order="K")
    g = images(rng.standard_normal((*out, *nc)).astype(dtype))
    g[rng.random(g.shape) < 0.1] = rng.choice([np.nan, np.inf, -0.0])
    with np.errstate(invalid="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_images, "unpool", lambda *_: False)
        expected = windows.unpool.function(g, x, y, kernel, kernel)
    found = np.full_like(expected, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "several", lambda numbers, worth=0: count)
        assert compiled_images.unpool(g, x, y, kernel, found)
    same(found, expected)


@needs_loops
def test_who_wants_to_hear_of_invalid_products_does():
    x = images(np.ones((4, 4, 2, 3)))
    y, g = images(np.ones((2, 2, 2, 3))), images(np.full((2, 2, 2, 3), np.inf))
    assert compiled_images.unpool(g, x, y, (2, 2), np.empty_like(x))
    with np.errstate(invalid="raise"):
        assert not compiled_images.unpool(g, x, y, (2, 2), np.empty_like(x))
        with pytest.raises(FloatingPointError):
            windows.unpool.function(g, x, y, (2, 2), (2, 2))


def test_what_shares_memory_is_copied_by_numpy():
    x = np.arange(36.0).reshape(6, 6)
    expected = x.T.copy()
    compiled_images.copyto(x, x.T)
    np.testing.assert_array_equal(x, expected)


@needs_loops
def test_arrays_in_another_order_or_of_another_dtype_go_to_numpy():
    x = images(np.ones((4, 4, 2, 3)))
    y, g = images(np.ones((2, 2, 2, 3))), images(np.ones((2, 2, 2, 3)))
    total = np.empty_like(x)
    assert compiled_images.unpool(g, x, y, (2, 2), total)
    for wrong in (np.ascontiguousarray(x), x.astype(np.float32), x.astype(int)):
        assert not compiled_images.unpool(g, wrong, y, (2, 2), total)


def test_nothing_of_numba_is_loaded_for_them(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert compiled_images._loops(np.ones(10)) is None


@pytest.mark.parametrize("way", ["loops", "rows", "numpy"])
@given(
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.bool_]),
    shape=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    first=st.integers(0, 3),
    strange=st.booleans(),
)
def test_copies_are_those_of_numpy(way, dtype, shape, first, strange):
    memory = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    axes = np.roll(np.arange(memory.ndim), first)
    x = memory.transpose(axes)
    if strange:  # in no order at all
        x = x[::-1]
    out = np.zeros(x.shape, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_images, "FEW", 0 if way == "numpy" else 1 << 30)
        if way != "loops":
            patch.setattr(compiled_images, "_loops", lambda _: None)
        if way == "loops" and loops.there_are(dtype) and not strange:
            rolled = first % memory.ndim and not x.flags.c_contiguous
            patch.setattr(np, "copyto", None if rolled else np.copyto)  # which is not called
        compiled_images.copyto(out, x)
    np.testing.assert_array_equal(out, x)


@needs_loops
def test_a_program_uses_them_and_gives_the_numbers_of_the_step(monkeypatch):
    def step(x, y):
        model.zero_grad()
        found = loss(model(x), y)
        found.backward()
        return found.detach(), *(p.grad for p in model.parameters())

    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, rng=0), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(288, 4, rng=1),
    )  # fmt: skip
    loss, compiled, used, done = nn.CrossEntropyLoss(), tg.compile(step), [], []
    transposed, unpool = compiled_images._transpose, compiled_images.unpool
    monkeypatch.setattr(compiled_images, "unpool", lambda *a: done.append(unpool(*a)) or done[-1])
    monkeypatch.setattr(
        compiled_images, "_transpose", lambda *a: used.append(a[1].shape) or transposed(*a)
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 3, 12, 12), dtype=np.float32), rng.integers(0, 4, 16)
    for _ in range(3):
        found = compiled(x, y)
    assert " copyto(" in compiled.source
    assert {(16, 8, 6, 6), (6, 6, 16, 8)} <= set(used)  # flattened, and back
    for a, b in zip(found, step(x, y), strict=True):
        np.testing.assert_array_equal(a, b)
    assert done[-2:] == [True, True]  # in the program, and in the step
